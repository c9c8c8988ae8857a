"""Access: authorize every call, sign people in and out, keep their accounts.

Hashing a password blocks for tens of milliseconds: from an event loop call `sign_in`, `create_operator` and
`set_password` in a thread (FastAPI does it by itself for routes that are plain functions).
Failed attempts are counted in the database, per name and address, so that several processes count together.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlmodel import Session

from fleet_server.access import rules, store
from fleet_server.access.engine import shipped_engine, tenant_of
from fleet_server.access.errors import NameTaken, SignInRefused, TooManyAttempts, UnfitCredential
from fleet_server.access.passwords import generated_password, hash_password, room, verify_password
from fleet_server.access.rules import Action, Principal
from fleet_server.context import Context
from fleet_server.errors import Forbidden, NotFound, OtherTenant

log = logging.getLogger(__name__)

TOKEN_BYTES = 32  # 256 random bits
FIRST_ADMIN_NAME = "admin"


@dataclass(frozen=True)
class SessionToken:
    """What a signed-in person shows with each call. `token` stays out of every repr, and so of every log."""

    token: str = field(repr=False)
    expires_at: datetime
    principal: Principal


@dataclass(frozen=True)
class SignedIn:
    principal: Principal
    expires_at: datetime


def authorize(principal: Principal, action: str, resource: str = "*", *, tenant: str | None = None) -> None:
    """Returns when a policy permits it. `resource` is one thing's name, "*" everything of the tenant.

    tenant: whose it is; None: a device's "tenant/device" says it, anything else is the principal's own.

    Raises Forbidden; OtherTenant where it would be permitted on one of the principal's own; ValueError for
    an action outside the closed set (a mistake of ours).
    """
    if permitted(principal, action, resource, tenant=tenant):
        return
    own = principal.tenant
    if (tenant or tenant_of(principal, resource)) != own and permitted(principal, action, tenant=own):
        raise OtherTenant(f"There is no device {resource}." if tenant is None else "There is no such thing.")
    raise Forbidden(f"{principal.name} may not do {action} on {resource}.")


def permitted(principal: Principal, action: str, resource: str = "*", *, tenant: str | None = None) -> bool:
    """As `authorize`, for pages that hide what somebody may not do. The service that does it checks again."""
    return shipped_engine().decide(principal, Action(action), resource, tenant)


def sign_in(
    ctx: Context, name: str, password: str, address: str = "", now: datetime | None = None
) -> SessionToken:
    """A new session. `address` is where the attempt comes from (an IP). `now`: real time, for tests.

    Raises SignInRefused, TooManyAttempts, SignInBusy. An unknown name takes as long as a wrong password.
    """
    with room():
        return _sign_in(ctx, name, password, address, _real(now))


def _sign_in(ctx: Context, name: str, password: str, address: str, instant: datetime) -> SessionToken:
    known_form = rules.operator_name_problem(name) is None and len(password) <= rules.PASSWORD_MAX_CHARACTERS
    counted_as = name if known_form else ""
    with ctx.db.session() as session:
        store.delete_stale(session, instant, instant - rules.FAILURES_FORGOTTEN_AFTER)
        _count_attempt(session, counted_as, address, instant)
        credential = store.credential(session, name) if known_form else None
    usable = credential is not None and not credential.operator.disabled
    stored = credential.password_hash if credential is not None and usable else None
    right, renewed = verify_password(password if known_form else "", stored)
    if credential is None or not right:
        log.warning("sign-in refused for %r from %s", name[:64], address or "unknown")
        raise SignInRefused("Name or password is wrong.")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    expires_at = instant + rules.SESSION_IDLE
    with ctx.db.session() as session:
        store.forget_attempts(session, counted_as, address)
        if renewed is not None:
            store.set_password_hash(session, credential.operator.id, renewed)
        store.insert_session(session, _token_hash(token), credential.operator.id, instant, expires_at)
    return SessionToken(token, expires_at, _principal(credential.operator))


def resolve(ctx: Context, token: str, now: datetime | None = None) -> Principal | None:
    """Who shows this token; None when nobody does (any more). Using a session keeps it alive."""
    session = resolve_session(ctx, token, now)
    return None if session is None else session.principal


def resolve_session(ctx: Context, token: str, now: datetime | None = None) -> SignedIn | None:
    """As `resolve`, with the session's expiry."""
    if not token:
        return None
    instant, token_hash = _real(now), _token_hash(token)
    with ctx.db.session() as session:
        found = store.find_session(session, token_hash)
        if found is None or found.operator.disabled or not rules.session_alive(found.expires_at, instant):
            return None
        slid = rules.slid_expiry(found.expires_at, instant)
        if slid is not None:
            store.move_session_expiry(session, token_hash, slid)
        return SignedIn(_principal(found.operator), slid or found.expires_at)


