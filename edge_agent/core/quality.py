"""Quality of a sample on the device: the tests of `air_quality.quality`, as the wire's flags. Pure.

A value's flag is the worst of range, rate of change and flat line, known at once, and of the spike test,
which only the next sample can decide. So `judge` gives the flags of this sample and, where the spike test
found something, the corrected flags of the sample before: they are applied while that sample is not yet
sealed. A sealed batch is never re-formed; its samples then stand with what was known when it was sealed,
which for a spike is "suspect, rate of change": a step of that height is suspect when it arrives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from air_quality.limits import ChannelLimits, limits_for
from air_quality.quality import FlatTest, Qartod, RangeTest, RateTest, SpikeTest
from wire_contract.flags import Flag, pack_flags

_SUSPECT = (Flag.SUSPECT_RANGE, Flag.SUSPECT_SPIKE, Flag.SUSPECT_RATE, Flag.SUSPECT_FLAT)
_FAIL = (Flag.FAIL_RANGE, Flag.FAIL_SPIKE, Flag.FAIL_RATE, Flag.FAIL_FLAT)


@dataclass(frozen=True)
class Judged:
    """Packed flags of this sample; and those of the one before, when the spike test changed them."""

    flags: int
    amended_before: int | None


def to_flag(verdicts: Sequence[Qartod | None]) -> Flag:
    """One wire flag for the verdicts of range, spike, rate and flat, in this order: the worst, named after
    the first test that found it. None is a test that was not made."""
    if verdicts[0] is Qartod.MISSING:
        return Flag.MISSING
    for level, names in ((Qartod.FAIL, _FAIL), (Qartod.SUSPECT, _SUSPECT)):
        for verdict, name in zip(verdicts, names, strict=True):
            if verdict is level:
                return name
    return Flag.GOOD if Qartod.GOOD in verdicts else Flag.UNKNOWN


def _at_least_suspect(flag: Flag) -> Flag:
    return Flag.SUSPECT if flag in (Flag.GOOD, Flag.UNKNOWN) else flag


@dataclass
class ChannelQuality:
    """The tests of one slot. `before`: the verdicts of the last sample, its spike verdict still open."""

    limits: ChannelLimits
    every_s: float
    before: tuple[Qartod | None, ...] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        limits = self.limits
        self._range = RangeTest(limits.fail, limits.suspect, limits.caps)
        self._spike = SpikeTest(*limits.spike) if limits.spike else None
        self._rate = RateTest(*self._rate_limits()) if limits.rate else None
        self._flat = None
        if limits.flat:
            suspect_s, fail_s, tolerance = limits.flat
            counts = (max(1, int(suspect_s / self.every_s)), max(1, int(fail_s / self.every_s)))
            self._flat = FlatTest(*counts, tolerance)

    def _rate_limits(self) -> tuple[float, float | None]:
        """Per second. A step from one sample to the next as high as a suspect spike is suspect at once: the
        spike test's own verdict comes a sample later, often after this one has left."""
        suspect, fail = self.limits.rate or (inf, None)
        if self.limits.spike:
            suspect = min(suspect, self.limits.spike[0] / self.every_s)
        return suspect, fail

    def judge(self, value: float | None, time_s: float) -> tuple[Flag, Flag | None]:
        """The flag of this value, and the final flag of the one before (None for the first)."""
        spiked = self._spike.push(value) if self._spike else None
        final = None
        if self.before is not None:
            final = to_flag((self.before[0], spiked, *self.before[2:]))
        self.before = (
            self._range.push(value),
            None,
            self._rate.push(value, time_s) if self._rate else None,
            self._flat.push(value) if self._flat else None,
        )
        return to_flag(self.before), final


class UnitQuality:
    """The tests of one unit. `channels`: (name, unit, exponent) by slot; `every_s`: its cadence (street)."""

    def __init__(self, channels: Sequence[tuple[str, str, int]], every_s: float) -> None:
        self._scales = [10.0**exponent for _, _, exponent in channels]
        self.every_s = every_s
        self._slots = [ChannelQuality(limits_for(name, unit), every_s) for name, unit, _ in channels]
        self._last = 0
        self._doubted = False  # the sample before was doubtful

    def judge(self, values: Sequence[int | None], time_s: float, doubtful: bool = False) -> Judged:
        """Judge a sample of scaled integers taken at street-monotonic `time_s`. `doubtful`: the sensor itself
        reports an error, so that no value of this sample is good."""
        flags, finals = [], []
        for slot, scale, value in zip(self._slots, self._scales, values, strict=True):
            flag, final = slot.judge(None if value is None else value * scale, time_s)
            flags.append(_at_least_suspect(flag) if doubtful else flag)
            finals.append(_at_least_suspect(final) if self._doubted and final is not None else final)
        self._doubted = doubtful
        packed, before = pack_flags(flags), self._last
        self._last = packed
        if any(final is None for final in finals):
            return Judged(packed, None)
        amended = pack_flags([final for final in finals if final is not None])
        return Judged(packed, amended if amended != before else None)
