"""What a technician may tell of a post, and when it is too late to be carried out. Pure.

What was done without a connection comes hours later, in its order for each lamppost. It is carried out as
if it had come at once, unless something newer stands against it (`superseded`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

WORK_ID = re.compile(r"[0-9a-f]{32}")  # made by the technician's tool: asking again is harmless
AHEAD_MOST = timedelta(minutes=10)  # a technician's clock that is further ahead has to be set
AGE_MOST = timedelta(days=90)  # what was done longer ago is told by hand
TEXT_MOST, NAME_MOST = 2000, 100
HEIGHT_MOST_M = 100.0
PHOTOS_MOST = 40  # of one lamppost: ten visits with four pictures
PHOTO_MAX_BYTES = 6 << 20  # provisioning.technician.photos refuses more
REPORT_MAX_BYTES = 16 << 20  # provisioning.technician.report refuses more
# Of one lamppost, from one account: their files, and that of the very first one. Of the others who, when, the
# key and the SHA-256 stay, by which a copy that somebody kept can still be told from a forgery.
REPORTS_KEPT = 12


class Kind(StrEnum):
    """What can be done at a post."""

    PLACE = "place"
    CALIBRATE = "calibrate"
    REPLACE_UNIT = "replace-unit"
    REPLACE_DEVICE = "replace-device"
    DECOMMISSION = "decommission"
    NOTE = "note"
    HANDOVER = "handover"  # written down by a site report, never told by itself


@dataclass(frozen=True)
class PlaceWork:
    """Where it stands. Degrees (WGS 84), metres above the ground; None: not told."""

    latitude: float | None = None
    longitude: float | None = None
    district: str | None = None
    height_m: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class CalibrateWork:
    """corrected = slope * raw + offset + humidity * RH. sensor_unit: where several have the channel."""

    channel: str = "pm2_5"
    slope: float = 1.0
    offset: float = 0.0
    humidity: float = 0.0
    valid_from: str = ""  # ISO 8601 with a zone; "": when it was done
    sensor_unit: int | None = None
    source: str = ""
    reason: str = ""


@dataclass(frozen=True)
class ReplaceUnitWork:
    """A sensor was changed for another of its kind: the lamppost declares it itself, under the same name."""

    sensor: str = ""
    old_serial: str = ""
    new_serial: str = ""
    reason: str = ""


@dataclass(frozen=True)
class ReplaceDeviceWork:
    """The computer was changed; `claim`: the id of the claim that the new one came in with."""

    claim: str = ""
    reason: str = ""


@dataclass(frozen=True)
class DecommissionWork:
    reason: str = ""


@dataclass(frozen=True)
class NoteWork:
    text: str = ""


Work = PlaceWork | CalibrateWork | ReplaceUnitWork | ReplaceDeviceWork | DecommissionWork | NoteWork
TYPES: Mapping[Kind, type[Work]] = {
    Kind.PLACE: PlaceWork,
    Kind.CALIBRATE: CalibrateWork,
    Kind.REPLACE_UNIT: ReplaceUnitWork,
    Kind.REPLACE_DEVICE: ReplaceDeviceWork,
    Kind.DECOMMISSION: DecommissionWork,
    Kind.NOTE: NoteWork,
}
# What must be told for the work to mean anything.
NEEDED: Mapping[Kind, tuple[str, ...]] = {
    Kind.REPLACE_UNIT: ("sensor", "new_serial"),
    Kind.DECOMMISSION: ("reason",),
    Kind.NOTE: ("text",),
}


class BadWork(ValueError):
    """The text says what is wrong with what was told."""


def read_work(kind: Kind, told: Mapping[str, Any]) -> Work:
    """The work of this kind. Raises BadWork, which names the field."""
    if kind not in TYPES:
        raise BadWork("a hand-over is told by its site report")
    known = {each.name: str(each.type) for each in fields(TYPES[kind])}
    unknown = sorted(told.keys() - known.keys())
    if unknown:
        raise BadWork(f"{kind} has no {unknown[0]!r:.40}; it has {', '.join(known)}")
    for name, value in told.items():
        problem = _problem(value, known[name], TEXT_MOST if name in ("text", "reason") else NAME_MOST)
        if problem:
            raise BadWork(f"{name} is {problem}")
    made = TYPES[kind](**told)
    missing = [name for name in NEEDED.get(kind, ()) if not getattr(made, name)]
    if missing:
        raise BadWork(f"{kind} needs {missing[0]}")
    if isinstance(made, PlaceWork):
        _check_place(made)
    if kind is Kind.CALIBRATE and not told.keys() & {"slope", "offset", "humidity"}:
        raise BadWork(
            "calibrate needs a slope, an offset or a humidity; slope 1 says that it changes nothing"
        )
    return made


def _problem(value: object, kind: str, most: int) -> str:
    if value is None:
        return "" if kind.endswith("| None") else "not null"
    match kind.removesuffix(" | None"):
        case "str":
            good = (
                isinstance(value, str) and len(value) <= most and value.replace("\n", " ").isprintable()
                if value
                else value == ""
            )
            return "" if good else f"at most {most} printable characters"
        case "int":
            good = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31
            return "" if good else "a whole number above 0"
        case _:
            good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            return "" if good else "a number"


def reason_of(work: Work) -> str:
    """Why it was done, in one line; "": none was told. A note is its own reason."""
    return " ".join((work.text if isinstance(work, NoteWork) else work.reason).split())


def _check_place(place: PlaceWork) -> None:
    if (place.latitude is None) != (place.longitude is None):
        raise BadWork("a place has a latitude and a longitude, or neither")
    if place.height_m is not None and not 0 <= place.height_m <= HEIGHT_MOST_M:
        raise BadWork(f"height_m is 0 to {HEIGHT_MOST_M:.0f}")
    if replace(place, reason="") == PlaceWork():
        raise BadWork("place needs a place, a district or a height")


def when_problem(done_at: datetime, now: datetime) -> str | None:
    """What is wrong with the time at which it is said to have been done; both with their zone."""
    if done_at.tzinfo is None:
        return "done_at has no zone"
    if done_at - now > AHEAD_MOST:
        return "done_at is in the future: set the clock of the computer that it was told on"
    if now - done_at > AGE_MOST:
        return f"done_at is more than {AGE_MOST.days} days ago"
    return None


@dataclass(frozen=True)
class Since:
    """What happened at the post already, by when it was done there."""

    kind: Kind
    done_at: datetime
    by: str


# kind -> what makes it too late, where that was done after it
AGAINST: Mapping[Kind, frozenset[Kind]] = {
    Kind.PLACE: frozenset({Kind.PLACE}),
    Kind.DECOMMISSION: frozenset({Kind.REPLACE_DEVICE, Kind.HANDOVER}),
    Kind.REPLACE_DEVICE: frozenset({Kind.DECOMMISSION}),
}


@dataclass(frozen=True)
class Changed:
    """A sensor unit took another's place."""

    at: datetime
    new_serial: str


def unit_in_place(units: Mapping[int, str], changed: list[Changed], at: datetime) -> int | None:
    """The unit that was in a sensor's place at that time. units: id to serial number, of all that ever were;
    changed: of this place. None: that cannot be told. Raises BadWork where the one that was put there has not
    told of itself yet."""
    before = [each for each in changed if each.at <= at]
    if before:
        serial = max(before, key=lambda each: each.at).new_serial
        found = [unit for unit, own in units.items() if own == serial]
        if not found:
            raise BadWork(
                f"the unit {serial} has not told of itself: restart the agent, wait a minute, again"
            )
        return found[0]
    later = {each.new_serial for each in changed}
    found = [unit for unit, own in units.items() if own not in later]
    return found[0] if len(found) == 1 else None


def superseded(kind: Kind, done_at: datetime, since: list[Since]) -> Since | None:
    """The newest that stands against it; None where it may be carried out."""
    later = [each for each in since if each.kind in AGAINST.get(kind, ()) and each.done_at > done_at]
    return max(later, key=lambda each: each.done_at, default=None)
