"""The page of figures: a new run takes the place of its own figures, and of nobody else's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import page
from benchmarks.report import as_json, at_least, at_most, machine, shown

BEFORE = """# How fast

Words before.

<!-- figures: benchmarks/page.py -->

In March, on a slow machine.

| figure | value | floor, same run | ratio | bar | |
|---|---|---|---|---|---|
| one | 1 s |  |  | 2 | met |
|   two | 2 s |  |  |  |  |

<!-- end of figures -->

Words after.
"""


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "performance.md"
    made.write_text(BEFORE)
    monkeypatch.setattr(page, "PAGE", made)
    return made


def run(folder: Path, words: str, *figures: object) -> None:
    report = folder / "report.json"
    report.write_text(json.dumps(as_json(figures)))  # type: ignore[arg-type]
    assert page.main([str(report), words]) == 0


def test_what_was_not_run_anew_keeps_its_date(written: Path, tmp_path: Path) -> None:
    run(tmp_path, "In May.", at_most("one", 3.0, "s", 2.0), shown("three", 5000, "rows"))
    assert written.read_text() == BEFORE.replace(
        "In March",
        """In May.

| figure | value | floor, same run | ratio | bar | |
|---|---|---|---|---|---|
| one | 3 s |  |  | 2 | **missed** |
| three | 5,000 rows |  |  |  |  |

In March""",
    ).replace("| one | 1 s |  |  | 2 | met |\n", "")
    once = written.read_text()
    run(tmp_path, "In May.", at_most("one", 3.0, "s", 2.0), shown("three", 5000, "rows"))
    assert written.read_text() == once
    run(tmp_path, "In June.", at_least("  two", 3.0, "s", 2.0))
    assert "In March" not in written.read_text(), "nothing of it is left"
    assert [each.said for each in page.sections(written.read_text().split("-->")[1])][:2] == [
        "In June.",
        "In May.",
    ]


def test_the_page_of_this_repository_is_read_as_it_is() -> None:
    text = page.PAGE.read_text()
    inner = text.partition(page.BEGINS)[2].partition(page.ENDS)[0]
    found = page.sections(inner)
    assert "\n\n".join(map(str, found)) == inner.strip()
    names = [name for each in found for name in each.rows]
    assert len(names) == len(set(names))
    assert {"fleet: lampposts connected over mTLS", "fleet: samples without a row in the database"} <= set(
        names
    )


def test_a_run_says_what_it_ran_on() -> None:
    told = machine()
    for word in (
        r"\d+ cores, \d+ GB",
        r"Linux \d",
        r"PostgreSQL \d+\.\d+ \(embedded\)",
        r"Mosquitto (\d|not here)",
        r"paho-mqtt \d",
        r"psycopg \d",
        r"numpy \d",
        r"load \d",
    ):
        assert re.search(word, told), (word, told)
