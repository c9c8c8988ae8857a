"""Geohash: a place as a cell of a public grid, so that the exact one can stay where it is known.

Six characters are a cell of about 1.2 km (east to west, at the equator) by 0.6 km; each character more is a
32nd of the area. The alphabet and the order of bits are Niemeyer's (2008), as every geohash library has them.
"""

from __future__ import annotations

import math

ALPHABET = "0123456789bcdefghjkmnpqrstuvwxyz"
PRECISION = 6
MAX_PRECISION = 12
_BITS = 5


class PlaceError(ValueError):
    """The caller's input."""


class NoPlace(PlaceError):
    """A latitude or longitude that is nowhere, or a precision without a grid."""


class BadCell(PlaceError):
    """A text that is no geohash."""


def cell_of(latitude: float, longitude: float, precision: int = PRECISION) -> str:
    """The cell of a place: latitude -90 to 90, longitude -180 to 180, precision 1 to 12. Raises NoPlace."""
    if not (math.isfinite(latitude) and math.isfinite(longitude)):
        raise NoPlace(f"{latitude}, {longitude}: not a place")
    if not (-90.0 <= latitude <= 90.0 and -180.0 <= longitude <= 180.0):
        raise NoPlace("latitude is -90 to 90, longitude -180 to 180")
    if not 1 <= precision <= MAX_PRECISION:
        raise NoPlace(f"precision {precision}: 1 to {MAX_PRECISION} characters")
    bits = precision * _BITS
    columns, rows = _grid(bits)
    # The northern and the eastern edge of the world belong to their last cells.
    column = min(int((longitude + 180.0) / 360.0 * columns), columns - 1)
    row = min(int((latitude + 90.0) / 180.0 * rows), rows - 1)
    number = _interleave(column, row, bits)
    return "".join(ALPHABET[number >> shift & 31] for shift in range(bits - _BITS, -1, -_BITS))


def cell_bounds(cell: str) -> tuple[float, float, float, float]:
    """South, west, north, east in degrees. Raises BadCell."""
    if not 1 <= len(cell) <= MAX_PRECISION or not set(cell) <= set(ALPHABET):
        raise BadCell(f"{cell!r:.40}: a cell is 1 to {MAX_PRECISION} of {ALPHABET}")
    number = 0
    for character in cell:
        number = number << _BITS | ALPHABET.index(character)
    bits = len(cell) * _BITS
    columns, rows = _grid(bits)
    column, row = _every_second_bit(number, bits - 1), _every_second_bit(number, bits - 2)
    return (
        row / rows * 180.0 - 90.0,
        column / columns * 360.0 - 180.0,
        (row + 1) / rows * 180.0 - 90.0,
        (column + 1) / columns * 360.0 - 180.0,
    )


def cell_centre(cell: str) -> tuple[float, float]:
    """Latitude and longitude of a cell's middle. Raises BadCell."""
    south, west, north, east = cell_bounds(cell)
    return (south + north) / 2.0, (west + east) / 2.0


def _grid(bits: int) -> tuple[int, int]:
    """Columns and rows: longitude has the first bit, and so the odd one."""
    return 1 << (bits + 1) // 2, 1 << bits // 2


def _interleave(column: int, row: int, bits: int) -> int:
    """Their bits in turn, from the top, the column's first."""
    number = 0
    for left in range(bits - 1, -1, -1):
        part = row if (bits - left) % 2 == 0 else column
        number = number << 1 | (part >> left // 2 & 1)
    return number


def _every_second_bit(number: int, top: int) -> int:
    """The bits of `number` at top, top - 2, ... as a number."""
    part = 0
    for at in range(top, -1, -2):
        part = part << 1 | (number >> at & 1)
    return part
