"""SensorThings, for whoever may ask: one function, which authorizes, reads and shapes.

Whoever may read telemetry may ask. Declared places and sites are shown to those who may read devices, as
/api/v1/devices shows them; others see the public cell. Corrected values are shown to those who may read air.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from fleet_server.access.rules import Action, Principal
from fleet_server.access.service import authorize, permitted
from fleet_server.context import Context
from fleet_server.errors import NotFound
from fleet_server.sensorthings.entities import BY_SET, OBSERVATION, Entity
from fleet_server.sensorthings.errors import bad
from fleet_server.sensorthings.expanding import shaped
from fleet_server.sensorthings.parser import parse_options
from fleet_server.sensorthings.reading import Page, Reader
from fleet_server.sensorthings.resource import Resource, parse_resource
from fleet_server.sensorthings.rules import Sight
from fleet_server.sensorthings.shaping import View, checked_select, data_array, properties_of
from fleet_server.sensorthings.store import Row, Rows
from fleet_server.sensorthings.syntax import Options

_SPEC = "http://www.opengis.net/spec/iot_sensing/1.1/req/"
# What is true: reading, without creating, MQTT, batches; without the class of functions, because those of two
# places take at most one of the city's.
CONFORMANCE = tuple(
    _SPEC + name
    for name in (
        "datamodel/thing",
        "datamodel/location",
        "datamodel/historical-location",
        "datamodel/datastream",
        "datamodel/sensor",
        "datamodel/observed-property",
        "datamodel/observation",
        "datamodel/feature-of-interest",
        "datamodel/entity-control-information",
        "resource-path/resource-path-to-entities",
        "request-data/order",
        "request-data/expand",
        "request-data/select",
        "request-data/status-code",
        "request-data/query-status-code",
        "request-data/orderby",
        "request-data/top",
        "request-data/skip",
        "request-data/count",
        "request-data/filter",
        "request-data/built-in-filter-operations",
        "request-data/pagination",
    )
)


@dataclass(frozen=True)
class Answer:
    """`json`, or a bare `text` ($value); neither: there is a property, and it is empty."""

    json: dict[str, Any] | None = None
    text: str | None = None


def root(ctx: Context, principal: Principal, base: str) -> Answer:
    """The sets, and what of the standard is kept. base: the service's root, without a slash at the end."""
    del ctx
    authorize(principal, Action.TELEMETRY_READ)
    sets = [{"name": name, "url": f"{base}/{name}"} for name in BY_SET]
    return Answer({"value": sets, "serverSettings": {"conformance": list(CONFORMANCE)}})


def read(
    ctx: Context, principal: Principal, path: str, pairs: Sequence[tuple[str, str]], base: str
) -> Answer:
    """The answer to a resource path (decoded) with its query options (decoded, in order).

    Raises Forbidden, NotFound, BadQuery, QueryTooLong.
    """
    authorize(principal, Action.TELEMETRY_READ)
    sight = Sight(
        exact=permitted(principal, Action.DEVICES_READ),
        air=permitted(principal, Action.AIR_READ),
        within=principal.within,
    )
    resource = parse_resource(path)
    options = parse_options(pairs)
    _check(resource, options)
    with ctx.db.session(principal.tenant) as session:
        reader = Reader(Rows(session, sight), View(base, sight), ctx.clock.now())
        row, restriction = reader.follow(resource)
        if row is not None:
            return _one(reader, resource, row, options)
        page = reader.page(resource.entity, restriction, options)
        return Answer(_set(reader, resource, page, path, pairs, options))


def _check(resource: Resource, options: Options) -> None:
    """What cannot be asked of the one or the many."""
    given = _given(options)
    for_many = [name for name in given if name not in ("$select", "$expand")]
    if not resource.many and for_many:
        raise bad(for_many[0], 0, "of one thing, only $select and $expand can be asked")
    if resource.property and given:
        raise bad(given[0], 0, "of a property, nothing more can be asked")
    if options.data_array and (resource.entity is not OBSERVATION or not resource.many or options.expand):
        raise bad("$resultFormat", 0, "dataArray is of Observations, without $expand")
    if options.orderby and options.after and resource.entity is not OBSERVATION:
        raise bad("$skiptoken", 0, "this is none of ours", "Follow @iot.nextLink as it is.")


def _given(options: Options) -> list[str]:
    """The options that say something."""
    said = {
        "$filter": options.filter is not None,
        "$orderby": bool(options.orderby),
        "$top": options.top is not None,
        "$skip": options.skip > 0,
        "$count": options.count,
        "$resultFormat": options.data_array,
        "$skiptoken": bool(options.after),
        "$select": bool(options.select),
        "$expand": bool(options.expand),
    }
    return [name for name, is_said in said.items() if is_said]


def _one(reader: Reader, resource: Resource, row: Row, options: Options) -> Answer:
    entity = resource.entity
    if resource.references:
        return Answer({"@iot.selfLink": reader.view.self_link(entity, row["id"])})
    if not resource.property:
        return Answer(shaped(reader, entity, [row], options)[0])
    first, *rest = resource.property
    first = "id" if first == "@iot.id" else first
    value: Any = ({"id": row["id"]} | properties_of(entity, row, reader.view.sight)).get(first)
    for name in rest:
        if not isinstance(value, dict) or name not in value:
            raise NotFound(f"{entity.name} has no {'/'.join(resource.property)!r:.80} here.")
        value = value[name]
    if value is None:
        return Answer()
    if resource.value:
        return Answer(text=_bare(value))
    return Answer({"@iot.id" if first == "id" else resource.property[-1]: value})


def _bare(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _set(
    reader: Reader,
    resource: Resource,
    page: Page,
    path: str,
    pairs: Sequence[tuple[str, str]],
    options: Options,
) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    if page.count is not None:
        answer["@iot.count"] = page.count
    if page.more:
        answer["@iot.nextLink"] = _next_link(reader.view.base, path, pairs, options, page)
    answer["value"] = _values(reader, resource.entity, page, resource, options)
    return answer


def _values(
    reader: Reader, entity: Entity, page: Page, resource: Resource, options: Options
) -> list[dict[str, Any]]:
    if resource.references:
        return [{"@iot.selfLink": reader.view.self_link(entity, row["id"])} for row in page.rows]
    if options.data_array:
        return data_array(page.rows, reader.view, checked_select(entity, options.select))
    return shaped(reader, entity, page.rows, options)


def _next_link(base: str, path: str, pairs: Sequence[tuple[str, str]], options: Options, page: Page) -> str:
    """The same question, from where the page ended: by its last key where the order allows, else by $skip."""
    kept = [(name, text) for name, text in pairs if name not in ("$skip", "$skiptoken")]
    kept.append(("$skiptoken", page.after) if page.after else ("$skip", str(options.skip + len(page.rows))))
    query = urlencode(kept, quote_via=quote, safe="$(),;:/")
    return f"{base}/{quote(path.strip('/'), safe='/$(),:')}?{query}"
