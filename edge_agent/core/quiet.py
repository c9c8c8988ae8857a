"""When history waits (the setting history.quiet_hours). Pure."""

from __future__ import annotations

DAY_MIN = 24 * 60


def is_quiet(hours: str, now_ms: int) -> bool:
    """`hours`: "HH:MM-HH:MM" in UTC, the end not in it; over midnight where the end comes first; "" never.
    `now_ms`: the street clock."""
    if not hours:
        return False
    begins, ends = (_minute(each) for each in hours.split("-"))
    now_min = now_ms // 60_000 % DAY_MIN
    if begins <= ends:
        return begins <= now_min < ends
    return now_min >= begins or now_min < ends


def _minute(clock: str) -> int:
    hour, minute = clock.split(":")
    return int(hour) * 60 + int(minute)
