"""One group of messages, one transaction: ledger, samples, rollup, latest, what devices tell, dead letters.

Everything a message brings is committed together with its ledger row or not at all. Locks are taken in one
order (cursor, batch, sensor units, samples, rollup, latest, device), sorted within each, so that workers do
not wait in a ring; should they, PostgreSQL ends one of them and its group is tried again.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from psycopg import Connection, Cursor
from psycopg.errors import CheckViolation

from fleet_server.commands import answers
from fleet_server.devices import reported
from fleet_server.telemetry.ingest import catalogue, dead_letters, ledger
from fleet_server.telemetry.ingest.catalogue import SeriesCatalogue, UnitName
from fleet_server.telemetry.ingest.derived import store_derived
from fleet_server.telemetry.ingest.intake import Item, Refused, Spooled, Told, layout_of
from fleet_server.telemetry.ingest.ledger import Entry, Stream
from fleet_server.telemetry.ingest.rows import Piece, Rows, assemble
from fleet_server.telemetry.ingest.samples import store_rows
from fleet_server.telemetry.partitions import TABLES as PARTITIONED
from fleet_server.telemetry.partitions import months_of
from fleet_server.twin import hearing
from wire_contract.limits import INT32_MAX
from wire_contract.messages import (
    Ask,
    CertificateRequest,
    CommandReply,
    ConditionBatch,
    FilePiece,
    Presence,
    SensorDeclaration,
    Tombstone,
    TwinReported,
    VerdictBatch,
)
from wire_contract.topics import Address

CHANNEL = "lamppost_live"
MAX_NOTIFIED_IDS = 500  # pg_notify takes under 8,000 bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is to be done after the commit."""

    streams: dict[Stream, Address]  # to ack
    undeclared: frozenset[tuple[Address, int]]  # units that a device has to declare again
    requests: tuple[Told, ...]  # for certificates
    counts: Counter[str]


@dataclass(slots=True)
class Work:
    """A group on its way through one transaction."""

    connection: Connection[Any]
    cursor: Cursor[Any]
    series: SeriesCatalogue
    now: datetime
    devices: dict[Address, reported.KnownDevice] = field(default_factory=dict)
    streams: dict[Stream, Address] = field(default_factory=dict)
    undeclared: set[tuple[Address, int]] = field(default_factory=set)
    refused: list[Refused] = field(default_factory=list)
    touched: set[int] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    _stream_of: dict[int, Stream] = field(default_factory=dict)  # by id: items live as long as this

    def device_of(self, item: Item) -> reported.KnownDevice:
        assert item.address is not None
        return self.devices[item.address]

    def stream_of(self, item: Spooled | Refused) -> Stream:
        stream = self._stream_of.get(id(item))
        if stream is None:
            assert item.delivery is not None
            stream = Stream(self.device_of(item).id, item.delivery.epoch, int(item.delivery.cls))
            self._stream_of[id(item)] = stream
        return stream


def process(
    connection: Connection[Any], items: Sequence[Item], series: SeriesCatalogue, now: datetime, worker: str
) -> Outcome:
    """Store the group and commit. now: the street clock's. Where it raises, nothing is stored."""
    have_months(connection, items, series)
    for _ in PARTITIONED:
        try:
            return _process(connection, items, series, now, worker)
        except CheckViolation:  # retention removed a month that was there when this worker last looked
            series.months.clear()
            have_months(connection, items, series)
    return _process(connection, items, series, now, worker)


def have_months(connection: Connection[Any], items: Sequence[Item], series: SeriesCatalogue) -> None:
    """Have tables for the months of the samples in `items`. In a transaction of its own, unless in one."""
    spooled = (item.content for item in items if isinstance(item, Spooled))
    times = [block.times_ms for content in spooled if isinstance(content, list) for block in content]
    if times:
        every = np.concatenate(times)
        ends = np.array([every.min(), every.max()])
        series.months.ensure(connection, [ends if len(months_of(ends)) == 1 else every])


