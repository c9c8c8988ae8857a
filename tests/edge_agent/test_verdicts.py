"""A whole lamppost on emulated sensors and a real Mosquitto: its past is rehearsed, then a plume comes, or a
fault; what it decides is spooled at once and leaves before everything else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from edge_agent.app import Agent
from edge_agent.config_keys import AgentConfig, SensorKeys
from edge_agent.io.clocks import ScaledClock
from edge_agent.rehearsal import rehearse
from firmware_bridge.serial_sensor import open_sensor
from tests.edge_agent.making import codes, on_broker, wait_code
from tests.firmware_bridge.bench import bench
from tests.support.acking_server import AckingServer
from tests.support.mosquitto import MosquittoBroker
from tests.support.waiting import wait_until
from wire_contract.classes import Class
from wire_contract.messages import SampleBatch, Verdict, VerdictBatch
from wire_contract.verdict_kinds import RULE, FaultCode, VerdictKind, fault_of

SPEED = 120.0  # a street minute in half a second: a sensor on a serial line keeps up
HOURS = 5
MINUTE_MS = 60_000
START_MS = 1_794_960_000_000
NOW_MS = START_MS + HOURS * 60 * MINUTE_MS
ONSET_MS = NOW_MS + 5 * MINUTE_MS
PLUME = {"type": "plume", "starts_ms": ONSET_MS, "peak": 100}


@dataclass
class Post:
    """Two sensors that have run for five hours; `running` makes the street's clock run on."""

    config: AgentConfig
    clock_file: Path

    @contextmanager
    def running(self) -> Iterator[Agent]:
        clock = {"speed": SPEED, "street_zero_ms": NOW_MS, "wall_zero_ms": time.time_ns() // 1_000_000}
        draft = self.clock_file.with_suffix(".draft")
        draft.write_text(json.dumps(clock))
        draft.replace(self.clock_file)
        agent = Agent(self.config, ScaledClock.from_file(self.clock_file))
        agent.start()
        try:
            yield agent
        finally:
            agent.shut_down()


@contextmanager
def post(
    folder: Path,
    broker: MosquittoBroker,
    faults: Sequence[dict[str, Any]] = (),
    events: Sequence[dict[str, Any]] = (),
    **sections: dict[str, Any],
) -> Iterator[Post]:
    """`faults` befall the front sensor."""
    history = {"start_ms": START_MS, "step_s": 60, "count": HOURS * 60}
    units: list[dict[str, Any]] = [
        {"name": "front", "kind": "pms5003t", "history": history, "faults": list(faults)},
        {"name": "back", "kind": "sds011", "history": history},
    ]
    keys = tuple(SensorKeys(u["name"], u["kind"], str(folder / u["name"])) for u in units)
    config = replace(on_broker(folder, broker, **sections), sensors=keys)
    clock_file = folder / "clock.json"
    with bench(folder, *units, events=list(events), clock_file=str(clock_file)):
        rehearse(config, HOURS, NOW_MS, open_sensor)
        yield Post(config, clock_file)


def verdicts(server: AckingServer) -> list[Verdict]:
    return [each for batch in server.messages(VerdictBatch) for each in batch.verdicts]


def first_of(server: AckingServer, kind: VerdictKind, timeout_s: float = 90.0) -> Verdict:
    wait_until(lambda: any(each.kind == kind for each in verdicts(server)), timeout_s, f"a verdict {kind}")
    return next(each for each in verdicts(server) if each.kind == kind)


@pytest.fixture
def server(broker: MosquittoBroker) -> Iterator[AckingServer]:
    made = AckingServer.on(broker).start()
    yield made
    made.stop()


@pytest.mark.parametrize("runtime", ["litert", "onnx", "rule"])
def test_a_plume_is_an_episode_that_arrives(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer, runtime: str
) -> None:
    with post(tmp_path, broker, events=[PLUME], model={"runtime": runtime}) as made, made.running() as agent:
        told = first_of(server, VerdictKind.EPISODE)
        assert ONSET_MS < told.time_ms <= ONSET_MS + 10 * MINUTE_MS
        assert told.model == (RULE if runtime == "rule" else f"air_anomaly@{_version(agent)}/{runtime}")
        wait_until(lambda: len({each.unit for each in verdicts(server)}) == 2, 20, "both sensors to say so")
        declared = {each.unit: each.kind for each in server.declarations()}
        assert {declared[each.unit] for each in verdicts(server)} == {"pms5003t", "sds011"}
        assert not codes(agent) & {"model_missing", "model_refused", "agent_error"}
        wait_until(lambda: "model" in server.presences[-1].settings, 10, "the presence to name the model")
        assert server.presences[-1].settings["model"].split(":")[0] == told.model


def _version(agent: Agent) -> str:
    return str(agent._build_status()["model"]).partition("@")[2].partition("/")[0]


def test_an_alarm_of_an_outage_is_spooled_at_once_and_leaves_first(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer
) -> None:
    with post(tmp_path, broker, events=[PLUME]) as made:
        broker.stop()
        with made.running() as agent:
            wait_until(
                lambda: agent.spool.counters()[Class.ALARM].waiting_messages >= 2, 90, "two alarms spooled"
            )
            assert agent.spool.counters()[Class.HISTORY].waiting_messages > 0, "much else waits"
            broker.start()
            first_of(server, VerdictKind.EPISODE)
            wait_until(lambda: server.messages(SampleBatch), 60, "samples after it")
            order = [each.delivery.cls for each in server.deliveries]
            assert order[:2] == [Class.ALARM, Class.ALARM]


@pytest.mark.parametrize(
    ("fault", "code", "condition"),
    [
        ({"type": "stuck"}, FaultCode.FLAT_LINE, "sensor_stuck"),
        ({"type": "swell", "humidity": 97}, FaultCode.HUMIDITY_SWELL, "sensor_humid"),
    ],
)
def test_a_fault_is_told_as_the_sensors_health_and_not_as_an_episode(
    tmp_path: Path,
    broker: MosquittoBroker,
    server: AckingServer,
    fault: dict[str, Any],
    code: FaultCode,
    condition: str,
) -> None:
    lasting = {**fault, "from_ms": ONSET_MS, "until_ms": ONSET_MS + 120 * MINUTE_MS}
    with post(tmp_path, broker, faults=[lasting]) as made, made.running() as agent:
        told = first_of(server, VerdictKind.FAULT)
        assert fault_of(told.reason) is code
        wait_code(agent, condition)
        (raised,) = [each for each in agent.board.conditions() if each.code == condition]
        assert (raised.subject, bool(raised.remedy)) == ("front", True)
        wait_until(
            lambda: condition in {each.code for each in server.presences[-1].conditions}, 20, "the presence"
        )
        assert not [each for each in verdicts(server) if each.kind == VerdictKind.EPISODE]


def test_a_model_that_is_refused_is_said_and_the_rule_decides(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "manifest.json").write_text('{"contract": 2}')
    with (
        post(tmp_path, broker, events=[PLUME], model={"directory": str(folder)}) as made,
        made.running() as agent,
    ):
        wait_code(agent, "model_refused")
        (raised,) = [each for each in agent.board.conditions() if each.code == "model_refused"]
        assert "contract" in raised.detail
        assert raised.remedy
        told = first_of(server, VerdictKind.EPISODE)
        assert told.model == RULE
        status = agent._build_status()
        assert status["model"].startswith(f"{RULE}: model_refused: ")
        wait_until(
            lambda: server.presences[-1].settings.get("model", "").startswith(RULE),
            10,
            "the presence to say so",
        )


def test_the_watching_loop_is_among_what_the_watchdog_asks(
    tmp_path: Path, broker: MosquittoBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_agent import app

    with post(tmp_path, broker) as made, made.running() as agent:
        assert agent.alive()
        monkeypatch.setattr(app, "STUCK_AFTER_S", 30.0)
        agent.watching.beat_s = float("-inf")
        agent.watching.stop()
        agent._threads[2].join(30)
        assert not agent.alive()
