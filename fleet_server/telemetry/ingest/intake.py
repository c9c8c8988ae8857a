"""From an MQTT message to something the transaction can act on. Pure: decides what a message is, or why not.

Incoming ──classify──> Spooled   data of a class: has a ledger key, is acked after the commit
                       Told      said at once and not spooled: presence, ask, twin, certificate request
                       Refused   goes to the dead letters; acked where its ledger key could be read
                       None      says nothing (a retained presence that was cleared)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from wire_contract.classes import Class
from wire_contract.decode_group import decode_group, rows_in
from wire_contract.decode_numpy import NumpyBlock, decode_any
from wire_contract.envelope import Blocks, decode_body, open_body
from wire_contract.errors import BadProperties, UnknownTopic, WireError
from wire_contract.limits import MAX_BLOCKS, MAX_ROWS
from wire_contract.messages import (
    Ask,
    CertificateRequest,
    CommandReply,
    ConditionBatch,
    FilePiece,
    Message,
    Presence,
    SensorDeclaration,
    Tombstone,
    TwinReported,
    VerdictBatch,
)
from wire_contract.properties import Delivery
from wire_contract.topics import Address, Down, Up, channel_class, parse_topic

OLDEST_PLAUSIBLE_MS = 1_577_836_800_000  # 2020-01-01: before the first lamppost, so a clock that was not set
AHEAD_PLAUSIBLE_MS = 24 * 3600 * 1000  # a device in a wrong time zone, at most
MAX_TOMBSTONE_SEQUENCES = 10_000_000  # three years of batches at one in 10 s: beyond it a mistake
MAX_NAMED_BYTES = 2_500  # a row of the unique index on sensor units holds 2,704: kind, serial, site, layout

# Of samples, in a transaction: 0.2 s of work and 40 MB at most, whatever a lamppost can press into a message.
MAX_GROUP_ROWS = 40_000
FEWEST_AT_ONCE = 12  # blocks: decoding any number of them costs as much as decoding twelve one by one
MAX_KNOWN_TOPICS = 16_384  # a thousand lampposts' and all their channels, some MB

Content = list[NumpyBlock] | Message

_ALLOWED: dict[Class, tuple[type, ...]] = {
    Class.ALARM: (VerdictBatch, Tombstone),
    Class.REPLY: (SensorDeclaration, CommandReply, FilePiece, Tombstone),
    Class.LIVE: (list, Tombstone),
    Class.HISTORY: (list, Tombstone),
    Class.DIAGNOSTIC: (ConditionBatch, Tombstone),
}
_TOLD: dict[Up, type] = {
    Up.PRESENCE: Presence,
    Up.ASK: Ask,
    Up.TWIN: TwinReported,
    Up.CERTIFICATE: CertificateRequest,
}


@dataclass(frozen=True, slots=True)
class Incoming:
    """One MQTT message as it came. `mid` and `connection` say which PUBACK it waits for."""

    topic: str
    payload: bytes
    properties: tuple[tuple[str, str], ...] = ()
    mid: int = 0
    connection: int = 0


@dataclass(frozen=True, slots=True)
class Spooled:
    incoming: Incoming
    address: Address
    delivery: Delivery
    content: Content

    @property
    def samples(self) -> int:
        """Rows of samples it brings."""
        return sum(len(b.times_ms) for b in self.content) if isinstance(self.content, list) else 0


@dataclass(frozen=True, slots=True)
class Told:
    incoming: Incoming
    address: Address
    content: Presence | Ask | TwinReported | CertificateRequest


@dataclass(frozen=True, slots=True)
class Refused:
    """`reason` is stable and short. No `address`: nobody can be told. No `delivery`: nothing can be acked."""

    incoming: Incoming
    address: Address | None
    delivery: Delivery | None
    reason: str
    detail: str
    missing_unit: int | None = None  # the unit key whose declaration would make it right
    samples: int = 0  # rows that its ledger row counts and that are not stored


@dataclass(frozen=True, slots=True)
class Packed:
    """Samples that are not decoded yet: each block one byte string."""

    incoming: Incoming
    address: Address
    delivery: Delivery
    blocks: tuple[bytes, ...]

    @property
    def rows(self) -> int:
        """What they say they hold."""
        return sum(rows_in(block) for block in self.blocks)


Item = Spooled | Told | Refused
Opened = Item | Packed | None


def classify(incoming: Incoming, now_ms: int) -> Item | None:
    """What `incoming` is, for any bytes. `now_ms` is the street clock's."""
    return unpack([open_message(incoming, now_ms)], now_ms)[0]


def open_message(incoming: Incoming, now_ms: int) -> Opened:
    """All but what decoding samples tells, which is cheaper for many at once."""
    try:
        address, channel = _parse_topic(incoming.topic)
    except UnknownTopic as error:
        return Refused(incoming, None, None, error.code, str(error))
    if isinstance(channel, Down):
        return None
    cls = channel_class(channel)
    if cls is None:
        return _told(incoming, address, channel)
    try:
        delivery = Delivery.from_user_properties(incoming.properties, cls)
    except BadProperties as error:
        return Refused(incoming, address, None, error.code, str(error))
    if delivery.cls is not cls:
        detail = f"the properties say {delivery.cls.name}, the topic {cls.name}"
        return Refused(incoming, address, delivery, "class_mismatch", detail)
    try:
        content = decode_body(open_body(incoming.payload))
    except WireError as error:
        return Refused(incoming, address, delivery, error.code, str(error))
    if isinstance(content, Blocks):
        return Packed(incoming, address, delivery, content.blocks)
    return _spooled(incoming, address, delivery, content, now_ms)


