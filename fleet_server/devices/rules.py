"""Decisions about devices, pure: whose data is taken, which presence counts, what is fresh, what a place."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

# Thresholds of an air-quality post that reports once a minute, with its link's usual hiccups on top.
FRESH_UP_TO_S = 5 * 60.0  # three missed minutes and a reconnect
LATE_UP_TO_S = 30 * 60.0  # half an hour: beyond it a map must not show the value as the present
SILENT_AFTER_S = 15 * 60.0  # online, and yet nothing came: half of what makes it stale
SEEN_EVERY_S = 10.0  # how exactly `last_seen_at` is kept; spares a row update per message
DISTRICT_MOST_CHARACTERS = 64  # it heads a column of a table and a variable in Grafana
_CELL = re.compile(r"[0-9b-hjkmnp-z]{1,12}")  # geohash: base 32 without a, i, l, o; 12 characters are 4 cm


class DeviceState(StrEnum):
    """What people decided about a device."""

    PENDING = "pending"
    ACTIVE = "active"
    QUARANTINED = "quarantined"  # it has a certificate of ours, and nobody registered it
    DECOMMISSIONED = "decommissioned"

    @property
    def data_accepted(self) -> bool:
        """Other states' messages go to the dead letters, to be replayed when the device becomes active."""
        return self in {DeviceState.PENDING, DeviceState.ACTIVE}


class PresenceState(StrEnum):
    """What the device, or the broker in its name, told last."""

    NEVER = "never"
    ONLINE = "online"
    OFFLINE = "offline"


class Freshness(StrEnum):
    """How a reading's age is shown."""

    NONE = "none"
    FRESH = "fresh"
    LATE = "late"
    STALE = "stale"


@dataclass(frozen=True)
class PresenceMark:
    """The presence that is stored: the session it came from, and its time (ms) within that session."""

    session: int
    online: bool
    time_ms: int


def presence_counts(stored: PresenceMark | None, told: PresenceMark, *, same_epoch: bool = True) -> bool:
    """Does `told` change what is stored? Messages may come late, twice and out of order.

    A newer session always counts. Within the stored session the will is the last word, and before it the
    newer message counts. A late will of an older session is ignored (Sparkplug B 3.0, STATE messages).
    A device whose storage is new (another epoch) may count its sessions from the start: its birth counts,
    whatever number its predecessor, or a thief, has left; a will only if its connection is the stored one.
    """
    if stored is None:
        return True
    if not same_epoch:
        return told.online or told.session == stored.session
    if told.session > stored.session:
        return True
    if told.session < stored.session or not stored.online:
        return False
    return not told.online or told.time_ms >= stored.time_ms


def report_counts(stored_version: int | None, told_version: int, *, same_epoch: bool) -> bool:
    """Does a report of the twin change what is stored? They may come late and twice.

    A device whose storage is new (another epoch) may count its versions from the start.
    """
    return stored_version is None or not same_epoch or told_version > stored_version


def freshness(age_s: float | None) -> Freshness:
    """`age_s`: street seconds since the newest sample, None where there is none."""
    if age_s is None:
        return Freshness.NONE
    if age_s <= FRESH_UP_TO_S:
        return Freshness.FRESH
    return Freshness.LATE if age_s <= LATE_UP_TO_S else Freshness.STALE


@dataclass(frozen=True)
class Place:
    """Where a lamppost stands, as people declared it: WGS 84 degrees, both or neither; its district."""

    latitude: float | None = None
    longitude: float | None = None
    district: str = ""


def place_problem(place: Place) -> str | None:
    """What is wrong with a declared place, or None."""
    match place.latitude, place.longitude:
        case None, None:
            pass
        case (None, _) | (_, None):
            return "a place has a latitude and a longitude, or neither"
        case float() | int() as latitude, float() | int() as longitude:
            if not math.isfinite(latitude) or not -90.0 <= latitude <= 90.0:
                return f"latitude {latitude:g} is not within -90 and 90 degrees; latitude comes first"
            if not math.isfinite(longitude) or not -180.0 <= longitude <= 180.0:
                return f"longitude {longitude:g} is not within -180 and 180 degrees"
            if latitude == 0.0 and longitude == 0.0:
                return "0,0 lies in the Atlantic: that is what an unset receiver says"
    if len(place.district) > DISTRICT_MOST_CHARACTERS:
        return f"a district has at most {DISTRICT_MOST_CHARACTERS} characters"
    if not place.district.isprintable() or place.district != place.district.strip():
        return "a district is printable characters, without spaces around them"
    return None


def cell_told(settings: Mapping[str, str]) -> str:
    """The public cell (geohash) among what a device tells in its presence; "" for none, or for no geohash."""
    cell = settings.get("cell", "")
    return cell if _CELL.fullmatch(cell) else ""
