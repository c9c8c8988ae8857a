"""What counts as a value: one rule for every formula here, so that nothing unfit is ever averaged in."""

from __future__ import annotations

import math


def finite(value: float | None) -> float | None:
    """The value; None for a missing one, NaN and the infinities."""
    return value if value is not None and math.isfinite(value) else None


def physical(value: float | None) -> float | None:
    """As `finite`, and None for what no concentration can be: a negative number."""
    value = finite(value)
    return value if value is not None and value >= 0.0 else None


def relative_humidity(value: float | None) -> float | None:
    """Per cent; None outside 0 to 100: a broken sensor's word must not correct another sensor's."""
    value = physical(value)
    return value if value is not None and value <= 100.0 else None
