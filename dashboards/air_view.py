"""PM2.5 and the index over time, as `static/time_chart.js` draws them. Pure."""

from __future__ import annotations

from typing import Any

from air_quality.calibration import CALIBRATION
from air_quality.corrections import CORRECTIONS, NONE
from air_quality.tables import EU_EAQI, INDICES, US_AQI
from dashboards import words
from dashboards.air_model import IndexTrace, Trace

KINDS = {"us": US_AQI, "eu": EU_EAQI}  # as the map names them
DEFAULT_KIND = "us"
GAP_STEPS = 2.5  # a bucket may be missed once by jitter; more is a gap
HOUR_MS = 3_600_000
POLLUTANTS = {"pm2_5": "PM2.5", "pm10": "PM10", "PM2.5": "PM2.5", "PM10": "PM10"}


def blank(title: str, unit: str, decimals: int, begins_ms: int, ends_ms: int) -> dict[str, Any]:
    """A chart without lines."""
    return {
        "title": title,
        "unit": unit,
        "decimals": decimals,
        "zero": True,
        "gap_ms": HOUR_MS,
        "from": begins_ms,
        "to": ends_ms,
        "lines": [],
    }


def corrected(found: Trace, begins_ms: int, ends_ms: int) -> dict[str, Any]:
    """Raw against corrected."""
    chart = blank("PM2.5", words.unit("ug/m3"), 1, begins_ms, ends_ms)
    raw = {"id": "raw", "name": "as the sensor gave it", "raw": True}
    right = {"id": "corrected", "name": "corrected"}
    return chart | {
        "gap_ms": found.step_s * 1000 * GAP_STEPS,
        "lines": [
            right | {"t": list(found.time_ms), "v": list(found.corrected)},
            raw | {"t": list(found.time_ms), "v": list(found.raw)},
        ],
        "corrections": [{"id": name, "words": correction(name)} for name in found.corrections],
    }


def correction(name: str) -> str:
    """`barkjohn2022@1` in words; one that is not known by its own name."""
    if name == CALIBRATION:
        return "this unit's own calibration"
    if name == NONE:
        return "nothing, the value is as the sensor gave it"
    known = CORRECTIONS.get(name)
    return known.title if known else name


def index_bars(found: IndexTrace, begins_ms: int, ends_ms: int) -> dict[str, Any]:
    """The index over time: a bar from each value to the next, at most an hour wide."""
    chart = blank(f"{_title(found.table)} at {found.address.partition('/')[2]}", "", 0, begins_ms, ends_ms)
    starts = [s.time_ms for s in found.steps]
    until = [*starts, ends_ms][1:]
    return chart | {
        "table": found.table,
        "index": _title(found.table),
        "bars": [
            {
                "t": max(step.time_ms, begins_ms),
                "to": min(end, step.time_ms + HOUR_MS, ends_ms),
                "v": step.value,
                "level": step.level,
                "name": step.category,
                "note": f"{POLLUTANTS.get(step.driver, step.driver)} {step.concentration:.1f} µg/m³",
            }
            for step, end in zip(found.steps, until, strict=True)
            if min(end, step.time_ms + HOUR_MS) > begins_ms and step.time_ms < ends_ms
        ],
    }


def kinds() -> list[dict[str, str]]:
    """The indices that can be chosen."""
    return [{"key": key, "title": INDICES[table].title} for key, table in KINDS.items()]


def bands(found: IndexTrace) -> list[dict[str, Any]]:
    """The legend of an index, best first; none for a table that is not known any more."""
    table = INDICES.get(found.table)
    return [
        {
            "level": band.level,
            "name": band.name,
            "range": f"{band.low}" if band.low == band.high else f"{band.low}–{band.high}",
        }
        for band in (table.bands if table else ())
    ]


def _title(table: str) -> str:
    return INDICES[table].title if table in INDICES else table
