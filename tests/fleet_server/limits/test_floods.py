"""A flood is counted, stopped, and over by itself; what a person decides meanwhile stands."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fleet_server.auditor import service as auditor
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment import standing
from fleet_server.errors import InvalidRequest
from fleet_server.flood_commands import flood_list
from fleet_server.limits import service, store
from fleet_server.limits.gauge import LOOK_EVERY_S, MINUTE_S, Gauge
from fleet_server.limits.rules import TABLE, Event, Own, Rate, Shares, State, diagram, pause, step
from fleet_server.limits.service import list_floods
from fleet_server.telemetry.ingest.intake import Incoming
from fleet_server.telemetry.ingest.worker import IngestWorker
from fleet_server.tenants import service as tenants
from provisioning import revocation
from provisioning.authority import Authority
from tests.fleet_server.enrolment.test_service import ONE, enrolled
from tests.support.server_context import ADMIN, OPERATOR, make_context
from wire_contract.topics import Address, Up, up_topic

OTHER = Address("city", "lamp-02")
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MUCH = Rate(30_000, 1_000_000)
FIRST = timedelta(minutes=15)


def follow_floods(connection: psycopg.Connection[Any], ctx: Context, now: datetime) -> int:
    return service.follow_floods(connection, ctx, standing.change_state, now)


def messages(address: Address, count: int, size: int = 10, channel: Up = Up.LIVE) -> list[Incoming]:
    return [Incoming(up_topic(address, channel), bytes(size))] * count


def test_every_pair_is_in_the_table_and_what_ended_stays() -> None:
    assert set(TABLE) == set(product(State, Event))
    assert {step(end, each) for end in (State.RELEASED, State.LEFT) for each in Event} == {
        State.RELEASED,
        State.LEFT,
    }
    assert "seen --> held: hold" in diagram()


def test_a_pause_doubles_and_has_an_end() -> None:
    assert [pause(FIRST, before) for before in (0, 1, 2)] == [FIRST, 2 * FIRST, 4 * FIRST]
    assert pause(FIRST, 1000) == pause(FIRST, 7) < timedelta(days=2)


def test_what_is_counted_is_by_device_and_minute_over_every_channel() -> None:
    gauge = Gauge(Rate(100, 10_000), 0.0)
    gauge.note(messages(ONE, 60) + messages(ONE, 50, channel=Up.PRESENCE) + messages(OTHER, 100))
    gauge.note([Incoming("no/topic/of/ours", b"x" * 20_000)])
    assert gauge.floods(1.0) == {}, "it looks now and then"
    assert gauge.floods(LOOK_EVERY_S) == {ONE: Rate(110, 1100)}
    assert gauge.floods(2 * LOOK_EVERY_S) == {}, "once a minute"
    assert gauge.floods(MINUTE_S) == {}
    gauge.note(messages(OTHER, 2, size=6_000))
    assert gauge.floods(MINUTE_S + LOOK_EVERY_S) == {OTHER: Rate(2, 12_000)}
    gauge.note(messages(ONE, 100))
    assert gauge.floods(MINUTE_S + 2 * LOOK_EVERY_S) == {}, "at the limit is not beyond it"


def test_a_tenant_may_have_a_limit_of_its_own_higher_or_lower() -> None:
    own = {"porto": Own(10, None), "lisboa": Own(None, 1), "braga": Own(1_000, 2)}
    shares = Shares(Rate(100, 500_000), own, workers=2)
    assert shares.of("city") == Rate(50, 250_000)
    assert [shares.of(each) for each in own] == [Rate(5, 250_000), Rate(50, 500_000), Rate(500, 1_000_000)]
    gauge = Gauge(Rate(100, 500_000), 0.0, workers=2)
    for tenant in ("city", *own):
        gauge.note(messages(Address(tenant, "few"), 6) + messages(Address(tenant, "many"), 60))
        gauge.note(messages(Address(tenant, "large"), 1, size=400_000))
    found = gauge.floods(LOOK_EVERY_S, lambda: own)
    assert {str(each) for each in found} == {
        *("city/many", "city/large", "porto/few", "porto/many", "porto/large", "lisboa/many")
    }


@pytest.fixture
def ctx(database_url: str, tmp_path: Path) -> Iterator[Context]:
    authority = Authority.init(tmp_path / "authority", "Testing")
    made = make_context(database_url, tmp_path)
    yield replace(made, authority_directory=authority.files.directory)
    made.db.close()


def test_the_life_of_a_flood(ctx: Context) -> None:
    """Held, over by itself, held twice as long, let in by a person, cut off half way, decommissioned."""
    enrolled(ctx, ONE)
    enrolled(ctx, OTHER)

    def state() -> DeviceState:
        return devices.get_device(ctx, OPERATOR, ONE).record.state

    def on_hold() -> int:
        listed = Authority.load_issuing(ctx.authority_directory).revocation_list()
        return sum(revocation.on_hold(each) for each in listed)

    def told() -> list[str]:
        return [each.code for each in devices.conditions(ctx, OPERATOR, ONE, current=True, limit=10)]

    with ctx.db.raw(autocommit=True) as connection:
        assert follow_floods(connection, ctx, NOW) == 0
        worker = IngestWorker(
            lambda: ctx.db.raw(autocommit=True), ctx.clock, _NoLink(), lambda _: None, name="x"
        )
        tenants.put_tenant(ctx, ADMIN, "city", quotas={"device_messages": 7})
        assert worker._tenants_limits() == {"city": Own(7, None)}
        worker._tell_floods({ONE: MUCH, Address("city", "nobody"): MUCH})
        worker._disconnect()
        connection.execute("UPDATE flood SET seen_at = %s", (NOW,))
        assert store.seen(connection, {ONE: MUCH}, NOW) == 0, "it is known"
        follow_floods(connection, ctx, NOW)
        assert (state(), on_hold(), told()) == (DeviceState.QUARANTINED, 1, ["flood"])
        assert devices.get_device(ctx, OPERATOR, OTHER).record.state is DeviceState.ACTIVE
        follow_floods(connection, ctx, NOW + FIRST - timedelta(seconds=1))
        assert state() is DeviceState.QUARANTINED
        follow_floods(connection, ctx, NOW + FIRST)
        assert (state(), on_hold(), told()) == (DeviceState.ACTIVE, 0, [])
        assert follow_floods(connection, ctx, NOW + FIRST) == 0

        again = NOW + timedelta(hours=1)
        store.seen(connection, {ONE: MUCH}, again)
        follow_floods(connection, ctx, again)
        assert _open(connection) == [("held", again + 2 * FIRST)]
        standing.change_state(ctx, OPERATOR, ONE, DeviceState.ACTIVE)
        follow_floods(connection, ctx, again)
        assert (state(), told(), _open(connection)) == (DeviceState.ACTIVE, [], [])

        store.seen(connection, {ONE: MUCH}, again)
        connection.execute(
            "UPDATE flood SET state = 'held' WHERE state = 'seen'"
        )  # power cut before the rest
        follow_floods(connection, ctx, again)
        assert (state(), on_hold()) == (DeviceState.QUARANTINED, 1)
        standing.change_state(ctx, OPERATOR, ONE, DeviceState.DECOMMISSIONED)
        follow_floods(connection, ctx, again + timedelta(days=9))
        assert (state(), _open(connection)) == (DeviceState.DECOMMISSIONED, [])

        everything = list_floods(ctx, OPERATOR, before_id=2**62, limit=10)
        assert [each.state for each in everything] == [State.LEFT, State.LEFT, State.RELEASED]
        assert everything[2].rate == MUCH
        older = list_floods(ctx, OPERATOR, before_id=everything[0].id, limit=1)
        assert older == everything[1:2]
        assert list_floods(ctx, replace(OPERATOR, tenant="elsewhere"), before_id=2**62, limit=10) == []

        assert [row["state"] for row in flood_list(ctx, Namespace(limit=2))] == ["left", "left"]
        with pytest.raises(InvalidRequest):
            flood_list(ctx, Namespace(limit=0))

        lax = replace(ctx, config=replace(ctx.config, limits=replace(ctx.config.limits, flood_hold=False)))
        store.seen(connection, {OTHER: MUCH}, NOW)
        follow_floods(connection, lax, NOW)  # it is only told
        assert devices.get_device(ctx, OPERATOR, OTHER).record.state is DeviceState.ACTIVE
        assert _open(connection) == []
        assert devices.conditions(ctx, OPERATOR, OTHER, current=True, limit=9)[0].code == "flood"
        follow_floods(connection, lax, NOW + timedelta(hours=2))
        assert not devices.conditions(ctx, OPERATOR, OTHER, current=True, limit=9)


def test_many_that_are_out_do_not_keep_the_next_one_in(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "FLOODS_A_TICK", 1)
    enrolled(ctx, ONE)
    enrolled(ctx, OTHER)
    with ctx.db.raw(autocommit=True) as connection:
        store.seen(connection, {ONE: MUCH}, NOW)
        follow_floods(connection, ctx, NOW)
        store.seen(connection, {OTHER: MUCH}, NOW)
        follow_floods(connection, ctx, NOW)
    assert devices.get_device(ctx, OPERATOR, OTHER).record.state is DeviceState.QUARANTINED


@dataclass(frozen=True)
class Street:
    """One lamppost, its flood, and what the worker would see of it."""

    ctx: Context
    connection: psycopg.Connection[Any]

    def counted(self) -> None:
        store.seen(self.connection, {ONE: MUCH}, NOW)

    def person(self, state: DeviceState) -> None:
        standing.change_state(self.ctx, OPERATOR, ONE, state)

    def worker(self, now: datetime) -> None:
        follow_floods(self.connection, self.ctx, now)

    def worker_and(self, state: DeviceState, now: datetime, *, first: bool) -> None:
        """A person decides while the worker acts: before it changes the lamppost's state, or after that."""

        def change(*told: Any) -> None:
            if first:
                self.person(state)
            standing.change_state(*told)
            if not first:
                self.person(state)

        service.follow_floods(self.connection, self.ctx, change, now)

    def told(self) -> tuple[DeviceState, int, list[str], list[tuple[Any, ...]]]:
        """Its state, certificates on hold, conditions, open floods."""
        listed = Authority.load_issuing(self.ctx.authority_directory).revocation_list()
        conditions = devices.conditions(self.ctx, OPERATOR, ONE, current=True, limit=10)
        return (
            devices.get_device(self.ctx, OPERATOR, ONE).record.state,
            sum(revocation.on_hold(each) for each in listed),
            [each.code for each in conditions],
            _open(self.connection),
        )


