"""Devices and telemetry over HTTP: what the documents hold, pages, and problems for wrong questions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from psycopg.errors import NumericValueOutOfRange

from fleet_server.access import service as access
from fleet_server.access.rules import CONSOLE, Role
from fleet_server.context import Context
from fleet_server.devices import reported
from fleet_server.setup_role import certify
from tests.fleet_server.telemetry.support import MINUTE_MS, NOW, NOW_MS, Desk, Post
from tests.support.api import app_of
from wire_contract.classes import Class
from wire_contract.messages import TwinReported
from wire_contract.topics import Up

PASSWORD = "a lamp for every street"


@pytest.fixture
def http(context: Context) -> Iterator[TestClient]:
    access.create_operator(context, CONSOLE, "ana", PASSWORD, (Role.OPERATOR,))
    with TestClient(app_of(context), raise_server_exceptions=False) as client:
        client.post("/api/v1/session", json={"name": "ana", "password": PASSWORD})
        yield client


@pytest.fixture
def filled(desk: Desk, post: Post) -> Post:
    times = [NOW_MS - i * MINUTE_MS for i in range(1, 31)]
    desk.take(post.declare(), post.publish(Class.LIVE, post.samples(times)))
    desk.take(post.publish(Class.LIVE, b"nonsense"))
    return post


def test_a_device_and_its_sensors(http: TestClient, context: Context, desk: Desk, filled: Post) -> None:
    certify(context.config)  # who puts a lamppost out needs the authority
    desk.take(filled.tell(Up.TWIN, TwinReported(1, 0, {"flush_interval_s": 10})))
    page = http.get("/api/v1/devices").json()
    assert [d["name"] for d in page["devices"]] == ["lamp-01"]
    assert page["next_after"] is None
    one = http.get("/api/v1/devices/city/lamp-01").json()
    assert (one["freshness"], one["presence"]) == ("fresh", "never")
    assert one["reported"] == {"flush_interval_s": 10}
    sensors = http.get("/api/v1/devices/city/lamp-01/sensors").json()
    assert sensors[0]["series"][1]["channel"] == "pm2_5"
    assert http.get("/api/v1/devices/city/lamp-01/conditions").json() == []
    changed = http.put("/api/v1/devices/city/lamp-01/state", json={"state": "decommissioned"})
    assert changed.json()["state"] == "decommissioned"


def test_latest_series_and_gaps(http: TestClient, filled: Post) -> None:
    latest = http.get(
        "/api/v1/telemetry/latest", params={"device": "city/lamp-01", "channel": "pm2_5"}
    ).json()
    reading = latest["readings"][0]
    assert reading["series"]["unit"] == "ug/m3"
    begins = (NOW - timedelta(hours=1)).isoformat()
    address = f"/api/v1/telemetry/series/{reading['series']['id']}"
    points = http.get(address, params={"from": begins, "resolution": "1m", "limit": 20}).json()
    assert len(points["points"]) == 20
    rest = http.get(address, params={"from": points["next_from"], "resolution": "1m"}).json()
    assert len(rest["points"]) == 10
    gaps = http.get(f"/api/v1/telemetry/gaps/{reading['series']['id']}").json()
    assert (gaps["cadence_s"], gaps["gaps"]) == (60.0, [])


def test_dead_letters(http: TestClient, filled: Post) -> None:
    letter = http.get("/api/v1/dead-letters").json()["letters"][0]
    assert (letter["class"], letter["sequence"], letter["device"]) == (2, 2, "city/lamp-01")
    again = http.post(f"/api/v1/dead-letters/{letter['id']}/replay")
    assert again.json()["outcome"] == "refused"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/devices/city/nowhere", 404),
        ("/api/v1/devices/CITY/%20", 404),
        ("/api/v1/devices?limit=100000", 422),
        ("/api/v1/telemetry/latest?device=nonsense", 422),
        ("/api/v1/telemetry/latest?device=city/nope", 404),
        ("/api/v1/telemetry/latest?device=other/lamp-01", 404),
        ("/api/v1/telemetry/latest?channel=pm99", 422),
        ("/api/v1/telemetry/latest?device=city/lamp-01&channel=pm99", 422),
        ("/api/v1/telemetry/export?format=xml", 422),
        ("/api/v1/telemetry/series/999999", 404),
        ("/api/v1/telemetry/series/99999999999999999999", 404),
        ("/api/v1/telemetry/series/1?resolution=5m", 422),
        ("/api/v1/telemetry/series/1?from=2026-11-20T12:00:00", 422),
        ("/api/v1/telemetry/series/1?from=9999-12-31T23:59:59-12:00", 422),
        ("/api/v1/telemetry/gaps/1?factor=0", 422),
        ("/api/v1/telemetry/gaps/1?factor=nan", 422),
        ("/api/v1/dead-letters?before=0", 422),
    ],
)
def test_wrong_questions_are_problems(http: TestClient, filled: Post, path: str, status: int) -> None:
    answer = http.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")


@pytest.mark.parametrize(
    "span",
    [
        "from=0001-01-01T00:00:00%2B14:00",
        "from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z",
        "from=1500-01-01T00:00:00Z&to=9999-12-31T23:59:59-12:00",
    ],
)
@pytest.mark.parametrize("question", ["series/1?resolution=1d&", "series/1?", "gaps/1?"])
def test_the_whole_of_time_is_a_question_like_another(
    http: TestClient, filled: Post, question: str, span: str
) -> None:
    answer = http.get(f"/api/v1/telemetry/{question}{span}")
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("span", ["to=0001-01-01T00:00:00Z", "to=0001-01-01T00:00:00%2B14:00"])
def test_a_range_before_all_time_is_a_problem(http: TestClient, filled: Post, span: str) -> None:
    for question in ("series/1?resolution=1d&", "gaps/1?"):
        assert http.get(f"/api/v1/telemetry/{question}{span}").status_code == 422


def test_replaying_what_postgresql_refuses_is_an_answer(
    http: TestClient, desk: Desk, filled: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise NumericValueOutOfRange("integer out of range")

    stranger = Post("stranger")
    desk.take(stranger.declare())
    desk.connection.execute("UPDATE device SET state = 'active'")
    monkeypatch.setattr(reported, "declare", refuse)
    letter = desk.one("SELECT max(id) FROM dead_letter")
    answer = http.post(f"/api/v1/dead-letters/{letter}/replay")
    assert (answer.status_code, answer.json()["reason"]) == (200, "internal_error")
