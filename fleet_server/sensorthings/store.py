"""Queries of SensorThings: a session in, rows out. Every step is bounded in time by the database itself.

Observations are read a datastream at a time, each by the index on (sensor unit, time): a page of one
datastream is one range scan; of several it is as many, cut to a page each before they are sorted together.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from sqlalchemy import exc, text
from sqlmodel import Session

from fleet_server.sensorthings.entities import DATASTREAM, Entity, Navigation
from fleet_server.sensorthings.errors import BadQuery, QueryTooLong
from fleet_server.sensorthings.relations import BY_PLACE, WITHIN, corrected_observations, raw_observations
from fleet_server.sensorthings.rules import (
    ALL_TIME,
    ANSWER_S,
    STATEMENT_MS,
    Bounds,
    Sight,
    joined,
    stretch,
)
from fleet_server.sensorthings.vocabulary import sql_values

Row = Mapping[str, Any]
CHUNKS = (1, 8, 64, 512)  # datastreams asked at once, until a page in their order is full


@dataclass(frozen=True)
class Wanted:
    """Which rows: conditions on the alias `t` (an observation: `o`), joined by AND, with their parameters.

    order: SQL terms with their directions, the key after them; limit and skip.
    """

    conditions: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    order: tuple[tuple[str, str], ...] = ()
    limit: int | None = None
    skip: int = 0

    @property
    def where(self) -> str:
        return " AND ".join(self.conditions) or "true"

    @property
    def sorting(self) -> str:
        return ", ".join([*(f"{term} {direction}" for term, direction in self.order), "t.id"])


class Rows:
    """Queries of one request. sight: goes into every relation."""

    def __init__(self, session: Session, sight: Sight) -> None:
        self._session = session
        self._began_s = time.monotonic()
        self._base: dict[str, Any] = {
            "exact": sight.exact,
            "air": sight.air,
            "within": sight.within,
            **sql_values(),
        }
        self._run("SELECT set_config('statement_timeout', :ms, true)", {"ms": str(STATEMENT_MS)})

    def _run(self, query: str, parameters: Mapping[str, Any]) -> list[Row]:
        """Raises QueryTooLong, BadQuery for what overflows."""
        if time.monotonic() - self._began_s > ANSWER_S:
            raise _too_long(f"All of this question takes longer than {ANSWER_S:.0f} s.")
        try:
            found = self._session.execute(text(query), {**self._base, **parameters})
            return [dict(row) for row in found.mappings()]
        except exc.OperationalError as failed:
            if isinstance(failed.orig, psycopg.errors.QueryCanceled):
                took = f"This question takes the database longer than {STATEMENT_MS // 1000} s."
                raise _too_long(took) from failed
            raise
        except exc.DataError as failed:
            first = str(failed.orig).splitlines()[0]
            raise BadQuery(f"A value in the question cannot be computed with: {first}.") from failed

    def of(self, entity: Entity, wanted: Wanted) -> list[Row]:
        query = (
            f"SELECT t.* FROM ({entity.relation}) t WHERE {wanted.where}"  # noqa: S608 - compiled, no values
            f" ORDER BY {wanted.sorting} LIMIT :limit OFFSET :skip"
        )
        return self._run(query, {**wanted.parameters, "limit": wanted.limit, "skip": wanted.skip})

    def count(self, entity: Entity, wanted: Wanted) -> int:
        query = f"SELECT count(*) AS n FROM ({entity.relation}) t WHERE {wanted.where}"  # noqa: S608
        return int(self._run(query, wanted.parameters)[0]["n"])

    def children(
        self, target: Entity, navigation: Navigation, keys: Sequence[int | str], wanted: Wanted
    ) -> list[Row]:
        """Of every parent whose `ours` is one of `keys`, as `wanted` says of each: rows with `parent_key`."""
        kind = "text" if any(isinstance(key, str) for key in keys) else "bigint"
        query = (
            f"SELECT p.key AS parent_key, c.* FROM unnest(CAST(:keys AS {kind}[])) AS p(key)"  # noqa: S608
            f" CROSS JOIN LATERAL (SELECT t.*, row_number() OVER (ORDER BY {wanted.sorting}) AS place"
            f" FROM ({target.relation}) t WHERE t.{navigation.theirs} = p.key AND {wanted.where}"
            f" ORDER BY {wanted.sorting} LIMIT :limit OFFSET :skip) c ORDER BY p.key, c.place"
        )
        more = {"keys": list(keys), "limit": wanted.limit, "skip": wanted.skip}
        return self._run(query, {**wanted.parameters, **more})

    def child_counts(
        self, target: Entity, navigation: Navigation, keys: Sequence[int | str], wanted: Wanted
    ) -> dict[int | str, int]:
        kind = "text" if any(isinstance(key, str) for key in keys) else "bigint"
        query = (
            f"SELECT t.{navigation.theirs} AS key, count(*) AS n FROM ({target.relation}) t"  # noqa: S608
            f" WHERE t.{navigation.theirs} = ANY(CAST(:keys AS {kind}[])) AND {wanted.where} GROUP BY 1"
        )
        found = self._run(query, {**wanted.parameters, "keys": list(keys)})
        return {row["key"]: row["n"] for row in found}

    def places(self) -> list[Row]:
        """Every place that a lamppost has or had: key, its id as text; latitude, longitude, cell."""
        return self._run(
            "SELECT CAST(p.id AS text) AS key, p.latitude, p.longitude, p.cell FROM device_place p"  # noqa: S608
            f" JOIN device d ON d.id = p.device_id WHERE {WITHIN}",
            {},
        )

    def areas(self) -> list[Row]:
        """Every area that a datastream was observed in: key, how it is looked up; area: its places."""
        return self._run(
            "SELECT DISTINCT CAST(t.area AS text) AS key, t.area"  # noqa: S608 - a constant
            f" FROM ({DATASTREAM.relation}) t WHERE t.area IS NOT NULL",
            {},
        )

    def datastreams(self, wanted: Wanted, *, by_place: bool = False) -> list[tuple[Row, Bounds]]:
        """Those with observations that may be wanted, by id, and when; conditions on the alias `t`.

        by_place: conditions may name `feature_id`. A datastream is there once for each stretch of time.
        """
        relation = f"SELECT s.*, s.id AS datastream_id FROM ({DATASTREAM.relation}) s"  # noqa: S608
        kept = "t.id, t.thing_id, t.sensor_id, t.slot, t.exponent, t.level, t.property_id"
        query = (
            f"SELECT {kept}{', t.begins, t.until' if by_place else ''}"  # noqa: S608
            f" FROM ({BY_PLACE if by_place else relation}) t WHERE {wanted.where}"
            f" ORDER BY t.id{', t.begins NULLS FIRST' if by_place else ''}"
        )
        found = self._run(query, wanted.parameters)
        if not by_place:
            return [(row, ALL_TIME) for row in found]
        return joined([(row, stretch(row["begins"], row["until"])) for row in found])

    def observations(
        self, datastreams: Sequence[tuple[Row, Bounds]], wanted: Wanted, *, each: bool = False
    ) -> list[Row]:
        """Of these datastreams, within each one's bounds; conditions and order on the alias `o`.

        each: limit and skip hold for each datastream, not for all together.
        """
        if not datastreams or wanted.limit == 0:
            return []
        if each and len({row["id"] for row, _ in datastreams}) < len(datastreams):
            return self._each_in_turn(datastreams, wanted)
        several = not each and len(datastreams) > 1
        if several and not wanted.order:
            return self._in_their_order(datastreams, wanted)
        return self._page(datastreams, wanted, each=each)

    def _each_in_turn(self, datastreams: Sequence[tuple[Row, Bounds]], wanted: Wanted) -> list[Row]:
        """Of each datastream by itself, where one is there with several stretches of time."""
        grouped: dict[int, list[tuple[Row, Bounds]]] = {}
        for row, bounds in datastreams:
            grouped.setdefault(row["id"], []).append((row, bounds))
        return [found for group in grouped.values() for found in self.observations(group, wanted)]

    def _in_their_order(self, datastreams: Sequence[tuple[Row, Bounds]], wanted: Wanted) -> list[Row]:
        """Datastream by datastream, a few at a time, until there are enough."""
        assert wanted.limit is not None
        enough = wanted.skip + wanted.limit
        found: list[Row] = []
        begins, step = 0, 0
        while begins < len(datastreams) and len(found) < enough:
            size = CHUNKS[min(step, len(CHUNKS) - 1)]
            left = Wanted(wanted.conditions, wanted.parameters, (), enough - len(found))
            found += self._page(datastreams[begins : begins + size], left, each=False)
            begins, step = begins + size, step + 1
        return found[wanted.skip : enough]

    def _page(self, datastreams: Sequence[tuple[Row, Bounds]], wanted: Wanted, *, each: bool) -> list[Row]:
        keys = "".join(f", {term} AS k{n}" for n, (term, _) in enumerate(wanted.order))
        inner = ", ".join([*(f"{term} {direction}" for term, direction in wanted.order), "o.time"])
        outer = [f"f.k{n} {direction}" for n, (_, direction) in enumerate(wanted.order)]
        outer = ["f.datastream_id", *outer, "f.time"] if each else [*outer, "f.datastream_id", "f.time"]
        alone = each or len(datastreams) == 1
        fetch = "LIMIT :limit OFFSET :skip" if alone else "LIMIT :fetch"
        source, values = _source(datastreams)
        arms = " UNION ALL ".join(
            f"SELECT r.* FROM {source} CROSS JOIN LATERAL (SELECT o.*{keys} FROM ({arm}) o"  # noqa: S608
            f" WHERE o.time >= d.begins AND o.time < d.ends AND {wanted.where} ORDER BY {inner} {fetch}) r"
            for arm in _arms(datastreams)
        )
        query = f"SELECT f.* FROM ({arms}) f ORDER BY {', '.join(outer)}"  # noqa: S608
        query += "" if alone else " LIMIT :limit OFFSET :skip"
        more = {"limit": wanted.limit, "skip": wanted.skip, "fetch": wanted.skip + (wanted.limit or 0)}
        by_time = all(term == "o.time" for term, _ in wanted.order)
        with self._walking_indices(by_time and len(datastreams) > 1):
            return self._run(query, {**wanted.parameters, **values, **more})

    @contextmanager
    def _walking_indices(self, wanted: bool) -> Iterator[None]:
        """Of several datastreams the planner knows no range, and would sort whole histories for one page."""
        if wanted:
            self._run(_PLANNER, {"on": "off"})
        yield
        if wanted:
            self._run(_PLANNER, {"on": "on"})

    def observation_counts(
        self, datastreams: Sequence[tuple[Row, Bounds]], wanted: Wanted
    ) -> dict[int | str, int]:
        """By datastream; none for one without."""
        if not datastreams:
            return {}
        source, values = _source(datastreams)
        arms = " UNION ALL ".join(
            f"SELECT d.id, r.n FROM {source} CROSS JOIN LATERAL (SELECT count(*) AS n FROM ({arm}) o"  # noqa: S608
            f" WHERE o.time >= d.begins AND o.time < d.ends AND {wanted.where}) r"
            for arm in _arms(datastreams)
        )
        counts: dict[int | str, int] = {}
        for row in self._run(arms, {**wanted.parameters, **values}):
            counts[row["id"]] = counts.get(row["id"], 0) + row["n"]
        return counts


def _too_long(detail: str) -> QueryTooLong:
    return QueryTooLong(
        detail,
        remedy="Ask one Datastream's Observations, give phenomenonTime a beginning and an end, leave out"
        " $count and $orderby by anything but phenomenonTime, expand less.",
    )


_PLANNER = "SELECT set_config('enable_sort', :on, true), set_config('enable_bitmapscan', :on, true)"
# What the observations of a datastream are looked up by: column of the source, its type.
_KEYS = {
    "id": "bigint",
    "thing_id": "integer",
    "sensor_id": "integer",
    "slot": "integer",
    "exponent": "integer",
    "level": "integer",
    "property_id": "text",
    "begins": "timestamptz",
    "ends": "timestamptz",
}


def _source(datastreams: Sequence[tuple[Row, Bounds]]) -> tuple[str, dict[str, Any]]:
    """The datastreams as `d`, in SQL, and its parameters.

    One is written as constants, which the planner puts into the query: it then knows the range and walks the
    index in its order. Of several it knows nothing.
    """
    rows = [{**row, "begins": bounds.begins, "ends": bounds.ends} for row, bounds in datastreams]
    if len(rows) == 1:
        columns = ", ".join(f"CAST(:d_{name} AS {kind}) AS {name}" for name, kind in _KEYS.items())
        return f"(SELECT {columns}) d", {f"d_{name}": rows[0][name] for name in _KEYS}
    arrays = ", ".join(f"CAST(:d_{name} AS {kind}[])" for name, kind in _KEYS.items())
    source = f"unnest({arrays}) AS d({', '.join(_KEYS)})"
    return source, {f"d_{name}": [row[name] for row in rows] for name in _KEYS}


def _arms(datastreams: Sequence[tuple[Row, Bounds]]) -> list[str]:
    """Only what there is: a page of a raw datastream has nothing to do with corrected values."""
    levels = {row["level"] for row, _ in datastreams}
    return [
        arm("d") for level, arm in enumerate((raw_observations, corrected_observations)) if level in levels
    ]
