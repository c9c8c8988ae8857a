"""What a page may want to be told: each thing is read once for all pages that show it."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dashboards.model import Lamppost, Pending, UsedTwice
from fleet_server.access.service import SignedIn

Key = tuple[Any, ...]
Audience = tuple[str, frozenset[str], frozenset[str] | None]
PENDING: Key = ("pending",)
USED_TWICE: Key = ("used-twice",)
INCIDENTS_OPEN: Key = ("incidents-open",)
LAMPPOSTS: Key = ("lampposts",)
PENDING_EVERY_S = 3.0  # a technician waits beside the lamppost
NOTHING: frozenset[int] = frozenset()


def audience_of(who: SignedIn) -> Audience:
    """Who is shown the same: the tenant, the roles and what these are limited to."""
    return who.principal.tenant, who.principal.roles, who.principal.scopes


@dataclass(frozen=True)
class Topic:
    """One thing to read, under a key that pages of one audience share.

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
    async def used_twice(self, by: SignedIn) -> Sequence[UsedTwice]: ...


def common(source: CommonSource) -> Iterable[Topic]:
    """The enrolments that wait, and how many incidents are open."""
    yield Topic(PENDING, source.pending, of=NOTHING, every_s=PENDING_EVERY_S)
    yield Topic(INCIDENTS_OPEN, source.incidents_open)


def used_twice(source: CommonSource) -> Topic:
    """The claims that were used twice: for those who decide about them."""
    return Topic(USED_TWICE, source.used_twice, of=NOTHING, every_s=PENDING_EVERY_S)


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
