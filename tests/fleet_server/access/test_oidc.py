"""Signing in through a real OpenID provider, and every way that its answer, or a thief's, is not believed."""

from __future__ import annotations

import base64
import hmac
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey
from oidc_provider_mock import User, run_server_in_thread  # type: ignore[import-untyped]

from fleet_server.access import oidc, oidc_provider, oidc_rules, service
from fleet_server.access.errors import ProviderRefused, ProviderUnreachable, SignInRefused
from fleet_server.access.oidc import Answer, Sent
from fleet_server.access.oidc_provider import KEYS_AGAIN_S, Provider
from fleet_server.access.oidc_rules import SKEW_S, NotBelieved, check_claims
from fleet_server.access.rules import CONSOLE, Role
from fleet_server.config import OidcConfig
from fleet_server.context import Context
from fleet_server.errors import Forbidden, NotFound
from fleet_server.people_rules import GroupGrant
from tests.support.ports import free_port
from tests.support.server_context import make_context

pytestmark = pytest.mark.usefixtures("cheap_passwords")

CLIENT, NONCE, NOW_S = "lamppost", "n0nce", 1_800_000_000.0
PAGES = "http://127.0.0.1:1"
PASSWORD = "a lamp for every street"
GRANTS = (
    GroupGrant("crew", "porto", ("technician", "viewer")),
    GroupGrant("chiefs", "*", ("admin",)),
    GroupGrant("crew", "lisboa", ("viewer",)),
)
PEOPLE = [
    User(sub="u1", claims={"preferred_username": "Ána.Sousa@city.example", "groups": ["crew", "others"]}),
    User(sub="u2", claims={"preferred_username": "nobody", "groups": ["others"]}),
    User(sub="u3", claims={"preferred_username": "admin", "groups": ["chiefs"]}),
    User(sub="u4", claims={}),
]


