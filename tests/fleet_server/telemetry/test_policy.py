"""TimescaleDB's own retention policy: it acts where no worker role did for a week, and notes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from fleet_server.config import RetentionConfig
from fleet_server.database import accounting, recount
from fleet_server.database.findings import Verdict
from fleet_server.telemetry.upkeep.retain import retain
from tests.fleet_server.telemetry.stores import ENGINES, Fold, Store, opened, stored
from tests.fleet_server.telemetry.support import Desk, Post
from tests.support.waiting import wait_until
from wire_contract.classes import Class

KEEP = RetentionConfig(30, 30, 30, 30, 0, 0, 0, 0)
TABLES = ("sample_standard", "unit_minute")
LINES = "SELECT what, rows, kept_from FROM retention_log ORDER BY id"


@pytest.fixture(params=ENGINES[1:])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with opened(request.param, request, monkeypatch) as made:
        yield made


def run_policies(store: Store, now: datetime, tables: Sequence[str] = TABLES) -> None:
    """By the real clock, as they do."""
    desk = store.desk
    for table in tables:
        job, drop_after = desk.rows(
            "SELECT job_id, config ->> 'drop_after' FROM timescaledb_information.jobs"
            " WHERE proc_name = 'policy_retention' AND hypertable_name = %s",
            table,
        )[0]
        if store.engine == "timescale":
            desk.rows("SELECT alter_job(%s, scheduled => true, next_start => now())", job)
            ran = (
                "SELECT 1 FROM timescaledb_information.job_stats"
                " WHERE job_id = %s AND last_successful_finish > '-infinity'"
            )
            # its launcher looks for new databases once a minute, its scheduler for jobs every few seconds
            wait_until(partial(desk.rows, ran, job), 150, "a background worker's run")
        else:
            desk.rows("SELECT drop_chunks(%s, older_than => %s - %s::interval)", table, now, drop_after)
            desk.connection.execute(
                "INSERT INTO timescaledb_information.job_stats VALUES (%s, %s)", (job, now)
            )


def at(now: datetime, days: float, minutes: int = 0) -> int:
    """Some minutes into the hour that began so many days ago, ms."""
    hour = (now - timedelta(days=days)).replace(minute=0, second=0, microsecond=0)
    return int(hour.timestamp() * 1000) + minutes * 60_000


def others(
    found: dict[tuple[int, datetime], Fold], before: dict[tuple[int, datetime], Fold]
) -> set[datetime]:
    """Buckets that are not what they were."""
    return {bucket for key in {*found, *before} if found.get(key) != before.get(key) for _, bucket in (key,)}


def accounts(desk: Desk) -> Verdict:
    return accounting.look(desk.connection, lambda _: None)[0].verdict


def test_what_the_policy_removed_is_written_down_before_anything_is_made_of_what_it_left(
    store: Store,
) -> None:
    desk, post, now = store.desk, Post(), datetime.now(UTC)
    desk.register(post)
    retain(desk.connection, KEEP, now)  # makes the policies
    times = [at(now, days, minutes) for days in range(80, -1, -1) for minutes in (1, 2)]
    times = [each for each in times if each <= now.timestamp() * 1000]
    desk.take(post.declare(), post.publish(Class.HISTORY, post.samples(times)), now=now)
    store.settle()
    hours, days = stored(desk, "rollup_1h"), stored(desk, "rollup_1d")
    run_policies(store, now)
    left = desk.one("SELECT count(*) FROM sample")
    assert 37 * 2 <= left <= (37 + 8) * 2
    assert accounts(desk) is Verdict.UNSOUND

    late = [at(now, 79, 30), at(now, 40, 30)]  # one whose minutes are gone, one whose minutes are there
    assert desk.take(post.publish(Class.HISTORY, post.samples(late)), now=now).counts["samples"] == 2
    store.settle()
    recent = datetime.fromtimestamp(at(now, 40) / 1000, UTC)
    assert others(stored(desk, "rollup_1h"), hours) <= {recent}
    assert others(stored(desk, "rollup_1d"), days) <= {recent.replace(hour=0)}
    ((what, _, kept_from),) = desk.rows(LINES)
    assert what == "unit_minute"
    assert kept_from <= now - timedelta(days=37)

    while retain(desk.connection, KEEP, now):
        pass
    assert accounts(desk) is Verdict.SOUND
    assert recount.look(desk.connection, lambda _: None, everything=True).verdict is not Verdict.UNSOUND
    lines = desk.rows(LINES)
    assert sum(rows for what, rows, _ in lines if what.startswith("sample")) == (
        len(times) + 2 - desk.one("SELECT count(*) FROM sample")
    )
    retain(desk.connection, KEEP, now)
    assert desk.rows(LINES) == lines


def test_a_city_whose_past_comes_late_has_its_hours(store: Store) -> None:
    """The policy has run, and removed nothing: there was nothing."""
    desk, post, now = store.desk, Post(), datetime.now(UTC)
    desk.register(post)
    retain(desk.connection, KEEP, now)
    desk.take(post.declare(), post.publish(Class.LIVE, post.samples([at(now, 0)])), now=now)
    store.settle()
    run_policies(store, now)
    desk.take(post.publish(Class.HISTORY, post.samples([at(now, 79)])), now=now)
    store.settle()
    assert desk.rows(LINES) == []
    assert desk.one("SELECT sum(n) FROM rollup_1h") == 2 * 3


def test_what_a_tenants_own_retention_emptied_is_not_the_policys(store: Store) -> None:
    """A tenant keeps ten days where its class keeps thirty: the worker and the policy find nothing."""
    desk, post, now = store.desk, Post(), datetime.now(UTC)
    then = now - timedelta(days=20)
    keep = replace(KEEP, minutes_days=0)
    desk.register(post)
    desk.connection.execute("INSERT INTO tenant_retention VALUES ('city', 'standard', 10)")
    retain(desk.connection, keep, then)  # makes the policy
    times = [at(then, days + 0.5) for days in range(24, -1, -1)]
    desk.take(post.declare(), post.publish(Class.HISTORY, post.samples(times)), now=then)
    store.settle()
    retain(desk.connection, keep, then)
    lines = "SELECT tenant, rows FROM retention_log ORDER BY id"
    assert desk.rows(lines) == [("city", 15)]

    run_policies(store, now, ["sample_standard"])
    retain(desk.connection, keep, now)
    assert desk.rows(lines) == [("city", 15), ("city", 10)]
    retain(desk.connection, keep, now + timedelta(days=2))
    assert len(desk.rows(lines)) == 2

    # the same, where it was another tenant that kept less
    desk.connection.execute("UPDATE retention_log SET tenant = 'elsewhere'")
    retain(desk.connection, keep, now)
    assert [tenant for tenant, _ in desk.rows(lines)] == ["elsewhere", "elsewhere", ""]
