"""Every secret of a running server is made, shown and got wrong once; then none is in any log or process.

The logs are those of every role, of Mosquitto and of PostgreSQL, and PostgreSQL's files are read besides.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pyotp
import pytest
from oidc_provider_mock import User, run_server_in_thread  # type: ignore[import-untyped]

from fleet_server.embedded_server import EmbeddedServer
from tests.security.secrets import found_in_files, found_in_processes, secrets_below
from tests.support.mosquitto import make_request
from tests.support.postgres import FAST
from tests.support.serve import PASSWORD, Serve

pytestmark = pytest.mark.timeout(600)

JSON = {"Content-Type": "application/json"}
KINDS = {
    "first password", "one-time password", "own password", "session", "API token", "authenticator", "ticket",
    "recovery code", "claim", "batch claim", "provider's session", "db.secret secret", "oidc.secret secret",
    "ui.secret secret", "people.key hex key",
}  # fmt: skip


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    people = [User(sub="u1", claims={"preferred_username": "olga", "groups": ["crew"]})]
    with run_server_in_thread(user_claims=people, require_nonce=True) as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory, provider: str) -> Iterator[Serve]:
    """A server whose PostgreSQL and provider each want a secret."""
    folder = tmp_path_factory.mktemp("s")
    for name in ("db", "oidc"):
        file = folder / f"{name}.secret"
        file.write_text(secrets.token_urlsafe(24))
        file.chmod(0o600)
    # every statement, with its values: whatever PostgreSQL may be set to log
    with EmbeddedServer(folder / "postgres", {**FAST, "log_statement": "all"}) as postgres:
        serve = Serve(folder, database=postgres.url(), more=f'password = "file:{folder}/db.secret"\n')
        more = (
            f'[oidc]\nissuer = "{provider}"\nclient_id = "lamppost"\n'
            f'client_secret = "file:{folder}/oidc.secret"\n'
            f'pages = "http://127.0.0.1:{serve.ui_port}"\ngrants = ["crew -> *: viewer"]\n'
        )
        serve.file.write_text(serve.file.read_text() + more)
        serve.start()
        try:
            serve.wait_ready()
            yield serve
        finally:
            serve.kill_all()


class Made:
    """Secrets by what they are; a kind that comes again has a number."""

    def __init__(self) -> None:
        self.secrets: dict[str, bytes] = {}

    def __call__(self, kind: str, secret: str) -> str:
        assert len(secret) >= 12, kind
        self.secrets[f"{kind} {len(self.secrets)}"] = secret.encode()
        return secret


def answer(said: httpx.Response, status: int = 201) -> Any:
    assert said.status_code == status, said.text
    return said.json()


def people(http: httpx.Client, made: Made) -> None:
    """An account with a one-time password, then its own, a second factor, recovery codes; each got wrong."""
    once, own = (
        made("one-time password", "lamps at dusk, once"),
        made("own password", "lamps at dawn, always"),
    )
    answer(
        http.post(
            "/api/v1/operators", json={"name": "ana", "password": once, "roles": ["admin"], "tenant": "*"}
        )
    )
    ana = httpx.Client(base_url=http.base_url)
    ana.headers["Authorization"] = "Bearer " + made("session", sign_in(ana, "ana", once)["token"])
    new = answer(ana.put("/api/v1/account/password", json={"old": once, "new": own}), 200)
    ana.headers["Authorization"] = "Bearer " + made("session", new["token"])
    seed = made(
        "authenticator", answer(ana.post("/api/v1/account/second-factor", json={"password": own}))["secret"]
    )
    codes = pyotp.TOTP(seed)
    shown = answer(ana.post("/api/v1/account/second-factor/confirm", json={"code": codes.now()}), 200)
    made("session", shown["token"])
    recovery = [made("recovery code", each) for each in shown["recovery_codes"]]
    for code, status in (("000000", 401), (codes.now(), 401), (recovery[0], 201), (recovery[0], 401)):
        asked = http.post("/api/v1/session", json={"name": "ana", "password": own})
        ticket = made("ticket", answer(asked, 401)["ticket"])
        said = http.post("/api/v1/session/second-factor", json={"ticket": ticket, "code": code})
        assert said.status_code == status, said.text
        if status == 201:
            made("session", said.json()["token"])


def sign_in(http: httpx.Client, name: str, password: str) -> Any:
    return answer(http.post("/api/v1/session", json={"name": name, "password": password}))


def garbled(http: httpx.Client, made: Made) -> None:
    """Right secrets in wrong places: what is refused is written down, and what was shown is not."""
    one_of_each = {kind.rpartition(" ")[0]: secret.decode() for kind, secret in made.secrets.items()}
    for secret in one_of_each.values():
        for body in (
            {"name": secret, "password": {"deep": secret}},
            {"name": "ana\0", "password": secret},
            {"name": "ana", "password": secret + "\ud800"},
            [secret],
        ):
            http.post("/api/v1/session", content=json.dumps(body), headers=JSON)
        http.get("/api/v1/session", headers={"Authorization": f"Bearer {secret}x"})
        http.get("/api/v1/devices", params={"token": secret})
        http.get("/api/v1/devices", headers={"Authorization": f"Basic {secret}"})


def claims(http: httpx.Client, serve: Serve, made: Made) -> None:
    """One for a lamppost and some in advance; each is shown to the listener of lampposts with garbage."""
    one = answer(http.post("/api/v1/claims", json={"device": "lamp-01"}))["token"]
    batch = {"technician": "tom", "number": 2, "valid_for_s": 86_400}
    some = answer(http.post("/api/v1/claim-batches", json=batch))["tokens"]
    for kind, token in (("claim", one), *(("batch claim", each) for each in some)):
        claim, _, secret = token.partition(".")
        made(kind, secret)
        right = base64.b64encode(make_request("city/lamp-01")[0])
        for shown, body in ((secret, b"garbage"), (secret + "x", right), (secret, right)):
            httpx.post(
                f"https://127.0.0.1:{serve.device_port}/.well-known/est/simpleenroll",
                content=body,
                auth=(claim, shown),
                headers={"Content-Type": "application/pkcs10"},
                verify=False,  # it is our own server
            )


def by_the_provider(serve: Serve, made: Made) -> None:
    """Somebody signs in at the pages with the provider's account: the server shows it its own secret."""
    with httpx.Client(base_url=f"http://127.0.0.1:{serve.ui_port}", timeout=30) as pages:
        leaving = pages.get("/sign-in/oidc")
        back = httpx.post(leaving.headers["location"], data={"sub": "u1"}).headers["location"]
        arrived = pages.get(f"{urlsplit(back).path}?{urlsplit(back).query}")
        assert arrived.status_code in (302, 303), arrived.text
        cookies = [each.value for each in pages.cookies.jar if each.value and len(each.value) >= 40]
        assert cookies, "the provider's account was let in"
        for each in cookies:
            made("provider's session", each)
        pages.get(f"{urlsplit(back).path}?{urlsplit(back).query}")  # once is enough


