"""Sessions: begun at a sign-in, found again by their token, listed and ended by whose they are.

A session acts in one tenant. It lives as long as it is used, a month at most, and ends with a change of the
account's password, factor or roles.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from sqlmodel import Session

from fleet_server.access import grants, known_tenants, rules, session_store, store, tokens
from fleet_server.access.deciding import authorize
from fleet_server.access.rules import Action, Principal
from fleet_server.access.session_store import ListedSession, NewSession
from fleet_server.audit.recording import record
from fleet_server.audit.rules import Happening
from fleet_server.context import Context
from fleet_server.errors import Forbidden, InvalidRequest, NotAuthenticated, NotFound

OIDC = "oidc"  # `via` of a session that began at the OpenID provider
TOKEN_BYTES = 32  # 256 random bits
AGENT_MOST_CHARACTERS = 200  # enough to tell one's telephone from somebody else's


@dataclass(frozen=True)
class SessionToken:
    """What a signed-in person shows with each call. `token` stays out of every repr, and so of every log.

    recovery_codes: told this once, to whom has just set a second factor up. must_change: somebody else chose
    the password; the session is good for choosing another.
    """

    token: str = field(repr=False)
    expires_at: datetime
    principal: Principal
    recovery_codes: tuple[str, ...] = field(default=(), repr=False)
    must_change: bool = False


@dataclass(frozen=True)
class SignedIn:
    """tenants: where the account may act ("*": everywhere). number: the session's; 0 for a machine's token.

    must_change: as for `SessionToken`.
    """

    principal: Principal
    expires_at: datetime
    tenants: tuple[str, ...] = (rules.EVERY_TENANT,)
    number: int = 0
    must_change: bool = False


def principal_of(operator: store.Operator, tenant: str, via: str) -> Principal:
    """An account as it acts in `tenant`: with no role at all while its password is somebody else's choice."""
    roles = frozenset() if must_change(operator, via) else grants.roles_in(operator.grants, tenant)
    return Principal("operator", operator.name, roles, tenant)


def must_change(operator: store.Operator, via: str) -> bool:
    """Has a session that began `via` this to choose another password first? Not who came by the provider."""
    return operator.must_change and via != OIDC


def begin(
    session: Session,
    operator: store.Operator,
    new: NewSession,
    now: datetime,
    longest: timedelta = rules.SESSION_LONGEST,
) -> SessionToken:
    """A new session, under a new token: whatever the browser held before is not carried over."""
    token = new_token()
    expires_at = now + min(rules.SESSION_IDLE, longest)
    cut = replace(new, address=new.address[:64], agent=new.agent[:AGENT_MOST_CHARACTERS])
    session_store.insert(session, token_hash(token), operator.id, cut, now, expires_at)
    principal = principal_of(operator, new.tenant, new.via)
    record(session, principal, Happening.SIGNED_IN, operator.name, after={"by": new.via})
    return SessionToken(token, expires_at, principal, must_change=must_change(operator, new.via))


def resolve(ctx: Context, token: str, now: datetime | None = None) -> Principal | None:
    """Who shows this token; None when nobody does (any more). Using a session keeps it alive."""
    session = resolve_session(ctx, token, now)
    return None if session is None else session.principal


def resolve_session(ctx: Context, token: str, now: datetime | None = None) -> SignedIn | None:
    """As `resolve`, with the session's expiry. A machine's token is taken as well."""
    if not token:
        return None
    instant = real(now)
    if token.startswith(tokens.PREFIX):
        used = tokens.resolve(ctx, token, instant)
        return None if used is None else SignedIn(used[0], used[1], (used[0].tenant,))
    hashed = token_hash(token)
    with ctx.db.session() as session:
        found = session_store.find(session, hashed)
        if found is None or found.operator.disabled or not rules.session_alive(found.expires_at, instant):
            return None
        if not grants.may_act_in(found.operator.grants, found.tenant):
            return None
        longest = longest_of(ctx, found.via)
        if instant >= found.began_at + longest:
            return None
        slid = rules.slid_expiry(found.expires_at, instant, found.began_at, longest)
        if slid is not None:
            session_store.move_expiry(session, hashed, slid)
        principal = principal_of(found.operator, found.tenant, found.via)
        where = grants.tenants_of(found.operator.grants)
        owes = must_change(found.operator, found.via)
        return SignedIn(principal, slid or found.expires_at, where, found.number, owes)


def longest_of(ctx: Context, via: str) -> timedelta:
    """How long a session lasts that is used all the time: the provider's people are asked for every day."""
    return ctx.config.oidc.session_longest if via == OIDC else rules.SESSION_LONGEST


