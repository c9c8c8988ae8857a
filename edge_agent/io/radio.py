"""By which way this lamppost is connected: as its kernel says, and of a modem what ModemManager says."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from edge_agent.core import radio as core
from edge_agent.io import modem
from wire_contract import radio
from wire_contract.radio import Way

NET = Path("/proc/net")
ASK_EVERY_S = 60.0  # three short processes; twice as slow as the birth is looked at
NONE_EVERY_S = 600.0  # where there was no modem: a cable stays one
# A birth has 200 bytes, twice that with its acknowledgement and all headers. A modem that trembles by 2 dB
# (standard deviation) would cause 550 a day, as many bytes as an SDS011's readings. So it causes a hundred.
MOVES_MOST, MOVES_WITHIN_S = 4, 3600.0
KEPT_S = 300.0  # a strength that nobody confirmed for so long is told no more

Look = Callable[[Way], Way]


def way(net: Path = NET) -> Way | None:
    """As the kernel has it; None where it says nothing (no default route, no Linux)."""
    route, route6, wireless = (_text(net / each) for each in ("route", "ipv6_route", "wireless"))
    return core.kernel_way(route, route6, wireless)


def look(net: Path = NET, ask: Look = modem.look) -> Way | None:
    """`way`, with its modem's strength. Waits for ModemManager, some seconds at most."""
    found = way(net)
    return found if found is None or found.dbm is not None else ask(found)


class Radio:
    """What the birth tells. It is asked for on the link's thread, which waits for nobody: a modem is asked on
    a thread of its own, at most one at a time, and told from what it answered last.

    changed: called on that thread when there is something else to tell.
    """

    def __init__(
        self,
        changed: Callable[[], None],
        net: Path = NET,
        ask: Look = modem.look,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._changed, self._net, self._ask, self._now_s = changed, net, ask, now_s
        self._lock = threading.Lock()  # of what follows
        self._wifi: Way | None = None  # as last told
        self._moves: deque[float] = deque(maxlen=MOVES_MOST)  # when something else was to be told
        self._known: tuple[float, Way] | None = None
        self._due_s: dict[str, float] = {}  # of the interface in use: when its modem is asked again
        self._asking = False

    def signal(self) -> str:
        """As the birth tells it; "" where nothing is known."""
        found = way(self._net)
        if found is None:
            return ""
        if found.dbm is not None:
            with self._lock:
                self._wifi = self._steady(self._wifi, found)
                return radio.told(self._wifi)
        with self._lock:
            due = not self._asking and self._now_s() >= self._due_s.get(found.interface, 0.0)
            self._asking = self._asking or due
            shown = self._remembered(found)
        if due:
            self._start(found)
        return radio.told(shown)

    def _start(self, found: Way) -> None:
        try:
            threading.Thread(target=self._look, args=(found,), name="modem", daemon=True).start()
        except RuntimeError:  # no thread to be had now
            with self._lock:
                self._asking = False

    def _look(self, found: Way) -> None:
        seen = found
        try:
            seen = self._ask(found)
        finally:
            with self._lock:
                now_s, before = self._now_s(), self._remembered(found)
                every_s = NONE_EVERY_S if seen == found and not before.is_modem else ASK_EVERY_S
                self._due_s = {found.interface: now_s + every_s}
                if seen != found:
                    self._known = (now_s, self._steady(before, seen))
                after = self._remembered(found)
                self._asking = False
        if after != before:
            self._changed()

    def _steady(self, before: Way | None, now: Way) -> Way:
        """What is told of `now`. The caller holds the lock."""
        now_s = self._now_s()
        often = len(self._moves) == MOVES_MOST and now_s - self._moves[0] < MOVES_WITHIN_S
        told = core.steady(before, now, often)
        if told != before:
            self._moves.append(now_s)
        return told

    def _remembered(self, found: Way) -> Way:
        """`found`, or what was last heard of its modem. The caller holds the lock."""
        if self._known is None:
            return found
        at_s, known = self._known
        fresh = self._now_s() - at_s < KEPT_S and known.interface == found.interface
        return known if fresh else found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
