"""A whole agent on a real broker: the exact place of its configuration is in no byte that leaves it."""

from __future__ import annotations

import struct
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from air_quality.place import cell_of
from edge_agent.app import facts
from edge_agent.core.allow_list import FIELDS, Keys
from edge_agent.core.leaving import leave
from edge_agent.io.clocks import SteppedClock
from edge_agent.loops import link as link_module
from edge_agent.loops.board import Board
from edge_agent.loops.gate import Gate
from firmware_bridge.kinds import SensorKind
from tests.edge_agent.making import (
    codes,
    counting,
    make_config,
    on_broker,
    running,
    wait_code,
    wait_empty,
)
from tests.support.acking_server import AckingServer
from tests.support.mosquitto import MosquittoBroker
from tests.support.waiting import wait_until
from wire_contract.classes import Class
from wire_contract.envelope import decode, encode, open_body
from wire_contract.messages import (
    Command,
    CommandName,
    CommandReply,
    ConditionBatch,
    Presence,
    SampleBatch,
    SensorDeclaration,
    TwinDesired,
    Verdict,
    VerdictBatch,
)
from wire_contract.topics import Down, Up

LATITUDE, LONGITUDE = 52.516275, 13.377704
CELL = "u33db2"
STREET = "Pariser Platz 7"
# What a careless person, library or error text would say of the place.
CARELESS = f"front {LATITUDE},{LONGITUDE}"
DEVICE = {"latitude": LATITUDE, "longitude": LONGITUDE, "site": STREET}
FAR_MS = 4_000_000_000_000


def traces_of_the_place() -> dict[str, bytes]:
    """Every form in which the place could be in a byte string."""
    found: dict[str, bytes] = {
        "street": STREET.encode(),
        "finer cell": cell_of(LATITUDE, LONGITUDE, 7).encode(),
    }
    for name, degrees in (("latitude", LATITUDE), ("longitude", LONGITUDE)):
        found[f"{name} in digits"] = f"{degrees:.6f}"[:-3].encode()  # 52.516: a hundred metres
        for code in (">d", "<d", ">f", "<f"):
            found[f"{name} {code}"] = struct.pack(code, degrees)
        for scale in (10**5, 10**6, 10**7):
            for code in (">i", "<i"):
                found[f"{name} x {scale} {code}"] = struct.pack(code, round(degrees * scale))
    return found


def traces_in(content: bytes) -> list[str]:
    return [name for name, trace in traces_of_the_place().items() if trace in content]


