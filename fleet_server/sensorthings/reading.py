"""One request's answer: the path is followed key by key, then a set is filtered, sorted, cut and shaped.

The order of evaluation is the standard's (OGC 18-088, section 9.3.1): $filter, $count, $orderby, $skip, $top,
then $select and $expand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from fleet_server.errors import NotFound
from fleet_server.sensorthings.compiling import Compiler, asks_for_places
from fleet_server.sensorthings.entities import BY_NAME, BY_SET, OBSERVATION, Entity, Navigation
from fleet_server.sensorthings.errors import bad
from fleet_server.sensorthings.geometry import Geometry
from fleet_server.sensorthings.resource import Resource
from fleet_server.sensorthings.rules import (
    ALL_TIME,
    PAGE_MOST,
    SKIP_MOST,
    Bounds,
    area_of,
    bounds_after,
    observation_key,
    page_size,
    place_of,
    time_order,
)
from fleet_server.sensorthings.shaping import View
from fleet_server.sensorthings.store import Row, Rows, Wanted
from fleet_server.sensorthings.syntax import Logic, Node, Options, paths

Restriction = tuple[str, Any]
"""A column, and the value that it has."""


@dataclass(frozen=True)
class Page:
    """Rows of a set; `more`: are there more? `after`: the last one's key, where keys lead on to them."""

    rows: Sequence[Row]
    more: bool
    count: int | None
    after: str = ""


