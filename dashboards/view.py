"""From values to what the browser is sent. Pure; the browser's side is `static/store.js`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboards import words
from dashboards.model import (
    Condition,
    District,
    IndexCourse,
    Lamppost,
    Pending,
    Reading,
    UsedTwice,
)

Row = dict[str, Any]
INDEX_KEYS = ("us", "eu")  # short names of the indices: columns of a row, and in the page's address
HISTORY_WORTH_TELLING = 2  # one batch in flight is no backlog
PREFERRED_CHANNELS = ("pm2_5", "pm10", "co2", "pm1")


@dataclass(frozen=True)
class Draining:
    """How far the history of one lamppost has come: what waits now, of the most that ever waited."""

    waiting: int
    total: int


def draining(lamppost: Lamppost, before: Draining | None) -> Draining | None:
    """The drain's progress after this look; None when there is no history to come."""
    waiting = dict(lamppost.backlog).get("history", 0)
    if waiting < HISTORY_WORTH_TELLING:
        return None
    return Draining(waiting, max(waiting, before.total if before else 0))


def row(lamppost: Lamppost, drain: Draining | None) -> Row:
    return {
        "id": lamppost.id,
        "address": lamppost.address,
        "name": lamppost.name,
        "site": lamppost.site,
        "state": lamppost.state,
        "presence": lamppost.presence,
        "since": lamppost.presence_ms,
        "fresh": lamppost.fresh,
        "latest": lamppost.newest_ms,
        "value": lamppost.value,
        "unit": words.unit(lamppost.unit),
        "flag": words.remarkable(lamppost.flag) if lamppost.newest_ms is not None else "",
        "conditions": lamppost.conditions,
        "worst": lamppost.worst,
        "draining": {"waiting": drain.waiting, "total": drain.total} if drain else None,
        "district": lamppost.district,
        "place": [lamppost.place.latitude, lamppost.place.longitude, int(lamppost.place.coarse)]
        if lamppost.place
        else None,
        "incident": lamppost.incident,
        **dict.fromkeys(INDEX_KEYS),
        **{key: [now.value, now.level, words.channel(now.driver)] for key, now in lamppost.index},
    }


def condition(c: Condition) -> dict[str, Any]:
    return {
        "code": c.code,
        "title": words.condition(c.code),
        "subject": c.subject,
        "severity": c.severity,
        "detail": c.detail,
        "remedy": c.remedy,
        "raised": c.raised_ms,
    }


def district(d: District) -> dict[str, Any]:
    now = [d.index.value, d.index.level, words.channel(d.index.driver)]
    return {"name": d.name, "index": now, "lampposts": d.lampposts, "time": d.time_ms}


def course(found: IndexCourse) -> dict[str, Any]:
    return {
        "lamppost": found.lamppost,
        "index": found.kind,
        "hours": found.hours,
        "t": list(found.time_ms),
        "v": list(found.value),
        "level": list(found.level),
    }


def first_series(readings: Sequence[Reading]) -> int | None:
    """The series to draw when nobody chose one: PM2.5 where there is one, from the sensor that spoke last."""

    def rank(reading: Reading) -> tuple[int, int, int]:
        known = reading.channel in PREFERRED_CHANNELS
        place = PREFERRED_CHANNELS.index(reading.channel) if known else len(PREFERRED_CHANNELS)
        return place, -(reading.time_ms or 0), reading.series

    return min(readings, key=rank).series if readings else None


def pending(waiting: Sequence[Pending]) -> list[dict[str, Any]]:
    return [
        {
            "id": p.id,
            "name": p.name,
            "site": p.site,
            "claim": p.claim,
            "fingerprint": p.fingerprint,
            "asked": p.asked_ms,
            "endsAnother": p.ends_another,
        }
        for p in waiting
    ]


def used_twice(found: Sequence[UsedTwice]) -> list[dict[str, Any]]:
    return [{"id": each.id, "claim": each.claim, "name": each.name, "at": each.at_ms} for each in found]
