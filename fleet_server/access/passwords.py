"""Argon2id, bounded: a hash takes 64 MiB and tens of milliseconds, so few run at once, in threads."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import BoundedSemaphore

from pwdlib import PasswordHash

from fleet_server.access.errors import SignInBusy

WAITING_MOST = 8  # a second's worth of hashes; each holds a thread of the few that answer everybody else
BUSY_RETRY_S = 2
HASHES_AT_ONCE = 2  # 128 MiB at most, however many people sign in together
GENERATED_BYTES = 15  # 20 characters, 120 bits

_slots = BoundedSemaphore(HASHES_AT_ONCE)
_room = BoundedSemaphore(HASHES_AT_ONCE + WAITING_MOST)
_hasher = PasswordHash.recommended()  # Argon2id with RFC 9106's second recommended parameters


@contextmanager
def room() -> Iterator[None]:
    """A place in the queue for one sign-in. Raises SignInBusy at once where there is none."""
    if not _room.acquire(blocking=False):
        raise SignInBusy("Too many sign in at once.", members={"retry_after_s": BUSY_RETRY_S})
    try:
        yield
    finally:
        _room.release()


def hash_password(password: str) -> str:
    """A PHC string. Blocks for tens of milliseconds: call it in a thread."""
    with _slots:
        return _hasher.hash(password)


def verify_password(password: str, stored: str | None) -> tuple[bool, str | None]:
    """(right?, a new hash where the stored one's parameters are out of date).

    `stored` None stands for an unknown account: the same work is done, the answer is False.
    """
    with _slots:
        right, renewed = _hasher.verify_and_update(password, stored or _nobody())
    return (right, renewed) if stored is not None else (False, None)


def generated_password() -> str:
    return secrets.token_urlsafe(GENERATED_BYTES)


@cache
def _nobody() -> str:
    return _hasher.hash(secrets.token_urlsafe(GENERATED_BYTES))
