"""Live events end to end: a real NOTIFY, a killed PostgreSQL, a listener that does not listen."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from fleet_server import live
from fleet_server.access import service
from fleet_server.access.rules import CONSOLE, Role
from fleet_server.embedded_server import EmbeddedServer
from fleet_server.errors import TooManyRequests
from fleet_server.live import Change, LiveHub, change_of
from fleet_server.migrations import upgrade
from fleet_server.setup_role import certify
from tests.support.serve import Serve
from tests.support.server_context import make_context
from tests.support.waiting import wait_until

PASSWORD = "correct horse battery"
LAST_WORD = 999_999  # no incident has this number


def notify(url: str, payload: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_notify(%s, %s)", (live.CHANNEL, payload))


@pytest.mark.parametrize(
    ("payload", "devices", "incidents"),
    [
        ('{"devices": [1, 2]}', {1, 2}, set()),
        ('{"devices": ["a", true, null, 3]}', {3}, set()),
        ('{"devices": [1], "incidents": [7, 8, false]}', {1}, {7, 8}),
        ('{"incidents": [7]}', set(), {7}),
        ('{"devices": 3}', set(), set()),
        ('{"devices": [1], "incidents": null}', set(), set()),
        ("{}", set(), set()),
        ("", set(), set()),
        ("[]", set(), set()),
        ("nonsense", set(), set()),
    ],
)
def test_a_notification_that_is_not_understood_is_passed_over(
    payload: str, devices: set[int], incidents: set[int]
) -> None:
    assert change_of(payload) == Change(frozenset(devices), incidents=frozenset(incidents))


async def until_heard(hub: LiveHub, url: str, payload: str) -> live.Change:
    """Say it again until somebody hears: the hub may not be connected yet. What was said too often is heard
    then, too: whoever listens next hears nothing of it."""
    listener = hub.listen()
    try:
        for _ in range(600):
            await asyncio.to_thread(notify, url, payload)
            if change := await listener.next(0.1):
                await asyncio.to_thread(notify, url, f'{{"incidents": [{LAST_WORD}]}}')
                last = change
                while LAST_WORD not in last.incidents:
                    heard = await listener.next(60)
                    assert heard is not None
                    last = heard
                return change
    finally:
        hub.leave(listener)
    raise AssertionError("nothing was heard")


def test_a_listener_that_does_not_fetch_loses_no_device_and_holds_nobody_up(empty_database_url: str) -> None:
    async def scenario() -> None:
        hub = LiveHub(empty_database_url)
        running = asyncio.create_task(hub.run())
        await until_heard(hub, empty_database_url, '{"devices": [0]}')
        slow, quick = hub.listen(), hub.listen()
        for device in range(1, 201):
            await asyncio.to_thread(notify, empty_database_url, json.dumps({"devices": [device]}))
            got = await quick.next(10)
            assert got is not None
            assert device in got.devices
        change = await slow.next(10)
        assert change is not None
        assert change.devices == set(range(1, 201))
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    asyncio.run(scenario())


def test_it_listens_again_after_postgresql_was_killed_and_says_that_events_are_missing(
    tmp_path: Path,
) -> None:
    async def scenario(server: EmbeddedServer) -> None:
        hub = LiveHub(server.url())
        running = asyncio.create_task(hub.run())
        await until_heard(hub, server.url(), '{"devices": [1]}')
        listener = hub.listen()
        os.kill(server.pid or 0, signal.SIGKILL)
        while server.pid:
            await asyncio.sleep(0.02)
        server.ensure_running()
        change = await listener.next(60)
        assert change is not None
        assert change.missed
        assert (await until_heard(hub, server.url(), '{"devices": [2]}')).devices == {2}
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    with EmbeddedServer(tmp_path / "postgres") as server:
        asyncio.run(scenario(server))


def test_there_is_a_limit_and_a_place_is_given_back() -> None:
    hub = LiveHub("postgresql://nowhere/none")
    listeners = [hub.listen() for _ in range(live.MAX_LISTENERS)]
    with pytest.raises(TooManyRequests):
        hub.listen()
    hub.leave(listeners[0])
    hub.listen()


def test_a_stream_that_never_began_gives_its_place_back() -> None:
    """A browser that leaves before the first byte: nobody ever runs the stream's generator."""
    hub = LiveHub("postgresql://nowhere/none")
    for _ in range(2 * live.MAX_LISTENERS):
        live.event_stream(hub, hub.listen())


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[tuple[Serve, str]]:
    """A real API process, and the token of somebody signed in."""
    serve = Serve(tmp_path, database=database_url)
    context = make_context(database_url, serve.data)
    upgrade(database_url)
    certify(context.config)
    service.create_operator(context, CONSOLE, "ada", PASSWORD, (Role.VIEWER,))
    token = service.sign_in(context, "ada", PASSWORD).token
    context.db.close()
    serve.start("--role", "api")
    try:
        wait_until(lambda: _alive(serve), 60, "the API")
        yield serve, token
        assert serve.stop() == 0  # although streams are open
    finally:
        serve.kill_all()


def _alive(serve: Serve) -> bool:
    try:
        return bool(urllib.request.urlopen(f"{serve.api}/healthz", timeout=5).status == 200)
    except OSError:
        return False


def open_stream(serve: Serve, token: str, more: str = "") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", serve.api_port), timeout=30)
    connection.sendall(
        f"GET /api/v1/live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{more}\r\n".encode()
    )
    return connection


def read_until(connection: socket.socket, wanted: bytes) -> bytes:
    seen = b""
    while wanted not in seen:
        part = connection.recv(65536)
        assert part, f"the stream ended after {seen!r}"
        seen += part
    return seen


def test_a_stream_over_http(api: tuple[Serve, str], database_url: str) -> None:
    serve, token = api
    stream = open_stream(serve, token, "Last-Event-ID: 17\r\n")
    stalled = [open_stream(serve, token) for _ in range(5)]  # they never read
    head = read_until(stream, b": live\n\n")
    assert b"200 OK" in head
    assert b"text/event-stream" in head
    for device in (7, 8):
        notify(database_url, json.dumps({"devices": [device]}))
        told = read_until(stream, b"]}\n\n")
        assert b"event: change\n" in told
        assert f'data: {{"devices": [{device}]}}'.encode() in told
    notify(database_url, '{"devices": [7], "incidents": [3, 2]}')
    told = read_until(stream, b"]}\n\n")
    assert b'data: {"devices": [7], "incidents": [2, 3]}' in told
    for connection in (stream, *stalled):
        connection.close()


def test_a_stream_without_a_session_is_refused(api: tuple[Serve, str]) -> None:
    serve, _ = api
    with open_stream(serve, "wrong") as stream:
        assert b"401" in read_until(stream, b"\r\n")


def test_an_open_stream_does_not_hold_up_a_stop(api: tuple[Serve, str]) -> None:
    serve, token = api
    stream = open_stream(serve, token)
    read_until(stream, b": live\n\n")
    assert serve.stop() == 0
    rest = b""
    while part := stream.recv(65536):
        rest += part
    stream.close()
    assert rest.endswith(b"0\r\n\r\n"), "the stream was cut instead of ended (RFC 9112, section 7.1)"
