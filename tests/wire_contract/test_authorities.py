"""Which issuing authority was retired, told by names alone."""

from __future__ import annotations

import pytest

from wire_contract.authorities import is_retired, issuing_name

FIRST, SECOND, THIRD = (issuing_name("Porto", number) for number in (1, 2, 3))
ROOT = "Porto root authority"


@pytest.mark.parametrize(
    ("name", "trusted", "retired"),
    [
        (FIRST, [ROOT, FIRST], False),
        (FIRST, [ROOT, FIRST, SECOND], False),  # both are trusted, while lampposts renew
        (FIRST, [ROOT, SECOND], True),
        (FIRST, [ROOT, THIRD], True),
        (SECOND, [ROOT, FIRST, THIRD], True),
        (SECOND, [ROOT, FIRST], False),  # away while it took over
        (THIRD, [ROOT, FIRST], False),
        (FIRST, [ROOT], False),  # a root alone was brought
        (FIRST, [], False),
        (FIRST, ["Lisbon issuing authority 2"], False),  # another city's numbers say nothing
        ("Example Public CA 2", [ROOT, SECOND], False),  # a certificate of the operator's own
        ("", [ROOT, SECOND], False),
        ("Porto issuing authority 10", ["Porto issuing authority 9"], False),  # numbers, not letters
        ("Porto issuing authority 9", ["Porto issuing authority 10"], True),
        ("Porto issuing authority 99999", [SECOND], False),
        (issuing_name(FIRST, 1), [issuing_name(FIRST, 2)], True),  # a city that is called so
    ],
)
def test_who_has_given_way(name: str, trusted: list[str], retired: bool) -> None:
    assert is_retired(name, trusted) is retired


def test_the_first_has_no_number() -> None:
    assert [FIRST, SECOND] == ["Porto issuing authority", "Porto issuing authority 2"]
