"""Every message that crosses the wire. Pure vocabulary: what a field may hold stands in its type.

A message is a MessagePack array: its tag, then its fields in order. Limits are checked when bytes are
decoded, not when a value is built, except where two fields must agree (`__post_init__`); `encode`
refuses what `decode` would. A newer program may add fields at the end: an older one ignores them.

SampleBatch and SampleBlock are the logical form; on the wire a block is one byte string (block_codec.py).
"""

from __future__ import annotations

import math
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Literal

from msgspec import Meta, Struct

from wire_contract import limits
from wire_contract.errors import MalformedMessage

# PostgreSQL's text holds every character but NUL; a device must not be able to stop a transaction.
_NO_NUL = r"^[^\x00]*$"
Name = Annotated[str, Meta(min_length=1, max_length=limits.MAX_NAME_CHARACTERS, pattern=_NO_NUL)]
OptionalName = Annotated[str, Meta(max_length=limits.MAX_NAME_CHARACTERS, pattern=_NO_NUL)]
Text = Annotated[str, Meta(max_length=limits.MAX_TEXT_CHARACTERS, pattern=_NO_NUL)]
Pem = Annotated[str, Meta(max_length=limits.MAX_PEM_CHARACTERS, pattern=_NO_NUL)]
TimeMs = Annotated[int, Meta(ge=limits.MIN_TIME_MS, le=limits.MAX_TIME_MS)]
UnitKey = Annotated[int, Meta(ge=0, le=limits.MAX_UNIT_KEY)]
Count = Annotated[int, Meta(ge=0, le=limits.MAX_SEQUENCE)]
Sequence = Annotated[int, Meta(ge=1, le=limits.MAX_SEQUENCE)]
ClassValue = Annotated[int, Meta(ge=0, le=4)]
Epoch = Annotated[bytes, Meta(min_length=limits.EPOCH_BYTES, max_length=limits.EPOCH_BYTES)]
Integer = Annotated[int, Meta(ge=-limits.MAX_EXACT_INTEGER, le=limits.MAX_EXACT_INTEGER)]
Setting = Text | Integer | float | bool | None
Settings = Annotated[dict[Name, Setting], Meta(max_length=limits.MAX_MAP_ITEMS)]
Texts = Annotated[dict[Name, Text], Meta(max_length=limits.MAX_MAP_ITEMS)]


class SlotDeclaration(Struct, frozen=True, array_like=True):
    """What one slot of a sensor unit holds: value in `unit` = integer * 10**exponent."""

    channel: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    unit: OptionalName
    exponent: Annotated[int, Meta(ge=-18, le=18)]


class SensorDeclaration(Struct, frozen=True, array_like=True, tag="D"):
    """Class REPLY: the key a device gives one of its sensor units, for the rest of the epoch.

    serial and site may be empty. slots[i] says what slot i holds.
    """

    unit: UnitKey
    kind: Name
    serial: OptionalName
    site: OptionalName
    slots: Annotated[tuple[SlotDeclaration, ...], Meta(min_length=1, max_length=limits.MAX_SLOTS)]
    time_ms: TimeMs

    def __post_init__(self) -> None:
        if len({slot.channel for slot in self.slots}) != len(self.slots):
            raise MalformedMessage("two slots of one sensor unit hold the same channel")


class SampleBlock(Struct, frozen=True, array_like=True):
    """Samples of one sensor unit that fill the same slots; rows with another set go into another block.

    n = len(times_ms) >= 1 rows. slots: strictly ascending, 0 to 15. times_ms: n, in any order.
    columns: one list of n int32 for each of `slots`, in its order. flags: n words (flags.py).
    """

    unit: UnitKey
    slots: tuple[int, ...]
    times_ms: list[int]
    columns: tuple[list[int], ...]
    flags: list[int]


class SampleBatch(Struct, frozen=True, array_like=True, tag="S"):
    """Classes LIVE and HISTORY. At least one block, at most MAX_ROWS rows in all."""

    blocks: tuple[SampleBlock, ...]


class Verdict(Struct, frozen=True, array_like=True):
    """What a model on the device decided.

    score: on the model's own scale; input_hash: SHA-256 of its input, or empty.
    """

    time_ms: TimeMs
    unit: UnitKey
    kind: Name
    score: float
    confidence: Annotated[float, Meta(ge=0.0, le=1.0)]
    reason: Text
    model: OptionalName
    input_hash: Annotated[bytes, Meta(max_length=limits.HASH_BYTES)]

    def __post_init__(self) -> None:
        if not (math.isfinite(self.score) and math.isfinite(self.confidence)):
            raise MalformedMessage("a verdict's score and confidence are finite")


