"""Decisions of the SensorThings slice, pure: what an asker sees of a place, ids, pages, their keys."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from air_quality.place import ALPHABET, PRECISION, cell_bounds, cell_of
from fleet_server.sensorthings.geometry import Geometry, Point, around, box
from fleet_server.sensorthings.syntax import Options, Order, Path
from wire_contract.limits import MAX_TIME_MS, MIN_TIME_MS

Row = Mapping[str, Any]
PAGE_DEFAULT = 100
PAGE_MOST = 1_000  # a larger $top is answered with this many and a link to the next page
EXPANDED_MOST = 20_000  # entities within the entities of one answer: a few megabytes
SHOWN_MOST = 60_000  # as they are written out, where many share what is expanded in each
SKIP_MOST = 100_000  # of observations of several datastreams: further, follow @iot.nextLink
STATEMENT_MS = 10_000  # of the database for one step of an answer; a page by its index takes milliseconds
ANSWER_S = 30.0  # for all steps together: then another step is not begun
_OBSERVATION = re.compile(r"(\d{1,18}):(-?\d{1,15})", re.ASCII)
_STEP = timedelta(microseconds=1)  # PostgreSQL's resolution: the next instant


@dataclass(frozen=True)
class Sight:
    """What an asker sees: exact, the declared place and site; air, corrected values; within, one tenant's."""

    exact: bool
    air: bool
    within: str | None = None


def place_of(latitude: float | None, longitude: float | None, cell: str, sight: Sight) -> Geometry | None:
    """A lamppost's place as the asker sees it: the declared one, or the public cell that holds it; or none.

    cell: the geohash that the lamppost tells, "" for none. No cell is finer than the agents' own finest.
    """
    if latitude is not None and longitude is not None:
        if sight.exact:
            return Point((longitude, latitude))
        # what is declared counts, as coarse as the lamppost itself tells it
        cell = cell_of(latitude, longitude)[: len(cell) or None]
    cell = cell[:PRECISION]
    if not cell or not set(cell) <= set(ALPHABET):
        return None
    return box(*cell_bounds(cell))


def area_of(spots: Sequence[tuple[float | None, float | None, str]], sight: Sight) -> Geometry | None:
    """What holds all these places (latitude, longitude, cell) as the asker sees them: the one, or a box."""
    places = {place_of(*spot, sight) for spot in spots} - {None}
    return around([place for place in places if place is not None])


def observation_key(text: str) -> tuple[int, datetime] | None:
    """`24:1763640000000` is datastream 24's observation of that instant (ms since 1970); None for no id."""
    found = _OBSERVATION.fullmatch(text)
    if found is None:
        return None
    try:
        return int(found[1]), datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(found[2]))
    except OverflowError:
        return None


def page_size(options: Options) -> int:
    return min(PAGE_DEFAULT if options.top is None else options.top, PAGE_MOST)


def expanded_size(options: Options, parents: int) -> int:
    """How many of each parent are shown within it."""
    return max(1, min(page_size(options), EXPANDED_MOST // max(parents, 1))) if options.top != 0 else 0


def time_order(orderby: tuple[Order, ...]) -> bool | None:
    """True: by phenomenonTime, descending; False: ascending; None: by something else, or nothing."""
    if len(orderby) == 1 and orderby[0].node == Path(("phenomenonTime",)):
        return orderby[0].descending
    return None


@dataclass(frozen=True)
class Bounds:
    """A datastream's stretch of time: from `begins` up to, not including, `ends`."""

    begins: datetime
    ends: datetime


ALL_TIME = Bounds(
    datetime.fromtimestamp(MIN_TIME_MS / 1000, UTC), datetime.fromtimestamp((MAX_TIME_MS + 1) / 1000, UTC)
)
"""Holds every sample."""


def stretch(begins: datetime | None, ends: datetime | None) -> Bounds:
    """None: since ever, until ever."""
    return Bounds(begins or ALL_TIME.begins, ends or ALL_TIME.ends)


def joined(stretches: Sequence[tuple[Row, Bounds]]) -> list[tuple[Row, Bounds]]:
    """Of each datastream (column `id`; they come in its order and then in time's): what goes on is one."""
    found: list[tuple[Row, Bounds]] = []
    for row, bounds in stretches:
        if found and found[-1][0]["id"] == row["id"] and found[-1][1].ends == bounds.begins:
            bounds = Bounds(found.pop()[1].begins, bounds.ends)
        found.append((row, bounds))
    return found


def bounds_after(
    datastream: int, after: tuple[int, datetime] | None, descending: bool | None, within: Bounds
) -> Bounds | None:
    """What is left of a datastream's stretch after the page that ended with `after`; None: nothing.

    descending as `time_order`: by time, then datastream; with None by datastream, then time.
    """
    if after is None:
        return within
    last, at = after
    begins, ends = within.begins, within.ends
    if descending is None:
        if datastream < last:
            return None
        begins = at + _STEP if datastream == last else begins
    elif descending:
        ends = at if datastream <= last else at + _STEP
    else:
        begins = at + _STEP if datastream <= last else at
    left = Bounds(max(begins, within.begins), min(ends, within.ends))
    return left if left.begins < left.ends else None
