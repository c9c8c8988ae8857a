"""What the agent needs of the world: one Protocol a need, one adapter a technology (`edge_agent/io`)."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge_agent.core.records import (
    ClassCounters,
    GivenUp,
    Head,
    Row,
    Sealed,
    Stamp,
    Stored,
    Unit,
    Usage,
    Weight,
)
from edge_agent.core.spool_policy import Shed
from edge_agent.core.window import AckMark
from firmware_bridge.ports import Sensor
from models.features.manifest import Manifest
from wire_contract.classes import Class
from wire_contract.messages import TombstoneReason

__all__ = [
    "Broker",
    "BrokerEvents",
    "Clock",
    "Enroller",
    "Model",
    "ModelShape",
    "Plea",
    "Rescue",
    "Runner",
    "Sensor",
    "Session",
    "Spool",
]


class Clock(Protocol):
    """Two clocks: the street's (civil, may be scaled or wrong) and the wire's (real, monotonic)."""

    @property
    def speed(self) -> float:
        """Street seconds a real second."""

    def now_ms(self) -> int:
        """Street clock: civil milliseconds since 1970, whatever it believes, within the wire's times."""

    def street_s(self) -> float:
        """Street seconds since the boot: monotonic, never jumps."""

    def wire_s(self) -> float:
        """Wire clock: monotonic seconds."""

    def boot(self) -> str:
        """An id of this boot: `street_s` of two boots cannot be compared."""


@dataclass(frozen=True)
class Rescue:
    """What became of a corrupt spool: where it was put, what was read of it, which epochs."""

    kept_at: str
    messages: int
    samples: int
    old_epoch: bytes
    new_epoch: bytes


