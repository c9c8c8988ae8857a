"""The API's shell: who may call, what an error looks like, what garbage does."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet_server import api, errors
from fleet_server.access import service
from fleet_server.access.rules import CONSOLE, Role
from fleet_server.api import OPEN, OPENAPI_PATH, create_app
from fleet_server.context import Context
from fleet_server.errors import PROBLEMS
from fleet_server.openapi import document
from provisioning.authority import Authority
from tests.support.api import app_of
from tests.support.serve import free_ports
from tests.support.server_context import make_context
from tests.support.shared import REPOSITORY

PASSWORD = "correct horse battery"


@pytest.fixture
def context(database_url: str, tmp_path: Path) -> Iterator[Context]:
    made = make_context(database_url, tmp_path)
    yield made
    made.db.close()


@pytest.fixture
def app(context: Context) -> FastAPI:
    """For a test that adds to it."""
    return create_app(context)


@pytest.fixture
def client(request: pytest.FixtureRequest, context: Context) -> Iterator[TestClient]:
    """Of the test's own application, where it asks for one."""
    own: FastAPI | None = request.getfixturevalue("app") if "app" in request.fixturenames else None
    with TestClient(own or app_of(context), raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def signed_in(client: TestClient, context: Context) -> TestClient:
    service.create_operator(context, CONSOLE, "ada", PASSWORD, (Role.ADMIN,))
    answer = client.post("/api/v1/session", json={"name": "ada", "password": PASSWORD})
    client.cookies.clear()
    client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
    return client


def assert_problem(answer: Any, status: int, slug: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["type"] == f"urn:lamppost:problem:{slug}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


def operations(app: FastAPI) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method.upper(), path, operation)
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_route_needs_a_session(client: TestClient, app: FastAPI) -> None:
    tried = [(method, path) for method, path, _ in operations(app)] + [("GET", OPENAPI_PATH)]
    assert len(tried) > len(OPEN) + 5
    for method, path in tried:
        if (method, path) in OPEN:
            continue
        answer = client.request(method, re.sub(r"\{\w+\}", "1", path))
        assert_problem(answer, 401, "not-authenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"])
def test_the_frameworks_own_pages_are_not_there(client: TestClient, path: str) -> None:
    assert_problem(client.get(path), 404, "not-found")


@pytest.mark.parametrize(
    "authorization", ["Bearer", "Bearer ", "Bearer x", "Basic eDp5", "bearer \xff", "x" * 5000]
)
def test_a_wrong_token_is_no_session(client: TestClient, authorization: str) -> None:
    answer = client.get("/api/v1/session", headers={"Authorization": authorization.encode("latin-1")})
    assert_problem(answer, 401, "not-authenticated")


def test_the_openapi_document_is_for_people_with_a_session(signed_in: TestClient, app: FastAPI) -> None:
    assert signed_in.get(OPENAPI_PATH).json() == app.openapi()


def test_the_openapi_file_is_fresh() -> None:
    file = REPOSITORY / "docs" / "openapi.json"
    assert file.read_text() == document(), "run: python -m fleet_server.openapi > docs/openapi.json"


def test_the_openapi_document_tells_the_errors_as_they_are(app: FastAPI) -> None:
    for method, path, operation in operations(app):
        assert "422" not in operation["responses"], (method, path)
        assert "application/problem+json" in operation["responses"]["default"]["content"]
        assert ("security" in operation) == ((method, path) not in OPEN)


def test_not_found_and_method_not_allowed(client: TestClient) -> None:
    assert_problem(client.get("/api/v1/no/such/thing"), 404, "not-found")
    answer = client.put("/healthz")
    assert_problem(answer, 405, "method-not-allowed")
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"\xff\xfe", "application/json"),
        (b'{"name": "\\ud800", "password": "x"}', "application/json"),
        (b"{}", "application/json"),
        (b"null", "application/json"),
        (b'{"name": 3, "password": []}', "application/json"),
        (b"name=a&password=b", "application/x-www-form-urlencoded"),
        (b"", "application/json"),
    ],
)
def test_a_body_that_is_not_valid_is_422_and_does_not_repeat_it(
    client: TestClient, content: bytes, kind: str
) -> None:
    answer = client.post("/api/v1/session", content=content, headers={"Content-Type": kind})
    assert_problem(answer, 422, "invalid-request")


