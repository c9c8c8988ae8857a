"""What really crosses the line: paho's bytes to a real Mosquitto, and what another client hears of them."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties

from benchmarks.wire import TOPIC, batch_of, packet_bytes
from edge_agent.errors import LinkLost
from edge_agent.io.paho_broker import BrokerAddress, PahoBroker
from edge_agent.io.paho_connection import PahoConnection
from edge_agent.ports import BrokerEvents, Session
from tests.support.mosquitto import mosquitto_program
from tests.support.ports import free_port
from tests.support.waiting import wait_until
from wire_contract.classes import Class
from wire_contract.envelope import encode
from wire_contract.properties import Delivery
from wire_contract.topics import ALL_UP_FILTER, Up, down_filter, parse_topic, up_topic

ADDRESS, _ = parse_topic(TOPIC)
LIVE, ALARM, ASK = (up_topic(ADDRESS, channel) for channel in (Up.LIVE, Up.ALARM, Up.ASK))
SESSION = Session(up_topic(ADDRESS, Up.PRESENCE), b"away", down_filter(ADDRESS))
PROPERTIES = Delivery(bytes(range(200, 216)), Class.LIVE, 525_600).to_user_properties()
PUBLISH_QOS_1 = 0x32


class Line:
    """Carries bytes to the broker and back, keeps what the device sent, one buffer a connection."""

    def __init__(self, to_port: int) -> None:
        self.sent: list[bytearray] = []
        self._to_port, self._open = to_port, list[socket.socket]()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def packets(self, connection: int) -> list[bytes]:
        """Whole packets of the device's PUBLISH in a connection."""
        data, found, at = bytes(self.sent[connection]), [], 0
        while at < len(data):
            begins, length, shift = at, 0, 0
            at += 1
            while True:
                length |= (data[at] & 0x7F) << shift
                shift += 7
                at += 1
                if data[at - 1] < 0x80:
                    break
            at += length
            if data[begins] == PUBLISH_QOS_1:
                found.append(data[begins:at])
        return found

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                device, _ = self._listener.accept()
                broker = socket.create_connection(("127.0.0.1", self._to_port))
                kept = bytearray()
                self.sent.append(kept)
                self._open += [device, broker]
                threading.Thread(target=_carry, args=(device, broker, kept), daemon=True).start()
                threading.Thread(target=_carry, args=(broker, device, None), daemon=True).start()


def _carry(come: socket.socket, go: socket.socket, kept: bytearray | None) -> None:
    with suppress(OSError):
        while data := come.recv(65_536):
            if kept is not None:
                kept += data
            go.sendall(data)
    with suppress(OSError):
        go.shutdown(socket.SHUT_RDWR)


class Listener:
    """Another client: topic and payload of all that devices say."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, bytes]] = []
        ready = threading.Event()
        self.client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.on_message = self._on_message
        self.client.connect("127.0.0.1", port)
        self.client.subscribe(ALL_UP_FILTER, qos=1)
        self.client.loop_start()
        assert ready.wait(30)

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self.heard.append((message.topic, bytes(message.payload)))

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def mosquitto(folder: Path, most_aliases: int | None) -> Iterator[int]:
    """A plain one on the loopback interface; None: as many aliases as it allows by itself."""
    port = free_port()
    line = "" if most_aliases is None else f"max_topic_alias {most_aliases}\n"
    (folder / "plain.conf").write_text(f"listener {port} 127.0.0.1\n{line}allow_anonymous true\n")
    process = subprocess.Popen(
        [mosquitto_program(), "-c", str(folder / "plain.conf")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: _listens(port), 10, "Mosquitto")
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def street(folder: Path, most_aliases: int | None) -> Iterator[tuple[PahoBroker, Line, Listener]]:
    with mosquitto(folder, most_aliases) as port:
        line, listener = Line(port), Listener(port)
        nowhere = Path("/nonexistent")
        device = PahoBroker(
            BrokerAddress("127.0.0.1", line.port, str(ADDRESS), nowhere, nowhere, nowhere, 60, plain=True)
        )
        try:
            yield device, line, listener
        finally:
            device.disconnect()
            listener.stop()
            line.close()


def connect(device: PahoBroker) -> list[str]:
    """What is told of the connection's loss goes into the list."""
    lost: list[str] = []
    device.connect(SESSION, BrokerEvents(lambda: None, lambda *_: None, lost.append, lambda _: None))
    return lost