def config(issuer: str) -> OidcConfig:
    return OidcConfig(
        issuer, CLIENT, "env:LAMPPOST_TEST_SECRET", PAGES, "the city's account", ("openid", "profile"),
        "preferred_username", "groups", GRANTS, timedelta(hours=12), None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    os.environ["LAMPPOST_TEST_SECRET"] = "between us"
    with run_server_in_thread(user_claims=PEOPLE, require_nonce=True) as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture
def ctx(database_url: str, tmp_path: Path, provider: str) -> Iterator[Context]:
    made = make_context(database_url, tmp_path)
    yield replace(made, config=replace(made.config, oidc=config(provider)))
    made.db.close()


def visit(sent: Sent, subject: str) -> Answer:
    """The browser over there: somebody says who they are, and comes back with an answer."""
    answer = httpx.post(sent.address, data={"sub": subject})
    assert answer.status_code == 302, answer.text
    told = {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}
    assert answer.headers["location"].startswith(PAGES + oidc.RETURN_PATH)
    return Answer(
        told["state"], sent.binding, told.get("code", ""), told.get("iss", ""), told.get("error", "")
    )


def test_somebody_of_the_provider_is_in_with_the_roles_of_their_groups(ctx: Context) -> None:
    sent = oidc.begin(ctx, "/incidents")
    asked = parse_qs(urlsplit(sent.address).query)
    assert asked["code_challenge_method"] == ["S256"]
    made, wanted = oidc.finish(ctx, visit(sent, "u1"), "10.0.0.1")
    assert wanted == "/incidents"
    assert (made.principal.name, made.principal.tenant) == ("ana.sousa", "lisboa")
    found = service.resolve_session(ctx, made.token)
    assert found is not None
    assert found.tenants == ("lisboa", "porto")
    again, _ = oidc.finish(ctx, visit(oidc.begin(ctx, "/"), "u1"))
    assert again.principal == made.principal
    assert service.resolve(ctx, made.token) is not None  # nothing changed: nobody is thrown out
    with pytest.raises(SignInRefused):
        service.sign_in(ctx, "ana.sousa", "")
    fewer = replace(ctx, config=replace(ctx.config, oidc=replace(ctx.config.oidc, grants=GRANTS[:1])))
    changed, _ = oidc.finish(fewer, visit(oidc.begin(fewer, "/"), "u1"))
    assert (changed.principal.tenant, changed.principal.roles) == (
        "porto",
        frozenset({"technician", "viewer"}),
    )
    assert service.resolve(ctx, made.token) is None
    none = replace(ctx, config=replace(ctx.config, oidc=replace(ctx.config.oidc, grants=())))
    with pytest.raises(Forbidden, match="no role here"):
        oidc.finish(none, visit(oidc.begin(none, "/"), "u1"))
    assert service.resolve(ctx, changed.token) is None
    service.grant(ctx, CONSOLE, "ana.sousa", "faro", (Role.VIEWER,))  # given here, it stays
    assert oidc.finish(none, visit(oidc.begin(none, "/"), "u1"))[0].principal.tenant == "faro"
    service.set_disabled(ctx, CONSOLE, "ana.sousa", disabled=True)
    with pytest.raises(Forbidden, match="disabled here"):
        oidc.finish(ctx, visit(oidc.begin(ctx, "/"), "u1"))


def test_nobody_of_the_provider_becomes_somebody_else_here(ctx: Context) -> None:
    service.create_operator(ctx, CONSOLE, "admin", PASSWORD, (Role.ADMIN,))
    made, _ = oidc.finish(ctx, visit(oidc.begin(ctx, "/"), "u3"))
    assert made.principal.name == "admin-2"
    with ctx.db.raw() as connection:
        told = connection.execute(
            "SELECT l.body::jsonb->'after'->'grants' FROM audit_line l JOIN audit_personal p USING (number)"
            " WHERE l.action = 'operators:create' AND p.name = 'resource' AND p.value = 'admin-2'"
        ).fetchall()
    assert told == [({"*": ["admin"]},)]  # the log says who came to power by a group
    for subject in ("u2", "u4"):
        with pytest.raises(Forbidden, match="no role here"):
            oidc.finish(ctx, visit(oidc.begin(ctx, "/"), subject))
    assert {each.name for each in service.list_operators(ctx, CONSOLE)} == {"admin", "admin-2"}


def test_an_answer_is_good_once_in_the_browser_that_asked_and_for_ten_minutes(ctx: Context) -> None:
    sent, other = oidc.begin(ctx, "/"), oidc.begin(ctx, "/")
    answer = visit(sent, "u1")
    for forged in (
        replace(answer, binding=other.binding),
        replace(answer, state="x" * 43),
        replace(answer, state=""),
    ):
        with pytest.raises(ProviderRefused):
            oidc.finish(ctx, forged)
    with pytest.raises(ProviderRefused, match="done before"):  # the forged one used it up
        oidc.finish(ctx, answer)
    answer = visit(other, "u1")
    with pytest.raises(ProviderRefused):  # a code of another's sign-in: PKCE and nonce
        oidc.finish(
            ctx, replace(visit(oidc.begin(ctx, "/"), "u3"), state=answer.state, binding=other.binding)
        )
    late = visit(oidc.begin(ctx, "/"), "u1")
    with pytest.raises(ProviderRefused, match="too long"):
        oidc.finish(ctx, late, now=datetime.now(UTC) + oidc.FLOW_LIFE)
    for wrong in (
        {"iss": "https://evil.example"},
        {"error": "access_denied"},
        {"code": ""},
        {"code": "made up"},
    ):
        sent = oidc.begin(ctx, "/")
        with pytest.raises(ProviderRefused):
            oidc.finish(ctx, replace(visit(sent, "u1"), **wrong))


def test_a_provider_that_is_down_is_told_and_local_accounts_go_on(ctx: Context) -> None:
    service.create_operator(ctx, CONSOLE, "glass", PASSWORD, (Role.ADMIN,))
    away = replace(ctx.config.oidc, issuer=f"http://localhost:{free_port()}")
    down = replace(ctx, config=replace(ctx.config, oidc=away))
    with pytest.raises(ProviderUnreachable, match="does not answer"):
        oidc.begin(down, "/")
    assert service.sign_in(down, "glass", PASSWORD).principal.name == "glass"
    off = replace(ctx, config=replace(ctx.config, oidc=replace(away, issuer="")))
    with pytest.raises(NotFound):
        oidc.begin(off, "/")


GOOD = {"iss": "https://id", "aud": CLIENT, "exp": NOW_S + 60, "iat": NOW_S, "nonce": NONCE, "sub": "u1"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"iss": "https://id/"}, "issuer"),
        ({"aud": "other"}, "another client"),
        ({"aud": []}, "another client"),
        ({"aud": {"lamppost": 1}}, "another client"),
        ({"aud": [CLIENT, "other"]}, "another client"),
        ({"azp": "other"}, "another client"),
        ({"exp": NOW_S - SKEW_S}, "expired"),
        ({"exp": "never"}, "time"),
        ({"exp": True}, "time"),
        ({"exp": float("nan")}, "time"),
        ({"iat": NOW_S + SKEW_S + 1}, "clocks"),
        ({"iat": NOW_S - 3600}, "clocks"),
        ({"iat": None}, "time"),
        ({"nbf": NOW_S + SKEW_S + 1}, "later"),
        ({"nonce": "another"}, "another question"),
        ({"nonce": None}, "another question"),
        ({"sub": ""}, "subject"),
        ({"sub": 7}, "subject"),
        ({"sub": "x" * 256}, "subject"),
    ],
)
def test_claims_that_are_not_believed(change: dict[str, Any], why: str) -> None:
    with pytest.raises(NotBelieved, match=why):
        check_claims(GOOD | change, "https://id", CLIENT, NONCE, NOW_S)


