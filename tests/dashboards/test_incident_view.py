"""What the incident pages say, from plain values: no browser, no database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_quality.colours import PALETTE
from air_quality.tables import EU_EAQI, US_AQI
from dashboards import air_view, incident_view, verdict_words
from dashboards.air_model import IndexStep, IndexTrace, Trace
from dashboards.data_incidents import incident_number
from dashboards.incident_asking import asked_for
from dashboards.incident_model import Happening, Incident, Member, Story, Verdict

NOW_MS = 1_795_000_020_000
MIN, HOUR = 60_000, 3_600_000
OPEN = Incident(
    id=7, title="Episode at Hafen", kind="episode", severity="moderate", state="open", district="Hafen",
    opened_ms=NOW_MS - HOUR, first_ms=NOW_MS - HOUR, last_ms=NOW_MS - 5 * MIN, closed_ms=None, closed_by="",
    close_reason="", acknowledged_by="", acknowledged_ms=None, silenced_until_ms=None, merged_into=None,
    late=False, lampposts=2, version=3,
)  # fmt: skip
MEMBER = Member("demo/kai-3", 1, "Hafen", "in", "", NOW_MS - HOUR, NOW_MS, 0.9, 4, 6)
EPISODE = Verdict(
    1, "demo/kai-3", NOW_MS - HOUR, "episode", 0.913, 0.876, "PM2.5 rose.", "air_anomaly@1.0.0/litert"
)
FAULT = replace(EPISODE, kind="fault", reason="flat_line: nothing moved for 40 minutes", model="rule@1")


def trace(address: str, minutes: int = 5) -> Trace:
    times = tuple(NOW_MS - HOUR + i * MIN for i in range(minutes))
    return Trace(address, 60, times, (12.0,) * minutes, (9.5,) * minutes, ("barkjohn2022@1",))


def test_the_window_is_an_hour_before_and_up_to_now_while_it_is_open() -> None:
    begins, ends = incident_view.window(OPEN, NOW_MS)
    assert OPEN.first_ms - HOUR - MIN < begins <= OPEN.first_ms - HOUR
    assert NOW_MS <= ends < NOW_MS + MIN
    assert begins % MIN == ends % MIN == 0


def test_the_window_of_a_closed_one_ends_half_an_hour_after_it() -> None:
    closed = replace(OPEN, state="closed", closed_ms=NOW_MS - 10 * HOUR, first_ms=NOW_MS - 12 * HOUR,
                     last_ms=NOW_MS - 11 * HOUR)  # fmt: skip
    _, ends = incident_view.window(closed, NOW_MS)
    assert 0 <= ends - (NOW_MS - 10 * HOUR + 30 * MIN) < MIN


@given(
    began=st.integers(0, 10**6),
    lasted=st.integers(0, 10**6),
    closed=st.integers(0, 10**6),
    is_open=st.booleans(),
)
def test_a_window_is_never_empty_nor_longer_than_it_can_be_drawn(
    began: int, lasted: int, closed: int, is_open: bool
) -> None:
    found = replace(
        OPEN, first_ms=NOW_MS - began * 1000 - lasted * 1000, last_ms=NOW_MS - began * 1000,
        state="open" if is_open else "closed", closed_ms=None if is_open else NOW_MS - closed * 1000,
    )  # fmt: skip
    begins, ends = incident_view.window(found, NOW_MS)
    assert 0 < ends - begins <= incident_view.LONGEST_MS + 2 * MIN
    assert ends >= found.last_ms


def test_the_lampposts_with_the_highest_scores_are_drawn_each_once() -> None:
    several = [replace(MEMBER, address=f"demo/l-{i}", score=i / 100) for i in range(20)]
    drawn = incident_view.drawn([*several, several[-1]])
    assert drawn == [f"demo/l-{i}" for i in range(19, 19 - incident_view.DRAWN_MAX, -1)]


def test_the_evidence_marks_the_first_verdict_of_each_lamppost_in_its_lines_order() -> None:
    begins, ends = NOW_MS - 2 * HOUR, NOW_MS
    verdicts = [
        replace(EPISODE, address="demo/b", time_ms=NOW_MS - 20 * MIN),
        replace(EPISODE, address="demo/a", time_ms=NOW_MS - 10 * MIN),
        replace(EPISODE, address="demo/b", time_ms=NOW_MS - 40 * MIN),
        replace(EPISODE, address="demo/a", kind="episode_over", time_ms=NOW_MS - 50 * MIN),
        replace(EPISODE, address="demo/elsewhere"),
    ]
    chart = incident_view.evidence([trace("demo/a"), trace("demo/b")], verdicts, begins, ends)
    assert chart["marks"] == [{"t": NOW_MS - 10 * MIN, "line": 0}, {"t": NOW_MS - 40 * MIN, "line": 1}]
    assert [line["name"] for line in chart["lines"]] == ["a", "b"]
    assert chart["lines"][0]["href"] == "/lamppost/demo/a"
    assert chart["gap_ms"] == 150_000


def test_a_story_is_told_newest_first_and_the_worker_is_nobody() -> None:
    found = Story(
        OPEN,
        (MEMBER,),
        (EPISODE, replace(EPISODE, id=2, time_ms=EPISODE.time_ms + MIN)),
        (
            Happening(1, NOW_MS - HOUR, "worker", "opened", ""),
            Happening(2, NOW_MS, "mara", "note", "<b>wind from the east</b>"),
        ),
    )
    told = incident_view.story(found)
    assert [v["id"] for v in told["verdicts"]] == [2, 1]
    assert [(h["what"], h["by"]) for h in told["history"]] == [("Note", "mara"), ("Opened", "")]
    assert told["history"][0]["text"] == "<b>wind from the east</b>"
    assert told["head"]["version"] == 3


@pytest.mark.parametrize(
    ("standing", "fault", "words"),
    [
        ("in", "", "sees it"),
        ("over", "", "over here"),
        ("out", "flat_line: it stands still", "taken out: sensor stuck"),
        ("out", "", "taken out: sensor faulty"),
        ("something new", "", "something new"),
    ],
)
def test_a_lampposts_part_in_words(standing: str, fault: str, words: str) -> None:
    assert incident_view.standing(replace(MEMBER, standing=standing, fault=fault)) == words


def test_a_verdict_says_what_decided_and_why() -> None:
    row = verdict_words.verdict(EPISODE)
    assert (row["words"], row["score"], row["confidence"]) == ("episode", "0.91", "88 %")
    assert (row["decided"], row["model"]) == ("model", "air_anomaly@1.0.0/litert")
    row = verdict_words.verdict(FAULT)
    assert (row["words"], row["reason"]) == ("sensor stuck", "Nothing moved for 40 minutes")
    assert (row["decided"], row["model"]) == ("rule", "rule@1")


def test_kinds_and_codes_that_are_not_known_stay_readable() -> None:
    row = verdict_words.verdict(replace(EPISODE, kind="odd_smell", model="", reason="a: b"))
    assert (row["words"], row["reason"], row["decided"]) == ("odd smell", "a: b", "not told")
    assert verdict_words.happened("handed_over") == "Handed over"
    assert verdict_words.fault("melted: warm") == "melted"


def test_the_index_is_a_bar_an_hour_wide_at_most() -> None:
    steps = tuple(
        IndexStep(NOW_MS - h * HOUR, 40 + h, 1 + h, "Good", "pm2_5", 9.04, "none@1") for h in (5, 2, 1)
    )
    chart = air_view.index_bars(IndexTrace("demo/kai-3", US_AQI, steps), NOW_MS - 4 * HOUR, NOW_MS)
    assert [(b["t"], b["to"]) for b in chart["bars"]] == [
        (NOW_MS - 2 * HOUR, NOW_MS - HOUR),
        (NOW_MS - HOUR, NOW_MS),
    ]
    assert chart["bars"][0]["note"] == "PM2.5 9.0 µg/m³"
    assert chart["table"] == US_AQI
    assert air_view.index_bars(IndexTrace("demo/kai-3", US_AQI, ()), 0, NOW_MS)["bars"] == []


def test_the_legend_is_the_tables_and_an_unknown_table_has_none() -> None:
    assert [b["range"] for b in air_view.bands(IndexTrace("a/b", EU_EAQI, ()))] == list("123456")
    assert air_view.bands(IndexTrace("a/b", US_AQI, ()))[1] == {
        "level": 2,
        "name": "Moderate",
        "range": "51–100",
    }
    assert air_view.bands(IndexTrace("a/b", "martian@1", ())) == []


def test_raw_and_corrected_are_two_lines_and_what_was_applied_is_named() -> None:
    chart = air_view.corrected(trace("demo/a"), NOW_MS - HOUR, NOW_MS)
    assert [line["id"] for line in chart["lines"]] == ["corrected", "raw"]
    assert chart["lines"][1]["v"][0] == 12.0
    assert chart["corrections"][0]["id"] == "barkjohn2022@1"
    assert chart["corrections"][0]["words"] != "barkjohn2022@1"
    assert air_view.correction("calibration") == "this unit's own calibration"
    assert air_view.correction("future@9") == "future@9"


def test_the_pages_colours_are_the_palette_that_every_eye_can_read() -> None:
    sheet = (Path(incident_view.__file__).parent / "static" / "work.css").read_text(encoding="utf-8").lower()
    for level, colour in enumerate(PALETTE, 1):
        assert f"--level-{level}: {colour.lower()};" in sheet


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "x1", "١", "9" * 40, "1; DROP TABLE", "01"])
def test_an_address_that_names_no_incident(text: str) -> None:
    assert incident_number(text) is None


def test_an_address_that_names_one() -> None:
    assert incident_number("42") == 42


@pytest.mark.parametrize(
    "sent",
    [
        None, [], "acknowledge", {}, {"what": 1, "version": 1}, {"what": "note", "version": True},
        {"what": "note", "version": "1"}, {"what": "note", "version": 1, "text": 5},
        {"what": "note", "version": 1, "text": "x" * 2001}, {"what": "silence", "version": 1, "until": 1e300},
        {"what": "silence", "version": 1, "until": -5},
        {"what": "silence", "version": 1, "until": float("nan")},
        {"what": "silence", "version": 1, "until": float("inf")},
        {"what": "silence", "version": 1, "until": "tomorrow"},
    ],
)  # fmt: skip
def test_garbage_from_a_browser_is_no_wish(sent: Any) -> None:
    assert asked_for(sent) is None


def test_a_wish_from_a_browser() -> None:
    assert asked_for({"what": "note", "version": 3, "text": "wind"}) == ("note", 3, "wind", None)
    assert asked_for({"what": "silence", "version": 3, "until": 1.5e12}) == (
        "silence",
        3,
        "",
        1_500_000_000_000,
    )


def test_a_browsers_clock_has_fractions_of_a_millisecond() -> None:
    assert asked_for({"what": "silence", "version": 3, "until": 1.5e12 + 0.25}) == (
        "silence",
        3,
        "",
        1_500_000_000_000,
    )
