"""The agent's ports in memory: Spool, Broker with a server, Sensor, Runner. Same contracts, no I/O."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

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
from edge_agent.core.spool_policy import Shed, joined
from edge_agent.core.window import AckMark
from edge_agent.errors import LinkError, LinkLost, ModelRefused, SpoolFull
from edge_agent.ports import BrokerEvents, ModelShape, Rescue, Session
from firmware_bridge.errors import SensorError, SensorGone
from firmware_bridge.kinds import SPECS, KindSpec, SensorKind
from firmware_bridge.ports import Reading
from wire_contract.classes import NEVER_DROP, Class
from wire_contract.envelope import decode, encode
from wire_contract.messages import Message, Tombstone, TombstoneReason

LEASE = 256
DeclarationOf = Callable[[Unit, int], bytes]


class MemorySpool:
    """See `edge_agent.ports.Spool`. `full` makes every write fail; `age_ms` grows when a test says so."""

    def __init__(self, declaration_of: DeclarationOf) -> None:
        self._declaration_of = declaration_of
        self.epoch = os.urandom(16)
        self.full = False
        self.age_ms = 0
        self.free_bytes = 1 << 40
        self._units: list[Unit] = []
        self._stamps: dict[int, Stamp] = {}
        self._rows: dict[int, Row] = {}
        self._clear_messages()
        self._session = 0

    def _clear_messages(self) -> None:
        self._messages: dict[tuple[Class, int], tuple[Stored, int, int, int, str]] = {}
        self._next = dict.fromkeys(Class, 1)
        self._leased = dict.fromkeys(Class, 0)
        self._counters = dict.fromkeys(Class, ClassCounters())
        self._given_up: dict[tuple[Class, TombstoneReason], GivenUp] = {}

    def _check(self) -> None:
        if self.full:
            raise SpoolFull("memory: told to be full")

    def units(self) -> tuple[Unit, ...]:
        return tuple(self._units)

    def stamps(self) -> Mapping[int, Stamp]:
        return {unit.key: self._stamps.get(unit.key, Stamp()) for unit in self._units}

    def declare(self, unit: Unit, declaration: bytes, now_ms: int) -> None:
        self._check()
        if unit not in self._units:
            self._units.append(unit)
        self._store(Class.REPLY, declaration, 0, 0, now_ms, now_ms, "declaration")

    def declarations_waiting(self) -> bool:
        return any(kind == "declaration" for *_, kind in self._messages.values())

    def last_row_id(self) -> int:
        return max(self._rows, default=0)

    def waiting(self, synced: bool, limit: int) -> list[Row]:
        return [row for _, row in sorted(self._rows.items()) if row.synced == synced][:limit]

    def commit(
        self,
        rows: Sequence[Row] = (),
        sealed: Sequence[Sealed] = (),
        amended: Mapping[int, int] | None = None,
        stamps: Mapping[int, Stamp] | None = None,
    ) -> None:
        self._check()
        self._rows |= {row.id: row for row in rows}
        for row_id, flags in (amended or {}).items():
            if row_id in self._rows:
                self._rows[row_id] = replace(self._rows[row_id], flags=flags)
        for batch in sealed:
            self._store(batch.cls, batch.payload, batch.samples, batch.readings, batch.from_ms, batch.to_ms)
            for row_id in batch.row_ids:
                self._rows.pop(row_id, None)
        self._stamps |= stamps or {}

    def drop_rows(
        self, ids: Iterable[int], cls: Class, reason: TombstoneReason, from_ms: int, to_ms: int
    ) -> None:
        gone = list(ids)
        self._check()
        for row_id in gone:
            self._rows.pop(row_id, None)
        self.put_tombstone(cls, reason, len(gone), from_ms, to_ms)

    def put(self, cls: Class, payload: bytes, now_ms: int) -> int:
        self._check()
        return self._store(cls, payload, 0, 0, now_ms, now_ms)

    def put_tombstone(
        self, cls: Class, reason: TombstoneReason, samples: int, from_ms: int, to_ms: int
    ) -> int:
        self._check()
        sequence = self._next[cls]
        payload = encode(Tombstone(sequence, sequence, reason, samples, from_ms, to_ms))
        count = self._counters[cls]
        self._counters[cls] = replace(count, shed_samples=count.shed_samples + samples)
        self._count_shed(cls, reason, 0, samples)
        return self._store(cls, payload, 0, 0, from_ms, to_ms, "tombstone")

    def _store(
        self,
        cls: Class,
        payload: bytes,
        samples: int,
        readings: int,
        from_ms: int,
        to_ms: int,
        kind: str = "data",
    ) -> int:
        sequence = self._next[cls]
        self._next[cls] += 1
        stored = Stored(self.epoch, Head(cls, sequence, sequence), payload, samples, to_ms, self.age_ms)
        self._messages[cls, sequence] = (stored, readings, from_ms, to_ms, kind)
        count = self._counters[cls]
        self._counters[cls] = replace(
            count,
            messages=count.messages + 1,
            samples=count.samples + samples,
            readings=count.readings + readings,
            payload_bytes=count.payload_bytes + len(payload),
        )
        return sequence

    def heads(self, cls: Class, after: int, limit: int) -> list[Head]:
        found = sorted(sequence for each, sequence in self._messages if each is cls and sequence > after)
        return [self._messages[cls, sequence][0].head for sequence in found[:limit]]

    def load(self, cls: Class, sequence: int) -> Stored | None:
        found = self._messages.get((cls, sequence))
        return replace(found[0], age_ms=self.age_ms - found[0].age_ms) if found else None

    def will_publish(self, cls: Class, sequence: int) -> None:
        if sequence > self._leased[cls]:
            self._check()
            self._leased[cls] = sequence + LEASE

    def acknowledge(self, marks: Mapping[Class, AckMark]) -> None:
        self._check()
        for cls, mark in marks.items():
            for key in [key for key in self._messages if key[0] is cls]:
                stored = self._messages[key][0]
                if mark.covers(stored.head.sequence, stored.head.last):
                    del self._messages[key]
                    count = self._counters[cls]
                    self._counters[cls] = replace(
                        count,
                        acked_messages=count.acked_messages + 1,
                        acked_samples=count.acked_samples + stored.samples,
                    )

    def weights(self, limit: int) -> list[Weight]:
        keys = sorted(self._messages, key=lambda key: (-key[0], key[1]))
        found = []
        for cls, sequence in keys:
            stored, _, from_ms, to_ms, kind = self._messages[cls, sequence]
            if kind != "data" or cls in NEVER_DROP:
                continue
            maybe = sequence <= self._leased[cls]
            size = len(stored.payload)
            found.append(
                Weight(stored.head, size, stored.samples, from_ms, to_ms, self.age_ms - stored.age_ms, maybe)
            )
        by_class = {cls: [each for each in found if each.head.cls is cls][:limit] for cls in Class}
        return [each for cls in sorted(Class, reverse=True) for each in by_class[cls]]

    def shed(self, runs: Sequence[Shed]) -> None:
        for run in runs:
            gone = [key for key in self._messages if key[0] is run.cls and run.first <= key[1] <= run.last]
            for key in gone:
                del self._messages[key]
            count = self._counters[run.cls]
            self._counters[run.cls] = replace(
                count,
                shed_messages=count.shed_messages + len(gone),
                shed_samples=count.shed_samples + run.samples,
            )
            self._count_shed(run.cls, run.reason, len(gone), run.samples)
            whole = self._with_the_one_before(run)
            payload = encode(
                Tombstone(whole.first, whole.last, whole.reason, whole.samples, whole.from_ms, whole.to_ms)
            )
            stored = Stored(
                self.epoch, Head(whole.cls, whole.first, whole.last), payload, 0, whole.to_ms, self.age_ms
            )
            self._messages[whole.cls, whole.first] = (stored, 0, whole.from_ms, whole.to_ms, "tombstone")

    def _with_the_one_before(self, run: Shed) -> Shed:
        leased = self._leased[run.cls]
        for (cls, sequence), (stored, *_, kind) in list(self._messages.items()):
            if cls is not run.cls or kind != "tombstone" or stored.head.last + 1 != run.first:
                continue
            before = decode(stored.payload)
            assert isinstance(before, Tombstone)
            if before.reason is run.reason and sequence > leased and run.first > leased:
                del self._messages[cls, sequence]
                old = Shed(
                    cls, sequence, before.last, run.reason, before.samples, before.from_ms, before.to_ms
                )
                return joined(old, run)
        return run

    def _count_shed(self, cls: Class, reason: TombstoneReason, messages: int, samples: int) -> None:
        before = self._given_up.get((cls, reason), GivenUp(cls, reason.value, 0, 0))
        self._given_up[cls, reason] = replace(
            before, messages=before.messages + messages, samples=before.samples + samples
        )

    def given_up(self) -> tuple[GivenUp, ...]:
        return tuple(each for _, each in sorted(self._given_up.items()))

    def reclaim(self) -> None:
        """Memory has no file."""

    def bound(self, max_bytes: int) -> None:
        """Memory has no file."""

    def usage(self) -> Usage:
        used = sum(len(stored.payload) for stored, *_ in self._messages.values())
        return Usage(used, self.free_bytes, 1 << 30)

    def counters(self) -> dict[Class, ClassCounters]:
        found = {}
        for cls, count in self._counters.items():
            mine = [value for key, value in self._messages.items() if key[0] is cls]
            found[cls] = replace(
                count,
                waiting_messages=sum(kind != "tombstone" for *_, kind in mine),
                waiting_samples=sum(stored.samples for stored, *_ in mine),
            )
        return found

    def next_session(self, wall_ms: int) -> int:
        self._check()
        self._session = max(self._session + 1, wall_ms)
        return self._session

    def rescue(self, now_ms: int) -> Rescue:
        old, kept = self.epoch, [value for _, value in sorted(self._messages.items())]
        self.epoch = os.urandom(16)
        self._clear_messages()
        for unit in self._units:
            payload = self._declaration_of(unit, now_ms)
            self._store(Class.REPLY, payload, 0, 0, now_ms, now_ms, "declaration")
        data = [value for value in kept if value[4] == "data"]
        for stored, readings, from_ms, to_ms, _ in data:
            cls = stored.head.cls
            self._store(cls, stored.payload, stored.samples, readings, from_ms, to_ms)
        self.put_tombstone(Class.HISTORY, TombstoneReason.SPOOL_CORRUPT, 0, now_ms, now_ms)
        samples = sum(stored.samples for stored, *_ in data) + len(self._rows)
        return Rescue("memory", len(data), samples, old, self.epoch)

    def close(self) -> None:
        """Nothing to close."""


class MemoryBroker:
    """See `edge_agent.ports.Broker`. `refusal`: raised by the next connects. `server` hears publishes."""

    def __init__(self, server: Callable[[str, bytes, Sequence[tuple[str, str]]], None]) -> None:
        self.refusal: LinkError | None = None
        self.retained: dict[str, bytes] = {}
        self._server = server
        self._events: BrokerEvents | None = None
        self._session = Session("", b"", "")

    def connect(self, session: Session, events: BrokerEvents) -> None:
        if self.refusal is not None:
            raise self.refusal
        self._session, self._events = session, events

    def subscribe(self) -> None:
        if self._events is None:
            raise LinkLost("not connected")
        self._events.subscribed()

    def publish(
        self, topic: str, payload: bytes, properties: Sequence[tuple[str, str]] = (), retain: bool = False
    ) -> None:
        if self._events is None:
            raise LinkLost("not connected")
        if retain:
            self.retained[topic] = payload
        self._server(topic, payload, properties)

    def disconnect(self, timeout_s: float = 0.0) -> None:
        self._events = None

    def cut(self) -> None:
        """The line drops: the will speaks, the agent is told."""
        events, self._events = self._events, None
        self.retained[self._session.will_topic] = self._session.will_payload
        if events is not None:
            events.lost("cut by the test")

    def say(self, topic: str, message: Message) -> None:
        """The server says something to the device."""
        if self._events is not None:
            self._events.received(topic, encode(message), lambda: None)


class ScriptedSensor:
    """A Sensor that gives what it is told: values, or an error to raise. Repeats the last for ever."""

    def __init__(self, kind: SensorKind, *script: tuple[int | None, ...] | SensorError) -> None:
        self.spec: KindSpec = SPECS[kind]
        self.script = list(script)
        self.serial: str | None = None
        self.opened = self.slept = self.woken = self.reads = 0
        self.absent: SensorError | None = None

    def open(self) -> None:
        if self.absent is not None:
            raise self.absent
        self.opened += 1

    def read(self, timeout_s: float) -> Reading:
        self.reads += 1
        now = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(now, SensorError):
            raise now
        if self.absent is not None:
            raise SensorGone("memory", "unplugged by the test")
        return Reading(self.spec.kind, now, self.serial, ())

    def wake(self) -> None:
        self.woken += 1

    def sleep(self) -> None:
        self.slept += 1

    def identity(self, timeout_s: float) -> str | None:
        return self.serial

    def close(self) -> None:
        """Nothing to close."""


class FakeRunner:
    """A Runner without a runtime. Its model is a few words; `answer` is what it says of every window, by
    default a fair coin for each output."""

    name = "litert"
    _HEAD = "fake model"

    def __init__(self, answer: tuple[float, ...] | None = None) -> None:
        self.answer = answer
        self.scored = 0
        self.closed = False
        self._shape: ModelShape | None = None

    @classmethod
    def model(cls, shape: ModelShape) -> bytes:
        return f"{cls._HEAD} {shape.steps} {shape.channels} {shape.outputs} end".encode()

    def load(self, model: bytes, shape: ModelShape) -> None:
        if model != self.model(shape):
            raise ModelRefused("the fake does not take the model")
        self._shape = shape

    def score(self, window: array[float]) -> tuple[float, ...]:
        shape = self._shape
        if shape is None or len(window) != shape.steps * shape.channels:
            raise ModelRefused("the fake failed: a window of another length")
        self.scored += 1
        return (0.5,) * shape.outputs if self.answer is None else self.answer

    def version(self) -> str:
        return "fake"

    def close(self) -> None:
        self.closed = True
