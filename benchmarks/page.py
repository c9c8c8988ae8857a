"""Writes the figures of reports into docs/performance.md, between its two marks.

make bench ARGS="--report bench.json" && .venv/bin/python -m benchmarks.page bench.json

Of several reports a later one's figure takes the place of the same figure of an earlier one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.report import machine

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
BEGINS, ENDS = "<!-- figures: benchmarks/page.py -->", "<!-- end of figures -->"
USAGE = 2


def table(figures: list[dict[str, Any]]) -> str:
    """A row a figure."""
    rows = ["| figure | value | floor, same run | ratio | bar | |", "|---|---|---|---|---|---|"]
    for f in figures:
        verdict = {True: "met", False: "**missed**", None: ""}[f["met"]]
        value = f"{number(f['value'])} {f['unit']}"
        floor = "" if f["floor"] is None else number(f["floor"])
        ratio = "" if f["ratio"] is None else f"{f['ratio']:.2f}"
        bar = "" if f["bar"] is None else f"{f['bar']:g}"
        rows.append(f"| {f['name']} | {value} | {floor} | {ratio} | {bar} | {verdict} |")
    return "\n".join(rows)


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
    _, _, tail = rest.partition(ENDS)
    PAGE.write_text(f"{head}{BEGINS}\n\n{said}\n\n{table(figures)}\n\n{ENDS}{tail}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
