"""Our half of RFC 6455 against another implementation of the other half (`websockets`)."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from edge_agent.core.websocket import (
    MAX_FRAME_BYTES,
    PROTOCOL,
    BadFrame,
    Frames,
    Opcode,
    check_answer,
    frame,
    masked,
    request,
)

KEY, MASK = b"0123456789abcdef", b"mask"


def shaken(key: bytes = KEY, host: str = "lamppost.city.example") -> tuple[ServerProtocol, bytes]:
    """A server that has our request, and its answer's head."""
    server = ServerProtocol(subprotocols=[Subprotocol(PROTOCOL)])
    server.receive_data(request(host, 443, "/mqtt", key))
    asked = server.events_received()[0]
    assert isinstance(asked, Request)
    assert asked.path == "/mqtt"
    server.send_response(server.accept(asked))
    return server, b"".join(server.data_to_send()).partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize("host", ["lamppost.city.example", "127.0.0.1", "::1"])
def test_another_implementation_takes_our_handshake_and_we_its_answer(host: str) -> None:
    check_answer(shaken(host=host)[1], KEY)


def test_an_answer_to_something_else_is_refused() -> None:
    _, head = shaken()
    for wrong, told in (
        (head.replace(b" 101 ", b" 200 "), "200"),
        (shaken(b"another key 1234")[1], "belong"),
        (head.replace(PROTOCOL.encode(), b"mqtt"), "carry"),
        (b"", "''"),
        (b"\xff\x00\r\nnothing", "answer"),
        (b"SSH-2.0-OpenSSH_9.2", "SSH"),
    ):
        with pytest.raises(BadFrame, match=told):
            check_answer(wrong, KEY)


@given(st.lists(st.binary(max_size=70_000), max_size=5), st.binary(min_size=4, max_size=4))
def test_what_we_send_arrives_whole(payloads: list[bytes], mask: bytes) -> None:
    server, _ = shaken()
    server.receive_data(b"".join(frame(Opcode.BINARY, each, mask) for each in payloads))
    assert [event.data for event in server.events_received()] == payloads  # type: ignore[union-attr]
    assert all(masked(masked(each, mask), mask) == each for each in payloads)


@given(st.lists(st.binary(max_size=70_000), max_size=5), st.integers(1, 5000))
def test_what_comes_is_cut_right_whatever_pieces_it_comes_in(payloads: list[bytes], piece: int) -> None:
    server, _ = shaken()
    for each in payloads:
        server.send_binary(each)
    server.send_ping(b"there?")
    sent = b"".join(server.data_to_send())
    frames, found = Frames(), []
    for start in range(0, len(sent), piece):
        found += list(frames.feed(sent[start : start + piece]))
    assert found == [*((Opcode.BINARY, each) for each in payloads), (Opcode.PING, b"there?")]


@pytest.mark.parametrize(
    "data",
    [
        b"\xc2\x00",  # an extension
        b"\x82\x80mask",  # masked by a server
        b"\x83\x00",  # no such opcode
        b"\x81\x01x",  # text
        b"\x82\x7f" + (MAX_FRAME_BYTES + 1).to_bytes(8, "big"),
        b"\x89\x7e\x01\x00",  # a ping of 256 bytes
    ],
)
def test_what_is_no_frame_of_ours_ends_it(data: bytes) -> None:
    with pytest.raises(BadFrame):
        list(Frames().feed(data))


@given(st.binary(max_size=300))
def test_no_bytes_break_it_otherwise(data: bytes) -> None:
    with suppress(BadFrame):
        list(Frames().feed(data))
