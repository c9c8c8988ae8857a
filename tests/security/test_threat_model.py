"""docs/security.md names a test for each threat: every one of them is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/security.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def rows() -> list[list[str]]:
    """The cells of every threat."""
    lines = [line for line in PAGE.splitlines() if re.match(r"\| [STRIDE](, [STRIDE])* \|", line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_test_that_is_named_is_there() -> None:
    missing = []
    for file, test in NAMED.findall(PAGE):
        path = ROOT / file
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if not re.search(rf"^(async )?def {test or 'test_'}", text, re.M):
            missing.append(f"{file}::{test}")
    assert not missing, "\n".join(missing)


def test_every_threat_has_an_answer_and_a_test() -> None:
    found = rows()
    assert len(found) > 40
    for cells in found:
        assert len(cells) == 4, cells
        assert all(cells), cells
        assert NAMED.search(cells[3]), cells[1]
    assert {letter for cells in found for letter in re.findall(r"[STRIDE]", cells[0])} == set("STRIDE")
