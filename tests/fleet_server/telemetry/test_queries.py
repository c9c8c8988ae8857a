"""A unit's channels together, districts, completeness: the service over what the ingest stored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_server.access.rules import Principal
from fleet_server.context import Context
from fleet_server.errors import Forbidden, InvalidRequest, NotFound
from fleet_server.spans import EARLIEST, LATEST
from fleet_server.telemetry import service
from fleet_server.telemetry.rules import SECONDS_OF, Resolution
from fleet_server.telemetry.steps import base_of, expected_instants, points_of, step_for
from fleet_server.telemetry.upkeep.rollups import roll_up
from tests.fleet_server.telemetry.stores import BOTH, url_on
from tests.fleet_server.telemetry.support import GOOD_WORD, MINUTE_MS, NOW, NOW_MS, Desk, Post
from tests.support.server_context import VIEWER
from wire_contract.classes import Class
from wire_contract.messages import Tombstone, TombstoneReason
from wire_contract.topics import Address

NOBODY = Principal("operator", "nobody", frozenset())
DAY_MS = 86_400_000
INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@pytest.fixture(params=BOTH)
def database_url(
    database_url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    with url_on(request.param, database_url, monkeypatch) as url:
        yield url


@given(INSTANTS, st.timedeltas(timedelta(milliseconds=1), LATEST - EARLIEST), st.integers(2, 4_000))
def test_a_step_is_the_finest_that_fits(begins: datetime, span: timedelta, width: int) -> None:
    ends = begins + span
    step = step_for(begins, ends, width)
    assert points_of(begins, ends, step) <= width
    assert step % SECONDS_OF[base_of(step)] == 0
    if step > 60:  # half of it, and so the next finer one too, would be too many
        assert points_of(begins, ends, 60) > width
        assert (span.total_seconds() / step) * 6 + 2 >= width / 3


@pytest.mark.parametrize(
    ("begins_h", "ends_h", "cadence_s", "expected"),
    [
        (0, 24, 60.0, 1440.0),
        (-24, 48, 60.0, 1440.0),
        (6, 12, 60.0, 360.0),
        (24, 48, 60.0, 0.0),
        (-24, 0, 60.0, 0.0),
        (0, 24, None, None),
        (0, 24, 0.0, None),
        (0, 24, 300.0, 288.0),
    ],
)
def test_what_a_day_owes(begins_h: int, ends_h: int, cadence_s: float | None, expected: float | None) -> None:
    day = datetime(2026, 11, 19, tzinfo=UTC)
    between = day + timedelta(hours=begins_h), day + timedelta(hours=ends_h)
    assert expected_instants(day, cadence_s, *between) == expected


def stored(desk: Desk, post: Post, times_ms: list[int], flags: int = GOOD_WORD) -> int:
    """Declare and store; returns the number of the post's first sensor unit."""
    desk.take(post.declare())
    for start in range(0, len(times_ms), 1000):
        desk.take(post.publish(Class.HISTORY, post.samples(times_ms[start : start + 1000], flags=flags)))
    name = post.address.device
    found: int = desk.one(
        "SELECT min(u.id) FROM sensor_unit u JOIN device d ON d.id = u.device_id WHERE d.name = %s", name
    )
    return found


def test_a_chart_fits_its_width_and_tells_the_same_at_every_one(
    context: Context, desk: Desk, post: Post
) -> None:
    unit = stored(desk, post, [NOW_MS - i * MINUTE_MS for i in range(1, 3_001)])
    begins = NOW - timedelta(days=3)
    seen = {
        width: service.unit(context, VIEWER, unit, begins, NOW, width=width) for width in (10, 100, 4_000)
    }
    assert {w: (v.resolution, v.step_s) for w, v in seen.items()} == {
        10: (Resolution.HOUR, 43_200),
        100: (Resolution.HOUR, 3_600),
        4_000: (Resolution.RAW, None),
    }
    raw = seen[4_000].chart
    for width, view in seen.items():
        chart = view.chart
        assert len(chart.times) <= width
        assert list(chart.times) == sorted(set(chart.times))
        for column, plain in zip(chart.channels, raw.channels, strict=True):
            for cells in (column.mean, column.low, column.high, column.n, column.flagged):
                assert len(cells) == len(chart.times)
            assert sum(column.n) == 3_000
            total = sum((m or 0.0) * n for m, n in zip(column.mean, column.n, strict=True))
            assert total == pytest.approx(sum(value or 0.0 for value in plain.mean))
            assert min(v for v in column.low if v is not None) == min(v for v in plain.low if v is not None)
            assert max(v for v in column.high if v is not None) == max(v for v in plain.high if v is not None)
    both = service.lamppost(context, VIEWER, post.address, begins, NOW, width=100)
    assert [view.chart for view in both] == [seen[100].chart]