class Spool(Protocol):
    """Everything that must survive a power cut. What a method wrote is on the disk when it returns.

    Every method raises SpoolFull when it cannot write, SpoolCorrupt when the file is damaged (then `rescue`).
    Methods may be called from any thread.
    """

    @property
    def epoch(self) -> bytes: ...

    def units(self) -> tuple[Unit, ...]: ...

    def stamps(self) -> Mapping[int, Stamp]:
        """The latest stamp of each unit key."""

    def declare(self, unit: Unit, declaration: bytes, now_ms: int) -> None:
        """Remember a unit, or declare a known one again, and spool its declaration, in one transaction."""

    def last_row_id(self) -> int:
        """The largest id of a waiting sample, 0 when none waits."""

    def waiting(self, synced: bool, limit: int) -> list[Row]:
        """Samples committed and not yet sealed, oldest first: those with a time, or those without."""

    def commit(
        self,
        rows: Sequence[Row] = (),
        sealed: Sequence[Sealed] = (),
        amended: Mapping[int, int] | None = None,
        stamps: Mapping[int, Stamp] | None = None,
    ) -> None:
        """One transaction: insert `rows` (or replace them, by id), store `sealed` batches and drop the rows
        they took, set the flags of `amended` rows, remember `stamps`."""

    def drop_rows(
        self, ids: Iterable[int], cls: Class, reason: TombstoneReason, from_ms: int, to_ms: int
    ) -> None:
        """Replace waiting rows by one tombstone: taken somewhen from `from_ms` to `to_ms`."""

    def put(self, cls: Class, payload: bytes, now_ms: int) -> int:
        """Spool one message. Returns its sequence."""

    def put_tombstone(
        self, cls: Class, reason: TombstoneReason, samples: int, from_ms: int, to_ms: int
    ) -> int:
        """Spool a tombstone for samples that never had a sequence. Returns its sequence."""

    def heads(self, cls: Class, after: int, limit: int) -> list[Head]:
        """The next messages of a class above `after`, in order."""

    def load(self, cls: Class, sequence: int) -> Stored | None: ...

    def declarations_waiting(self) -> bool:
        """True while a declaration is not acknowledged."""

    def will_publish(self, cls: Class, sequence: int) -> None:
        """Note, before it happens, that this message leaves the device."""

    def acknowledge(self, marks: Mapping[Class, AckMark]) -> None:
        """Delete what is covered."""

    def weights(self, limit: int) -> list[Weight]:
        """What may be shed: the oldest `limit` of each class, lowest class first, tombstones left out."""

    def shed(self, runs: Sequence[Shed]) -> None:
        """Replace each run by a tombstone (joined to an adjacent one that never left the device)."""

    def reclaim(self) -> None:
        """Give room that acks have freed back to the disk: a bounded step of it."""

    def bound(self, max_bytes: int) -> None:
        """From now on the store grows no further than a quarter above this."""

    def usage(self) -> Usage:
        """Raises SpoolCorrupt also when its file was deleted or replaced under it."""

    def counters(self) -> dict[Class, ClassCounters]: ...

    def given_up(self) -> tuple[GivenUp, ...]:
        """What was shed, by class and reason."""

    def next_session(self, wall_ms: int) -> int:
        """A number larger than every earlier one."""

    def rescue(self, now_ms: int) -> Rescue:
        """Set the damaged file aside; begin a new epoch with what could be read of it, its units declared."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class Session:
    """One connection to be made: the will speaks for it when it dies."""

    will_topic: str
    will_payload: bytes
    subscribe_filter: str


@dataclass(frozen=True)
class BrokerEvents:
    """Where a broker reports to; called on its own thread, must return at once.

    `received(topic, payload, handled)`: call `handled()` when the message needs no redelivery.
    `lost(detail)`: the connection ended. `publish_refused(detail)`: a publish was not allowed.
    """

    subscribed: Callable[[], None]
    received: Callable[[str, bytes, Callable[[], None]], None]
    lost: Callable[[str], None]
    publish_refused: Callable[[str], None]


class Broker(Protocol):
    """An MQTT 5 connection. One at a time; `connect` after `disconnect` is a new one, with nothing kept."""

    def connect(self, session: Session, events: BrokerEvents) -> None:
        """Blocks until the broker accepted us. Raises BrokerUnreachable, BrokerUntrusted, BrokerRefused,
        NotEnrolled."""

    def subscribe(self) -> None:
        """Subscribe to the session's filter; `subscribed` follows. Raises LinkLost."""

    def publish(
        self, topic: str, payload: bytes, properties: Sequence[tuple[str, str]] = (), retain: bool = False
    ) -> None:
        """Hand over at QoS 1. Raises LinkLost."""

    def disconnect(self, timeout_s: float = 0.0) -> None:
        """Close without the will; waits up to `timeout_s` for what was handed over. Idempotent."""


@dataclass(frozen=True)
class Plea:
    """A certificate request on its way to the server."""

    csr_der: bytes
    claim: str


class Enroller(Protocol):
    """EST (RFC 7030) towards the city's server."""

    def trust_bundle(self) -> str:
        """The city's authority certificates, PEM. Raises EnrolmentUnreachable."""

    def enrol(self, plea: Plea) -> str:
        """The certificate chain, PEM, leaf first. Raises EnrolmentPending, EnrolmentRefused,
        EnrolmentUnreachable."""


@dataclass(frozen=True)
class ModelShape:
    """float32 [1, steps, channels] in, float32 [1, outputs] out."""

    steps: int
    channels: int
    outputs: int


class Runner(Protocol):
    """A runtime with one model in it, on one thread. What it needs is imported by `load`, not before."""

    name: str

    def load(self, model: bytes, shape: ModelShape) -> None:
        """Raises RuntimeMissing where the runtime is not installed, ModelRefused where the bytes are no model
        of this shape."""

    def score(self, window: array[float]) -> tuple[float, ...]:
        """The outputs for one window of `steps` x `channels` floats (array code f), row by row. Raises
        ModelRefused when the runtime fails."""

    def version(self) -> str:
        """The runtime's name and version; only the name before `load`."""

    def close(self) -> None:
        """Forget the model. Idempotent."""


@dataclass(frozen=True)
class Model:
    """A model that passed every check, in a runtime that runs it."""

    manifest: Manifest
    runner: Runner

    @property
    def title(self) -> str:
        """`air_anomaly@1.0.0/litert`."""
        return f"{self.manifest.title}/{self.runner.name}"
