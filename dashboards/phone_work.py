"""What the forms at a post tell, as the bodies of a technician's work (`PUT /api/v1/field/work`). Pure; the
service judges them again, and carries them out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dashboards import times, words
from dashboards.forms import WHY
from dashboards.lamppost_view import CALIBRATED
from fleet_server.errors import InvalidRequest

Told = Mapping[str, str]
_NUMBER = re.compile(r"[+-]?[0-9]{1,3}(?:[.,][0-9]{1,10})?")  # a phone's keyboard may write a comma
_MINUS = {ord("\N{MINUS SIGN}"): "-", ord("\N{EN DASH}"): "-"}  # what a phone makes of a minus
LIVES = {"now": timedelta(minutes=5), "day": timedelta(hours=24)}  # of a claim, by the form's words
READING, HUMIDITY = 20.0, 50.0  # of the example: a usual street's µg/m³ and percent


@dataclass(frozen=True)
class Unit:
    """A sensor unit that the lamppost declared. site: its place on the post, by default its name there."""

    id: int
    kind: str
    serial: str
    site: str
    channels: tuple[str, ...]

    @property
    def calibrated(self) -> tuple[str, ...]:
        """Its channels that can be."""
        return tuple(channel for channel in CALIBRATED if channel in self.channels)

    @property
    def title(self) -> str:
        serial = f", serial {self.serial}" if self.serial else ""
        place = f" ({self.site}{serial})" if self.site else serial
        return f"{words.kind(self.kind)}{place}"


@dataclass(frozen=True)
class Foreseen:
    """What a calibration will do, in words. body: as the service takes it."""

    body: dict[str, Any]
    unit: str
    formula: str
    example: str
    since: str


def number(text: str) -> float | None:
    """What was typed, None for nothing. Raises InvalidRequest."""
    typed = text.strip().translate(_MINUS)
    if not typed:
        return None
    if not _NUMBER.fullmatch(typed):
        raise InvalidRequest(f"{typed[:40]!r} is not a number.", remedy="Write 41.1496.")
    return float(typed.replace(",", "."))


def life(told: str) -> timedelta:
    """How long a claim is good. Raises InvalidRequest."""
    if told and told not in LIVES:
        raise InvalidRequest(f"{told[:40]!r} is no such time.", remedy=f"Choose one of {', '.join(LIVES)}.")
    return LIVES[told or "now"]


def text(told: Told, name: str) -> str:
    """As it was typed, with a browser's line ends made plain."""
    return told.get(name, "").replace("\r\n", "\n").strip()


def place(told: Told) -> dict[str, Any]:
    """Raises InvalidRequest."""
    return {
        "latitude": number(told.get("latitude", "")),
        "longitude": number(told.get("longitude", "")),
        "height_m": number(told.get("height", "")),
        "district": text(told, "district") or None,
        "reason": text(told, WHY),
    }


def replaced_unit(told: Told, units: Sequence[Unit]) -> dict[str, Any]:
    """An old serial number that nobody typed is the one that the lamppost told last."""
    sensor = text(told, "sensor")
    before = [unit.serial for unit in sorted(units, key=lambda each: each.id) if unit.site == sensor]
    return {
        "sensor": sensor,
        "old_serial": text(told, "old_serial") or (before[-1] if before else ""),
        "new_serial": text(told, "new_serial"),
        "reason": text(told, WHY),
    }


def calibration(told: Told, units: Sequence[Unit]) -> Foreseen:
    """Raises InvalidRequest."""
    number_of, _, channel = told.get("unit", "").partition(":")
    unit = next((each for each in units if str(each.id) == number_of), None)
    if unit is None or channel not in unit.calibrated:
        raise InvalidRequest("There is no such sensor unit here.", remedy="Choose one of the list.")
    begins = times.told(told.get("valid", ""))
    if not any(told.get(name, "").strip() for name in ("slope", "offset", "humidity")):
        raise InvalidRequest("Nothing says what its values become.", remedy="Give a slope; 1 changes none.")
    slope = number(told.get("slope", ""))
    offset, humidity = (number(told.get(name, "")) or 0.0 for name in ("offset", "humidity"))
    slope = 1.0 if slope is None else slope
    corrected = max(0.0, slope * READING + offset + humidity * HUMIDITY)
    body: dict[str, Any] = {
        "channel": channel,
        "slope": slope,
        "offset": offset,
        "humidity": humidity,
        "source": text(told, "source"),
        "reason": text(told, WHY),
        "sensor_unit": unit.id,
    }
    if begins is not None:
        body["valid_from"] = begins.isoformat()
    return Foreseen(
        body=body,
        unit=f"{words.channel(channel)} of {unit.title}",
        formula=f"{slope:g} × reading{_signed(offset, '')}{_signed(humidity, ' × humidity')}",
        example=f"{corrected:.1f}",
        since=times.shown(begins, "now on"),
    )


def _signed(value: float, what: str) -> str:
    return f" {'−' if value < 0 else '+'} {abs(value):g}{what}" if value else ""
