"""The eight entity sets: which properties filters and orders may reach, and where navigation leads.

This is the closed vocabulary that query options are compiled through: what is not named here is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from fleet_server.sensorthings import relations


class Kind(StrEnum):
    """What an expression is worth."""

    NUMBER = "a number"
    TEXT = "a text"
    BOOLEAN = "true or false"
    INSTANT = "a time"
    DATE = "a date"
    TIME = "a time of day"
    DURATION = "a duration"
    GEOMETRY = "a geometry"
    NULL = "null"


@dataclass(frozen=True)
class Property:
    """`column` of the relation; of a GEOMETRY the column that says which place it is, or which places."""

    column: str
    kind: Kind


@dataclass(frozen=True)
class Navigation:
    """The target's rows are those whose column `theirs` equals our column `ours`."""

    target: str
    ours: str
    theirs: str
    many: bool


@dataclass(frozen=True)
class Entity:
    """`name` in the singular; `members`: its JSON properties, in order; `text_id`: ids are quoted."""

    name: str
    set: str
    relation: str
    properties: Mapping[str, Property]
    navigations: Mapping[str, Navigation]
    members: tuple[str, ...]
    text_id: bool = False


def _one(target: str, ours: str, theirs: str = "id") -> Navigation:
    return Navigation(target, ours, theirs, many=False)


def _many(target: str, theirs: str, ours: str = "id") -> Navigation:
    return Navigation(target, ours, theirs, many=True)


def _texts(*names: str) -> dict[str, Property]:
    return {name: Property(name, Kind.TEXT) for name in names}


_ID = {"id": Property("id", Kind.NUMBER), "@iot.id": Property("id", Kind.NUMBER)}
_TEXT_ID = {"id": Property("id", Kind.TEXT), "@iot.id": Property("id", Kind.TEXT)}
_DESCRIBED = ("name", "description")
_STRETCH = {
    "properties/since": Property("since", Kind.INSTANT),
    "properties/until": Property("until", Kind.INSTANT),
    "properties/assumed": Property("assumed", Kind.BOOLEAN),
}

THING = Entity(
    "Thing",
    "Things",
    relations.THINGS,
    _ID
    | _texts(*_DESCRIBED)
    | {
        f"properties/{name}": Property(name, Kind.TEXT)
        for name in ("tenant", "device", "district", "state", "site")
    },
    {
        "Locations": _many("Location", "thing_id"),
        "HistoricalLocations": _many("HistoricalLocation", "thing_id"),
        "Datastreams": _many("Datastream", "thing_id"),
    },
    (*_DESCRIBED, "properties"),
)
LOCATION = Entity(
    "Location",
    "Locations",
    relations.LOCATIONS,
    _ID
    | _texts(*_DESCRIBED)
    | {
        "location": Property("id", Kind.GEOMETRY),
        "properties/precision": Property("precision", Kind.TEXT),
        "properties/district": Property("district", Kind.TEXT),
    }
    | _STRETCH,
    # of a former place, `thing_id` is empty: no lamppost stands there
    {"Things": _many("Thing", "id", "thing_id"), "HistoricalLocations": _many("HistoricalLocation", "id")},
    (*_DESCRIBED, "encodingType", "location", "properties"),
)
HISTORICAL_LOCATION = Entity(
    "HistoricalLocation",
    "HistoricalLocations",
    relations.HISTORICAL_LOCATIONS,
    _ID | {"time": Property("time", Kind.INSTANT)},
    {"Thing": _one("Thing", "thing_id"), "Locations": _many("Location", "id")},
    ("time",),
)
DATASTREAM = Entity(
    "Datastream",
    "Datastreams",
    relations.DATASTREAMS,
    _ID
    | _texts(*_DESCRIBED)
    | {
        "observedArea": Property("area", Kind.GEOMETRY),
        "phenomenonTime": Property("first_time", Kind.INSTANT),
        "unitOfMeasurement/name": Property("unit_name", Kind.TEXT),
        "unitOfMeasurement/symbol": Property("unit_symbol", Kind.TEXT),
        "unitOfMeasurement/definition": Property("unit_definition", Kind.TEXT),
        "properties/processing": Property("processing", Kind.TEXT),
        "properties/channel": Property("channel", Kind.TEXT),
        "properties/series": Property("series_id", Kind.NUMBER),
    },
    {
        "Thing": _one("Thing", "thing_id"),
        "Sensor": _one("Sensor", "sensor_id"),
        "ObservedProperty": _one("ObservedProperty", "property_id"),
        "Observations": _many("Observation", "datastream_id"),
    },
    (
        *_DESCRIBED,
        "observationType",
        "unitOfMeasurement",
        "observedArea",
        "phenomenonTime",
        "resultTime",
        "properties",
    ),
)
SENSOR = Entity(
    "Sensor",
    "Sensors",
    relations.SENSORS,
    _ID
    | _texts(*_DESCRIBED)
    | {f"properties/{name}": Property(name, Kind.TEXT) for name in ("kind", "serial", "site")}
    | {"properties/declaredAt": Property("declared_at", Kind.INSTANT)},
    {"Datastreams": _many("Datastream", "sensor_id")},
    (*_DESCRIBED, "encodingType", "metadata", "properties"),
)
OBSERVED_PROPERTY = Entity(
    "ObservedProperty",
    "ObservedProperties",
    relations.OBSERVED_PROPERTIES,
    _TEXT_ID | _texts(*_DESCRIBED, "definition"),
    {"Datastreams": _many("Datastream", "property_id")},
    ("name", "definition", "description"),
    text_id=True,
)
OBSERVATION = Entity(
    "Observation",
    "Observations",
    "",  # of a datastream: `relations.observations`
    _TEXT_ID
    | {
        "phenomenonTime": Property("time", Kind.INSTANT),
        "resultTime": Property("made", Kind.INSTANT),
        "result": Property("result", Kind.NUMBER),
        "resultQuality": Property("quality", Kind.TEXT),
        "parameters/flag": Property("flag", Kind.NUMBER),
        "parameters/correction": Property("correction", Kind.TEXT),
        "parameters/raw": Property("raw", Kind.NUMBER),
        "parameters/humidity": Property("humidity", Kind.NUMBER),
        "parameters/parts": Property("parts", Kind.NUMBER),
        "parameters/complete": Property("complete", Kind.BOOLEAN),
    },
    {
        "Datastream": _one("Datastream", "datastream_id"),
        "FeatureOfInterest": _one("FeatureOfInterest", "feature_id"),
    },
    ("phenomenonTime", "result", "resultTime", "resultQuality", "parameters"),
    text_id=True,
)
FEATURE = Entity(
    "FeatureOfInterest",
    "FeaturesOfInterest",
    relations.FEATURES,
    _ID | _texts(*_DESCRIBED) | {"feature": Property("id", Kind.GEOMETRY)} | _STRETCH,
    {"Observations": _many("Observation", "feature_id")},
    (*_DESCRIBED, "encodingType", "feature", "properties"),
)
_ALL = (
    THING,
    LOCATION,
    HISTORICAL_LOCATION,
    DATASTREAM,
    SENSOR,
    OBSERVED_PROPERTY,
    OBSERVATION,
    FEATURE,
)
BY_NAME: Mapping[str, Entity] = MappingProxyType({entity.name: entity for entity in _ALL})
BY_SET: Mapping[str, Entity] = MappingProxyType({entity.set: entity for entity in _ALL})
