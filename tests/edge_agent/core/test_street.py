"""What a lamppost makes of whole days of the emulator's air: nothing of clean air, an episode of a plume, a
fault of a fault, on both runtimes and by rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from edge_agent.core.post import Post, begin
from edge_agent.io.model_folder import load_model, model_directory
from edge_agent.io.watch_file import WatchFile
from edge_agent.ports import Model
from firmware_bridge.emulator.air import Air, Scene
from firmware_bridge.emulator.events import EventfulScene, Plume, ease
from firmware_bridge.emulator.street_faults import StreetFault, StreetFaultType
from firmware_bridge.emulator.synthetic import SyntheticScene
from firmware_bridge.kinds import SensorKind
from tests.edge_agent.street import HOUR_MS, MINUTE_MS, START_MS, Sensor, Street
from wire_contract.messages import Verdict
from wire_contract.verdict_kinds import RULE, FaultCode, VerdictKind, fault_of

T, SDS, SPS = SensorKind.PMS5003T, SensorKind.SDS011, SensorKind.SPS30
HERE = (0.0, 0.0)
ONSET_MS = START_MS + 8 * HOUR_MS


@pytest.fixture(scope="module", params=["litert", "onnx", "rule"])
def model(request: pytest.FixtureRequest) -> Iterator[Model | None]:
    if request.param == "rule":
        yield None
        return
    loaded = load_model(model_directory(""), request.param)
    yield loaded
    loaded.runner.close()


def plume(peak: float) -> EventfulScene:
    return EventfulScene(SyntheticScene(3, HERE), HERE, [Plume(ONSET_MS, peak=peak)])


def faulty(kind: StreetFaultType, hours: float = 2.0, **how: float) -> Sensor:
    return Sensor(T, 1, [StreetFault(kind, ONSET_MS, ONSET_MS + round(hours * HOUR_MS), **how)])


@pytest.mark.parametrize("seed", [1, 4])
def test_two_days_of_clean_air_say_nothing(model: Model | None, seed: int) -> None:
    street = Street([Sensor(T, seed), Sensor(SDS, seed + 50)], SyntheticScene(seed, (0.3, 1.0)), model).run(
        48
    )
    assert street.windows > 5000
    assert street.told == []


@pytest.mark.parametrize("peak", [40.0, 100.0])
def test_a_plume_is_an_episode_within_ten_minutes_on_every_unit(model: Model | None, peak: float) -> None:
    street = Street([Sensor(T), Sensor(SDS, 2), Sensor(SPS, 3)], plume(peak), model).run(11)
    first = {each.unit: each.time_ms for each in reversed(street.verdicts(VerdictKind.EPISODE))}
    assert set(first) == {1, 2, 3}
    assert all(ONSET_MS < time_ms <= ONSET_MS + 10 * MINUTE_MS for time_ms in first.values())
    assert {each.unit for each in street.verdicts(VerdictKind.EPISODE_OVER)} == {1, 2, 3}
    assert street.verdicts(VerdictKind.FAULT) == []
    told = street.verdicts(VerdictKind.EPISODE)[0]
    assert told.model == (model.title if model else RULE)
    assert len(told.input_hash) == 32
    assert 0 <= told.confidence <= 1
    assert told.reason.startswith("PM2.5 ")


@pytest.mark.parametrize(
    ("kind", "code", "condition", "within_min"),
    [
        (StreetFaultType.STUCK, FaultCode.FLAT_LINE, "sensor_stuck", 17),
        (StreetFaultType.SWELL, FaultCode.HUMIDITY_SWELL, "sensor_humid", 30),
        (StreetFaultType.SPIKE, FaultCode.SPIKE, "sensor_spiking", 30),
    ],
)
def test_a_fault_is_a_fault_and_no_episode(
    model: Model | None, kind: StreetFaultType, code: FaultCode, condition: str, within_min: int
) -> None:
    street = Street([faulty(kind), Sensor(SDS, 2)], SyntheticScene(3, HERE), model).run(12)
    assert street.verdicts(VerdictKind.EPISODE) == []
    (fault,) = street.verdicts(VerdictKind.FAULT)
    (over,) = street.verdicts(VerdictKind.FAULT_OVER)
    assert (fault.unit, fault_of(fault.reason), fault_of(over.reason)) == (1, code, code)
    assert ONSET_MS < fault.time_ms <= ONSET_MS + within_min * MINUTE_MS
    assert over.time_ms > ONSET_MS + 2 * HOUR_MS - 15 * MINUTE_MS
    assert set(street.raised()) == {condition}
    assert street.cleared() == [condition]


def test_a_drift_is_found_against_the_second_sensor() -> None:
    from_ms = START_MS + 20 * HOUR_MS
    drift = StreetFault(StreetFaultType.DRIFT, from_ms, from_ms + 20 * HOUR_MS, per_hour=0.15)
    street = Street([Sensor(T, 1, [drift]), Sensor(SDS, 2)], SyntheticScene(3, HERE)).run(34)
    assert street.verdicts(VerdictKind.EPISODE) == []
    (fault,) = street.verdicts(VerdictKind.FAULT)
    assert (fault.unit, fault_of(fault.reason)) == (1, FaultCode.DRIFT)
    assert set(street.raised()) == {"sensor_drifting"}


def test_a_sensor_that_sticks_within_an_episode_ends_it_as_a_fault() -> None:
    stuck = StreetFault(StreetFaultType.STUCK, ONSET_MS + 15 * MINUTE_MS, ONSET_MS + 2 * HOUR_MS)
    street = Street([Sensor(T, 1, [stuck])], plume(100)).run(10.5)
    kinds = [each.kind for each in street.verdicts()]
    assert kinds == ["episode", "episode", "episode", "fault", "episode_over", "fault_over"]
    over = street.verdicts(VerdictKind.EPISODE_OVER)[0]
    assert "flat_line" in over.reason


@dataclass(frozen=True)
class BuildUp:
    """Air that becomes three times as much within two hours, and stays so: no episode by the model."""

    base: Scene

    def at(self, street_ms: int) -> Air:
        air, factor = self.base.at(street_ms), 1 + 2 * ease((street_ms - ONSET_MS) / (2 * HOUR_MS))
        masses = {name: getattr(air, name) * factor for name in ("pm1", "pm2_5", "pm4", "pm10")}
        return replace(air, **masses)


@pytest.mark.parametrize("runtime", ["litert", "onnx"])
def test_a_sensor_that_is_well_again_is_not_held_against_what_it_said_while_it_was_stuck(
    runtime: str,
) -> None:
    model = load_model(model_directory(""), runtime)
    street = Street([faulty(StreetFaultType.STUCK)], BuildUp(SyntheticScene(3, HERE)), model).run(13)
    assert [each.kind for each in street.verdicts()] == [VerdictKind.FAULT, VerdictKind.FAULT_OVER]
    model.runner.close()


@pytest.mark.parametrize("what", ["stuck", "plume"])
def test_what_was_told_of_a_unit_ends_when_another_takes_its_place(what: str) -> None:
    """A sensor that names itself is swapped while the agent runs: same plug, another serial number."""
    street = Street([faulty(StreetFaultType.STUCK, 9.0) if what == "stuck" else Sensor(T)])
    street.scene = SyntheticScene(3, HERE) if what == "stuck" else plume(100)
    street.run(8.4)
    begun = {"stuck": VerdictKind.FAULT, "plume": VerdictKind.EPISODE}[what]
    assert {each.kind for each in street.verdicts()} == {begun}
    assert street.raised() == (["sensor_stuck"] if what == "stuck" else []) * len(street.raised())
    before = len(street.told)
    seen = replace(Sensor(T, 7).read(2, SyntheticScene(3, HERE), street.now_ms, 60.0), sensor="s1")
    street._take(seen)
    told = [each for _, each in street.told[before:]]
    over = {"stuck": VerdictKind.FAULT_OVER, "plume": VerdictKind.EPISODE_OVER}[what]
    assert [(each.unit, each.kind) for each in told if isinstance(each, Verdict)] == [(1, over)]
    assert street.cleared() == (["sensor_stuck"] if what == "stuck" else [])
    assert set(street.post.units) == {2}
    back = replace(Sensor(T).read(1, SyntheticScene(3, HERE), street.now_ms + 600_000, 60.0), sensor="s1")
    street._take(back)
    assert set(street.post.units) == {1}
    assert len(street.post.units[1].context.buckets) > 40, "its own street is remembered"


def test_an_episode_is_told_by_a_unit_that_is_read_each_five_minutes_or_not_at_all() -> None:
    street = Street([Sensor(SDS)], plume(100), every_s=300.0).run(11)
    assert street.windows == 0, "too few minutes to judge by"
    assert street.told == []


def test_gaps_of_half_the_minutes_hide_no_plume() -> None:
    street = Street([Sensor(T)], plume(100)).run(11, alive=lambda ms: ms // MINUTE_MS % 5 not in (1, 3))
    first = street.verdicts(VerdictKind.EPISODE)[0]
    assert first.time_ms <= ONSET_MS + 12 * MINUTE_MS


def test_a_restart_within_an_episode_goes_on_where_it_was(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = WatchFile(tmp_path_factory.mktemp("watch") / "watching.json")
    before = Street([Sensor(T), Sensor(SDS, 2)], plume(100)).run(8.3)
    assert before.verdicts(VerdictKind.EPISODE)
    file.save(before.post.to_keep())
    after = Street(before.sensors, plume(100), post=begin(file.load()), now_ms=before.now_ms + 4 * MINUTE_MS)
    after.run(3)
    assert after.windows > 300, "the hour and the day before it are still known"
    kinds = [each.kind for each in after.verdicts() if each.unit == 1]
    assert kinds[-1] == VerdictKind.EPISODE_OVER
    assert set(kinds[:-1]) <= {VerdictKind.EPISODE}
    opened_again = [
        each for each in after.verdicts(VerdictKind.EPISODE) if each.time_ms < before.now_ms + 5 * MINUTE_MS
    ]
    assert opened_again == [], "not told anew because of the restart"


def test_without_what_was_kept_a_restart_is_blind_for_half_an_hour() -> None:
    fresh = Street([Sensor(T)], SyntheticScene(3, HERE), post=Post()).run(0.4)
    assert fresh.windows == 0
    assert fresh.run(0.4).windows > 0
