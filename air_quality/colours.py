"""Six colours, best to worst, that every eye can tell apart, and what text is readable on a colour.

The authorities' own colours are in the tables; to a deuteranope the US AQI's green and orange are nearly one.
These keep the familiar order (pale blue, yellow, orange, red, purple, near black) and grow darker with each
level, so that it survives without any hue. tests/air_quality/test_colours.py simulates three dichromacies.
"""

from __future__ import annotations

# Found by a search that widened the smallest distance: 29 in CIELAB, any pair, any of four kinds of eye.
PALETTE = ("#BCEBF3", "#FFC31B", "#F7894E", "#C83445", "#891F8E", "#2D0039")
NO_DATA = "#9AA0A6"  # grey: no level; pages mark it by shape or words too, as grey alone is not enough
BLACK, WHITE = "#000000", "#FFFFFF"


class BadColour(ValueError):
    """The caller's input: not #rrggbb."""


def text_on(colour: str) -> str:
    """Black or white, whichever reads better on `colour`: contrast >= 4.5 on any. Raises BadColour."""
    return max((BLACK, WHITE), key=lambda text: contrast(text, colour))


def contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast ratio, 1 to 21. Raises BadColour."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def linear_rgb(colour: str) -> tuple[float, float, float]:
    """Red, green and blue as light, 0 to 1 each (IEC 61966-2-1). Raises BadColour."""
    digits = colour.removeprefix("#")
    if len(colour) != 7 or len(digits) != 6:
        raise BadColour(f"{colour!r:.40}: a colour is #rrggbb")
    try:
        red, green, blue = (_light(int(digits[at : at + 2], 16) / 255.0) for at in (0, 2, 4))
    except ValueError as error:
        raise BadColour(f"{colour!r:.40}: a colour is #rrggbb") from error
    return red, green, blue


def _light(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def _luminance(colour: str) -> float:
    red, green, blue = linear_rgb(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
