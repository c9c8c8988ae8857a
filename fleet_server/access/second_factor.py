"""The second factor of local accounts: set up, confirmed, asked for, taken away.

The secret lies sealed in the database (`sealing.py`), recovery codes as hashes. A change of factor ends every
other session of the account, and the one that made it goes on under a new token.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from sqlmodel import Session

from fleet_server.access import factor_store, sealing, sessions, throttling, totp
from fleet_server.access.errors import CodeRefused, SignInRefused
from fleet_server.access.passwords import room, verify_password
from fleet_server.access.rules import Action, Principal
from fleet_server.access.store import Operator, credential
from fleet_server.audit.recording import record
from fleet_server.context import Context
from fleet_server.errors import Conflict
from fleet_server.masking import initials

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SetUp:
    """What an authenticator is told, once: by hand (`secret`, base 32), as an address, as a QR code (SVG)."""

    secret: str = field(repr=False)
    address: str = field(repr=False)
    picture: str = field(repr=False)


@dataclass(frozen=True)
class Changed:
    """token: the session's new one. recovery_codes: new ones, told this once."""

    token: str = field(repr=False)
    recovery_codes: tuple[str, ...] = field(default=(), repr=False)


def must_have_one(ctx: Context, operator: Operator) -> bool:
    """Does a role need it that the account has in any tenant? Its sessions may change over to that one."""
    given = {role for each in operator.grants for role in each.roles}
    return not given.isdisjoint(ctx.config.sign_in.second_factor_roles)


def prepare(ctx: Context, session: Session, operator: Operator, now: datetime) -> SetUp:
    """A new secret, good once a code of it was shown. Raises Conflict where one is in use."""
    secret = secrets.token_bytes(totp.SECRET_BYTES)
    key = sealing.load_or_make(ctx.config.sign_in.key_file)
    if not factor_store.put(session, operator.id, sealing.seal(key, secret, _whose(operator)), now):
        raise Conflict("A second factor is set up already.", remedy="Take it away first.")
    address = totp.address(secret, operator.name, ctx.config.tenant.name)
    return SetUp(totp.base32(secret), address, totp.picture(address))


def right_code(ctx: Context, session: Session, operator: Operator, code: str, now: datetime) -> bool:
    """Is it the confirmed factor's code, or a recovery code, and not used before? It is used up by this."""
    found = factor_store.locked(session, operator.id)
    if found is None or not found.confirmed:
        return False
    step = totp.matching_step(_secret(ctx, operator, found), code, now, found.last_step)
    if step is not None:
        factor_store.use_step(session, operator.id, step)
        return True
    recovery = totp.recovery_hash(code)
    if recovery is None or not factor_store.use_code(session, operator.id, recovery, now):
        return False
    log.warning("a recovery code of %s was used", initials(operator.name))
    return True


def confirm(
    ctx: Context, session: Session, operator: Operator, code: str, now: datetime
) -> tuple[str, ...] | None:
    """The first code of a factor that was prepared: recovery codes; None where it is wrong or nothing
    waits."""
    found = factor_store.locked(session, operator.id)
    if found is None or found.confirmed:
        return None
    step = totp.matching_step(_secret(ctx, operator, found), code, now, found.last_step)
    if step is None:
        return None
    factor_store.confirm(session, operator.id, step, now)
    return _new_codes(session, operator)


def set_up(ctx: Context, principal: Principal, password: str, now: datetime | None = None) -> SetUp:
    """Begin to set up one's own. The password is asked again: a browser left open is not enough.

    Raises Forbidden, SignInRefused, TooManyAttempts, SignInBusy, Conflict.
    """
    instant = sessions.real(now)
    with room():
        operator = _with_password(ctx, principal, password, instant)
    with ctx.db.session() as session:
        return prepare(ctx, session, operator, instant)


