"""$expand: what is shown within an entity, one query of the database for each expansion of a whole page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from fleet_server.sensorthings.entities import BY_NAME, DATASTREAM, OBSERVATION, Entity, Navigation
from fleet_server.sensorthings.errors import bad
from fleet_server.sensorthings.reading import Reader
from fleet_server.sensorthings.rules import SHOWN_MOST, expanded_size
from fleet_server.sensorthings.shaping import checked_select, shape
from fleet_server.sensorthings.store import Row
from fleet_server.sensorthings.syntax import Expand, Options


@dataclass
class Shown:
    """An entity as JSON; `entities`: how many that is, itself and those within it."""

    json: dict[str, Any]
    entities: int = 1


def shaped(reader: Reader, entity: Entity, rows: Sequence[Row], options: Options) -> list[dict[str, Any]]:
    """The rows as JSON, with what is expanded in them. Raises BadQuery."""
    return [each.json for each in _shown(reader, entity, rows, options)]


def _shown(reader: Reader, entity: Entity, rows: Sequence[Row], options: Options) -> list[Shown]:
    select = checked_select(entity, options.select)
    made = [Shown(shape(entity, row, reader.view, select)) for row in rows]
    seen: set[str] = set()
    for expand in options.expand:
        navigation = entity.navigations.get(expand.name)
        if navigation is None or expand.name in seen:
            known = ", ".join(name for name in entity.navigations if name not in seen)
            detail = f"{entity.name} has no {expand.name!r:.60} to expand, or has it twice"
            raise bad("$expand", expand.at, detail, f"There are {known}.")
        seen.add(expand.name)
        _expand(reader, entity, navigation, rows, made, expand)
        if sum(each.entities for each in made) > SHOWN_MOST:
            detail = f"this would be more than {SHOWN_MOST} entities in one answer"
            raise bad(
                "$expand", expand.at, detail, "Ask for fewer with $top, or follow the navigation links."
            )
    return made


def _expand(
    reader: Reader,
    entity: Entity,
    navigation: Navigation,
    rows: Sequence[Row],
    made: list[Shown],
    expand: Expand,
) -> None:
    target = BY_NAME[navigation.target]
    if not navigation.many:
        _check_single(expand)
    keys = list(dict.fromkeys(row[navigation.ours] for row in rows))
    size = expanded_size(expand.options, len(keys)) if navigation.many else 1
    grouped, counts = _fetched(reader, entity, navigation, keys, expand.options, size)
    every = [row for key in keys for row in grouped.get(key, [])[:size]]
    shown = iter(_shown(reader, target, every, expand.options))
    by_key = {key: [next(shown) for _ in grouped.get(key, [])[:size]] for key in keys}
    for row, parent in zip(rows, made, strict=True):
        key, json = row[navigation.ours], parent.json
        found = by_key[key]
        parent.entities += sum(each.entities for each in found)
        if not navigation.many:
            if found:
                json[expand.name] = found[0].json
            continue
        json[expand.name] = [each.json for each in found]
        if expand.options.count:
            json[f"{expand.name}@iot.count"] = counts.get(key, 0)
        if len(grouped.get(key, [])) > size > 0:
            link = f"{reader.view.self_link(entity, row['id'])}/{expand.name}"
            json[f"{expand.name}@iot.nextLink"] = _next(link, expand, size)


def _fetched(
    reader: Reader,
    entity: Entity,
    navigation: Navigation,
    keys: Sequence[Any],
    options: Options,
    size: int,
) -> tuple[dict[Any, list[Row]], dict[Any, int]]:
    """By parent: one row more than `size`, where there is one; and the counts, where they are asked for."""
    target = BY_NAME[navigation.target]
    if not keys:
        return {}, {}
    if target is OBSERVATION and entity is DATASTREAM:
        return reader.observations_of(navigation, keys, options, size)
    grouped: dict[Any, list[Row]] = {}
    counts: dict[Any, int] = {}
    if target is OBSERVATION:  # of all datastreams of a feature together: one after the other
        for key in keys:
            some = replace(options, top=min(size + 1, 1_000) if size else 0)
            page = reader.page(target, (navigation.theirs, key), some)
            grouped[key], counts[key] = list(page.rows), page.count or 0
        return grouped, counts
    wanted = reader.wanted(target, "t", options)
    limit = size + 1 if size else 0
    for row in reader.rows.children(
        target, navigation, keys, replace(wanted, limit=limit, skip=options.skip)
    ):
        grouped.setdefault(row["parent_key"], []).append(row)
    return grouped, reader.rows.child_counts(target, navigation, keys, wanted) if options.count else {}


def _check_single(expand: Expand) -> None:
    """$select and $expand are all that there is to say of one."""
    if replace(expand.options, select=(), expand=()) != Options():
        raise bad("$expand", expand.at, f"{expand.name} is one: only $select and $expand go within it")


def _next(link: str, expand: Expand, size: int) -> str:
    pairs = [(name, text) for name, text in expand.text if name not in ("$skip", "$top", "$count")]
    pairs += [("$top", str(size)), ("$skip", str(expand.options.skip + size))]
    return f"{link}?{urlencode(pairs, quote_via=quote, safe='$(),;/')}"
