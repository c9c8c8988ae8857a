"""How places lie to one another, and that a place never gets more exact than its asker may see."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air_quality.place import cell_bounds, cell_of
from fleet_server.sensorthings import geometry
from fleet_server.sensorthings.geometry import Geometry, Point, Polygon, of_wkt
from fleet_server.sensorthings.rules import Sight, place_of

SQUARE = of_wkt("POLYGON((0 0,4 0,4 4,0 4,0 0))")
RING = of_wkt("POLYGON((0 0,4 0,4 4,0 4,0 0),(1 1,3 1,3 3,1 3,1 1))")


def point(x: float, y: float) -> Point:
    return Point((x, y))


@pytest.mark.parametrize(
    ("a", "b", "intersects", "within", "distance"),
    [
        (point(2, 2), SQUARE, True, True, 0.0),
        (point(4, 2), SQUARE, True, False, 0.0),  # on the rim
        (point(0, 0), SQUARE, True, False, 0.0),
        (point(7, 8), SQUARE, False, False, 5.0),
        (point(2, 2), RING, False, False, 1.0),  # in the hole
        (point(0.5, 2), RING, True, True, 0.0),
        (point(2, 2), point(2, 2), True, True, 0.0),
        (point(0, 0), point(3, 4), False, False, 5.0),
        (geometry.box(1, 1, 2, 2), SQUARE, True, True, 0.0),
        (geometry.box(1, 3, 2, 6), SQUARE, True, False, 0.0),
        (geometry.box(1, 4, 2, 6), SQUARE, True, False, 0.0),  # touches
        (geometry.box(1.5, 1.5, 2, 2), RING, False, False, 0.5),
        (geometry.box(-1, -1, 5, 5), SQUARE, True, False, 0.0),
        (SQUARE, geometry.box(-1, -1, 5, 5), True, True, 0.0),
        (of_wkt("LINESTRING(-1 2,5 2)"), SQUARE, True, False, 0.0),
        (of_wkt("LINESTRING(1 1,2 3)"), SQUARE, True, True, 0.0),
        (point(1, 1), of_wkt("LINESTRING(0 0,2 2)"), True, True, 0.0),
        (point(0, 2), of_wkt("LINESTRING(0 0,2 2)"), False, False, math.sqrt(2)),
        (geometry.box(0, 0, 4, 4), SQUARE, True, True, 0.0),
    ],
)
def test_how_two_lie(a: Geometry, b: Geometry, intersects: bool, within: bool, distance: float) -> None:
    assert geometry.intersects(a, b) is geometry.intersects(b, a) is intersects
    assert geometry.within(a, b) is within
    assert geometry.distance(a, b) == pytest.approx(distance)


def test_equal_wherever_a_ring_begins() -> None:
    assert geometry.equals(SQUARE, of_wkt("POLYGON((4 4,0 4,0 0,4 0,4 4))"))
    assert not geometry.equals(SQUARE, RING)
    assert not geometry.equals(RING, SQUARE)
    assert not geometry.equals(SQUARE, point(2, 2))


finite = st.floats(-80, 80, allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(finite, finite, finite, finite)
def test_a_box_says_what_comparing_says(x: float, y: float, cx: float, cy: float) -> None:
    square = geometry.box(cy, cx, cy + 1, cx + 1)
    inside = cx <= x <= cx + 1 and cy <= y <= cy + 1
    assert geometry.intersects(point(x, y), square) is inside
    away = math.hypot(max(cx - x, x - cx - 1, 0), max(cy - y, y - cy - 1, 0))
    assert geometry.distance(point(x, y), square) == pytest.approx(away, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.floats(-89, 89), st.floats(-179, 179), st.sampled_from(["", "cell", "finer"]))
def test_a_coarse_asker_sees_a_cell_of_six_and_never_the_place(
    latitude: float, longitude: float, told: str
) -> None:
    cell = {"": "", "cell": cell_of(latitude, longitude, 5), "finer": cell_of(latitude, longitude, 9)}[told]
    seen = place_of(latitude, longitude, cell, Sight(exact=False, air=True))
    south, west, north, east = cell_bounds(cell[:6] or cell_of(latitude, longitude, 6))
    assert seen == geometry.box(south, west, north, east)
    assert place_of(latitude, longitude, cell, Sight(exact=True, air=True)) == Point((longitude, latitude))


def test_no_place() -> None:
    for exact in (True, False):
        assert place_of(None, None, "", Sight(exact, True)) is None
        assert place_of(None, None, "aaa", Sight(exact, True)) is None, "no geohash"
        assert isinstance(place_of(None, None, "ez3f5k", Sight(exact, True)), Polygon)
