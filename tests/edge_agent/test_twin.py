"""Settings that the server changes while the agent runs: versions, refusals, restarts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.core.twin import FLUSH, Twin, report, take_in
from firmware_bridge.kinds import SensorKind
from tests.edge_agent.making import counting, on_broker, running
from tests.support.acking_server import AckingServer
from tests.support.mosquitto import MosquittoBroker
from tests.support.waiting import wait_until
from wire_contract.messages import TwinDesired, TwinReported
from wire_contract.topics import Down


@pytest.fixture
def server(broker: MosquittoBroker) -> Iterator[AckingServer]:
    made = AckingServer.on(broker).start()
    yield made
    made.stop()


def test_an_old_version_and_one_after_a_gap_change_nothing() -> None:
    twin = take_in(Twin(), TwinDesired(3, {FLUSH: 5}, True))
    assert (twin.acknowledged, twin.flush_s) == (3, 5.0)
    for old in (
        TwinDesired(3, {FLUSH: 7}, True),
        TwinDesired(2, {FLUSH: 7}, True),
        TwinDesired(5, {}, False),
    ):
        assert take_in(twin, old) is twin
    assert take_in(twin, TwinDesired(4, {FLUSH: 7}, False)).flush_s == 7.0
    assert take_in(twin, TwinDesired(9, {}, True)).flush_s is None, "the whole state, without it"
    assert take_in(twin, TwinDesired(4, {FLUSH: None}, False)).flush_s is None
    assert take_in(twin, TwinDesired(4, {}, False)).flush_s == 5.0


@pytest.mark.parametrize("value", [0.5, 61, "5", True, -1])
def test_what_is_not_allowed_is_refused_and_said(value: str | float | bool) -> None:
    twin = take_in(Twin(flush_s=5.0), TwinDesired(1, {FLUSH: value, "x" * 64: 1}, False))
    said = report(twin, 10.0)
    assert (said.acknowledged, said.document[FLUSH]) == (1, 5.0)
    assert "must be" in str(said.document[f"refused.{FLUSH}"])
    assert len(said.document) == 3


def test_a_desired_interval_is_applied_kept_and_reported(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer
) -> None:
    config = on_broker(tmp_path, broker, telemetry={"flush_interval_s": 60})

    def reported() -> TwinReported | None:
        return server.twins[-1] if server.twins else None

    with running(config, counting(SensorKind.SDS011)) as agent:
        wait_until(lambda: server.presences, 20, "a connection")
        server.send(Down.TWIN, TwinDesired(1, {FLUSH: 2}, True))
        wait_until(lambda: reported() == TwinReported(1, 1, {FLUSH: 2.0}), 20, "the report")
        wait_until(lambda: agent.spooler._flush_s == 2.0, 20, "the interval")
        wait_until(lambda: server.presences[-1].settings["flush_interval_s"] == "2", 20, "presence")
    server.twins.clear()
    with running(config, counting(SensorKind.SDS011)) as agent:
        wait_until(lambda: reported() == TwinReported(1, 1, {FLUSH: 2.0}), 20, "the report after a restart")
        wait_until(lambda: agent.spooler._flush_s == 2.0, 20, "the interval after a restart")
        server.send(Down.TWIN, TwinDesired(2, {FLUSH: None}, False))
        wait_until(lambda: agent.spooler._flush_s == 60.0, 20, "the configured interval")
