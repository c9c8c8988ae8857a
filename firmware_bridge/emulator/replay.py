"""Recorded air: hourly (or other) rows of a parquet or CSV file, laid onto the street clock.

Between rows values are interpolated. A gap (NaN, empty, negative, -9999) of up to `LONGEST_BRIDGED_H` is
bridged the same way; in a longer one the last value holds, as a stuck analyser's would. Past its end a
recording starts again. Its times are only used as distances from its beginning, so its time zone does not
matter.
"""

from __future__ import annotations

import csv
import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from firmware_bridge.emulator.air import Air, BadPlan

LONGEST_BRIDGED_H = 6.0
HOUR_MS = 3_600_000
NAMES = {  # column names accepted, lower case without . and _
    "time": ("time", "datetime", "timestamp", "date"),
    "station": ("station", "site", "stationname"),
    "pm2_5": ("pm25",),
    "pm10": ("pm10",),
    "temperature": ("temp", "temperature"),
    "dew_point": ("dewp", "dewpoint"),
    "humidity": ("humidity", "humi", "rh"),
    "co2": ("co2",),
}
PM10_SHARE, PM1_SHARE = 1.6, 0.68  # of PM2.5, where the recording has no PM10; PM1 is never recorded
USUAL_CO2_PPM, USUAL_TEMPERATURE_CEL, USUAL_HUMIDITY = 425.0, 12.0, 60.0


@dataclass(frozen=True)
class Track:
    """One quantity: its instants (ms from the recording's first row, ascending) and values, gaps left out."""

    times_ms: Sequence[int]
    values: Sequence[float]

    def at(self, time_ms: float) -> float:
        after = bisect_right(self.times_ms, time_ms)
        if after == 0:
            return self.values[0]
        before = after - 1
        if after == len(self.times_ms):
            return self.values[before]
        start, end = self.times_ms[before], self.times_ms[after]
        if end - start > LONGEST_BRIDGED_H * HOUR_MS:
            return self.values[before]
        share = (time_ms - start) / (end - start)
        return self.values[before] + share * (self.values[after] - self.values[before])


@dataclass(frozen=True)
class Recording:
    """One station's tracks, and how long the recording is."""

    first: datetime
    length_ms: int
    tracks: Mapping[str, Track]

    def value(self, name: str, time_ms: float, otherwise: float) -> float:
        track = self.tracks.get(name)
        return otherwise if track is None else track.at(time_ms)


@dataclass
class ReplayScene:
    """A recording whose instant `offset_ms` happens at `origin_ms` on the street clock.

    `origin_ms` is the beginning of the history; None is the first instant that is asked for.
    """

    recording: Recording
    origin_ms: int | None
    offset_ms: int = 0

    def at(self, street_ms: int) -> Air:
        if self.origin_ms is None:
            self.origin_ms = street_ms
        time_ms = (street_ms - self.origin_ms + self.offset_ms) % self.recording.length_ms
        value = self.recording.value
        fine = max(0.0, value("pm2_5", time_ms, 0.0))
        coarse = max(0.0, value("pm10", time_ms, PM10_SHARE * fine) - fine)
        temperature = value("temperature", time_ms, USUAL_TEMPERATURE_CEL)
        dew_point = value("dew_point", time_ms, math.nan)
        humidity = value("humidity", time_ms, _humidity(temperature, dew_point))
        return Air(
            pm1=PM1_SHARE * fine,
            pm2_5=fine,
            pm4=fine + 0.45 * coarse,
            pm10=fine + coarse,
            co2=value("co2", time_ms, USUAL_CO2_PPM),
            temperature=temperature,
            humidity=min(100.0, max(0.0, humidity)),
        )


def _humidity(temperature_cel: float, dew_point_cel: float) -> float:
    """Relative humidity in % by the Magnus formula (WMO-No. 8, annex 4.B)."""
    if math.isnan(dew_point_cel):
        return USUAL_HUMIDITY

    def pressure(t: float) -> float:
        return math.exp(17.62 * t / (243.12 + t))

    return 100 * pressure(dew_point_cel) / pressure(temperature_cel)


def replay_scene(
    file: str, station: str | None, origin_ms: int | None, offset: str | float | None
) -> ReplayScene:
    """Open a recording. `offset`: where in it to begin, an ISO time of its clock or hours from its first row.

    Raises BadPlan with one clear line.
    """
    recording = _recording(file, station)
    if offset is None:
        return ReplayScene(recording, origin_ms)
    if isinstance(offset, str):
        try:
            wanted = datetime.fromisoformat(offset).replace(tzinfo=None)
        except ValueError:
            raise BadPlan(
                f"{file}: offset {offset!r} is neither hours nor a time like 2014-01-10T00:00"
            ) from None
        offset_ms = int((wanted - recording.first).total_seconds() * 1000)
    else:
        offset_ms = int(offset * HOUR_MS)
    if not 0 <= offset_ms < recording.length_ms:
        hours = recording.length_ms / HOUR_MS
        raise BadPlan(
            f"{file}: offset {offset!r} is outside the recording ({recording.first}, {hours:.0f} h)"
        )
    return ReplayScene(recording, origin_ms, offset_ms)


