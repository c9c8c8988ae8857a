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


def says(function: str, a: Geometry, b: Geometry, pattern: str = "") -> bool | float:
    (answer,) = geometry.answers(function, [a], b, pattern=pattern)
    return answer


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
    assert says("st_intersects", a, b) is says("geo.intersects", b, a) is intersects
    assert says("st_disjoint", a, b) is not intersects
    assert says("st_within", a, b) is says("st_contains", b, a) is within
    assert says("geo.distance", a, b) == says("geo.distance", b, a) == pytest.approx(distance)


CORNER = of_wkt("POLYGON((4 4,6 4,6 6,4 6,4 4))")
BESIDE = geometry.box(4, 1, 6, 2)
INTO = geometry.box(3, 3, 6, 6)
THROUGH = of_wkt("LINESTRING(-1 2,5 2)")


# OGC 06-103r4, 6.1.15.3: named relations by the DE-9IM.
@pytest.mark.parametrize(
    ("a", "b", "touches", "overlaps", "crosses", "relate"),
    [
        (SQUARE, CORNER, True, False, False, "FF2F01212"),
        (SQUARE, BESIDE, True, False, False, "FF2F11212"),
        (SQUARE, INTO, False, True, False, "212101212"),
        (SQUARE, SQUARE, False, False, False, "2FFF1FFF2"),
        (THROUGH, SQUARE, False, False, True, "101FF0212"),
        (of_wkt("LINESTRING(0 4,4 4)"), SQUARE, True, False, False, "F1FF0F212"),
        (of_wkt("LINESTRING(0 0,4 4)"), of_wkt("LINESTRING(0 4,4 0)"), False, False, True, "0F1FF0102"),
        (of_wkt("LINESTRING(0 0,3 0)"), of_wkt("LINESTRING(1 0,4 0)"), False, True, False, "1010F0102"),
        (point(4, 2), SQUARE, True, False, False, "F0FFFF212"),
        (point(2, 2), SQUARE, False, False, False, "0FFFFF212"),
        (point(2, 2), RING, False, False, False, "FF0FFF212"),
    ],
)
def test_lines_and_areas(
    a: Geometry, b: Geometry, touches: bool, overlaps: bool, crosses: bool, relate: str
) -> None:
    assert says("st_touches", a, b) is says("st_touches", b, a) is touches
    assert says("st_overlaps", a, b) is says("st_overlaps", b, a) is overlaps
    assert says("st_crosses", a, b) is crosses
    turned = "".join(relate[3 * column + row] for row in range(3) for column in range(3))
    for pattern in (relate, relate.replace("2", "T"), "*********"):
        assert says("st_relate", a, b, pattern)
    assert says("st_relate", b, a, turned)
    assert geometry.answers("st_relate", [a], b, places_first=False, pattern=turned) == [True]
    assert not says("st_relate", a, b, "FFFFFFFFF")


def test_how_long() -> None:
    assert geometry.length(of_wkt("LINESTRING(0 0,3 4,3 5)")) == 6.0
    assert geometry.length(SQUARE) == geometry.length(point(1, 1)) == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "POLYGON((0 0,4 4,4 0,0 4,0 0))",  # a bow
        "POLYGON((0 0,4 0,4 4,0 4,0 0),(5 5,6 5,6 6,5 5))",  # a hole outside
        "POLYGON((0 0,4 0,0 0,0 0))",
        "LINESTRING(1 1,1 1)",
    ],
)
def test_what_nobody_could_say_the_inside_of(text: str) -> None:
    with pytest.raises(geometry.BadGeometry, match="no simple geometry"):
        of_wkt(text)


def test_equal_wherever_a_ring_begins() -> None:
    assert says("st_equals", SQUARE, of_wkt("POLYGON((4 4,0 4,0 0,4 0,4 4))"))
    assert not says("st_equals", SQUARE, RING)
    assert not says("st_equals", RING, SQUARE)
    assert not says("st_equals", SQUARE, point(2, 2))


finite = st.floats(-80, 80, allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(finite, finite, finite, finite)
def test_a_box_says_what_comparing_says(x: float, y: float, cx: float, cy: float) -> None:
    square = geometry.box(cy, cx, cy + 1, cx + 1)
    inside = cx <= x <= cx + 1 and cy <= y <= cy + 1
    assert says("st_intersects", point(x, y), square) is inside
    away = math.hypot(max(cx - x, x - cx - 1, 0), max(cy - y, y - cy - 1, 0))
    assert says("geo.distance", point(x, y), square) == pytest.approx(away, abs=1e-9)


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
