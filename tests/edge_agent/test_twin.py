"""Settings that the server changes while an agent runs, on a real broker: obeyed, kept, reported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.io.modem import look
from edge_agent.io.radio import Radio
from firmware_bridge.kinds import SensorKind
from tests.edge_agent.core.test_radio import route
from tests.edge_agent.making import counting, on_broker, running
from tests.support.acking_server import AckingServer
from tests.support.modem_manager import modem, signal, stand_in
from tests.support.mosquitto import MosquittoBroker
from tests.support.waiting import wait_until
from wire_contract.messages import TwinDesired
from wire_contract.topics import Down

FLUSH = "telemetry.flush_interval_s"


@pytest.fixture
def server(broker: MosquittoBroker) -> Iterator[AckingServer]:
    made = AckingServer.on(broker).start()
    yield made
    made.stop()


def test_desired_settings_are_obeyed_kept_and_reported(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "route").write_text(route(("wwan0", 5)))
    program = stand_in(tmp_path, {0: (modem("wwan0", percent="26"), signal(lte="-97.00", rate="10"))})
    monkeypatch.setattr(
        "edge_agent.app.Radio", lambda changed: Radio(changed, tmp_path, lambda way: look(way, program, 60.0))
    )
    config = on_broker(tmp_path, broker, telemetry={"flush_interval_s": 60})
    wishes: dict[str, str | int | float | None] = {
        FLUSH: 2,
        "sampling.every_s": 3600,
        "colour": "red",
        "model.runtime": "rule",
    }

    def acks() -> dict[str, int]:
        return {ack.key: ack.ac for ack in server.twins[-1].acks or ()} if server.twins else {}

    with running(config, counting(SensorKind.SDS011)) as agent:
        wait_until(lambda: server.twins, 20, "the first report, which asks for what is desired")
        assert (server.twins[-1].acknowledged, server.twins[-1].document[FLUSH]) == (0, 60.0)
        server.send(Down.TWIN, TwinDesired(4, {FLUSH: 30}, False, 3))
        wait_until(lambda: len(server.twins) > 1, 20, "a report that asks for the whole")
        assert server.twins[-1].acknowledged == 0
        server.send(Down.TWIN, TwinDesired(4, wishes, True))
        wait_until(lambda: server.twins[-1].acknowledged == 4, 20, "the report")
        expected = {FLUSH: 200, "sampling.every_s": 200, "colour": 404, "model.runtime": 202}
        assert acks() == expected
        wait_until(lambda: agent.spooler._pace.live_s == 2.0, 20, "the interval")
        wait_until(lambda: server.presences[-1].settings["flush_interval_s"] == "2", 20, "presence")
        wait_until(
            lambda: server.presences[-1].settings["signal"] == "wwan0 26 % -97 dBm LTE",
            20,
            "its modem's strength",
        )
        wait_until(lambda: agent._sampling[0]._state.cadence.every_s == 3600, 20, "the sensor's interval")
    server.twins.clear()
    with running(config, counting(SensorKind.SDS011)) as agent:
        wait_until(lambda: server.twins, 20, "the report after a restart")
        assert acks() == {**expected, "model.runtime": 200}
        wait_until(lambda: agent.spooler._pace.live_s == 2.0, 20, "the interval after a restart")
        assert agent._config.model.runtime == "rule"
        server.send(Down.TWIN, TwinDesired(5, {FLUSH: None, "sampling.every_s": None}, False, 4))
        wait_until(lambda: agent.spooler._pace.live_s == 60.0, 20, "the configured interval")
        wait_until(lambda: agent._sampling[0]._state.cadence.every_s == 5, 20, "the sensor's interval")
