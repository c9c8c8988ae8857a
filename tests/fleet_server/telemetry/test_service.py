"""The questions asked of telemetry, over what the ingest stored."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from dashboards.data import Services
from fleet_server.access.rules import Principal
from fleet_server.access.service import SignedIn
from fleet_server.context import Context
from fleet_server.devices.rules import Freshness
from fleet_server.errors import Conflict, Forbidden, InvalidRequest, NotFound
from fleet_server.telemetry import service
from fleet_server.telemetry.ingest.replay import ReplayOutcome
from fleet_server.telemetry.rules import Gap, Resolution
from fleet_server.telemetry.upkeep.rollups import roll_up
from tests.fleet_server.telemetry.support import GOOD_WORD, MINUTE_MS, NOW, NOW_MS, Desk, Post
from tests.support.server_context import OPERATOR, VIEWER
from wire_contract.classes import Class
from wire_contract.messages import Tombstone, TombstoneReason
from wire_contract.topics import Address

NOBODY = Principal("operator", "nobody", frozenset())


def filled(desk: Desk, post: Post, times_ms: list[int]) -> int:
    """Store samples at these instants; returns the series of slot 1 (pm2_5, in tenths)."""
    desk.take(post.declare())
    for start in range(0, len(times_ms), 1000):
        desk.take(post.publish(Class.LIVE, post.samples(times_ms[start : start + 1000])))
    found: int = desk.one("SELECT id FROM series WHERE slot = 1")
    return found


def minutes_before_now(n: int) -> list[int]:
    return [NOW_MS - (n - i) * MINUTE_MS for i in range(n)]


def test_latest_has_values_in_units_and_ages(context: Context, desk: Desk, post: Post) -> None:
    filled(desk, post, minutes_before_now(10))
    last = NOW_MS - MINUTE_MS
    found = service.latest(context, VIEWER, post.address)
    assert [view.reading.series.channel for view in found] == ["pm1", "pm2_5", "pm10"]
    assert found[1].reading.value == ((last // 1000) % 10_000 + 1) / 10
    assert (found[1].age_s, found[1].freshness) == (60.0, Freshness.FRESH)
    assert len(service.latest(context, VIEWER, channel="pm2_5")) == 1
    with pytest.raises(NotFound, match="no device city/other"):
        service.latest(context, VIEWER, Address("city", "other"))


def test_the_map_of_a_city_that_measures_no_dust(context: Context, desk: Desk, post: Post) -> None:
    """The map asks for a channel that nobody here mistyped, and that none of these lampposts has."""
    filled(desk, post, minutes_before_now(2))
    desk.connection.execute("UPDATE series SET channel = 'co2' WHERE channel = 'pm2_5'")
    by = SignedIn(VIEWER, NOW + timedelta(hours=1))
    services = Services(context)
    try:
        [lamppost] = asyncio.run(services.lampposts(by))
    finally:
        services.close()
    assert (lamppost.name, lamppost.value) == ("lamp-01", None)


def test_auto_takes_the_finest_resolution_that_fits(context: Context, desk: Desk, post: Post) -> None:
    series = filled(desk, post, minutes_before_now(4_000))
    for span, resolution in (
        (timedelta(hours=3), Resolution.RAW),
        (timedelta(days=2), Resolution.HOUR),
        (timedelta(days=300), Resolution.DAY),
    ):
        seen = service.series(context, VIEWER, series, NOW - span, NOW)
        assert seen.resolution is resolution
        assert 0 < len(seen.points) <= 2000


@pytest.mark.parametrize("rolled_up", [False, True])
def test_every_resolution_tells_the_same_whether_folded_or_not(
    context: Context, desk: Desk, post: Post, rolled_up: bool
) -> None:
    series = filled(desk, post, minutes_before_now(3_000))
    if rolled_up:
        while roll_up(desk.connection):
            pass
        fresh = post.samples([NOW_MS - 90_000])  # between two minutes: its hour and day are behind again
        desk.take(post.publish(Class.LIVE, fresh))
    begins = datetime(2026, 11, 18, tzinfo=UTC)
    raw = service.series(context, VIEWER, series, begins, NOW, Resolution.RAW).points
    total = sum(point.value or 0.0 for point in raw)
    for resolution in (Resolution.MINUTE, Resolution.HOUR, Resolution.DAY):
        points = service.series(context, VIEWER, series, begins, NOW, resolution).points
        assert sum(point.n for point in points) == len(raw) == 3_000 + rolled_up
        assert sum((point.value or 0.0) * point.n for point in points) == pytest.approx(total)
        assert min(p.low for p in points if p.low is not None) == min(p.value or 0.0 for p in raw)
        times = [point.time for point in points]
        assert times == sorted(set(times))


def test_a_long_answer_says_where_to_go_on(context: Context, desk: Desk, post: Post) -> None:
    series = filled(desk, post, minutes_before_now(25))
    pages, begins = [], NOW - timedelta(hours=1)
    while True:
        seen = service.series(context, VIEWER, series, begins, NOW, Resolution.RAW, limit=10)
        pages.append(len(seen.points))
        if seen.next_begins is None:
            break
        begins = seen.next_begins
    assert pages == [10, 10, 5]


def test_missing_readings_are_none(context: Context, desk: Desk, post: Post) -> None:
    desk.take(post.declare())
    desk.take(post.publish(Class.LIVE, post.samples([NOW_MS - 1000], flags=(GOOD_WORD & ~0xFF) | 0x91)))
    point = service.series(context, VIEWER, desk.one("SELECT id FROM series WHERE slot = 1")).points[0]
    assert (point.value, point.n, point.flagged, point.flag) == (None, 0, 1, 9)


def test_gaps_are_silences_and_what_was_shed(context: Context, desk: Desk, post: Post) -> None:
    times = [t for i, t in enumerate(minutes_before_now(60)) if not 20 <= i < 30 and i < 50]
    series = filled(desk, post, times)
    lost = Tombstone(2, 4, TombstoneReason.SPOOL_FULL, 7, times[5], times[8])
    desk.take(post.publish(Class.LIVE, lost, 2))
    seen = service.gaps(context, VIEWER, series)
    at = [datetime.fromtimestamp(t / 1000, UTC) for t in times]
    assert seen.cadence_s == 60.0
    assert list(seen.gaps) == [
        Gap(at[5], at[8], "spool_full", 7),
        Gap(at[19], at[20], "silence"),
        Gap(at[-1], NOW, "silence"),
    ]


def test_wrong_questions_are_told_apart(context: Context, desk: Desk, post: Post) -> None:
    series = filled(desk, post, minutes_before_now(3))
    with pytest.raises(NotFound):
        service.series(context, VIEWER, series + 1000)
    with pytest.raises(InvalidRequest):
        service.series(context, VIEWER, series, NOW, NOW - timedelta(hours=1))
    with pytest.raises(InvalidRequest):
        service.series(context, VIEWER, series, datetime(2026, 1, 1), NOW)
    with pytest.raises(Forbidden):
        service.series(context, NOBODY, series)
    with pytest.raises(Forbidden):
        service.latest(context, NOBODY)


def test_a_letter_is_replayed_by_an_operator_once(context: Context, desk: Desk, post: Post) -> None:
    desk.take(post.publish(Class.LIVE, post.samples([NOW_MS - 1000], unit=3)))
    desk.take(post.publish(Class.LIVE, b"\x01"))
    letters = service.dead_letters(context, OPERATOR)
    assert [letter.reason for letter in letters] == ["truncated", "unknown_sensor"]
    assert service.dead_letters(context, OPERATOR, before_id=letters[0].id) == letters[1:]
    waiting = letters[1].id
    assert service.replay(context, OPERATOR, waiting).outcome is ReplayOutcome.REFUSED
    desk.take(post.declare(unit=3))
    assert service.replay(context, OPERATOR, waiting).samples == 1
    with pytest.raises(Conflict):
        service.replay(context, OPERATOR, waiting)
    with pytest.raises(NotFound):
        service.replay(context, OPERATOR, 10**6)
    with pytest.raises(Forbidden):
        service.replay(context, VIEWER, letters[0].id)
    assert len(service.dead_letters(context, OPERATOR)) == 1
    assert len(service.dead_letters(context, OPERATOR, waiting=False)) == 2


def test_a_day_is_the_same_before_and_after_the_worker_has_folded_it(
    context: Context, desk: Desk, post: Post
) -> None:
    """A range that ends within a day still gives the whole day, dirty or not."""
    midnight = NOW_MS - NOW_MS % 86_400_000
    yesterday = [midnight - 86_400_000 + i * 3_600_000 for i in range(24)]
    series = filled(desk, post, yesterday)
    noon = NOW - timedelta(days=1)
    asked = (context, VIEWER, series, noon - timedelta(hours=12), noon, Resolution.DAY)
    dirty = service.series(*asked).points
    while roll_up(desk.connection):
        pass
    clean = service.series(*asked).points
    desk.take(post.publish(Class.HISTORY, post.samples([yesterday[3] + MINUTE_MS])))
    late = service.series(*asked).points
    assert [point.n for point in dirty] == [point.n for point in clean] == [24]
    assert [point.n for point in late] == [25]


def test_nothing_but_silence_is_a_gap(context: Context, desk: Desk, post: Post) -> None:
    two_days_ago = [t - 48 * 3_600_000 for t in minutes_before_now(60)]
    series = filled(desk, post, two_days_ago)
    seen = service.gaps(context, VIEWER, series)
    assert seen.cadence_s == 60.0
    assert [(gap.reason, gap.ends) for gap in seen.gaps] == [("silence", NOW)]
