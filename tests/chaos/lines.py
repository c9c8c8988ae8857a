"""Every line of the city, and what is wrong with each: one small interface over connections and packets.

A lamppost's line is a TCP proxy; where the machine allows, the lamppost stands in a network namespace of its
own, and its packets reach the proxy over a packet line. The server's roles reach the broker over a proxy too.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tests.chaos import netem
from tests.chaos.packets import PacketLine, open_device
from tests.chaos.proxy import Proxy
from tests.chaos.room import Namespace, run_quietly
from tests.chaos.weather import QUIET, Weather, together

T = TypeVar("T")
DONE_S = 30.0  # the loop answers in a millisecond; the rest is a busy machine


class Line:
    """One line. `apply` and `clear` name who wants the weather, so that two faults can last at once."""

    def __init__(self, lines: Lines, proxy: Proxy, below: Below | None = None) -> None:
        self._lines, self._proxy, self._below = lines, proxy, below
        self._wanted: dict[object, Weather] = {}

    @property
    def address(self) -> tuple[str, int]:
        """What the client connects to."""
        return self._proxy.address()

    @property
    def prefix(self) -> list[str]:
        """Before the command of who uses this line."""
        return [] if self._below is None else self._below.room.prefix

    def apply(self, who: object, weather: Weather) -> None:
        self._wanted[who] = weather
        self._change()

    def clear(self, who: object) -> None:
        self._wanted.pop(who, None)
        self._change()

    def reset_after(self, count: int) -> None:
        self._lines.call(lambda: self._proxy.reset_after(count))

    def drop(self) -> None:
        """End every connection, by a reset; new ones are taken."""
        self._lines.call(self._proxy.drop)

    def counts(self) -> Counter[str]:
        """What it has carried and done, of connections and of packets."""
        return self._proxy.counts + (Counter() if self._below is None else self._below.counts())

    def _change(self) -> None:
        weather = together(self._wanted.values())
        self._lines.call(lambda: self._proxy.change(weather))
        if self._below is not None:
            self._below.change(self._lines, weather)


class Below:
    """The packets of one line, between `near` here and `far` in the room of its lamppost."""

    def __init__(self, number: int, seed: int, use_netem: bool) -> None:
        self.near_address, far_address = f"10.77.{number}.1", f"10.77.{number}.2"
        self._near, self._far, self._use_netem = f"near{number}", f"far{number}", use_netem
        self.room = Namespace.make()
        handles = open_device(self._near), open_device(self._far)
        self._line = PacketLine(*handles, random.Random(seed))
        run_quietly(["ip", "link", "set", self._far, "netns", str(self.room.holder.pid)])
        inside = self.room.prefix
        for prefix, device, own, peer in (
            ([], self._near, self.near_address, far_address),
            (inside, self._far, far_address, self.near_address),
        ):
            run_quietly([*prefix, "ip", "addr", "add", own, "peer", peer, "dev", device])
            run_quietly([*prefix, "ip", "link", "set", device, "up"])
        run_quietly([*inside, "ip", "link", "set", "lo", "up"])

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._line.start(loop)

    def stop(self) -> None:
        self._line.stop()
        self.room.close()

    def change(self, lines: Lines, weather: Weather) -> None:
        if self._use_netem:
            netem.change([], self._near, weather)
            netem.change(self.room.prefix, self._far, weather)
        else:
            lines.call(lambda: self._line.change(weather))

    def counts(self) -> Counter[str]:
        """With netem its own counter of what it dropped is read as well."""
        if not self._use_netem:
            return self._line.counts
        dropped = netem.dropped([], self._near) + netem.dropped(self.room.prefix, self._far)
        return self._line.counts + Counter(lost=dropped)


class Lines:
    """Runs all lines on one loop in a thread of its own. `packets`: lampposts get rooms of their own."""

    def __init__(self, *, packets: bool = False, use_netem: bool = False, seed: int = 0) -> None:
        self._packets, self._use_netem, self._seed = packets, use_netem, seed
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lines", daemon=True)
        self._proxies: list[Proxy] = []
        self._belows: list[Below] = []

    def start(self) -> None:
        self._thread.start()

    def of_post(self, number: int, port: int, broker: tuple[str, int]) -> Line:
        """A lamppost's line to the broker. `number`: from 1. Raises OSError."""
        if not self._packets:
            return Line(self, self._proxy(("127.0.0.1", 0), broker))
        below = Below(number, self._seed * 1000 + number, self._use_netem)
        self._belows.append(below)
        self.call(lambda: below.start(self._loop))
        return Line(self, self._proxy((below.near_address, port), broker), below)

    def of_server(self, listen: tuple[str, int], broker: tuple[str, int]) -> Line:
        """The line of the server's own roles. Raises OSError."""
        return Line(self, self._proxy(listen, broker))

    def _proxy(self, listen: tuple[str, int], broker: tuple[str, int]) -> Proxy:
        proxy = Proxy(listen, broker)
        self._wait(proxy.start())
        self._proxies.append(proxy)
        return proxy

    def stop(self) -> None:
        for proxy in self._proxies:
            proxy.change(QUIET)
            self._wait(proxy.stop())
        for below in self._belows:
            self.call(below.stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DONE_S)
        self._loop.close()

    def call(self, function: Callable[[], T]) -> T:
        """On the loop's thread; returns what it returned."""

        async def run() -> T:
            return function()

        return self._wait(run())

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DONE_S)
