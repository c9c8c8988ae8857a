"""One certificate, one connection: the doctor and the running agent share it, and each gets its turn."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from edge_agent.errors import BrokerRefused
from edge_agent.io.paho_broker import BrokerAddress, PahoBroker
from edge_agent.ports import BrokerEvents, Session
from tests.edge_agent.making import ADDRESS
from tests.edge_agent.test_cli import doctor, write_config
from tests.support.acking_server import AckingServer
from tests.support.mosquitto import MosquittoBroker
from tests.support.waiting import wait_until
from wire_contract.topics import Up, down_filter, up_topic


def test_the_doctor_s_connection_is_taken_back_and_it_tries_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server is deaf until the agent has come back, so the doctor's first attempt cannot be in time."""
    broker = MosquittoBroker(tmp_path, own_socket=True)
    broker.start()
    files = broker.device_identity(ADDRESS)
    server = AckingServer.on(broker).start()
    keys = (files.ca, files.certificate, files.key)
    agent = PahoBroker(BrokerAddress(broker.host, broker.port, "agent", *keys, 30))
    session = Session(up_topic(ADDRESS, Up.PRESENCE), b"", down_filter(ADDRESS))
    came_back = threading.Event()

    def again() -> None:
        agent.connect(session, BrokerEvents(lambda: None, lambda *_: None, lambda _: None, lambda _: None))
        server.deaf = False
        came_back.set()

    def lost(_why: str) -> None:
        threading.Thread(target=again, daemon=True).start()

    try:
        agent.connect(session, BrokerEvents(lambda: None, lambda *_: None, lost, lambda _: None))
        server.deaf = True
        _, checks = doctor(write_config(tmp_path, broker.port, files, "/dev/not-there"), capsys)
        wait_until(came_back.is_set, 10, "the agent to be back")
        assert {"broker", "server"} <= checks.keys(), checks
        assert (checks["broker"]["ok"], checks["server"]["ok"]) == (True, True), checks
    finally:
        agent.disconnect()
        server.stop()
        broker.stop()


def test_who_is_thrown_out_before_the_broker_s_word_tries_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the agent is back so soon that nobody has read the broker's CONNACK yet."""
    attempts = []

    class Hasty(PahoBroker):
        def connect(self, session: Session, events: BrokerEvents) -> None:
            attempts.append(session)
            if len(attempts) == 1:
                raise BrokerRefused("the broker closed the connection instead of accepting it")
            super().connect(session, events)

    monkeypatch.setattr("edge_agent.doctor.PahoBroker", Hasty)
    broker = MosquittoBroker(tmp_path, own_socket=True)
    broker.start()
    files = broker.device_identity(ADDRESS)
    server = AckingServer.on(broker).start()
    try:
        _, checks = doctor(write_config(tmp_path, broker.port, files, "/dev/not-there"), capsys)
    finally:
        server.stop()
        broker.stop()
    assert {"broker", "server"} <= checks.keys(), checks
    assert (checks["broker"]["ok"], checks["server"]["ok"], len(attempts)) == (True, True, 2), checks
