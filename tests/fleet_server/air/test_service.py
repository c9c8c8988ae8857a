"""Indices, series and calibrations as people ask for them; and the past computed anew."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from air_quality.calibration import Calibration
from air_quality.index import EU_EAQI, US_AQI
from fleet_server.access import service as access
from fleet_server.access.rules import CONSOLE, Role
from fleet_server.air import service, store
from fleet_server.air.upkeep import follow
from fleet_server.clock import StreetClock
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.rules import DeviceState, Freshness
from fleet_server.errors import Forbidden, InvalidRequest, NotFound
from tests.fleet_server.air.support import PM, declare, hour, say, settle
from tests.fleet_server.telemetry.stores import ENGINES, opened
from tests.fleet_server.telemetry.support import NOW, NOW_MS, Desk, Post
from tests.support.api import app_of
from tests.support.server_context import OPERATOR, VIEWER, make_context
from wire_contract.topics import Address


@contextmanager
def closing_context(url: str, folder: Path) -> Iterator[Context]:
    made = replace(make_context(url, folder), clock=StreetClock(wall_ms=lambda: float(NOW_MS)))
    yield made
    made.db.close()


SMOKE = (100.0, 66.0, 70.0, 50.0)


def test_the_newest_index_of_each_lamppost_in_pages(context: Context, desk: Desk) -> None:
    posts = [Post(f"lamp-{n}") for n in range(3)]
    desk.register(*posts)
    for n, post in enumerate(posts):
        declare(desk, post, serial=str(n))
        say(desk, post, hour(3), 180 - 25 * n, SMOKE)
    settle(desk)
    first = service.indices(context, VIEWER, limit=2)
    rest = service.indices(context, VIEWER, after=first[-1].record.device_id, limit=2)
    assert [each.record.address.device for each in (*first, *rest)] == ["lamp-0", "lamp-1", "lamp-2"]
    assert (first[0].record.value, first[0].record.time, first[0].age_s) == (146, hour(1), 0.0)
    assert [each.age_s for each in (*first, *rest)] == [0.0, 3600.0, 3600.0], "of hours that count"
    everywhere = service.indices(context, VIEWER, index_id=EU_EAQI)
    assert [each.record.time for each in everywhere] == [hour(1), hour(2), hour(2)]
    assert [each.freshness for each in everywhere] == [Freshness.FRESH, Freshness.STALE, Freshness.STALE]


def test_districts_follow_where_lampposts_stand(context: Context, desk: Desk, post: Post) -> None:
    declare(desk, post)
    say(desk, post, hour(2), 120, SMOKE)
    devices.change_place(context, OPERATOR, post.address, district="Harbour")
    settle(desk)
    assert [(d.district, d.value, d.n) for d in service.districts(context, VIEWER)] == [("Harbour", 146, 1)]
    devices.change_place(context, OPERATOR, post.address, district="Old Town")
    assert service.districts(context, VIEWER) == []
    say(desk, post, NOW, 20, SMOKE)
    settle(desk, NOW + timedelta(minutes=20))
    assert [d.district for d in service.districts(context, VIEWER)] == ["Old Town"]
    devices.change_state(context, OPERATOR, post.address, DeviceState.DECOMMISSIONED)
    assert service.districts(context, VIEWER) == [], "nobody measures there any more"


def test_a_calibration_moves_the_past_from_its_hour_on(context: Context, desk: Desk, post: Post) -> None:
    unit = declare(desk, post)
    say(desk, post, hour(6), 360, SMOKE)
    settle(desk)

    def european() -> list[tuple[float, str]]:
        found = service.index_series(context, VIEWER, post.address, EU_EAQI)
        return [(each.concentration, each.correction) for each in found]

    usual, own = (53.8, "barkjohn2022@1"), (37.0, "calibration")
    assert european() == [usual] * 6
    entered = service.set_calibration(
        context, OPERATOR, post.address, Calibration(0.5, 4.0, source="beside a station"),
        hour(4) + timedelta(minutes=30),
    )  # fmt: skip
    assert (entered.sensor_unit, entered.created_by, entered.calibration.slope) == (unit, "ola", 0.5)
    settle(desk)
    assert european() == [usual] * 3 + [own] * 3, "the hour in which it begins is the old one's"
    corrected = service.corrected_series(context, VIEWER, post.address, hour(13), NOW)
    assert [(p.raw, p.value) for p in corrected.points if p.pollutant == "pm2_5"] == [(66.0, 53.84)] * 3 + [
        (66.0, 37.0)
    ] * 3
    again = service.set_calibration(context, OPERATOR, post.address, Calibration(1.0), entered.valid_from)
    assert again.id == entered.id
    settle(desk)
    assert european() == [usual] * 3 + [(66.0, "calibration")] * 3
    service.remove_calibration(context, OPERATOR, entered.id)
    settle(desk)
    assert european() == [usual] * 6
    assert service.calibrations(context, VIEWER, post.address) == []


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_somebody_of_one_tenant_enters_a_calibration_on_timescaledb(
    engine: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Hours are an aggregate there, which the role of the tenant's sessions may not read by itself."""
    ola = replace(OPERATOR, tenant="city")
    with opened(engine, request, monkeypatch) as made, closing_context(made.url, tmp_path) as context:
        post = Post()
        made.desk.register(post)
        declare(made.desk, post)
        say(made.desk, post, hour(3), 180, SMOKE)
        settle(made.desk)
        entered = service.set_calibration(context, ola, post.address, Calibration(0.5, 4.0), hour(2))
        settle(made.desk)
        found = service.index_series(context, ola, post.address, EU_EAQI)
        assert [each.correction for each in found] == ["barkjohn2022@1", "calibration", "calibration"]
        service.remove_calibration(context, ola, entered.id)
        settle(made.desk)
        found = service.index_series(context, ola, post.address, EU_EAQI)
        assert [each.correction for each in found] == ["barkjohn2022@1"] * 3