def confirm_own(
    ctx: Context, principal: Principal, token: str, code: str, now: datetime | None = None
) -> Changed:
    """Show the first code. Raises Forbidden, CodeRefused, TooManyAttempts."""
    sessions.person(principal)
    instant = sessions.real(now)
    with ctx.db.session() as session:
        throttling.count_code(session, principal.name, "", instant)
    with ctx.db.session() as session:
        operator = sessions.account(session, principal, lock=True)
        codes = confirm(ctx, session, operator, code, instant)
        if codes is None:
            raise CodeRefused("The code is wrong, or no second factor is being set up.")
        throttling.right_code(session, operator.name, "")
        record(session, principal, Action.SESSION_CHANGE, operator.name, after={"second_factor": True})
        return Changed(sessions.rotate(session, operator.id, token), codes)


@contextmanager
def _by_code(
    ctx: Context, principal: Principal, code: str, instant: datetime
) -> Iterator[tuple[Session, Operator]]:
    """A transaction on the own account, which a code of its second factor opened; every guess is counted.

    Raises CodeRefused, TooManyAttempts.
    """
    with ctx.db.session() as session:
        throttling.count_code(session, principal.name, "", instant)
    with ctx.db.session() as session:
        operator = sessions.account(session, principal, lock=True)
        if not right_code(ctx, session, operator, code, instant):
            raise CodeRefused("The code is wrong or was used before.")
        throttling.right_code(session, operator.name, "")
        yield session, operator


def remove_own(
    ctx: Context, principal: Principal, token: str, code: str, now: datetime | None = None
) -> Changed:
    """Take one's own away, by a code of it. Raises Forbidden, CodeRefused, Conflict, TooManyAttempts."""
    sessions.person(principal)
    instant = sessions.real(now)
    with ctx.db.session() as session:
        if must_have_one(ctx, sessions.account(session, principal)):
            raise Conflict("A role of yours needs a second factor here.")
    with _by_code(ctx, principal, code, instant) as (session, operator):
        factor_store.remove(session, operator.id)
        record(session, principal, Action.SESSION_CHANGE, operator.name, after={"second_factor": False})
        return Changed(sessions.rotate(session, operator.id, token))


def new_recovery_codes(
    ctx: Context, principal: Principal, token: str, code: str, now: datetime | None = None
) -> Changed:
    """Ten new ones in place of the old. Raises Forbidden, CodeRefused, TooManyAttempts."""
    sessions.person(principal)
    instant = sessions.real(now)
    with _by_code(ctx, principal, code, instant) as (session, operator):
        codes = _new_codes(session, operator)
        record(session, principal, Action.SESSION_CHANGE, operator.name, after={"recovery_codes": len(codes)})
        return Changed(sessions.rotate(session, operator.id, token), codes)


def _with_password(ctx: Context, principal: Principal, password: str, now: datetime) -> Operator:
    """The own account, once its password was right. Raises Forbidden, SignInRefused, TooManyAttempts."""
    sessions.person(principal)
    with ctx.db.session() as session:  # somebody who is in guesses as slowly as at the door
        throttling.count_attempt(session, principal.name, "", now)
    with ctx.db.session() as session:
        found = credential(session, principal.name)
    if found is None or found.password_hash is None:
        raise Conflict("This account signs in elsewhere: its second factor is the provider's.")
    right, _ = verify_password(password, found.password_hash)
    if not right:
        raise SignInRefused("The password is wrong.")
    with ctx.db.session() as session:
        throttling.forget(session, principal.name, "")
    return found.operator


def own_password_right(ctx: Context, principal: Principal, password: str, now: datetime) -> Operator:
    """As `_with_password`, in its place of the queue; for a change of the password itself."""
    with room():
        return _with_password(ctx, principal, password, now)


def _secret(ctx: Context, operator: Operator, factor: factor_store.Factor) -> bytes:
    return sealing.unseal(sealing.load_or_make(ctx.config.sign_in.key_file), factor.sealed, _whose(operator))


def _new_codes(session: Session, operator: Operator) -> tuple[str, ...]:
    codes = tuple(
        totp.recovery_code(secrets.token_bytes(totp.RECOVERY_BYTES)) for _ in range(totp.RECOVERY_CODES)
    )
    hashes = [hashed for code in codes if (hashed := totp.recovery_hash(code)) is not None]
    factor_store.put_codes(session, operator.id, hashes)
    return codes


def _whose(operator: Operator) -> str:
    return f"operator {operator.id}"
