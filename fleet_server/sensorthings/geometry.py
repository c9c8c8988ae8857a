"""Places in the plane of longitude and latitude: points, lines, polygons, and how they lie (Simple Features).

Distances are in degrees, as servers of SensorThings give them (`ST_Distance` of a geometry): in a city good
enough to choose by, no substitute for metres. What touches intersects; a point on the rim is not within.
How two lie is GEOS's to say, by shapely, which comes with the first question about places.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import shapely

Position = tuple[float, float]
"""x (longitude), y (latitude)."""

MAX_POSITIONS = 1_000  # the rim of a city district is drawn with a few hundred
RELATIONS = {
    "geo.distance": "distance",
    "geo.intersects": "intersects",
    "st_intersects": "intersects",
    "st_disjoint": "disjoint",
    "st_within": "within",
    "st_contains": "contains",
    "st_equals": "equals",
    "st_touches": "touches",
    "st_overlaps": "overlaps",
    "st_crosses": "crosses",
}
"""The standard's functions of two geometries, and shapely's names for them."""
RELATE, LENGTH = "st_relate", "geo.length"


class BadGeometry(ValueError):
    """The text is no geometry that is understood here."""


@dataclass(frozen=True)
class Point:
    at: Position


@dataclass(frozen=True)
class Line:
    positions: tuple[Position, ...]


@dataclass(frozen=True)
class Polygon:
    """The first ring is the rim, the others are holes; each ends where it begins."""

    rings: tuple[tuple[Position, ...], ...]


Geometry = Point | Line | Polygon
_WKT = re.compile(
    r"\s*(?:SRID\s*=\s*4326\s*;)?\s*(POINT|LINESTRING|POLYGON)\s*\((.*)\)\s*", re.IGNORECASE | re.DOTALL
)
_RING = re.compile(r"\s*\(([^()]*)\)\s*")


def of_wkt(text: str) -> Geometry:
    """POINT, LINESTRING or POLYGON, longitude first. Raises BadGeometry."""
    found = _WKT.fullmatch(text)
    if found is None:
        raise BadGeometry("a geometry is POINT(x y), LINESTRING(x y, x y) or POLYGON((x y, x y, x y, x y))")
    kind, inner = found[1].upper(), found[2]
    if kind == "POINT":
        (position,) = _positions(inner, 1, 1)
        return Point(position)
    if kind == "LINESTRING":
        return _checked(Line(_positions(inner, 2)))
    rings = []
    at = 0
    while (ring := _RING.match(inner, at)) is not None:
        positions = _positions(ring[1], 4)
        if positions[0] != positions[-1]:
            raise BadGeometry("a polygon's ring ends where it begins")
        rings.append(positions)
        at = ring.end()
        if at < len(inner) and inner[at] == ",":
            at += 1
    if at != len(inner) or not rings:
        raise BadGeometry("a polygon is POLYGON((x y, x y, x y, x y))")
    return _checked(Polygon(tuple(rings)))


def _positions(text: str, least: int, most: int = MAX_POSITIONS) -> tuple[Position, ...]:
    parts = text.split(",")
    if not least <= len(parts) <= most:
        raise BadGeometry(f"{len(parts)} positions where {least} to {most} may be")
    return tuple(_position(part) for part in parts)


def _position(text: str) -> Position:
    words = text.split()
    try:
        x, y = (float(word) for word in words)
    except ValueError:
        raise BadGeometry(
            f"{text.strip()!r:.40} is no position: write longitude, a space, latitude"
        ) from None
    if not (math.isfinite(x) and math.isfinite(y) and abs(x) <= 360.0 and abs(y) <= 90.0):
        raise BadGeometry(f"{text.strip()!r:.40} lies outside the world: longitude comes first")
    return x, y


def box(south: float, west: float, north: float, east: float) -> Polygon:
    return Polygon((((west, south), (east, south), (east, north), (west, north), (west, south)),))


def around(geometries: Sequence[Geometry]) -> Geometry | None:
    """The only one; of several the box that holds them, a line where it has no width; of none None."""
    if len(geometries) < 2:
        return geometries[0] if geometries else None
    xs, ys = zip(*(position for each in geometries for position in _corners(each)), strict=True)
    west, south, east, north = min(xs), min(ys), max(xs), max(ys)
    if west == east or south == north:
        return Line(((west, south), (east, north)))
    return box(south, west, north, east)


def geojson(geometry: Geometry) -> dict[str, object]:
    """RFC 7946, longitude first."""
    match geometry:
        case Point(at):
            return {"type": "Point", "coordinates": list(at)}
        case Line(positions):
            return {"type": "LineString", "coordinates": [list(each) for each in positions]}
        case Polygon(rings):
            return {"type": "Polygon", "coordinates": [[list(each) for each in ring] for ring in rings]}


def answers(
    function: str,
    places: Sequence[Geometry],
    other: Geometry,
    *,
    places_first: bool = True,
    pattern: str = "",
) -> list[bool | float]:
    """What `function` (of RELATIONS, or st_relate with its pattern) says of each place and `other`."""
    import shapely

    shape = _shape(other)
    shapely.prepare(shape)
    shapes = np.array([_shape(place) for place in places], dtype=object)
    pair = (shapes, shape) if places_first else (shape, shapes)
    if function == RELATE:
        found = shapely.relate_pattern(*pair, pattern)
    else:
        found = getattr(shapely, RELATIONS[function])(*pair)
    told: list[bool | float] = np.asarray(found).tolist()
    return told


def length(geometry: Geometry) -> float:
    """Degrees along a line; 0.0 of a point and of an area, as ST_Length says."""
    if not isinstance(geometry, Line):
        return 0.0
    return math.fsum(math.dist(one, other) for one, other in pairwise(geometry.positions))


def _shape(geometry: Geometry) -> shapely.Geometry:
    import shapely

    match geometry:
        case Point(at):
            return shapely.Point(at)
        case Line(positions):
            return shapely.LineString(positions)
        case Polygon(rings):
            return shapely.Polygon(rings[0], rings[1:])


def _checked(geometry: Geometry) -> Geometry:
    """As it is. Raises BadGeometry where nobody could say what is inside."""
    import shapely

    shape = _shape(geometry)
    if not shapely.is_valid(shape):
        raise BadGeometry(f"this is no simple geometry: {shapely.is_valid_reason(shape)}")
    return geometry


def _corners(geometry: Geometry) -> tuple[Position, ...]:
    match geometry:
        case Point(at):
            return (at,)
        case Line(positions):
            return positions
        case Polygon(rings):
            return tuple(position for ring in rings for position in ring)
