"""A whole agent inside the test: real spool and threads, a fast clock, sensors that do as they are told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from edge_agent import app
from edge_agent.app import Agent
from edge_agent.config import check
from edge_agent.config_keys import AgentConfig
from edge_agent.io.clocks import ScaledClock
from edge_agent.ports import Broker, Clock, Sensor
from firmware_bridge.kinds import SensorKind
from tests.support.fakes_edge import ScriptedSensor
from tests.support.mosquitto import IdentityFiles, MosquittoBroker
from tests.support.waiting import LEAST_S, wait_until
from wire_contract.topics import Address

ADDRESS = Address("city", "post-1")
SPEED = 20.0
UNTIL_ACKED_S = LEAST_S


def make_config(
    folder: Path,
    port: int = 1,
    identity: IdentityFiles | None = None,
    sensors: int = 1,
    kind: str = "sds011",
    **sections: dict[str, Any],
) -> AgentConfig:
    """A checked configuration; `sections` overrides keys, e.g. spool={"max_bytes": 1 << 20}."""
    files = (
        {
            "ca_file": str(identity.ca),
            "certificate_file": str(identity.certificate),
            "key_file": str(identity.key),
        }
        if identity
        else {}
    )
    tables: dict[str, Any] = {
        "device": {"tenant": ADDRESS.tenant, "name": ADDRESS.device, "data_dir": str(folder / "data")},
        "server": {"host": "127.0.0.1", "port": port, "keepalive_s": 5, **files},
        "sensor": [
            {"name": f"s{n}", "kind": kind, "port": f"/dev/test{n}", "every_s": 5} for n in range(sensors)
        ],
        "telemetry": {"flush_interval_s": 5},
        "spool": {"min_free_bytes": 0, "min_free_inodes": 0},
        "bench": {"backoff_max_s": 0.5},
    }
    for section, keys in sections.items():
        tables[section] = {**tables.get(section, {}), **keys}
    return check(tables, folder / "agent.toml")


def on_broker(folder: Path, broker: MosquittoBroker, **how: Any) -> AgentConfig:
    return make_config(folder, broker.port, broker.device_identity(ADDRESS), **how)


def fast_clock(speed: float = SPEED) -> ScaledClock:
    now_ms = time.time_ns() // 1_000_000
    return ScaledClock(speed, now_ms, now_ms)


def counting(kind: SensorKind, limit: int = 1 << 30) -> ScriptedSensor:
    """A sensor whose readings are 1, 2, 3 ... in its first slot, so that each can be told from the others."""

    class Counting(ScriptedSensor):
        def read(self, timeout_s: float) -> Any:
            n = self.reads + 1
            if n <= limit:
                rest = (None,) * (len(self.spec.channels) - 1)
                self.script = [(n, *rest)]
            return super().read(timeout_s)

    return Counting(kind, (1,))


@contextmanager
def running(
    config: AgentConfig,
    *sensors: Sensor,
    clock: Clock | None = None,
    broker: Broker | None = None,
    before: Callable[[Agent], None] = lambda _agent: None,
    drain_s: float = app.DRAIN_S,
) -> Iterator[Agent]:
    """The agent with its threads started; shut down at the end.

    drain_s: how long it may then wait for its acks: UNTIL_ACKED_S where a test looks for all of them.
    """
    given = list(sensors)
    agent = Agent(config, clock or fast_clock(), broker, lambda _kind, _port: given.pop(0))
    before(agent)
    agent.start()
    try:
        yield agent
    finally:
        with patch.object(app, "DRAIN_S", drain_s):
            agent.shut_down()


def codes(agent: Agent) -> set[str]:
    return {condition.code for condition in agent.board.conditions()}


def wait_code(agent: Agent, code: str, timeout_s: float = 20.0) -> None:
    wait_until(lambda: code in codes(agent), timeout_s, f"condition {code} (now {codes(agent)})")


def wait_clear(agent: Agent, code: str, timeout_s: float = 20.0) -> None:
    wait_until(lambda: code not in codes(agent), timeout_s, f"the end of condition {code}")


def wait_empty(agent: Agent, timeout_s: float = 20.0) -> None:
    def empty() -> bool:
        return not any(count.waiting_samples for count in agent.spool.counters().values())

    wait_until(empty, timeout_s, "an empty spool")
