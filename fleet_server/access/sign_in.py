"""Signing in with a local account: name and password, then the second factor where there is one.

    sign_in ──► a session
       └──────► SecondFactorNeeded, with a ticket ──► with_second_factor ──► a session
                     └─ where none is set up and a role needs one: prepare_by_ticket first

Hashing a password blocks for tens of milliseconds: from an event loop call these in a thread.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, replace
from datetime import datetime

from sqlmodel import Session

from fleet_server.access import factor_store, grants, rules, second_factor, sessions, store, throttling
from fleet_server.access.errors import CodeRefused, SecondFactorNeeded, SignInRefused, TooManyAttempts
from fleet_server.access.passwords import room, verify_password
from fleet_server.access.rules import Principal
from fleet_server.access.second_factor import SetUp
from fleet_server.access.session_store import NewSession
from fleet_server.access.sessions import SessionToken, real, token_hash
from fleet_server.audit.recording import record, record_often
from fleet_server.audit.rules import Happening, Outcome
from fleet_server.context import Context
from fleet_server.errors import Forbidden
from fleet_server.masking import initials

log = logging.getLogger(__name__)

TICKET_BYTES = 32


@dataclass(frozen=True)
class Attempt:
    """Where somebody comes from. tenant: where they want to act, "": where they can."""

    name: str
    address: str = ""
    agent: str = ""
    tenant: str = ""


def sign_in(
    ctx: Context,
    name: str,
    password: str,
    address: str = "",
    now: datetime | None = None,
    *,
    tenant: str = "",
    agent: str = "",
) -> SessionToken:
    """A new session. `address` is where the attempt comes from (an IP). `now`: real time, for tests.

    Raises SignInRefused, SecondFactorNeeded, Forbidden (no role there), TooManyAttempts, SignInBusy. An
    unknown name takes as long as a wrong password.
    """
    with room():
        return _sign_in(ctx, Attempt(name, address, agent, tenant), password, real(now))


def _sign_in(ctx: Context, attempt: Attempt, password: str, now: datetime) -> SessionToken:
    name = attempt.name
    known_form = rules.operator_name_problem(name) is None and len(password) <= rules.PASSWORD_MAX_CHARACTERS
    counted = name if known_form else ""
    credential = _counted(ctx, counted, attempt, now)
    usable = credential is not None and not credential.operator.disabled
    stored = credential.password_hash if credential is not None and usable else None
    right, renewed = verify_password(password if known_form else "", stored)
    if credential is None or not right:
        log.warning("sign-in refused for %r from %s", initials(name[:64]), attempt.address or "unknown")
        _tell(ctx, counted, Outcome.REFUSED)
        raise SignInRefused("Name or password is wrong.")
    operator = credential.operator
    with ctx.db.session() as session:
        if not store.still_has(session, operator.id, stored):  # somebody changed the lock meanwhile
            raise SignInRefused("Name or password is wrong.")
        if renewed is not None:
            store.renew_hash(session, operator.id, renewed)
        throttling.forget(session, counted, attempt.address)
        tenant = grants.chosen_tenant(operator.grants, attempt.tenant)
        if tenant is None:
            needed: Forbidden | SecondFactorNeeded = _no_role(attempt)
        elif operator.has_factor or second_factor.must_have_one(ctx, operator):
            needed = _ticket(session, operator, tenant, now)
        else:
            return sessions.begin(
                session, operator, NewSession(tenant, "password", attempt.address, attempt.agent), now
            )
    raise needed


def with_second_factor(
    ctx: Context, ticket: str, code: str, address: str = "", now: datetime | None = None, *, agent: str = ""
) -> SessionToken:
    """The second half of signing in. Raises CodeRefused, TooManyAttempts.

    Where the factor was set up only now, the answer has recovery codes.
    """
    instant, hashed = real(now), token_hash(ticket)
    with ctx.db.session() as session:
        held = _held_ticket(session, hashed, instant)
        operator = store.operator_by_id(session, held.operator_id)
        throttling.count_code(session, operator.name, address, instant)
        codes: tuple[str, ...] | None = ()
        if operator.has_factor:
            right = second_factor.right_code(ctx, session, operator, code, instant)
        else:
            codes = second_factor.confirm(ctx, session, operator, code, instant)
            right = codes is not None
        if right:
            factor_store.drop_ticket(session, hashed)
            throttling.right_code(session, operator.name, address)
            new = NewSession(held.wanted, "password and code", address, agent)
            made = sessions.begin(session, operator, new, instant)
            return replace(made, recovery_codes=codes or ())
        factor_store.fail_ticket(session, hashed)
        nobody = Principal("operator", operator.name, frozenset(), via="none")
        record(session, nobody, Happening.SIGNED_IN, operator.name, outcome=Outcome.REFUSED)
    raise CodeRefused("The code is wrong or was used before.")


def prepare_by_ticket(ctx: Context, ticket: str, now: datetime | None = None) -> SetUp:
    """For whom a role needs a second factor and who has none: what the authenticator is told.

    Raises CodeRefused (no such ticket), Conflict (there is one).
    """
    instant = real(now)
    with ctx.db.session() as session:
        held = _held_ticket(session, token_hash(ticket), instant)
        return second_factor.prepare(ctx, session, store.operator_by_id(session, held.operator_id), instant)


def _counted(ctx: Context, counted: str, attempt: Attempt, now: datetime) -> store.Credential | None:
    try:
        with ctx.db.session() as session:
            store.delete_stale(session, now, now - rules.FAILURES_FORGOTTEN_AFTER)
            throttling.count_attempt(session, counted, attempt.address, now)
            return store.credential(session, counted) if counted else None
    except TooManyAttempts:
        _tell(ctx, counted, Outcome.LOCKED)
        raise


def _tell(ctx: Context, name: str, outcome: Outcome) -> None:
    """A line of the audit log for who was not let in; of a name that cannot be one, none is kept."""
    nobody = Principal("operator", name, frozenset(), via="none")
    with ctx.db.session() as session:
        record_often(session, nobody, Happening.SIGNED_IN, name or "*", outcome=outcome)


def _no_role(attempt: Attempt) -> Forbidden:
    where = f"in {attempt.tenant}" if attempt.tenant else "anywhere"
    return Forbidden(f"{attempt.name} has no role {where}.")


def _ticket(session: Session, operator: store.Operator, tenant: str, now: datetime) -> SecondFactorNeeded:
    ticket = secrets.token_urlsafe(TICKET_BYTES)
    factor_store.put_ticket(session, token_hash(ticket), operator.id, tenant, now + rules.TICKET_LIFE)
    set_up = not operator.has_factor
    return SecondFactorNeeded(
        "A second factor has to be set up first." if set_up else "The code of the second factor is needed.",
        members={
            "ticket": ticket,
            "set_up": set_up,
            "expires_in_s": int(rules.TICKET_LIFE.total_seconds()),
        },
    )


def _held_ticket(session: Session, hashed: bytes, now: datetime) -> factor_store.Ticket:
    held = factor_store.locked_ticket(session, hashed)
    if held is None or now >= held.expires_at or held.failures >= rules.TICKET_FAILURES_MOST:
        raise CodeRefused("That took too long, or too many codes were wrong.", remedy="Sign in again.")
    if store.operator_by_id(session, held.operator_id).disabled:
        raise CodeRefused("Name or password is wrong.")
    return held
