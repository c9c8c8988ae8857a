"""Decisions of the tenants slice, pure: what a tenant may use, and whether the next request is within it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

MOST = 1_000_000_000  # of any quota: what fits the columns
TITLE_MOST_CHARACTERS = 100


@dataclass(frozen=True)
class Quotas:
    """None: without a limit. The defaults hold for whoever has none of its own.

    requests_a_minute: of all of a tenant's people and programs; `_each`: of one of them; both of one api
    process. downloads: at once, of one api process; download_rows: of one download. groups: of lampposts.
    files_mb: megabytes of what commands brought. device_messages, device_mb: of one lamppost in a minute,
    beyond which it floods; None: as [limits] has it.
    """

    requests_a_minute: int | None = 60_000
    requests_a_minute_each: int | None = 6_000  # a hundred a second: more is a loop that has gone wrong
    devices: int | None = None
    downloads: int | None = 2
    download_rows: int | None = None
    groups: int | None = 200  # each query is asked of every lamppost that changes
    files_mb: int | None = 2_048  # 100,000 ordinary bundles, 2,000 of the largest
    device_messages: int | None = None
    device_mb: int | None = None


USUAL = Quotas()
NAMES = tuple(field.name for field in fields(Quotas))


def with_usual(own: dict[str, Any]) -> Quotas:
    """`own` as a row has it: what is None there is the usual."""
    return Quotas(**{name: getattr(USUAL, name) if own[name] is None else own[name] for name in NAMES})


def quota_problem(value: int | None) -> str | None:
    """What is wrong with a quota, or None. None is "the usual"."""
    if value is None or (not isinstance(value, bool) and 1 <= value <= MOST):
        return None
    return f"a quota is a whole number from 1 to {MOST}"


@dataclass(frozen=True)
class Bucket:
    """`tokens` at `at_s`, on a clock that only goes forward. It holds a minute's worth."""

    tokens: float
    at_s: float


def filled(bucket: Bucket | None, a_minute: int, now_s: float) -> Bucket:
    """As it is now: a new one is full."""
    if bucket is None:
        return Bucket(float(a_minute), now_s)
    gained = (now_s - bucket.at_s) * a_minute / 60.0
    return Bucket(min(float(a_minute), bucket.tokens + gained), now_s)


def wait_s(bucket: Bucket, a_minute: int) -> int:
    """Whole seconds until there is a token; 0: there is one."""
    return 0 if bucket.tokens >= 1.0 else max(1, math.ceil((1.0 - bucket.tokens) * 60.0 / a_minute))
