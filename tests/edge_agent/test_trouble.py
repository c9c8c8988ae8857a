"""What goes wrong in the street: each trouble is one condition, and the agent goes on with what works."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.errors import SpoolFull
from edge_agent.io.clocks import ScaledClock
from firmware_bridge.errors import SensorAbsent, SensorFault, SensorGarbled, SensorGone
from firmware_bridge.kinds import SensorKind
from firmware_bridge.ports import Reading
from tests.edge_agent.making import (
    UNTIL_ACKED_S,
    counting,
    fast_clock,
    on_broker,
    running,
    wait_clear,
    wait_code,
    wait_empty,
)
from tests.support.acking_server import AckingServer
from tests.support.fakes_edge import ScriptedSensor
from tests.support.mosquitto import MosquittoBroker
from tests.support.waiting import wait_until
from wire_contract.classes import Class
from wire_contract.envelope import encode
from wire_contract.flags import Flag, unpack_flags
from wire_contract.messages import (
    CommandReply,
    Condition,
    ConditionBatch,
    SensorDeclaration,
    Tombstone,
    TombstoneReason,
)

SDS = SensorKind.SDS011


@pytest.fixture
def server(broker: MosquittoBroker) -> Iterator[AckingServer]:
    made = AckingServer.on(broker).start()
    yield made
    made.stop()


class SettableClock(ScaledClock):
    """The fast clock, whose civil time the test sets and resets."""

    def __init__(self, offset_ms: int) -> None:
        now_ms = time.time_ns() // 1_000_000
        super().__init__(20.0, now_ms, now_ms)
        self.offset_ms = offset_ms

    def now_ms(self) -> int:
        return super().now_ms() + self.offset_ms


def test_one_sensor_in_trouble_leaves_the_others_alone(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer
) -> None:
    absent = counting(SDS)
    absent.absent = SensorAbsent("/dev/test1", "there is no such port")
    well, garbled = counting(SDS), ScriptedSensor(SDS, SensorGarbled("/dev/test2", "noise"))
    with running(on_broker(tmp_path, broker, sensors=3), well, absent, garbled) as agent:
        wait_code(agent, "sensor_absent")
        wait_code(agent, "sensor_garbled")
        by_subject = {c.subject: c for c in agent.board.conditions()}
        assert by_subject["s1"].code == "sensor_absent"
        assert by_subject["s1"].remedy
        assert "s0" not in by_subject
        server.wait_samples(4)
        wait_until(
            lambda: {c.code for c in server.presences[-1].conditions} >= {"sensor_absent", "sensor_garbled"},
            15,
            "both on the dashboard",
        )
        absent.absent = None
        garbled.script = [(3, 4)]
        wait_clear(agent, "sensor_absent")
        wait_clear(agent, "sensor_garbled")


def test_a_replaced_unit_is_a_new_unit_of_the_same_site(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer
) -> None:
    sensor = counting(SDS)
    sensor.serial = "0001"
    with running(on_broker(tmp_path, broker), sensor) as agent:
        server.wait_samples(2)
        sensor.absent = SensorGone("/dev/test0", "unplugged")
        wait_code(agent, "sensor_gone")
        sensor.serial, sensor.absent = "0002", None
        wait_until(lambda: len(server.declarations()) == 2, 20, "the new unit's declaration")
        wait_clear(agent, "sensor_gone")
        wait_until(lambda: {s[0] for s in server.samples()} == {1, 2}, 10, "samples of both")
    first, second = server.declarations()
    assert (first.serial, second.serial) == ("0001", "0002")
    assert first.unit != second.unit
    assert first.site == second.site


def test_a_fault_that_repeats_reopens_the_port(tmp_path: Path, broker: MosquittoBroker) -> None:
    sensor = ScriptedSensor(SDS, SensorFault("/dev/test0", "fan stuck"))
    with running(on_broker(tmp_path, broker), sensor) as agent:
        wait_code(agent, "sensor_fault")
        wait_until(lambda: sensor.opened >= 2, 20, "the port to be opened again")


def test_a_duty_cycle_wakes_warms_up_and_sleeps(tmp_path: Path, broker: MosquittoBroker) -> None:
    config = on_broker(tmp_path, broker)
    from dataclasses import replace

    keys = replace(config.sensors[0], duty_cycle=True, every_s=60.0, warm_up_s=10.0)
    sensor = counting(SDS)
    with running(replace(config, sensors=(keys,)), sensor, clock=fast_clock(100.0)):
        wait_until(lambda: sensor.reads >= 3, 20, "three readings")
        assert sensor.slept >= 2
        assert sensor.woken >= sensor.slept


def test_samples_of_an_unset_clock_get_their_time_afterwards(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SettableClock(offset_ms=-(time.time_ns() // 1_000_000))  # 1970
    sensor, read_ms = counting(SDS), []
    read = sensor.read

    def at_its_time(timeout_s: float) -> Reading:
        read_ms.append(ScaledClock.now_ms(clock))
        return read(timeout_s)

    monkeypatch.setattr(sensor, "read", at_its_time)
    with running(on_broker(tmp_path, broker), sensor, clock=clock, drain_s=UNTIL_ACKED_S) as agent:
        wait_code(agent, "clock_unset")
        wait_until(lambda: sensor.reads >= 6, 20, "samples without a time")
        wait_until(lambda: server.presences and not server.presences[-1].clock_ok, 10, "presence")
        assert server.samples() == [], "nothing leaves without a time"
        assert all(row.time_ms == 0 for row in agent.spool.waiting(False, 100))
        taken, clock.offset_ms = sensor.reads, 0
        wait_clear(agent, "clock_unset")
        server.wait_samples(taken + 2)
    times = [time_ms for _, time_ms, *_ in server.samples()]
    values = [values[0] for *_, values, _ in server.samples()]
    assert values == sorted(values) == list(range(1, sensor.reads + 1))
    assert times == pytest.approx(read_ms, abs=2500), "each where it belongs"
    flags = [unpack_flags(word)[0] for *_, word in server.samples()]
    marked = flags.count(Flag.TIME_CORRECTED)
    assert flags[:marked] == [Flag.TIME_CORRECTED] * marked, "the first ones, and no other"
    assert taken - 1 <= marked <= taken + 1
    assert flags[-1] == Flag.GOOD


def test_samples_of_an_earlier_boot_without_a_time_are_buried(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer
) -> None:
    clock = SettableClock(offset_ms=-(time.time_ns() // 1_000_000))
    config = on_broker(tmp_path, broker)
    with running(config, counting(SDS), clock=clock) as agent:
        wait_until(lambda: len(agent.spool.waiting(False, 100)) >= 2, 20, "samples without a time")
    lost = _count_unsynced(config.spool_dir)

    class NextBoot(SettableClock):
        def boot(self) -> str:
            return "the next boot"

    with running(config, counting(SDS), clock=NextBoot(0)):
        wait_until(lambda: server.messages(Tombstone), 20, "a tombstone")
    (tombstone,) = server.messages(Tombstone)
    assert tombstone.reason is TombstoneReason.CLOCK_NEVER_SET
    assert tombstone.samples == lost > 0


def _count_unsynced(folder: Path) -> int:
    import sqlite3

    with sqlite3.connect(folder / "spool.db") as db:
        return int(db.execute("SELECT count(*) FROM pending WHERE NOT synced").fetchone()[0])


def test_a_clock_that_jumps_back_is_told_and_no_time_comes_twice(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer
) -> None:
    clock = SettableClock(0)
    sensor = counting(SDS)
    with running(on_broker(tmp_path, broker), sensor, clock=clock, drain_s=UNTIL_ACKED_S) as agent:
        server.wait_samples(5)
        clock.offset_ms = -60_000
        wait_code(agent, "clock_jumped")
        server.wait_samples(sensor.reads + 6)
    times = [(unit, time_ms) for unit, time_ms, *_ in server.samples()]
    assert len(times) == len(set(times)) == sensor.reads


def test_a_spool_damaged_while_running_is_set_aside_and_the_agent_goes_on(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer
) -> None:
    server.hold_acks = True
    sensor = counting(SDS)
    with running(on_broker(tmp_path, broker), sensor) as agent:
        wait_until(lambda: agent.link.view.connected, 20, "a connection")
        for _ in range(40):  # 3 MB: more than SQLite keeps in memory
            agent.spool.put(Class.HISTORY, _large_message(), time.time_ns() // 1_000_000)
        epoch = agent.spool.epoch
        path = tmp_path / "data" / "spool" / "spool.db"
        with agent.spool._guard:
            agent.spool._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            content = bytearray(path.read_bytes())
            content[len(content) // 8 :] = os.urandom(len(content) - len(content) // 8)
            path.write_bytes(content)
        server.release_acks()
        wait_until(lambda: agent.spool.epoch != epoch, 30, "a new epoch")
        wait_code(agent, "spool_corrupt")
        reads = sensor.reads
        wait_until(
            lambda: any(values[0] > reads for *_, values, _ in server.samples()),
            30,
            "samples of the new epoch",
        )
        assert list((tmp_path / "data" / "spool").glob("spool.corrupt-*"))
        wait_until(
            lambda: [t.reason for t in server.messages(Tombstone)] == [TombstoneReason.SPOOL_CORRUPT],
            20,
            "the tombstone",
        )
        assert any(
            isinstance(each.message, SensorDeclaration) and each.delivery.epoch == agent.spool.epoch
            for each in server.deliveries
        )


def test_a_full_spool_sheds_the_oldest_and_says_so(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_agent.loops import room

    monkeypatch.setattr(room, "MEASURE_EVERY_S", 0.1)
    broker.stop()
    config = on_broker(tmp_path, broker)
    sensor = counting(SDS)
    news: list[str] = []
    with running(
        config,
        sensor,
        clock=fast_clock(60.0),
        before=lambda agent: agent.board.listen(lambda told: news.append(told.code)),
        drain_s=UNTIL_ACKED_S,
    ) as agent:
        big = _large_message()
        for _ in range(25):
            agent.spool.put(Class.DIAGNOSTIC, big, time.time_ns() // 1_000_000)
        keeper = agent.spooler._room
        keeper._caps = type(keeper._caps)(400_000, 0, 0, 30, 7)
        wait_until(lambda: "spool_shedding" in news, 20, "the condition")
        wait_until(lambda: agent.spool.usage().used_bytes < 400_000, 20, "room")
        reads = sensor.reads
        wait_until(lambda: sensor.reads > reads + 3, 20, "sampling to go on")
        wait_clear(agent, "spool_shedding")
        broker.start()
        wait_until(lambda: server.messages(Tombstone), 30, "the tombstone at the server")
        wait_empty(agent, 30)
    shed = sum(each.last - each.first + 1 for each in server.messages(Tombstone))
    assert shed >= 19
    assert {each.reason for each in server.messages(Tombstone)} == {TombstoneReason.SPOOL_FULL}
    values = sorted(values[0] for *_, values, _ in server.samples())
    assert values == list(range(1, sensor.reads + 1)), "no sample was given up while diagnostics were there"


def test_a_disk_that_refuses_writes_holds_samples_in_memory_and_recovers(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_agent.loops import room

    monkeypatch.setattr(room, "RETRY_S", 0.3)
    sensor = counting(SDS)
    with running(on_broker(tmp_path, broker), sensor, drain_s=UNTIL_ACKED_S) as agent:
        server.wait_samples(2)
        server.hold_acks = True  # an ack frees pages
        pages = agent.spool._db.execute("PRAGMA page_count").fetchone()[0]
        agent.spool._db.execute(f"PRAGMA max_page_count = {pages}")
        _use_up_free_pages(agent)
        wait_code(agent, "disk_full", 30)
        reads = sensor.reads
        wait_until(lambda: sensor.reads > reads + 5, 20, "sampling to go on")
        agent.spool._db.execute("PRAGMA max_page_count = 100000")
        server.release_acks()
        wait_clear(agent, "disk_full", 30)
        wait_empty(agent, 30)
    stored = {values[0] for *_, values, _ in server.samples()}
    buried = sum(each.samples for each in server.messages(Tombstone))
    assert stored <= set(range(1, sensor.reads + 1))
    assert len(stored) + buried == sensor.reads, "stored, or shed with a line: nothing disappears"
    assert len(stored) > reads - 5, "what memory held was written"


def _large_message() -> bytes:
    """About 60 kB that cannot be compressed."""
    conditions = [
        Condition(1, "code", "subject", True, "info", os.urandom(500).hex(), "") for _ in range(120)
    ]
    return encode(ConditionBatch(tuple(conditions)))


def _use_up_free_pages(agent: object) -> None:
    """Write until SQLite says that the disk is full."""
    payload = encode(CommandReply("filler", True, "".join(chr(33 + i % 90) for i in range(1000)), 1))
    try:
        for _ in range(10_000):
            agent.spool.put(Class.REPLY, payload, 1)  # type: ignore[attr-defined]
    except SpoolFull:
        return
