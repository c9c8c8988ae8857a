"""Devices as people see them, after what the devices told came in."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from fleet_server.access.rules import ENROLMENT
from fleet_server.context import Context
from fleet_server.devices import service
from fleet_server.devices.rules import DeviceState, Freshness, Place, PresenceState
from fleet_server.errors import Forbidden, InvalidRequest, NotFound
from tests.fleet_server.telemetry.support import NOW, NOW_MS, Desk, Post
from tests.support.server_context import ADMIN, OPERATOR, VIEWER
from tests.support.waiting import wait_until
from wire_contract.classes import Class
from wire_contract.messages import CommandReply, Condition, ConditionBatch, Presence
from wire_contract.topics import Address, Up

CITY_LAMP = Address("city", "lamp-01")


def condition(code: str, time_ms: int, active: bool = True, detail: str = "") -> Condition:
    return Condition(time_ms, code, "pms", active, "error", detail, "Look at the cable.")


def born(session: int, *conditions: Condition, online: bool = True) -> Presence:
    return Presence(online, session, NOW_MS, b"e" * 16, "1.2", True, conditions, {"a": "b"}, {"live": 3})


def test_registering_is_idempotent_and_keeps_the_site(context: Context) -> None:
    first = service.register(context, ENROLMENT, CITY_LAMP, "Market Square")
    assert service.register(context, ENROLMENT, CITY_LAMP, "") == first
    assert service.get_device(context, VIEWER, CITY_LAMP).record.site == "Market Square"
    assert service.state_of(context, ENROLMENT, CITY_LAMP) is DeviceState.ACTIVE
    assert service.state_of(context, ENROLMENT, Address("city", "other")) is None
    with pytest.raises(Forbidden):
        service.register(context, VIEWER, CITY_LAMP)


def test_a_birth_a_late_will_and_a_will(context: Context, desk: Desk, post: Post) -> None:
    desk.take(post.tell(Up.PRESENCE, born(7)))
    desk.take(post.tell(Up.PRESENCE, born(6, online=False)))
    seen = service.get_device(context, VIEWER, post.address).record
    assert (seen.presence, seen.agent_version, seen.clock_ok) == (PresenceState.ONLINE, "1.2", True)
    assert (seen.settings, seen.backlog) == ({"a": "b"}, {"live": 3})
    desk.take(post.tell(Up.PRESENCE, born(7, online=False)), now=NOW + timedelta(minutes=1))
    seen = service.get_device(context, VIEWER, post.address).record
    assert (seen.presence, seen.presence_at) == (PresenceState.OFFLINE, NOW + timedelta(minutes=1))
    desk.take(post.tell(Up.PRESENCE, born(7)))
    assert service.get_device(context, VIEWER, post.address).record.presence is PresenceState.OFFLINE


def test_a_replaced_computer_is_heard_after_the_last_word_of_the_stolen_one(
    context: Context, desk: Desk, post: Post
) -> None:
    desk.take(post.tell(Up.PRESENCE, born(2**63 - 1)))
    fresh = Presence(True, 5, NOW_MS, b"f" * 16, "2.0", True)
    desk.take(post.tell(Up.PRESENCE, fresh))
    assert service.get_device(context, VIEWER, post.address).record.agent_version == "2.0"
    desk.take(post.tell(Up.PRESENCE, born(2**63 - 1, online=False)))
    seen = service.get_device(context, VIEWER, post.address).record
    assert (seen.presence, seen.agent_version) == (PresenceState.ONLINE, "2.0")


def test_freshness_is_of_the_newest_sample(context: Context, desk: Desk, post: Post) -> None:
    assert service.get_device(context, VIEWER, post.address).freshness is Freshness.NONE
    desk.take(post.declare(), post.publish(Class.LIVE, post.samples([NOW_MS - 600_000])))
    seen = service.list_devices(context, VIEWER)[0]
    assert (seen.freshness, seen.age_s) == (Freshness.LATE, 600.0)
    unit = service.sensors(context, VIEWER, post.address)[0]
    assert (unit.kind, [s.channel for s in unit.series]) == ("pms5003", ["pm1", "pm2_5", "pm10"])


def test_conditions_come_and_go_in_any_order(context: Context, desk: Desk, post: Post) -> None:
    raised, cleared = (
        condition("sensor_silent", NOW_MS - 9000),
        condition("sensor_silent", NOW_MS - 5000, False),
    )
    again = condition("sensor_silent", NOW_MS - 1000, detail="again")
    for told in (cleared, raised, raised, cleared, again, raised, again):
        desk.take(post.publish(Class.DIAGNOSTIC, ConditionBatch((told,))))
    current = service.conditions(context, VIEWER, post.address)
    assert [(c.code, c.detail) for c in current] == [("sensor_silent", "again")]
    desk.take(post.tell(Up.PRESENCE, born(1, condition("disk_full", 5))))
    assert [c.code for c in service.conditions(context, VIEWER, post.address)] == ["disk_full"]
    assert service.get_device(context, VIEWER, post.address).record.conditions == 1
    ever = service.conditions(context, VIEWER, post.address, current=False)
    assert {c.code for c in ever} == {"disk_full", "sensor_silent"}
    assert all(c.raised_at.year == 2026 for c in ever), "a clock in 1970 is not believed"


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (1, 0, 0, 1)], ids=["in order", "turned round", "twice"])
def test_a_condition_that_is_over_says_when_it_was_and_what_to_do_whatever_came_first(
    context: Context, desk: Desk, post: Post, order: tuple[int, ...]
) -> None:
    told = (
        condition("broker_refused", NOW_MS - 9000, detail="not authorized"),
        condition("broker_refused", NOW_MS - 5000, False, "not authorized"),
    )
    for each in order:
        desk.take(post.publish(Class.DIAGNOSTIC, ConditionBatch((told[each],))))
    [seen] = service.conditions(context, VIEWER, post.address, current=False)
    assert (seen.detail, seen.remedy) == ("not authorized", "Look at the cable.")
    assert seen.cleared_at is not None
    assert (NOW - seen.raised_at, NOW - seen.cleared_at) == (timedelta(seconds=9), timedelta(seconds=5))


def test_a_condition_told_again_does_not_lengthen_a_later_one(
    context: Context, desk: Desk, post: Post
) -> None:
    first, over = condition("link_lost", NOW_MS - 9000), condition("link_lost", NOW_MS - 8000, False)
    later = condition("link_lost", NOW_MS - 5000, False)  # its raising never comes
    for each in (first, over, later, first):
        desk.take(post.publish(Class.DIAGNOSTIC, ConditionBatch((each,))))
    seen = service.conditions(context, VIEWER, post.address, current=False)
    assert sorted((NOW - each.raised_at).total_seconds() for each in seen) == [5, 9]


def test_replies_are_kept(desk: Desk, post: Post) -> None:
    desk.take(post.publish(Class.REPLY, CommandReply("abc", True, "pong", NOW_MS)))
    assert desk.rows("SELECT command, ok, detail FROM command_reply") == [("abc", True, "pong")]


def test_state_is_changed_by_operators_only(context: Context, post: Post) -> None:
    changed = service.change_state(context, OPERATOR, post.address, DeviceState.QUARANTINED)
    assert changed.record.state is DeviceState.QUARANTINED
    with pytest.raises(Forbidden):
        service.change_state(context, VIEWER, post.address, DeviceState.ACTIVE)
    with pytest.raises(NotFound):
        service.change_state(context, ADMIN, Address("city", "nowhere"), DeviceState.ACTIVE)


def test_pages(context: Context, desk: Desk) -> None:
    desk.register(*(Post(f"lamp-{n:02}") for n in range(5)))
    first = service.list_devices(context, VIEWER, limit=3)
    rest = service.list_devices(context, VIEWER, after_id=first[-1].record.id, limit=3)
    assert [d.record.address.device for d in (*first, *rest)] == [f"lamp-{n:02}" for n in range(5)]


def test_a_lamppost_is_given_its_place_and_keeps_what_is_not_given(context: Context, post: Post) -> None:
    seen = service.change_place(context, OPERATOR, post.address, at=(41.1496, -8.6109), district="Harbour")
    assert (seen.record.latitude, seen.record.longitude, seen.record.district) == (
        41.1496,
        -8.6109,
        "Harbour",
    )
    service.change_place(context, OPERATOR, post.address, district="Old Town")
    service.register(context, ENROLMENT, post.address, "Quay 4")
    record = service.get_device(context, VIEWER, post.address).record
    assert (record.latitude, record.longitude, record.district) == (41.1496, -8.6109, "Old Town")
    service.register(context, ENROLMENT, post.address, place=Place(-33.9, 18.4))
    record = service.get_device(context, VIEWER, post.address).record
    assert (record.latitude, record.longitude, record.district) == (-33.9, 18.4, "Old Town")
    record = service.change_place(context, OPERATOR, post.address, at="none", district="").record
    assert (record.latitude, record.longitude, record.district) == (None, None, "")


def test_a_wrong_place_changes_nothing(context: Context, post: Post) -> None:
    service.change_place(context, OPERATOR, post.address, at=(1.0, 2.0))
    for at in ((91.0, 0.0), (math.nan, 0.0), (0.0, 0.0), (1e308, 1e308)):
        with pytest.raises(InvalidRequest):
            service.change_place(context, OPERATOR, post.address, at=at)
        with pytest.raises(InvalidRequest):
            service.register(context, ENROLMENT, post.address, place=Place(*at))
    assert service.get_device(context, VIEWER, post.address).record.latitude == 1.0
    with pytest.raises(NotFound):
        service.change_place(context, OPERATOR, Address("city", "nowhere"), at=(1.0, 2.0))
    with pytest.raises(Forbidden):
        service.change_place(context, VIEWER, post.address, at=(1.0, 2.0))


def test_the_cell_is_what_the_last_birth_told(context: Context, desk: Desk, post: Post) -> None:
    for session, settings, cell in (
        (1, {"cell": "ez3fh5"}, "ez3fh5"),
        (2, {"cell": "<script>"}, ""),
        (3, {"cell": "ez3fh6"}, "ez3fh6"),
        (4, {}, ""),
    ):
        told = Presence(True, session, NOW_MS, b"e" * 16, "1.2", True, (), settings)
        desk.take(post.tell(Up.PRESENCE, told))
        assert service.get_device(context, VIEWER, post.address).record.cell == cell


def test_many_are_locked_in_the_ingests_order(context: Context, database_url: str) -> None:
    """By id: whoever waits for the one that came first holds none that came later."""
    first, second = Address("city", "lamp-2"), Address("city", "lamp-10")
    for each in (first, second):
        service.register(context, ADMIN, each)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    hold = "SELECT FROM device WHERE name = %s FOR NO KEY UPDATE NOWAIT"
    with psycopg.connect(database_url) as ingest, psycopg.connect(database_url, autocommit=True) as watch:
        ingest.execute(hold, ("lamp-2",))
        quarantine = (context, OPERATOR, [second, first, second], DeviceState.QUARANTINED)
        with ThreadPoolExecutor(1) as pool:
            changing = pool.submit(service.change_states, *quarantine)
            wait_until(lambda: watch.execute(waiting).fetchone() == (1,), 20, "whoever waits for lamp-2")
            ingest.execute(hold, ("lamp-10",))
            ingest.rollback()
            changed = changing.result(60)
    assert [view.record.address for view in changed] == [second, first, second]
    with pytest.raises(NotFound):
        service.change_states(context, OPERATOR, [first, CITY_LAMP], DeviceState.ACTIVE)
    assert service.state_of(context, OPERATOR, first) is DeviceState.QUARANTINED