def test_a_calibration_that_begins_with_an_hour_holds_for_that_hour(
    context: Context, desk: Desk, post: Post
) -> None:
    declare(desk, post)
    say(desk, post, hour(3), 180, SMOKE)
    settle(desk)
    service.set_calibration(context, OPERATOR, post.address, Calibration(0.5, 4.0), hour(2))
    settle(desk)
    found = service.index_series(context, VIEWER, post.address, EU_EAQI)
    assert [each.correction for each in found] == ["barkjohn2022@1", "calibration", "calibration"]


def test_raw_against_corrected_in_minutes_and_in_hours(context: Context, desk: Desk, post: Post) -> None:
    declare(desk, post)
    say(desk, post, hour(20), 1200, SMOKE)
    settle(desk)
    fine = service.corrected_series(context, VIEWER, post.address, hour(1), NOW)
    coarse = service.corrected_series(context, VIEWER, post.address)
    assert (fine.step_s, len(fine.points)) == (60, 2 * 60)
    assert (coarse.step_s, len(coarse.points)) == (3600, 2 * 20)
    for seen in (fine, coarse):
        assert {(p.pollutant, p.raw, p.value, p.correction) for p in seen.points} == {
            ("pm2_5", 66.0, 53.84, "barkjohn2022@1"),
            ("pm10", 70.0, 70.0, "none@1"),
        }


def test_of_several_sensors_one_has_to_be_named(context: Context, desk: Desk, post: Post) -> None:
    first = declare(desk, post, 1, "sds011", PM[1:3])
    declare(desk, post, 2, "sps30", PM[1:3])
    with pytest.raises(InvalidRequest, match=rf"say which of {first} \(sds011\)"):
        service.set_calibration(context, OPERATOR, post.address, Calibration())
    made = service.set_calibration(context, OPERATOR, post.address, Calibration(), sensor_unit=first)
    assert (made.sensor_unit, made.valid_from) == (first, NOW)
    with pytest.raises(NotFound):
        service.set_calibration(context, OPERATOR, post.address, Calibration(), sensor_unit=2**31 - 1)


@pytest.mark.parametrize(
    ("entry", "valid_from"),
    [
        (Calibration(slope=math.nan), NOW),
        (Calibration(offset=math.inf), NOW),
        (Calibration(channel="'; DROP TABLE calibration"), NOW),
        (Calibration(), datetime(2026, 11, 20)),
        (Calibration(), datetime(1, 1, 1, tzinfo=UTC)),
        (Calibration(), datetime(9999, 1, 1, tzinfo=UTC)),
    ],
)
def test_garbage_is_no_calibration(
    context: Context, desk: Desk, post: Post, entry: Calibration, valid_from: datetime
) -> None:
    declare(desk, post)
    with pytest.raises(InvalidRequest):
        service.set_calibration(context, OPERATOR, post.address, entry, valid_from)
    assert desk.one("SELECT count(*) FROM calibration") == 0