OUT: tuple[DeviceState, int, list[str], list[tuple[Any, ...]]] = (DeviceState.QUARANTINED, 1, [], [])
IN: tuple[DeviceState, int, list[str], list[tuple[Any, ...]]] = (DeviceState.ACTIVE, 0, [], [])


@pytest.fixture
def street(ctx: Context) -> Iterator[Street]:
    enrolled(ctx, ONE)
    with ctx.db.raw(autocommit=True) as connection:
        yield Street(ctx, connection)


def test_who_is_held_and_quarantined_by_a_person_stays_out(street: Street) -> None:
    """Stolen, and it floods: the person hears that it is out, and the flood's end does not let it in."""
    street.counted()
    street.worker(NOW)
    assert service.held_until(street.ctx, OPERATOR, ONE) == NOW + FIRST
    street.person(DeviceState.QUARANTINED)
    assert street.told() == OUT
    assert service.held_until(street.ctx, OPERATOR, ONE) is None
    street.worker(NOW + FIRST)
    assert street.told() == OUT
    [line] = auditor.lines(street.ctx, ADMIN, auditor.Wanted(action="devices:change", who=OPERATOR.name), 10)
    assert line.after == {"state": "quarantined", "flood": "left"}
    street.counted()  # what was under way when its connection was cut
    street.worker(NOW + FIRST)
    assert street.told() == OUT
    street.person(DeviceState.ACTIVE)
    assert street.told() == IN