def fitting(opened: Sequence[Opened]) -> int:
    """How many of the first messages one transaction should hold: one at least."""
    rows = 0
    for count, each in enumerate(opened):
        rows += each.rows if isinstance(each, Packed) else 0
        if rows > MAX_GROUP_ROWS and count:
            return count
    return len(opened)


def unpack(opened: Sequence[Opened], now_ms: int) -> list[Item | None]:
    """What each message is, in order."""
    packed = [each for each in opened if isinstance(each, Packed)]
    unpacked = iter(_unpacked(packed, now_ms))
    return [next(unpacked) if isinstance(each, Packed) else each for each in opened]


def _unpacked(packed: Sequence[Packed], now_ms: int) -> list[Item]:
    """All blocks at once; one by one where there is anything wrong with any, to find which."""
    every = [block for each in packed for block in each.blocks]
    worth_it = len(every) >= FEWEST_AT_ONCE and all(_usual(each) for each in packed)
    decoded = decode_group(every) if worth_it else None
    if decoded is None or not _plausible(decoded, now_ms):
        return [_alone(each, now_ms) for each in packed]
    found: list[Item] = []
    at = 0
    for each in packed:
        content = decoded[at : at + len(each.blocks)]
        at += len(each.blocks)
        found.append(_sound(each.incoming, each.address, each.delivery, content))
    return found


def _usual(packed: Packed) -> bool:
    return 1 <= len(packed.blocks) <= MAX_BLOCKS and packed.rows <= MAX_ROWS


def _plausible(blocks: Sequence[NumpyBlock], now_ms: int) -> bool:
    if not blocks:
        return True
    times = np.concatenate([block.times_ms for block in blocks])
    return int(times.min()) >= OLDEST_PLAUSIBLE_MS and int(times.max()) <= now_ms + AHEAD_PLAUSIBLE_MS


def _alone(packed: Packed, now_ms: int) -> Item:
    incoming, address, delivery = packed.incoming, packed.address, packed.delivery
    try:
        content = decode_any(incoming.payload)
    except WireError as error:
        return Refused(incoming, address, delivery, error.code, str(error))
    return _spooled(incoming, address, delivery, content, now_ms)


def _spooled(incoming: Incoming, address: Address, delivery: Delivery, content: Content, now_ms: int) -> Item:
    for time_ms in _times(content):
        if not OLDEST_PLAUSIBLE_MS <= time_ms <= now_ms + AHEAD_PLAUSIBLE_MS:
            detail = f"{time_ms} ms, while the street clock says {now_ms}"
            return Refused(incoming, address, delivery, "implausible_time", detail)
    return _sound(incoming, address, delivery, content)


def _sound(incoming: Incoming, address: Address, delivery: Delivery, content: Content) -> Item:
    """Times are checked already."""
    fault = _fault(content, delivery)
    if fault is not None:
        return Refused(incoming, address, delivery, *fault)
    return Spooled(incoming, address, delivery, content)


@lru_cache(MAX_KNOWN_TOPICS)
def _parse_topic(topic: str) -> tuple[Address, Up | Down]:
    return parse_topic(topic)


def refuse(incoming: Incoming, reason: str, detail: str) -> Refused:
    """For a message that nothing can be done with: only its place in the ledger is read, where it has one."""
    try:
        address, channel = parse_topic(incoming.topic)
    except UnknownTopic:
        return Refused(incoming, None, None, reason, detail)
    delivery = None
    cls = channel_class(channel) if isinstance(channel, Up) else None
    if cls is not None:
        with suppress(BadProperties):
            delivery = Delivery.from_user_properties(incoming.properties, cls)
    return Refused(incoming, address, delivery, reason, detail)


def _told(incoming: Incoming, address: Address, channel: Up) -> Item | None:
    if not incoming.payload:
        return None
    try:
        content = decode_any(incoming.payload)
    except WireError as error:
        return Refused(incoming, address, None, error.code, str(error))
    if not isinstance(content, Presence | Ask | TwinReported | CertificateRequest) or not isinstance(
        content, _TOLD[channel]
    ):
        detail = f"{_name(content)} on the channel {channel}"
        return Refused(incoming, address, None, "wrong_kind", detail)
    return Told(incoming, address, content)


def _fault(content: Content, delivery: Delivery) -> tuple[str, str] | None:
    """Reason and detail of what is wrong between a message and its delivery, or None."""
    if not isinstance(content, _ALLOWED[delivery.cls]):
        return "wrong_kind", f"{_name(content)} in the class {delivery.cls.name}"
    if isinstance(content, Tombstone):
        if content.first != delivery.sequence:
            return "tombstone_range", f"from {content.first}, delivered as {delivery.sequence}"
        if content.last - content.first >= MAX_TOMBSTONE_SEQUENCES:
            return "tombstone_range", f"{content.last - content.first + 1} sequences"
    if isinstance(content, SensorDeclaration):
        named = (content.kind, content.serial, content.site, layout_of(content))
        if (size := sum(len(each.encode()) for each in named)) > MAX_NAMED_BYTES:
            return "declaration_too_large", f"{size} bytes of kind, serial, site and layout"
    return None


def _times(content: Content) -> Iterable[int]:
    """The instants that must be plausible: what is measured or concluded, not what is told of the device."""
    if isinstance(content, list):
        for block in content:
            yield int(block.times_ms.min())
            yield int(block.times_ms.max())
    elif isinstance(content, VerdictBatch):
        for verdict in content.verdicts:
            yield verdict.time_ms


def layout_of(declaration: SensorDeclaration) -> str:
    """The declared slots as canonical JSON: equal layouts are equal text."""
    slots = [[slot.channel, slot.unit, slot.exponent] for slot in declaration.slots]
    return json.dumps(slots, separators=(",", ":"), ensure_ascii=False)


def _name(content: Content) -> str:
    return "SampleBatch" if isinstance(content, list) else type(content).__name__
