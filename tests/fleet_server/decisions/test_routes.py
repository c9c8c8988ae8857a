"""Incidents over HTTP: documents, pages, versions, and problems for wrong questions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from fleet_server.access import service as access
from fleet_server.access.rules import CONSOLE, Role
from fleet_server.context import Context
from tests.fleet_server.decisions.street import MINUTE, Street
from tests.fleet_server.telemetry.support import NOW
from tests.support.api import app_of

PASSWORD = "a lamp for every street"
INCIDENTS = "/api/v1/incidents"


def signed_in(context: Context, name: str, role: Role) -> Iterator[TestClient]:
    access.create_operator(context, CONSOLE, name, PASSWORD, (role,))
    with TestClient(app_of(context), raise_server_exceptions=False) as client:
        client.post("/api/v1/session", json={"name": name, "password": PASSWORD})
        yield client


@pytest.fixture
def http(context: Context) -> Iterator[TestClient]:
    yield from signed_in(context, "ana", Role.OPERATOR)


@pytest.fixture
def viewer(context: Context) -> Iterator[TestClient]:
    yield from signed_in(context, "vic", Role.VIEWER)


@pytest.fixture
def one(street: Street) -> str:
    """The address of an open incident of two lampposts."""
    street.says(0)
    street.says(1)
    street.decide()
    return f"{INCIDENTS}/{street.desk.one('SELECT max(id) FROM incident')}"


def test_the_list_and_the_document(http: TestClient, one: str) -> None:
    page = http.get(INCIDENTS).json()
    assert page["next_after"] is None
    [listed] = page["incidents"]
    assert (listed["state"], listed["severity"], listed["devices"]) == ("open", "moderate", 2)
    answer = http.get(one)
    document = answer.json()
    assert answer.headers["etag"] == '"1"'
    assert {name: document[name] for name in listed} == listed
    assert [m["device"] for m in document["members"]] == ["city/lamp-00", "city/lamp-01"]
    assert [(e["what"], e["by"], e["told"]) for e in document["events"]] == [
        ("joined", "worker", False),
        ("opened", "worker", True),
    ]
    assert {v["incident_id"] for v in document["verdicts"]} == {listed["id"]}
    evidence = http.get(f"{one}/verdicts", params={"limit": 1}).json()
    assert evidence["verdicts"] == document["verdicts"][:1]
    assert (
        http.get(f"{one}/verdicts", params={"after": evidence["next_after"]}).json()["verdicts"]
        == (document["verdicts"][1:])
    )


def test_a_days_work(http: TestClient, one: str) -> None:
    assert http.post(f"{one}/acknowledge").json()["acknowledged_by"] == "ana"
    until = (NOW + 60 * MINUTE).isoformat()
    silenced = http.post(f"{one}/silence", json={"until": until}).json()
    assert silenced["silenced_until"] == "2026-11-20T13:00:00Z"
    assert http.post(f"{one}/silence", json={"until": None}).json()["silenced_until"] is None
    assert http.post(f"{one}/notes", json={"text": "smoke"}).status_code == 201
    closed = http.post(f"{one}/close", json={"reason": "put out"}).json()
    assert (closed["state"], closed["close_reason"], closed["closed_by"]) == ("closed", "put out", "ana")
    history = [(e["what"], e["text"]) for e in http.get(one).json()["events"]]
    assert history[:2] == [("closed", "put out"), ("note", "smoke")]


def test_a_version_that_is_not_the_newest_is_refused(http: TestClient, one: str) -> None:
    tag = http.get(one).headers["etag"]
    done = http.post(f"{one}/acknowledge", headers={"If-Match": tag})
    assert done.status_code == 200
    refused = http.post(f"{one}/close", headers={"If-Match": tag})
    assert (refused.status_code, refused.json()["version"]) == (409, 2)
    assert http.get(one).json()["state"] == "open"
    assert http.post(f"{one}/close", headers={"If-Match": done.headers["etag"]}).status_code == 200


@pytest.mark.parametrize("tag", ['"x"', "", "1, 2", '"99999999999"', '"-1"', '"1.0"', '"²"'])
def test_a_version_that_is_none(http: TestClient, one: str, tag: str) -> None:
    answer = http.post(f"{one}/close", headers={"If-Match": tag.encode()})  # type: ignore[dict-item]
    assert answer.status_code == 422, answer.text
    assert http.get(one).json()["state"] == "open"


@pytest.mark.parametrize(("tag", "status"), [("*", 200), ("1", 200), ('W/"1"', 200), ('"2"', 409)])
def test_versions_in_other_words(http: TestClient, one: str, tag: str, status: int) -> None:
    assert http.post(f"{one}/close", headers={"If-Match": tag}).status_code == status


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/999", None, 404),
        ("GET", "/0", None, 422),
        ("GET", "/x", None, 422),
        ("GET", "/99999999999999999999", None, 422),
        ("GET", "?state=burning", None, 422),
        ("GET", "?limit=0", None, 422),
        ("GET", "?limit=1001", None, 422),
        ("GET", "?after=-1", None, 422),
        ("POST", "/999/close", {}, 404),
        ("POST", "/1/notes", {"text": ""}, 422),
        ("POST", "/1/notes", {"text": "x" * 2_001}, 422),
        ("POST", "/1/notes", {"text": "a\x00b"}, 422),
        ("POST", "/1/notes", {}, 422),
        ("POST", "/1/silence", {}, 422),
        ("POST", "/1/silence", {"until": "tomorrow"}, 422),
        ("POST", "/1/silence", {"until": "2026-11-20T13:00:00"}, 422),
        ("POST", "/1/silence", {"until": "2026-11-20T11:00:00Z"}, 422),
        ("POST", "/1/silence", {"until": "2099-01-01T00:00:00Z"}, 422),
        ("POST", "/1/close", {"reason": 5}, 422),
    ],
)
def test_questions_that_are_none(
    http: TestClient, one: str, method: str, path: str, body: Any, status: int
) -> None:
    path = path.replace("/1/", one.removeprefix(INCIDENTS) + "/")
    answer = http.request(method, INCIDENTS + path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert http.get(one).json()["version"] == 1


def test_pages(http: TestClient, street: Street, one: str) -> None:
    street.says(4, 200)
    street.decide(200)
    first = http.get(INCIDENTS, params={"limit": 1}).json()
    second = http.get(INCIDENTS, params={"limit": 1, "after": first["next_after"]}).json()
    third = http.get(INCIDENTS, params={"after": second["next_after"]}).json()
    assert [len(page["incidents"]) for page in (first, second, third)] == [1, 1, 0]
    assert first["incidents"][0]["id"] > second["incidents"][0]["id"]
    states = {
        state: len(http.get(INCIDENTS, params={"state": state}).json()["incidents"]) for state in STATES
    }
    assert states == {"open": 1, "closed": 1, "merged": 0}
    assert http.get(INCIDENTS, params={"late": True}).json()["incidents"] == []


STATES = ("open", "closed", "merged")


def test_the_verdicts_of_a_lamppost(http: TestClient, one: str) -> None:
    page = http.get("/api/v1/devices/city/lamp-00/verdicts").json()
    [said] = page["verdicts"]
    assert (said["kind"], said["reason"], said["device"]) == ("episode", "PM2.5 rose fast", "city/lamp-00")
    past = {"from": "2026-11-20T10:00:00Z", "to": "2026-11-20T11:00:00Z"}
    assert http.get("/api/v1/devices/city/lamp-00/verdicts", params=past).json()["verdicts"] == []
    assert http.get("/api/v1/devices/city/nowhere/verdicts").status_code == 404
    backwards = {"from": past["to"], "to": past["from"]}
    assert http.get("/api/v1/devices/city/lamp-00/verdicts", params=backwards).status_code == 422


def test_a_viewer_may_look_only(viewer: TestClient, one: str) -> None:
    assert viewer.get(one).status_code == 200
    for act, body in (
        ("acknowledge", None),
        ("close", {}),
        ("notes", {"text": "x"}),
        ("silence", {"until": None}),
    ):
        assert viewer.post(f"{one}/{act}", json=body).status_code == 403


def test_nobody_looks_without_a_session(context: Context, one: str) -> None:
    with TestClient(app_of(context), raise_server_exceptions=False) as client:
        assert client.get(INCIDENTS).status_code == 401
        assert client.get(one).status_code == 401
        assert client.post(f"{one}/close").status_code == 401
        assert client.get("/api/v1/devices/city/lamp-00/verdicts").status_code == 401
