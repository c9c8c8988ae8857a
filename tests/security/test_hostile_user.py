"""Somebody with an account, and somebody without one, against the API on a real port."""

from __future__ import annotations

import re
import socket
from itertools import count, cycle
from typing import Any
from urllib.parse import quote

import pytest

from dashboards.sign_in import safe_next
from fleet_server.access.rules import Role
from tests.security.city import CANARY, PASSWORD, PEOPLE, City

ENDLESS = "/api/v1/live"  # a stream
SLOW = "/api/v1/audit/verification"  # by design: it reads the whole log
JSON = {"Content-Type": "application/json"}
_HOSTILE = (
    "' OR '1'='1",
    "1; DROP TABLE device; --",
    "1) UNION SELECT password_hash FROM operator --",
    "%00",
    "\x00",
    "../../../../etc/passwd",
    "-1",
    "99999999999999999999999999",
    "\r\nX-Injected: yes",
    "\ud7ff\uffff",
    "x" * 5_000,
    "{{7*7}}${7*7}",
)
_turn = count()

Operations = list[tuple[str, str, dict[str, Any]]]


def rotated(many: int) -> list[str]:
    """The next few: over all operations each is used in many places."""
    return [_HOSTILE[next(_turn) % len(_HOSTILE)] for _ in range(many)]


def filled(path: str, value: str) -> str:
    return re.sub(r"\{\w+\}", lambda _found: quote(value, safe=""), path)


@pytest.fixture(scope="module")
def operations(city: City) -> Operations:
    """Method, path and description of all that the API does."""
    return [
        (method, path, operation)
        for path, methods in city.paths.items()
        for method, operation in methods.items()
        if path not in (ENDLESS, SLOW)
    ]


