"""What the browser is sent: freshness, progress, charts, and how little of it a second tick needs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dashboards import view, words
from dashboards.model import Lamppost, Reading

NOW_MS = 1_800_000_000_000
POST = Lamppost(
    id=1,
    handle=None,
    tenant="demo",
    name="rathaus",
    site="Rathausgasse 1",
    state="active",
    presence="online",
    presence_ms=NOW_MS - 60_000,
    newest_ms=NOW_MS - 60_000,
    fresh="fresh",
    value="12",
    unit="ug/m3",
    flag=1,
    backlog=(),
    conditions=0,
    worst=None,
)


READING = Reading(5, 2, "pm2_5", "ug/m3", -1, "12.3", 1, NOW_MS)


def test_a_row_says_what_the_list_shows() -> None:
    row = view.row(POST, None)
    assert row["address"] == "demo/rathaus"
    assert (row["value"], row["unit"], row["flag"]) == ("12", "µg/m³", "")
    assert row["draining"] is None


def test_a_doubtful_value_carries_its_word() -> None:
    assert view.row(replace(POST, flag=6), None)["flag"] == "suspect: spike"
    assert view.row(replace(POST, flag=14), None)["flag"] == ""


def test_the_drain_is_told_against_the_most_that_waited() -> None:
    first = view.draining(replace(POST, backlog=(("history", 900), ("live", 3))), None)
    later = view.draining(replace(POST, backlog=(("history", 300),)), first)
    assert later == view.Draining(300, 900)
    assert view.draining(replace(POST, backlog=(("live", 50),)), later) is None


def test_the_first_chart_is_the_fine_dust() -> None:
    readings = [
        replace(READING, series=i, channel=c) for i, c in enumerate(["n0_3", "pm10", "pm2_5_cf1", "pm2_5"])
    ]
    assert view.first_series(readings) == 3
    assert view.first_series([]) is None


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("pm2_5", "PM2.5"),
        ("pm10_cf1", "PM10 (CF=1)"),
        ("n0_3", "Particles > 0.3 µm"),
        ("n10_0", "Particles > 10.0 µm"),
        ("co2", "CO₂"),
        ("wind_speed", "Wind speed"),
    ],
)
def test_channels_have_names(name: str, title: str) -> None:
    assert words.channel(name) == title


def test_counts_from_below_are_not_called_counts_from_above() -> None:
    assert words.channel("n2_5", "1/dL") == "Particles > 2.5 µm"  # Plantower: beyond that diameter
    assert words.channel("n2_5", "1/cm3") == "Particles 0.3–2.5 µm"  # Sensirion SPS30: up to it


@pytest.mark.parametrize(
    ("value", "exponent", "text"),
    [(12.0, 0, "12"), (12.3, -1, "12.3"), (-0.05, -2, "-0.05"), (700.0, 2, "700"), (None, 0, None)],
)
def test_values_keep_the_sensors_digits(value: float | None, exponent: int, text: str | None) -> None:
    assert words.exact(value, exponent) == text


def test_a_point_says_what_is_doubtful_about_it() -> None:
    assert words.doubt(6, 1, 0) == "suspect: spike"
    assert words.doubt(1, 1, 0) == ""
    assert words.doubt(None, 58, 2) == "2 of 60 failed or missing"
    assert words.doubt(None, 60, 0) == ""
