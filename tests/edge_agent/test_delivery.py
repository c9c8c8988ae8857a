"""The promise of the wire from the device's side, over a real Mosquitto with mutual TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_bridge.kinds import SensorKind
from tests.edge_agent.making import (
    UNTIL_ACKED_S,
    codes,
    counting,
    fast_clock,
    on_broker,
    running,
    wait_clear,
    wait_code,
    wait_empty,
)
from tests.support.acking_server import AckingServer
from tests.support.mosquitto import MosquittoBroker
from tests.support.waiting import wait_until
from wire_contract.classes import Class
from wire_contract.flags import Flag, unpack_flags
from wire_contract.limits import MAX_IN_FLIGHT
from wire_contract.messages import (
    Command,
    CommandName,
    CommandOutcome,
    CommandReply,
    ConditionBatch,
    SampleBatch,
)

FAR_MS = 4_000_000_000_000


@pytest.fixture
def server(broker: MosquittoBroker) -> Iterator[AckingServer]:
    made = AckingServer.on(broker).start()
    yield made
    made.stop()


def first_slots(server: AckingServer) -> list[int]:
    return sorted(values[0] for _, _, _, values, _ in server.samples())


def test_a_sample_goes_declared_sealed_acknowledged_and_is_then_forgotten(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer
) -> None:
    sensor = counting(SensorKind.SDS011)
    sensor.serial = "58D9"
    with running(on_broker(tmp_path, broker), sensor, drain_s=UNTIL_ACKED_S) as agent:
        server.wait_samples(8)
        kinds = [type(each.message).__name__ for each in server.deliveries]
        assert kinds.index("SensorDeclaration") < kinds.index("SampleBatch")
        (declared,) = server.declarations()
        assert (declared.kind, declared.serial, declared.site) == ("sds011", "58D9", "s0")
        assert [slot.channel for slot in declared.slots] == ["pm2_5", "pm10"]
        _, _, slots, _, flags = server.samples()[0]
        assert slots == (0,)
        assert unpack_flags(flags)[:3] == (Flag.GOOD, Flag.MISSING, Flag.NOT_SET)
        birth = server.presences[-1]
        assert birth.online
        assert birth.clock_ok
        assert birth.epoch == agent.spool.epoch
    wait_until(lambda: not server.presences[-1].online, 10, "the goodbye")
    assert server.presences[-1].session == birth.session
    assert first_slots(server) == list(range(1, sensor.reads + 1)), "all that was read, once each"
    assert server.reformed() == 0


def test_never_more_than_twenty_unacknowledged_and_nothing_is_lost(
    tmp_path: Path, broker: MosquittoBroker
) -> None:
    server = AckingServer.on(broker, hold_acks=True).start()
    server.hold_acks = False
    sensors = [counting(SensorKind.SDS011), counting(SensorKind.SPS30)]
    with running(on_broker(tmp_path, broker, sensors=2), *sensors, drain_s=UNTIL_ACKED_S) as agent:
        server.wait_samples(2)
        server.hold_acks = True
        wait_until(lambda: agent.link.view.in_flight >= 19, 30, "a full window")
        assert agent.link.view.in_flight <= MAX_IN_FLIGHT
        stored = sum(len(s.stored) for s in server.streams.values())
        waiting = sum(count.waiting_messages for count in agent.spool.counters().values())
        assert waiting >= 19
        server.release_acks()
        wait_until(lambda: agent.link.view.in_flight < 5, 20, "the window to open again")
        assert sum(len(s.stored) for s in server.streams.values()) >= stored
    server.stop()
    for sensor, slot_count in zip(sensors, (1, 1), strict=True):
        mine = sorted(v[0] for unit, _, slots, v, _ in server.samples() if len(slots) == slot_count)
        assert set(range(1, sensor.reads + 1)) <= set(mine)
    assert server.reformed() == 0


@pytest.mark.chaos
def test_a_broker_killed_and_wiped_loses_nothing(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer
) -> None:
    sensor = counting(SensorKind.SDS011)
    with running(on_broker(tmp_path, broker), sensor, drain_s=UNTIL_ACKED_S) as agent:
        server.wait_samples(4)
        broker.kill()
        wait_code(agent, "broker_unreachable")
        reads = sensor.reads
        wait_until(lambda: sensor.reads > reads + 8, 20, "samples taken offline")
        assert server.samples() == sorted(server.samples())
        broker.wipe_state()
        broker.start()
        wait_clear(agent, "broker_unreachable")
        wait_until(lambda: len(server.samples()) >= reads + 8, 20, "what was taken offline")
        assert "broker_unreachable" not in codes(agent)
        session = server.presences[-1].session
    assert session > server.presences[0].session
    assert first_slots(server) == list(range(1, sensor.reads + 1))
    assert server.reformed() == 0
    told = [c.code for batch in server.messages(ConditionBatch) for c in batch.conditions]
    assert "broker_unreachable" in told, "the outage is in the history of conditions"


def test_what_was_taken_offline_is_history(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer
) -> None:
    broker.stop()
    sensor = counting(SensorKind.SDS011)
    with running(on_broker(tmp_path, broker), sensor, clock=fast_clock(60.0), drain_s=UNTIL_ACKED_S) as agent:
        wait_until(lambda: agent.spooler.pending() > 50, 20, "samples waiting")
        broker.start()
        wait_until(lambda: agent.link.view.connected, 20, "a connection")
        server.wait_samples(50)
        wait_until(
            lambda: any(each.delivery.cls is Class.LIVE for each in server.deliveries), 20, "live data"
        )
    batches = [each.delivery for each in server.deliveries if isinstance(each.message, SampleBatch)]
    assert {each.history for each in batches if each.cls is Class.HISTORY} == {True}
    assert False in {each.history for each in batches if each.cls is Class.LIVE}
    assert first_slots(server) == list(range(1, sensor.reads + 1))


def test_after_a_restart_it_goes_on_where_it_was(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer
) -> None:
    config = on_broker(tmp_path, broker)
    server.hold_acks = True
    sensor = counting(SensorKind.SDS011)
    with running(config, sensor) as agent:
        wait_until(lambda: agent.spool.counters()[Class.REPLY].messages == 1, 10, "a declaration")
        wait_until(lambda: agent.spool.counters()[Class.LIVE].messages > 1, 10, "live batches")
        epoch = agent.spool.epoch
    server.release_acks()
    again = counting(SensorKind.SDS011)
    with running(config, again, drain_s=UNTIL_ACKED_S) as agent:
        assert agent.spool.epoch == epoch
        server.wait_samples(sensor.reads + 2)
        wait_empty(agent, 30)
    assert len(server.declarations()) == 1, "a known unit is not declared again"
    assert len(server.samples()) == sensor.reads + again.reads


def test_a_command_that_comes_twice_is_answered_twice_and_carried_out_once(
    tmp_path: Path, broker: MosquittoBroker, server: AckingServer
) -> None:
    with running(on_broker(tmp_path, broker), counting(SensorKind.SDS011)):
        server.wait_samples(1)
        for _ in range(2):
            server.command(Command("p1", CommandName.PING, {}, FAR_MS))
        server.command(Command("d1", CommandName.DECLARE, {}, FAR_MS))
        server.command(Command("late", CommandName.PING, {}, 1))
        server.command(Command("d1", CommandName.DECLARE, {}, FAR_MS))
        server.command(Command("song", "sing", {}, FAR_MS))
        wait_until(lambda: len(server.messages(CommandReply)) >= 6, 15, "an answer to each")
        wait_until(lambda: len(server.declarations()) == 2, 15, "a second declaration")
        replies = [(each.command, each.outcome) for each in server.messages(CommandReply)]
    assert sorted(replies) == [
        *[("d1", CommandOutcome.SUCCEEDED)] * 2,
        ("late", CommandOutcome.EXPIRED),
        *[("p1", CommandOutcome.SUCCEEDED)] * 2,
        ("song", CommandOutcome.REJECTED),
    ]
    assert len(server.declarations()) == 2


def test_a_server_that_is_away_behind_a_living_broker_is_named(
    tmp_path: Path, broker: MosquittoBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_agent.core import link

    monkeypatch.setattr(link, "SILENT_S", 1.0)
    monkeypatch.setattr(link, "TICK_S", 0.2)
    with running(on_broker(tmp_path, broker), counting(SensorKind.SDS011)) as agent:
        wait_code(agent, "server_silent")
        server = AckingServer.on(broker).start()
        wait_clear(agent, "server_silent")
        wait_until(lambda: len(server.samples()) > 3, 10, "what was on its way to go again at once")
        server.stop()


def test_a_device_the_authority_does_not_know_is_told_so_and_tries_on(
    tmp_path: Path, broker: MosquittoBroker
) -> None:
    from tests.edge_agent.making import ADDRESS, make_config

    expired = broker.expired_identity(ADDRESS)
    config = make_config(tmp_path, broker.port, expired)
    sensor = counting(SensorKind.SDS011)
    with running(config, sensor) as agent:
        wait_until(lambda: codes(agent) & {"broker_refused", "broker_untrusted"}, 20, "a refusal")
        wait_code(agent, "certificate_expired")
        condition = next(c for c in agent.board.conditions() if c.code.startswith("broker"))
        assert condition.remedy
        reads = sensor.reads
        wait_until(lambda: sensor.reads > reads + 3, 20, "sampling to go on")


def test_a_broker_of_another_city_is_not_trusted(tmp_path: Path, broker: MosquittoBroker) -> None:
    from tests.edge_agent.making import ADDRESS, make_config
    from tests.support.mosquitto import IdentityFiles

    other = tmp_path / "other"
    other.mkdir()
    stranger = MosquittoBroker(other)
    mine = broker.device_identity(ADDRESS)
    identity = IdentityFiles(stranger.authority.files.trust, mine.certificate, mine.key)
    with running(make_config(tmp_path, broker.port, identity), counting(SensorKind.SDS011)) as agent:
        wait_code(agent, "broker_untrusted")
