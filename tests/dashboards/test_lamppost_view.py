"""What the page of one lamppost says, from plain values: no browser, no database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards import lamppost_view
from dashboards.lamppost_calibrating import Entry, entry_of
from dashboards.lamppost_model import Calibration, Certificate, Facts, Series, Setting, Wishes
from dashboards.lamppost_period import DEFAULT, OWN, Period, named, period_of, sent_period
from dashboards.model import Condition, Detail, Reading, Sensor

NOW_MS = 1_795_000_020_000
DAY = 86_400_000
PLANTOWER = Sensor(2, "pms5003", "", "3 m up", ("pm2_5", "humidity"), NOW_MS)
NOVA = Sensor(3, "sds011", "a1b2", "", ("pm2_5",), NOW_MS)
PM = Reading(20, 2, "pm2_5", "ug/m3", 0, "12", 1, NOW_MS)
STUCK = Condition("sensor_stuck", "pms5003", "error", "It stands still.", "Power-cycle it.", NOW_MS)
FULL = Condition("disk_full", "", "error", "No room.", "Make room.", NOW_MS - 5)


def detail(
    *sensors: Sensor, conditions: tuple[Condition, ...] = (), readings: tuple[Reading, ...] = (PM,)
) -> Detail:
    return Detail(1, "0.2.0", True, conditions, sensors, readings)


@pytest.mark.parametrize(
    ("told", "name", "by", "why"),
    [
        ("air_anomaly@1.0.0/litert", "air_anomaly@1.0.0/litert", "the model", ""),
        ("rule@1 because the model failed its golden vector", "rule@1", "the rule",
         ", because the model failed its golden vector"),
        ("rule@1: model_refused: it is cut off at 512 bytes", "rule@1", "the rule",
         ", because it is cut off at 512 bytes"),
        ("rule@1: as configured", "rule@1", "the rule", ", as configured"),
        ("rule@1", "rule@1", "the rule", ""),
        ("", "", "the model", ""),
    ],
)  # fmt: skip
def test_what_decides_on_the_lamppost(told: str, name: str, by: str, why: str) -> None:
    found = lamppost_view.model(told)
    assert (found["name"], found["by"], found["why"]) == (name, by, why)


@pytest.mark.parametrize(
    ("left_days", "revoked", "words"),
    [
        (200, False, "valid, 200 days left"),
        (12, False, "expires in 12 days"),
        (-1, False, "expired"),
        (200, True, "shut out"),
    ],
)
def test_a_certificates_standing(left_days: int, revoked: bool, words: str) -> None:
    certificate = Certificate(
        "demo/kai-3", "ab", "SHA256:x", 0, NOW_MS + left_days * DAY, 5 if revoked else None
    )
    found = lamppost_view.certificate(certificate, NOW_MS)
    assert words in found["words"]
    assert found["subject"] == "CN=demo/kai-3"


def test_no_certificate_is_said() -> None:
    assert lamppost_view.certificate(None, NOW_MS)["words"] == "none issued here"


def test_the_place_is_what_is_declared_else_the_cell() -> None:
    facts = Facts(None, "", "u1hcvk", 50.7341, 7.0998, 0, None, NOW_MS)
    assert lamppost_view.place(facts) == "50.73410, 7.09980, cell u1hcvk"
    assert lamppost_view.place(replace(facts, latitude=None)) == "cell u1hcvk, no exact place declared"
    assert lamppost_view.place(replace(facts, latitude=None, cell="")) == "not told"


def test_settings_say_what_is_desired_by_whom_and_what_became_of_it() -> None:
    wishes = Wishes(
        (
            Setting("a.holds", "5", "tenant city", (), "5", 200, "", False),
            Setting("b.on_its_way", "6", "group hill", ("harbour",), "5", 0, "", True),
            Setting("c.refused", "7", "device city/l", (), "", 404, "there is no such setting here", True),
            Setting("d.own", "", "", (), "info", 0, "", False),
            Setting("e.waits", "rule", "tenant city", (), "litert", 202, "from its next start on", True),
        ),
        9,
        8,
        (("model", "pi5"),),
    )
    found = lamppost_view.wishes(wishes)
    assert [(row["key"], row["mark"], row["told"]) for row in found["settings"]] == [
        ("c.refused", "error", "refused: there is no such setting here"),
        ("e.waits", "warning", "from its next start on"),
        ("b.on_its_way", "warning", "not there yet"),
        ("a.holds", "fresh", "holds"),
        ("d.own", "none", "as configured there"),
    ]
    assert found["settings"][2]["source"] == "group hill; harbour of the same priority says otherwise"
    assert (found["tags"], found["follows"]) == (["model: pi5"], "It has not taken in the newest yet.")
    assert lamppost_view.wishes(replace(wishes, acknowledged=9))["follows"] == "It has taken in all of it."


def test_a_sensors_fault_is_its_health_and_the_disks_is_not() -> None:
    found = detail(PLANTOWER, conditions=(FULL, STUCK))
    (unit,) = lamppost_view.units(found, (), NOW_MS)
    assert unit["health"]["words"] == "Sensor stuck"
    assert [c["code"] for c in lamppost_view.post_conditions(found)] == ["disk_full", "sensor_stuck"]


def test_of_two_sensors_the_one_that_is_named_is_ill() -> None:
    two = detail(PLANTOWER, NOVA, conditions=(STUCK,), readings=(PM, replace(PM, series=30, sensor=3)))
    ill, well = lamppost_view.units(two, (), NOW_MS)
    assert (ill["health"]["mark"], well["health"]["words"]) == ("error", "well")


def test_a_sensor_under_a_name_that_no_unit_tells_is_not_hidden() -> None:
    front = replace(STUCK, subject="front")
    two = detail(PLANTOWER, NOVA, conditions=(front, STUCK, FULL))
    assert [c["subject"] for c in lamppost_view.unplaced(two)] == ["front"]
    assert lamppost_view.unplaced(detail(PLANTOWER, conditions=(front,))) == []
    assert lamppost_view.health(PLANTOWER, detail(PLANTOWER, conditions=(front,)))["words"] == "Sensor stuck"


def test_flagged_and_missing_readings_are_part_of_health() -> None:
    assert lamppost_view.health(PLANTOWER, detail(PLANTOWER, readings=(replace(PM, flag=6),)))["words"] == (
        "1 of 1 newest readings flagged"
    )
    silent = detail(PLANTOWER, readings=(replace(PM, time_ms=None),))
    assert lamppost_view.health(PLANTOWER, silent)["words"] == "no reading yet"


def test_an_unknown_sensor_shows_its_raw_channels() -> None:
    odd = Sensor(9, "zx9000", "", "", ("wind_speed", "q7"), NOW_MS)
    readings = (
        Reading(90, 9, "wind_speed", "m/s", -1, "3.4", 2, NOW_MS),
        Reading(91, 9, "q7", "1", 0, None, 9, NOW_MS),
    )
    rows = lamppost_view.channels(detail(odd, readings=readings))
    assert [(r["title"], r["value"], r["unit"]) for r in rows] == [
        ("Wind speed", "3.4", "m/s"),
        ("Q7", "–", "1"),
    ]
    assert rows[1]["flagged"]
    assert lamppost_view.units(detail(odd, readings=readings), (), NOW_MS)[0]["title"] == "ZX9000"
    assert not lamppost_view.has_pm(detail(odd, readings=readings))


def test_of_the_calibrations_the_newest_that_has_begun_holds() -> None:
    first = Calibration(1, 2, "pm2_5", 0.52, 1.3, -0.08, NOW_MS - DAY, "station Bonn", "ola", NOW_MS)
    coming = replace(first, id=2, valid_ms=NOW_MS + DAY)
    other = replace(first, id=3, unit=3)
    (unit,) = lamppost_view.units(detail(PLANTOWER), (coming, first, other), NOW_MS)
    assert [(c["id"], c["holds"]) for c in unit["calibrations"]] == [(2, False), (1, True)]
    assert unit["calibrations"][0]["formula"] == "0.52 × reading + 1.3 − 0.08 × humidity"
    assert lamppost_view.formula(replace(first, offset=0.0, humidity=0.0)) == "0.52 × reading"


def test_a_chart_keeps_the_sensors_digits_flags_and_gaps() -> None:
    series = Series(
        20, 0, 10, 0, (1_000, 61_000, 121_000), (1.0, None, 3.0), (1.0,) * 3, (1.0,) * 3, ("", "", "x")
    )
    chart = lamppost_view.chart(series, PM)
    assert (chart["decimals"], chart["gap_ms"], chart["zero"]) == (0, 180_000.0, True)
    assert chart["lines"][0]["flag"] == ["", "", "x"]
    minutes = lamppost_view.chart(replace(series, step_s=60), replace(PM, channel="humidity", exponent=-1))
    assert (minutes["decimals"], minutes["step"], minutes["zero"]) == (2, "minute", False)


def test_a_chart_tells_since_when_there_was_a_sensor_to_miss() -> None:
    series = Series(20, 0, 10, 0, (), (), (), (), ())
    assert lamppost_view.chart(series, PM, 7_000)["born"] == 7_000
    detail = Detail(1, "", None, (), (Sensor(PM.sensor, "pms5003", "", "", (), 7_000),), (PM,))
    assert lamppost_view.born_ms(detail, PM) == 7_000
    assert lamppost_view.born_ms(replace(detail, sensors=()), PM) is None


@pytest.mark.parametrize(
    "query",
    [
        {"range": "for ever"}, {"range": ""}, {"from": "yesterday"}, {"to": "2026-11-20T12:00:00Z"},
        {"from": "2026-11-20T12:00", "to": "2026-11-20T13:00"},  # no time zone
        {"from": "2026-11-20T12:00Z", "to": "2026-11-20T11:00Z"},
        {"from": "2020-11-20T12:00Z", "to": "2026-11-20T11:00Z"},
        {"from": "0001-01-01T00:00Z", "to": "9999-12-31T23:59Z"},
        {"from": "<script>", "to": "' OR 1=1"},
    ],
)  # fmt: skip
def test_a_range_that_cannot_be_shown_is_said_and_the_default_is_shown(query: dict[str, str]) -> None:
    period = period_of(query)
    assert period.problem
    assert period.key == DEFAULT


def test_a_range_of_ones_own() -> None:
    period = period_of({"from": "2026-11-20T12:00Z", "to": "2026-11-20T14:30+01:00"})
    assert period.key == OWN
    assert period.window(NOW_MS) == (period.begins_ms, period.begins_ms + 90 * 60_000)
    assert not period.moves(period.ends_ms)
    assert Period("24h").window(NOW_MS) == (NOW_MS - DAY, NOW_MS)


@given(st.dictionaries(st.sampled_from(["range", "from", "to"]), st.text(max_size=60)))
def test_no_text_in_the_address_breaks_the_page(query: dict[str, str]) -> None:
    begins, ends = period_of(query).window(NOW_MS)
    assert begins < ends


GARBAGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)


@given(st.fixed_dictionaries({"key": GARBAGE, "begins": GARBAGE, "ends": GARBAGE}) | GARBAGE)
def test_no_garbage_from_a_browser_is_a_range(sent: Any) -> None:
    period = sent_period(sent)
    assert period is None or period.window(NOW_MS)[0] < period.window(NOW_MS)[1]


SENT = {
    "unit": 2, "channel": "pm2_5", "slope": 0.5, "offset": 1, "humidity": 0, "valid": NOW_MS,
    "source": "Bonn",
}  # fmt: skip


def test_a_calibration_from_a_browser() -> None:
    assert entry_of(SENT) == Entry(2, "pm2_5", 0.5, 1.0, 0.0, NOW_MS, "Bonn")


@pytest.mark.parametrize(
    "wrong",
    [
        {"unit": "2"}, {"unit": True}, {"slope": None}, {"slope": "1"}, {"slope": float("nan")},
        {"offset": float("inf")}, {"humidity": 1e9}, {"valid": -1}, {"valid": 10**20}, {"source": "x" * 201},
        {"source": None}, {"channel": 5},
    ],
)  # fmt: skip
def test_garbage_is_no_calibration(wrong: dict[str, Any]) -> None:
    assert entry_of(SENT | wrong) is None


@pytest.mark.parametrize(
    ("tenant", "name"),
    [("demo", "UPPER"), ("demo", "a b"), ("", "x"), (None, "x"), ("demo", "x" * 64), ("d", "é")],
)
def test_an_address_that_names_no_lamppost(tenant: Any, name: Any) -> None:
    assert named(tenant, name) is None


def test_an_address_that_names_one() -> None:
    assert named("demo", "bahnhof-nord") == ("demo", "bahnhof-nord")
