"""Cursors: what is sealed comes back, of its own question only; garbage is told apart and never a crash."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from fleet_server.paging import BadCursor, Pages, instant, micros, opened, sealed

SCALARS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(st.characters(exclude_characters="\0")))


@given(st.text(), st.lists(SCALARS, max_size=8))
def test_what_is_sealed_comes_back(question: str, key: list[int | str]) -> None:
    kinds = tuple(type(value) for value in key)
    assert opened(question, sealed(question, key), kinds) == tuple(key)


@given(st.text(max_size=200))
def test_garbage_is_no_cursor(text: str) -> None:
    with pytest.raises(BadCursor):
        opened("q", text, (int,))


def cursor_of(inside: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(inside).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("cursor", "words"),
    [
        (sealed("another", [1]), "another question"),
        (sealed("q", ["1"]), "no cursor"),
        (sealed("q", [1, 2]), "no cursor"),
        (sealed("q", []), "no cursor"),
        (sealed("q", [2**63]), "no cursor"),
        (sealed("q", [1])[:-3], "no cursor"),
        (cursor_of({"a": 1}), "no cursor"),
        (cursor_of([]), "no cursor"),
        (cursor_of([2, "x", 1]), "no cursor"),
        (cursor_of([1, None, 1]), "another question"),
        (cursor_of([True, "x"]), "another question"),
        ("[" * 2000, "no cursor"),
        ("W" * 2001, "no cursor"),
    ],
)
def test_a_wrong_cursor_says_what_to_do(cursor: str, words: str) -> None:
    with pytest.raises(BadCursor, match=words) as refused:
        opened("q", cursor, (int,))
    assert refused.value.remedy


@pytest.mark.parametrize("key", [["a\0b"], ["\0"]])
def test_a_text_that_no_database_holds_is_refused(key: list[str]) -> None:
    with pytest.raises(BadCursor):
        opened("q", sealed("q", key), (str,))


def test_a_deep_nest_is_no_crash() -> None:
    deep = base64.urlsafe_b64encode(b"[" * 1500).decode()
    with pytest.raises(BadCursor):
        opened("q", deep, (int,))


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_survives_exactly(at: datetime) -> None:
    assert instant(micros(at)) == at


@pytest.mark.parametrize("value", [2**62, -(2**62)])
def test_an_instant_beyond_the_calendar_is_no_cursor(value: int) -> None:
    with pytest.raises(BadCursor):
        instant(value)


def request(query: str) -> Request:
    scope = {"type": "http", "method": "GET", "path": "/list", "query_string": query.encode(), "headers": []}
    return Request({**scope, "server": ("here", 80), "scheme": "http"})


def test_the_next_page_is_of_the_same_question() -> None:
    first = Pages(request("b=2&a=x%20y&limit=5"), None, int)
    cursor = first.next((7,))
    assert cursor is not None
    link = first.headers["Link"]
    assert link.startswith("</list?")
    assert link.endswith('>; rel="next"')
    assert {f"cursor={cursor}", "limit=5"} <= set(re.split("[?&>]", link))
    assert Pages(request(f"limit=9&a=x%20y&b=2&cursor={cursor}"), cursor, int).key == (7,)
    with pytest.raises(BadCursor, match="another question"):
        Pages(request(f"a=x%20y&b=3&cursor={cursor}"), cursor, int)
    last = Pages(request("a=1"), None, int)
    assert last.next(None) is None
    assert last.headers == {}
