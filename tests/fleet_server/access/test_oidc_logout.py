"""The provider says that somebody has gone, or somebody pretends to be it; and how long its people stay."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import flask
import pytest
from fastapi.testclient import TestClient
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from oidc_provider_mock import User, run_server_in_thread  # type: ignore[import-untyped]

from fleet_server.access import oidc, oidc_logout, oidc_provider, rules, service
from fleet_server.access.errors import ProviderUnreachable, SignInBusy
from fleet_server.access.oidc_rules import LOGOUT_EVENT, OLDEST_S, SKEW_S, NotBelieved, check_logout
from fleet_server.access.rules import CONSOLE, Role
from fleet_server.access.service import SessionToken
from fleet_server.config import OidcConfig
from fleet_server.context import Context
from fleet_server.people_rules import GroupGrant, session_longest
from tests.fleet_server.access.test_oidc import CLIENT, NOW_S, PAGES, signed_with, visit
from tests.support.api import app_of
from tests.support.server_context import make_context

PEOPLE = [
    User(sub="u1", claims={"preferred_username": "ana", "groups": ["crew"], "sid": "there-1"}),
    User(sub="u2", claims={"preferred_username": "bea", "groups": ["crew"]}),
]


@dataclass
class Provider:
    issuer: str
    key: RSAKey

    def token(self, now_s: float, *, kind: str = "logout+jwt", **changed: object) -> str:
        head = {"alg": "RS256", "kid": self.key.kid or "", "typ": kind}
        claims = logout(now_s) | {"iss": self.issuer} | changed
        return jwt.encode(head, {k: v for k, v in claims.items() if v is not None}, self.key)


def logout(now_s: float) -> dict[str, Any]:
    return {
        "iss": "https://id", "aud": CLIENT, "iat": int(now_s), "exp": int(now_s) + 120, "jti": f"j{now_s}",
        "sub": "u1", "events": {LOGOUT_EVENT: {}},
    }  # fmt: skip


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """A real one, and the key that it signs with."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with run_server_in_thread(user_claims=PEOPLE, require_nonce=True) as server:
        with server.app.test_request_context("/"):
            server.app.preprocess_request()
            key = RSAKey.import_key(flask.g.oidc_provider_mock_storage.jwk.as_dict(is_private=True))
        yield Provider(f"http://localhost:{server.server_port}", key)


@pytest.fixture
def ctx(
    database_url: str, tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Context]:
    monkeypatch.setenv("LAMPPOST_TEST_SECRET", "between us")
    made = make_context(database_url, tmp_path)
    grants = (GroupGrant("crew", "porto", ("viewer",)),)
    config = OidcConfig(
        provider.issuer, CLIENT, "env:LAMPPOST_TEST_SECRET", PAGES, "the city's account",
        ("openid", "profile"), "preferred_username", "groups", grants, timedelta(hours=2), None,
    )  # fmt: skip
    yield replace(made, config=replace(made.config, oidc=config))
    made.db.close()


def signed_in(ctx: Context, subject: str, now: datetime | None = None) -> SessionToken:
    return oidc.finish(ctx, visit(oidc.begin(ctx, "/"), subject), now=now)[0]


def alive(ctx: Context, *sessions: SessionToken) -> list[bool]:
    return [service.resolve(ctx, each.token) is not None for each in sessions]


def now_s() -> float:
    return datetime.now(UTC).timestamp()


def test_who_is_gone_over_there_is_out_here_and_nobody_else(ctx: Context, provider: Provider) -> None:
    ana, again, bea = (signed_in(ctx, subject) for subject in ("u1", "u1", "u2"))
    with TestClient(app_of(ctx)) as http:

        def tell(token: str) -> Any:
            return http.post("/api/v1/session/oidc-logout", data={"logout_token": token})

        for of_nobody_here in ({"sub": "u9"}, {"sid": "there-2"}, {"sub": None, "sid": "there-2"}):
            token = provider.token(now_s(), **of_nobody_here)
            answer = tell(token)
            assert (answer.status_code, answer.json()) == (200, {"ended": 0})
            assert tell(token).status_code == 400  # once
        assert alive(ctx, ana, again, bea) == [True] * 3
        answer = tell(provider.token(now_s(), sub=None, sid="there-1"))
        assert (answer.json(), answer.headers["cache-control"]) == ({"ended": 2}, "no-store")
        assert alive(ctx, ana, again, bea) == [False, False, True]
        ana = signed_in(ctx, "u1")
        assert tell(provider.token(now_s(), kind="JWT", sid="there-1")).json() == {"ended": 1}
        assert tell(provider.token(now_s(), sub="u2", sid="there-7")).json() == {"ended": 1}  # none was told
        assert alive(ctx, ana, bea) == [False, False]
        assert http.post("/api/v1/session/oidc-logout", data={}).status_code == 422
    with ctx.db.raw() as connection:
        [(lines,)] = connection.execute(
            "SELECT count(*) FROM audit_line WHERE action = 'session:end' AND body LIKE '%sessions%'"
        ).fetchall()
    assert lines == 3


def of_another_key(provider: Provider) -> str:
    return Provider(provider.issuer, RSAKey.generate_key(2048, {"kid": provider.key.kid or ""})).token(
        now_s()
    )


def without_signature(provider: Provider) -> str:
    claims = logout(now_s()) | {"iss": provider.issuer}
    return jwt.encode({"alg": "none"}, claims, OctKey.generate_key(256), ["none"])


