"""A WebSocket over TLS in one thread.

`websockets.sync` reads in a thread of its own while another writes, and CPython lets two threads into one
OpenSSL connection (its issue 143756): once in some thousand handshakes the request is lost.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

PATIENCE_S = 60.0


class Tunnel:
    """An open one. Nothing is read or answered between two calls."""

    def __init__(self, runner: asyncio.Runner, made: ClientConnection) -> None:
        self._runner, self._made = runner, made

    def send(self, message: str | bytes) -> None:
        self._run(self._made.send(message))

    def send_raw(self, data: bytes) -> None:
        """Into TLS as it is, framed or not."""

        async def write() -> None:
            self._made.transport.write(data)

        self._run(write())

    def closed_with(self) -> int:
        """What comes is left unread; the code that it ends with, once it does."""

        async def end() -> None:
            with suppress(ConnectionClosed):
                while True:
                    await self._made.recv()
            await self._made.wait_closed()

        self._run(end())
        assert self._made.close_code is not None
        return self._made.close_code

    def ping(self) -> None:
        """Returns when it was answered."""

        async def both() -> None:
            await (await self._made.ping())

        self._run(both())

    def close(self) -> None:
        self._run(self._made.close())

    def _run(self, doing: Any) -> None:
        self._runner.run(asyncio.wait_for(doing, PATIENCE_S))


@contextmanager
def tunnel(url: str, context: ssl.SSLContext, *protocols: str) -> Iterator[Tunnel]:
    """Raises InvalidStatus where it is refused."""

    async def opened() -> ClientConnection:
        names = [Subprotocol(each) for each in protocols] or None
        return await connect(
            url, ssl=context, subprotocols=names, open_timeout=PATIENCE_S, ping_interval=None, proxy=None
        )

    with asyncio.Runner() as runner:
        made = Tunnel(runner, runner.run(opened()))
        try:
            yield made
        finally:
            made.close()
