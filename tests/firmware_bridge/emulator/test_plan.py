"""Plans: time, ledgers, faults, and every mistake in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from firmware_bridge.codecs import codec, decode
from firmware_bridge.emulator.air import BadPlan
from firmware_bridge.emulator.faults import Fault, FaultType, parse_fault
from firmware_bridge.emulator.plan import build_units, default_serial, load_plan
from firmware_bridge.emulator.timeline import History, StreetClock, Timeline
from firmware_bridge.kinds import SensorKind
from tests.support.shared import REPOSITORY


def unit(**changes: Any) -> dict[str, Any]:
    return {"units": [{"name": "u", "kind": "sds011", **changes}]}


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ([], "plan: must be an object"),
        ({"units": []}, "units must be a list of at least one"),
        ({"units": [3]}, "unit 0 must be an object"),
        ({"unit": []}, "plan: unknown key 'unit'; allowed: clock, clock_file, events, units"),
        (
            {**unit(), "clock": {"speed": 0, "street_zero_ms": 0, "wall_zero_ms": 0}},
            "plan: clock: a clock is",
        ),
        ({**unit(), "clock": {"speed": "fast"}}, "plan: clock: a clock is"),
        (unit(kind="pms9"), "unit 'u': kind 'pms9': allowed is pms5003, "),
        (unit(colour="red"), "unit 'u': unknown key 'colour'; allowed: clock_file, "),
        (unit(seed="x"), "unit 'u': seed is 'x'; it must be a int"),
        (unit(seed=True), "unit 'u': seed is True"),
        (unit(serial="xyz"), "a Nova id is four hex digits"),
        (unit(kind="sps30", serial="x" * 40), "1 to 31 ASCII"),
        (unit(history={"start_ms": 0}), "unit 'u': history: must be {start_ms, step_s, count}"),
        (unit(history={"start_ms": 0, "step_s": 0, "count": 1}), "step_s is at least 1"),
        (unit(scene={"type": "film"}), "scene: type is one of synthetic, replay"),
        (unit(scene={"type": "replay"}), "a replay needs a file"),
        (unit(scene={"type": "synthetic", "sun": 1}), "scene: unknown key 'sun'"),
        (unit(position=["a", 1]), "position must be two numbers"),
        (unit(faults=3), "faults must be a list"),
        (unit(faults=[{"type": "fire"}]), "a fault is {type, after, count} with type garbage, "),
        (unit(faults=[{"type": "swell"}]), "unit 'u': fault: from_ms is needed, a number from 0"),
        (unit(faults=[{"type": "garbage", "from_ms": 1}]), "has type stuck, swell, drift, spike"),
        (unit(faults=[{"type": "stuck", "from_ms": 5, "until_ms": 5}]), "until_ms must come after from_ms"),
        (unit(faults=[{"type": "stuck", "from_ms": 5, "until_ms": 9, "count": 1}]), "unknown key 'count'"),
        (unit(faults=[{"type": "swell", "from_ms": 5, "until_ms": 9, "humidity": 101}]), "from 0 to 100"),
        ({**unit(), "events": {}}, "plan: events must be a list"),
        ({**unit(), "events": [{"type": "storm"}]}, 'plan: event 0: must be {"type": "plume", '),
        ({**unit(), "events": [{"type": "plume"}]}, "event 0: starts_ms is needed"),
        (
            {**unit(), "events": [{"type": "plume", "starts_ms": 1, "side": "up"}]},
            "is 'up'; allowed is west, ",
        ),
        (
            {**unit(), "events": [{"type": "plume", "starts_ms": 1, "peak": "x"}]},
            "peak is 'x'; it must be a ",
        ),
        (
            {**unit(), "events": [{"type": "plume", "starts_ms": 1, "wind_m_s": 0}]},
            "wind_m_s is 0; it must be",
        ),
        (
            {**unit(), "events": [{"type": "plume", "starts_ms": 1, "rise_s": 9, "duration_s": 9}]},
            "from 18 to",
        ),
        ({**unit(), "events": [{"type": "plume", "starts_ms": 1, "at": [1]}]}, "at must be two numbers (km)"),
        ({**unit(), "events": [{"type": "plume", "starts_ms": 1, "colour": 1}]}, "event 0: unknown key"),
        (unit(ledger="/proc/none/ledger"), "ledger /proc/none/ledger cannot be written"),
        (
            {"units": [{"name": "a", "kind": "sds011"}, {"name": "a", "kind": "sps30"}]},
            "two units are called 'a'",
        ),
    ],
)
def test_a_wrong_plan_is_one_clear_line(plan: Any, says: str) -> None:
    with pytest.raises(BadPlan) as bad:
        build_units(plan)
    assert says in str(bad.value)
    assert "\n" not in str(bad.value)


def test_a_plan_that_is_no_file_or_no_json(tmp_path: Path) -> None:
    with pytest.raises(BadPlan, match="cannot be read"):
        load_plan(tmp_path / "none.json")
    (tmp_path / "p.json").write_text("{")
    with pytest.raises(BadPlan, match="is no JSON"):
        load_plan(tmp_path / "p.json")


@pytest.mark.parametrize("text", ["fire", "stuck:x", "stuck:0", "silent:1@-3", "", "stuck:2@x"])
def test_a_wrong_fault_is_one_clear_line(text: str) -> None:
    with pytest.raises(BadPlan, match="fault"):
        parse_fault(text)


def test_faults_as_written() -> None:
    assert parse_fault("stuck:20@100") == Fault(FaultType.STUCK, 100, 20)
    assert parse_fault("garbage") == Fault(FaultType.GARBAGE, 10, 1)


def test_history_first_then_on_until_the_clock_file_is_there(tmp_path: Path) -> None:
    file = tmp_path / "clock.json"
    line = Timeline(History(1000, 60, 3), StreetClock(), file)
    assert [line.take(0) for _ in range(3)] == [1000, 61_000, 121_000]
    assert line.stepping()
    assert line.take(0) == 181_000
    file.write_text('{"speed": 60, "street_z')
    assert line.take(0) == 241_000
    file.write_text(json.dumps({"speed": 60, "street_zero_ms": 500_000, "wall_zero_ms": 1000}))
    assert line.take(2000) == 560_000
    assert not line.stepping()
    assert line.speed(2000) == 60
    assert line.take(1000) == 560_000  # never back


def test_history_without_a_clock_file_ends_in_now() -> None:
    line = Timeline(History(1000, 60, 2), StreetClock(2.0, 10_000_000, 0))
    assert [line.take(5), line.take(6), line.take(7)] == [1000, 61_000, 10_000_014]


def test_a_wrong_clock_file_says_so(tmp_path: Path) -> None:
    file = tmp_path / "clock.json"
    file.write_text('{"speed": -1, "street_zero_ms": 0, "wall_zero_ms": 0}')
    with pytest.raises(BadPlan, match=r"clock\.json: a clock is"):
        Timeline(None, StreetClock(), file).take(0)


def test_a_clock_may_become_slower(tmp_path: Path) -> None:
    file = tmp_path / "clock.json"
    slower = {"speed": 60, "street_zero_ms": 2_000_000, "wall_zero_ms": 2000}
    file.write_text(json.dumps({"speed": 1000, "street_zero_ms": 0, "wall_zero_ms": 0, "then": slower}))
    line = Timeline(None, StreetClock(), file)
    assert (line.take(1000), line.speed(1000)) == (1_000_000, 1000)
    assert (line.take(3000), line.speed(3000)) == (2_060_000, 60)


def test_the_ledger_has_each_frame_and_goes_on_counting(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ledger.jsonl"
    plan = unit(ledger=str(path), history={"start_ms": 0, "step_s": 60, "count": 9})
    ask = codec(SensorKind.SDS011).dialogue.ask
    sent = []
    for _ in range(2):
        emulated, _link = build_units(plan)["u"]
        sent += [emulated.receive(ask, 7.0) for _ in range(3)]
        emulated.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["n"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line["hex"] for line in lines] == [frame.hex() for frame in sent]
    assert [line["street_ms"] for line in lines] == [0, 60_000, 120_000] * 2
    assert {line["wall_ms"] for line in lines} == {7}
    for line in lines:
        assert list(decode(SensorKind.SDS011, bytes.fromhex(line["hex"])).values) == line["values"]


def test_a_damaged_frame_is_not_in_the_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    faults = [{"type": t, "after": n, "count": 1} for n, t in enumerate(["silent", "truncate", "garbage"])]
    emulated, _link = build_units(unit(ledger=str(path), faults=faults))["u"]
    ask = codec(SensorKind.SDS011).dialogue.ask
    assert [len(emulated.receive(ask, 0.0)) for _ in range(4)] == [0, 5, 10, 10]
    assert len(path.read_text().splitlines()) == 1


def test_the_same_seed_sends_the_same_bytes() -> None:
    plan = unit(history={"start_ms": 0, "step_s": 60, "count": 50}, seed=5)
    ask = codec(SensorKind.SDS011).dialogue.ask
    runs = []
    for changes in ({}, {}, {"seed": 6}):
        emulated, _link = build_units({"units": [{**plan["units"][0], **changes}]})["u"]
        runs.append([emulated.receive(ask, 0.0) for _ in range(50)])
    assert runs[0] == runs[1] != runs[2]


def test_serials_differ_and_have_the_kinds_form() -> None:
    for kind, digits in ((SensorKind.SDS011, 4), (SensorKind.SPS30, 16)):
        serials = {default_serial(kind, seed) for seed in range(500)}
        assert len(serials) == 500
        assert all(len(s) == digits and int(s, 16) for s in serials)


def test_the_plan_in_the_documentation_is_a_plan(tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "sensors.md").read_text(encoding="utf-8")
    example = text.split("```json\n")[1].split("```")[0]
    (tmp_path / "air.csv").write_text("time,pm25\n2024-01-01,1\n2024-01-02,2\n")
    plan = json.loads(
        example.replace("/tmp/city", str(tmp_path)).replace("air.csv", str(tmp_path / "air.csv"))
    )
    assert list(build_units(plan)) == ["post-1-pm", "post-2-pm"]
