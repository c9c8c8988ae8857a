"""Quality tests for one channel: gross range, spike, rate of change, flat line. No numpy, no I/O.

Flags and tests follow QARTOD as ioos_qc 3.0.0 carries them out (standards.md 2.3). Each test exists twice:
a function over a whole series, as the standard's vectors state it, and a class fed one value at a time, which
the device uses. Both agree, value by value; only the spike test needs the value after, so its class answers
for the value *before* the one it is given.

A missing value (None) is flagged MISSING by every test. None and NaN are the same thing to the device: its
drivers give None.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

Value = float | None


class Qartod(IntEnum):
    """QARTOD's primary flags."""

    GOOD = 1
    UNKNOWN = 2
    SUSPECT = 3
    FAIL = 4
    MISSING = 9


_PRECEDENCE = {
    Qartod.MISSING: 0,
    Qartod.UNKNOWN: 1,
    Qartod.GOOD: 2,
    Qartod.SUSPECT: 3,
    Qartod.FAIL: 4,
}


def roll_up(flags: Iterable[Qartod]) -> Qartod:
    """The worst of several flags of one value; the order from low to high is 9, 2, 1, 3, 4."""
    return max(flags, key=_PRECEDENCE.__getitem__, default=Qartod.UNKNOWN)


class SpikeMethod(StrEnum):
    AVERAGE = "average"
    DIFFERENTIAL = "differential"


@dataclass(frozen=True)
class RangeTest:
    """Outside `fail` (low, high): FAIL; outside `suspect`: SUSPECT. The ends belong to the span.

    `caps`: where an instrument stops counting: there FAIL, since what it says is a ceiling and no value.
    """

    fail: tuple[float, float]
    suspect: tuple[float, float] | None = None
    caps: tuple[float, ...] = ()

    def push(self, value: Value) -> Qartod:
        if value is None:
            return Qartod.MISSING
        if not self.fail[0] <= value <= self.fail[1] or value in self.caps:
            return Qartod.FAIL
        if self.suspect and not self.suspect[0] <= value <= self.suspect[1]:
            return Qartod.SUSPECT
        return Qartod.GOOD


@dataclass
class SpikeTest:
    """How far a value stands out from its two neighbours; over a threshold strictly.

    AVERAGE: |x - (before + after) / 2|: the neighbours of a spike fail with it. DIFFERENTIAL: the smaller of
    the steps up and down, and only where they have different signs: the peak alone fails.
    `push` answers for the value given the time before (None the first time), as the value after decides. The
    first and the last of a series are UNKNOWN, and so is a value beside a missing one.
    """

    suspect: float
    fail: float
    method: SpikeMethod = SpikeMethod.DIFFERENTIAL
    _before: Value = field(default=None, init=False)
    _middle: Value = field(default=None, init=False)
    _fed: bool = field(default=False, init=False)

    def push(self, value: Value) -> Qartod | None:
        answer = self._judge(value) if self._fed else None
        self._before, self._middle, self._fed = self._middle, value, True
        return answer

    def _judge(self, after: Value) -> Qartod:
        if self._middle is None:
            return Qartod.MISSING
        if self._before is None or after is None:
            return Qartod.UNKNOWN
        height = self._height(self._before, self._middle, after)
        if height > self.fail:
            return Qartod.FAIL
        return Qartod.SUSPECT if height > self.suspect else Qartod.GOOD

    def _height(self, before: float, middle: float, after: float) -> float:
        if self.method is SpikeMethod.AVERAGE:
            return abs(middle - (before + after) / 2)
        up, down = middle - before, middle - after
        return min(abs(up), abs(down)) if up * down > 0 else 0.0


@dataclass
class RateTest:
    """|change| / seconds over `suspect` (or `fail`) per second, strictly. The first value is GOOD.

    After a missing value there is nothing to compare with: UNKNOWN.
    """

    suspect: float
    fail: float | None = None
    _before: tuple[Value, float] | None = field(default=None, init=False)

    def push(self, value: Value, time_s: float) -> Qartod:
        before, self._before = self._before, (value, time_s)
        if value is None:
            return Qartod.MISSING
        if before is None:
            return Qartod.GOOD
        if before[0] is None or time_s <= before[1]:
            return Qartod.UNKNOWN
        rate = abs(value - before[0]) / (time_s - before[1])
        if self.fail is not None and rate > self.fail:
            return Qartod.FAIL
        return Qartod.SUSPECT if rate > self.suspect else Qartod.GOOD


@dataclass
class FlatTest:
    """SUSPECT (FAIL) when the range of the last `suspect_count` + 1 (`fail_count` + 1) values is strictly
    below `tolerance`; tolerance 0 therefore never flags. Missing values are left out of the window.

    Holds the longest run that ends here with a range below the tolerance, as two monotonic queues: for
    values on a grid coarser than the tolerance that is one entry, however long the window.
    """

    suspect_count: int
    fail_count: int
    tolerance: float
    _low: deque[tuple[int, float]] = field(default_factory=deque, init=False)
    _high: deque[tuple[int, float]] = field(default_factory=deque, init=False)
    _start: int = field(default=0, init=False)
    _next: int = field(default=0, init=False)

    def push(self, value: Value) -> Qartod:
        if value is None:
            return Qartod.MISSING
        index, self._next = self._next, self._next + 1
        while self._low and self._low[-1][1] >= value:
            self._low.pop()
        while self._high and self._high[-1][1] <= value:
            self._high.pop()
        self._low.append((index, value))
        self._high.append((index, value))
        self._shrink(index)
        length = self._next - self._start
        if length > self.fail_count:
            return Qartod.FAIL
        return Qartod.SUSPECT if length > self.suspect_count else Qartod.GOOD

    def _shrink(self, index: int) -> None:
        """Drop the oldest values until the range is below the tolerance."""
        while self._low and self._high and not self._high[0][1] - self._low[0][1] < self.tolerance:
            oldest = self._low if self._low[0][0] < self._high[0][0] else self._high
            self._start = oldest.popleft()[0] + 1
        for queue in (self._low, self._high):
            while queue and queue[0][0] < self._start:
                queue.popleft()
        if not self._low or not self._high:
            self._start = index + 1
            self._low.clear()
            self._high.clear()


def gross_range(
    values: Sequence[Value], fail: tuple[float, float], suspect: tuple[float, float] | None = None
) -> list[Qartod]:
    """ioos_qc gross_range_test."""
    test = RangeTest(fail, suspect)
    return [test.push(value) for value in values]


def spike(
    values: Sequence[Value], suspect: float, fail: float, method: SpikeMethod = SpikeMethod.AVERAGE
) -> list[Qartod]:
    """ioos_qc spike_test."""
    test = SpikeTest(suspect, fail, method)
    answers = [test.push(value) for value in (*values, None)]
    return [answer for answer in answers if answer is not None]


def rate_of_change(
    values: Sequence[Value], times_s: Sequence[float], suspect: float, fail: float | None = None
) -> list[Qartod]:
    """ioos_qc rate_of_change_test; thresholds per second."""
    test = RateTest(suspect, fail)
    return [test.push(value, time_s) for value, time_s in zip(values, times_s, strict=True)]


def flat_line(
    values: Sequence[Value], step_s: float, suspect_s: float, fail_s: float, tolerance: float
) -> list[Qartod]:
    """ioos_qc flat_line_test for a series of one value each `step_s` (its median time step)."""
    test = FlatTest(int(suspect_s / step_s), int(fail_s / step_s), tolerance)
    return [test.push(value) for value in values]
