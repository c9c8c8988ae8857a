"""A sample picture: what each sensor measured during the site test, as one SVG. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, ROW, LEFT, RIGHT, TOP = 420, 84, 8, 64, 4  # user units: read on a phone, too
_INK, _LINE, _RULE = "#1a2027", "#0a579f", "#d5dae1"


@dataclass(frozen=True)
class Course:
    """One channel of one sensor. `points`: (seconds since the test began, value), in their order."""

    sensor: str
    channel: str
    points: tuple[tuple[float, float], ...]


def picture(courses: Sequence[Course], span_s: float) -> str:
    """One row for each channel, from its lowest to its highest value; alone readable in black and white."""
    height = TOP + ROW * max(len(courses), 1) + 20
    rows = "".join(_row(course, TOP + ROW * n, max(span_s, 1.0)) for n, course in enumerate(courses))
    if not courses:
        rows = f'<text x="8" y="{TOP + 20}">No sensor told a value during the test.</text>'
    told = ", ".join(f"{c.sensor} {c.channel}" for c in courses) or "nothing"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="100%" role="img"'
        f' aria-label="Readings during the site test: {escape(told)}" font-family="sans-serif"'
        f' font-size="14" fill="{_INK}">{rows}'
        f'<text x="{LEFT}" y="{height - 5}" font-size="13">0 s</text>'
        f'<text x="{WIDTH - RIGHT}" y="{height - 5}" font-size="13" text-anchor="end">'
        f"{span_s:.0f} s</text></svg>"
    )


def _row(course: Course, top: int, span_s: float) -> str:
    values = [value for _, value in course.points]
    low, high = min(values, default=0.0), max(values, default=0.0)
    between = high - low or 1.0
    head, bottom, wide = top + 32, top + ROW - 8, WIDTH - LEFT - RIGHT

    def place(at_s: float, value: float) -> str:
        x = LEFT + wide * min(max(at_s / span_s, 0.0), 1.0)
        y = bottom - (bottom - head) * ((value - low) / between if high > low else 0.5)
        return f"{x:.1f},{y:.1f}"

    dots = [place(*point) for point in course.points]
    marks = "".join(f'<circle cx="{d.split(",")[0]}" cy="{d.split(",")[1]}" r="2.2"/>' for d in dots)
    return (
        f'<line x1="{LEFT}" y1="{bottom}" x2="{WIDTH - RIGHT}" y2="{bottom}" stroke="{_RULE}"/>'
        f'<text x="{LEFT}" y="{top + 20}"><tspan font-weight="bold">{escape(course.sensor[:28])}</tspan>'
        f" {escape(course.channel[:20])}</text>"
        f'<g fill="{_LINE}" stroke="none">{marks}</g>'
        f'<polyline points="{" ".join(dots)}" fill="none" stroke="{_LINE}" stroke-width="1.5"/>'
        f'<text x="{WIDTH - RIGHT + 8}" y="{head + 5}">{high:g}</text>'
        f'<text x="{WIDTH - RIGHT + 8}" y="{bottom + 3}">{low:g}</text>'
    )
