"""Wrong code is refused by the types: each snippet is checked by mypy, and must fail where it says.

A line that ends in `# refused: CODE` must give that error; any other line must give none, so each snippet
also shows the right way beside the wrong one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.imports import ROOT

SNIPPETS = sorted((Path(__file__).parent / "refused").glob("*.py.txt"))


def expected(source: str) -> set[tuple[int, str]]:
    return {
        (number, code)
        for number, line in enumerate(source.splitlines(), start=1)
        if (match := re.search(r"# refused: ([a-z,-]+)$", line))
        for code in match[1].split(",")
    }


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[tuple[int, str]]]:
    """What mypy says of every snippet: file stem -> {(line, error code)}; one run for all of them."""
    folder = tmp_path_factory.mktemp("refused")
    for snippet in SNIPPETS:
        (folder / snippet.name.removesuffix(".txt")).write_text(
            snippet.read_text(encoding="utf-8"), encoding="utf-8"
        )
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--show-error-codes",
         "--no-error-summary", "--hide-error-context",
         f"--cache-dir={folder / 'cache'}", "--follow-imports=silent",
         *sorted(str(path) for path in folder.glob("*.py"))],
        cwd=folder,
        env=os.environ | {"MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert run.returncode in {0, 1}, run.stdout + run.stderr
    found: dict[str, set[tuple[int, str]]] = {}
    for file, line, code in re.findall(r"(\w+)\.py:(\d+): error: .*\[([a-z-]+)\]", run.stdout):
        found.setdefault(file, set()).add((int(line), code))
    return found


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) >= 4


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda path: path.name.removesuffix(".py.txt"))
def test_mypy_refuses_exactly_the_wrong_lines(
    snippet: Path, complaints: dict[str, set[tuple[int, str]]]
) -> None:
    wanted = expected(snippet.read_text(encoding="utf-8"))
    assert wanted, "a snippet without a refused line proves nothing"
    assert complaints.get(snippet.name.removesuffix(".py.txt"), set()) == wanted