class Listener:
    """Takes down every byte of every topic under lp/1: topic, user properties, payload, payload unpacked."""

    def __init__(self, broker: MosquittoBroker) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self._ready = threading.Event()
        identity = broker.server_identity()
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id=f"listener-{uuid.uuid4().hex[:8]}", protocol=MQTTv5
        )
        self._client.tls_set(str(identity.ca), str(identity.certificate), str(identity.key))
        self._client.on_connect = lambda client, *_: client.subscribe("lp/1/#", qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        assert self._ready.wait(30)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        if "/up/" not in message.topic:
            return
        payload = bytes(message.payload)
        pairs = getattr(message.properties, "UserProperty", [])
        unpacked = open_body(payload) if payload else b""
        self.heard.append((message.topic, b"\0".join([str(pairs).encode(), payload, unpacked])))

    def kinds(self) -> set[str]:
        return {topic.rpartition("/")[2] for topic, _ in self.heard}

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def listener(broker: MosquittoBroker) -> Iterator[Listener]:
    made = Listener(broker)
    yield made
    made.stop()


@pytest.fixture
def server(broker: MosquittoBroker) -> Iterator[AckingServer]:
    made = AckingServer.on(broker).start()
    yield made
    made.stop()


def test_the_exact_place_is_in_no_byte_that_leaves(
    tmp_path: Path,
    broker: MosquittoBroker,
    server: AckingServer,
    listener: Listener,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link_module, "PRESENCE_EVERY_S", 0.3)
    config = on_broker(tmp_path, broker, device=DEVICE)
    config = replace(config, sensors=(replace(config.sensors[0], name=CARELESS),))
    with running(config, counting(SensorKind.SDS011)) as agent:
        server.wait_samples(2)
        agent.board.raise_("agent_error", f"at {CARELESS}", f"cannot parse {CARELESS}", f"look at {CARELESS}")
        wait_until(lambda: server.messages(ConditionBatch), 20, "the condition")
        wait_until(
            lambda: any(c.code == "agent_error" for c in server.presences[-1].conditions), 20, "the presence"
        )
        server.send(Down.TWIN, TwinDesired(1, {"device.latitude": LATITUDE}, True))
        wait_until(lambda: server.twins, 20, "the report")
        server.command(Command("c1", CommandName.DECLARE, {}, FAR_MS))
        wait_until(lambda: server.messages(CommandReply), 20, "the reply")
        agent.spool.put(Class.ALARM, leave(Class.ALARM, a_verdict(f"rises at {CARELESS}")), 5)
        agent.link.work()
        wait_until(lambda: server.messages(VerdictBatch), 20, "the verdict")
        assert server.presences[-1].settings["cell"] == CELL
        assert "not_allowed_out" not in codes(agent), "an ordinary life asks for nothing that may not leave"
        wait_empty(agent)
    wait_until(lambda: {"alarm", "live", "reply", "diagnostic"} <= listener.kinds(), 10, "the listener")
    assert {"presence", "ask", "twin"} <= listener.kinds()
    assert [(topic, traces_in(content)) for topic, content in listener.heard if traces_in(content)] == []
    assert {type(each.message) for each in server.deliveries} >= {
        *(SampleBatch, SensorDeclaration, ConditionBatch, CommandReply, VerdictBatch),
    }


def a_verdict(reason: str) -> VerdictBatch:
    return VerdictBatch((Verdict(5, 1, "episode", 3.0, 0.9, reason, "rule@1", b""),))


def test_the_listener_would_see_the_place() -> None:
    """The test above can fail: past the gate the same words hold the place."""
    batch = a_verdict(f"rises at {CARELESS}")
    assert traces_in(open_body(encode(batch))) == ["latitude in digits", "longitude in digits"]
    assert traces_in(open_body(leave(Class.ALARM, batch))) == []
    said = Presence(True, 1, 5, bytes(16), "", True, settings={"x": STREET, "y": "u33db2m"})
    assert "street" in traces_in(open_body(encode(said)))
    assert "latitude >d" in traces_in(b"\xcb" + struct.pack(">d", LATITUDE))


def test_a_key_that_is_not_listed_stays_is_told_and_the_rest_leaves(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_agent import app

    monkeypatch.setattr(link_module, "PRESENCE_EVERY_S", 0.3)
    ordinary = facts(on_broker(tmp_path, broker, device=DEVICE))
    careless = replace(ordinary, settings={**ordinary.settings, "latitude": str(LATITUDE)})
    monkeypatch.setattr(app, "facts", lambda _config: careless)
    with running(on_broker(tmp_path, broker, device=DEVICE), counting(SensorKind.SDS011)) as agent:
        wait_code(agent, "not_allowed_out")
        server.wait_samples(3)
        wait_until(
            lambda: any(c.code == "not_allowed_out" for c in server.presences[-1].conditions), 20, "its news"
        )
        assert "latitude" not in server.presences[-1].settings
        assert server.presences[-1].settings["cell"] == CELL
        told = next(c for c in agent.board.conditions() if c.code == "not_allowed_out")
        assert "Presence.settings[latitude]" in told.detail
        assert str(LATITUDE) not in told.detail


def test_a_message_that_is_not_listed_stays_is_told_and_the_loops_go_on(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer
) -> None:
    with running(on_broker(tmp_path, broker), counting(SensorKind.SDS011)) as agent:
        server.wait_samples(1)
        wrong: Any = a_verdict("x")
        agent.spooler.reply(wrong)  # a verdict among the replies
        wait_code(agent, "not_allowed_out")
        had = len(server.samples())
        server.wait_samples(had + 3)
        agent.spooler.reply(CommandReply("c2", True, "", 5))
        wait_until(lambda: server.messages(CommandReply), 20, "the next reply")
        assert "agent_error" not in codes(agent)


def test_without_a_place_there_is_no_cell(tmp_path: Path) -> None:
    assert "cell" not in facts(make_config(tmp_path)).settings
    coarse = make_config(tmp_path, device={**DEVICE, "cell_precision": 3})
    assert facts(coarse).settings["cell"] == CELL[:3]


def test_every_settings_key_of_the_agent_is_listed(tmp_path: Path) -> None:
    rule = FIELDS[Presence]["settings"]
    assert isinstance(rule, Keys)
    assert set(facts(make_config(tmp_path, device=DEVICE)).settings) <= set(rule.rules)


def test_the_gate_tells_a_refusal_and_a_part_that_stayed() -> None:
    board = Board(SteppedClock(1_795_000_000_000))
    gate = Gate(board)
    assert gate.leave(Up.ASK, a_verdict("x")) is None
    assert [c.detail for c in board.conditions()] == ["VerdictBatch is not listed for ask"]
    said = Presence(True, 1, 5, bytes(16), "", True, settings={"x": "1", "sensors": "a"})
    payload = gate.leave(Up.PRESENCE, said)
    assert payload is not None
    left = decode(payload)
    assert isinstance(left, Presence)
    assert left.settings == {"sensors": "a"}
    assert [c.detail for c in board.conditions()] == ["Presence.settings[x] is not listed; the rest has left"]