def sign_out(ctx: Context, token: str) -> None:
    """End the session; nothing happens where there is none."""
    hashed = token_hash(token)
    with ctx.db.session() as session:
        found = session_store.find(session, hashed)
        if found is not None:
            session_store.delete(session, hashed)
            principal = principal_of(found.operator, found.tenant, found.via)
            record(session, principal, Happening.SIGNED_OUT, found.operator.name)


def act_in(ctx: Context, principal: Principal, token: str, tenant: str) -> SignedIn:
    """Let this session act in another tenant. Raises Forbidden, InvalidRequest, NotFound (no such session, no
    such tenant)."""
    person(principal)
    problem = grants.tenant_problem(tenant)
    if problem is not None:
        raise InvalidRequest(f"The tenant cannot be taken: {problem}.")
    hashed = token_hash(token)
    with ctx.db.session() as session:
        found = session_store.find(session, hashed)
        if found is None:
            raise NotFound("This session has ended.")
        if not grants.may_act_in(found.operator.grants, tenant):
            raise Forbidden(f"{principal.name} has no role in {tenant}.")
        if tenant not in grants.tenants_of(found.operator.grants):  # by a role everywhere: maybe mistyped
            everywhere = principal_of(found.operator, rules.EVERY_TENANT, found.via)
            known_tenants.need_in(session, ctx, everywhere, tenant)
        session_store.set_tenant(session, hashed, tenant)
        changed = principal_of(found.operator, tenant, found.via)
        record(
            session, changed, Action.SESSION_CHANGE, found.operator.name,
            before={"tenant": found.tenant}, after={"tenant": tenant},
        )  # fmt: skip
        where, owes = grants.tenants_of(found.operator.grants), must_change(found.operator, found.via)
        return SignedIn(changed, found.expires_at, where, found.number, owes)


def own_sessions(ctx: Context, principal: Principal, now: datetime | None = None) -> list[ListedSession]:
    """The newest first. Raises Forbidden."""
    person(principal)
    with ctx.db.session() as session:
        return session_store.of_operator(session, account(session, principal).id, real(now))


def own_account(ctx: Context, principal: Principal) -> store.Operator:
    """Has it a password, a second factor? Raises Forbidden, NotFound."""
    person(principal)
    with ctx.db.session() as session:
        return account(session, principal)


def end_own(ctx: Context, principal: Principal, number: int) -> None:
    """End one of the own sessions, this one too. Raises Forbidden, NotFound."""
    person(principal)
    with ctx.db.session() as session:
        if not session_store.delete_number(session, account(session, principal).id, number):
            raise NotFound(f"You have no session {number}.")
        record(session, principal, Happening.SIGNED_OUT, principal.name, after={"session": number})


def end_others(ctx: Context, principal: Principal, token: str) -> int:
    """End every own session but the one of `token`; how many there were. Raises Forbidden."""
    person(principal)
    with ctx.db.session() as session:
        ended = session_store.delete_of(session, account(session, principal).id, but=token_hash(token))
        record(session, principal, Happening.SIGNED_OUT, principal.name, after={"sessions": ended})
        return ended


def rotate(session: Session, operator_id: int, token: str) -> str:
    """After a change of factor: the others end, this one goes on under a new token, which is returned.

    Raises NotAuthenticated where it was ended meanwhile: the change is then to be undone.
    """
    fresh = new_token()
    session_store.delete_of(session, operator_id, but=token_hash(token))
    if not session_store.replace_token(session, token_hash(token), token_hash(fresh)):
        raise NotAuthenticated("The session has ended meanwhile: nothing was changed.", remedy="Sign in.")
    return fresh


def person(principal: Principal) -> None:
    """A person at their own account: no machine's token, no service. Raises Forbidden."""
    authorize(principal, Action.SESSION_CHANGE)
    if principal.kind != "operator" or principal.via != "session":
        raise Forbidden("Only somebody who has signed in has an account to see to.")


def account(session: Session, principal: Principal, *, lock: bool = False) -> store.Operator:
    """The acting person's own account. Raises NotFound."""
    found = store.operator(session, principal.name, lock=lock)
    if found is None:
        raise NotFound(f"There is no operator {principal.name}.")
    return found


def new_token() -> str:
    """Never one that looks like a machine's."""
    while (token := secrets.token_urlsafe(TOKEN_BYTES)).startswith(tokens.PREFIX):
        pass
    return token


def token_hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def real(now: datetime | None) -> datetime:
    return now or datetime.now(UTC)