@cache
def _recording(file: str, station: str | None) -> Recording:
    path = Path(file)
    if not path.is_file():
        raise BadPlan(f"{file}: there is no such recording")
    columns = _parquet(path, station) if path.suffix == ".parquet" else _csv(path, station)
    return _tracks(file, columns)


def _station(path: Path, names: Iterable[Any], wanted: str | None) -> str:
    """The one to replay: the one asked for, or the only one there is."""
    known = sorted({str(name) for name in names})
    if wanted is not None and wanted in known:
        return wanted
    if wanted is None and len(known) == 1:
        return known[0]
    asked = "say which station" if wanted is None else f"there is no station {wanted!r}"
    raise BadPlan(f"{path}: {asked}; it has: {', '.join(known)}")


def _no_stations(path: Path, wanted: str | None) -> None:
    if wanted is not None:
        raise BadPlan(f"{path}: station {wanted!r} asked for, but the file has no station column")


def _meanings(file: Path, header: Iterable[str]) -> dict[str, str]:
    """Our name -> the file's column name."""
    plain = {name: name.lower().replace(".", "").replace("_", "").strip() for name in header}
    found = {ours: name for ours, known in NAMES.items() for name, key in plain.items() if key in known}
    for needed in ("time", "pm2_5"):
        if needed not in found:
            wanted = " or ".join(("PM25", "PM2.5", "pm2_5") if needed == "pm2_5" else NAMES[needed])
            raise BadPlan(f"{file}: no column {wanted} (it has: {', '.join(plain)})")
    return found


def _parquet(path: Path, station: str | None) -> dict[str, Sequence[Any]]:
    try:
        import pyarrow
        import pyarrow.compute as compute
        import pyarrow.parquet as parquet
    except ModuleNotFoundError:
        raise BadPlan(f"{path}: reading parquet needs pyarrow: pip install pyarrow") from None
    try:
        with parquet.ParquetFile(path) as file:
            found = _meanings(path, file.schema_arrow.names)
            table = file.read(columns=list(found.values()))
    except (pyarrow.ArrowException, OSError) as error:
        raise BadPlan(f"{path}: is no readable parquet file ({str(error).splitlines()[0]})") from None
    of_station = found.pop("station", None)
    if of_station is None:
        _no_stations(path, station)
    else:
        names = compute.cast(table.column(of_station), pyarrow.string())
        table = table.filter(compute.equal(names, _station(path, names.unique().to_pylist(), station)))
    return {ours: table.column(name).to_pylist() for ours, name in found.items()}


def _csv(path: Path, station: str | None) -> dict[str, Sequence[Any]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines)
            found = _meanings(path, rows.fieldnames or ())
            columns: dict[str, list[Any]] = {ours: [] for ours in found}
            for row in rows:
                for ours, name in found.items():
                    columns[ours].append(row[name])
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadPlan(f"{path}: is no readable CSV file ({error})") from None
    stations = columns.pop("station", None)
    if stations is None:
        _no_stations(path, station)
        return dict(columns)
    chosen = _station(path, stations, station)
    rows_of_it = [row for row, name in enumerate(stations) if str(name) == chosen]
    return {name: [column[row] for row in rows_of_it] for name, column in columns.items()}


def _tracks(file: str, columns: Mapping[str, Sequence[Any]]) -> Recording:
    times = [_time(file, row, value) for row, value in enumerate(columns["time"], start=1)]
    if len(times) < 2:
        raise BadPlan(f"{file}: {len(times)} rows; a recording needs two at least")
    order = sorted(range(len(times)), key=times.__getitem__)
    first = times[order[0]]
    tracks = {}
    for name, column in columns.items():
        if name == "time":
            continue
        lowest = -60.0 if name in ("temperature", "dew_point") else 0.0  # below is how files mark a gap
        pairs = [
            (int((times[row] - first).total_seconds() * 1000), value)
            for row in order
            if (value := _number(file, row, column[row])) >= lowest
        ]
        if pairs:
            tracks[name] = Track([time for time, _ in pairs], [value for _, value in pairs])
    if "pm2_5" not in tracks:
        raise BadPlan(f"{file}: its PM2.5 column holds no value")
    span = times[order[-1]] - first
    step = span / (len(times) - 1)
    return Recording(first, max(1, int((span + step).total_seconds() * 1000)), tracks)


def _time(file: str, row: int, value: Any) -> datetime:
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    try:
        return datetime.fromisoformat(str(value)).replace(tzinfo=None)
    except ValueError:
        raise BadPlan(f"{file}: row {row}: {value!r} is no time like 2014-01-10T00:00") from None


def _number(file: str, row: int, value: Any) -> float:
    """NaN (which no comparison accepts) for a gap."""
    if value is None or value in ("", "NA", "NaN", "nan"):
        return math.nan
    try:
        return float(value)
    except ValueError:
        raise BadPlan(f"{file}: row {row + 1}: {value!r} is no number") from None