class VerdictBatch(Struct, frozen=True, array_like=True, tag="V"):
    """Class ALARM."""

    verdicts: Annotated[tuple[Verdict, ...], Meta(min_length=1, max_length=limits.MAX_LIST_ITEMS)]


class TombstoneReason(StrEnum):
    SPOOL_FULL = "spool_full"
    EXPIRED = "expired"
    CLOCK_NEVER_SET = "clock_never_set"
    SPOOL_CORRUPT = "spool_corrupt"
    UNENCODABLE = "unencodable"


class Tombstone(Struct, frozen=True, array_like=True, tag="T"):
    """The sequences first to last of the class it travels in were shed: no data will ever come for them.

    It is delivered with sequence = first. samples: how many are lost, 0 when
    unknown; from_ms and to_ms: their times.
    """

    first: Sequence
    last: Sequence
    reason: TombstoneReason
    samples: Count
    from_ms: TimeMs
    to_ms: TimeMs

    def __post_init__(self) -> None:
        if self.first > self.last:
            raise MalformedMessage(f"tombstone from {self.first} to {self.last}")
        if self.from_ms > self.to_ms:
            raise MalformedMessage(f"tombstone from {self.from_ms} ms to {self.to_ms} ms")


class Condition(Struct, frozen=True, array_like=True):
    """A state worth a line on the dashboard. code: stable; subject: what it is about; remedy: what to do."""

    time_ms: TimeMs
    code: Name
    subject: OptionalName
    active: bool
    severity: Literal["info", "warning", "error"]
    detail: Text
    remedy: Text


class ConditionBatch(Struct, frozen=True, array_like=True, tag="C"):
    """Class DIAGNOSTIC: conditions as they are raised (active) and cleared."""

    conditions: Annotated[tuple[Condition, ...], Meta(min_length=1, max_length=limits.MAX_LIST_ITEMS)]


class CommandOutcome(StrEnum):
    """What a device says of a command."""

    NONE = ""  # of an agent that knew no outcomes: `ok` tells
    RECEIVED = "received"  # it begins, and says no more than that
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"  # it cannot, or may not, and never will
    EXPIRED = "expired"  # it came too late, and was not begun


class CommandReply(Struct, frozen=True, array_like=True, tag="R"):
    """Class REPLY: what came of the command with this id. result: more of it, a line for each sensor."""

    command: Name
    ok: bool
    detail: Text
    time_ms: TimeMs
    outcome: CommandOutcome = CommandOutcome.NONE
    result: Texts = {}


class FilePiece(Struct, frozen=True, array_like=True, tag="F"):
    """Class REPLY: a piece of the file that a command brings; they may come in any order.

    size, sha256: of the whole file. Every piece has FILE_PIECE_BYTES but the last, which has the rest.
    """

    command: Name
    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    index: Annotated[int, Meta(ge=0, lt=limits.MAX_FILE_PIECES)]
    size: Annotated[int, Meta(ge=1, le=limits.MAX_FILE_BYTES)]
    sha256: Annotated[bytes, Meta(min_length=limits.HASH_BYTES, max_length=limits.HASH_BYTES)]
    data: Annotated[bytes, Meta(min_length=1, max_length=limits.FILE_PIECE_BYTES)]

    def __post_init__(self) -> None:
        due = min(self.size - self.index * limits.FILE_PIECE_BYTES, limits.FILE_PIECE_BYTES)
        if len(self.data) != due:
            raise MalformedMessage(f"piece {self.index} of {self.size} bytes has {len(self.data)}, not {due}")


class Presence(Struct, frozen=True, array_like=True, tag="P"):
    """up/presence, retained; the birth, and with online = False the will.

    session grows with every connect: a will that comes later than a newer birth is ignored.
    """

    online: bool
    session: Count
    time_ms: TimeMs
    epoch: Epoch
    version: OptionalName
    clock_ok: bool
    conditions: Annotated[tuple[Condition, ...], Meta(max_length=limits.MAX_LIST_ITEMS)] = ()
    settings: Texts = {}
    backlog: Annotated[dict[Name, Count], Meta(max_length=limits.MAX_MAP_ITEMS)] = {}


