"""From samples to street minutes: what of a minute's readings of one unit can be believed, averaged. Pure.

Minutes follow the samples' own times, at whatever speed the street clock runs. A minute is complete as soon
as its unit's cadence leaves room for no further sample in it; else when the next minute's first sample comes,
or when time has passed without one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType

from firmware_bridge.kinds import SPECS, SensorKind
from wire_contract.flags import Flag, unpack_flags

MINUTE_MS = 60_000
# Where the firmware of Plantower and Nova stops counting (999, 999.9): a ceiling, not a value.
CAP_UG_M3 = 999.0
EARLY = 0.9  # of its period: a sample may come a little sooner than its cadence says
BACK_MS = 2 * MINUTE_MS  # a sample so far before a minute that is complete: somebody set the clock back
CHANNELS = frozenset({"pm1", "pm2_5", "pm10", "humidity", "temperature"})
_SPIKES = frozenset({Flag.SUSPECT_SPIKE, Flag.FAIL_SPIKE})


@dataclass(frozen=True)
class Seen:
    """One sample as it was spooled. `values`: scaled integers by slot; `flags`: 16 x 4 bits.

    `sensor`: its configured name. `spiked_ms`: the time of the unit's sample before, where the spike test,
    which needs the one after, has just found it to be one.
    """

    unit: int
    sensor: str
    kind: SensorKind
    time_ms: int
    every_s: float
    values: tuple[int | None, ...]
    flags: int
    spiked_ms: int | None = None
    spike_failed: bool = False


class Trust(Enum):
    GOOD = "good"
    DOUBTFUL = "doubtful"
    NONE = "none"


def trust(unit: str, value: float | None, flag: int) -> Trust:
    """What a value in `unit` with this wire flag is worth. Failed, missing, not a number, a negative mass or
    one at the sensor's ceiling: nothing."""
    if value is None or not math.isfinite(value):
        return Trust.NONE
    qartod = Flag(flag).qartod
    if qartod in (Flag.FAIL, Flag.MISSING):
        return Trust.NONE
    if unit == "ug/m3" and not 0.0 <= value < CAP_UG_M3:
        return Trust.NONE
    return Trust.DOUBTFUL if qartod == Flag.SUSPECT else Trust.GOOD


def spiked(kind: SensorKind, flags: int) -> tuple[bool, bool]:
    """Whether a mass channel of this sample is flagged as a spike, and whether as one that fails."""
    found = {
        flag
        for channel, flag in zip(SPECS[kind].channels, unpack_flags(flags), strict=False)
        if channel.unit == "ug/m3" and flag in _SPIKES
    }
    return bool(found), Flag.FAIL_SPIKE in found


@dataclass(frozen=True)
class Mean:
    total: float = 0.0
    count: int = 0

    def more(self, value: float) -> Mean:
        return Mean(self.total + value, self.count + 1)


def _nothing() -> Mapping[str, Mean]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Gathered:
    """A complete minute: the mean of what can be believed, by channel. Doubtful values count only where the
    minute has no good one of that channel."""

    start_ms: int
    means: Mapping[str, float]


@dataclass(frozen=True)
class Gathering:
    """The minute that is being filled (None between two), and up to where minutes are complete."""

    start_ms: int | None = None
    done_ms: int = 0
    good: Mapping[str, Mean] = field(default_factory=_nothing)
    doubtful: Mapping[str, Mean] = field(default_factory=_nothing)


@dataclass(frozen=True)
class Step:
    """`set_back`: the clock was set back, and everything gathered before is of another time."""

    state: Gathering
    complete: tuple[Gathered, ...] = ()
    set_back: bool = False


def gather(state: Gathering, seen: Seen) -> Step:
    """Take a sample in."""
    start_ms = seen.time_ms - seen.time_ms % MINUTE_MS
    at_ms = state.done_ms if state.start_ms is None else state.start_ms
    if start_ms < at_ms - BACK_MS:
        return replace(gather(Gathering(), seen), set_back=True)
    if start_ms < at_ms:
        return Step(state)  # late: its minute is decided
    complete: tuple[Gathered, ...] = ()
    if state.start_ms is not None and start_ms > state.start_ms:
        state, done = finish(state)
        complete = (done,)
    filled = _with(replace(state, start_ms=start_ms), seen)
    if seen.time_ms + EARLY * seen.every_s * 1000 >= start_ms + MINUTE_MS:
        filled, done = finish(filled)
        complete += (done,)
    return Step(filled, complete)


def finish(state: Gathering) -> tuple[Gathering, Gathered]:
    """Complete the minute that is being filled."""
    assert state.start_ms is not None
    means = {name: mean.total / mean.count for name, mean in {**state.doubtful, **state.good}.items()}
    return Gathering(done_ms=state.start_ms + MINUTE_MS), Gathered(state.start_ms, means)


def _with(state: Gathering, seen: Seen) -> Gathering:
    good, doubtful = dict(state.good), dict(state.doubtful)
    flags = unpack_flags(seen.flags)
    for channel, value, flag in zip(SPECS[seen.kind].channels, seen.values, flags, strict=False):
        if channel.name not in CHANNELS:
            continue
        number = None if value is None else value * 10.0**channel.exponent
        worth = trust(channel.unit, number, flag)
        if worth is Trust.NONE or number is None:
            continue
        into = good if worth is Trust.GOOD else doubtful
        into[channel.name] = into.get(channel.name, Mean()).more(number)
    return replace(state, good=good, doubtful=doubtful)
