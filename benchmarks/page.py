"""Writes the figures of reports into docs/performance.md, between its two marks.

make bench ARGS="--report bench.json" && .venv/bin/python -m benchmarks.page bench.json

Of several reports a later one's figure takes the place of the same figure of an earlier one. What stands on
the page and was not run anew stays, under the line that says when and how it was: a section for each run,
newest first. A figure that no benchmark makes any more is taken out by hand.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import machine

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
BEGINS, ENDS = "<!-- figures: benchmarks/page.py -->", "<!-- end of figures -->"
USAGE = 2


HEAD = ("| figure | value | floor, same run | ratio | bar | |", "|---|---|---|---|---|---|")


@dataclass
class Section:
    """One run: what is said of it, and its rows by the figure's name."""

    said: str
    rows: dict[str, str]

    def __str__(self) -> str:
        return "\n".join([self.said, "", *HEAD, *self.rows.values()])


def sections(text: str) -> list[Section]:
    """Those that stand between the marks."""
    found: list[Section] = []
    for line in text.strip().splitlines():
        if line in HEAD or not line.strip():
            continue
        if not line.startswith("|"):
            found.append(Section(line, {}))
        elif found:
            found[-1].rows[line.split("|")[1].strip()] = line
    return found


def with_run(before: list[Section], run: Section) -> list[Section]:
    """The run first, and of the others what it does not have."""
    left = [
        Section(each.said, {name: row for name, row in each.rows.items() if name not in run.rows})
        for each in before
    ]
    return [run, *(each for each in left if each.rows)]


def rows(figures: list[dict[str, Any]]) -> dict[str, str]:
    """A row a figure."""
    found = {}
    for f in figures:
        verdict = {True: "met", False: "**missed**", None: ""}[f["met"]]
        value = f"{number(f['value'])} {f['unit']}"
        floor = "" if f["floor"] is None else number(f["floor"])
        ratio = "" if f["ratio"] is None else f"{f['ratio']:.2f}"
        bar = "" if f["bar"] is None else f"{f['bar']:g}"
        found[f["name"].strip()] = f"| {f['name']} | {value} | {floor} | {ratio} | {bar} | {verdict} |"
    return found


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def main(arguments: list[str]) -> int:
    """The reports' files; what else is given is said of the run, in a line of its own."""
    reports = [each for each in arguments if each.endswith(".json")]
    if not reports:
        print("usage: python -m benchmarks.page REPORT.json ... [WORDS ...]", file=sys.stderr)
        return USAGE
    read = (json.loads(Path(each).read_text(encoding="utf-8")) for each in reports)
    figures = list({figure["name"]: figure for report in read for figure in report}.values())
    said = " ".join(each for each in arguments if each not in reports) or machine()
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGINS)
    inner, _, tail = rest.partition(ENDS)
    every = with_run(sections(inner), Section(said, rows(figures)))
    written = "\n\n".join(map(str, every))
    PAGE.write_text(f"{head}{BEGINS}\n\n{written}\n\n{ENDS}{tail}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