def _process(
    connection: Connection[Any], items: Sequence[Item], series: SeriesCatalogue, now: datetime, worker: str
) -> Outcome:
    with connection.transaction(), connection.cursor() as cursor:
        work = Work(connection, cursor, series, now)
        work.counts["messages"] = len(items)
        work.devices = reported.find_devices(cursor, (i.address for i in items if i.address is not None))
        store_new(work, claim_new(work, _admitted(work, items)))
        _bury(work)
        hear(work, [item for item in items if isinstance(item, Told)])
        _finish(work, worker)
    requests = tuple(
        item for item in items if isinstance(item, Told) and isinstance(item.content, CertificateRequest)
    )
    return Outcome(work.streams, frozenset(work.undeclared), requests, work.counts)


def _admitted(work: Work, items: Sequence[Item]) -> list[Spooled | Refused]:
    """The items with a place in the ledger. Those without go straight to the refused."""
    admitted: list[Spooled | Refused] = []
    for item in items:
        if isinstance(item, Told):
            continue
        if isinstance(item, Refused) and item.delivery is None:
            work.refused.append(item)
            continue
        device = work.device_of(item)
        if isinstance(item, Spooled) and not device.state.data_accepted:
            detail = f"the device is {device.state}"
            reason = dead_letters.DEVICE_NOT_ACTIVE
            item = Refused(item.incoming, item.address, item.delivery, reason, detail)
        admitted.append(item)
    return admitted


def claim_new(work: Work, items: Sequence[Spooled | Refused]) -> list[Spooled]:
    """Claim the ledger rows; returns what is new and sound. What is new and not sound joins the refused."""
    first: dict[tuple[Stream, int], Spooled | Refused] = {}
    ranges: list[Spooled] = []
    for item in items:
        assert item.address is not None
        assert item.delivery is not None
        stream = work.stream_of(item)
        work.streams[stream] = item.address
        if isinstance(item, Spooled) and isinstance(item.content, Tombstone):
            ranges.append(item)
        else:
            first.setdefault((stream, item.delivery.sequence), item)
    entries = [_entry(stream, item) for (stream, _), item in first.items()]
    fresh = ledger.claim(work.cursor, entries)
    work.counts["duplicates"] += len(items) - len(ranges) - len(fresh)
    work.counts["batches"] += len(fresh)
    new: list[Spooled] = ranges
    for name in sorted(fresh):
        item = first[name]
        if isinstance(item, Refused):
            work.refused.append(item)
        else:
            new.append(item)
    return new


def _entry(stream: Stream, item: Spooled | Refused) -> Entry:
    assert item.delivery is not None
    samples = item.samples if isinstance(item, Spooled) else 0
    return Entry(stream, item.delivery.sequence, item.delivery.sequence, samples, item.delivery.history)


def store_new(work: Work, new: Sequence[Spooled]) -> None:
    """Store what new messages bring. What turns out to be unsound joins `work.refused`."""
    samples: list[Spooled] = []
    verdicts: list[Spooled] = []
    for item in new:
        stream = work.stream_of(item)
        work.touched.add(stream.device_id)
        match item.content:
            case list():
                samples.append(item)
            case SensorDeclaration() as said:
                reported.declare(work.cursor, stream.device_id, stream.epoch, said, layout_of(said))
            case CommandReply() as said:
                if not answers.answered(work.cursor, stream.device_id, said, datetime.now(UTC)):
                    reported.reply(work.cursor, stream.device_id, said, work.now)
            case FilePiece() as said:
                taken = answers.piece(work.cursor, stream.device_id, said, datetime.now(UTC))
                work.counts["file_pieces" if taken else "file_pieces_nobody_asked_for"] += 1
            case ConditionBatch(conditions=told):
                reported.conditions(work.cursor, stream.device_id, told, work.now)
            case Tombstone() as said:
                _entomb(work, item, said)
            case VerdictBatch():
                verdicts.append(item)
            case _:
                raise TypeError(f"{type(item.content).__name__} is not spooled")
    units = _units(work, samples, verdicts)
    _store_samples(work, samples, units)
    _store_verdicts(work, verdicts, units)


