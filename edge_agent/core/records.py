"""The plain data that moves between the agent's core, its loops and its adapters."""

from __future__ import annotations

from dataclasses import dataclass

from wire_contract.classes import Class


@dataclass(frozen=True)
class UnitIdentity:
    """One physical sensor: what it is, its own serial ("" where it tells none), where on the post it sits."""

    kind: str
    serial: str
    site: str


@dataclass(frozen=True)
class Unit:
    """A unit and the small number it has within the spool's epoch."""

    key: int
    identity: UnitIdentity


@dataclass(frozen=True)
class Stamp:
    """The latest time given to a unit's samples, and the generation of the clock that gave it."""

    high_ms: int = 0
    generation: int = 0


@dataclass(frozen=True)
class Row:
    """One sample: a unit's slots at one instant.

    `values` are scaled integers by slot, None where the sensor gave nothing; `flags` is 16 x 4 bits.
    `synced` is False while the clock was not set: then `time_ms` means nothing yet, and `boot` with
    `mono_ms` (street milliseconds since that boot) say when it was.
    """

    id: int
    unit: int
    time_ms: int
    values: tuple[int | None, ...]
    flags: int
    boot: str
    mono_ms: int
    synced: bool = True

    @property
    def readings(self) -> int:
        return sum(value is not None for value in self.values)


@dataclass(frozen=True)
class Sealed:
    """A batch about to be stored: its bytes are final. `row_ids` are the samples it takes out of waiting."""

    cls: Class
    payload: bytes
    row_ids: tuple[int, ...]
    samples: int
    readings: int
    from_ms: int
    to_ms: int


@dataclass(frozen=True)
class Head:
    """What the link knows of a stored message. `last` is beyond `sequence` in a tombstone only."""

    cls: Class
    sequence: int
    last: int


@dataclass(frozen=True)
class Stored:
    """A message in the spool of this `epoch`. `to_ms`: the time of its newest sample. `age_ms`: for how long
    it has been kept (street-monotonic: no setting of the clock makes it older)."""

    epoch: bytes
    head: Head
    payload: bytes
    samples: int
    to_ms: int
    age_ms: int


@dataclass(frozen=True)
class Weight:
    """A stored message as the shedding policy sees it. `age_ms`: as in Stored. `maybe_published`: it may have
    left this device."""

    head: Head
    size_bytes: int
    samples: int
    from_ms: int
    to_ms: int
    age_ms: int
    maybe_published: bool


@dataclass(frozen=True)
class Lost:
    """Samples that memory could not hold while the disk refused: how many, and their times (0: unknown)."""

    samples: int = 0
    from_ms: int = 0
    to_ms: int = 0

    def more(self, time_ms: int) -> Lost:
        first = min(self.from_ms or time_ms, time_ms) if time_ms else self.from_ms
        return Lost(self.samples + 1, first, max(self.to_ms, time_ms))


@dataclass(frozen=True)
class Usage:
    """The disk, and what of it the spool uses. `used_bytes` counts pages in use, not the file's length;
    `spare_bytes` those that the file has beside them."""

    used_bytes: int
    free_bytes: int
    free_inodes: int
    spare_bytes: int = 0


@dataclass(frozen=True)
class ClassCounters:
    """Totals of one class since the epoch began; they survive restarts."""

    messages: int = 0
    samples: int = 0
    readings: int = 0
    payload_bytes: int = 0
    acked_messages: int = 0
    acked_samples: int = 0
    shed_messages: int = 0
    shed_samples: int = 0
    waiting_messages: int = 0
    waiting_samples: int = 0


@dataclass(frozen=True)
class GivenUp:
    """What policy gave up of a class for one reason (`wire_contract.messages.TombstoneReason`'s word), since
    the epoch began."""

    cls: Class
    reason: str
    messages: int
    samples: int