NOWHERE = Address("city", "nowhere")


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda c, a: service.indices(c, VIEWER, index_id="us-aqi"), InvalidRequest),
        (lambda c, a: service.indices(c, VIEWER, index_id="\0" * 500), InvalidRequest),
        (lambda c, a: service.districts(c, VIEWER, index_id=""), InvalidRequest),
        (lambda c, a: service.index_series(c, VIEWER, NOWHERE), NotFound),
        (lambda c, a: service.index_series(c, VIEWER, a, US_AQI, NOW, NOW), InvalidRequest),
        (lambda c, a: service.index_series(c, VIEWER, a, US_AQI, datetime(2026, 1, 1)), InvalidRequest),
        (lambda c, a: service.corrected_series(c, VIEWER, NOWHERE), NotFound),
        (lambda c, a: service.corrected_series(c, VIEWER, a, NOW, hour(1)), InvalidRequest),
        (lambda c, a: service.calibrations(c, VIEWER, NOWHERE), NotFound),
        (lambda c, a: service.set_calibration(c, OPERATOR, NOWHERE, Calibration()), NotFound),
        (lambda c, a: service.set_calibration(c, OPERATOR, a, Calibration()), NotFound),
        (lambda c, a: service.set_calibration(c, VIEWER, a, Calibration()), Forbidden),
        (lambda c, a: service.remove_calibration(c, OPERATOR, 2**31 - 1), NotFound),
        (lambda c, a: service.remove_calibration(c, OPERATOR, 2**63), InvalidRequest),
        (lambda c, a: service.remove_calibration(c, VIEWER, 1), Forbidden),
    ],
)
def test_what_cannot_be_answered(
    context: Context, post: Post, ask: Callable[[Context, Address], Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        ask(context, post.address)


def test_a_span_of_all_time_is_answered(context: Context, desk: Desk, post: Post) -> None:
    declare(desk, post)
    say(desk, post, hour(1), 60, SMOKE)
    settle(desk)
    ends = (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC))
    assert len(service.index_series(context, VIEWER, post.address, EU_EAQI, *ends)) == 1
    assert len(service.corrected_series(context, VIEWER, post.address, *ends).points) == 2


@pytest.fixture
def client(context: Context) -> Iterator[TestClient]:
    access.create_operator(context, CONSOLE, "ada", "correct horse battery", (Role.ADMIN,))
    with TestClient(app_of(context)) as made:
        answer = made.post("/api/v1/session", json={"name": "ada", "password": "correct horse battery"})
        made.cookies.clear()
        made.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        yield made


def test_the_api_tells_the_same(client: TestClient, desk: Desk, post: Post) -> None:
    declare(desk, post)
    say(desk, post, hour(3), 180, SMOKE)
    lamp = "/api/v1/devices/city/lamp-01"
    placed = client.patch(
        lamp, json={"latitude": 41.1496, "longitude": -8.6109, "district": "Harbour"}
    ).json()
    assert (placed["latitude"], placed["longitude"], placed["district"]) == (41.1496, -8.6109, "Harbour")
    assert client.patch(lamp, json={"district": "Quay"}).json()["latitude"] == 41.1496
    assert client.patch(lamp, json={"latitude": None, "longitude": None}).json()["longitude"] is None
    settle(desk)
    [index] = client.get("/api/v1/indices").json()["indices"]
    assert (index["device"], index["index_id"], index["value"]) == ("city/lamp-01", US_AQI, 146)
    assert client.get("/api/v1/districts", params={"index": EU_EAQI}).json()[0]["category"] == "Poor"
    assert len(client.get(f"{lamp}/index").json()) == 2
    assert client.get(f"{lamp}/corrected").json()["step_s"] == 3600
    body = {"slope": 0.5, "valid_from": "2026-11-20T09:00:00Z", "source": "a test"}
    made = client.post(f"{lamp}/calibrations", json=body)
    assert (made.status_code, made.json()["created_by"]) == (201, "ada")
    settle(desk)
    assert client.get("/api/v1/indices").json()["indices"][0]["correction"] == "calibration"
    assert client.get(f"{lamp}/calibrations").json() == [made.json()]
    assert client.delete(f"/api/v1/calibrations/{made.json()['id']}").status_code == 204
    assert client.delete(f"/api/v1/calibrations/{made.json()['id']}").status_code == 404


def pages(client: TestClient, path: str, limit: int, key: str | None) -> list[Any]:
    """Every item, by the Link headers."""
    found: list[Any] = []
    address: str | None = f"{path}{'&' if '?' in path else '?'}limit={limit}"
    while address is not None:
        answer = client.get(address)
        assert answer.status_code == 200, answer.text
        items = answer.json() if key is None else answer.json()[key]
        assert 0 < len(items) <= limit
        found += items
        address = answer.links.get("next", {}).get("url")
        assert key is None or (answer.json()["next"] is None) == (address is None)
    return found


def test_pages_of_districts_and_corrected_values_are_the_whole(
    client: TestClient, desk: Desk, post: Post
) -> None:
    """And neither is sent again until it changes."""
    posts = [post, Post("lamp-02", b"f" * 16), Post("lamp-03", b"g" * 16)]
    desk.register(*posts[1:])
    for each, district in zip(posts, ("Old Town", "Harbour", "A'b"), strict=True):
        desk.connection.execute("UPDATE device SET district = %s WHERE name = %s", (district, each.name))
        declare(desk, each)
        say(desk, each, hour(3), 180, SMOKE)
    settle(desk)
    lamp = "/api/v1/devices/city/lamp-01/corrected"
    hours = f"{lamp}?from=2026-11-19T00:00:00Z&to=2026-11-20T12:00:00Z"
    minutes = f"{lamp}?from=2026-11-20T11:30:00Z&to=2026-11-20T12:00:00Z"
    for path, key, most in (("/api/v1/districts", None, 3), (hours, "points", 6), (minutes, "points", 60)):
        answer = client.get(path)
        whole = answer.json() if key is None else answer.json()[key]
        assert len(whole) == most, path
        for limit in (1 if most < 10 else 7, most - 1, most):
            assert pages(client, path, limit, key) == whole, (path, limit)
        tag = {"If-None-Match": answer.headers["etag"]}
        assert client.get(path, headers=tag).status_code == 304
        first = client.get(path, params={"limit": 1})
        elsewhere = client.get(
            "/api/v1/indices", params={"cursor": first.links["next"]["url"].split("=")[-1]}
        )
        assert elsewhere.status_code == 400
        for wrong in ({"limit": 0}, {"limit": "x"}, {"cursor": "x"}, {"cursor": "WzEsIngiXQ"}):
            assert client.get(path, params=wrong).status_code in (400, 422), (path, wrong)
        desk.connection.execute("UPDATE air_hour SET value = value + 1")
        desk.connection.execute("UPDATE district_index SET value = value + 1")
        desk.connection.execute("UPDATE unit_minute SET sum_0 = sum_0 + 1000, sum_1 = sum_1 + 1000")
        assert client.get(path, headers=tag).status_code == 200, path


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "", '{"latitude": 91, "longitude": 0}'),
        ("PATCH", "", '{"latitude": 41.1}'),
        ("PATCH", "", '{"latitude": NaN, "longitude": NaN}'),
        ("PATCH", "", '{"latitude": 1e999, "longitude": 0}'),
        ("PATCH", "", '{"latitude": "north", "longitude": 0}'),
        ("PATCH", "", '{"district": "' + "x" * 65 + '"}'),
        ("PATCH", "", '{"district": "a\\u0000b"}'),
        ("PATCH", "", "[]"),
        ("POST", "/calibrations", '{"slope": NaN}'),
        ("POST", "/calibrations", '{"slope": 0}'),
        ("POST", "/calibrations", "{}"),
        ("POST", "/calibrations", '{"source": "station 4", "sensor_unit": 1}'),
        ("POST", "/calibrations", '{"channel": "co2"}'),
        ("POST", "/calibrations", '{"valid_from": "yesterday"}'),
        ("POST", "/calibrations", '{"valid_from": "2026-11-20T09:00:00"}'),
        ("POST", "/calibrations", '{"source": "' + "x" * 5000 + '"}'),
        ("POST", "/calibrations", ""),
        ("GET", "/index?index=nonsense", None),
        ("GET", "/index?from=2026-11-20T13:00:00Z", None),
        ("GET", "/index?limit=0", None),
        ("GET", "/corrected?to=never", None),
    ],
)
def test_garbage_is_refused_in_words(
    client: TestClient, desk: Desk, post: Post, method: str, path: str, body: str | None
) -> None:
    declare(desk, post)
    headers = {"Content-Type": "application/json"}
    answer = client.request(method, f"/api/v1/devices/city/lamp-01{path}", content=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["detail"]


def test_a_calibration_entered_while_the_worker_is_at_its_past_counts(
    context: Context, desk: Desk, post: Post
) -> None:
    unit = declare(desk, post)
    say(desk, post, hour(6), 180, SMOKE)
    settle(desk)
    first, second = (Calibration(slope, channel="pm2_5") for slope in (2.0, 3.0))
    service.set_calibration(context, OPERATOR, post.address, first, hour(12))
    with context.db.session() as session:  # the marks of the first are there still
        store.put_calibration(session, unit, second, hour(12), "ana", NOW)
        store.mark_past(session, unit, hour(12))
        follow(desk.connection, NOW)
    settle(desk)
    view = service.corrected_series(context, VIEWER, post.address, hour(24), NOW)
    told = [point for point in view.points if point.pollutant == "pm2_5"]
    assert [point.value / point.raw for point in told] == pytest.approx([3.0] * 3)