def test_nobody_gets_in_without_signing_in(city: City, operations: Operations) -> None:
    wrong = cycle(({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDp5"}))
    with city.http() as http:
        for method, path, _ in operations:
            if path not in ("/healthz", "/readyz") and not path.startswith("/api/v1/session"):
                said = http.request(method, filled(path, "1"), headers=next(wrong))
                assert said.status_code == 401, (method, path, said.status_code)


@pytest.mark.parametrize("role", PEOPLE)
def test_another_city_is_not_there_whatever_the_role(city: City, operations: Operations, role: Role) -> None:
    """Everything that can be read, with the other city's names and numbers in every place."""
    other = {"tenant": "other", "name": "lamp-01"}
    with city.http(role) as http:
        for method, path, operation in operations:
            if method == "get":
                at = re.sub(r"\{(\w+)\}", lambda found: other.get(found[1], "2"), path)
                said = http.get(at, params={"tenant": "other"} if "'tenant'" in str(operation) else {})
                assert CANARY not in said.text, (role, at)
                if "{tenant}" in path:
                    assert said.status_code in (403, 404, 422), (role, at, said.status_code)


def test_what_is_hostile_stays_a_value_in_every_parameter(city: City, operations: Operations) -> None:
    with city.http(Role.ADMIN) as http:
        for method, path, operation in operations:
            names = [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"]
            tries: list[tuple[str, dict[str, str]]] = []
            if "{" in path:
                tries += [(filled(path, value), {}) for value in rotated(2)]
            if method == "get" and names:
                tries += [(filled(path, "1"), dict.fromkeys(names, value)) for value in rotated(3)]
            for at, query in tries:
                said = http.request(method, at, params=query)
                assert said.status_code < 500, (method, at[:200], query, said.text[:300])
                assert "x-injected" not in said.headers
        assert http.get("/api/v1/devices").json()["devices"], "the table is still there"


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/devices/..%2f..%2f..%2fetc%2fpasswd",
        "/api/v1/devices/mine/..%2f..%2fetc%2fpasswd",
        "/../../../../etc/passwd",
        "/api/v1/devices/mine/lamp-01/photos/..%2f..%2f..%2fetc%2fpasswd",
        "/api/v1/field/reports/..%2f..%2fetc%2fpasswd/document",
        "/sta/v1.1/..%2f..%2f..%2fetc%2fpasswd",
        "/api/v1/telemetry/export?format=../../../etc/passwd",
    ],
)
def test_no_path_leads_to_a_file(city: City, path: str) -> None:
    with city.http(Role.ADMIN) as http:
        proof = http.headers["authorization"]
    raw = exchange(
        city,
        f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {proof}\r\nConnection: close\r\n\r\n".encode(),
    )
    assert raw.split(b" ", 2)[1] in (b"400", b"404", b"422")
    assert b"root:" not in raw


def exchange(city: City, said: bytes) -> bytes:
    """Everything that comes back on a connection of its own."""
    with socket.create_connection(("127.0.0.1", city.port), 10) as made:
        made.sendall(said)
        answer = b""
        while piece := made.recv(65536):
            answer += piece
    return answer


def test_headers_are_not_written_by_who_asks(city: City) -> None:
    evil = "x\\r\\nSet-Cookie: a=b"
    with city.http() as http:
        for name in ("X-Request-Id", "Origin", "Referer", "X-Forwarded-For", "X-Forwarded-Host"):
            said = http.get("/healthz", headers={name: evil})
            assert evil not in str(said.headers)
            assert "set-cookie" not in said.headers
        assert http.get("/healthz", headers={"X-Request-Id": "x" * 65}).headers["x-request-id"] != "x" * 65
        assert http.get("/", headers={"Host": "evil.example"}).status_code == 404


@pytest.mark.parametrize(
    "broken",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n"
        b"Connection: close\r\n\r\nhello",
        b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n"
        b"Connection: close\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"\x16\x03\x01\x02\x00 this is TLS\r\n\r\n",
    ],
    ids=["two lengths", "smuggled", "long", "TLS"],
)
def test_one_question_has_one_answer(city: City, broken: bytes) -> None:
    answer = exchange(city, broken)
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert not answer or answer.split(b" ", 2)[1][:1] == b"4"


def test_a_body_that_is_too_large_is_refused_however_it_comes(city: City) -> None:
    most = city.ctx.config.api.max_body_bytes
    deep = b"[" * 100_000 + b"]" * 100_000
    pieces = (bytes(65_536) for _ in range(most // 65_536 + 2))
    with city.http(Role.ADMIN) as http:
        assert http.post("/api/v1/claims", content=bytes(most + 1), headers=JSON).status_code == 413
        assert http.post("/api/v1/claims", content=pieces, headers=JSON).status_code == 413
        assert http.post("/api/v1/claims", content=deep, headers=JSON).status_code in (400, 422)


def test_bodies_that_never_end_do_not_hold_up_others(city: City) -> None:
    head = b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    held = [socket.create_connection(("127.0.0.1", city.port), 10) for _ in range(200)]
    try:
        for each in held:
            each.sendall(head + b"Content-Length: 999\r\n\r\n{")
        with city.http(Role.TECHNICIAN) as http:
            assert http.get("/api/v1/devices").status_code == 200
    finally:
        for each in held:
            each.close()


def test_a_session_is_the_server_s_to_make(city: City) -> None:
    """What somebody planted before the sign-in is not the session after it; and it ends where it is ended."""
    planted = "p" * 43
    with city.http() as http:
        http.cookies.set("lamppost_session", planted)
        said = http.post("/api/v1/session", json={"name": Role.TECHNICIAN.value, "password": PASSWORD})
        assert said.status_code == 201
        token = said.json()["token"]
        assert token != planted
        assert http.get("/api/v1/session", headers={"Authorization": f"Bearer {planted}"}).status_code == 401
        own = {"Authorization": f"Bearer {token}"}
        assert http.get("/api/v1/session", headers=own).status_code == 200
        assert http.delete("/api/v1/session", headers=own).status_code == 204
        assert http.get("/api/v1/session", headers=own).status_code == 401


def test_a_page_from_elsewhere_changes_nothing_with_a_cookie(city: City, operations: Operations) -> None:
    origins = cycle(("https://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1.evil.example"))
    with city.http(Role.ADMIN) as http:
        http.cookies.set("lamppost_session", http.headers.pop("authorization").removeprefix("Bearer "))
        for method, path, _ in operations:
            # what needs no session is no use to it: it would be signing in, or out of nothing
            if method != "get" and not path.startswith("/api/v1/session"):
                said = http.request(method, filled(path, "1"), json={}, headers={"Origin": next(origins)})
                assert said.status_code == 403, (method, path, said.status_code)
        assert http.get("/api/v1/session").status_code == 200, "and it does not end the session either"


@pytest.mark.parametrize(
    "wanted",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "/%0d%0aLocation:https://evil.example\r\n",
        "",
        "evil.example",
        "///evil.example",
    ],
)
def test_signing_in_leads_to_a_page_of_ours(wanted: str) -> None:
    led = safe_next(wanted)
    assert re.fullmatch(r"/(?![/\\])[^\r\n\t\\]*", led), led


def test_an_account_that_is_not_there_looks_like_a_wrong_password(city: City) -> None:
    with city.http() as http:
        said = [
            http.post("/api/v1/session", json={"name": name, "password": "not this one, no"})
            for name in (Role.TECHNICIAN.value, "nobody-at-all")
        ]
    assert [each.status_code for each in said] == [401, 401]
    first, second = ({k: v for k, v in each.json().items() if "id" not in k} for each in said)
    assert first == second