class Reader:
    """One request's."""

    def __init__(self, rows: Rows, view: View, now: datetime) -> None:
        self.rows, self.view = rows, view
        self._now = now
        self._places: dict[bool, Mapping[str, Geometry]] = {}  # by whether areas are among them

    # the path

    def follow(self, resource: Resource) -> tuple[Row | None, Restriction | None]:
        """The one thing that it leads to, or what restricts the set that it leads to. Raises NotFound."""
        row: Row | None = None
        restriction: Restriction | None = None
        entity = BY_SET[resource.steps[0].name]
        for at, step in enumerate(resource.steps):
            if at > 0:
                assert row is not None, "resource.py lets only single things be navigated from"
                navigation = entity.navigations[step.name]
                restriction = (navigation.theirs, row[navigation.ours])
                entity = BY_NAME[navigation.target]
                if navigation.many and step.key is None:
                    return None, restriction
            elif step.key is None:
                return None, None
            row = self._single(entity, step.key, restriction)
            if row is None:
                key = "" if step.key is None else f"({step.key!r:.60})"
                raise NotFound(f"There is no {step.name}{key}.")
        return row, restriction

    def _single(self, entity: Entity, key: int | str | None, restriction: Restriction | None) -> Row | None:
        if entity is OBSERVATION:
            return self._observation(key, restriction)
        conditions, parameters = [], {}
        if key is not None:
            if isinstance(key, str) is not entity.text_id:
                return None
            conditions.append(f"t.id = CAST(:key AS {'text' if entity.text_id else 'bigint'})")
            parameters["key"] = key
        if restriction is not None:
            conditions.append(f"t.{restriction[0]} = :restriction")
            parameters["restriction"] = restriction[1]
        found = self.rows.of(entity, Wanted(tuple(conditions), parameters, (), 1))
        return found[0] if found else None

    def _observation(self, key: int | str | None, restriction: Restriction | None) -> Row | None:
        known = observation_key(key) if isinstance(key, str) else None
        if known is None:
            return None
        datastream, at = known
        if not ALL_TIME.begins <= at < ALL_TIME.ends:
            return None
        streams = self.rows.datastreams(Wanted(("t.id = CAST(:id AS bigint)",), {"id": datastream}))
        bounds = Bounds(at, at + timedelta(milliseconds=1))
        found = self.rows.observations([(each, bounds) for each, _ in streams], Wanted(limit=1))
        if found and restriction is not None and found[0][restriction[0]] != restriction[1]:
            return None
        return found[0] if found else None

    # sets

    def page(self, entity: Entity, restriction: Restriction | None, options: Options) -> Page:
        """A page of a set. Raises BadQuery, QueryTooLong."""
        if entity is OBSERVATION:
            return self._observations(restriction, options)
        wanted = self.wanted(entity, "t", options)
        if restriction is not None:
            condition = f"t.{restriction[0]} = :restriction"
            more = {"restriction": restriction[1]}
            wanted = replace(
                wanted, conditions=(*wanted.conditions, condition), parameters={**wanted.parameters, **more}
            )
        count = self.rows.count(entity, wanted) if options.count else None
        if options.after:
            kind = "text" if entity.text_id else "bigint"
            if not entity.text_id and not (options.after.isascii() and options.after.isdigit()):
                raise _bad_token()
            condition = f"t.id > CAST(:after AS {kind})"
            more = {"after": options.after if entity.text_id else min(int(options.after[:19]), 2**62)}
            wanted = replace(
                wanted, conditions=(*wanted.conditions, condition), parameters={**wanted.parameters, **more}
            )
        size = page_size(options)
        found = self.rows.of(entity, replace(wanted, limit=size + 1, skip=options.skip))
        after = str(found[size - 1]["id"]) if size and len(found) > size and not options.orderby else ""
        return Page(found[:size], len(found) > size > 0, count, after)

    def wanted(self, entity: Entity, alias: str, options: Options) -> Wanted:
        """$filter and $orderby compiled; the caller says how many."""
        node = options.filter
        places = self._places_for([node, *(order.node for order in options.orderby)])
        compiler = Compiler("$filter", self._now, places, "v")
        conditions = (compiler.condition(entity, alias, node),) if node is not None else ()
        sorter = Compiler("$orderby", self._now, places, "w")
        order = tuple(
            (sorter.order(entity, alias, each), "DESC NULLS LAST" if each.descending else "ASC NULLS LAST")
            for each in options.orderby
        )
        if time_order(options.orderby) is not None:  # never NULL: the index's own order
            order = tuple((term, direction.split()[0]) for term, direction in order)
        return Wanted(conditions, compiler.parameters | sorter.parameters, order)

    def _places_for(self, nodes: Sequence[Node | None]) -> Mapping[str, Geometry]:
        asking = [node for node in nodes if node is not None and asks_for_places(node)]
        if not asking:
            return {}
        areas = any(path.names[-1] == "observedArea" for node in asking for path in paths(node))
        if areas not in self._places:
            sight = self.view.sight
            seen = {
                row["key"]: place_of(row["latitude"], row["longitude"], row["cell"], sight)
                for row in self.rows.places()
            }
            if areas:
                seen |= {row["key"]: area_of(row["area"], sight) for row in self.rows.areas()}
            self._places[areas] = {key: place for key, place in seen.items() if place is not None}
        return self._places[areas]

    def _observations(self, restriction: Restriction | None, options: Options) -> Page:
        conditions: tuple[str, ...] = ()
        parameters: dict[str, Any] = {}
        if restriction is not None:
            conditions, parameters = (f"t.{restriction[0]} = :restriction",), {"restriction": restriction[1]}
        streams, wanted = self._streams(Wanted(conditions, parameters), options)
        descending = time_order(options.orderby)
        after = None
        if options.after:
            after = observation_key(options.after)
            if after is None or (options.orderby and descending is None):
                raise _bad_token()
        if len(streams) > 1 and options.skip > SKIP_MOST:
            raise bad("$skip", 0, f"more than {SKIP_MOST} of several datastreams", "Follow @iot.nextLink.")
        count = None
        if options.count:
            count = sum(self.rows.observation_counts(streams, wanted).values())
        left = [(each, bounds_after(each["id"], after, descending, within)) for each, within in streams]
        size = page_size(options)
        within = [(each, bounds) for each, bounds in left if bounds is not None]
        asked = replace(wanted, limit=size + 1, skip=options.skip) if size else replace(wanted, limit=0)
        found = self.rows.observations(within, asked)
        leads = len(found) > size > 0 and (not options.orderby or descending is not None)
        return Page(found[:size], len(found) > size > 0, count, found[size - 1]["id"] if leads else "")

    def _streams(self, restricted: Wanted, options: Options) -> tuple[list[tuple[Row, Bounds]], Wanted]:
        """The datastreams that can have wanted observations, when, and what is still to be asked of those.

        What $filter says of the datastream and its place alone is asked once of it, not of its every
        observation.
        """
        node = options.filter
        terms = node.terms if isinstance(node, Logic) and node.operator == "and" else (node,) if node else ()
        compiler = Compiler("$filter", self._now, self._places_for([node]), "u")
        conditions = [compiler.condition(OBSERVATION, "t", term) for term in terms if _of_datastream(term)]
        rest = tuple(term for term in terms if not _of_datastream(term))
        chosen = Wanted(
            (*restricted.conditions, *conditions), {**restricted.parameters, **compiler.parameters}
        )
        left = None if not rest else rest[0] if len(rest) == 1 else Logic("and", rest)
        by_place = any("feature_id" in condition for condition in chosen.conditions)
        streams = self.rows.datastreams(chosen, by_place=by_place)
        return streams, self.wanted(OBSERVATION, "o", replace(options, filter=left))

    def observations_of(
        self, navigation: Navigation, parents: Sequence[int], options: Options, size: int
    ) -> tuple[dict[int, list[Row]], dict[int | str, int]]:
        """Of each datastream among `parents`, `size` + 1 at most; and their counts where asked for."""
        condition = f"t.{navigation.theirs} = ANY(CAST(:parents AS bigint[]))"
        streams, wanted = self._streams(Wanted((condition,), {"parents": list(parents)}), options)
        wanted = replace(wanted, limit=size + 1 if size else 0, skip=options.skip)
        grouped: dict[int, list[Row]] = {}
        for row in self.rows.observations(streams, wanted, each=True):
            grouped.setdefault(row[navigation.theirs], []).append(row)
        return grouped, self.rows.observation_counts(streams, wanted) if options.count else {}


def _of_datastream(node: Node) -> bool:
    """Is it the same for every observation of a datastream at one place?"""
    found = paths(node)
    return bool(found) and all(path.names[0] in OBSERVATION.navigations for path in found)


def _bad_token() -> Exception:
    return bad("$skiptoken", 0, "this is none of ours", "Follow @iot.nextLink as it is.")


assert PAGE_MOST < SKIP_MOST
