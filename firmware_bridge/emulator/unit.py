"""One emulated unit: a device, the air it measures, its place in time, its faults, its ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from firmware_bridge.emulator.air import Scene
from firmware_bridge.emulator.devices import Device, DeviceOptions, Sample, Sampler, Sent
from firmware_bridge.emulator.faults import Fault, FaultPlan
from firmware_bridge.emulator.instrument import Instrument
from firmware_bridge.emulator.ledger import Ledger
from firmware_bridge.emulator.nova_device import NovaDevice
from firmware_bridge.emulator.plantower_device import PlantowerDevice
from firmware_bridge.emulator.sps30_device import Sps30Device
from firmware_bridge.emulator.street_faults import StreetFault, StreetFaults
from firmware_bridge.emulator.timeline import Timeline
from firmware_bridge.emulator.winsen_device import WinsenDevice
from firmware_bridge.kinds import SensorKind


def build_device(kind: SensorKind, sampler: Sampler, options: DeviceOptions, now_s: float) -> Device:
    """A unit of this kind that has just got power."""
    match kind:
        case SensorKind.PMS5003 | SensorKind.PMS7003 | SensorKind.PMSA003 | SensorKind.PMS5003T:
            return PlantowerDevice(sampler, options, now_s)
        case SensorKind.SDS011 | SensorKind.SDS021:
            return NovaDevice(sampler, options, now_s)
        case SensorKind.SPS30:
            return Sps30Device(sampler, options, now_s)
        case SensorKind.MHZ19B:
            return WinsenDevice(sampler, options, now_s)
        case _:
            assert_never(kind)


class Unit:
    """Bytes in, bytes out, at wall times given by the host. Writes its ledger before it gives bytes out."""

    def __init__(
        self,
        kind: SensorKind,
        scene: Scene,
        timeline: Timeline,
        options: DeviceOptions,
        *,
        seed: int,
        faults: Sequence[Fault] = (),
        street_faults: Sequence[StreetFault] = (),
        ledger: Ledger | None = None,
    ) -> None:
        self.kind = kind
        self._scene = scene
        self._timeline = timeline
        self._instrument = Instrument(kind, seed)
        self._faults = FaultPlan(faults, seed)
        self._street_faults = StreetFaults(street_faults)
        self._ledger = ledger
        self._last: tuple[int, ...] | None = None
        self._wall_ms = 0.0
        self._device_s = 0.0
        self._device: Device | None = None
        self._options = options

    def receive(self, data: bytes, wall_ms: float) -> bytes:
        """The bytes that answer these."""
        device = self._at(wall_ms)
        return self._out(device.receive(data, self._now_s()))

    def stream_in_s(self, wall_ms: float) -> float | None:
        """Wall seconds until it talks unasked; None while it does not (never during history)."""
        device = self._at(wall_ms)
        due_s = device.stream_due_s()
        if due_s is None or self._timeline.stepping():
            return None
        return max(0.0, (due_s - self._now_s()) / self._timeline.speed(wall_ms))

    def stream(self, wall_ms: float) -> bytes:
        """The bytes that it sends unasked."""
        device = self._at(wall_ms)
        return self._out(device.stream(self._now_s()))

    def unplug_s(self) -> float | None:
        """Seconds for which the port has to disappear now, if a fault says so."""
        return self._faults.unplug_s()

    def power_cycle(self, wall_ms: float) -> None:
        self._at(wall_ms).power_cycle(self._now_s())

    def close(self) -> None:
        if self._ledger is not None:
            self._ledger.close()

    def _at(self, wall_ms: float) -> Device:
        self._wall_ms = wall_ms
        if self._device is None:
            self._device = build_device(self.kind, self._sample, self._options, self._now_s())
        return self._device

    def _now_s(self) -> float:
        """The device's own time. In the history a second passes with each question, so that an SPS30, which
        needs one for a value, has the next instant's ready."""
        street_s = self._timeline.now_ms(self._wall_ms) / 1000
        stepped_s = self._device_s + 1.0 if self._timeline.stepping() else self._device_s
        self._device_s = max(street_s, stepped_s)
        return self._device_s

    def _sample(self) -> Sample:
        street_ms = self._timeline.take(self._wall_ms)
        stuck = self._faults.stuck() or self._street_faults.stuck(street_ms)
        if self._last is None or not stuck:
            self._last = self._instrument.measure(
                self._street_faults.seen(self._scene.at(street_ms), street_ms)
            )
        return Sample(self._last, street_ms)

    def _out(self, sent: list[Sent]) -> bytes:
        out = b""
        for part in sent:
            damaged = self._faults.damaged(part.data) if part.sample is not None else None
            if damaged is None and part.sample is not None and self._ledger is not None:
                self._ledger.write(part.data, part.sample, int(self._wall_ms))
            out += part.data if damaged is None else damaged
        return out
