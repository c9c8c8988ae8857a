"""Names become initials where nobody needs them."""

from __future__ import annotations

import pytest

from fleet_server.access.rules import CONSOLE, WORKER, Principal, Role
from fleet_server.masking import in_log, initials, shown_to
from tests.support.server_context import ADMIN, OPERATOR, VIEWER


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ana", "a."),
        ("ana.silva-costa", "a.s.c."),
        ("João da Silva", "J.d.S."),
        ("console:grace", "console:g."),
        ("worker", "worker"),
        ("erased-0a1b2c3d", "erased-0a1b2c3d"),
        ("", ""),
        ("...", ""),
    ],
)
def test_initials(name: str, shown: str) -> None:
    assert initials(name) == shown


def test_who_sees_whose_name() -> None:
    both = Principal("operator", "eve", frozenset({Role.VIEWER, Role.OPERATOR}))
    assert [shown_to(each, "ana.silva") for each in (ADMIN, OPERATOR, both, CONSOLE)] == ["ana.silva"] * 4
    partner = Principal("operator", "pat", frozenset({Role.PARTNER}))
    assert [shown_to(each, "ana.silva") for each in (VIEWER, partner)] == ["a.s."] * 2
    assert (in_log(ADMIN), in_log(WORKER)) == ("a.", "worker")
