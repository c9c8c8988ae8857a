"""The lines do as they are told, on real connections: cut, stop up, slow, break up, reset in a packet."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.chaos import netem
from tests.chaos.lines import Line, Lines
from tests.chaos.packets import KEPT_BACK_S, PacketLine, fate
from tests.chaos.room import look_around
from tests.chaos.weather import QUIET, Weather, together
from tests.support.waiting import wait_until

BLOCK = bytes(range(256)) * 40
ANSWERED_S = 20.0
HEARD: Counter[int] = Counter()  # bytes that the server got, by the client's port


@pytest.fixture(scope="module")
def echoing() -> Iterator[tuple[str, int]]:
    """A server that sends back what it gets, piece by piece as it gets it."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer(client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            port = client.getpeername()[1]
            while data := client.recv(65_536):
                HEARD[port] += len(data)
                client.sendall(data)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()
    server.shutdown(socket.SHUT_RDWR)
    server.close()


@pytest.fixture
def line(echoing: tuple[str, int]) -> Iterator[Line]:
    lines = Lines()
    lines.start()
    yield lines.of_post(1, 0, echoing)
    lines.stop()


def connect(line: Line) -> socket.socket:
    return socket.create_connection(line.address, timeout=ANSWERED_S)


def there_and_back(line: Line, data: bytes = BLOCK) -> bytes:
    with connect(line) as client:
        client.sendall(data)
        return read(client, len(data))


def read(client: socket.socket, count: int) -> bytes:
    back = b""
    while len(back) < count:
        more = client.recv(65_536)
        if not more:
            raise ConnectionResetError("ended")
        back += more
    return back


def test_a_quiet_line_carries_every_byte(line: Line) -> None:
    assert there_and_back(line) == BLOCK
    wait_until(lambda: line.counts()["bytes"] == 2 * len(BLOCK), ANSWERED_S, "both ways being counted")


def test_a_cut_line_ends_what_is_open_and_refuses(line: Line) -> None:
    with connect(line) as client:
        client.sendall(b"there")
        assert read(client, 5) == b"there"
        line.apply("fault", Weather(cut=True))
        with pytest.raises(OSError, match="reset"):
            read(client, 1)
    with pytest.raises(OSError):  # noqa: PT011 - a reset or an end, as the kernel likes
        there_and_back(line)
    line.clear("fault")
    assert there_and_back(line) == BLOCK
    assert line.counts()["cuts"] >= 1
    assert line.counts()["refused"] >= 1


def test_a_hole_says_nothing_and_loses_nothing(line: Line) -> None:
    with connect(line) as client:
        line.apply("fault", Weather(hole=True))
        client.sendall(BLOCK)
        wait_until(lambda: line.counts()["held"], ANSWERED_S, "the line holding bytes back")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(ANSWERED_S)
        line.clear("fault")
        assert read(client, len(BLOCK)) == BLOCK


def test_a_slow_line_delivers_as_late_as_it_was_told(line: Line) -> None:
    line.apply("fault", Weather(delay_s=0.2))
    began_s = time.monotonic()
    assert there_and_back(line, b"x") == b"x"
    assert time.monotonic() - began_s >= 0.4, "there and back"


def test_a_throttled_line_carries_no_more_than_its_rate(line: Line) -> None:
    line.apply("fault", Weather(rate=40_000.0))
    began_s = time.monotonic()
    assert there_and_back(line) == BLOCK
    assert time.monotonic() - began_s >= len(BLOCK) / 40_000.0


def test_a_broken_up_line_delivers_in_pieces(line: Line) -> None:
    line.apply("fault", Weather(piece=100))
    assert there_and_back(line) == BLOCK
    assert line.counts()["pieces"] >= 2 * len(BLOCK) / 100


def test_a_reset_comes_in_the_middle_of_a_packet(line: Line) -> None:
    HEARD.clear()
    line.reset_after(1_000)
    with pytest.raises(OSError):  # noqa: PT011
        there_and_back(line)
    assert line.counts()["resets"] == 1
    assert HEARD.total() <= 1_000, "more than the beginning of the block went there"
    assert there_and_back(line) == BLOCK, "the next connection is whole"


def test_two_faults_of_a_line_end_one_by_one(line: Line) -> None:
    line.apply("one", Weather(cut=True))
    line.apply("other", Weather(piece=100))
    line.clear("one")
    assert there_and_back(line) == BLOCK
    assert line.counts()["pieces"] > 100


def test_bad_weather_adds_up() -> None:
    both = together([Weather(delay_s=1, rate=500, loss=0.1), Weather(delay_s=2, rate=900, piece=7, loss=0.3)])
    assert both == Weather(delay_s=3, rate=500, piece=7, loss=0.3)
    assert together([]) == QUIET


def test_packets_are_lost_doubled_damaged_and_overtaken_as_often_as_told() -> None:
    dice, packet = random.Random(1), bytes(1_000)
    for name, weather in {
        "lost": Weather(loss=0.3),
        "twice": Weather(twice=0.3),
        "damaged": Weather(damaged=0.3),
        "overtaken": Weather(overtaken=0.3),
    }.items():
        counts: Counter[str] = Counter()
        delivered = [fate(packet, weather, dice, counts) for _ in range(2_000)]
        assert counts.keys() == {name}
        assert 500 <= counts[name] <= 700
        seen = {
            "lost": sum(not each for each in delivered),
            "twice": sum(len(each) == 2 for each in delivered),
            "damaged": sum(each[0][1] != packet for each in delivered if each),
            "overtaken": sum(KEPT_BACK_S[0] <= each[0][0] <= KEPT_BACK_S[1] for each in delivered if each),
        }
        assert seen == {**dict.fromkeys(seen, 0), name: counts[name]}
    assert fate(packet, QUIET, dice, Counter()) == [(0.0, packet)]


def test_a_packet_line_lets_later_packets_overtake() -> None:
    """Two pairs of sockets that keep packets apart stand for the two devices."""
    here, near = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    far, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for each in (near, far):
        each.setblocking(False)
    lines = Lines()
    lines.start()
    line = PacketLine(near.detach(), far.detach(), random.Random(5))
    lines.call(lambda: line.start(lines._loop))
    lines.call(lambda: line.change(Weather(overtaken=0.4)))
    there.settimeout(ANSWERED_S)
    with here, there:
        for number in range(50):
            here.send(bytes([number]) * 50)
        got = [there.recv(100)[0] for _ in range(50)]
        lines.call(line.stop)
    lines.stop()
    assert got != sorted(got)
    assert sorted(got) == list(range(50))
    assert line.counts["packets"] == 50


def test_netem_is_told_the_same() -> None:
    weather = Weather(loss=0.1, overtaken=0.25, twice=0.05, damaged=0.02)
    words = "delay 30ms reorder 75% loss 10% duplicate 5% corrupt 2%"
    assert " ".join(netem.arguments(weather)) == words
    assert netem.command("near1", QUIET)[-1] == "pfifo_fast"
    refused = look_around().netem
    assert refused, "outside a sealed room netem is never used"
