"""API tokens for machines: limited to actions, to one tenant and to a year; shown once, revoked at once.

A token acts in its owner's name with roles that the owner had when it was made *and* still has, and within
its scopes. It is never worth more than its owner, and nothing any more when the owner is disabled. It makes
no token, changes no account and decides for nobody (rules.NOT_FOR_TOKENS).
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from fleet_server.access import grants, rules, store, token_store
from fleet_server.access.deciding import authorize, permitted
from fleet_server.access.rules import Action, Principal
from fleet_server.access.token_store import ApiToken
from fleet_server.audit.recording import record
from fleet_server.context import Context
from fleet_server.errors import Forbidden, InvalidRequest, NotFound
from fleet_server.masking import in_log, initials

log = logging.getLogger(__name__)

__all__ = ["ApiToken", "MadeToken", "Wanted", "listed", "make", "resolve", "revoke", "scopes_there_are"]

PREFIX = "lp_"  # so that a scanner of repositories, or a person, knows one that lies about
TOKEN_BYTES = 32  # 256 random bits: a plain hash keeps it
USED_STEP = timedelta(minutes=1)  # last use is written at most this often, not at every request
NAME_MOST_CHARACTERS = 64
LIST_MOST = 1000


@dataclass(frozen=True)
class MadeToken:
    """`token` is told once, here."""

    token: str = field(repr=False)
    described: ApiToken


@dataclass(frozen=True)
class Wanted:
    """owner "": the one who asks. tenant "": the one they act in."""

    name: str
    scopes: tuple[str, ...]
    life: timedelta
    owner: str = ""
    tenant: str = ""


def make(ctx: Context, principal: Principal, wanted: Wanted, now: datetime | None = None) -> MadeToken:
    """A new token. Raises Forbidden, InvalidRequest, NotFound (owner).

    Who makes one for another account may not give it what they may not do themselves.
    """
    instant = now or datetime.now(UTC)
    tenant = wanted.tenant or principal.tenant
    authorize(principal, Action.TOKENS_CREATE, tenant=tenant)
    if principal.via.startswith("token"):
        raise Forbidden("A token makes no tokens.", remedy="Sign in.")
    _check(wanted, tenant)
    token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    with ctx.db.session() as session:
        owner = store.operator(session, wanted.owner or principal.name, lock=True)
        if owner is None or not grants.may_act_in(owner.grants, tenant):
            raise NotFound(f"{wanted.owner or principal.name} is no account with a role in {tenant}.")
        acting = Principal("operator", owner.name, grants.roles_in(owner.grants, tenant), tenant)
        _check_scopes(principal, acting, wanted.scopes)
        made = token_store.insert(
            session, hashlib.sha256(token.encode()).digest(),
            token_store.NewToken(
                tenant, owner.id, wanted.name, acting.roles, wanted.scopes, principal.name, instant,
                instant + wanted.life,
            ),
        )  # fmt: skip
        told = {"tenant": tenant, "scopes": list(made.scopes), "expires": made.expires_at.isoformat()}
        record(
            session, principal, Action.TOKENS_CREATE, f"token {made.id}",
            after=told, personal={"owner": owner.name}, tenant=tenant,
        )  # fmt: skip
    log.info("token %d (%s) made for %s by %s", made.id, made.name, initials(made.owner), in_log(principal))
    return MadeToken(token, made)


def listed(ctx: Context, principal: Principal, after: int = 0, limit: int = LIST_MOST) -> list[ApiToken]:
    """Those of the tenant, by number. Raises Forbidden."""
    authorize(principal, Action.TOKENS_READ)
    with ctx.db.session() as session:
        return token_store.listed(session, principal.within, after, max(1, min(limit, LIST_MOST)))


def revoke(ctx: Context, principal: Principal, number: int, now: datetime | None = None) -> ApiToken:
    """From now on it is worth nothing; doing it twice changes nothing. Raises Forbidden, NotFound.

    Its owner may always: it is theirs.
    """
    with ctx.db.session() as session:
        found = token_store.get(session, number, lock=True)
        if found is None or principal.within not in {None, found.tenant}:
            raise NotFound(f"There is no token {number}.")
        own = principal.kind == "operator" and principal.name == found.owner and principal.via == "session"
        if not own:
            authorize(principal, Action.TOKENS_REVOKE, tenant=found.tenant)
        if found.revoked_at is None:
            token_store.revoke(session, number, principal.name, now or datetime.now(UTC))
            told = {"owner": found.owner, "name": found.name}  # people name tokens after people
            record(
                session, principal, Action.TOKENS_REVOKE, f"token {number}",
                personal=told, tenant=found.tenant,
            )  # fmt: skip
        revoked = token_store.get(session, number)
        assert revoked is not None
        return revoked


def resolve(ctx: Context, token: str, now: datetime) -> tuple[Principal, datetime] | None:
    """Who acts with this token, and until when it is good; None: nobody."""
    with ctx.db.session() as session:
        found = token_store.find(session, hashlib.sha256(token.encode()).digest())
        if found is None:
            return None
        described, owner = found
        if described.revoked_at is not None or owner.disabled or now >= described.expires_at:
            return None
        if described.last_used_at is None or now - described.last_used_at >= USED_STEP:
            token_store.used(session, described.id, now)
    roles = frozenset(described.roles) & grants.roles_in(owner.grants, described.tenant)
    scopes = frozenset(described.scopes)
    via = f"token {described.id}"
    return Principal("operator", owner.name, roles, described.tenant, scopes, via), described.expires_at


def scopes_there_are() -> tuple[str, ...]:
    return tuple(sorted(str(action) for action in Action if action not in rules.NOT_FOR_TOKENS))


def _check(wanted: Wanted, tenant: str) -> None:
    problem = grants.tenant_problem(tenant)
    if not wanted.name or len(wanted.name) > NAME_MOST_CHARACTERS or not wanted.name.isprintable():
        problem = f"a name has 1 to {NAME_MOST_CHARACTERS} printable characters"
    elif not timedelta(0) < wanted.life <= rules.TOKEN_LIFE_LONGEST:
        problem = f"it lives {rules.TOKEN_LIFE_LONGEST.days} days at most"
    elif not wanted.scopes:
        problem = "it needs the actions that it is for"
    if problem is not None:
        raise InvalidRequest(f"The token cannot be made: {problem}.")
    unknown = sorted(set(wanted.scopes) - set(scopes_there_are()))
    if unknown:
        raise InvalidRequest(
            f"No scopes of a token: {', '.join(unknown)}.",
            remedy=f"There are {', '.join(scopes_there_are())}.",
        )


def _check_scopes(maker: Principal, acting: Principal, scopes: Iterable[str]) -> None:
    beyond = [
        scope
        for scope in sorted(set(scopes))
        if not permitted(acting, scope) or not permitted(maker, scope, tenant=acting.tenant)
    ]
    if beyond:
        raise Forbidden(
            f"A token may do no more than {acting.name}, and no more than its maker: not {', '.join(beyond)}."
        )
