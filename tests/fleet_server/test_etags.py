"""Entity tags: the same question and the same data, the same tag; If-None-Match as RFC 9110 has it."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from fleet_server.etags import entity_tag, unchanged


def request(query: str = "", *if_none_match: str) -> Request:
    headers = [(b"if-none-match", each.encode("latin-1")) for each in if_none_match]
    return Request(
        {"type": "http", "method": "GET", "path": "/x", "query_string": query.encode(), "headers": headers}
    )


def test_a_tag_is_of_its_question_and_its_data() -> None:
    tag = entity_tag(request("a=1&b=2"), 7, "x")
    assert tag == entity_tag(request("b=2&a=1"), 7, "x")
    others = [entity_tag(request("a=1"), 7, "x"), entity_tag(request("a=1&b=2"), 8, "x")]
    assert tag.startswith('W/"')
    assert len({tag, *others}) == 3


TAG = 'W/"abc"'


@pytest.mark.parametrize(
    ("given", "same"),
    [
        (('W/"abc"',), True),
        (('"abc"',), True),  # weak comparison
        (('"x", W/"abc"',), True),
        (('"x"', '"abc"'), True),  # two header lines
        (("*",), True),
        ((), False),
        (("",), False),
        (('"ab"',), False),
        (('"ABC"',), False),
        (("abc",), False),
        (('W/"abc',), False),
        (('"' + "x" * 9_000 + '"',), False),
        ((",,,;;\x07\xff",), False),
    ],
)
def test_if_none_match(given: tuple[str, ...], same: bool) -> None:
    answer = unchanged(request("", *given), TAG)
    assert (answer is not None) is same
    if answer is not None:
        assert (answer.status_code, answer.body, answer.headers["etag"]) == (304, b"", TAG)
        assert answer.headers["cache-control"] == "private, no-cache"