def test_a_chart_of_what_is_kept_in_rollups_only(context: Context, desk: Desk, post: Post) -> None:
    """Raw samples may be gone where hours are kept; flagged and missing readings keep their place."""
    unit = stored(desk, post, [NOW_MS - i * MINUTE_MS for i in range(1, 121)], flags=0x191)
    raw = service.unit(context, VIEWER, unit, NOW - timedelta(hours=2), NOW, width=200).chart
    assert {tuple(c.mean[:1]) for c in raw.channels if c.series.slot == 1} == {(None,)}
    assert [(sum(c.n), sum(c.flagged)) for c in raw.channels] == [(120, 0), (0, 120), (120, 0)]
    desk.connection.execute("DELETE FROM sample_standard" if _has_classes(desk) else "DELETE FROM sample")
    view = service.unit(context, VIEWER, unit, NOW - timedelta(hours=2), NOW, width=200)
    assert (view.resolution, view.step_s, len(view.chart.times)) == (Resolution.MINUTE, 60, 120)
    assert [(sum(c.n), sum(c.flagged)) for c in view.chart.channels] == [(120, 0), (0, 120), (120, 0)]
    nothing = service.unit(context, VIEWER, unit, EARLIEST, EARLIEST + timedelta(days=400), width=10)
    assert (nothing.chart.times, len(nothing.chart.channels)) == ([], 3)


def _has_classes(desk: Desk) -> bool:
    return desk.one("SELECT to_regclass('sample_standard') IS NOT NULL") is True


def test_wrong_questions(context: Context, desk: Desk, post: Post) -> None:
    unit = stored(desk, post, [NOW_MS - MINUTE_MS])
    for width in (0, 9, 4_001, -5):
        with pytest.raises(InvalidRequest):
            service.unit(context, VIEWER, unit, width=width)
    for ask in (
        lambda: service.unit(context, VIEWER, unit + 1),
        lambda: service.lamppost(context, VIEWER, Address("city", "nowhere")),
        lambda: service.completeness(context, VIEWER, Address("city", "nowhere")),
        lambda: service.version(context, VIEWER, unit_id=unit + 1),
        lambda: service.version(context, VIEWER, series_id=10**6),
        lambda: service.version(context, VIEWER, address=Address("city", "nowhere")),
    ):
        with pytest.raises(NotFound):
            ask()
    for forbidden in (
        lambda: service.unit(context, NOBODY, unit),
        lambda: service.lamppost(context, NOBODY, post.address),
        lambda: service.districts(context, NOBODY),
        lambda: service.completeness(context, NOBODY),
        lambda: service.version(context, NOBODY),
        lambda: service.latest_version(context, NOBODY),
    ):
        with pytest.raises(Forbidden):
            forbidden()
    with pytest.raises(InvalidRequest, match="six hours"):
        service.districts(context, VIEWER, resolution=Resolution.MINUTE)
    with pytest.raises(InvalidRequest, match="raw"):
        service.districts(context, VIEWER, resolution=Resolution.RAW)


def test_completeness_counts_what_was_owed(context: Context, desk: Desk, post: Post) -> None:
    midnight = NOW_MS - NOW_MS % DAY_MS
    times = [t for i in range(1440) if not 100 <= i < 460 for t in [midnight - DAY_MS + i * MINUTE_MS]]
    today = [midnight + i * MINUTE_MS for i in range(720)]
    stored(desk, post, times + today)
    desk.take(post.publish(Class.LIVE, Tombstone(2, 4, TombstoneReason.SPOOL_FULL, 7, times[5], times[8]), 2))
    taken_down = Post("lamp-02")
    desk.register(taken_down)
    gone = stored(desk, taken_down, [midnight - DAY_MS + i * MINUTE_MS for i in range(600)], flags=0x999)
    desk.connection.execute("UPDATE device SET state = 'decommissioned' WHERE name = 'lamp-02'")
    while roll_up(desk.connection):
        pass
    seen = service.completeness(context, VIEWER, begins=NOW - timedelta(days=2))
    told = [
        (str(d.record.address), d.record.day.day, d.expected, d.record.received, d.share, d.flagged_share)
        for d in seen.days
    ]
    assert told == [
        ("city/lamp-01", 19, 1440.0, 1080, 0.75, 0.0),
        ("city/lamp-01", 20, 720.0, 720, 1.0, 0.0),
        ("city/lamp-02", 19, pytest.approx(600, abs=1), 600, 1.0, 1.0),
    ]
    assert [d.record.shed for d in seen.days] == [7, 0, 0]
    assert [d.record.cadence_s for d in seen.days] == [60.0] * 3
    assert seen.days[2].record.unit == gone
    one = service.completeness(context, VIEWER, post.address, NOW - timedelta(days=2))
    assert one.days == seen.days[:2]


def test_completeness_of_many_units_comes_in_pages(context: Context, desk: Desk) -> None:
    """However units lack days, the pages put together are the whole."""
    midnight = NOW_MS - NOW_MS % DAY_MS
    for number, back in enumerate((0, 40, 40, 40, 40, 1, 40, 2)):
        post = Post(f"lamp-{number}")
        desk.register(post)
        first = midnight - back * DAY_MS
        stored(desk, post, [first + i * 3_600_000 for i in range(12)])
        if back == 40:
            desk.connection.execute(
                "UPDATE device SET state = 'decommissioned' WHERE name = %s", (post.name,)
            )
    while roll_up(desk.connection):
        pass
    begins = NOW - timedelta(days=6)
    whole = service.completeness(context, VIEWER, begins=begins).days
    assert len({day.record.unit for day in whole}) == 3
    for limit in (1, 2, 3, 5):
        pages: list[service.DayView] = []
        after = None
        while True:
            seen = service.completeness(context, VIEWER, begins=begins, after=after, limit=limit)
            assert len(seen.days) <= limit
            pages += seen.days
            after = seen.next_after
            if after is None:
                break
        assert pages == whole
