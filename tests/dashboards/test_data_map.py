"""What the map is told of indices: those of the present, whatever else a lamppost goes on saying."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dashboards.data import Services
from dashboards.data_map import MapServices
from dashboards.model import Lamppost
from fleet_server.access.service import SignedIn
from fleet_server.air import service as air
from fleet_server.decisions import service as decisions
from tests.support.server_context import VIEWER

NOW = datetime(2026, 11, 20, 12, 5, tzinfo=UTC)
BY = cast(SignedIn, SimpleNamespace(principal=VIEWER))


def lamppost(fresh: str) -> Lamppost:
    return Lamppost(
        1, None, "city", "lamp-01", "", "active", "online", None, 0, fresh, "8", "ug/m3", 1, (), 1, "error"
    )


class Told:
    """Services that tell of one lamppost, and of one district."""

    def __init__(self, fresh: str, age_min: float) -> None:
        self.post, self.age_min = lamppost(fresh), age_min

    def now(self) -> datetime:
        return NOW

    async def lampposts(self, _: SignedIn) -> list[Lamppost]:
        return [self.post]

    async def ask(self, what: object, *_: Any, **__: Any) -> list[Any]:
        through = NOW - timedelta(minutes=self.age_min)
        if what is air.indices:
            record = SimpleNamespace(device_id=1, value=20, level=1, driver="pm2_5")
            return [SimpleNamespace(record=record, age_s=self.age_min * 60)]
        if what is air.districts:
            hour = (through - timedelta(seconds=1)).replace(minute=0, second=0, microsecond=0)
            return [SimpleNamespace(district="Port", value=20, level=1, driver="pm2_5", n=1, time=hour)]
        assert what is decisions.incidents
        return []


@pytest.mark.parametrize(
    ("fresh", "age_min", "told"),
    [
        ("fresh", 1, True),
        ("fresh", 65, True),  # the hour before this one's first ten minutes
        ("fresh", 75, False),  # the sensor is stuck, or unplugged, while another one goes on
        ("fresh", 60 * 24 * 30, False),
        ("late", 75, False),
        ("stale", 75, True),  # drawn hollow: what it was
    ],
)
def test_an_old_index_is_none_of_the_present(fresh: str, age_min: float, told: bool) -> None:
    source = MapServices(cast(Services, Told(fresh, age_min)))
    [post] = asyncio.run(source.lampposts(BY))
    assert [key for key, _ in post.index] == (["us", "eu"] if told else [])


@pytest.mark.parametrize(("age_min", "told"), [(1, True), (65, True), (60 * 3, False), (60 * 24 * 30, False)])
def test_a_district_that_fell_silent_has_no_index(age_min: float, told: bool) -> None:
    source = MapServices(cast(Services, Told("fresh", age_min)))
    found = asyncio.run(source.districts(BY, "us"))
    assert [d.name for d in found] == (["Port"] if told else [])