def test_a_body_that_is_no_json_is_told_as_such(client: TestClient) -> None:
    json_type = {"Content-Type": "application/json"}
    answer = client.post("/api/v1/session", content=b'{"name": ana}', headers=json_type)
    body = assert_problem(answer, 422, "invalid-request")
    assert body["errors"] == [{"where": "body", "what": "not JSON at character 9"}]
    assert body["detail"] == "Not valid: body."


def test_a_password_is_never_repeated_in_an_error(client: TestClient) -> None:
    answer = client.post("/api/v1/session", json={"name": ["x"], "password": {"is": "tell-nobody"}})
    body = assert_problem(answer, 422, "invalid-request")
    assert {each["where"] for each in body["errors"]} == {"body.name", "body.password"}
    assert "tell-nobody" not in answer.text


def test_a_body_too_large_is_413_announced_or_not(client: TestClient, context: Context) -> None:
    size = context.config.api.max_body_bytes + 1
    assert_problem(client.post("/api/v1/session", content=b"x" * size), 413, "too-large")

    def in_parts() -> Iterator[bytes]:
        for _ in range(size // 4096 + 1):
            yield b"x" * 4096

    answer = client.post("/api/v1/session", content=in_parts(), headers={"Content-Type": "application/json"})
    assert_problem(answer, 413, "too-large")


@pytest.mark.parametrize(("kind", "problem"), PROBLEMS.items())
def test_every_kind_of_error_has_its_answer(
    app: FastAPI, client: TestClient, kind: type[errors.LamppostError], problem: errors.Problem
) -> None:
    @app.get("/raise")
    def fail() -> None:
        raise kind("Told to people.")

    body = assert_problem(client.get("/raise"), problem.status, problem.slug)
    assert ("Told to people." in body["detail"]) == problem.shown


def test_a_mistake_of_ours_is_500_without_its_reason(app: FastAPI, client: TestClient) -> None:
    @app.get("/raise")
    def fail() -> None:
        raise ValueError("the database's password is 1234")

    answer = client.get("/raise")
    assert_problem(answer, 500, "internal")
    assert "1234" not in answer.text


def test_a_database_that_does_not_answer_is_503_and_says_when_to_come_again(tmp_path: Path) -> None:
    context = make_context("postgresql://nobody@127.0.0.1:1/none?connect_timeout=1", tmp_path)
    with TestClient(create_app(context), raise_server_exceptions=False) as client:
        answer = client.get("/api/v1/session", headers={"Authorization": "Bearer abc"})
        assert_problem(answer, 503, "database-unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert "127.0.0.1" not in answer.text
        assert client.get("/healthz").status_code == 200
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["parts"]["database"] == {"ok": False, "detail": "does not answer"}


def test_ready_tells_each_part(empty_database_url: str, tmp_path: Path) -> None:
    context = make_context(empty_database_url, tmp_path)
    (nobody_there,) = free_ports(1)
    broker = replace(context.config.broker, port=nobody_there)
    context = replace(context, config=replace(context.config, broker=broker))
    with TestClient(create_app(context)) as client:
        parts = client.get("/readyz").json()["parts"]
    context.db.close()
    assert parts["database"]["ok"]
    assert not parts["migrations"]["ok"]
    assert "lamppost db upgrade" in parts["migrations"]["detail"]
    assert not parts["broker"]["ok"]


def test_head_says_what_get_would_without_the_body(signed_in: TestClient) -> None:
    whole = signed_in.get("/api/v1/telemetry/latest")
    head = signed_in.head("/api/v1/telemetry/latest")
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "content-type", "cache-control"):
        assert head.headers[name] == whole.headers[name]
    assert signed_in.head("/api/v1/session/of/nobody").status_code == 404


@pytest.mark.parametrize("path", ["/devices?limt=3", "/districts?distrct=x", "/incidents?sate=open"])
def test_a_mistyped_parameter_is_told(signed_in: TestClient, path: str) -> None:
    answer = signed_in.get(f"/api/v1{path}")
    assert "no parameter" in assert_problem(answer, 422, "invalid-request")["detail"]


def test_security_headers_are_on_every_answer(client: TestClient) -> None:
    for answer in (client.get("/healthz"), client.get("/api/v1/devices"), client.get("/nothing")):
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers


@pytest.mark.parametrize(
    ("given_id", "kept"),
    [("abc-1.2_Z", True), ("a b", False), ("x" * 65, False), ('"><', False), ("", False)],
)
def test_a_harmless_request_id_is_kept(client: TestClient, given_id: str, kept: bool) -> None:
    found = client.get("/healthz", headers={"X-Request-Id": given_id}).headers["x-request-id"]
    assert (found == given_id) == kept
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", found)


GARBAGE_TEXT = (
    st.text(max_size=40)
    | st.sampled_from(
        ["\0", "-1", "0", "1", "9" * 30, "1e400", "NaN", "null", "true", "../..", "%00", "'", "{}"]
    )
    | st.integers().map(str)
    | st.floats().map(str)
    | st.datetimes().map(str)
)
GARBAGE_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | GARBAGE_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def requests_for(draw: st.DrawFn, operation: dict[str, Any], path: str) -> tuple[str, dict[str, str], Any]:
    """A path, a query and a body for an operation: right in form often enough to come far."""
    query = {}
    for parameter in operation.get("parameters", ()):
        value = draw(GARBAGE_TEXT)
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", _segment(value))
        elif parameter["in"] == "query" and draw(st.booleans()):
            query[parameter["name"]] = value
    body: Any = draw(GARBAGE_JSON)
    if draw(st.booleans()):
        body = {
            name: draw(GARBAGE_JSON) for name in ("name", "password", "tenant", "device", "site", "reason")
        }
    return path, query, body


def _segment(value: str) -> str:
    from urllib.parse import quote

    return quote(value.encode("utf-8", "surrogatepass"), safe="") or "x"


def test_garbage_never_makes_a_500(signed_in: TestClient, app: FastAPI, context: Context) -> None:
    """Every operation, with random path, query and body; a session and an authority all the while."""
    Authority.init(context.authority_directory, "city")
    for method, path, operation in operations(app):
        if path in ("/api/v1/live", "/api/v1/session"):
            continue  # a stream; and sign-in, whose guesses are counted and slowed down: tested by themselves

        @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
        @given(method=st.just(method), request=requests_for(operation, path))
        def attack(method: str, request: tuple[str, dict[str, str], Any]) -> None:
            where, query, body = request
            content = json.dumps(body).encode() if method in ("POST", "PUT", "PATCH") else None
            answer = signed_in.request(
                method, where, params=query, content=content, headers={"Content-Type": "application/json"}
            )
            assert answer.status_code < 500 or where == "/readyz", (method, where, query, body, answer.text)
            if answer.status_code >= 400 and where != "/readyz":
                assert answer.headers["content-type"] == "application/problem+json"

        attack()


def test_what_swallows_a_cancellation_is_canceled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def deaf_once() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(60)

    async def begin_and_end() -> bool:
        task = asyncio.create_task(deaf_once())
        await asyncio.sleep(0)
        await api._end(task)
        return task.cancelled()

    monkeypatch.setattr(api, "CANCEL_AGAIN_S", 0.01)
    assert asyncio.run(begin_and_end())
