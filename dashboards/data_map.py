"""What the map asks the services beside the list: indices, districts, open incidents."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from air_quality.colours import text_on
from dashboards.data import LAMPPOSTS_MAX, Services
from dashboards.model import (
    Band,
    Condition,
    District,
    IndexCourse,
    IndexKind,
    IndexNow,
    Lamppost,
    Pending,
    UsedTwice,
)
from dashboards.topics import Audience, audience_of
from fleet_server.access.service import SignedIn
from fleet_server.air import service as air
from fleet_server.decisions import service as decisions

STALE = "stale"
SHORT = {"us": air.US_AQI, "eu": air.EU_EAQI}
# Indices are made of hours and counted anew each minute, so most looks take what the last one found.
INDICES_EVERY_S = 5.0
INCIDENTS_EVERY_S = 2.0
INCIDENTS_MOST = 100
# An index of the last hour is of the present until the running one has its own, ten minutes on; an older one
# is none even for NowCast. A lamppost whose data is stale keeps what it had: the map draws it hollow.
INDEX_AGE_MOST_S = 70 * 60.0
HOUR_S = 3600.0


def index_kinds() -> tuple[IndexKind, ...]:
    """The indices that the map can be coloured by, with the palette that every eye can read."""
    return tuple(
        IndexKind(
            key,
            table,
            air.INDICES[table].title,
            tuple(
                Band(b.level, b.name, b.low, b.high, b.accessible_colour, text_on(b.accessible_colour))
                for b in air.INDICES[table].bands
            ),
        )
        for key, table in SHORT.items()
    )


@dataclass
class _Kept:
    """What was found for an audience, and when."""

    indices: Mapping[int, tuple[tuple[str, IndexNow, float], ...]] = field(default_factory=dict)
    indices_at_s: float = -INDICES_EVERY_S
    incidents: Mapping[int, int] = field(default_factory=dict)
    incidents_at_s: float = -INCIDENTS_EVERY_S
    members: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict)


class MapServices:
    """Raises what the services raise."""

    def __init__(self, services: Services, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._services = services
        self._monotonic = monotonic
        self._kept: dict[Audience, _Kept] = {}

    async def pending(self, by: SignedIn) -> Sequence[Pending]:
        return await self._services.pending(by)

    async def used_twice(self, by: SignedIn) -> Sequence[UsedTwice]:
        return await self._services.used_twice(by)

    async def incidents_open(self, by: SignedIn) -> int | None:
        return await self._services.incidents_open(by)

    async def conditions(self, by: SignedIn, lamppost: Lamppost) -> Sequence[Condition]:
        return await self._services.conditions(by, lamppost)

    async def lampposts(self, by: SignedIn) -> Sequence[Lamppost]:
        """All of them, each with its indices and an open incident that it is in."""
        found = await self._services.lampposts(by)
        now_s = self._monotonic()
        kept = self._kept.setdefault(audience_of(by), _Kept())
        if now_s - kept.indices_at_s >= INDICES_EVERY_S:
            kept.indices, kept.indices_at_s = await self._newest(by), now_s
        if now_s - kept.incidents_at_s >= INCIDENTS_EVERY_S:
            kept.incidents, kept.incidents_at_s = await self._in_incidents(by, kept), now_s
        return [
            replace(post, index=self._index(post, kept), incident=kept.incidents.get(post.id))
            for post in found
        ]

    def _index(self, post: Lamppost, kept: _Kept) -> tuple[tuple[str, IndexNow], ...]:
        """None that is old while other data comes: its sensor is at fault, or gone."""
        had = kept.indices.get(post.id, ())
        return tuple(
            (key, now) for key, now, age_s in had if age_s <= INDEX_AGE_MOST_S or post.fresh == STALE
        )

    async def _newest(self, by: SignedIn) -> Mapping[int, tuple[tuple[str, IndexNow, float], ...]]:
        """The indices of each lamppost that has one and their age in street seconds, by its id."""
        newest: dict[int, tuple[tuple[str, IndexNow, float], ...]] = {}
        for key, table in SHORT.items():
            for view in await self._services.ask(
                air.indices, by.principal, index_id=table, limit=LAMPPOSTS_MAX
            ):
                r = view.record
                now = IndexNow(r.value, r.level, r.driver)
                newest[r.device_id] = (*newest.get(r.device_id, ()), (key, now, view.age_s))
        return newest

    async def _in_incidents(self, by: SignedIn, kept: _Kept) -> Mapping[int, int]:
        """Lamppost to the newest open incident that it is in. Members are read when an incident grows."""
        ask = self._services.ask
        listed = await ask(
            decisions.incidents, by.principal, state=decisions.State.OPEN, limit=INCIDENTS_MOST
        )
        members: dict[tuple[int, int], tuple[int, ...]] = {}
        for each in listed:
            key = (each.id, each.devices)
            if key not in kept.members:
                detail = await ask(decisions.incident, by.principal, each.id, verdicts_limit=1)
                kept.members[key] = tuple(member.device_id for member in detail.members)
            members[key] = kept.members[key]
        kept.members = members
        oldest_first = sorted(members.items())
        return {device: incident for (incident, _), devices in oldest_first for device in devices}

    async def districts(self, by: SignedIn, kind: str) -> Sequence[District]:
        """The index of each district that has one of the present, by name."""
        found = await self._services.ask(air.districts, by.principal, index_id=SHORT[kind])
        begun = self._services.now() - timedelta(seconds=HOUR_S + INDEX_AGE_MOST_S)
        return [
            District(d.district, IndexNow(d.value, d.level, d.driver), d.n, round(d.time.timestamp() * 1000))
            for d in found
            if d.time >= begun
        ]

    async def course(self, by: SignedIn, lamppost: Lamppost, kind: str, hours: int) -> IndexCourse:
        """The index of the last hours."""
        now = self._services.now()
        found = await self._services.ask(
            air.index_series,
            by.principal,
            lamppost.handle,
            SHORT[kind],
            now - timedelta(hours=hours),
            now,
        )
        return IndexCourse(
            lamppost.id,
            kind,
            hours,
            tuple(round(r.time.timestamp() * 1000) for r in found),
            tuple(r.value for r in found),
            tuple(r.level for r in found),
        )