def test_claims_that_are_believed_within_a_minute_of_skew() -> None:
    for change in (
        {},
        {"exp": NOW_S - SKEW_S + 1},
        {"iat": NOW_S + SKEW_S},
        {"aud": [CLIENT, "o"], "azp": CLIENT},
    ):
        assert check_claims(GOOD | change, "https://id", CLIENT, NONCE, NOW_S) == "u1"
    with pytest.raises(NotBelieved):
        check_claims(GOOD | {"nonce": ""}, "https://id", CLIENT, "", NOW_S)


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://other"}, {"token_endpoint": "http://id.example/t"}, {"jwks_uri": None},
        {"authorization_endpoint": "javascript:alert(1)"}, {"userinfo_endpoint": "ftp://x"},
        {"id_token_signing_alg_values_supported": ["none", "HS256"]},
        {"id_token_signing_alg_values_supported": "RS256"},
    ],
)  # fmt: skip
def test_descriptions_that_are_not_believed(change: dict[str, Any]) -> None:
    good = {name: f"https://id.example/{name}" for name in oidc_rules.ENDPOINTS} | {
        "issuer": "https://id.example"
    }
    assert oidc_rules.metadata_of(good, "https://id.example").algorithms == ("RS256",)
    with pytest.raises(NotBelieved):
        oidc_rules.metadata_of(good | change, "https://id.example")


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("Ána.Sousa@city.example", "ana.sousa"), ("José da Silva", "jose-da-silva"), ("--x--", "x"),
        ("a" * 99, "a" * 48), ("李", "person-"), (None, "person-"), (["x"], "person-"), ("'; DROP", "drop"),
    ],
)  # fmt: skip
def test_names_of_accounts(told: object, name: str) -> None:
    made = oidc_rules.account_name(told, "https://id", "u1")
    assert made.startswith(name)
    assert oidc_rules.account_name("", "https://id", "u2") != oidc_rules.account_name("", "https://id", "u1")


