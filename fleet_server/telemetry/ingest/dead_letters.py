"""Messages that could not be stored as data: kept with their bytes, one line each, until they can."""

from __future__ import annotations

import hashlib
from typing import Any

from psycopg import Cursor
from psycopg.types.json import Jsonb

from fleet_server.telemetry.ingest.intake import Incoming
from wire_contract.errors import InvalidName, WireError
from wire_contract.properties import Delivery

MAX_DETAIL_CHARACTERS = 1_000

# A device's later word, or an operator's, can make the first two right: the worker role tries them again.
UNKNOWN_SENSOR = "unknown_sensor"
DEVICE_NOT_ACTIVE = "device_not_active"
INSTANT_TAKEN = "instant_taken"
INTERNAL_ERROR = "internal_error"
# What a message is refused for by its place, its class and its times (intake).
REFUSALS = ("class_mismatch", "declaration_too_large", "implausible_time", "tombstone_range", "wrong_kind")
# A name that is none is a topic that is none: `parse_topic` says so.
REASONS = tuple(
    sorted(
        {
            UNKNOWN_SENSOR, DEVICE_NOT_ACTIVE, INSTANT_TAKEN, INTERNAL_ERROR,
            *REFUSALS, *(each.code for each in WireError.__subclasses__() if each is not InvalidName),
        }
    )
)  # fmt: skip


def content_hash(incoming: Incoming) -> bytes:
    """What names a message that has no readable ledger key."""
    digest = hashlib.sha256(incoming.topic.encode("utf-8", "replace"))
    for name, value in incoming.properties:
        digest.update(f"\0{name}\0{value}".encode("utf-8", "replace"))
    digest.update(b"\0\0" + incoming.payload)
    return digest.digest()


def bury(
    cursor: Cursor[Any],
    incoming: Incoming,
    device_id: int | None,
    delivery: Delivery | None,
    reason: str,
    detail: str,
    missing_unit: int | None = None,
) -> bool:
    """Write the message to the dead letters. False where one without a ledger key was there already.

    With a `delivery` the caller has claimed its ledger row in the same transaction, so it comes here once.
    """
    cursor.execute(
        "INSERT INTO dead_letter"
        " (device_id, topic, epoch, class, sequence, content_hash, payload, properties, reason, detail,"
        "  missing_unit)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (content_hash) WHERE sequence IS NULL DO NOTHING",
        (
            device_id,
            _text(incoming.topic),
            delivery.epoch if delivery else None,
            int(delivery.cls) if delivery else None,
            delivery.sequence if delivery else None,
            content_hash(incoming),
            incoming.payload,
            Jsonb([[_text(name), _text(value)] for name, value in incoming.properties]),
            reason,
            bounded(detail),
            missing_unit,
        ),
    )
    return cursor.rowcount == 1


def bounded(detail: str) -> str:
    """A detail as the table holds it."""
    return _text(detail)[:MAX_DETAIL_CHARACTERS]


def _text(value: str) -> str:
    """PostgreSQL's text holds neither NUL nor half a surrogate pair."""
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
