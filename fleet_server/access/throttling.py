"""Attempts to sign in, counted in the database so that several processes count together.

Passwords per name and address, codes of second factors per account, wherever they come from (whoever guesses
those has the password already), and both per address whatever the name. Counted before anything is looked
at, so that guesses sent together count one by one.
"""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session

from fleet_server.access import rules, store
from fleet_server.access.errors import TooManyAttempts


def count_attempt(session: Session, name: str, address: str, now: datetime) -> None:
    """Raises TooManyAttempts, with nothing counted."""
    _count(session, name, address, now)
    _count_together(session, address, now)


def _count(session: Session, name: str, address: str, now: datetime) -> None:
    attempts = store.locked_attempts(session, name, address, now)
    _refuse(rules.retry_after_s(attempts.failures, attempts.last_at, now))
    store.set_attempts(session, name, address, store.Attempts(attempts.failures + 1, now))


def _count_together(session: Session, address: str, now: datetime) -> None:
    if not address:  # nobody knows from where: counted by name alone
        return
    together = store.locked_attempts(session, rules.EVERYBODY, address, now)
    failures, since = rules.leaked(together.failures, together.last_at, now)
    _refuse(rules.address_wait_s(failures, since, now))
    store.set_attempts(session, rules.EVERYBODY, address, store.Attempts(failures + 1, since))


def codes_of(name: str) -> str:
    """What an account's codes are counted under; no account has such a name."""
    return f"{name}#code"


def count_code(session: Session, name: str, address: str, now: datetime) -> None:
    """Raises TooManyAttempts, with nothing counted."""
    _count(session, codes_of(name), "", now)
    _count_together(session, address, now)


def right_code(session: Session, name: str, address: str) -> None:
    store.forget_attempts(session, codes_of(name), "")
    store.forgive_one(session, rules.EVERYBODY, address)


def forget(session: Session, name: str, address: str) -> None:
    """Somebody is in: what they mistyped before is forgotten. The address keeps what others did."""
    store.forget_attempts(session, name, address)
    store.forgive_one(session, rules.EVERYBODY, address)


def _refuse(wait_s: float) -> None:
    if wait_s > 0:
        raise TooManyAttempts(
            "Too many failed attempts.",
            remedy=f"The next is looked at in {int(wait_s) + 1} s.",
            members={"retry_after_s": int(wait_s) + 1},
        )
