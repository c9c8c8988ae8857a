"""Where a lamppost stood when: noted by the database, whoever moves it and by whatever way."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from fleet_server import migrations
from fleet_server.clock import StreetClock
from fleet_server.context import Context
from fleet_server.db import bind
from fleet_server.devices import service
from fleet_server.devices.service import Place
from tests.fleet_server.telemetry.support import NOW, NOW_MS, Desk, Post
from tests.support.server_context import ADMIN, OPERATOR
from wire_contract.messages import Presence
from wire_contract.topics import Up

BEGIN, END = "-infinity", "infinity"
HERE, THERE = (41.1, -8.6), (41.2, -8.7)


def places(desk: Desk) -> list[tuple[Any, ...]]:
    """since, until (as PostgreSQL writes them; or seconds after NOW), latitude, cell, district."""
    rows = desk.rows(
        "SELECT since::text, until::text, (extract(epoch FROM since) - extract(epoch FROM %s))::float8,"
        " (extract(epoch FROM until) - extract(epoch FROM %s))::float8, latitude, cell, district"
        " FROM device_place ORDER BY device_id, until",
        NOW,
        NOW,
    )
    return [
        (a if a == BEGIN else since, b if b == END else until, *rest) for a, b, since, until, *rest in rows
    ]


def later(context: Context, seconds: float) -> Context:
    """The same, by a street clock that stands so much after NOW."""
    return replace(context, clock=StreetClock(wall_ms=lambda: NOW_MS + seconds * 1000))


def tell(desk: Desk, post: Post, cell: str, seconds: float) -> None:
    """A birth that tells a cell."""
    at = NOW + timedelta(seconds=seconds)
    settings = {"cell": cell} if cell else {}
    session = int(seconds) + 1
    told = Presence(True, session, int(at.timestamp() * 1000), b"e" * 16, "1", True, (), settings)
    desk.take(post.tell(Up.PRESENCE, told), now=at)


def test_a_move_ends_one_place_and_begins_another_by_the_streets_clock(context: Context, desk: Desk) -> None:
    post = Post("lamp-01")
    service.register(context, ADMIN, post.address, "", Place(*HERE, "Harbour"))
    assert places(desk) == [(BEGIN, END, 41.1, "", "Harbour")]
    service.change_place(later(context, 60), OPERATOR, post.address, at=THERE, district="West")
    service.register(later(context, 90), ADMIN, post.address, "", Place(*HERE))
    service.change_place(later(context, 120), OPERATOR, post.address, at="none")
    assert places(desk) == [
        (BEGIN, 60, 41.1, "", "Harbour"),
        (60, 90, 41.2, "", "West"),
        (90, 120, 41.1, "", "West"),
        (120, END, None, "", "West"),
    ]


def test_what_was_not_known_is_filled_in(context: Context, desk: Desk) -> None:
    post = Post("lamp-01")
    service.register(context, ADMIN, post.address)
    tell(desk, post, "ez3f5k", 60)
    assert places(desk) == [(BEGIN, END, None, "ez3f5k", "")]
    # declared where a cell was known: before that, it was known no better
    service.change_place(later(context, 90), OPERATOR, post.address, at=HERE)
    assert places(desk) == [(BEGIN, 90, None, "ez3f5k", ""), (90, END, 41.1, "ez3f5k", "")]
    # beside a declared place, the cell and the district are told of the same place
    tell(desk, post, "ez3f5m", 5_000)
    service.change_place(later(context, 6_000), OPERATOR, post.address, district="West")
    service.change_place(later(context, 7_000), OPERATOR, post.address, at=HERE)
    assert places(desk)[1:] == [(90, END, 41.1, "ez3f5m", "West")]


def test_a_cell_that_is_told_anew_is_a_move_or_soon_after_a_correction(context: Context, desk: Desk) -> None:
    post = Post("lamp-01")
    service.register(context, ADMIN, post.address)
    tell(desk, post, "ez3f5k", 60)
    tell(desk, post, "u33db2", 3_600)
    for seconds in range(3_601, 4_200, 7):  # it cannot make up its mind
        tell(desk, post, f"u33db{seconds % 10}", seconds)
    tell(desk, post, "ez3f5k", 4_199)
    assert places(desk) == [(BEGIN, 3_600, None, "ez3f5k", ""), (3_600, END, None, "ez3f5k", "")]


FINE = [(BEGIN, 3_600, None, "ez3f5k", ""), (3_600, END, None, "u33db2", "")]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        # withdrawn: of that place alone; told again, nothing is lost
        ([""], [FINE[0], (3_600, END, None, "", "")]),
        (["", "u33db2"], FINE),
        # what was told in between is not known: the present place's time goes to the one that is told next
        (["", "gcpvj0"], [FINE[0], (3_600, END, None, "gcpvj0", "")]),
        # coarser, also where that takes back a former place; finer again
        (["u33d"], [FINE[0], (3_600, END, None, "u33d", "")]),
        (["u33d", "u33db2"], FINE),
        (["u33db2m"], [FINE[0], (3_600, END, None, "u33db2m", "")]),
        (
            ["ez3"],
            [
                (BEGIN, 3_600, None, "ez3", ""),
                (3_600, 9_000, None, "u33db2", ""),
                (9_000, END, None, "ez3", ""),
            ],
        ),
        # gone back, and withdrawn there: both stays at that place
        (
            ["ez3f5k", ""],
            [(BEGIN, 3_600, None, "", ""), (3_600, 9_000, None, "u33db2", ""), (9_000, END, None, "", "")],
        ),
    ],
)
def test_a_cell_that_is_told_coarser_or_no_more_is_no_move_and_takes_back_the_fine_one(
    context: Context, desk: Desk, told: list[str], expected: list[tuple[Any, ...]]
) -> None:
    post = Post("lamp-01")
    service.register(context, ADMIN, post.address)
    tell(desk, post, "ez3f5k", 60)
    tell(desk, post, "u33db2", 3_600)
    assert places(desk) == FINE
    for hours, cell in enumerate(told):
        tell(desk, post, cell, 9_000 + hours * 3_600)
    assert places(desk) == expected


def test_a_declared_place_keeps_how_coarse_it_was_told(context: Context, desk: Desk) -> None:
    post = Post("lamp-01")
    service.register(context, ADMIN, post.address, "", Place(*HERE))
    tell(desk, post, "ez3f5k", 60)
    service.change_place(later(context, 90), OPERATOR, post.address, at=THERE)
    tell(desk, post, "ez3f", 120)
    assert [row[3] for row in places(desk)] == ["ez3f", "ez3f"]
    tell(desk, post, "", 180)
    assert [row[3] for row in places(desk)] == ["ez3f", ""]


def test_a_lamppost_that_tells_moves_all_day_is_believed_three_times(context: Context, desk: Desk) -> None:
    post, hour = Post("lamp-01"), 3_600
    service.register(context, ADMIN, post.address)
    told = [f"ez{n:02}f5" for n in range(30)]
    for n, cell in enumerate(told):
        tell(desk, post, cell, n * hour)
    begins = [row[0] for row in places(desk)]
    assert begins == [BEGIN, hour, 2 * hour, 3 * hour, 25 * hour, 26 * hour, 27 * hour]
    assert [row[3] for row in places(desk)] == [told[n] for n in (0, 1, 2, 24, 25, 26, 29)]
    # people are believed always
    for n in range(5):
        service.change_place(later(context, 30 * hour + n), OPERATOR, post.address, at=(41.0, n))
    assert len(places(desk)) == len(begins) + 5


def test_and_never_more_than_a_hundred_times(desk: Desk) -> None:
    """What people declare does not count."""
    desk.connection.execute("INSERT INTO device (tenant, name, cell) VALUES ('city', 'lamp-01', 'ez3f5k')")
    declared = [f"latitude = {n}, longitude = 1" for n in range(10)] + ["latitude = NULL, longitude = NULL"]
    told = [f"cell = 'u{n:03}'" for n in range(130)]
    with desk.connection.transaction():
        for day, change in enumerate(declared + told):
            at = (NOW + timedelta(days=day)).isoformat()
            desk.connection.execute("SELECT set_config('lamppost.now', %s, true)", (at,))
            desk.connection.execute(f"UPDATE device SET {change}")
    found = desk.rows("SELECT cell, until::text FROM device_place ORDER BY until")
    assert len(found) == 1 + 10 + 100
    assert found[-1] == ("u129", END)


def test_a_clock_that_was_set_back_makes_no_place_without_a_time(context: Context, desk: Desk) -> None:
    post = Post("lamp-01")
    service.register(context, ADMIN, post.address, "", Place(*HERE))
    service.change_place(later(context, 60), OPERATOR, post.address, at=THERE)
    service.change_place(later(context, 30), OPERATOR, post.address, at=(41.3, -8.5))
    assert places(desk) == [(BEGIN, 60, 41.1, "", ""), (60, END, 41.3, "", "")]


def test_whoever_changes_the_table_by_hand_is_noted_at_the_databases_time(desk: Desk, post: Post) -> None:
    desk.connection.execute("UPDATE device SET latitude = 1, longitude = 2")
    desk.connection.execute("UPDATE device SET latitude = 3, longitude = 4")
    since = desk.one("SELECT since FROM device_place WHERE until = 'infinity'")
    assert abs(since - datetime.now(UTC)) < timedelta(minutes=10)
    assert [row[2] for row in places(desk)] == [1.0, 3.0]


def test_a_tenant_moves_and_sees_its_own_lampposts_only(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO device (tenant, name, latitude, longitude) VALUES ('lisboa', 'b', 1, 2)"
        )
        connection.commit()
        bind(connection, "porto")
        connection.execute(
            "INSERT INTO device (tenant, name, latitude, longitude) VALUES ('porto', 'a', 3, 4)"
        )
        connection.execute("SELECT set_config('lamppost.now', '2050-01-01T00:00:00Z', true)")
        connection.execute("UPDATE device SET latitude = 5, longitude = 6")
        seen = connection.execute("SELECT latitude FROM device_place ORDER BY until").fetchall()
        assert seen == [(3.0,), (5.0,)]
        assert connection.execute("UPDATE device_place SET cell = 'x'").rowcount == 2
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute("INSERT INTO device_place (device_id, since, until) SELECT 1, now(), now()")
        connection.rollback()
        assert connection.execute("SELECT count(*) FROM device_place").fetchone() == (1,)


def test_what_stood_somewhere_before_is_assumed_to_have_stood_there(empty_database_url: str) -> None:
    """Up from the step before, down, and up again: links to places go on, and the next id is a new one."""
    migrations.upgrade(empty_database_url, "0018")
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO device (tenant, name) VALUES ('city', 'gone')")
        connection.execute("DELETE FROM device")
        connection.execute(
            "INSERT INTO device (tenant, name, latitude, longitude, cell, district, created_at)"
            " VALUES ('city', 'a', 1, 2, 's01mtw', 'West', %s), ('city', 'b', NULL, NULL, '', '', %s)",
            (NOW, NOW),
        )
        for _ in range(2):
            migrations.upgrade(empty_database_url)
            found = connection.execute(
                "SELECT id, device_id, latitude, cell, district, assumed FROM device_place ORDER BY id"
            ).fetchall()
            assert found == [(2, 2, 1.0, "s01mtw", "West", True), (3, 3, None, "", "", True)]
            connection.execute("UPDATE device SET latitude = 9 WHERE name = 'a'")
            moved = connection.execute("SELECT id, assumed FROM device_place WHERE latitude = 9").fetchall()
            assert moved == [(4, False)]
            connection.execute("UPDATE device SET latitude = 1 WHERE name = 'a'")
            migrations.downgrade(empty_database_url, "0018")
