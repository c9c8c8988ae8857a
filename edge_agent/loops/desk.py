"""Where a reading becomes a row: its unit, its flags, its time. Used by the spooler's thread alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from edge_agent.core.declaring import declaration, unit_for
from edge_agent.core.gathering import Seen, spiked
from edge_agent.core.quality import UnitQuality
from edge_agent.core.records import Row, Stamp, Unit, UnitIdentity
from edge_agent.core.stamping import clock_is_set, stamp
from edge_agent.core.words import fitting_name
from edge_agent.loops.board import Board
from edge_agent.ports import Clock, Spool
from firmware_bridge.kinds import SPECS
from firmware_bridge.ports import Reading
from wire_contract.limits import INT32_MAX, INT32_MIN

TELL_JUMP_S = 3600.0  # street; a jump of the clock stays on the dashboard for an hour
AHEAD_MS = 60_000  # street; less than this a time daemon makes up for at a start


@dataclass(frozen=True)
class Taken:
    """A reading just taken: of which sensor, from which unit, when (street clock, street-monotonic)."""

    sensor: str
    identity: UnitIdentity
    reading: Reading
    every_s: float
    now_ms: int
    street_s: float


@dataclass(frozen=True)
class Entry:
    """The new row, and the row before it with other flags where the spike test changed them."""

    row: Row
    amended: Row | None


def seen(taken: Taken, entry: Entry) -> Seen:
    """The new row as the watching loop wants it; and whether the one before turned out to be a spike."""
    row, kind = entry.row, taken.reading.kind
    found, failed = spiked(kind, entry.amended.flags) if entry.amended else (False, False)
    spiked_ms = entry.amended.time_ms if entry.amended and found else None
    return Seen(
        row.unit, taken.sensor, kind, row.time_ms, taken.every_s, row.values, row.flags, spiked_ms, failed
    )


def physical(reading: Reading) -> dict[str, float | None]:
    """The reading in its channels' units."""
    channels = SPECS[reading.kind].channels
    return {
        channel.name: None if value is None else round(value * 10.0**channel.exponent, 9)
        for channel, value in zip(channels, reading.values, strict=True)
    }


class Desk:
    """Knows the units of the epoch, their quality tests, their latest stamps."""

    def __init__(self, clock: Clock, spool: Spool, board: Board) -> None:
        self._clock, self._spool, self._board = clock, spool, board
        self._quality: dict[int, UnitQuality] = {}
        self._last: dict[int, Row] = {}
        self._boot = clock.boot()
        self._jumped_at_s = float("-inf")
        self._zero_ms: int | None = None  # the civil time at which the monotonic clock was zero
        self._next_id = 1
        self.reload()

    def reload(self) -> None:
        """Read the epoch's units and stamps; after a start, and after the spool was rescued."""
        self._units = list(self._spool.units())
        self._stamps = {**self._spool.stamps(), **getattr(self, "_stamps", {})}
        self._next_id = max(self._next_id, self._spool.last_row_id() + 1)

    def stamps(self, rows: Iterable[Row]) -> dict[int, Stamp]:
        """What to remember of the units of these rows."""
        return {row.unit: self._stamps[row.unit] for row in rows if row.unit in self._stamps}

    def latest_ms(self, before_ms: int) -> int:
        """The time of the latest sample that has one, of those before an instant; 0 when none has."""
        return max((mark.high_ms for mark in self._stamps.values() if mark.high_ms <= before_ms), default=0)

    def declare_all(self) -> None:
        now_ms = self._clock.now_ms()
        for unit in self._units:
            self._spool.declare(unit, declaration(unit, now_ms), now_ms)

    def enter(self, taken: Taken) -> Entry | None:
        """The row of a reading; None when it holds no value at all, or its unit cannot be declared."""
        values = tuple(
            value if value is not None and INT32_MIN <= value <= INT32_MAX else None
            for value in taken.reading.values
        )
        unit = self._unit(taken.identity)
        if unit is None or all(value is None for value in values):
            return None
        judged = self._quality_of(unit, taken).judge(values, taken.street_s, bool(taken.reading.status))
        synced = clock_is_set(taken.now_ms)
        if synced:
            self._look_at_clock(taken.now_ms, taken.street_s)
        row = Row(
            id=self._next_id,
            unit=unit.key,
            time_ms=self.time_for(unit.key, taken.now_ms) if synced else 0,
            values=values,
            flags=judged.flags,
            boot=self._boot,
            mono_ms=int(taken.street_s * 1000),
            synced=synced,
        )
        self._next_id += 1
        before = self._last.get(unit.key)
        self._last[unit.key] = row
        amend = judged.amended_before if before is not None else None
        return Entry(row, replace(before, flags=amend) if before is not None and amend is not None else None)

    def time_for(self, unit_key: int, now_ms: int) -> int:
        """The time of a sample of this unit taken at `now_ms`, unlike any of its other samples'."""
        before = self._stamps.get(unit_key, Stamp())
        time_ms, after, jumped = stamp(before, now_ms)
        self._stamps[unit_key] = after
        if jumped:
            self._tell_jump("back", before.high_ms - now_ms)
        elif self._clock.street_s() - self._jumped_at_s > TELL_JUMP_S:
            self._board.clear("clock_jumped", "clock")
        return time_ms

    def _look_at_clock(self, now_ms: int, street_s: float) -> None:
        """A jump ahead shows against the monotonic clock; one back shows in the stamps."""
        zero_ms = now_ms - int(street_s * 1000)
        if self._zero_ms is not None and zero_ms - self._zero_ms >= AHEAD_MS:
            self._tell_jump("ahead", zero_ms - self._zero_ms)
        self._zero_ms = zero_ms

    def _tell_jump(self, where: str, by_ms: int) -> None:
        self._jumped_at_s = self._clock.street_s()
        self._board.raise_("clock_jumped", "clock", f"the clock went {where} by {by_ms / 1000:.0f} s")

    def _unit(self, identity: UnitIdentity) -> Unit | None:
        identity = replace(identity, serial=fitting_name(identity.serial), site=fitting_name(identity.site))
        found = unit_for(identity, self._units)
        if found is None:
            detail = f"{identity.kind} {identity.serial} at {identity.site}: 64 units are declared already"
            self._board.raise_("too_many_units", identity.site, detail)
            return None
        unit, new = found
        if new:
            now_ms = self._clock.now_ms()
            self._spool.declare(unit, declaration(unit, now_ms), now_ms)
            self._units.append(unit)
        return unit

    def _quality_of(self, unit: Unit, taken: Taken) -> UnitQuality:
        known = self._quality.get(unit.key)
        if known is None or known.every_s != taken.every_s:  # the tests count samples, so they begin anew
            channels = SPECS[taken.reading.kind].channels
            layout = [(each.name, each.unit, each.exponent) for each in channels]
            self._quality[unit.key] = UnitQuality(layout, taken.every_s)
        return self._quality[unit.key]
