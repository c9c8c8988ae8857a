"""What the browser is sent: freshness, progress, charts, and how little of it a second tick needs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dashboards import view, words
from dashboards.model import SPANS, Chart, Condition, Detail, Lamppost, Reading, Sensor

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


def chart_of(times_s: list[int], *, step_s: int = 60, values: list[float | None] | None = None) -> Chart:
    mean = tuple(values if values is not None else [float(t % 7) for t in times_s])
    times = tuple(NOW_MS + t * 1000 for t in times_s)
    flags = tuple("" for _ in times)
    return Chart(
        5, SPANS["6h"], times[0] if times else NOW_MS, NOW_MS, step_s, times, mean, mean, mean, flags
    )


READING = Reading(5, 2, "pm2_5", "ug/m3", -1, "12.3", 1, NOW_MS)


def sent(chart: Chart) -> dict[str, Any]:
    return view.chart(chart, READING, 1)


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


def test_the_chart_of_a_rollup_has_one_digit_more_than_the_sensor() -> None:
    assert sent(chart_of([0, 60]))["decimals"] == 2
    assert sent(chart_of([0, 60], step_s=0))["decimals"] == 1


def test_a_jittered_minute_is_no_gap_and_three_are() -> None:
    threshold_ms = sent(chart_of([0, 60, 120, 180]))["gap_ms"]
    assert 2 * 60_000 < threshold_ms <= 3 * 60_000


def test_a_sensor_that_samples_each_hour_is_not_all_gaps() -> None:
    assert sent(chart_of([0, 3600, 7200]))["gap_ms"] > 3_600_000


def test_a_second_tick_sends_only_what_came_after() -> None:
    old, new = sent(chart_of([0, 60, 120])), sent(chart_of([60, 120, 180]))
    more = view.growth(old, new)
    assert more is not None
    assert more["t"] == [NOW_MS + 120_000, NOW_MS + 180_000]
    assert more["from"] == new["from"]


def test_a_running_bucket_is_sent_again_as_it_fills() -> None:
    old = sent(chart_of([0, 60], values=[1.0, 2.0]))
    more = view.growth(old, sent(chart_of([0, 60], values=[1.0, 2.5])))
    assert more is not None
    assert more["v"] == [2.5]


@pytest.mark.parametrize(
    ("times_s", "values"),
    [
        pytest.param([0, 30, 60, 120], None, id="history filled in between"),
        pytest.param([0, 60, 120], [1.0, 9.0, 3.0], id="an older value changed"),
        pytest.param([600, 660], None, id="nothing in common"),
        pytest.param([0, 60], None, id="points went away"),
        pytest.param([], [], id="empty"),
    ],
)
def test_what_changed_in_the_past_is_sent_whole(
    times_s: list[int], values: list[float | None] | None
) -> None:
    old = sent(chart_of([0, 60, 120]))
    assert view.growth(old, sent(chart_of(times_s, values=values))) is None


def test_the_first_chart_is_the_fine_dust() -> None:
    readings = [
        replace(READING, series=i, channel=c) for i, c in enumerate(["n0_3", "pm10", "pm2_5_cf1", "pm2_5"])
    ]
    assert view.first_series(readings) == 3
    assert view.first_series([]) is None


def test_a_detail_names_the_sensor_only_where_there_are_several() -> None:
    sensors = (
        Sensor(2, "sds011", "a1b2", "", ("pm2_5",), NOW_MS),
        Sensor(3, "sds011", "c3d4", "", ("pm2_5",), NOW_MS),
    )
    trouble = Condition("sensor.silent", "a1b2", "warning", "No frame.", "Look at the plug.", NOW_MS)
    one = view.detail(Detail(1, "0.1.0", True, (trouble,), sensors[:1], (READING,)))
    two = view.detail(Detail(1, "0.1.0", True, (), sensors, (READING,)))
    assert one["readings"][0]["sensor"] == ""
    assert two["readings"][0]["sensor"] == "SDS011 a1b2"
    assert one["conditions"][0]["title"] == "Sensor silent"
    assert one["conditions"][0]["remedy"] == "Look at the plug."


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