def test_no_secret_is_in_a_log_or_in_a_process(city: Serve) -> None:
    made = Made()
    made("first password", PASSWORD)
    with httpx.Client(base_url=city.api, timeout=30) as http:
        http.headers["Authorization"] = "Bearer " + made("session", sign_in(http, "admin", PASSWORD)["token"])
        people(http, made)
        asked = {"name": "export", "scopes": ["devices:read"], "days": 1, "tenant": "city"}
        token = made("API token", answer(http.post("/api/v1/tokens", json=asked))["token"])
        assert http.get("/api/v1/devices", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        claims(http, city, made)
        by_the_provider(city, made)
        garbled(http, made)
    known = made.secrets | secrets_below(city.folder)
    kinds = {name if name.endswith(("secret", "hex key")) else name.rpartition(" ")[0] for name in known}
    assert kinds >= KINDS, KINDS - kinds
    running = found_in_processes(city.folder, known)
    city.stop()
    logs = {path.name for path in city.folder.rglob("*.log")}
    assert logs >= {"serve.log", "broker.log", "postgres.log"}, logs
    statements = (city.folder / "postgres.log").read_text(errors="replace")
    assert "INSERT INTO api_token" in statements, "PostgreSQL tells what it is asked"
    assert re.search(r"Parameters: .*'ana'", statements), "and with which values"
    assert found_in_files(city.folder, known) == []
    assert running == []
