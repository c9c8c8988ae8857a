"""The text of the rules that let a lamppost in: read, refused, applied."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_server.accept_policy import AcceptRule, Asked, BadRule, Way, accepting, read_rules

BATCH = Asked(Way.BATCH, known=False, district="Harbour", batch_open=True, let_in=4)
KEY = Asked(Way.KEY, known=False)
EXPIRED = Asked(Way.EXPIRED, known=False, active=True, newest=True, expired_days=90.0)


@pytest.mark.parametrize(
    ("text", "asked", "let_in"),
    [
        ("registered-key", KEY, True),
        ("registered-key", replace(KEY, known=True), False),
        ("registered-key", BATCH, False),
        ("registered-key", Asked(Way.CLAIM, known=False), False),
        ("batch", BATCH, True),
        ("batch district=*", BATCH, True),
        ("batch district=Harbour", BATCH, True),
        ("batch district=Old", BATCH, False),
        ("batch most=5", BATCH, True),
        ("batch most=4", BATCH, False),
        ("batch", replace(BATCH, batch_open=False), False),
        ("batch", replace(BATCH, known=True), False),
        ("batch", Asked(Way.CLAIM, known=False), False),
        ("expired days=90", EXPIRED, True),
        ("expired days=89", EXPIRED, False),
        ("expired days=90", replace(EXPIRED, active=False), False),
        ("expired days=90", replace(EXPIRED, newest=False), False),
        ("expired days=90", KEY, False),
    ],
)
def test_who_is_let_in(text: str, asked: Asked, let_in: bool) -> None:
    assert (accepting(read_rules([text]), asked) is not None) is let_in


def test_without_a_rule_a_person_decides() -> None:
    assert [accepting((), each) for each in (BATCH, KEY, EXPIRED)] == [None] * 3


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "claim", "everybody", "registered-key days=1", "batch days=1", "batch most=-1",
        "batch most=x", "batch most=", "batch =1", "batch most=1 most=2", "expired", "expired days=",
        "expired days=9999999", "expired days=1.5", "expired days=\u0661", "batch district", "x" * 10_000,
        "batch " * 1000,
    ],
)  # fmt: skip
def test_a_rule_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadRule):
        read_rules([text])


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        [rule] = read_rules([text])
    except BadRule:
        return
    assert read_rules([str(rule)]) == (rule,)


def test_a_rule_is_told_as_it_is_written() -> None:
    for text in ("registered-key", "batch district=Harbour most=50", "expired days=90"):
        assert str(read_rules([text])[0]) == text
    assert str(AcceptRule(Way.BATCH)) == "batch district=*"
