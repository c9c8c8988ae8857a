"""How the three dichromats see a colour: Machado, Oliveira, Fernandes 2009, full severity, linear RGB."""

from __future__ import annotations

import math

from air_quality.colours import linear_rgb

Matrix = tuple[tuple[float, float, float], ...]
Lab = tuple[float, float, float]
SIGHTS: dict[str, Matrix] = {
    "trichromacy": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}


def seen(colour: str, sight: str) -> Lab:
    """The colour as this eye sees it, in CIELAB (D65)."""
    light = linear_rgb(colour)
    red, green, blue = (
        min(max(sum(weight * part for weight, part in zip(row, light, strict=True)), 0.0), 1.0)
        for row in SIGHTS[sight]
    )
    x = _response((0.4124564 * red + 0.3575761 * green + 0.1804375 * blue) / 0.95047)
    y = _response(0.2126729 * red + 0.7151522 * green + 0.0721750 * blue)
    z = _response((0.0193339 * red + 0.1191920 * green + 0.9503041 * blue) / 1.08883)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def distance(one: str, other: str, sight: str) -> float:
    """CIE 1976 difference; about 2.3 is just noticeable side by side."""
    return math.dist(seen(one, sight), seen(other, sight))


def _response(t: float) -> float:
    return float(t ** (1 / 3)) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116