def by_a_secret(provider: Provider) -> str:
    return signed_with(provider.token(now_s()), str(provider.key.as_dict()["n"]), provider.key.kid or "")


FORGED: dict[str, Callable[[Provider], str]] = {
    "no token": lambda _: "a.b.c",
    "another's key": of_another_key,
    "alg none": without_signature,
    "HS256 with the public key": by_a_secret,
    "another client's": lambda p: p.token(now_s(), aud="other"),
    "an ID token": lambda p: p.token(now_s(), nonce="n"),
    "no event": lambda p: p.token(now_s(), events=None),
    "old": lambda p: p.token(now_s() - OLDEST_S - SKEW_S - 5, exp=int(now_s()) + 120),
    "an access token": lambda p: p.token(now_s(), kind="at+jwt"),
}


def test_nobody_else_signs_people_out(ctx: Context, provider: Provider) -> None:
    ana = signed_in(ctx, "u1")
    with TestClient(app_of(ctx)) as http:
        for name, forge in FORGED.items():
            answer = http.post("/api/v1/session/oidc-logout", data={"logout_token": forge(provider)})
            assert answer.status_code == 400, name
            assert "not believed" in answer.json()["detail"]
        assert (
            http.post("/api/v1/session/oidc-logout", data={"logout_token": "x" * 20_000}).status_code == 422
        )
        off = replace(ctx, config=replace(ctx.config, oidc=replace(ctx.config.oidc, issuer="")))
    with TestClient(app_of(off)) as http:
        token = provider.token(now_s())
        assert http.post("/api/v1/session/oidc-logout", data={"logout_token": token}).status_code == 404
    assert alive(ctx, ana) == [True]


def test_a_provider_that_is_away_does_not_hold_every_thread(
    ctx: Context, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, let_go = threading.Semaphore(0), threading.Event()

    def slow(_self: object, _token: str) -> tuple[str, dict[str, Any]]:
        at_work.release()
        assert let_go.wait(30)
        raise ProviderUnreachable("It is away.")

    monkeypatch.setattr(oidc_provider.Provider, "logout", slow)
    with ThreadPoolExecutor(oidc_logout.AT_ONCE) as strangers:
        held = [strangers.submit(service.gone_elsewhere, ctx, "x") for _ in range(oidc_logout.AT_ONCE)]
        for _ in held:
            assert at_work.acquire(timeout=30)
        with pytest.raises(SignInBusy):
            service.gone_elsewhere(ctx, "x")
        let_go.set()
        assert all(isinstance(each.exception(30), ProviderUnreachable) for each in held)
    monkeypatch.undo()
    monkeypatch.setenv("LAMPPOST_TEST_SECRET", "between us")
    assert service.gone_elsewhere(ctx, provider.token(now_s())) == 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"iss": "https://id/"}, "issuer"),
        ({"aud": "other"}, "another client"),
        ({"exp": None}, "time"),
        ({"exp": NOW_S - SKEW_S}, "expired"),
        ({"iat": NOW_S - OLDEST_S - SKEW_S - 1}, "clocks"),
        ({"iat": NOW_S + SKEW_S + 1}, "clocks"),
        ({"events": {}}, "no logout"),
        ({"events": {LOGOUT_EVENT: None}}, "no logout"),
        ({"events": [LOGOUT_EVENT]}, "no logout"),
        ({"nonce": None}, "nonce"),
        ({"sub": None}, "who has gone"),
        ({"sub": ""}, "who has gone"),
        ({"sid": 7}, "who has gone"),
        ({"jti": None}, "identifier"),
        ({"jti": "x" * 256}, "identifier"),
    ],
)
def test_logouts_that_are_not_believed(change: dict[str, Any], why: str) -> None:
    good = logout(NOW_S)
    for kind in ("", "JWT", "logout+jwt", "application/logout+jwt"):
        assert check_logout(kind, good, "https://id", CLIENT, NOW_S).subject == "u1"
    with pytest.raises(NotBelieved, match=why):
        check_logout("logout+jwt", good | change, "https://id", CLIENT, NOW_S)


def test_the_provider_s_people_sign_in_anew_however_busy(ctx: Context) -> None:
    began = datetime.now(UTC)
    ana = signed_in(ctx, "u1", began)
    assert ana.expires_at == began + timedelta(hours=2)
    for minutes, there in ((60, True), (119, True), (120, False)):
        at = began + timedelta(minutes=minutes)
        assert (service.resolve(ctx, ana.token, at) is not None) is there
    bea = signed_in(ctx, "u2", began)
    shorter = replace(ctx.config.oidc, session_longest=timedelta(minutes=30))
    changed = replace(ctx, config=replace(ctx.config, oidc=shorter))
    assert service.resolve(changed, bea.token, began + timedelta(minutes=30)) is None  # who was in, too
    service.create_operator(ctx, CONSOLE, "local", "a lamp for every street", (Role.VIEWER,))
    local = service.sign_in(ctx, "local", "a lamp for every street", now=began)
    assert service.resolve(ctx, local.token, began + timedelta(hours=11)) is not None


@pytest.mark.parametrize("wrong", ["29m", "31d", "12", "0h", "-1h", "1w", 12, None, "", "999999d"])
def test_how_long_they_may_stay(wrong: object) -> None:
    assert session_longest("30d") == rules.SESSION_LONGEST
    with pytest.raises(ValueError, match="30m to 30d"):
        session_longest(wrong)
