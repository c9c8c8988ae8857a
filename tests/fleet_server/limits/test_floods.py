"""A flood is counted, stopped, and over by itself; what a person decides meanwhile stands."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment import standing
from fleet_server.errors import InvalidRequest
from fleet_server.flood_commands import flood_list
from fleet_server.limits import service, store
from fleet_server.limits.gauge import LOOK_EVERY_S, MINUTE_S, Gauge
from fleet_server.limits.rules import TABLE, Event, Own, Rate, Shares, State, diagram, pause, step
from fleet_server.limits.service import follow_floods, list_floods
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


class _NoLink:
    def publish(self, messages: Sequence[tuple[str, bytes]]) -> None: ...
    def acknowledge(self, group: Sequence[Incoming]) -> None: ...


def _open(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return connection.execute("SELECT state, until FROM flood WHERE ended_at IS NULL").fetchall()
