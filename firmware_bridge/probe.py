"""Finding out what is on a serial port, with questions that change nothing that lasts.

Order: ask and listen at 9600 baud (streaming sensors speak by themselves), ask at 115200, then wake what may
be asleep and ask once more. The CO2 sensor's zero calibration is not among the commands of this package.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from firmware_bridge.codecs import codec
from firmware_bridge.codecs.frames import (
    DamagedFrame,
    DeviceState,
    Event,
    Measurement,
    Refused,
    Step,
    unit_serial,
)
from firmware_bridge.kinds import SPECS, SensorKind
from firmware_bridge.serial_link import SerialLink

# One kind speaks for those whose frames are the same bytes.
ALIKE: dict[SensorKind, tuple[SensorKind, ...]] = {
    SensorKind.PMS5003: (SensorKind.PMS7003, SensorKind.PMSA003),
    SensorKind.SDS011: (SensorKind.SDS021,),
    SensorKind.SPS30: (),
    SensorKind.MHZ19B: (),
}
ANSWER_S = 0.3  # the slowest answers within 100 ms
STREAM_S = 2.5  # a streaming Plantower speaks every 2.3 s at the slowest


@dataclass(frozen=True)
class Found:
    """A sensor. `alike`: kinds that cannot be told from `kind` by their bytes; the label on it decides."""

    port: str
    kind: SensorKind
    alike: tuple[SensorKind, ...]
    serial: str | None
    was: str  # "streaming", "asleep", "idle" (powered, not measuring) or "waiting" for questions
    restore: tuple[Step, ...]  # brings it back there after readings


def probe_port(port: str, kind: SensorKind | None = None) -> Found | None:
    """What is on this port, or None. Raises SensorAbsent, SensorForbidden, SensorBusy, SensorGone.

    `kind`: only look for this one. Takes some six seconds where nothing answers.
    """
    kinds = tuple(ALIKE) if kind is None else (kind,)
    for wake in (False, True):
        for baud in sorted({SPECS[k].baud for k in kinds}):
            found = _look(port, baud, [k for k in kinds if SPECS[k].baud == baud], wake=wake)
            if found is not None:
                return found
    return None


class _Ear:
    """Listens for several kinds at once: all of them hear every byte."""

    def __init__(self, link: SerialLink, kinds: Sequence[SensorKind]) -> None:
        self._link = link
        self._parsers = {kind: codec(kind).parser() for kind in kinds}

    def listen(self, seconds: float) -> tuple[SensorKind, Event] | None:
        """The first sound frame, and whose it is."""
        limit = time.monotonic() + seconds
        while (left_s := limit - time.monotonic()) > 0:
            data = self._link.wait(left_s)
            for kind, parser in self._parsers.items():
                for event in parser.feed(data):
                    if not (isinstance(event, Refused) and isinstance(event.error, DamagedFrame)):
                        return kind, event
        return None


def _look(port: str, baud: int, kinds: Sequence[SensorKind], *, wake: bool) -> Found | None:
    link = SerialLink(port, baud)
    link.open()
    try:
        link.drain()
        ear = _Ear(link, kinds)
        heard = None
        for kind in kinds:
            dialogue = codec(kind).dialogue
            questions = [step.data for step in dialogue.wake] if wake else []
            for question in [*questions, dialogue.ask]:
                link.write(question)
                heard = heard or ear.listen(ANSWER_S)
            if heard is not None:
                break
        if heard is None:
            heard = ear.listen(STREAM_S) if baud == 9600 else None
        if heard is None:
            return None
        kind, event = heard
        return _found(link, ear, kind, event, woken=wake)
    finally:
        link.close()


def _found(link: SerialLink, ear: _Ear, kind: SensorKind, event: Event, *, woken: bool) -> Found:
    dialogue, serial = codec(kind).dialogue, unit_serial(event)
    was = "asleep" if woken else "waiting"
    if isinstance(event, Refused) and isinstance(event.error, DeviceState):
        was = "idle"
    elif dialogue.streams and not woken:
        again = ear.listen(STREAM_S)  # does it go on by itself?
        was = "streaming" if again is not None else "waiting"
        event = again[1] if again is not None and isinstance(again[1], Measurement) else event
    for step in dialogue.identify if serial is None else ():
        link.write(step.data)
        told = ear.listen(ANSWER_S)
        serial = unit_serial(told[1]) if told is not None else None
    restore = {"asleep": dialogue.sleep, "streaming": dialogue.release, "idle": dialogue.release}.get(was, ())
    if kind is SensorKind.PMS5003 and _has_climate(event):
        return Found(link.port, SensorKind.PMS5003T, (), serial, was, restore)
    return Found(link.port, kind, ALIKE.get(kind, ()), serial, was, restore)


def _has_climate(event: Event) -> bool:
    """Whether a Plantower frame is a PMS5003T's: counts above growing diameters never rise, but its last
    words, temperature and humidity, nearly always do."""
    if not isinstance(event, Measurement):
        return False
    counts = [value for value in event.values[6:] if value is not None]
    return any(wider > narrower for narrower, wider in pairwise(counts))