def test_the_benchmark_counts_what_is_sent(tmp_path: Path) -> None:
    payload = encode(batch_of(("sds011",), 60, 0))
    with street(tmp_path, None) as (device, line, listener):
        connect(device)
        for _ in range(3):
            device.publish(LIVE, payload, PROPERTIES)
        wait_until(lambda: listener.heard == [(LIVE, payload)] * 3, 10, "three batches")
        first, *next_ones = map(len, line.packets(0))
        assert first == packet_bytes(len(payload), topic=LIVE)
        assert next_ones == [packet_bytes(len(payload))] * 2


@pytest.mark.parametrize("most", [0, 1, 65_535])
def test_whatever_the_broker_allows_topics_arrive_whole(tmp_path: Path, most: int) -> None:
    """More messages than paho hands on at once, and a line that is cut under some of them."""
    said = [((LIVE, ALARM, ASK)[i % 3], b"%d" % i) for i in range(60)]
    with street(tmp_path, most) as (device, line, listener):
        lost = connect(device)
        for topic, payload in said:
            device.publish(topic, payload)
        wait_until(lambda: listener.heard == said, 10, "all of them, in order")
        named = sum(ADDRESS.device.encode() in packet for packet in line.packets(0))
        assert named == {0: 60, 1: 41, 65_535: 3}[most]
        line.cut()
        wait_until(lambda: lost, 10, "the loss")
        with pytest.raises(LinkLost):
            device.publish(LIVE, b"nowhere")
        connect(device)
        device.publish(LIVE, b"again")
        device.publish(LIVE, b"and again")
        wait_until(lambda: listener.heard[-1] == (LIVE, b"and again"), 10, "what was said afterwards")
        # the will of the connection that was cut has a whole topic as well
        rest = [each for each in listener.heard[60:] if each[0] != SESSION.will_topic]
        assert rest == [(LIVE, b"again"), (LIVE, b"and again")]
        named_again = sum(ADDRESS.device.encode() in packet for packet in line.packets(1))
        assert named_again == (1 if most else 2)


def test_a_callback_may_speak_while_another_thread_does(tmp_path: Path) -> None:
    """Nobody waits for a lock of ours while paho, which waits for one of its own, calls back."""
    publishing = threading.Event()

    class Watched(PahoConnection):
        def publish(self, *arguments: Any, **named: Any) -> MQTTMessageInfo:
            publishing.set()
            return super().publish(*arguments, **named)

    with mosquitto(tmp_path, None) as port:
        listener, device, accepted = Listener(port), Watched(str(ADDRESS)), threading.Event()
        other = threading.Thread(target=lambda: device.speak(LIVE, b"of another thread"), daemon=True)

        def on_connect(_c: Client, _u: Any, _f: Any, _r: Any, told: Properties | None) -> None:
            device.accepted(told)
            accepted.set()

        def on_publish(*_: object) -> None:
            device.on_publish = None
            publishing.clear()
            other.start()
            publishing.wait(0.3)  # where it gets so far, it waits for what paho's thread holds now
            device.speak(LIVE, b"of the callback")

        device.on_publish = on_publish
        device.on_connect = on_connect
        device.connect("127.0.0.1", port)
        device.loop_start()
        assert accepted.wait(30)
        device.speak(LIVE, b"first")
        said = {b"first", b"of the callback", b"of another thread"}
        wait_until(lambda: {payload for _, payload in listener.heard} == said, 10, "all three")
        assert {topic for topic, _ in listener.heard} == {LIVE}
        device.disconnect()
        device.loop_stop()
        listener.stop()
