"""From values to what the browser is sent. Pure; the browser's side is `static/store.js`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from dashboards import words
from dashboards.model import (
    SPANS,
    Chart,
    Condition,
    Detail,
    District,
    IndexCourse,
    Lamppost,
    Pending,
    Reading,
)

Row = dict[str, Any]
INDEX_KEYS = ("us", "eu")  # short names of the indices: columns of a row, and in the page's address
HISTORY_WORTH_TELLING = 2  # one batch in flight is no backlog
GAP_STEPS = 2.5  # a bucket may be missed once by jitter; more is a gap
GAP_SAMPLES = 3.0  # the same for samples, in multiples of their usual distance
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


def detail(found: Detail) -> dict[str, Any]:
    units = {(r.sensor, r.channel): r.unit for r in found.readings}
    titles = {s.id: " ".join(filter(None, (words.kind(s.kind), s.site or s.serial))) for s in found.sensors}
    several = len(found.sensors) > 1
    return {
        "id": found.id,
        "version": found.version,
        "clock_ok": found.clock_ok,
        "conditions": [condition(c) for c in found.conditions],
        "sensors": [
            {
                "id": s.id,
                "title": words.kind(s.kind),
                "serial": s.serial,
                "site": s.site,
                "channels": ", ".join(words.channel(c, units.get((s.id, c), "")) for c in s.channels),
                "declared": s.declared_ms,
            }
            for s in found.sensors
        ],
        "readings": [
            _reading(r, titles.get(r.sensor, "") if several else "") for r in found.readings if r.time_ms
        ],
        "channels": [
            {
                "id": r.series,
                "title": words.channel(r.channel, r.unit),
                "group": titles.get(r.sensor, "Sensor"),
            }
            for r in found.readings
        ],
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


def _reading(reading: Reading, sensor: str) -> dict[str, Any]:
    return {
        "series": reading.series,
        "title": words.channel(reading.channel, reading.unit),
        "sensor": sensor,
        "value": reading.value if reading.value is not None else "–",
        "unit": words.unit(reading.unit),
        "flag": words.flag(reading.flag),
        "flagged": bool(words.remarkable(reading.flag)),
        "time": reading.time_ms,
    }


def first_series(readings: Sequence[Reading]) -> int | None:
    """The series to draw when nobody chose one: PM2.5 where there is one, from the sensor that spoke last."""

    def rank(reading: Reading) -> tuple[int, int, int]:
        known = reading.channel in PREFERRED_CHANNELS
        place = PREFERRED_CHANNELS.index(reading.channel) if known else len(PREFERRED_CHANNELS)
        return place, -(reading.time_ms or 0), reading.series

    return min(readings, key=rank).series if readings else None


def chart(found: Chart, reading: Reading, lamppost: int) -> dict[str, Any]:
    """The columns of a chart. Its `key` is the same as long as more of it may be added."""
    rollup = found.step_s > 0
    return {
        "key": f"{found.series}:{found.span.key}:{found.step_s}",
        "lamppost": lamppost,
        "series": found.series,
        "title": words.channel(reading.channel, reading.unit),
        "unit": words.unit(reading.unit),
        "decimals": max(0, -reading.exponent) + (1 if rollup else 0),
        "from_zero": reading.channel not in {"temperature", "humidity", "co2"},
        "rollup": rollup,
        "step": words.step(found.step_s),
        "gap_ms": gap_ms(found),
        "from": found.from_ms,
        "to": found.to_ms,
        "t": list(found.time_ms),
        "v": list(found.mean),
        "lo": list(found.low),
        "hi": list(found.high),
        "flag": list(found.flag),
    }


def gap_ms(found: Chart) -> float:
    """Neighbours further apart than this have a gap between them."""
    distances = [b - a for a, b in zip(found.time_ms, found.time_ms[1:], strict=False)]
    usual = median(distances) if distances else 60_000.0
    return max(found.step_s * 1000 * GAP_STEPS, usual * GAP_SAMPLES)


COLUMNS = ("t", "v", "lo", "hi", "flag")


def growth(old: Mapping[str, Any] | None, new: dict[str, Any]) -> dict[str, Any] | None:
    """What to add to the chart that the browser has, or None when it must be sent whole.

    The browser's last point is sent again: a running bucket changes while it fills.
    """
    if (
        old is None
        or old["key"] != new["key"]
        or old["gap_ms"] != new["gap_ms"]
        or not old["t"]
        or not new["t"]
    ):
        return None
    if new["t"][0] not in old["t"] or new["t"][-1] < old["t"][-1]:
        return None
    first = old["t"].index(new["t"][0])
    same = len(old["t"]) - first - 1
    if any(old[name][first:-1] != new[name][:same] for name in COLUMNS):
        return None
    return {"key": new["key"], "from": new["from"], "to": new["to"]} | {n: new[n][same:] for n in COLUMNS}


def pending(waiting: Sequence[Pending]) -> list[dict[str, Any]]:
    return [
        {
            "id": p.id,
            "name": p.name,
            "site": p.site,
            "claim": p.claim,
            "fingerprint": p.fingerprint,
            "asked": p.asked_ms,
        }
        for p in waiting
    ]


def ranges() -> list[dict[str, str]]:
    return [{"key": span.key, "label": span.label} for span in SPANS.values()]