def _units(work: Work, samples: Sequence[Spooled], verdicts: Sequence[Spooled]) -> dict[UnitName, int]:
    names = {name for item in (*samples, *verdicts) for name in _names(work, item)}
    units = catalogue.find_units(work.cursor, names)
    work.series.learn(work.cursor, units.values())
    return units


def _names(work: Work, item: Spooled) -> list[UnitName]:
    """The units that its blocks or verdicts speak of, in their order."""
    device_id, epoch, _ = work.stream_of(item)
    if isinstance(item.content, list):
        return [(device_id, epoch, block.unit) for block in item.content]
    assert isinstance(item.content, VerdictBatch)
    return [(device_id, epoch, verdict.unit) for verdict in item.content.verdicts]


def _declared(work: Work, item: Spooled, units: dict[UnitName, int]) -> list[int]:
    """The sensor unit of each block or verdict; none where the message is refused, whole.

    That is where it names a sensor unit or a slot that nobody declared.
    """
    found = []
    for name in _names(work, item):
        unit = units.get(name)
        if unit is None:
            _refuse_undeclared(work, item, name[2], f"unit {name[2]} is not declared in this epoch")
            return []
        found.append(unit)
    for unit, block in zip(found, item.content if isinstance(item.content, list) else (), strict=False):
        if not work.series.has(unit, block.slots):
            _refuse_undeclared(work, item, block.unit, f"unit {block.unit} fills slots {block.slots}")
            return []
    return found


def _refuse_undeclared(work: Work, item: Spooled, key: int, detail: str) -> None:
    work.undeclared.add((item.address, key))
    reason = dead_letters.UNKNOWN_SENSOR
    refused = Refused(item.incoming, item.address, item.delivery, reason, detail, key, item.samples)
    work.refused.append(refused)


def _store_samples(work: Work, items: Sequence[Spooled], units: dict[UnitName, int]) -> None:
    retention = work.series.retention
    pieces: list[Piece] = []
    for origin, item in enumerate(items):
        assert isinstance(item.content, list)
        declared = _declared(work, item, units)
        if declared:
            for unit, block in zip(declared, item.content, strict=True):
                pieces.append(Piece(origin, unit, block, retention[unit]))
    stored: list[Rows] = []
    taken: list[Rows] = []
    for rows in assemble(pieces):
        result = store_rows(work.connection, rows)
        stored.append(result.new)
        work.counts["samples"] += len(result.new)
        work.counts["readings"] += len(result.new) * len(rows.slots)
        work.counts["repeated_samples"] += result.repeated
        taken.append(result.taken)
    _refuse_taken(work, items, taken)
    store_derived(work.connection, stored)


def _refuse_taken(work: Work, items: Sequence[Spooled], many: Sequence[Rows]) -> None:
    """Another row is at the same sensor unit and instant: it stays, and the messages keep the other one."""
    instants: dict[int, list[str]] = defaultdict(list)
    for taken in many:
        work.counts["taken_samples"] += len(taken)
        for origin, unit, time_ms in zip(taken.origin, taken.unit, taken.time_ms, strict=True):
            instants[int(origin)].append(f"{unit}@{time_ms}")
    for origin, named in sorted(instants.items()):
        item = items[origin]
        detail = f"{len(named)} rows, sensor unit @ ms: {' '.join(named[:20])}"
        reason = dead_letters.INSTANT_TAKEN
        work.refused.append(
            Refused(item.incoming, item.address, item.delivery, reason, detail, samples=len(named))
        )


