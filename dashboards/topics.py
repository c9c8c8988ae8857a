"""What a page may want to be told: each thing is read once for all pages that show it."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dashboards.model import Chart, Detail, Lamppost, Pending, Reading, Span
from fleet_server.access.service import SignedIn

Key = tuple[Any, ...]
PENDING: Key = ("pending",)
INCIDENTS_OPEN: Key = ("incidents-open",)
LAMPPOSTS: Key = ("lampposts",)
PENDING_EVERY_S = 3.0  # a technician waits beside the lamppost
NOTHING: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Topic:
    """One thing to read, under a key that pages share.

    read: raises LinkError while the database is away; any other LamppostError is told to who asked.
    of: lampposts whose commits make it old. None: every look makes it old, at most one a second.
    stamp: another stamp than the last time makes it old, too.
    every_s: old after so long, whatever happened.
    """

    key: Key
    read: Callable[[SignedIn], Awaitable[Any]] = field(compare=False)
    of: frozenset[int] | None = field(default=None, compare=False)
    stamp: Any = field(default=None, compare=False)
    every_s: float = field(default=math.inf, compare=False)


class CommonSource(Protocol):
    """What every page shows, in its header and its notices."""

    async def pending(self, by: SignedIn) -> Sequence[Pending]: ...
    async def incidents_open(self, by: SignedIn) -> int | None: ...


class ChartSource(Protocol):
    """One lamppost and one of its series."""

    async def detail(self, by: SignedIn, lamppost: Lamppost) -> Detail: ...
    async def chart(self, by: SignedIn, reading: Reading, span: Span, now_ms: int) -> Chart: ...


def common(source: CommonSource) -> Iterable[Topic]:
    """The enrolments that wait, and how many incidents are open."""
    yield Topic(PENDING, source.pending, of=NOTHING, every_s=PENDING_EVERY_S)
    yield Topic(INCIDENTS_OPEN, source.incidents_open)


class LamppostSource(Protocol):
    """One lamppost by its address. Raises NotFound."""

    async def lamppost(self, by: SignedIn, tenant: str, name: str) -> Lamppost: ...


def lamppost_key(tenant: str, name: str) -> Key:
    return ("lamppost", tenant, name)


def lamppost(source: LamppostSource, tenant: str, name: str) -> Topic:
    """One lamppost; a key in `Snapshot.refused` tells that there is none of this name."""

    async def read(by: SignedIn) -> Lamppost:
        return await source.lamppost(by, tenant, name)

    return Topic(lamppost_key(tenant, name), read)


def detail_key(lamppost: int) -> Key:
    return ("detail", lamppost)


def detail(source: ChartSource, lamppost: Lamppost) -> Topic:
    """Conditions, sensors and newest readings of one lamppost."""

    async def read(by: SignedIn) -> Detail:
        return await source.detail(by, lamppost)

    return Topic(detail_key(lamppost.id), read, of=frozenset({lamppost.id}), stamp=lamppost)


def chart_key(series: int, span: Span) -> Key:
    return ("chart", series, span.key)


def chart(source: ChartSource, lamppost: Lamppost, reading: Reading, span: Span, now_ms: int) -> Topic:
    """One series over the span that ends now; read again when it has slid by a hundredth of its width."""

    async def read(by: SignedIn) -> Chart:
        return await source.chart(by, reading, span, now_ms)

    stamp = (lamppost, now_ms // (span.length_s * 10))
    return Topic(chart_key(reading.series, span), read, of=frozenset({lamppost.id}), stamp=stamp)
