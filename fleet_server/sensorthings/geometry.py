"""Places in the plane of longitude and latitude: points, lines, polygons, and how they lie.

Distances are in degrees, as servers of SensorThings give them (`ST_Distance` of a geometry): in a city good
enough to choose by, no substitute for metres. What touches intersects; a point on the rim is not within.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Position = tuple[float, float]
"""x (longitude), y (latitude)."""

MAX_POSITIONS = 1_000  # the rim of a city district is drawn with a few hundred


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
        return Line(_positions(inner, 2))
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
    return Polygon(tuple(rings))


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


def intersects(a: Geometry, b: Geometry) -> bool:
    """Have they a position in common?"""
    if any(_covers(a, position) for position in _corners(b)):
        return True
    if any(_covers(b, position) for position in _corners(a)):
        return True
    return any(_meet(*one, *other) for one in _edges(a) for other in _edges(b))


def within(a: Geometry, b: Geometry) -> bool:
    """Lies all of `a` in `b`, and not on its rim alone?"""
    if not all(_covers(b, position) for position in _corners(a)):
        return False
    if any(_cross(*one, *other) for one in _edges(a) for other in _edges(b)):
        return False
    if isinstance(b, Polygon):
        holes = [Polygon((ring,)) for ring in b.rings[1:]]
        if any(isinstance(a, Polygon) and all(_inside(a, each) for each in hole.rings[0]) for hole in holes):
            return False
        return any(_inside(b, position) for position in _middles(a))
    return True


def equals(a: Geometry, b: Geometry) -> bool:
    """The same corners and edges, wherever a ring begins and whichever way it goes."""
    edges = [{frozenset(edge) for edge in _edges(each)} for each in (a, b)]
    return type(a) is type(b) and set(_corners(a)) == set(_corners(b)) and edges[0] == edges[1]


def distance(a: Geometry, b: Geometry) -> float:
    """Degrees between their nearest positions; 0.0 where they intersect."""
    if intersects(a, b):
        return 0.0
    between = [
        *(_to_edge(position, *edge) for position in _corners(a) for edge in _edges(b)),
        *(_to_edge(position, *edge) for position in _corners(b) for edge in _edges(a)),
        *(math.dist(one, other) for one in _corners(a) for other in _corners(b)),
    ]
    return min(between)


def _corners(geometry: Geometry) -> tuple[Position, ...]:
    match geometry:
        case Point(at):
            return (at,)
        case Line(positions):
            return positions
        case Polygon(rings):
            return tuple(position for ring in rings for position in ring)


def _edges(geometry: Geometry) -> list[tuple[Position, Position]]:
    match geometry:
        case Point():
            return []
        case Line(positions):
            return list(pairwise(positions))
        case Polygon(rings):
            return [edge for ring in rings for edge in pairwise(ring)]


def _middles(geometry: Geometry) -> list[Position]:
    """Its corners and the middles of its edges, and of a polygon the middle of its corners."""
    found = [*_corners(geometry), *(((p[0] + q[0]) / 2, (p[1] + q[1]) / 2) for p, q in _edges(geometry))]
    if isinstance(geometry, Polygon):
        rim = geometry.rings[0][:-1]
        found.append((math.fsum(p[0] for p in rim) / len(rim), math.fsum(p[1] for p in rim) / len(rim)))
    return found


def _covers(geometry: Geometry, position: Position) -> bool:
    if isinstance(geometry, Point):
        return geometry.at == position
    if any(_on(position, *edge) for edge in _edges(geometry)):
        return True
    return isinstance(geometry, Polygon) and _inside(geometry, position)


def _inside(polygon: Polygon, position: Position) -> bool:
    """Strictly: an odd number of edges lies to the right (rim and holes together)."""
    if any(_on(position, *edge) for edge in _edges(polygon)):
        return False
    x, y = position
    odd = False
    for (ax, ay), (bx, by) in _edges(polygon):
        if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
            odd = not odd
    return odd


def _turn(a: Position, b: Position, c: Position) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _on(p: Position, a: Position, b: Position) -> bool:
    if _turn(a, b, p) != 0.0:
        return False
    return min(a[0], b[0]) <= p[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= p[1] <= max(a[1], b[1])


def _cross(a: Position, b: Position, c: Position, d: Position) -> bool:
    """Each passes from one side of the other to the other side."""
    return _turn(a, b, c) * _turn(a, b, d) < 0.0 and _turn(c, d, a) * _turn(c, d, b) < 0.0


def _meet(a: Position, b: Position, c: Position, d: Position) -> bool:
    return _cross(a, b, c, d) or _on(a, c, d) or _on(b, c, d) or _on(c, a, b) or _on(d, a, b)


def _to_edge(p: Position, a: Position, b: Position) -> float:
    length = (b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2
    if length == 0.0:
        return math.dist(p, a)
    share = ((p[0] - a[0]) * (b[0] - a[0]) + (p[1] - a[1]) * (b[1] - a[1])) / length
    share = min(1.0, max(0.0, share))
    return math.dist(p, (a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])))
