"""Passwords, sessions and throttling as pure rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_server.access import rules

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@given(st.integers(0, 10_000))
def test_every_failure_waits_at_least_as_long_as_the_one_before_and_never_for_ever(failures: int) -> None:
    assert rules.throttle_s(failures) <= rules.throttle_s(failures + 1) <= rules.THROTTLE_LONGEST_S


def test_typing_errors_cost_nothing_and_guessing_soon_does() -> None:
    assert [rules.throttle_s(n) for n in range(9)] == [0, 0, 0, 0, 0, 0, 2, 4, 8]


@given(st.integers(0, 50), st.floats(0, 200_000))
def test_waiting_as_long_as_told_is_enough(failures: int, waited_s: float) -> None:
    left = rules.retry_after_s(failures, NOON, NOON + timedelta(seconds=waited_s))
    assert 0 <= left <= rules.THROTTLE_LONGEST_S
    assert rules.retry_after_s(failures, NOON, NOON + timedelta(seconds=waited_s + left + 0.001)) == 0


def test_a_session_slides_but_is_not_written_at_every_call() -> None:
    expires = NOON + rules.SESSION_IDLE
    assert rules.slid_expiry(expires, NOON + timedelta(minutes=1), NOON) is None
    later = NOON + timedelta(hours=1)
    assert rules.slid_expiry(expires, later, NOON) == later + rules.SESSION_IDLE
    assert rules.session_alive(expires, expires - timedelta(seconds=1))
    assert not rules.session_alive(expires, expires)


def test_a_session_in_use_ends_with_the_month() -> None:
    end = NOON + rules.SESSION_LONGEST
    last = end - timedelta(hours=1)
    assert rules.slid_expiry(last, last, NOON) == end
    assert rules.slid_expiry(end, end - timedelta(minutes=1), NOON) is None


@given(st.integers(0, 500), st.floats(0, 100_000))
def test_an_address_that_waits_as_long_as_told_is_looked_at(failures: int, passed_s: float) -> None:
    left, since = rules.leaked(failures, NOON, NOON + timedelta(seconds=passed_s))
    assert 0 <= left <= failures
    wait_s = rules.address_wait_s(left, since, NOON + timedelta(seconds=passed_s))
    assert (wait_s == 0) == (left < rules.ADDRESS_FAILURES_FREE)
    later = NOON + timedelta(seconds=passed_s + wait_s + 0.001)
    again, since = rules.leaked(left, since, later)
    assert rules.address_wait_s(again, since, later) == 0
    assert again < rules.ADDRESS_FAILURES_FREE


def test_an_office_mistypes_and_a_guesser_is_held_to_one_a_minute() -> None:
    assert rules.address_wait_s(rules.ADDRESS_FAILURES_FREE - 1, NOON, NOON) == 0
    assert rules.address_wait_s(rules.ADDRESS_FAILURES_FREE, NOON, NOON) == rules.ADDRESS_LEAK_S
    assert rules.leaked(30, NOON, NOON + timedelta(seconds=150)) == (28, NOON + timedelta(seconds=120))


@pytest.mark.parametrize(
    ("password", "told"),
    [
        ("short", "at least"),
        ("x" * 257, "at most"),
        ("aaaaaaaaaaaaa", "so few"),
        ("maximilian-a1", "name again"),
        ("correct horse battery", None),
        ("мост над рекой", None),
    ],
)
def test_passwords(password: str, told: str | None) -> None:
    problem = rules.password_problem(password, "maximilian")
    assert problem is None if told is None else problem is not None and told in problem


@pytest.mark.parametrize("name", ["ana", "a", "ana.maria-2", "x" * 64])
def test_good_names(name: str) -> None:
    assert rules.operator_name_problem(name) is None


@pytest.mark.parametrize("name", ["", "Ana", "-a", "a b", "x" * 65, "a\n", "ана", "a'--"])
def test_bad_names(name: str) -> None:
    assert rules.operator_name_problem(name)
