"""Accounts, tokens and requests over HTTP; the cookie behind TLS; an upgrade takes nothing from anybody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from fastapi.testclient import TestClient

from fleet_server import migrations
from fleet_server.access import service, two_person
from fleet_server.access.errors import SecondPersonNeeded
from fleet_server.access.rules import CONSOLE, Action, Role
from fleet_server.context import Context
from tests.support.api import app_of
from tests.support.server_context import make_context

pytestmark = pytest.mark.usefixtures("cheap_passwords")

PASSWORD = "a lamp for every street"
ERASE = two_person.digest(name="rui")


@pytest.fixture
def ctx(database_url: str, tmp_path: Path) -> Iterator[Context]:
    made = make_context(database_url, tmp_path)
    service.create_operator(made, CONSOLE, "ana", PASSWORD, (Role.ADMIN,), tenant="porto")
    yield made
    made.db.close()


def test_an_administrator_s_day_over_http(ctx: Context) -> None:
    with TestClient(app_of(ctx), raise_server_exceptions=False) as http:
        signed = http.post("/api/v1/session", json={"name": "ana", "password": PASSWORD}).json()
        assert (signed["tenant"], signed["roles"]) == ("porto", ["admin"])
        http.cookies.clear()
        http.headers["Authorization"] = f"Bearer {signed['token']}"
        assert http.get("/api/v1/session").json()["tenants"] == ["porto"]
        assert http.put("/api/v1/session/tenant", json={"tenant": "faro"}).status_code == 403
        assert http.put("/api/v1/session/tenant", json={"tenant": "no!"}).status_code == 422
        assert http.put("/api/v1/session/tenant", json={"tenant": "porto"}).status_code == 200

        operators = "/api/v1/operators"
        new = {"name": "bea", "password": PASSWORD, "roles": ["approver"]}
        assert http.post(operators, json=new).json()["grants"] == [
            {"tenant": "porto", "roles": ["approver"], "source": "local"}
        ]
        assert http.post(operators, json=new).status_code == 409
        assert http.post(operators, json=new | {"name": "Bad name"}).status_code == 422
        assert http.post(operators, json=new | {"name": "eve", "tenant": "faro"}).status_code in {403, 404}
        assert (
            http.post(operators, json={"name": "robot", "roles": ["viewer"]}).json()["has_password"] is False
        )
        assert [each["name"] for each in http.get(operators).json()] == ["ana", "bea", "robot"]
        changed = http.put(f"{operators}/robot/grants/porto", json={"roles": ["operator"]})
        assert changed.json()["grants"][0]["roles"] == ["operator"]
        assert http.put(f"{operators}/robot/grants/*", json={"roles": ["admin"]}).status_code in {403, 404}
        assert http.put(f"{operators}/nobody/grants/porto", json={"roles": ["viewer"]}).status_code == 404
        assert http.get(f"{operators}/bea/sessions").json() == []
        assert http.delete(f"{operators}/bea/second-factor").status_code == 404
        assert http.put(f"{operators}/robot/state", json={"disabled": True}).json()["disabled"] is True
        assert http.put(f"{operators}/robot/state", json={"disabled": False}).json()["disabled"] is False

        want = {"name": "nightly", "scopes": ["devices:read"], "days": 30, "owner": "robot"}
        made = http.post("/api/v1/tokens", json=want)
        assert made.status_code == 201
        assert http.post("/api/v1/tokens", json=want | {"days": 366}).status_code == 422
        assert http.post("/api/v1/tokens", json=want | {"scopes": ["fly"]}).status_code == 422
        assert made.json()["token"] not in http.get("/api/v1/tokens").text
        machine = {"Authorization": f"Bearer {made.json()['token']}"}
        assert http.get("/api/v1/devices", headers=machine).status_code == 200
        assert http.get("/api/v1/session", headers=machine).status_code == 403  # not among its scopes
        assert http.get("/api/v1/account/sessions", headers=machine).status_code == 403
        assert http.post("/api/v1/claims", json={}, headers=machine).status_code == 403
        number = made.json()["described"]["id"]
        assert http.delete(f"/api/v1/tokens/{number}").json()["revoked_by"] == "ana"
        assert http.get("/api/v1/devices", headers=machine).status_code == 401
        assert http.delete(f"/api/v1/tokens/{2**40}").status_code == 404
        second_person(ctx, http)


def second_person(ctx: Context, http: TestClient) -> None:
    token = http.headers["Authorization"].removeprefix("Bearer ")
    ana = service.resolve(ctx, token)
    assert ana is not None
    service.create_operator(ctx, CONSOLE, "cora", PASSWORD, (Role.APPROVER,), tenant="porto")
    with pytest.raises(SecondPersonNeeded) as needed:
        two_person.need(ctx, ana, Action.PRIVACY_ERASE, "rui", ERASE)
    at = f"/api/v1/approvals/{needed.value.members['request']}"
    assert http.get("/api/v1/approvals", params={"state": "waiting"}).json()[0]["asked_by"] == "ana"
    assert http.post(f"{at}/approve", json={}).status_code == 403
    chosen = http.post("/api/v1/session", json={"name": "bea", "password": PASSWORD}).json()
    assert chosen["must_change_password"] is True
    bea = {"Authorization": f"Bearer {chosen['token']}"}
    owes = http.post(f"{at}/approve", json={}, headers=bea)
    assert (owes.status_code, owes.json()["type"]) == (403, "urn:lamppost:problem:password-change-needed")
    assert "PUT /api/v1/account/password" in owes.json()["detail"]
    assert http.get("/api/v1/session", headers=bea).json()["roles"] == []
    same = {"old": PASSWORD, "new": PASSWORD}
    assert http.put("/api/v1/account/password", json=same, headers=bea).status_code == 422
    changed = http.put("/api/v1/account/password", json=same | {"new": PASSWORD + "!"}, headers=bea)
    bea = {"Authorization": f"Bearer {changed.json()['token']}"}
    assert http.get("/api/v1/session", headers=bea).json()["must_change_password"] is False
    assert "may be one person" in http.post(f"{at}/approve", json={}, headers=bea).json()["detail"]
    bea = {"Authorization": f"Bearer {service.sign_in(ctx, 'cora', PASSWORD).token}"}
    assert http.post(f"{at}/approve", json={"note": "x" * 501}, headers=bea).status_code == 422
    assert http.post(f"{at}/approve", json={"note": "seen"}, headers=bea).json()["state"] == "approved"
    assert http.post(f"{at}/withdraw", headers=bea).status_code == 403
    two_person.need(ctx, ana, Action.PRIVACY_ERASE, "rui", ERASE)
    assert http.get(at).json()["state"] == "used"
    assert http.post(f"{at}/refuse", json={}, headers=bea).status_code == 409
    assert http.get("/api/v1/approvals/999").status_code == 404


def test_behind_tls_no_sibling_host_plants_a_cookie(ctx: Context) -> None:
    secure = replace(ctx, config=replace(ctx.config, api=replace(ctx.config.api, behind_tls=True)))
    with TestClient(app_of(secure), base_url="https://lamppost.example") as http:
        answer = http.post("/api/v1/session", json={"name": "ana", "password": PASSWORD})
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-lamppost_session=")
        for part in ("HttpOnly", "Secure", "SameSite=strict", "Path=/"):
            assert part in cookie
        assert "Domain" not in cookie
        assert http.get("/api/v1/session").status_code == 200
        planted = {"Cookie": f"lamppost_session={answer.json()['token']}"}
        http.cookies.clear()
        assert http.get("/api/v1/session", headers=planted).status_code == 401
        evil = {"Cookie": cookie.partition(";")[0], "Origin": "https://evil.example"}
        assert http.post("/api/v1/operators", json={"name": "eve"}, headers=evil).status_code == 403


def test_an_upgrade_takes_nothing_from_anybody(empty_database_url: str, tmp_path: Path) -> None:
    migrations.upgrade(empty_database_url, "0009")
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(
            "INSERT INTO operator (name, password_hash, roles)"
            " VALUES ('ana', 'x', '{admin,viewer}'), ('no', 'x', '{}')"
        )
        connection.execute(
            "INSERT INTO operator_session SELECT sha256('token'), id, now(), now() + interval '1 hour'"
            " FROM operator WHERE name = 'ana'"
        )
    migrations.upgrade(empty_database_url)
    ctx = make_context(empty_database_url, tmp_path)
    who = service.resolve(ctx, "token")
    assert who is not None
    assert (who.name, who.tenant, who.roles) == ("ana", "*", frozenset({"admin", "viewer"}))
    assert [len(each.grants) for each in service.list_operators(ctx, CONSOLE)] == [1, 0]
    ctx.db.close()


def test_no_role_and_no_tenant_is_taken_that_nobody_chose(ctx: Context) -> None:
    service.create_operator(ctx, CONSOLE, "root", PASSWORD, (Role.ADMIN,))
    new: dict[str, object] = {"name": "pim"}
    named, everywhere = {"tenant": "city"}, {"tenant": "*"}
    with TestClient(app_of(ctx), raise_server_exceptions=False) as http:
        http.headers["Authorization"] = f"Bearer {service.sign_in(ctx, 'root', PASSWORD).token}"
        for method, path, body, status, told in (
            ("POST", "operators", new, 422, "at least one of admin, operator, viewer"),
            ("POST", "operators", new | {"roles": []} | everywhere, 422, "at least one of admin, operator"),
            (
                "POST",
                "operators",
                new | {"roles": ["viewer"]},
                422,
                '"tenant": "*" is the whole installation',
            ),
            ("POST", "operators", new | {"roles": ["viewer"], "tenant": "cty"}, 404, "Did you mean city?"),
            ("PUT", "operators/root/grants/cty", {"roles": ["viewer"]}, 404, "Did you mean city?"),
            ("PUT", "operators/root/grants/cty", {"roles": []}, 200, "admin"),
            (
                "POST",
                "tokens",
                {"name": "x", "scopes": ["air:read"], "days": 1, "tenant": "cty"},
                404,
                "city?",
            ),
            ("POST", "operators", new | {"roles": ["viewer"]} | named, 201, "viewer"),
            ("POST", "operators", {"name": "tim", "roles": ["viewer"]} | everywhere, 201, "viewer"),
        ):
            answer = http.request(method, f"/api/v1/{path}", json=body)
            assert answer.status_code == status, f"{method} {path} {body}: {answer.text}"
            assert told in json.loads(answer.text).get("detail", answer.text)
