"""What every emulated device has in common: bytes and the street's time in, bytes out, no I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Sample:
    """A measurement that a device took: scaled integers by slot, and the street's instant of it."""

    values: tuple[int, ...]
    street_ms: int


@dataclass(frozen=True)
class Sent:
    """Bytes for the wire; `sample` if they are a measurement frame with values (for the ledger)."""

    data: bytes
    sample: Sample | None = None


Sampler = Callable[[], Sample]


class Device(Protocol):
    """One emulated unit. Times are street seconds: they may be stepped, and never go back."""

    def receive(self, data: bytes, now_s: float) -> list[Sent]:
        """What it answers to these bytes."""

    def stream_due_s(self) -> float | None:
        """When it sends its next measurement unasked; None where it does not."""

    def stream(self, now_s: float) -> list[Sent]:
        """The unasked measurement that is due."""

    def power_cycle(self, now_s: float) -> None:
        """Lose what is not kept without power."""


@dataclass(frozen=True)
class DeviceOptions:
    """What differs between units. `warm_up_s`: all values are zero so long after power-on and wake-up;
    `streaming`: the factory's mode of Plantower and Nova, measurements unasked."""

    serial: str
    warm_up_s: float = 0.0
    streaming: bool = True
