"""One lamppost, from values to what the browser is sent. Pure; for `elements/lamppost_page_*.js`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import median
from typing import Any

from dashboards import air_view, words
from dashboards.lamppost_model import Calibration, Certificate, Facts, Series, Setting, Wishes
from dashboards.model import Condition, Detail, Lamppost, Reading, Sensor

DAY_MS = 86_400_000
EXPIRES_SOON_MS = 30 * DAY_MS  # renewed at two thirds of its life: one so near its end was not
GAP_STEPS = 2.5  # a bucket may be missed once by jitter; more is a gap
GAP_SAMPLES = 3.0  # the same for samples, in multiples of their usual distance
CALIBRATED = ("pm2_5", "pm10")
PM_CHANNELS = {"pm2_5", "pm2_5_cf1", "pm10", "pm10_cf1"}
FROM_ZERO = {"temperature", "humidity", "co2", "pressure"}  # whose charts do not begin at zero
_CODE = re.compile(r"^model_[a-z_]+: ")  # the condition's code; its title stands among the conditions
_RANK = {"error": 0, "warning": 1, "info": 2}
_TONE = {"error": "tone-bad", "warning": "tone-warn", "info": "tone-quiet"}


def post(lamppost: Lamppost, detail: Detail | None) -> dict[str, Any]:
    """The head: who and where it is, and how it does."""
    return {
        "id": lamppost.id,
        "address": lamppost.address,
        "name": lamppost.name,
        "where": ", ".join(filter(None, (lamppost.site, lamppost.district))) or "no place told",
        "state": lamppost.state,
        "presence": lamppost.presence,
        "since": lamppost.presence_ms,
        "fresh": lamppost.fresh,
        "latest": lamppost.newest_ms,
        "waiting": dict(lamppost.backlog).get("history", 0),
        "version": detail.version if detail else "",
        "clock_ok": detail.clock_ok if detail else None,
        "conditions": post_conditions(detail) if detail else [],
    }


def post_conditions(detail: Detail) -> list[dict[str, Any]]:
    """All that is wrong now, worst first."""
    return [condition(c) for c in by_severity(detail.conditions)]


def by_severity(found: Sequence[Condition]) -> list[Condition]:
    return sorted(found, key=lambda c: (_RANK.get(c.severity, len(_RANK)), c.raised_ms, c.code))


def condition(found: Condition) -> dict[str, Any]:
    return {
        "code": found.code,
        "title": words.condition(found.code),
        "subject": found.subject,
        "severity": found.severity,
        "detail": found.detail,
        "remedy": found.remedy,
        "raised": found.raised_ms,
    }


def facts(found: Facts) -> dict[str, Any]:
    return {
        "model": model(found.model),
        "certificate": certificate(found.certificate, found.now_real_ms),
        "place": place(found),
        "registered": found.registered_ms,
        "wishes": None if found.wishes is None else wishes(found.wishes),
    }


def wishes(found: Wishes) -> dict[str, Any]:
    """What is desired comes first, what it refuses before all."""
    rows = [_setting(each) for each in found.settings]
    behind = found.version - found.acknowledged
    return {
        "settings": sorted(rows, key=lambda row: (row["rank"], row["key"])),
        "tags": [f"{key}: {value}" for key, value in found.tags],
        "follows": "It has taken in all of it." if behind == 0 else "It has not taken in the newest yet.",
    }


def _setting(found: Setting) -> dict[str, Any]:
    rank, mark, tone, told = 4, "none", "tone-quiet", "as configured there"
    if found.ac >= 400:
        rank, mark, tone, told = 0, "error", "tone-bad", f"refused: {found.ad}"
    elif found.desired and found.ac == 202:
        rank, mark, tone, told = 1, "warning", "tone-warn", found.ad
    elif found.desired and found.differs:
        rank, mark, tone, told = 2, "warning", "tone-warn", "not there yet"
    elif found.desired:
        rank, mark, tone, told = 3, "fresh", "tone-ok", "holds"
    tie = f"; {', '.join(found.ties)} of the same priority says otherwise" if found.ties else ""
    return {
        "key": found.key,
        "desired": found.desired,
        "source": f"{found.source}{tie}",
        "reported": found.reported,
        "rank": rank,
        "mark": mark,
        "tone": tone,
        "told": told,
    }


def model(told: str) -> dict[str, str]:
    """`air_anomaly@1.0.0/litert`, or `rule@1: ` and why, as the lamppost tells it."""
    name, _, rest = told.strip().partition(" ")
    rule = name.partition("@")[0] == "rule"
    why = _CODE.sub("", rest.strip(" ()").removeprefix("because "))
    if why and why != "as configured":
        why = f"because {why}"
    return {
        "name": name.rstrip(":,;"),
        "by": "the rule" if rule else "the model",
        "why": f", {why}" if why else "",
        "tone": "tone-warn" if rule and why.startswith("because") else "",
    }


def certificate(found: Certificate | None, now_ms: int) -> dict[str, Any]:
    """Its standing in words. `now_ms`: real time, as certificates know no other."""
    if found is None:
        return {"subject": "", "words": "none issued here", "mark": "none", "tone": "tone-quiet"}
    left_days = (found.expires_ms - now_ms) // DAY_MS
    look = {"words": f"valid, {left_days} days left", "mark": "fresh", "tone": "tone-ok"}
    if found.revoked_ms is not None:
        look = {"words": "shut out: revoked or on hold", "mark": "stale", "tone": "tone-bad"}
    elif found.expires_ms <= now_ms:
        look = {"words": "expired: it must be enrolled again", "mark": "stale", "tone": "tone-bad"}
    elif found.expires_ms - now_ms < EXPIRES_SOON_MS:
        look = {
            "words": f"expires in {left_days} days, not renewed yet",
            "mark": "warning",
            "tone": "tone-warn",
        }
    return look | {"subject": f"CN={found.subject}", "expires": found.expires_ms, "serial": found.serial}


def place(found: Facts) -> str:
    """The declared place, else the public cell; people's place is not exact to the doorstep."""
    cell = f"cell {found.cell}" if found.cell else ""
    if found.latitude is None or found.longitude is None:
        return f"{cell}, no exact place declared" if cell else "not told"
    return ", ".join(filter(None, (f"{found.latitude:.5f}, {found.longitude:.5f}", cell)))


