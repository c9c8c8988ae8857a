"""The sign-in pages without a browser: second factor, OpenID provider, and that no other origin gets in."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pyotp
import pytest
from oidc_provider_mock import User, run_server_in_thread  # type: ignore[import-untyped]

from dashboards.sign_in import told
from fleet_server.access import rules, service, totp
from fleet_server.access.errors import ProviderUnreachable, SignInRefused
from fleet_server.access.rules import CONSOLE
from fleet_server.auditor import service as auditor
from fleet_server.config import load_config
from fleet_server.context import Context
from fleet_server.errors import DatabaseUnreachable
from fleet_server.tenants import service as tenants
from tests.dashboards.conftest import NAME, PASSWORD, running_console

PROVIDER_PEOPLE = [User(sub="u1", claims={"preferred_username": "lena", "groups": ["crew"]})]


@pytest.fixture
def pages(database_url: str, tmp_path: Path) -> Iterator[tuple[str, Context]]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    (tmp_path / "secret").write_text("between us\n")
    (tmp_path / "secret").chmod(0o600)
    with run_server_in_thread(user_claims=PROVIDER_PEOPLE) as server:
        more = (
            '[sign_in]\nsecond_factor_roles = ["admin"]\n'
            f'[oidc]\nissuer = "http://localhost:{server.server_port}"\nclient_id = "lamppost"\n'
            f'client_secret = "file:{tmp_path}/secret"\npages = "http://127.0.0.1:1"\n'
            'grants = ["crew -> demo: viewer"]\n'
        )
        with running_console(database_url, tmp_path, more) as (url, _):
            context = Context.of(load_config(tmp_path / "server.toml"))
            service.create_operator(context, CONSOLE, "ada", PASSWORD, (rules.Role.ADMIN,))
            yield url, context
            context.db.close()


def browser(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"Accept": "text/html", "Origin": url}, timeout=30)


def hidden(page: str, name: str) -> str:
    found = re.search(f'name="{name}" value="([^"]*)"', page)
    assert found, page
    return found[1]


def test_every_way_in_and_no_other(pages: tuple[str, Context]) -> None:
    url, context = pages
    with browser(url) as ada:  # a role that needs a second factor: set up at the first sign-in
        shown = ada.post("/sign-in", data={"name": "ada", "password": PASSWORD, "next": "/incidents"})
        assert shown.status_code == 200
        assert "<svg" in shown.text
        secret = re.search(r'id="secret">([A-Z2-7]+)<', shown.text)
        assert secret
        form = {"ticket": hidden(shown.text, "ticket"), "next": hidden(shown.text, "next")}
        assert ada.post("/sign-in/code", data=form | {"code": "000000"}).status_code == 401
        phone = pyotp.TOTP(secret[1])
        kept = ada.post("/sign-in/code", data=form | {"code": phone.now()})
        codes = re.findall(r"<li><code>([a-z2-7-]+)</code>", kept.text)
        assert len(codes) == totp.RECOVERY_CODES
        assert 'href="/incidents"' in kept.text
        assert ada.get("/").status_code == 200
        planted = dict(ada.cookies)
        ada.post("/sign-out")
        assert ada.get("/").status_code == 303
        ada.cookies.update(planted)  # the cookie from before the sign-out is worth nothing
        assert ada.get("/").status_code == 303
    with browser(url) as ada:
        shown = ada.post("/sign-in", data={"name": "ada", "password": PASSWORD, "next": "//evil.example"})
        assert hidden(shown.text, "next") == "/"
        form = {"ticket": hidden(shown.text, "ticket"), "next": "https://evil.example", "code": codes[0]}
        answer = ada.post("/sign-in/code", data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "Sign in again" in ada.post("/sign-in/code", data=form).text
    the_own_account(url, context)
    through_the_provider(url, context)
    no_other_origin(url)
    a_password_that_somebody_else_chose(url, context)


def the_own_account(url: str, context: Context) -> None:
    """Second factor, tenant, password and sessions, on the page that has no script; and why."""
    with browser(url) as mara, browser(url) as phone:
        for each in (mara, phone):
            each.post("/sign-in", data={"name": NAME, "password": PASSWORD})
        assert "Where you are signed in" in mara.get("/account").text
        assert mara.post("/account/tenant", data={"tenant": "no tenant"}).status_code == 422
        assert mara.post("/account/tenant", data={}).status_code == 422
        assert mara.post("/account/tenant", data={"tenant": "porto"}).status_code == 404  # not there yet
        tenants.put_tenant(context, CONSOLE, "porto")
        assert mara.post("/account/tenant", data={"tenant": "porto", "why": "help"}).status_code == 303
        assert "act in <strong>porto</strong>" in mara.get("/account").text
        assert mara.post("/account/factor", data={"password": "wrong"}).status_code == 401
        shown = mara.post("/account/factor", data={"password": PASSWORD}).text
        secret = re.search(r'id="secret">([A-Z2-7]+)<', shown)
        assert secret
        assert mara.post("/account/factor/confirm", data={"code": "000000"}).status_code == 401
        kept = mara.post("/account/factor/confirm", data={"code": pyotp.TOTP(secret[1]).now()}).text
        codes = re.findall(r"<li><code>([a-z2-7-]+)</code>", kept)
        assert len(codes) == totp.RECOVERY_CODES
        remove = {"code": codes[0], "why": "another telephone"}
        assert mara.post("/account/factor/remove", data=remove).status_code == 200
        change = {"old": PASSWORD, "new": "a longer and quieter street", "why": "somebody looked on"}
        assert mara.post("/account/password", data=change | {"why": "w" * 501}).status_code == 422
        assert mara.post("/account/password", data=change).status_code == 200
        assert mara.post("/account/password", data={"old": "x", "new": PASSWORD}).status_code == 401
        assert mara.post(
            "/account/password", data={"old": "a longer and quieter street", "new": PASSWORD}
        ).is_success
        assert mara.post("/account/session", data={"number": "9" * 30}).status_code == 422
        [number] = re.findall(r'name="number" value="(\d+)"', mara.get("/account").text)
        assert mara.post("/account/session", data={"number": number, "why": "not mine"}).status_code == 303
        assert mara.get("/account").status_code == 303
        assert mara.get("/account").headers["location"].startswith("/sign-in")
    [ended, *_] = auditor.lines(context, CONSOLE, auditor.Wanted(action="session:end", who=NAME), 1)
    changed = auditor.lines(context, CONSOLE, auditor.Wanted(action="session:change", who=NAME), 5)
    assert [line.reason for line in (ended, *changed)] == [
        "not mine",
        "",
        "somebody looked on",
        "another telephone",
        "",  # a second factor was set up
        "help",
    ]


def through_the_provider(url: str, context: Context) -> None:
    with browser(url) as lena:
        assert "the city&#x27;s account" in lena.get("/sign-in").text
        sent = lena.get("/sign-in/oidc", params={"next": "/incidents"})
        assert sent.status_code == 303
        answer = httpx.post(sent.headers["location"], data={"sub": "u1"}).headers["location"]
        back = "/sign-in/oidc/return?" + urlsplit(answer).query
        with browser(url) as thief:
            assert thief.get(back).status_code == 401
        assert lena.get(back).status_code == 401  # used up by the thief
        sent = lena.get("/sign-in/oidc", params={"next": "//evil.example"})
        answer = httpx.post(sent.headers["location"], data={"sub": "u1"}).headers["location"]
        arrived = lena.get("/sign-in/oidc/return?" + urlsplit(answer).query)
        assert (arrived.status_code, arrived.headers["location"]) == (303, "/")
        assert lena.get("/").status_code == 200
        assert "Password now" not in lena.get("/account").text  # it is the provider's affair
        for rubbish in ("", "?state=x", "?error=access_denied&state=" + "x" * 60, "?code=" + "x" * 9000):
            assert lena.get("/sign-in/oidc/return" + rubbish).status_code in {401, 422}
    assert [each.name for each in service.list_operators(context, CONSOLE)] == ["ada", "lena", NAME]


def no_other_origin(url: str) -> None:
    """Forms come from our own pages, or not at all; the sockets are tested in test_console.py."""
    with browser(url) as mara:
        evil = {"Origin": "http://evil.example"}
        data = {"name": NAME, "password": PASSWORD}
        assert mara.post("/sign-in", data=data, headers=evil).status_code == 403
        assert mara.post("/sign-in", data=data).status_code == 303
        assert mara.post("/sign-out", headers=evil).status_code == 403
        assert mara.get("/").status_code == 200


def a_password_that_somebody_else_chose(url: str, context: Context) -> None:
    """It opens the form for another, and nothing else; nor does a program's header open a page."""
    service.create_operator(context, CONSOLE, "otto", PASSWORD, (rules.Role.VIEWER,), one_time=True)
    own = "a bench under every lamp"
    with browser(url) as otto:
        assert otto.post("/sign-in", data={"name": "otto", "password": PASSWORD}).status_code == 303
        for page in ("/", "/incidents", "/account/factor", "/people"):
            answer = otto.get(page)
            assert (answer.status_code, answer.headers["location"]) == (303, "/account"), page
        assert otto.post("/account/factor", data={"password": PASSWORD}).status_code == 403
        assert 'name="new"' in otto.get("/account").text
        assert otto.post("/account/password", data={"old": PASSWORD, "new": PASSWORD}).status_code == 422
        assert otto.post("/account/password", data={"old": PASSWORD, "new": own}).is_success
        assert otto.get("/").status_code == 200
    token = service.sign_in(context, "otto", own).token
    bearer = {"Authorization": f"Bearer {token}", "Accept": "text/html"}
    assert httpx.get(url + "/", headers=bearer).headers["location"] == "/sign-in"


def test_what_the_form_says() -> None:
    assert told(SignInRefused("Name or password is wrong."))[:2] == ("Name or password is wrong.", 401)
    assert told(ProviderUnreachable("The provider does not answer."))[0] == "The provider does not answer."
    assert told(DatabaseUnreachable("10.0.0.1 said no"))[:2] == (
        "The database does not answer. Try again in a moment.",
        503,
    )
