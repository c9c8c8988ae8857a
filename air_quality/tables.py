"""The index tables: read from air_quality/data once, when this module is imported, and checked whole.

A table is data with a version, since authorities change them: whoever stores an index stores the table's id.
Breakpoints are whole numbers of the concentration's last kept digit, so that 9.05 truncates as on paper.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from importlib.resources import files
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from air_quality.colours import PALETTE

US_AQI = "us-aqi@2024-05-06"
EU_EAQI = "eu-eaqi@2024"
_FILES = ("us_aqi_2024_05_06.toml", "eu_eaqi_2024.toml")


class BadTable(ValueError):
    """Ours: a table's file does not hold together."""


class Rule(StrEnum):
    """How a concentration becomes an index."""

    INTERPOLATE = "interpolate"
    CLASS = "class"


@dataclass(frozen=True)
class Band:
    """One category: index `low` to `high`, the authority's colour, and the one every eye can tell."""

    level: int
    name: str
    low: int
    high: int
    colour: str
    accessible_colour: str


@dataclass(frozen=True)
class Pollutant:
    """One column of a table: concentrations in `unit`, means over `averaging_h` hours.

    spans: (band, low, high), ascending, in units of 10**-decimals; a class table's have no gaps to mind,
    their `high` decides alone, and the last band has none.
    """

    key: str
    driver: str
    unit: str
    averaging_h: int
    decimals: int
    spans: tuple[tuple[Band, int, int], ...]


@dataclass(frozen=True)
class IndexTable:
    """One version of one jurisdiction's index; `bands` by level, 1 to 6."""

    id: str
    title: str
    jurisdiction: str
    version: str
    valid_from: date
    source: str
    rule: Rule
    bands: tuple[Band, ...]
    pollutants: tuple[Pollutant, ...]

    def pollutant(self, key: str) -> Pollutant | None:
        """The column of this key."""
        return next((entry for entry in self.pollutants if entry.key == key), None)

    def band(self, level: int) -> Band:
        """The band of this level, 1 to 6."""
        return self.bands[level - 1]


def parse(text: str) -> IndexTable:
    """A table from its file's text. Raises BadTable."""
    try:
        document = tomllib.loads(text, parse_float=Decimal)
        rule = Rule(document["rule"])
        bands = tuple(
            Band(**entry, accessible_colour=PALETTE[at]) for at, entry in enumerate(document["band"])
        )
        pollutants = tuple(_pollutant(entry, bands, rule) for entry in document["pollutant"])
        words = {name: document[name] for name in ("id", "title", "jurisdiction", "version", "source")}
        table = IndexTable(
            **words, valid_from=document["valid_from"], rule=rule, bands=bands, pollutants=pollutants
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise BadTable(f"an index table cannot be read: {error!r}") from error
    _check(table)
    return table


def _pollutant(entry: dict[str, Any], bands: tuple[Band, ...], rule: Rule) -> Pollutant:
    words = {name: entry[name] for name in ("key", "driver", "unit", "averaging_h")}
    if rule is Rule.CLASS:
        ends = [0, *entry["upper"]]
        spans = tuple((bands[at], low, high) for at, (low, high) in enumerate(pairwise(ends)))
        return Pollutant(**words, decimals=0, spans=spans)
    decimals, first = entry["decimals"], entry["first_level"] - 1
    spans = tuple(
        (bands[first + at], _units(low, decimals), _units(high, decimals))
        for at, (low, high) in enumerate(entry["spans"])
    )
    return Pollutant(**words, decimals=decimals, spans=spans)


def _units(value: Decimal | int, decimals: int) -> int:
    scaled = Decimal(value).scaleb(decimals)
    if scaled != int(scaled):
        raise BadTable(f"{value}: has more than {decimals} decimals")
    return int(scaled)


def _check(table: IndexTable) -> None:
    """Raises BadTable: levels 1 to 6, indices and concentrations without gap or overlap."""
    if [band.level for band in table.bands] != list(range(1, len(PALETTE) + 1)):
        raise BadTable(f"{table.id}: bands are levels 1 to {len(PALETTE)}, in order")
    if any(after.low != before.high + 1 for before, after in pairwise(table.bands)):
        raise BadTable(f"{table.id}: a gap between two bands")
    step = 1 if table.rule is Rule.INTERPOLATE else 0
    for entry in table.pollutants:
        if not entry.spans or any(low >= high for _, low, high in entry.spans):
            raise BadTable(f"{table.id}: {entry.key}: a span without length")
        if any(after[1] != before[2] + step for before, after in pairwise(entry.spans)):
            raise BadTable(f"{table.id}: {entry.key}: a gap between two spans")
        if table.rule is Rule.CLASS and len(entry.spans) != len(table.bands) - 1:
            raise BadTable(f"{table.id}: {entry.key}: one upper end for each band but the last")


def _load() -> Mapping[str, IndexTable]:
    folder = files("air_quality.data")
    tables = [parse(folder.joinpath(name).read_text(encoding="utf-8")) for name in _FILES]
    return MappingProxyType({table.id: table for table in tables})


INDICES: Mapping[str, IndexTable] = _load()