class Ask(Struct, frozen=True, array_like=True, tag="A"):
    """up/ask, not spooled: how far has the server come in these classes of this epoch?"""

    epoch: Epoch
    classes: Annotated[tuple[ClassValue, ...], Meta(max_length=5)]


class Ack(Struct, frozen=True, array_like=True, tag="K"):
    """down/ack: what is committed. Sequences 1 to prefix, and each range (first, last), both inclusive.

    ranges: ascending, above the prefix, not touching each other or it.
    """

    epoch: Epoch
    cls: ClassValue
    prefix: Count
    ranges: Annotated[tuple[tuple[Sequence, Sequence], ...], Meta(max_length=limits.MAX_LIST_ITEMS)] = ()

    def __post_init__(self) -> None:
        for (_, before), (first, last) in pairwise(((0, self.prefix), *self.ranges)):
            if not before + 1 < first <= last:
                raise MalformedMessage(f"ack range {first} to {last} after {before}")


class CommandName(StrEnum):
    """Everything that a lamppost can be told to do: a closed set, and no shell."""

    DECLARE = "declare"  # its sensor units again
    PING = "ping"
    SENSORS = "sensors"  # read each once
    LOGS = "logs"  # its last lines; args: lines
    BUNDLE = "bundle"  # what support needs, as a file
    RESTART = "restart"  # the agent
    REBOOT = "reboot"  # the computer; only where its configuration allows it


class Command(Struct, frozen=True, array_like=True, tag="M"):
    """down/command: carried out at most once per id, and not begun after expires_ms.

    name: a CommandName. A device that does not know it says so, in place of dropping the message.
    """

    id: Name
    name: Name
    args: Texts
    expires_ms: TimeMs


class TwinDesired(Struct, frozen=True, array_like=True, tag="W"):
    """down/twin: version grows; patch: dotted key to value, None deletes; full: the whole desired state.

    base: the version that the patch makes this one of; None: the version before. A device that has another
    one says so (TwinReported) and is sent the whole.
    """

    version: Count
    patch: Settings
    full: bool
    base: Count | None = None

    def __post_init__(self) -> None:
        _finite(self.patch)


class SettingAck(Struct, frozen=True, array_like=True):
    """What a device did with one desired setting.

    value: as it was desired; None of a setting that is not known there. ac: 200 it holds, 202 it will at the
    next start, 400 not allowed, 404 no such setting there. av: the desired version acted on. ad: why, for
    people.
    """

    key: Name
    value: Setting
    ac: Annotated[int, Meta(ge=100, le=599)]
    av: Count
    ad: Text


class TwinReported(Struct, frozen=True, array_like=True, tag="X"):
    """up/twin: document: dotted key to value; acknowledged: the last desired version it takes in.

    acks: one for each desired setting; None of an agent that knows none. It is told at every connection: an
    older version asks for the newer.
    """

    version: Count
    acknowledged: Count
    document: Settings
    acks: Annotated[tuple[SettingAck, ...], Meta(max_length=limits.MAX_MAP_ITEMS)] | None = None

    def __post_init__(self) -> None:
        _finite(self.document)
        _finite({ack.key: ack.value for ack in self.acks or ()})


class CertificateRequest(Struct, frozen=True, array_like=True, tag="Q"):
    """up/certificate: renewal; PKCS#10 in DER."""

    csr_der: Annotated[bytes, Meta(min_length=1, max_length=limits.MAX_CSR_BYTES)]


class CertificateIssued(Struct, frozen=True, array_like=True, tag="I"):
    """down/certificate: the chain, or why it was refused; the other is empty."""

    chain_pem: Pem
    refused: Text


def _finite(settings: dict[str, str | int | float | bool | None]) -> None:
    """A setting that is not a number could never be compared, and JSON has no word for it."""
    for key, value in settings.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise MalformedMessage(f"{key!r:.80} = {value}: a setting is finite")


Message = (
    SensorDeclaration
    | SampleBatch
    | VerdictBatch
    | Tombstone
    | ConditionBatch
    | CommandReply
    | FilePiece
    | Presence
    | Ask
    | Ack
    | Command
    | TwinDesired
    | TwinReported
    | CertificateRequest
    | CertificateIssued
)
