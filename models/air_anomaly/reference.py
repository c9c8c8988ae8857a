"""The hourly reference air that the recipe starts from, with the data's real defects cleaned.

Beijing (UCI 501), four Chinese cities (UCI 394), and Norway and Brandenburg (EEA): see
../shared/data/README.md.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Instruments stop at 999 (UCI 501's cap); UCI 394 writes -9999 and -97 for missing.
CAP_UG_M3 = 999.0
# Below this share of hours present a post's column is a remnant, not a series.
LEAST_SHARE = 0.2
BEIJING, EUROPE = "beijing/hourly.parquet", "europe/pm25_met_hourly.parquet"
CHINA = ("chengdu", "guangzhou", "shanghai", "shenyang")
MAGNUS_A, MAGNUS_B_CEL = 17.625, 243.04  # Alduchov and Eskridge 1996: humidity from dew point


class DataAbsent(Exception):
    """The reference data is not there; the message is one line: what was looked for, and what to set."""


@dataclass(frozen=True)
class Station:
    """One post's hours, without a hole in time: `hours` since 1970 (the file's own clock), masses in ug/m3
    and humidity in %, NaN where missing; `pm10` and `humidity` None where the source has none."""

    name: str
    group: str
    hours: NDArray[np.int64]
    pm2_5: Floats
    pm10: Floats | None
    humidity: Floats | None


def data_directory(given: str | None = None) -> Path:
    """`given`, else LAMPPOST_SHARED_DATA, else ../shared/data beside the checkout; raises DataAbsent."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(given or os.environ.get("LAMPPOST_SHARED_DATA") or beside)
    missing = [name for name in source_files() if not (folder / name).is_file()]
    if missing:
        raise DataAbsent(
            f"{folder} lacks {', '.join(missing)}: name the folder of the reference data with --data, or "
            "with LAMPPOST_SHARED_DATA"
        )
    return folder


def source_files() -> tuple[str, ...]:
    return (BEIJING, EUROPE, *(f"china_cities/{city}.parquet" for city in CHINA))


def data_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each source file."""
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in source_files()}


def stations(folder: Path) -> list[Station]:
    """Every usable post, in a fixed order."""
    return [*_beijing(folder), *_europe(folder), *(s for city in CHINA for s in _china(folder, city))]


def cleaned(values: Floats, low: float = 0.0, high: float = CAP_UG_M3) -> Floats:
    """NaN for what no instrument measured: under `low`, at `high` or above."""
    with np.errstate(invalid="ignore"):
        return np.where((values >= low) & (values < high), values, np.nan)


def humidity_of(temperature_cel: Floats, dew_point_cel: Floats) -> Floats:
    """Relative humidity in % by Magnus' formula."""
    a, b = MAGNUS_A, MAGNUS_B_CEL
    with np.errstate(invalid="ignore", over="ignore"):
        share = np.exp(a * dew_point_cel / (b + dew_point_cel) - a * temperature_cel / (b + temperature_cel))
        return np.clip(100.0 * share, 1.0, 100.0)


def _table(path: Path) -> Any:
    from pyarrow import parquet

    return parquet.read_table(path)


def _column(table: Any, name: str) -> Floats:
    return np.asarray(table[name].to_numpy(zero_copy_only=False), dtype=np.float64)


def _hours(table: Any) -> NDArray[np.int64]:
    times = table["datetime"].to_numpy(zero_copy_only=False)
    return np.asarray(times.astype("datetime64[h]").astype(np.int64))


def _grid(name: str, group: str, hours: NDArray[np.int64], *columns: Floats | None) -> Station:
    """On a full hourly grid: hours that the file leaves out become NaN."""
    grid = np.arange(hours.min(), hours.max() + 1)
    placed: list[Floats | None] = []
    for column in columns:
        full = None
        if column is not None:
            full = np.full(len(grid), np.nan)
            full[hours - grid[0]] = column
        placed.append(full)
    assert placed[0] is not None
    return Station(name, group, grid, placed[0], placed[1], placed[2])


def _beijing(folder: Path) -> Iterator[Station]:
    table = _table(folder / BEIJING)
    names, hours = np.asarray(table["station"].to_pylist()), _hours(table)
    pm2_5, pm10 = cleaned(_column(table, "PM25")), cleaned(_column(table, "PM10"))
    humidity = humidity_of(_column(table, "TEMP"), _column(table, "DEWP"))
    for name in sorted(set(names)):
        rows = names == name
        yield _grid(str(name), "beijing", hours[rows], pm2_5[rows], pm10[rows], humidity[rows])


def _europe(folder: Path) -> Iterator[Station]:
    table = _table(folder / EUROPE)
    names, regions = np.asarray(table["station"].to_pylist()), np.asarray(table["region"].to_pylist())
    hours, pm2_5 = _hours(table), cleaned(_column(table, "pm25"))
    for name in sorted(set(names)):
        rows = names == name
        yield _grid(str(name), str(regions[rows][0]), hours[rows], pm2_5[rows], None, None)


def _china(folder: Path, city: str) -> Iterator[Station]:
    table = _table(folder / "china_cities" / f"{city}.parquet")
    hours, humidity = _hours(table), cleaned(_column(table, "HUMI"), 1.0, 100.01)
    seen: list[Floats] = []
    for name in sorted(n for n in table.column_names if n.startswith("PM_")):
        pm2_5 = cleaned(_column(table, name))
        # Two posts of one city that agree in every hour are one post written twice.
        if np.isfinite(pm2_5).mean() < LEAST_SHARE or any(
            np.array_equal(pm2_5, other, equal_nan=True) for other in seen
        ):
            continue
        seen.append(pm2_5)
        yield _grid(f"{city} {name.removeprefix('PM_')}", city, hours, pm2_5, None, humidity)
