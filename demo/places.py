"""Where the demo's lampposts stand: a grid of streets in one city, real enough for a map."""

from __future__ import annotations

import math
from dataclasses import dataclass

CENTRE = (41.1496, -8.6109)  # degrees north and east: Porto
SPACING_KM = 0.4
COLUMNS = 3  # lampposts along a street from west to east; a wind from the west meets them in turn
KM_A_DEGREE = 111.195  # of latitude, on a sphere of the earth's mean radius
STREETS = ("Harbour Street", "Mill Lane", "Station Square", "School Road", "Ring Road", "Park Avenue")
DISTRICTS = ("Harbour", "Park")


@dataclass(frozen=True)
class Place:
    """`position`: km east and north of the centre; `latitude`, `longitude`: the same in degrees, WGS 84."""

    site: str
    street: str
    district: str
    position: tuple[float, float]
    latitude: float
    longitude: float


def place(index: int) -> Place:
    """Of the lamppost of this number, from 0."""
    row, column = divmod(index, COLUMNS)
    round_trip, street = divmod(index, len(STREETS))
    east, north = round(SPACING_KM * column, 3), round(SPACING_KM * row, 3)
    latitude = CENTRE[0] + north / KM_A_DEGREE
    longitude = CENTRE[1] + east / (KM_A_DEGREE * math.cos(math.radians(CENTRE[0])))
    return Place(
        site=f"{STREETS[street]} {3 + 4 * round_trip + 2 * index}",
        street=STREETS[street],
        district=DISTRICTS[row % len(DISTRICTS)],
        position=(east, north),
        latitude=round(latitude, 6),
        longitude=round(longitude, 6),
    )
