"""What the address of a lamppost's page asks for: which lamppost, what time range. Pure.

Garbage in it becomes a sentence on the page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # a tenant's or lamppost's, as the wire allows it
HOUR_MS = 3_600_000
PERIODS = {"1h": 1, "6h": 6, "24h": 24, "7d": 7 * 24}  # key: hours up to now
DEFAULT = "6h"
OWN = "own"
OWN_LONGEST_MS = 366 * 24 * HOUR_MS  # a year in days is still a chart; decades are an export
OWN_SHORTEST_MS = 60_000
EARLIEST_MS = 1_577_836_800_000  # 2020-01-01 UTC: no lamppost is older
LATEST_MS = 4_102_444_800_000  # 2100-01-01 UTC


@dataclass(frozen=True)
class Period:
    """`key` of PERIODS, or OWN with its ends. `problem`: what the address asked for that cannot be shown."""

    key: str = DEFAULT
    begins_ms: int = 0
    ends_ms: int = 0
    problem: str = ""

    def window(self, now_ms: int) -> tuple[int, int]:
        """From when up to when, by the street clock."""
        if self.key == OWN:
            return self.begins_ms, self.ends_ms
        return now_ms - PERIODS[self.key] * HOUR_MS, now_ms

    def moves(self, now_ms: int) -> bool:
        """Does it show the present, so that it has to be read again?"""
        return self.key != OWN or self.ends_ms > now_ms


def named(tenant: Any, name: Any) -> tuple[str, str] | None:
    """Tenant and name of an address, where they can be a lamppost's."""
    fit = NAME.fullmatch(str(tenant)) and NAME.fullmatch(str(name))
    return (str(tenant), str(name)) if fit else None


def period_of(query: Mapping[str, str]) -> Period:
    """From `range`, or `from` and `to` (ISO 8601 with a time zone)."""
    if "from" in query or "to" in query:
        return _own(query.get("from", ""), query.get("to", ""))
    key = query.get("range", DEFAULT)
    if key in PERIODS:
        return Period(key)
    return Period(problem=f"There is no range “{key[:40]}”: the last {DEFAULT} is shown.")


def sent_period(sent: Any) -> Period | None:
    """What a browser chose: {key}, or {key: own, begins, ends} in ms; None for garbage."""
    if not isinstance(sent, dict):
        return None
    key, begins, ends = (sent.get(name) for name in ("key", "begins", "ends"))
    if isinstance(key, str) and key in PERIODS:
        return Period(key)
    if key != OWN or not isinstance(begins, int) or not isinstance(ends, int):
        return None
    return own(begins, ends) if begins >= EARLIEST_MS and ends <= LATEST_MS else None


def own(begins_ms: int, ends_ms: int) -> Period:
    """A range of one's own; the default with a `problem` where it cannot be shown."""
    if ends_ms - begins_ms < OWN_SHORTEST_MS:
        return Period(problem=f"The range does not end after it begins: the last {DEFAULT} is shown.")
    if ends_ms - begins_ms > OWN_LONGEST_MS:
        return Period(problem=f"The range is longer than a year: the last {DEFAULT} is shown.")
    return Period(OWN, begins_ms, ends_ms)


def _own(begins: str, ends: str) -> Period:
    begins_ms, ends_ms = _instant(begins), _instant(ends)
    if begins_ms is None or ends_ms is None:
        wrong = begins if begins_ms is None else ends
        return Period(
            problem=f"“{wrong[:40]}” is no instant such as 2026-11-20T12:00Z: the last {DEFAULT} is shown."
        )
    return own(begins_ms, ends_ms)


def _instant(text: str) -> int | None:
    """In ms; None for what is no instant, has no time zone, or is out of any lamppost's life."""
    try:
        at = datetime.fromisoformat(text)
        ms = None if at.tzinfo is None else round(at.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
    return ms if ms is not None and EARLIEST_MS <= ms <= LATEST_MS else None