def channels(detail: Detail) -> list[dict[str, Any]]:
    """A row for every channel, known or raw, with its newest value and flag."""
    titles = {s.id: title(s) for s in detail.sensors}
    return [
        {
            "series": r.series,
            "title": words.channel(r.channel, r.unit),
            "sensor": titles.get(r.sensor, "") if len(detail.sensors) > 1 else "",
            "value": r.value if r.value is not None else "–",
            "unit": words.unit(r.unit),
            "flag": words.flag(r.flag) if r.time_ms is not None else "no reading yet",
            "flagged": r.time_ms is not None and bool(words.remarkable(r.flag)),
            "time": r.time_ms,
        }
        for r in detail.readings
    ]


def title(sensor: Sensor) -> str:
    return " ".join(filter(None, (words.kind(sensor.kind), sensor.site or sensor.serial)))


def has_pm(detail: Detail) -> bool:
    return any(r.channel in PM_CHANNELS for r in detail.readings)


def born_ms(detail: Detail, reading: Reading) -> int | None:
    """When its sensor was declared: before that there was nothing to miss."""
    return next((s.declared_ms for s in detail.sensors if s.id == reading.sensor), None)


def chart(found: Series, reading: Reading, born: int | None = None) -> dict[str, Any]:
    """One channel as `static/time_chart.js` draws it. No gap is drawn before `born`, in ms."""
    name = words.channel(reading.channel, reading.unit)
    blank = air_view.blank(
        name,
        words.unit(reading.unit),
        max(0, -reading.exponent) + (found.step_s > 0),
        found.begins_ms,
        found.ends_ms,
    )
    line = {"id": str(found.series), "name": name, "t": list(found.time_ms), "v": list(found.mean)}
    return blank | {
        "zero": reading.channel not in FROM_ZERO,
        "gap_ms": gap_ms(found),
        "born": born,
        "lines": [line | {"flag": list(found.flag)}],
        "step": words.step(found.step_s) if found.step_s else "",
    }


