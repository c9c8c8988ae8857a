"""Accounts of several tenants, sessions that act in one, and machines' tokens, on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fleet_server import live_routes
from fleet_server.access import rules, service, sessions, store, tokens
from fleet_server.access.errors import SignInRefused, TooManyAttempts, UnfitCredential
from fleet_server.access.grants import Grant
from fleet_server.access.rules import CONSOLE, Action, Principal, Role
from fleet_server.access.service import permitted
from fleet_server.access.tokens import Wanted
from fleet_server.context import Context
from fleet_server.errors import Forbidden, InvalidRequest, NotFound, OtherTenant
from fleet_server.tenants import service as tenants
from tests.support.server_context import make_context

pytestmark = pytest.mark.usefixtures("cheap_passwords")

PASSWORD = "a lamp for every street"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PORTO_ADMIN = Principal("operator", "pia", frozenset({Role.ADMIN}), "porto")
DAY = timedelta(days=1)


@pytest.fixture
def ctx(database_url: str, tmp_path: Path) -> Iterator[Context]:
    made = make_context(database_url, tmp_path)
    yield made
    made.db.close()


@pytest.fixture
def ana(ctx: Context) -> str:
    """Administers Porto, looks at Lisboa."""
    service.create_operator(ctx, CONSOLE, "ana", PASSWORD, (Role.ADMIN,), tenant="porto")
    service.grant(ctx, CONSOLE, "ana", "lisboa", (Role.VIEWER,))
    return "ana"


def test_a_session_acts_in_one_tenant_and_changes_over(ctx: Context, ana: str) -> None:
    first = service.sign_in(ctx, ana, PASSWORD)
    assert (first.principal.tenant, first.principal.roles) == ("lisboa", frozenset({Role.VIEWER}))
    made = service.sign_in(ctx, ana, PASSWORD, tenant="porto", agent="Firefox " * 99)
    found = service.resolve_session(ctx, made.token)
    assert found is not None
    assert (found.principal.tenant, found.principal.roles) == ("porto", frozenset({Role.ADMIN}))
    assert found.tenants == ("lisboa", "porto")
    changed = service.act_in(ctx, found.principal, made.token, "lisboa")
    assert service.resolve(ctx, made.token) == changed.principal
    assert changed.principal.roles == {Role.VIEWER}
    with pytest.raises(Forbidden):
        service.act_in(ctx, changed.principal, made.token, "faro")
    with pytest.raises(Forbidden):
        service.act_in(ctx, changed.principal, made.token, "*")
    with pytest.raises(InvalidRequest):
        service.act_in(ctx, changed.principal, made.token, "no tenant")
    with pytest.raises(Forbidden, match="no role in faro"):
        service.sign_in(ctx, ana, PASSWORD, tenant="faro")


def test_a_stream_ends_with_the_roles_and_the_tenant_that_it_was_begun_with(
    ctx: Context, ana: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_routes, "SESSION_LOOK_S", -1.0)

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(2):
            yield b"change"

    async def told(who: Principal, token: str) -> int:
        return len([part async for part in live_routes._while_the_same(parts(), ctx, who, token)])

    made = service.sign_in(ctx, ana, PASSWORD, tenant="porto")
    assert asyncio.run(told(made.principal, made.token)) == 2
    service.act_in(ctx, made.principal, made.token, "lisboa")
    assert asyncio.run(told(made.principal, made.token)) == 0
    token = make(ctx, PORTO_ADMIN, Action.DEVICES_READ)
    monkeypatch.setattr(sessions, "real", lambda _: NOON)
    machine = service.resolve(ctx, token)
    assert machine is not None
    assert asyncio.run(told(machine, token)) == 2
    service.grant(ctx, PORTO_ADMIN, ana, "porto", (Role.VIEWER,))
    assert asyncio.run(told(machine, token)) == 0


def test_who_is_of_every_tenant_may_act_in_any_one(ctx: Context) -> None:
    service.create_operator(ctx, CONSOLE, "root", PASSWORD, (Role.ADMIN,))
    made = service.sign_in(ctx, "root", PASSWORD)
    assert made.principal.tenant == rules.EVERY_TENANT
    tenants.put_tenant(ctx, CONSOLE, "porto")
    with pytest.raises(NotFound, match="no tenant prto"):
        service.act_in(ctx, made.principal, made.token, "prto")
    cut = service.act_in(ctx, made.principal, made.token, "porto").principal
    with pytest.raises(OtherTenant):
        service.authorize(cut, Action.DEVICES_READ, "lisboa/lamp-1")


def test_a_tenant_s_administrator_rules_own_accounts_only(ctx: Context, ana: str) -> None:
    service.create_operator(ctx, PORTO_ADMIN, "rui", None, (Role.OPERATOR,))
    service.create_operator(ctx, CONSOLE, "lia", None, (Role.ADMIN,), tenant="lisboa")
    assert [each.name for each in service.list_operators(ctx, PORTO_ADMIN)] == ["ana", "rui"]
    assert {g.tenant for g in service.get_operator(ctx, PORTO_ADMIN, ana).grants} == {"porto"}
    with pytest.raises(NotFound):
        service.get_operator(ctx, PORTO_ADMIN, "lia")
    with pytest.raises(NotFound):
        service.set_password(ctx, PORTO_ADMIN, "lia", PASSWORD)
    for change in (
        lambda: service.set_password(ctx, PORTO_ADMIN, ana, PASSWORD),  # it would open Lisboa too
        lambda: service.set_disabled(ctx, PORTO_ADMIN, ana, disabled=True),
        lambda: service.end_sessions(ctx, PORTO_ADMIN, ana),
        lambda: service.reset_second_factor(ctx, PORTO_ADMIN, ana),
    ):
        with pytest.raises(Forbidden, match="beyond porto"):
            change()
    for where in ("lisboa", "*"):
        with pytest.raises(Forbidden):
            service.grant(ctx, PORTO_ADMIN, "rui", where, (Role.ADMIN,))
        with pytest.raises(Forbidden):
            service.create_operator(ctx, PORTO_ADMIN, "eve", None, (Role.VIEWER,), tenant=where)
    assert service.set_disabled(ctx, PORTO_ADMIN, "rui", disabled=True).disabled
    for tenant, roles in (("Porto!", ("admin",)), ("porto", ("king",)), ("porto", ("worker",))):
        with pytest.raises(UnfitCredential):
            service.grant(ctx, CONSOLE, ana, tenant, roles)


def test_a_tenant_s_administrator_opens_no_account_of_the_provider(ctx: Context) -> None:
    """Its groups may give it another tenant tomorrow: the password would be a way around the provider."""
    with ctx.db.session() as session:
        store.insert_operator(session, "ida", None, [Grant("porto", ("viewer",), "oidc")], NOON)
    with pytest.raises(Forbidden, match="through the provider"):
        service.set_password(ctx, PORTO_ADMIN, "ida", PASSWORD)
    service.set_password(ctx, CONSOLE, "ida", PASSWORD)


def test_a_change_of_roles_ends_the_sessions_and_none_left_lets_nobody_in(ctx: Context, ana: str) -> None:
    token = service.sign_in(ctx, ana, PASSWORD, tenant="porto").token
    elsewhere = service.sign_in(ctx, ana, PASSWORD, tenant="lisboa").token
    service.grant(ctx, PORTO_ADMIN, ana, "porto", ())
    assert service.resolve(ctx, token) is None
    assert service.resolve(ctx, elsewhere) is not None  # Porto signs nobody out of Lisboa
    service.grant(ctx, CONSOLE, ana, "*", ())
    assert service.resolve(ctx, elsewhere) is None
    token = service.sign_in(ctx, ana, PASSWORD).token
    with ctx.db.raw() as connection:  # as a change behind our back would
        connection.execute("DELETE FROM operator_grant")
    assert service.resolve(ctx, token) is None
    with pytest.raises(Forbidden, match="no role anywhere"):
        service.sign_in(ctx, ana, PASSWORD)


def test_own_sessions_are_listed_and_ended(ctx: Context, ana: str) -> None:
    here = service.sign_in(ctx, ana, PASSWORD, "10.0.0.1", agent="Firefox")
    there = service.sign_in(ctx, ana, PASSWORD, "10.0.0.2")
    third = service.sign_in(ctx, ana, PASSWORD, "10.0.0.3")
    me = here.principal
    listed = service.own_sessions(ctx, me)
    assert [(each.address, each.agent) for each in listed] == [
        ("10.0.0.3", ""), ("10.0.0.2", ""), ("10.0.0.1", "Firefox"),
    ]  # fmt: skip
    service.create_operator(ctx, CONSOLE, "bo", PASSWORD, (Role.VIEWER,), tenant="porto")
    other = service.sign_in(ctx, "bo", PASSWORD)
    with pytest.raises(NotFound):
        service.end_own(ctx, other.principal, listed[0].number)
    service.end_own(ctx, me, listed[0].number)
    assert service.resolve(ctx, third.token) is None
    assert service.end_others(ctx, me, here.token) == 1
    assert service.resolve(ctx, there.token) is None
    fresh = service.change_own_password(ctx, me, here.token, PASSWORD, "a bench under every lamp")
    assert service.resolve(ctx, here.token) is None
    assert service.resolve(ctx, fresh) == me
    with pytest.raises(SignInRefused):
        service.change_own_password(ctx, me, fresh, PASSWORD, "another lamp for every street")
    assert service.resolve(ctx, other.token) is not None


def test_a_session_in_use_ends_with_the_month(ctx: Context, ana: str) -> None:
    token = service.sign_in(ctx, ana, PASSWORD, now=NOON).token
    at = NOON
    while at + timedelta(hours=11) < NOON + rules.SESSION_LONGEST:
        at += timedelta(hours=11)
        assert service.resolve(ctx, token, at) is not None
    assert service.resolve(ctx, token, NOON + rules.SESSION_LONGEST) is None


def test_one_address_cannot_try_all_names(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet_server.access.sign_in.verify_password", lambda *_: (False, None))
    for number in range(rules.ADDRESS_FAILURES_FREE):
        with pytest.raises(SignInRefused):
            service.sign_in(ctx, f"name{number}", "x", "10.0.0.9", NOON)
    with pytest.raises(TooManyAttempts) as refused:
        service.sign_in(ctx, "one-more", "x", "10.0.0.9", NOON)
    assert refused.value.members["retry_after_s"] == rules.ADDRESS_LEAK_S + 1
    with pytest.raises(SignInRefused):
        service.sign_in(ctx, "one-more", "x", "10.0.0.8", NOON)
    with pytest.raises(SignInRefused):
        service.sign_in(ctx, "one-more", "x", "10.0.0.9", NOON + timedelta(seconds=rules.ADDRESS_LEAK_S))
    with ctx.db.raw() as connection:
        lines = connection.execute("SELECT body FROM audit_line WHERE body LIKE '%session:begin%'").fetchall()
    told = "".join(body for (body,) in lines)
    assert '"refused"' in told
    assert '"locked"' in told


def make(ctx: Context, by: Principal, *scopes: str, owner: str = "ana", tenant: str = "porto") -> str:
    return tokens.make(ctx, by, Wanted("export", scopes, 30 * DAY, owner, tenant), NOON).token


def test_a_token_acts_within_its_scopes_and_its_tenant(ctx: Context, ana: str) -> None:
    token = make(ctx, PORTO_ADMIN, Action.DEVICES_READ, Action.DEVICES_CHANGE)
    assert token.startswith("lp_")
    who = service.resolve(ctx, token, NOON)
    assert who is not None
    assert (who.name, who.tenant) == ("ana", "porto")
    assert {action for action in Action if permitted(who, action)} == {"devices:read", "devices:change"}
    with pytest.raises(Forbidden):
        service.authorize(who, Action.DEVICES_READ, "lisboa/lamp-1")
    with pytest.raises(Forbidden):
        service.own_sessions(ctx, who)
    with pytest.raises(Forbidden):
        service.act_in(ctx, replace(who, scopes=None), token, "lisboa")
    [listed] = tokens.listed(ctx, PORTO_ADMIN)
    assert listed.last_used_at == NOON
    assert token not in repr(listed)
    with ctx.db.raw() as connection:
        stored = str(connection.execute("SELECT api_token::text FROM api_token").fetchall())
        stored += str(connection.execute("SELECT body FROM audit_line").fetchall())
    assert token not in stored
    assert service.resolve(ctx, token, NOON + 30 * DAY) is None
    assert service.resolve(ctx, token + "x", NOON) is None
    tokens.revoke(ctx, PORTO_ADMIN, listed.id)
    assert tokens.revoke(ctx, PORTO_ADMIN, listed.id).revoked_by == "pia"
    assert service.resolve(ctx, token, NOON) is None


def test_a_token_is_never_worth_more_than_its_owner_is_and_was(ctx: Context, ana: str) -> None:
    token = make(ctx, PORTO_ADMIN, Action.DEVICES_READ, Action.DEVICES_CHANGE)
    service.grant(ctx, CONSOLE, ana, "porto", (Role.ADMIN, Role.VIEWER))  # a role more than at first
    assert (who := service.resolve(ctx, token, NOON)) is not None
    assert who.roles == {Role.ADMIN}
    service.grant(ctx, CONSOLE, ana, "porto", (Role.VIEWER,))
    assert (who := service.resolve(ctx, token, NOON)) is not None
    assert not permitted(who, Action.DEVICES_READ)
    service.grant(ctx, CONSOLE, ana, "porto", (Role.ADMIN,))
    service.set_disabled(ctx, CONSOLE, ana, disabled=True)
    assert service.resolve(ctx, token, NOON) is None


def test_nobody_makes_a_token_that_may_more_than_they(ctx: Context, ana: str) -> None:
    service.create_operator(ctx, CONSOLE, "robot", None, (Role.VIEWER,), tenant="porto")
    with pytest.raises(Forbidden, match="no more than robot"):
        make(ctx, PORTO_ADMIN, Action.DEVICES_CHANGE, owner="robot")
    make(ctx, PORTO_ADMIN, Action.DEVICES_READ, owner="robot")
    with pytest.raises(Forbidden):
        make(ctx, Principal("operator", "ana", frozenset({Role.VIEWER}), "porto"), Action.DEVICES_READ)
    with pytest.raises(Forbidden):
        make(ctx, PORTO_ADMIN, Action.DEVICES_READ, tenant="lisboa")
    with pytest.raises(NotFound):
        make(ctx, CONSOLE, Action.DEVICES_READ, owner="robot", tenant="lisboa")
    with pytest.raises(Forbidden, match="makes no tokens"):
        make(ctx, replace(PORTO_ADMIN, via="token 1"), Action.DEVICES_READ)
    with pytest.raises(NotFound):
        tokens.revoke(ctx, Principal("operator", "lia", frozenset({Role.ADMIN}), "lisboa"), 1)
    for scope in ("tokens:create", "operators:create", "approvals:decide", "privacy:erase", "fly"):
        with pytest.raises(InvalidRequest, match="No scopes"):
            make(ctx, PORTO_ADMIN, scope)
    for wanted in (
        Wanted("", ("devices:read",), DAY),
        Wanted("x" * 65, ("devices:read",), DAY),
        Wanted("x", (), DAY),
        Wanted("x", ("devices:read",), timedelta(0)),
        Wanted("x", ("devices:read",), timedelta(days=366)),
    ):
        with pytest.raises(InvalidRequest):
            tokens.make(ctx, PORTO_ADMIN, replace(wanted, owner="ana"))
