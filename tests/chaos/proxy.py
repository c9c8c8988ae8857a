"""A TCP line that can be cut, stopped up, slowed, broken into pieces, or reset in the middle of a packet.

One listener for each line; what it accepts is carried to the broker and back as it comes, unless the weather
says otherwise. Everything runs on one asyncio loop (`lines.py` has it in a thread of its own).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from dataclasses import dataclass, field

from tests.chaos.weather import QUIET, Weather

CHUNK_BYTES = 16 * 1024
LOOK_S = 0.05  # how soon a line that was stopped up notices that it is not any more
RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, zero seconds (socket(7)): close() sends a reset

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Proxy:
    """One line. `listen` and `to` are (host, port). `counts`: bytes, pieces, connections, cuts, resets …"""

    listen: tuple[str, int]
    to: tuple[str, int]
    weather: Weather = QUIET
    counts: Counter[str] = field(default_factory=Counter)
    _reset_after: int | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        """Raises OSError where the port is taken."""
        self._server = await asyncio.start_server(self._carry, *self.listen, limit=CHUNK_BYTES)

    def address(self) -> tuple[str, int]:
        """Where it listens; the port is the kernel's choice where 0 was asked for."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return str(host), int(port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self.drop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def change(self, weather: Weather) -> None:
        """From now on. A cut ends what is open."""
        self.weather = weather
        if weather.cut:
            self.drop()

    def drop(self) -> None:
        """End all that is open, by a reset."""
        self.counts["cuts"] += len(self._open) // 2
        for writer in list(self._open):
            _reset(writer)

    def reset_after(self, count: int) -> None:
        """The next `count` bytes towards the broker still pass, the rest of their packet does not."""
        self._reset_after = count

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.counts["connections"] += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        try:
            if self.weather.cut:
                self.counts["refused"] += 1
                return
            await self._pass(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # either end is gone: so is the other, below
        finally:
            self._open.discard(writer)
            self._tasks.discard(task)
            _reset(writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self.to, limit=CHUNK_BYTES)
        self._open.add(up_writer)
        ways = [
            asyncio.create_task(self._one_way(reader, up_writer, up=True)),
            asyncio.create_task(self._one_way(up_reader, writer, up=False)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._open.discard(up_writer)
            with contextlib.suppress(OSError):
                up_writer.close()
            with contextlib.suppress(OSError):
                writer.close()

    async def _one_way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        while data := await reader.read(CHUNK_BYTES):
            await self._hold()
            if self.weather.delay_s:
                self.counts["delayed"] += 1
                await asyncio.sleep(self.weather.delay_s)
                await self._hold()
            if up and self._reset_after is not None:
                if await self._break_off(data, writer):
                    return
                self._reset_after -= len(data)
            await self._send(data, writer)

    async def _hold(self) -> None:
        """While nothing is carried nothing is read: the sender's window fills, as behind a dead radio."""
        if self.weather.hole:
            self.counts["held"] += 1
        while self.weather.hole:
            await asyncio.sleep(LOOK_S)

    async def _break_off(self, data: bytes, writer: asyncio.StreamWriter) -> bool:
        """The beginning of a packet, time to be read, and a reset."""
        assert self._reset_after is not None
        count, self._reset_after = self._reset_after, None
        if len(data) <= count:
            self._reset_after = count
            return False
        writer.write(data[:count])
        self.counts["bytes"] += count
        self.counts["resets"] += 1
        await asyncio.sleep(LOOK_S)
        for each in list(self._open):
            _reset(each)
        return True

    async def _send(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        step = self.weather.piece or len(data)
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            await self._hold()
            if self.weather.rate:
                self.counts["throttled"] += 1
                await asyncio.sleep(len(piece) / self.weather.rate)
            writer.write(piece)
            await writer.drain()
            self.counts["bytes"] += len(piece)
            self.counts["pieces"] += 1
            if self.weather.piece:
                await asyncio.sleep(0)


def _reset(writer: asyncio.StreamWriter) -> None:
    """What is in its buffer may leave or not; the peer sees a reset."""
    plain = writer.get_extra_info("socket")
    if plain is not None:
        with contextlib.suppress(OSError):
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    with contextlib.suppress(OSError):
        writer.transport.abort()
