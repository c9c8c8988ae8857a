"""A stolen lamppost: out of the city within seconds of one decision, its open connection included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from demo.city import City
from demo.layout import TENANT, Post, lay_out
from demo.records import Records
from demo.settings import DemoSettings
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

SEEN_S = 60.0  # the broker restarts, everybody connects again with back-off, on a busy machine


@pytest.fixture
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    folder = tmp_path_factory.mktemp("stolen") / "city"
    settings = DemoSettings(folder, posts=2, history_h=1.0, seed=5, admin_password="nobody steals a lamp")
    city = City(settings, lay_out(settings))
    try:
        for _step in city.start():
            pass
        yield city
    finally:
        city.stop()


def device(city: City, post: Post) -> dict[str, Any]:
    assert city.api is not None
    found: dict[str, Any] = city.api.call("GET", f"/api/v1/devices/{TENANT}/{post.name}")
    return found


def decide(city: City, post: Post, state: str) -> None:
    assert city.api is not None
    told = city.api.call("PUT", f"/api/v1/devices/{TENANT}/{post.name}/state", {"state": state})
    assert told["state"] == state


def stored(city: City, post: Post) -> int:
    return Records(city.layout).now(city.street_zero_ms).per_post[post.name]


def test_a_quarantined_lamppost_loses_its_connection_and_only_it(city: City) -> None:
    stolen, other = city.layout.posts
    for post in (stolen, other):
        wait_until(
            lambda post=post: device(city, post)["presence"] == "online", SEEN_S, f"{post.name} online"
        )
        wait_until(lambda post=post: stored(city, post) > 0, SEEN_S, f"{post.name} stored")
    decide(city, stolen, "quarantined")
    wait_until(
        lambda: device(city, stolen)["presence"] == "offline", SEEN_S, "the stolen one to be thrown out"
    )
    wait_until(lambda: device(city, other)["presence"] == "online", SEEN_S, "the other to be back")
    before = stored(city, other), stored(city, stolen)
    wait_until(lambda: stored(city, other) > before[0] + 5, SEEN_S, "the other to go on")
    assert device(city, stolen)["presence"] == "offline"
    assert stored(city, stolen) == before[1]
    decide(city, stolen, "active")
    wait_until(lambda: device(city, stolen)["presence"] == "online", SEEN_S, "it to be let in again")
    wait_until(lambda: stored(city, stolen) > before[1] + 5, SEEN_S, "what it kept meanwhile")
