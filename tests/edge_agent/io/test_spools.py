"""One suite over every Spool adapter: SQLite and memory keep the same contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.core.declaring import declaration
from edge_agent.core.records import Row, Stamp, Unit, UnitIdentity
from edge_agent.core.sealing import form
from edge_agent.core.spool_policy import Caps, expired, to_free
from edge_agent.core.window import AckMark
from edge_agent.io.sqlite_spool import LEASE, SqliteSpool
from edge_agent.ports import Spool
from tests.support.fakes_edge import MemorySpool
from wire_contract.classes import NEVER_DROP, Class
from wire_contract.envelope import decode, encode
from wire_contract.flags import good_word
from wire_contract.messages import (
    CommandReply,
    SampleBatch,
    SensorDeclaration,
    Tombstone,
    TombstoneReason,
)

NOW_MS = 1_795_000_000_000
UNIT = Unit(1, UnitIdentity("sds011", "58D9", "arm"))
REPLY = encode(CommandReply("c1", True, "pong", NOW_MS))

STREET_S = [0.0]  # the monotonic street clock of the spools here

Reopen = Callable[[], Spool]


@pytest.fixture(params=["sqlite", "memory"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reopen]:
    """A function that gives the spool, closed and opened again where the adapter has a file."""
    kept: list[Spool] = []

    def again() -> Spool:
        if request.param == "memory":
            return kept[0] if kept else kept.append(MemorySpool(declaration)) or kept[0]  # type: ignore[func-returns-value]
        if kept:
            kept.pop().close()
        kept.append(SqliteSpool(tmp_path / "spool", declaration, street_s=lambda: STREET_S[0]))
        return kept[0]

    yield again
    for spool in kept:
        spool.close()


def row(number: int, synced: bool = True, boot: str = "b1") -> Row:
    time_ms = NOW_MS + number * 1000 if synced else 0
    return Row(number, 1, time_ms, (number, None), good_word([0]), boot, number * 1000, synced)


def seal(spool: Spool, cls: Class, rows: list[Row]) -> None:
    spool.commit(sealed=form(cls, rows))


def fill(spool: Spool, cls: Class, count: int, first: int = 1) -> None:
    for number in range(first, first + count):
        seal(spool, cls, [row(number)])


def pass_days(spool: Spool, days: float) -> None:
    """The spool is kept for so much longer, without anybody touching a civil clock."""
    if isinstance(spool, MemorySpool):
        spool.age_ms += int(days * 86_400_000)
    else:
        STREET_S[0] += days * 86_400


def test_samples_wait_until_they_are_sealed(reopen: Reopen) -> None:
    spool = reopen()
    spool.commit(rows=[row(1), row(2)], stamps={})
    spool = reopen()
    assert spool.waiting(True, 10) == [row(1), row(2)]
    sealed = form(Class.LIVE, [row(1), row(2), row(3)])
    spool.commit(sealed=sealed)
    spool = reopen()
    assert spool.waiting(True, 10) == []
    stored = spool.load(Class.LIVE, 1)
    assert stored is not None
    assert stored.payload == sealed[0].payload
    assert stored.samples == 3
    batch = decode(stored.payload)
    assert isinstance(batch, SampleBatch)
    assert batch.blocks[0].slots == (0,)
    assert list(batch.blocks[0].columns[0]) == [1, 2, 3]


def test_every_class_has_its_own_sequence_from_one(reopen: Reopen) -> None:
    spool = reopen()
    fill(spool, Class.LIVE, 2)
    fill(spool, Class.HISTORY, 3, first=10)
    spool = reopen()
    assert spool.put(Class.REPLY, REPLY, NOW_MS) == 1
    assert [head.sequence for head in spool.heads(Class.HISTORY, 0, 10)] == [1, 2, 3]
    assert [head.sequence for head in spool.heads(Class.HISTORY, 1, 1)] == [2]
    assert [head.sequence for head in spool.heads(Class.LIVE, 0, 10)] == [1, 2]


def test_the_bytes_of_a_sealed_batch_never_change(reopen: Reopen) -> None:
    spool = reopen()
    fill(spool, Class.LIVE, 1)
    before = spool.load(Class.LIVE, 1)
    spool.commit(rows=[row(9)], amended={1: 0})
    fill(spool, Class.LIVE, 1, first=20)
    assert reopen().load(Class.LIVE, 1) == before


def test_flags_of_a_waiting_sample_can_be_amended(reopen: Reopen) -> None:
    spool = reopen()
    spool.commit(rows=[row(1)])
    spool.commit(amended={1: 6})
    assert reopen().waiting(True, 1) == [replace(row(1), flags=6)]


def test_only_what_an_ack_covers_is_deleted(reopen: Reopen) -> None:
    spool = reopen()
    fill(spool, Class.LIVE, 6)
    fill(spool, Class.HISTORY, 1, first=50)
    spool.acknowledge({Class.LIVE: AckMark(2, ((4, 5),))})
    spool = reopen()
    assert [head.sequence for head in spool.heads(Class.LIVE, 0, 10)] == [3, 6]
    assert [head.sequence for head in spool.heads(Class.HISTORY, 0, 10)] == [1]
    count = spool.counters()[Class.LIVE]
    assert (count.messages, count.acked_messages, count.waiting_messages) == (6, 4, 2)
    assert (count.samples, count.acked_samples, count.waiting_samples) == (6, 4, 2)
    assert spool.put(Class.LIVE, REPLY, NOW_MS) == 7, "a sequence is never used twice"


def test_the_epoch_stays_and_sessions_grow(reopen: Reopen) -> None:
    spool = reopen()
    epoch, first = spool.epoch, spool.next_session(1000)
    spool = reopen()
    assert spool.epoch == epoch
    assert len(epoch) == 16
    assert spool.next_session(5) > first, "also when the clock went back"


def test_a_unit_is_declared_before_its_samples_and_remembered(reopen: Reopen) -> None:
    spool = reopen()
    assert not spool.declarations_waiting()
    spool.declare(UNIT, declaration(UNIT, NOW_MS), NOW_MS)
    spool.commit(rows=[row(1)], stamps={1: Stamp(77, 2)})
    spool = reopen()
    assert spool.units() == (UNIT,)
    assert spool.stamps() == {1: Stamp(77, 2)}
    assert spool.declarations_waiting()
    spool.acknowledge({Class.REPLY: AckMark(1)})
    assert not reopen().declarations_waiting()


def test_shedding_leaves_a_tombstone_that_grows_while_it_is_here(reopen: Reopen) -> None:
    spool = reopen()
    fill(spool, Class.HISTORY, 10)
    for _ in range(3):
        runs = to_free(spool.weights(2), 1 << 30)
        spool.shed(runs)
    spool = reopen()
    heads = spool.heads(Class.HISTORY, 0, 20)
    assert [(head.sequence, head.last) for head in heads] == [(1, 6), (7, 7), (8, 8), (9, 9), (10, 10)]
    stored = spool.load(Class.HISTORY, 1)
    assert stored is not None
    tombstone = decode(stored.payload)
    assert isinstance(tombstone, Tombstone)
    assert (tombstone.first, tombstone.last, tombstone.samples) == (1, 6, 6)
    assert tombstone.reason is TombstoneReason.SPOOL_FULL
    assert (tombstone.from_ms, tombstone.to_ms) == (row(1).time_ms, row(6).time_ms)
    count = spool.counters()[Class.HISTORY]
    assert (count.shed_messages, count.shed_samples, count.waiting_samples) == (6, 6, 4)


def test_what_may_have_left_gets_a_tombstone_of_its_own(reopen: Reopen) -> None:
    spool = reopen()
    fill(spool, Class.HISTORY, 4)
    spool.will_publish(Class.HISTORY, 1)  # leases the next LEASE sequences as well
    spool = reopen()
    spool.shed(to_free(spool.weights(10), 1 << 30))
    assert [(h.sequence, h.last) for h in spool.heads(Class.HISTORY, 0, 10)] == [(n, n) for n in range(1, 5)]
    assert LEASE > 4


def test_a_tombstone_goes_only_when_its_whole_range_is_acknowledged(reopen: Reopen) -> None:
    spool = reopen()
    fill(spool, Class.HISTORY, 3)
    spool.shed(to_free(spool.weights(3), 1 << 30))
    spool.acknowledge({Class.HISTORY: AckMark(1)})
    assert spool.heads(Class.HISTORY, 0, 5)
    spool.acknowledge({Class.HISTORY: AckMark(0, ((1, 3),))})
    assert not spool.heads(Class.HISTORY, 0, 5)


def test_never_drop_classes_and_tombstones_are_never_offered(reopen: Reopen) -> None:
    spool = reopen()
    for cls in Class:
        spool.put(cls, REPLY, NOW_MS)
    spool.put_tombstone(Class.HISTORY, TombstoneReason.CLOCK_NEVER_SET, 5, 1, 2)
    offered = [weight.head for weight in spool.weights(100)]
    assert [head.cls for head in offered] == [Class.DIAGNOSTIC, Class.HISTORY, Class.LIVE]
    assert not {head.cls for head in offered} & NEVER_DROP


def test_what_is_past_its_time_is_expired(reopen: Reopen) -> None:
    spool = reopen()
    caps = Caps(1 << 30, 0, 0, history_ttl_days=30, diagnostic_ttl_days=7)
    fill(spool, Class.HISTORY, 2)
    pass_days(spool, 2)
    fill(spool, Class.HISTORY, 1, first=3)
    pass_days(spool, 29)
    spool = reopen()
    runs = expired(spool.weights(10), caps)
    assert [(run.first, run.last, run.reason) for run in runs] == [(1, 2, TombstoneReason.EXPIRED)]


def test_rows_without_a_time_can_be_buried(reopen: Reopen) -> None:
    spool = reopen()
    spool.commit(rows=[row(1, synced=False), row(2, synced=False), row(3)])
    assert [each.id for each in spool.waiting(False, 10)] == [1, 2]
    spool.drop_rows([1, 2], Class.HISTORY, TombstoneReason.CLOCK_NEVER_SET, 5, NOW_MS)
    spool = reopen()
    assert spool.waiting(False, 10) == []
    assert spool.waiting(True, 10) == [row(3)]
    stored = spool.load(Class.HISTORY, 1)
    assert stored is not None
    buried = decode(stored.payload)
    assert isinstance(buried, Tombstone)
    assert (buried.samples, buried.from_ms, buried.to_ms) == (2, 5, NOW_MS)


def test_a_rescue_begins_a_new_epoch_with_its_units_declared(reopen: Reopen) -> None:
    spool = reopen()
    spool.declare(UNIT, declaration(UNIT, NOW_MS), NOW_MS)
    fill(spool, Class.LIVE, 3)
    spool.commit(rows=[row(9)])
    epoch = spool.epoch
    rescue = spool.rescue(NOW_MS)
    assert (rescue.old_epoch, rescue.new_epoch) == (epoch, spool.epoch)
    assert rescue.old_epoch != rescue.new_epoch
    assert (rescue.messages, rescue.samples) == (3, 4)
    assert [head.sequence for head in spool.heads(Class.LIVE, 0, 10)] == [1, 2, 3]
    assert spool.waiting(True, 10) == [row(9)]
    first = spool.load(Class.REPLY, 1)
    assert first is not None
    assert isinstance(decode(first.payload), SensorDeclaration)
    last = spool.load(Class.HISTORY, 1)
    assert last is not None
    told = decode(last.payload)
    assert isinstance(told, Tombstone)
    assert told.reason is TombstoneReason.SPOOL_CORRUPT


def test_what_is_given_up_is_counted_by_class_and_reason(reopen: Reopen) -> None:
    spool = reopen()
    assert spool.given_up() == ()
    fill(spool, Class.HISTORY, 3)
    spool.put(Class.DIAGNOSTIC, REPLY, NOW_MS)
    spool.shed(to_free(spool.weights(2), 1 << 30))
    pass_days(spool, 40)
    spool.shed(expired(spool.weights(10), Caps(1 << 30, 0, 0, history_ttl_days=30, diagnostic_ttl_days=7)))
    spool.commit(rows=[row(9, synced=False)])
    spool.drop_rows([9], Class.HISTORY, TombstoneReason.CLOCK_NEVER_SET, 0, NOW_MS)
    told = [(each.cls, each.reason, each.messages, each.samples) for each in reopen().given_up()]
    assert told == [
        (Class.HISTORY, "clock_never_set", 0, 1),
        (Class.HISTORY, "expired", 1, 1),
        (Class.HISTORY, "spool_full", 2, 2),
        (Class.DIAGNOSTIC, "spool_full", 1, 0),
    ]
