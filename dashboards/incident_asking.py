"""What a person wants done with an incident, as a browser sends it. Pure; the service judges it again."""

from __future__ import annotations

from math import isfinite
from typing import Any

LATEST_MS = 32_503_680_000_000  # the year 3000; what a browser sends may be any number
TEXT_MAX = 2_000  # characters, as the service takes them


def asked_for(sent: Any) -> tuple[str, int, str, int | None] | None:
    """(what, version, text, until) of what a browser sent; None for garbage."""
    if not isinstance(sent, dict):
        return None
    what, version, text, until = (sent.get(k) for k in ("what", "version", "text", "until"))
    if isinstance(until, float) and isfinite(until):
        until = int(until)  # a browser's clock has fractions of a millisecond
    if not isinstance(what, str) or not isinstance(version, int) or isinstance(version, bool):
        return None
    if not isinstance(text, str | None) or len(text or "") > TEXT_MAX:
        return None
    if until is not None and not (isinstance(until, int) and 0 <= until <= LATEST_MS):
        return None
    return what, version, text or "", until
