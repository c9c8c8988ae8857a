"""Signed checkpoints, and the retention that they stand for: what the worker does with the log by itself."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlmodel import Session

from fleet_server.audit import keys, store
from fleet_server.audit.verifying import RETENTION, Checkpoint, Place, signed_bytes

log = logging.getLogger(__name__)

LINES_UNSIGNED_MOST = 1_000
UNSIGNED_LONGEST = timedelta(hours=1)  # what somebody with the database's password could still forge unseen
LINES_REMOVED_A_TICK = 10_000


def due(unsigned: int, oldest_unsigned: datetime | None, now: datetime) -> bool:
    """Is it time? `unsigned` lines since the newest checkpoint, the first of them of `oldest_unsigned`."""
    if not unsigned or oldest_unsigned is None:
        return False
    return unsigned >= LINES_UNSIGNED_MOST or now - oldest_unsigned >= UNSIGNED_LONGEST


def sign_when_due(session: Session, key: Ed25519PrivateKey, now: datetime) -> Checkpoint | None:
    """A checkpoint at the newest line, where one is due."""
    signed_to = store.newest_checkpoint(session)
    head = store.head(session)
    oldest = store.at_of(session, signed_to + 1)
    if not due(head.number - signed_to, oldest, now):
        return None
    return sign(session, key, head, now)


def sign(
    session: Session, key: Ed25519PrivateKey, place: Place, now: datetime, kind: str = "checkpoint"
) -> Checkpoint:
    """Sign for a line, and say so in the process's log: a second place that a forger would have to reach."""
    at = now.astimezone(UTC)
    signature = key.sign(signed_bytes(place.number, place.hash, at, kind))
    made = Checkpoint(place.number, place.hash, at, kind, keys.key_id(key.public_key()), signature)
    store.insert_checkpoint(session, made)
    log.info("audit %s at line %d: %s", kind, place.number, place.hash.hex())
    return made


def remove_old(session: Session, key: Ed25519PrivateKey, before: datetime, now: datetime) -> int:
    """Remove what is older than `before`, from the first line on; returns how many lines.

    The newest line stays. A signed checkpoint stands for those that go, in the same transaction.
    """
    place = store.last_before(session, before, LINES_REMOVED_A_TICK)
    if place is None:
        return 0
    sign(session, key, place, now, RETENTION)
    return store.remove_to(session, place.number)
