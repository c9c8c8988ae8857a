"""Rows as the JSON of the standard (OGC 18-088, section 8.2): properties, control information, links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from fleet_server.sensorthings.entities import Entity
from fleet_server.sensorthings.errors import bad
from fleet_server.sensorthings.geometry import geojson
from fleet_server.sensorthings.rules import Sight, area_of, place_of

Row = Mapping[str, Any]
MEASUREMENT = "http://www.opengis.net/def/observationType/OGC-OM/2.0/OM_Measurement"
GEOJSON = "application/geo+json"
# No place is known: RFC 7946, section 3.1, has empty coordinates for that, and every client reads it.
NOWHERE = {"type": "Point", "coordinates": []}


@dataclass(frozen=True)
class View:
    """`base`: the service's root as the asker wrote it, without a slash at the end."""

    base: str
    sight: Sight

    def self_link(self, entity: Entity, key: int | str) -> str:
        return f"{self.base}/{entity.set}({key_text(entity, key)})"


def key_text(entity: Entity, key: int | str) -> str:
    """A key as it stands in an address."""
    if not entity.text_id:
        return str(key)
    return "'" + quote(str(key).replace("'", "''"), safe=":'") + "'"


def instant(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def interval(begins: datetime | None, ends: datetime | None) -> str | None:
    return None if begins is None or ends is None else f"{instant(begins)}/{instant(ends)}"


def checked_select(entity: Entity, select: Sequence[str]) -> tuple[str, ...]:
    """The names as they are. Raises BadQuery for one that the entity does not have."""
    known = {*entity.members, *entity.navigations, "id", "@iot.id", "@iot.selfLink", "*"}
    for name in select:
        if name not in known:
            told = ", ".join([*entity.members, *entity.navigations, "id"])
            raise bad("$select", 0, f"{entity.name} has no {name!r:.60}", f"There are {told}.")
    return () if "*" in select else tuple(select)


def shape(entity: Entity, row: Row, view: View, select: Sequence[str] = ()) -> dict[str, Any]:
    """One entity. select: what is wanted of it; nothing: all."""
    link = view.self_link(entity, row["id"])
    found: dict[str, Any] = {}
    if not select or "id" in select or "@iot.id" in select:
        found["@iot.id"] = row["id"]
    if not select or "@iot.selfLink" in select or "id" in select or "@iot.id" in select:
        found["@iot.selfLink"] = link
    members = properties_of(entity, row, view.sight)
    for name in entity.members:
        if (not select or name in select) and members.get(name) is not None:
            found[name] = members[name]
    for name in entity.navigations:
        if not select or name in select:
            found[f"{name}@iot.navigationLink"] = f"{link}/{name}"
    return found


def properties_of(entity: Entity, row: Row, sight: Sight) -> dict[str, Any]:
    """The entity's members; what is not known is None or not there."""
    return _SHAPES[entity.name](row, sight)


def _described(row: Row) -> dict[str, Any]:
    return {"name": row["name"], "description": row["description"]}


def _place(row: Row, sight: Sight) -> Mapping[str, object]:
    place = place_of(row["latitude"], row["longitude"], row["cell"], sight)
    return NOWHERE if place is None else geojson(place)


def _stretch(row: Row) -> dict[str, Any]:
    """Since when and until when it was the place; until nothing: it is. assumed: moves are not known."""
    until = row["until"]
    return {
        "since": instant(row["since"]),
        "until": until and instant(until),
        "assumed": row["assumed"] or None,
    }


def _without_blanks(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in ("", None)}


def _thing(row: Row, _sight: Sight) -> dict[str, Any]:
    return _described(row) | {
        "properties": _without_blanks(
            tenant=row["tenant"],
            device=row["device"],
            district=row["district"],
            state=row["state"],
            site=row["site"],
        )
    }


def _location(row: Row, sight: Sight) -> dict[str, Any]:
    return _described(row) | {
        "encodingType": GEOJSON,
        "location": _place(row, sight),
        "properties": _without_blanks(precision=row["precision"], district=row["district"], **_stretch(row)),
    }


def _historical_location(row: Row, _sight: Sight) -> dict[str, Any]:
    return {"time": instant(row["time"])}


def _datastream(row: Row, sight: Sight) -> dict[str, Any]:
    area = area_of(row["area"] or (), sight)
    observed = interval(row["first_time"], row["last_time"])
    return _described(row) | {
        "observationType": MEASUREMENT,
        "unitOfMeasurement": {
            "name": row["unit_name"],
            "symbol": row["unit_symbol"],
            "definition": row["unit_definition"],
        },
        "observedArea": None if area is None else geojson(area),
        "phenomenonTime": observed,
        "resultTime": observed if row["level"] == 0 else None,
        "properties": {
            "processing": row["processing"],
            "channel": row["channel"],
            "series": row["series_id"],
        },
    }


def _sensor(row: Row, _sight: Sight) -> dict[str, Any]:
    return _described(row) | {
        "encodingType": "text/html",
        "metadata": row["description"],
        "properties": _without_blanks(
            kind=row["kind"],
            serial=row["serial"],
            site=row["site"],
            declaredAt=instant(row["declared_at"]),
        ),
    }


def _observed_property(row: Row, _sight: Sight) -> dict[str, Any]:
    return _described(row) | {"definition": row["definition"]}


def _observation(row: Row, _sight: Sight) -> dict[str, Any]:
    begins, ends = row["time"], row["ends"]
    parameters = {name: row[name] for name in ("flag", "correction", "raw", "humidity", "parts", "complete")}
    return {
        "phenomenonTime": instant(begins) if begins == ends else interval(begins, ends),
        "result": row["result"],
        "resultTime": instant(row["made"]),
        "resultQuality": row["quality"],
        "parameters": {name: value for name, value in parameters.items() if value is not None},
    }


def _feature(row: Row, sight: Sight) -> dict[str, Any]:
    return _described(row) | {
        "encodingType": GEOJSON,
        "feature": _place(row, sight),
        "properties": _without_blanks(**_stretch(row)),
    }


_SHAPES = {
    "Thing": _thing,
    "Location": _location,
    "HistoricalLocation": _historical_location,
    "Datastream": _datastream,
    "Sensor": _sensor,
    "ObservedProperty": _observed_property,
    "Observation": _observation,
    "FeatureOfInterest": _feature,
}


def data_array(rows: Sequence[Row], view: View, select: Sequence[str]) -> list[dict[str, Any]]:
    """Observations in groups by their datastream, each group's values without their names (section 12)."""
    components = list(select) or [
        "id",
        "phenomenonTime",
        "result",
        "resultTime",
        "resultQuality",
        "parameters",
    ]
    groups: dict[int, list[list[Any]]] = {}
    for row in rows:
        members = _observation(row, view.sight) | {"id": row["id"], "@iot.id": row["id"]}
        groups.setdefault(row["datastream_id"], []).append([members.get(name) for name in components])
    return [
        {
            "Datastream@iot.navigationLink": f"{view.base}/Datastreams({datastream})",
            "components": components,
            "dataArray@iot.count": len(values),
            "dataArray": values,
        }
        for datastream, values in groups.items()
    ]
