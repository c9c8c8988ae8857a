"""The worker's tick on real PostgreSQL: from readings to indices, and back again when the past changes."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from air_quality.corrections import CORRECTIONS
from air_quality.index import EU_EAQI, US_AQI, us_aqi_of
from air_quality.nowcast import pm_nowcast
from fleet_server.air import upkeep
from fleet_server.air.upkeep import follow
from fleet_server.telemetry.upkeep.rollups import roll_up
from tests.fleet_server.air.support import PM, declare, hour, say, settle
from tests.fleet_server.telemetry.support import NOW, Desk, Post
from tests.support.waiting import wait_until
from wire_contract.classes import Class
from wire_contract.flags import Flag, pack_flags

QUIET = (12.0, 12.0, 20.0, 50.0)  # cf1, atm, pm10, humidity


def stored(desk: Desk, index_id: str = US_AQI) -> list[tuple[Any, ...]]:
    return desk.rows(
        "SELECT time, value, level, driver, concentration, correction FROM air_index WHERE index_id = %s"
        " ORDER BY device_id, time",
        index_id,
    )


def snapshot(desk: Desk) -> list[list[tuple[Any, ...]]]:
    return [
        desk.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4")
        for table in ("air_hour", "air_index", "district_index")
    ]


def test_an_hour_is_corrected_and_becomes_two_indices(desk: Desk, post: Post) -> None:
    declare(desk, post)
    say(desk, post, hour(2), 120, (100.0, 66.0, 70.0, 50.0))
    settle(desk)
    corrected = CORRECTIONS["barkjohn2022@1"].apply(100.0, 66.0, 50.0)
    assert corrected == pytest.approx(53.84)
    rows = desk.rows(
        "SELECT pollutant, raw, value, correction, humidity, parts, complete, closed FROM air_hour"
    )
    assert sorted(rows)[2:] == [("pm2_5", 66.0, 53.84, "barkjohn2022@1", 50.0, 12, True, True)] * 2
    assert sorted(rows)[:2] == [("pm10", 70.0, 70.0, "none@1", 50.0, 12, True, True)] * 2
    assert stored(desk, EU_EAQI) == [
        (hour(2), 4, 4, "pm2_5", 53.8, "barkjohn2022@1"),
        (hour(1), 4, 4, "pm2_5", 53.8, "barkjohn2022@1"),
    ]
    # two of three newest hours make a NowCast, one does not
    assert stored(desk) == [(hour(1), us_aqi_of("pm2_5", 53.84), 3, "pm2_5", 53.8, "barkjohn2022@1")]
    assert desk.one("SELECT count(*) FROM air_dirty") == 0


def test_the_us_index_is_of_the_nowcast(desk: Desk, post: Post) -> None:
    declare(desk, post, kind="unheard-of", channels=(("pm2_5", "ug/m3"),))
    means = [34.9, 43, 50, 64.9, 69.2, 66.2, 53.7, 48.6, 49.2, 35, None, 21]
    for i, mean in enumerate(means):
        if mean is not None:
            say(desk, post, hour(12 - i), 60, (mean,))
    settle(desk)
    assert stored(desk)[-1][1:5] == (87, 2, "pm2_5", 28.4)
    assert pm_nowcast(means[::-1]) == pytest.approx(28.4098, abs=1e-3)


def test_flagged_readings_are_never_averaged_in(desk: Desk, post: Post) -> None:
    declare(desk, post, channels=(("pm2_5", "ug/m3"),))
    say(desk, post, hour(1), 60, (12.0,), every=2)
    capped, broken, absent = (pack_flags([f]) for f in (Flag.FAIL_RANGE, Flag.FAIL_SPIKE, Flag.MISSING))
    say(desk, post, hour(1) + timedelta(seconds=10), 60, (999.0,), every=2, flags=capped)
    say(desk, post, hour(1) + timedelta(seconds=20), 60, (-40.0,), every=2, flags=broken)
    say(desk, post, hour(1) + timedelta(seconds=30), 60, (0.0,), every=2, flags=absent)
    settle(desk)
    assert desk.rows("SELECT n, flagged, sum FROM rollup_1h") == [(30, 90, 3600)]
    assert desk.rows("SELECT raw, parts, complete FROM air_hour") == [(12.0, 0, False)], (
        "three of four are bad"
    )
    assert stored(desk, EU_EAQI) == []


def test_a_stuck_sensor_has_no_index(desk: Desk, post: Post) -> None:
    declare(desk, post)
    say(desk, post, hour(3), 120, QUIET)
    flat = pack_flags([Flag.SUSPECT_FLAT] * 3 + [Flag.GOOD])
    say(desk, post, hour(1), 60, QUIET, flags=flat)
    settle(desk)
    assert [row[0] for row in stored(desk, EU_EAQI)] == [hour(3), hour(2)]
    assert [row[0] for row in desk.rows("SELECT max(time) FROM air_hour")] == [hour(2)]


def test_the_running_hour_counts_from_ten_minutes_on_and_is_judged_again_when_it_is_over(
    desk: Desk, post: Post
) -> None:
    declare(desk, post)
    say(desk, post, NOW, 5, QUIET)
    settle(desk, NOW + timedelta(minutes=5))
    assert stored(desk, EU_EAQI) == []
    say(desk, post, NOW + timedelta(minutes=5), 15, QUIET)
    settle(desk, NOW + timedelta(minutes=20))
    assert [row[0] for row in stored(desk, EU_EAQI)] == [NOW]
    assert desk.rows("SELECT DISTINCT complete, closed, through FROM air_hour") == [
        (True, False, NOW + timedelta(minutes=20))
    ]
    # it fell silent: twenty minutes are no hour
    follow(desk.connection, NOW + timedelta(minutes=61))
    assert stored(desk, EU_EAQI) == []
    assert desk.rows("SELECT DISTINCT complete, closed FROM air_hour") == [(False, True)]
    assert follow(desk.connection, NOW + timedelta(minutes=62)) == 0, "a closed hour is not looked at again"


def test_a_reading_each_five_minutes_fills_an_hour(desk: Desk, post: Post) -> None:
    declare(desk, post)
    say(desk, post, hour(1), 60, QUIET, every=5)
    settle(desk)
    assert desk.rows("SELECT DISTINCT parts, complete FROM air_hour") == [(12, True)]


def test_history_that_comes_late_moves_its_hour_and_the_eleven_after_it(desk: Desk, post: Post) -> None:
    declare(desk, post)
    for ago in (*range(16, 10, -1), *range(9, 0, -1)):
        say(desk, post, hour(ago), 60, QUIET)
    settle(desk)
    before = dict((row[0], row[1]) for row in stored(desk))
    say(desk, post, hour(10), 60, (200.0, 200.0, 20.0, 50.0), cls=Class.HISTORY)
    settle(desk)
    after = dict((row[0], row[1]) for row in stored(desk))
    assert {time for time in after if after[time] != before.get(time)} <= {hour(n) for n in range(10, 0, -1)}
    assert after[hour(9)] > before[hour(9)]
    assert after[hour(11)] == before[hour(11)]


def test_the_order_of_arrival_does_not_matter(desk: Desk) -> None:
    """Twelve hours in order, or backwards and piecemeal with ticks between: the same in the end."""
    posts = [Post("in-order"), Post("backwards")]
    desk.register(*posts)
    for post in posts:
        declare(desk, post)
    levels = [20.0, 35.0, 80.0, 15.0, 60.0, 10.0, 12.0, 90.0, 30.0, 31.0, 29.0, 40.0]
    for ago, level in zip(range(12, 0, -1), levels, strict=True):
        say(desk, posts[0], hour(ago), 60, (level, level, level * 2, 60.0))
    for ago, level in zip(range(1, 13), reversed(levels), strict=True):
        for half in (30, 0):
            begins = hour(ago) + timedelta(minutes=half)
            say(desk, posts[1], begins, 30, (level, level, level * 2, 60.0))
        settle(desk)
    settle(desk)
    columns = "time, index_id, value, level, category, driver, concentration, correction, through"
    of = f"SELECT {columns} FROM air_index JOIN device d ON d.id = device_id WHERE name = %s ORDER BY 1, 2"
    assert desk.rows(of, "backwards") == desk.rows(of, "in-order")
    assert len(desk.rows(of, "in-order")) == 12 + 11


def test_the_same_again_writes_nothing(desk: Desk, post: Post) -> None:
    declare(desk, post)
    desk.connection.execute("UPDATE device SET district = 'Harbour'")
    say(desk, post, hour(3), 180, QUIET)
    settle(desk)
    found = snapshot(desk)
    versions = "SELECT xmin::text FROM air_hour UNION ALL SELECT xmin::text FROM air_index"
    versions += " UNION ALL SELECT xmin::text FROM district_index"
    before = desk.rows(versions)
    desk.connection.execute("INSERT INTO air_dirty SELECT DISTINCT sensor_unit, time FROM air_hour")
    settle(desk)
    assert snapshot(desk) == found
    assert desk.rows(versions) == before


def test_a_tick_that_is_cut_off_leaves_its_marks(
    desk: Desk, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(desk, post)
    say(desk, post, hour(2), 120, QUIET)
    roll_up(desk.connection)
    marks = desk.rows("SELECT * FROM air_dirty ORDER BY 2")
    with monkeypatch.context() as broken:
        broken.setattr(
            upkeep, "_DISTRICTS", "SELECT 1 / 0 WHERE %s::text[] IS NOT NULL" + " OR %s IS NULL" * 8
        )
        with pytest.raises(psycopg.Error):
            follow(desk.connection, NOW)
    assert desk.rows("SELECT * FROM air_dirty ORDER BY 2") == marks
    assert stored(desk, EU_EAQI) == []
    settle(desk)
    assert len(stored(desk, EU_EAQI)) == 2


def test_one_worker_at_a_time_follows(desk: Desk, post: Post, database_url: str) -> None:
    declare(desk, post)
    say(desk, post, hour(1), 60, QUIET)
    roll_up(desk.connection)
    with psycopg.connect(database_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (upkeep.ADVISORY_LOCK,))
        assert follow(desk.connection, NOW) == 0
    assert follow(desk.connection, NOW) == 1


def test_a_mark_that_comes_while_its_hour_is_worked_on_is_not_lost(
    desk: Desk, post: Post, database_url: str
) -> None:
    """The roll-up finds the mark that a tick is taking: it waits, and marks the hour again."""
    declare(desk, post)
    say(desk, post, hour(1), 30, QUIET)
    roll_up(desk.connection)
    with psycopg.connect(database_url) as ticking:
        ticking.execute("SELECT 1")  # so that the tick is a part of a transaction that stays open
        follow(ticking, NOW)
        say(desk, post, hour(1) + timedelta(minutes=30), 30, QUIET)
        with psycopg.connect(database_url, autocommit=True) as rolling:
            thread = threading.Thread(target=roll_up, args=(rolling,))
            thread.start()
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            wait_until(lambda: desk.one(waiting) == 1, 10, "the roll-up to wait for the tick")
            ticking.commit()
            thread.join(30)
    assert desk.one("SELECT count(*) FROM air_dirty") == 1
    follow(desk.connection, NOW)
    assert desk.rows("SELECT DISTINCT parts FROM air_hour") == [(12,)]


def test_the_present_goes_before_the_past(desk: Desk, post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(desk, post)
    say(desk, post, hour(9), 540, QUIET)
    roll_up(desk.connection)
    monkeypatch.setattr(upkeep, "MARKS_A_TICK", 3)
    assert follow(desk.connection, NOW) == 3
    assert {row[0] for row in stored(desk, EU_EAQI)} == {hour(1), hour(2), hour(3)}


def test_an_hour_that_has_not_begun_is_nobodys_newest(desk: Desk, post: Post) -> None:
    declare(desk, post)
    say(desk, post, NOW + timedelta(hours=5), 60, QUIET)
    settle(desk)
    assert snapshot(desk) == [[], [], []]
    assert desk.one("SELECT count(*) FROM air_dirty") == 0


def test_humidity_of_another_sensor_of_the_post_counts(desk: Desk, post: Post) -> None:
    declare(desk, post, 1, "pms5003", PM[:3])
    declare(desk, post, 2, "bme280", (("humidity", "%"),))
    say(desk, post, hour(1), 60, (100.0, 66.0, 70.0))
    say(desk, post, hour(1), 60, (50.0,), unit=2)
    settle(desk)
    assert stored(desk, EU_EAQI)[0][4:] == (53.8, "barkjohn2022@1")
    alone = Post("alone")
    desk.register(alone)
    declare(desk, alone, 1, "pms5003", PM[:3], serial="B")
    say(desk, alone, hour(1), 60, (100.0, 66.0, 70.0))
    settle(desk)
    assert stored(desk, EU_EAQI)[1][4:] == (66.0, "none@1")


def test_of_two_sensors_the_one_that_measured_the_hour_speaks(desk: Desk, post: Post) -> None:
    first = declare(desk, post, 1, "sds011", PM[1:3])
    second = declare(desk, post, 2, "sps30", PM[1:3])
    say(desk, post, hour(3), 60, (10.0, 10.0), unit=1)
    say(desk, post, hour(2), 20, (10.0, 10.0), unit=1)
    say(desk, post, hour(3), 120, (30.0, 30.0), unit=2)
    settle(desk)
    who = desk.rows("SELECT time, sensor_unit, value FROM air_hour WHERE pollutant = 'pm2_5' ORDER BY time")
    assert who == [(hour(3), first, 10.0), (hour(2), second, 30.0)]


def test_what_is_no_mass_is_no_pollutant(desk: Desk, post: Post) -> None:
    declare(desk, post, 1, "odd", (("pm2_5", "mg/m3"), ("pm10", "1/dL"), ("raw_7", "ug/m3")))
    say(desk, post, hour(1), 60, (5.0, 5.0, 5.0))
    settle(desk)
    assert snapshot(desk) == [[], [], []]


def test_a_district_is_the_median_of_its_active_lampposts(desk: Desk) -> None:
    posts = [Post(f"lamp-{n}") for n in range(6)]
    desk.register(*posts)
    for n, post in enumerate(posts):
        declare(desk, post, 1, "unheard-of", (("pm2_5", "ug/m3"), ("pm10", "ug/m3")), serial=str(n))
    desk.connection.execute("UPDATE device SET district = 'Harbour' WHERE name <> 'lamp-5'")
    for post, values in zip(
        posts, ((4.0, 1.0), (10.0, 1.0), (20.0, 1.0), (60.0, 500.0), (1.0, 1.0), (140.0, 1.0)), strict=True
    ):
        say(desk, post, hour(2), 120, values)
    desk.connection.execute("UPDATE device SET state = 'quarantined' WHERE name = 'lamp-4'")
    settle(desk)
    query = (
        "SELECT tenant, district, time, value, level, category, driver, n FROM district_index"
        " WHERE index_id = %s ORDER BY time DESC LIMIT 1"
    )
    # levels 1, 2, 3 and 6: between 2 and 3 the worse
    assert desk.rows(query, EU_EAQI) == [("city", "Harbour", hour(1), 3, 3, "Moderate", "pm10", 4)]
    middle = ((us_aqi_of("pm2_5", 10.0) or 0) + (us_aqi_of("pm2_5", 20.0) or 0) + 1) // 2
    assert desk.rows(query, US_AQI) == [("city", "Harbour", hour(1), middle, 2, "Moderate", "pm10", 4)]


def test_the_newest_of_each_index_is_one_view(desk: Desk, post: Post) -> None:
    declare(desk, post)
    say(desk, post, hour(20), 1200, QUIET)
    settle(desk)
    assert desk.rows("SELECT index_id, time FROM air_latest ORDER BY 1") == [
        (EU_EAQI, hour(1)),
        (US_AQI, hour(1)),
    ]
