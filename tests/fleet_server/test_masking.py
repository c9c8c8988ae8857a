"""Names become initials where nobody needs them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fleet_server
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


def test_no_log_line_has_a_principals_name() -> None:
    """In one call of `log`, up to its closing parenthesis at the end of a line."""
    calls = re.compile(r"log\.(?:debug|info|warning|error|exception)\((?:[^\n]*|\n(?:.*\n)*?\s*)\)\n")
    named = [
        f"{path.name}: {call.splitlines()[0]}"
        for path in Path(fleet_server.__file__).parent.rglob("*.py")
        for call in calls.findall(path.read_text(encoding="utf-8"))
        if "principal.name" in call
    ]
    assert named == [], "in_log(principal): a process's log is copied to places that know no erasure"