def _store_verdicts(work: Work, items: Sequence[Spooled], units: dict[UnitName, int]) -> None:
    rows = []
    for item in items:
        assert isinstance(item.content, VerdictBatch)
        device_id = work.stream_of(item).device_id
        declared = _declared(work, item, units)
        if declared:
            for unit, v in zip(declared, item.content.verdicts, strict=True):
                at = datetime.fromtimestamp(v.time_ms / 1000, UTC)
                said = (v.kind, v.score, v.confidence, v.reason, v.model, v.input_hash)
                rows.append((device_id, unit, at, *said, work.now, item.delivery.history))
    if rows:
        work.counts["verdicts"] += len(rows)
        work.cursor.executemany(
            "INSERT INTO verdict"
            " (device_id, sensor_unit, time, kind, score, confidence, reason, model, input_hash,"
            "  received_at, history)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            rows,
        )


def _entomb(work: Work, item: Spooled, said: Tombstone) -> None:
    """A range that was shed: accounted for as a whole, with its reason."""
    stream = work.stream_of(item)
    ledger.claim_range(work.cursor, Entry(stream, said.first, said.last))
    times = [datetime.fromtimestamp(ms / 1000, UTC) if ms else None for ms in (said.from_ms, said.to_ms)]
    work.cursor.execute(
        "INSERT INTO tombstone (device_id, epoch, class, first, last, reason, samples, begins, ends)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (
            stream.device_id,
            stream.epoch,
            stream.cls,
            said.first,
            said.last,
            said.reason,
            min(said.samples, INT32_MAX),
            *times,
        ),
    )
    work.counts["tombstones"] += work.cursor.rowcount


def _bury(work: Work) -> None:
    for item in work.refused:
        device_id = work.device_of(item).id if item.address is not None else None
        if item.delivery is not None and item.samples:
            stream = work.stream_of(item)
            work.cursor.execute(
                "UPDATE batch SET samples = samples - %s"
                " WHERE device_id = %s AND epoch = %s AND class = %s AND sequence = %s",
                (item.samples, stream.device_id, stream.epoch, stream.cls, item.delivery.sequence),
            )
        if dead_letters.bury(
            work.cursor, item.incoming, device_id, item.delivery, item.reason, item.detail, item.missing_unit
        ):
            work.counts[f"dead_letters.{item.reason}"] += 1


def hear(work: Work, items: Sequence[Told]) -> None:
    """What is said at once: presence and twin are written down, an ask widens what is acked."""
    for item in sorted(items, key=lambda item: work.device_of(item).id):
        device = work.device_of(item)
        match item.content:
            case Presence() as said:
                if reported.presence(work.cursor, device.id, said, work.now):
                    work.touched.add(device.id)
                    work.counts["presence"] += 1
                    if said.online:
                        hearing.connected(work.cursor, device.id)
                        answers.connected(work.cursor, device.id)
            case Ask(epoch=epoch, classes=classes):
                for cls in classes:
                    work.streams[Stream(device.id, epoch, cls)] = device.address
            case TwinReported() as said:
                hearing.hear(work.cursor, device.id, said, work.now)
                if reported.twin(work.cursor, device.id, said):
                    work.touched.add(device.id)
                    work.counts["twins"] += 1
            case CertificateRequest():
                pass  # the enrolment slice answers it, after the commit


def _finish(work: Work, worker: str) -> None:
    """Last seen, counters, and the word to whoever listens."""
    alive = {stream.device_id for stream in work.streams} | work.touched
    reported.seen(work.cursor, alive, work.now)
    counted = {name: value for name, value in sorted(work.counts.items()) if value}
    work.cursor.execute(
        "INSERT INTO ingest_counter AS c (worker, name, value)"
        " SELECT %s, * FROM unnest(%s::text[], %s::bigint[])"
        " ON CONFLICT (worker, name) DO UPDATE SET value = c.value + excluded.value",
        (worker, list(counted), list(counted.values())),
    )
    ids = sorted(work.touched)
    for start in range(0, len(ids), MAX_NOTIFIED_IDS):
        message = json.dumps({"devices": ids[start : start + MAX_NOTIFIED_IDS]})
        work.cursor.execute("SELECT pg_notify(%s, %s)", (CHANNEL, message))