@pytest.mark.parametrize("first", [True, False])
def test_a_person_who_decides_while_the_worker_acts_is_right(street: Street, first: bool) -> None:
    street.counted()
    street.worker_and(DeviceState.QUARANTINED, NOW, first=first)
    assert street.told() == OUT
    street.worker(NOW + FIRST)
    assert street.told() == OUT
    street.person(DeviceState.ACTIVE)
    street.counted()
    street.worker(NOW)
    street.worker_and(DeviceState.QUARANTINED, NOW + 2 * FIRST, first=first)
    assert street.told() == OUT
    street.worker(NOW + 9 * FIRST)
    assert street.told() == OUT


def test_what_is_let_in_without_the_authority_is_let_in_by_a_later_look(street: Street) -> None:
    street.counted()
    street.worker(NOW)
    folder = street.ctx.authority_directory
    away = folder.rename(folder.with_name("away"))
    lines = len(auditor.lines(street.ctx, ADMIN, auditor.Wanted(), 100))
    for _ in range(3):
        street.worker(NOW + FIRST)
    assert len(auditor.lines(street.ctx, ADMIN, auditor.Wanted(), 100)) == lines + 1, "no line for each try"
    away.rename(folder)
    assert street.told() == (DeviceState.ACTIVE, 1, ["flood"], [("held", NOW + FIRST)])
    street.worker(NOW + FIRST)
    assert street.told() == IN
    [flood] = list_floods(street.ctx, OPERATOR, before_id=2**62, limit=10)
    assert flood.state is State.RELEASED


class _NoLink:
    def publish(self, messages: Sequence[tuple[str, bytes]]) -> None: ...
    def acknowledge(self, group: Sequence[Incoming]) -> None: ...


def _open(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return connection.execute("SELECT state, until FROM flood WHERE ended_at IS NULL").fetchall()
