"""Geohash against published cells, and what must hold of every place."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air_quality.place import ALPHABET, BadCell, NoPlace, PlaceError, cell_bounds, cell_centre, cell_of

LATITUDE = st.floats(-90, 90)
LONGITUDE = st.floats(-180, 180)
PRECISION = st.integers(1, 12)
CELL = st.text(ALPHABET, min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("latitude", "longitude", "cell"),
    [
        (57.64911, 10.40744, "u4pruydqqvj"),  # geohash.org's own example
        (42.6, -5.6, "ezs42"),  # Wikipedia's
        (52.516275, 13.377704, "u33db2"),
        (-25.382708, -49.265506, "6gkzwgjzn820"),
        (0.0, 0.0, "s00000"),
        (90.0, 180.0, "zzzzzz"),
        (-90.0, -180.0, "000000"),
    ],
)
def test_known_cells(latitude: float, longitude: float, cell: str) -> None:
    assert cell_of(latitude, longitude, len(cell)) == cell


def test_the_centre_and_the_size() -> None:
    assert cell_centre("ezs42") == pytest.approx((42.605, -5.603), abs=1e-3)
    south, west, north, east = cell_bounds("u33db2")
    assert (north - south) * 111.32 == pytest.approx(0.61, abs=0.01), "kilometres"
    assert (east - west) * 111.32 == pytest.approx(1.22, abs=0.01)


@given(LATITUDE, LONGITUDE, PRECISION)
def test_a_cell_holds_its_place(latitude: float, longitude: float, precision: int) -> None:
    south, west, north, east = cell_bounds(cell_of(latitude, longitude, precision))
    assert south - 1e-9 <= latitude <= north + 1e-9
    assert west - 1e-9 <= longitude <= east + 1e-9


@given(CELL)
def test_a_cells_centre_is_in_it(cell: str) -> None:
    assert cell_of(*cell_centre(cell), len(cell)) == cell


@given(LATITUDE, LONGITUDE, st.integers(1, 11))
def test_a_coarser_cell_is_the_beginning_of_a_finer_one(
    latitude: float, longitude: float, precision: int
) -> None:
    assert cell_of(latitude, longitude, 12).startswith(cell_of(latitude, longitude, precision))


@pytest.mark.parametrize(
    ("latitude", "longitude", "precision"),
    [(math.nan, 0, 6), (0, math.inf, 6), (90.1, 0, 6), (0, -180.1, 6), (0, 0, 0), (0, 0, 13)],
)
def test_nowhere_has_no_cell(latitude: float, longitude: float, precision: int) -> None:
    with pytest.raises(NoPlace):
        cell_of(latitude, longitude, precision)


@pytest.mark.parametrize("cell", ["", "a", "U33DB2", "u33 b2", "u" * 13, "u33db2\n"])
def test_what_is_no_cell_is_refused(cell: str) -> None:
    with pytest.raises(BadCell):
        cell_bounds(cell)
    with pytest.raises(PlaceError):
        cell_centre(cell)