@dataclass
class Forger:
    """A provider whose every answer the test writes: keys, tokens, sizes, redirects."""

    keys: KeySet
    issuer: str = ""
    asked: list[str] = field(default_factory=list)
    answers: dict[str, Callable[[], tuple[int, bytes]]] = field(default_factory=dict)
    clock_s: float = 1000.0

    def description(self) -> tuple[int, bytes]:
        made = {name: f"{self.issuer}/{name}" for name in oidc_rules.ENDPOINTS} | {"issuer": self.issuer}
        return 200, json.dumps(made | {"id_token_signing_alg_values_supported": ["RS256"]}).encode()

    def key_set(self) -> tuple[int, bytes]:
        return 200, json.dumps(self.keys.as_dict()).encode()


@pytest.fixture
def forger() -> Iterator[Forger]:
    made = Forger(KeySet([RSAKey.generate_key(2048, {"kid": "one"})]))
    made.answers = {"openid-configuration": made.description, "jwks_uri": made.key_set}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(name := self.path.rpartition("/")[2])
            status, body = made.answers[name]()
            self.send_response(status)
            self.send_header("Location", "/.well-known/openid-configuration")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    made.issuer = f"http://127.0.0.1:{server.server_port}"
    running = threading.Thread(target=server.serve_forever, args=(0.01,))
    running.start()
    yield made
    server.shutdown()
    running.join()
    server.server_close()


def signed_with(good: str, secret: str, kid: str = "one") -> str:
    """The same claims by HS256, with what everybody knows of the key as the secret."""
    told = json.dumps({"alg": "HS256", "kid": kid}).encode()
    head = base64.urlsafe_b64encode(told).rstrip(b"=").decode()
    body = f"{head}.{good.split('.')[1]}"
    mac = hmac.digest(secret.encode(), body.encode(), "sha256")
    return f"{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def test_signatures_that_are_not_believed_and_keys_fetched_anew_but_not_for_everybody(forger: Forger) -> None:
    provider = Provider(forger.issuer, monotonic=lambda: forger.clock_s)
    [key] = forger.keys
    good = jwt.encode({"alg": "RS256", "kid": "one"}, {"sub": "u1"}, key)
    assert provider.claims(good) == {"sub": "u1"}
    new = RSAKey.generate_key(2048, {"kid": "two"})
    stranger = jwt.encode({"alg": "RS256", "kid": "two"}, {"sub": "u1"}, new)
    head, _, rest = good.partition(".")
    none = jwt.encode({"alg": "none", "kid": "one"}, {"sub": "u1"}, OctKey.generate_key(256), ["none"])
    for forged in (
        signed_with(good, str(key.as_dict()["n"])),
        none, good[:-8] + "AAAAAAAA", f"{head}.e30.{rest.rpartition('.')[2]}", "", "a.b.c", "é", stranger,
    ):  # fmt: skip
        with pytest.raises(NotBelieved):
            provider.claims(forged)
    assert forger.asked.count("jwks_uri") == 1  # within a minute, whoever sends unknown keys
    forger.keys = KeySet([key, new])
    forger.clock_s += KEYS_AGAIN_S
    assert provider.claims(stranger) == {"sub": "u1"}
    assert forger.asked.count("jwks_uri") == 2
    forger.answers["jwks_uri"] = lambda: (503, b"")
    forger.clock_s += KEYS_AGAIN_S
    unknown = jwt.encode({"alg": "RS256", "kid": "x"}, {}, RSAKey.generate_key(2048, {"kid": "x"}))
    for error in (ProviderUnreachable, NotBelieved, NotBelieved):
        with pytest.raises(error):
            provider.claims(unknown)
    assert forger.asked.count("jwks_uri") == 3  # nor while the provider is away
    assert provider.claims(good) == {"sub": "u1"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((302, b"{}"), NotBelieved),
        ((200, b"[]"), NotBelieved),
        ((200, b"<html>"), NotBelieved),
        ((404, b"{}"), NotBelieved),
        ((200, b" " * (oidc_provider.ANSWER_MOST_BYTES + 1)), NotBelieved),
        ((503, b""), ProviderUnreachable),
    ],
)
def test_answers_that_are_none(forger: Forger, answer: tuple[int, bytes], error: type[Exception]) -> None:
    forger.answers["openid-configuration"] = lambda: answer
    with pytest.raises(error):
        Provider(forger.issuer).metadata()