def gap_ms(found: Series) -> float:
    """Neighbours further apart than this have a gap between them."""
    distances = [b - a for a, b in zip(found.time_ms, found.time_ms[1:], strict=False)]
    usual = median(distances) if distances else 60_000.0
    return max(found.step_s * 1000 * GAP_STEPS, usual * GAP_SAMPLES)


def units(detail: Detail, calibrations: Sequence[Calibration], now_ms: int) -> list[dict[str, Any]]:
    """Every sensor unit with its health, its conditions and its calibrations."""
    named = {(r.sensor, r.channel): r.unit for r in detail.readings}
    return [
        {
            "id": s.id,
            "title": title(s),
            "serial": s.serial,
            "site": s.site,
            "declared": s.declared_ms,
            "channels": ", ".join(words.channel(c, named.get((s.id, c), "")) for c in s.channels),
            "health": health(s, detail),
            "calibrates": [{"key": c, "title": words.channel(c)} for c in CALIBRATED if c in s.channels],
            "calibrations": _calibrations([c for c in calibrations if c.unit == s.id], now_ms),
        }
        for s in detail.sensors
    ]


def wrong(sensor: Sensor, detail: Detail) -> list[Condition]:
    """The conditions that are about this unit: by its kind, serial or position, or as the only one."""
    only = len(detail.sensors) == 1
    about = (c for c in detail.conditions if c.code.startswith("sensor"))
    return by_severity([c for c in about if only or c.subject.lower() in _names(sensor)])


def unplaced(detail: Detail) -> list[dict[str, Any]]:
    """Conditions about a sensor by a name that no unit of this lamppost tells of itself."""
    if len(detail.sensors) == 1:
        return []
    known = {name for sensor in detail.sensors for name in _names(sensor)}
    about = [c for c in detail.conditions if c.code.startswith("sensor")]
    return [condition(c) for c in by_severity([c for c in about if c.subject.lower() not in known])]


def _names(sensor: Sensor) -> set[str]:
    return {name.lower() for name in (sensor.kind, sensor.serial, sensor.site) if name}


def health(sensor: Sensor, detail: Detail) -> dict[str, Any]:
    """In one word: the worst condition, or what its newest readings are worth."""
    found = wrong(sensor, detail)
    if found:
        worst = found[0].severity
        look = {"mark": worst, "tone": _TONE.get(worst, "tone-warn"), "since": found[0].raised_ms}
        return look | {"words": words.condition(found[0].code)}
    newest = [r for r in detail.readings if r.sensor == sensor.id and r.time_ms is not None]
    if not newest:
        return {"words": "no reading yet", "mark": "none", "tone": "tone-quiet"}
    flagged = sum(bool(words.remarkable(r.flag)) for r in newest)
    if flagged:
        return {
            "words": f"{flagged} of {len(newest)} newest readings flagged",
            "mark": "warning",
            "tone": "tone-warn",
        }
    return {"words": "well", "mark": "fresh", "tone": "tone-ok"}


def _calibrations(found: Sequence[Calibration], now_ms: int) -> list[dict[str, Any]]:
    """Newest first; of each channel the newest that has begun holds."""
    holds: dict[str, Calibration] = {}
    for c in sorted(found, key=lambda c: (c.valid_ms, c.id)):
        if c.valid_ms <= now_ms:
            holds[c.channel] = c
    return [
        {
            "id": c.id,
            "title": words.channel(c.channel),
            "formula": formula(c),
            "valid": c.valid_ms,
            "source": c.source,
            "by": c.by,
            "holds": holds.get(c.channel) is c,
        }
        for c in sorted(found, key=lambda c: (-c.valid_ms, -c.id))
    ]


def formula(found: Calibration) -> str:
    """`0.52 × reading + 1.3 − 0.08 × humidity`."""
    text = f"{found.slope:g} × reading"
    for value, what in ((found.offset, ""), (found.humidity, " × humidity")):
        if value:
            text += f" {'−' if value < 0 else '+'} {abs(value):g}{what}"
    return text
