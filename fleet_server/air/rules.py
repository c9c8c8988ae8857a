"""Decisions about air, pure: which unit speaks, when an hour counts, its indices, a district's index."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from air_quality.calibration import Calibration, at, corrected_channel, corrected_pm2_5
from air_quality.index import INDICES, US_AQI, index_of
from air_quality.nowcast import HOURS as NOWCAST_HOURS
from air_quality.nowcast import pm_nowcast

POLLUTANTS = ("pm2_5", "pm10")
HOUR = timedelta(hours=1)
PARTS = 12  # an hour's five minutes: a sensor that is asked only every few minutes still fills them
PART_S = 300
COMPLETE_SHARE = 0.75  # of the parts hold readings: the completeness that EPA and EEA ask of an hourly mean
RUNNING_PARTS_LEAST = 2  # ten minutes: before that the running hour is one car's exhaust
TEXT_MOST_CHARACTERS = 200
DECIMALS = 4  # kept of a mean: 9.1 stays 9.1 where a table truncates, and equal means are equal


@dataclass(frozen=True)
class UnitMeans:
    """What one sensor unit measured in one hour (or minute): means by channel, in ug/m3 and percent.

    parts: by channel, one bit for each five minutes that hold readings. through: end of the last minute.
    """

    sensor_unit: int
    kind: str
    means: Mapping[str, float]
    parts: Mapping[str, int]
    through: datetime


@dataclass(frozen=True)
class Hour:
    """A lamppost's mean of one pollutant: of the unit that speaks for it, raw and corrected, ug/m3."""

    pollutant: str
    sensor_unit: int
    raw: float
    value: float
    correction: str
    humidity: float | None
    parts: int
    complete: bool
    closed: bool
    through: datetime


@dataclass(frozen=True)
class Index:
    """An index of a lamppost. concentration: of the driver, as it went into the table."""

    index_id: str
    value: int
    level: int
    category: str
    driver: str
    concentration: float
    correction: str
    through: datetime


@dataclass(frozen=True)
class DistrictValue:
    """The median of `n` lampposts; `driver` is that of the worst one."""

    value: int
    level: int
    category: str
    driver: str
    n: int


def parts_needed(begins: datetime, until: datetime) -> int:
    """How many of an hour's parts must hold readings, of those that were over at `until`."""
    elapsed_s = min(max((until - begins).total_seconds(), 0.0), HOUR.total_seconds())
    return max(math.ceil(COMPLETE_SHARE * math.floor(elapsed_s / PART_S)), RUNNING_PARTS_LEAST)


def hours_of(
    units: Sequence[UnitMeans],
    calibrations: Mapping[int, Sequence[Calibration]],
    begins: datetime,
    now: datetime,
) -> list[Hour]:
    """The lamppost's means of the hour that begins at `begins`; none for a pollutant that nobody measured.

    calibrations: by sensor unit; the one that had begun at `begins` counts for the whole hour.
    now: the street clock's; a device's clock may be ahead of it by a little.
    """
    through = max((unit.through for unit in units), default=now)
    needed = parts_needed(begins, max(now, through))
    found = []
    for pollutant in POLLUTANTS:
        spoken = [
            each
            for unit in units
            if (each := _spoken(unit, pollutant, units, calibrations, begins)) is not None
        ]
        if spoken:
            best = min(spoken, key=lambda s: (s.parts < needed, not s.calibrated, s.unit.sensor_unit))
            found.append(_hour(best, pollutant, needed, closed=now >= begins + HOUR))
    return found


@dataclass(frozen=True)
class _Spoken:
    unit: UnitMeans
    calibrated: bool
    raw: float
    value: float
    correction: str
    humidity: float | None
    parts: int


def _spoken(
    unit: UnitMeans,
    pollutant: str,
    units: Sequence[UnitMeans],
    calibrations: Mapping[int, Sequence[Calibration]],
    begins: datetime,
) -> _Spoken | None:
    channel = pollutant if pollutant in unit.means else f"{pollutant}_cf1"
    if channel not in unit.means:
        return None
    own = calibrations.get(unit.sensor_unit, ())
    time_ms = int(begins.timestamp() * 1000)
    humidity = _humidity(unit, units)
    correct = corrected_pm2_5(unit.kind, unit.means, humidity, own, time_ms)
    if pollutant != "pm2_5":
        correct = corrected_channel(pollutant, unit.means, humidity, own, time_ms)
    if correct.value is None:
        return None
    calibrated = at([each for each in own if each.channel == pollutant], time_ms) is not None
    parts = unit.parts.get(channel, 0).bit_count()
    return _Spoken(unit, calibrated, unit.means[channel], correct.value, correct.correction, humidity, parts)


