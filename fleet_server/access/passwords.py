"""Argon2id, bounded: a hash takes 64 MiB and tens of milliseconds, so few run at once, in threads."""

from __future__ import annotations

import secrets
from functools import cache
from threading import BoundedSemaphore

from pwdlib import PasswordHash

HASHES_AT_ONCE = 2  # 128 MiB at most, however many people sign in together
GENERATED_BYTES = 15  # 20 characters, 120 bits

_slots = BoundedSemaphore(HASHES_AT_ONCE)
_hasher = PasswordHash.recommended()  # Argon2id with RFC 9106's second recommended parameters


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
