"""/api/v1/session over HTTP: cookie and bearer token, throttling, and nothing told that should not be."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from operator import itemgetter
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from fleet_server.access import rules, service
from fleet_server.access.asker import COOKIE
from fleet_server.access.rules import CONSOLE, Role
from tests.support.api import app_of
from tests.support.server_context import make_context

PASSWORD = "a lamp for every street"
SESSION = "/api/v1/session"


@pytest.fixture
def http(database_url: str, tmp_path: Path) -> Iterator[TestClient]:
    ctx = make_context(database_url, tmp_path)
    service.create_operator(ctx, CONSOLE, "ana", PASSWORD, (Role.OPERATOR,))
    with TestClient(app_of(ctx), raise_server_exceptions=False) as client:
        yield client
    ctx.db.close()


def sign_in(http: TestClient) -> dict[str, str]:
    answer = http.post(SESSION, json={"name": "ana", "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    document: dict[str, str] = answer.json()
    return document


def test_a_browser_signs_in_looks_and_signs_out(http: TestClient) -> None:
    assert http.get(SESSION).status_code == 401
    answer = http.post(SESSION, json={"name": "ana", "password": PASSWORD})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/" in cookie
    assert answer.headers["cache-control"] == "no-store"
    assert http.get(SESSION).json()["name"] == "ana"
    token = http.cookies[COOKIE]
    assert http.delete(SESSION).status_code == 204
    assert http.get(SESSION).status_code == 401
    assert http.get(SESSION, headers={"Authorization": f"Bearer {token}"}).status_code == 401


@pytest.mark.parametrize(
    "origin", ["http://testserver:9999", "https://other.testserver", "https://evil.example", "null"]
)
def test_another_origin_s_page_changes_nothing_by_the_cookie(http: TestClient, origin: str) -> None:
    """SameSite knows sites, not origins: another port of this host is the same site."""
    token = sign_in(http)["token"]
    forged = http.delete(SESSION, headers={"Origin": origin})
    assert (forged.status_code, forged.json()["title"]) == (403, "You may not do this")
    assert http.post("/api/v1/claims", json={}, headers={"Origin": origin}).status_code == 403
    assert http.get(SESSION).status_code == 200
    assert http.post("/api/v1/claims", json={}, headers={"Origin": "http://testserver"}).status_code == 201
    http.cookies.clear()
    bearer = {"Origin": origin, "Authorization": f"Bearer {token}"}  # no page gets at a token by itself
    assert http.post("/api/v1/claims", json={}, headers=bearer).status_code == 201


def test_a_program_uses_the_token(http: TestClient) -> None:
    token = sign_in(http)["token"]
    http.cookies.clear()
    shown = http.get(SESSION, headers={"Authorization": f"Bearer {token}"})
    assert (shown.status_code, shown.json()["roles"]) == (200, ["operator"])
    assert "token" not in shown.json()
    assert http.get(SESSION, headers={"Authorization": f"Basic {token}"}).status_code == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "ana", "password": "wrong"}, 401),
        ({"name": "nobody", "password": PASSWORD}, 401),
        ({"name": "ana"}, 422),
        ({"name": 1, "password": []}, 422),
        ({"name": "a" * 300, "password": "x"}, 422),
        ({"name": "a\x00", "password": "x"}, 401),
    ],
)
def test_what_is_wrong_is_a_problem_without_the_password(
    http: TestClient, body: dict[str, object], status: int
) -> None:
    answer = http.post(SESSION, json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert PASSWORD not in answer.text
    assert "set-cookie" not in answer.headers


def test_too_many_guesses_are_told_when_to_come_back(
    http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "THROTTLE_FIRST_S", 60.0)  # not two: the machine may stop that long
    guess = {"name": "ana", "password": "wrong"}
    answers = [http.post(SESSION, json=guess).status_code for _ in range(rules.FAILURES_FREE + 1)]
    assert set(answers) == {401}
    answer = http.post(SESSION, json={"name": "ana", "password": PASSWORD})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1


def test_signing_out_without_a_session_is_no_error(http: TestClient) -> None:
    assert http.delete(SESSION).status_code == 204


def test_claims_and_enrolments_over_http(http: TestClient) -> None:
    assert http.post("/api/v1/claims", json={}).status_code == 401
    sign_in(http)
    made = http.post("/api/v1/claims", json={"device": "lamp-01", "site": "Quay 4"})
    assert made.status_code == 201
    claim_id, created, expires = itemgetter("claim", "created_at", "expires_at")(made.json()["enrolment"])
    assert datetime.fromisoformat(expires) - datetime.fromisoformat(created) == timedelta(minutes=5)
    assert made.json()["token"].startswith(f"{claim_id}.")
    listed = http.get("/api/v1/claims")
    assert [each["claim"] for each in listed.json()] == [claim_id]
    assert made.json()["token"] not in listed.text
    assert http.get("/api/v1/enrolments", params={"state": "pending"}).json() == []
    assert http.get("/api/v1/enrolments", params={"state": "flying"}).status_code == 422
    number = made.json()["enrolment"]["id"]
    assert http.post(f"/api/v1/enrolments/{number}/accept").status_code == 409
    assert http.post("/api/v1/enrolments/999999/reject", json={"reason": "x"}).status_code == 404
    assert http.delete(f"/api/v1/claims/{claim_id}").json()["state"] == "withdrawn"
    assert http.delete(f"/api/v1/claims/{claim_id}").status_code == 409