def sign_out(ctx: Context, token: str) -> None:
    """End the session; nothing happens where there is none."""
    with ctx.db.session() as session:
        store.delete_session(session, _token_hash(token))


def create_operator(
    ctx: Context,
    principal: Principal,
    name: str,
    password: str,
    roles: tuple[str, ...] = (rules.Role.OPERATOR,),
    now: datetime | None = None,
) -> store.Operator:
    """A new account. Raises Forbidden, UnfitCredential, NameTaken."""
    authorize(principal, Action.OPERATORS_CREATE, name)
    problem = rules.operator_name_problem(name) or rules.password_problem(password, name)
    unknown = sorted(set(roles) - set(rules.HUMAN_ROLES))
    if not roles or unknown:
        problem = problem or f"roles are {', '.join(rules.HUMAN_ROLES)}, not {', '.join(unknown) or 'none'}"
    if problem is not None:
        raise UnfitCredential(f"The operator cannot be made: {problem}.")
    password_hash = hash_password(password)
    with ctx.db.session() as session:
        made = store.insert_operator(session, name, password_hash, tuple(map(str, roles)), _real(now))
    if made is None:
        raise NameTaken(f"There is an operator {name} already.")
    log.info("operator %s made by %s with %s", name, principal.name, ", ".join(roles))
    return made


def set_password(ctx: Context, principal: Principal, name: str, password: str) -> None:
    """Give an operator another password, end their sessions. Raises Forbidden, UnfitCredential, NotFound."""
    authorize(principal, Action.OPERATORS_CREATE, name)
    problem = rules.password_problem(password, name)
    if problem is not None:
        raise UnfitCredential(f"The password cannot be taken: {problem}.")
    password_hash = hash_password(password)
    with ctx.db.session() as session:
        found = store.credential(session, name)
        if found is None:
            raise NotFound(f"There is no operator {name}.")
        store.set_password_hash(session, found.operator.id, password_hash)
        store.delete_sessions_of(session, found.operator.id)


def set_disabled(ctx: Context, principal: Principal, name: str, *, disabled: bool) -> store.Operator:
    """Keep an operator out and end their sessions, or let them in again. Raises Forbidden, NotFound."""
    authorize(principal, Action.OPERATORS_CREATE, name)
    with ctx.db.session() as session:
        changed = store.set_disabled(session, name, disabled)
        if changed is None:
            raise NotFound(f"There is no operator {name}.")
        store.delete_sessions_of(session, changed.id)
    log.info("operator %s %s by %s", name, "disabled" if disabled else "enabled", principal.name)
    return changed


def list_operators(ctx: Context, principal: Principal) -> list[store.Operator]:
    """Every account, by name. Raises Forbidden."""
    authorize(principal, Action.OPERATORS_READ)
    with ctx.db.session() as session:
        return store.operators(session)


def ensure_first_admin(ctx: Context, name: str = FIRST_ADMIN_NAME) -> str | None:
    """Where there is no account at all, make an administrator and return the generated password, once."""
    with ctx.db.session() as session:
        if store.count_operators(session) > 0:
            return None
    password = generated_password()
    try:
        create_operator(ctx, rules.CONSOLE, name, password, (rules.Role.ADMIN,))
    except NameTaken:  # another process was first
        return None
    return password


def _count_attempt(session: Session, name: str, address: str, now: datetime) -> None:
    """Counted before the password is looked at, so that guesses sent together count one by one."""
    attempts = store.locked_attempts(session, name, address, now)
    wait_s = rules.retry_after_s(attempts.failures, attempts.last_at, now)
    if wait_s > 0:
        raise TooManyAttempts(
            "Too many failed attempts.",
            remedy=f"The next is looked at in {int(wait_s) + 1} s.",
            members={"retry_after_s": int(wait_s) + 1},
        )
    store.set_attempts(session, name, address, store.Attempts(attempts.failures + 1, now))


def _principal(operator: store.Operator) -> Principal:
    return Principal("operator", operator.name, frozenset(operator.roles))


def _token_hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _real(now: datetime | None) -> datetime:
    return now or datetime.now(UTC)
