"""Faults on request: what sensors and cables do in the street, at a chosen place in a unit's measurements."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from firmware_bridge.emulator.air import BadPlan


class FaultType(StrEnum):
    """What goes wrong."""

    GARBAGE = "garbage"  # random bytes instead of the frame
    TRUNCATE = "truncate"  # the first half of the frame only
    SILENT = "silent"  # no answer
    STUCK = "stuck"  # the same values again
    UNPLUG = "unplug"  # the port disappears, for `count` seconds of wall time


@dataclass(frozen=True)
class Fault:
    """`count` measurements go wrong (seconds, for UNPLUG) once `after` measurements have gone well."""

    type: FaultType
    after: int = 10
    count: int = 1

    def covers(self, measurement: int) -> bool:
        """Whether it befalls the measurement of this number, counted from 0."""
        return self.after <= measurement < self.after + self.count


def parse_fault(text: str) -> Fault:
    """ "TYPE[:COUNT][@AFTER]", e.g. stuck:20@100. Raises BadPlan."""
    try:
        rest, _, after = text.partition("@")
        name, _, count = rest.partition(":")
        fault = Fault(FaultType(name), int(after or 10), int(count or 1))
    except ValueError:
        types = "|".join(FaultType)
        raise BadPlan(
            f"fault {text!r}: allowed is {types}, then :COUNT and @AFTER, e.g. stuck:20@100"
        ) from None
    if fault.after < 0 or fault.count < 1:
        raise BadPlan(f"fault {text!r}: COUNT is at least 1, AFTER at least 0")
    return fault


class FaultPlan:
    """Where a unit is in its faults. Unplugging happens once; the others by the number of the measurement."""

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self._faults = [fault for fault in faults if fault.type is not FaultType.UNPLUG]
        self._unplugs = [fault for fault in faults if fault.type is FaultType.UNPLUG]
        self._random = random.Random(f"faults:{seed}")  # noqa: S311, noise
        self._measurement = 0

    def stuck(self) -> bool:
        """Whether the measurement to be taken now repeats the values of the last."""
        return FaultType.STUCK in self._now()

    def damaged(self, frame: bytes) -> bytes | None:
        """What becomes of this measurement's frame: other bytes, or None for its own. Counts it."""
        now = self._now()
        self._measurement += 1
        if FaultType.SILENT in now:
            return b""
        if FaultType.TRUNCATE in now:
            return frame[: len(frame) // 2]
        if FaultType.GARBAGE in now:
            return self._random.randbytes(len(frame))
        return None

    def unplug_s(self) -> float | None:
        """Seconds for which to be unplugged, if that is due."""
        if self._unplugs and self._measurement >= self._unplugs[0].after:
            return float(self._unplugs.pop(0).count)
        return None

    def _now(self) -> set[FaultType]:
        return {fault.type for fault in self._faults if fault.covers(self._measurement)}
