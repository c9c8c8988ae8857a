"""The one port of this package: what the agent needs of a sensor, however it is connected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from firmware_bridge.kinds import KindSpec, SensorKind


@dataclass(frozen=True)
class Reading:
    """One measurement. `values` by slot, scaled integers (see `kinds`); None where no number was sent."""

    kind: SensorKind
    values: tuple[int | None, ...]
    serial: str | None
    status: tuple[str, ...]  # the device's own warnings, e.g. ("device_error",); empty when it has none


class Sensor(Protocol):
    """A sensor unit. Not thread-safe: one thread uses it. Errors are those of `firmware_bridge.errors`."""

    @property
    def spec(self) -> KindSpec: ...

    def open(self) -> None:
        """Take the port for ourselves. Raises SensorAbsent, SensorForbidden, SensorBusy."""

    def read(self, timeout_s: float) -> Reading:
        """Ask for a measurement and return it; never one that was sent before the question.

        Raises SensorSilent, SensorGarbled, SensorWarmingUp, SensorFault, SensorGone (then close and reopen).
        """

    def wake(self) -> None:
        """Fan and laser on; values count `spec.warm_up_s` later. Nothing to do where there is no sleep."""

    def sleep(self) -> None:
        """Fan and laser off. Does nothing where the kind has no sleep."""

    def identity(self, timeout_s: float) -> str | None:
        """The unit's own serial number or id; None where the kind, or its firmware, tells none."""

    def close(self) -> None:
        """Give the port back. Idempotent, raises nothing."""
