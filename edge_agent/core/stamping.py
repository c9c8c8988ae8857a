"""The time a sample gets: never the same millisecond twice for a unit, even when the clock jumps back. Pure.

The server keys a sample by (unit, time). Times of one clock generation rise by at least STEP_MS; each jump
back of the clock begins a new generation, which owns its own last decimal digit. So two samples of a unit
differ in time even where the clock passes the same hour again, ten times over. The cost is a resolution of
10 ms, less than one frame takes at 9600 baud (33 ms).
"""

from __future__ import annotations

from edge_agent.core.records import Stamp
from wire_contract.flags import Flag, pack_flags, unpack_flags

STEP_MS = 10
GENERATIONS = 10
SLEW_MS = 2_000  # a step back by less is how time daemons correct drift: hold the time, begin no generation
CLOCK_SET_MS = 1_767_225_600_000  # 2026-01-01T00:00Z: an earlier clock was never set (no Pi has a battery)
CLOCK_LATEST_MS = 3_029_529_600_000  # 2066-01-01T00:00Z: a later one is a broken clock chip's or receiver's


def clock_is_set(now_ms: int) -> bool:
    return CLOCK_SET_MS <= now_ms < CLOCK_LATEST_MS


def time_corrected(flags: int) -> int:
    """The word of a sample that was taken before the clock was set and got its time afterwards: what is good
    is marked so. A value in doubt keeps the doubt, which says more."""
    return pack_flags([Flag.TIME_CORRECTED if flag == Flag.GOOD else flag for flag in unpack_flags(flags)])


def stamp(last: Stamp, now_ms: int) -> tuple[int, Stamp, bool]:
    """The time for a sample taken at `now_ms`, what to remember, and whether the clock jumped back."""
    wanted = _in_generation(now_ms, last.generation)
    if wanted > last.high_ms:
        return wanted, Stamp(wanted, last.generation), False
    if last.high_ms - now_ms < SLEW_MS:
        held = last.high_ms + STEP_MS
        return held, Stamp(held, last.generation), False
    generation = (last.generation + 1) % GENERATIONS
    moved = _in_generation(now_ms, generation)
    return moved, Stamp(moved, generation), True


def _in_generation(now_ms: int, generation: int) -> int:
    return now_ms - now_ms % STEP_MS + generation