def _humidity(unit: UnitMeans, units: Sequence[UnitMeans]) -> float | None:
    """Its own, else that of the post's first unit that has one."""
    if "humidity" in unit.means:
        return unit.means["humidity"]
    others = sorted((u.sensor_unit, u.means["humidity"]) for u in units if "humidity" in u.means)
    return others[0][1] if others else None


def _hour(said: _Spoken, pollutant: str, needed: int, *, closed: bool) -> Hour:
    return Hour(
        pollutant,
        said.unit.sensor_unit,
        round(said.raw, DECIMALS),
        round(said.value, DECIMALS),
        said.correction,
        None if said.humidity is None else round(said.humidity, DECIMALS),
        said.parts,
        said.parts >= needed,
        closed,
        said.unit.through,
    )


def indices_of(hours: Mapping[tuple[datetime, str], Hour], begins: datetime) -> list[Index]:
    """The lamppost's indices of the hour that begins at `begins`.

    hours: by start and pollutant, back to eleven hours before. Hours that are not complete are missing. The
    US AQI is of the NowCast over twelve hours, the European index of the hour itself.
    """
    back = [begins - n * HOUR for n in range(NOWCAST_HOURS)]
    counted: dict[str, list[Hour | None]] = {}
    for pollutant in POLLUTANTS:
        found = [hours.get((start, pollutant)) for start in back]
        counted[pollutant] = [hour if hour is not None and hour.complete else None for hour in found]
    indices = []
    for index_id in INDICES:
        concentrations = {
            pollutant: _concentration(index_id, several) for pollutant, several in counted.items()
        }
        made = index_of(index_id, concentrations)
        if made is None:
            continue
        newest = next(hour for hour in counted[made.driver] if hour is not None)
        value = concentrations[made.driver]
        assert value is not None, "the driver has a value"
        indices.append(
            Index(
                index_id,
                made.value,
                made.level,
                made.category,
                made.driver,
                round(value, 1),
                newest.correction,
                newest.through,
            )
        )
    return indices


def _concentration(index_id: str, newest_first: Sequence[Hour | None]) -> float | None:
    if index_id == US_AQI:
        nowcast = pm_nowcast([hour.value if hour is not None else None for hour in newest_first])
        return None if nowcast is None else round(nowcast, DECIMALS)
    return newest_first[0].value if newest_first[0] is not None else None


def district_of(index_id: str, lampposts: Iterable[tuple[int, str]]) -> DistrictValue | None:
    """Of (value, driver) of its lampposts; the median of an even number is rounded to the worse side."""
    ordered = sorted(lampposts)
    if not ordered:
        return None
    n = len(ordered)
    median = math.ceil((ordered[(n - 1) // 2][0] + ordered[n // 2][0]) / 2)
    bands = INDICES[index_id].bands
    band = next((band for band in bands if median <= band.high), bands[-1])
    return DistrictValue(median, band.level, band.name, ordered[-1][1], n)


def calibration_problem(calibration: Calibration) -> str | None:
    """What is wrong with a calibration that somebody enters, or None."""
    if calibration.channel not in POLLUTANTS:
        return f"a calibration is of {' or '.join(POLLUTANTS)}"
    for name, value, low, high in (
        ("slope", calibration.slope, 0.01, 10.0),  # beyond it the sensor is broken, or a unit mistaken
        ("offset", calibration.offset, -500.0, 500.0),  # ug/m3
        ("humidity", calibration.humidity, -10.0, 10.0),  # ug/m3 per percent
    ):
        if not math.isfinite(value) or not low <= value <= high:
            return f"{name} = {value:g} is not within {low:g} and {high:g}"
    if len(calibration.source) > TEXT_MOST_CHARACTERS or not calibration.source.isprintable():
        return f"a source is at most {TEXT_MOST_CHARACTERS} printable characters"
    return None


def hour_of(time: datetime) -> datetime:
    """The start of its hour, UTC."""
    return time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
