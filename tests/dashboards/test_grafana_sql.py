"""Every SQL of both dashboards, as Grafana sends it, by the account it reads with, on a city with data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from air_quality.index import INDICES, US_AQI
from fleet_server.privacy.inventory import PLACES, How
from tests.dashboards.grafana import BOARDS, FOLDER, Query, Variables, board, expand, queries
from tests.fleet_server.air.support import declare, hour, say, settle
from tests.fleet_server.telemetry.support import NOW, NOW_MS, Desk, Post
from wire_contract.classes import Class
from wire_contract.flags import Flag, pack_flags
from wire_contract.messages import Condition, ConditionBatch, Presence
from wire_contract.topics import Up

ROLE = "lamppost_grafana"
RANGE = (NOW - timedelta(hours=24), NOW)
TIMES = {1184, 1114}  # the object ids of timestamptz and timestamp
NUMBERS = {20, 21, 23, 700, 701, 1700}
TEXTS = {25, 1043}
SECRET = (
    "operator",
    "operator_session",
    "claim",
    "enrolment",
    "certificate",
    "dead_letter",
    "incident_event",
)
GEO_A = [
    "lamppost",
    "site",
    "district",
    "latitude",
    "longitude",
    "index",
    "level",
    "category",
    "driver",
    "age",
]
# What each query answers with; a time series has its time first, and a metric where it has several lines.
COLUMNS: dict[tuple[str, str], list[str]] = {
    ("city", "panel 1 A"): ["active", "online", "fresh", "late", "stale", "open incidents"],
    ("city", "panel 2 A"): GEO_A,
    ("city", "panel 2 B"): [*GEO_A[:3], "geohash", *GEO_A[5:]],
    ("city", "panel 3 A"): ["district", "index", "level", "category", "driver", "lampposts", "hour"],
    ("city", "panel 4 A"): ["time", "metric", "value"],
    ("city", "panel 5 A"): ["time", "metric", "value"],
    ("city", "panel 6 A"): [
        *("id", "state", "severity", "title", "district", "opened_at", "last_verdict_at", "closed_at"),
        *("acknowledged_at", "silenced_until", "peak_score", "lampposts", "names", "late"),
    ],
    ("city", "panel 7 A"): [
        "lamppost",
        "district",
        "presence",
        "newest sample",
        "last_seen_at",
        "conditions",
    ],
    ("city", "panel 8 A"): ["lamppost", "district", "complete", "incomplete hours", "through"],
    ("city", "panel 9 A"): ["time", "complete"],
    ("city", "panel 10 A"): ["time", "metric", "value"],
    ("city", "annotation"): ["time", "timeend", "text", "tags"],
    ("lamppost", "panel 1 A"): ["index", "level", "category"],
    ("lamppost", "panel 2 A"): [
        *(
            "site",
            "district",
            "state",
            "presence",
            "agent_version",
            "clock_ok",
            "latitude",
            "longitude",
            "cell",
        ),
        *("last_seen_at", "newest_sample_at"),
    ],
    ("lamppost", "panel 3 A"): ["time", "metric", "value"],
    ("lamppost", "panel 4 A"): ["time", "metric", "value"],
    ("lamppost", "panel 5 A"): ["time", "pm2_5 raw", "pm2_5 corrected"],
    ("lamppost", "panel 5 B"): ["time", "pm10 raw", "pm10 corrected"],
    ("lamppost", "panel 6 A"): ["time", "index", "level"],
    ("lamppost", "panel 7 A"): [
        *("hour", "index", "level", "category", "driver", "concentration", "correction"),
    ],
    ("lamppost", "panel 8 A"): ["time", "metric", "value"],
    ("lamppost", "panel 9 A"): [
        *("time", "kind", "score", "confidence", "reason", "model", "sensor", "incident"),
    ],
    ("lamppost", "panel 10 A"): [
        *("code", "subject", "severity", "detail", "remedy", "source", "raised_at", "cleared_at"),
    ],
    ("lamppost", "panel 11 A"): [
        *("unit", "kind", "serial", "site", "channel", "slope", "offset", "humidity", "valid_from", "source"),
        "created_at",
    ],
    ("lamppost", "annotation"): ["time", "timeend", "text", "tags"],
}
ALL = [query for name in BOARDS for query in queries(name)]


@pytest.fixture
def desk(database_url: str) -> Iterator[Desk]:
    made = Desk(database_url)
    yield made
    made.close()


@pytest.fixture
def grafana(desk: Desk, database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """The account's own connection, to a city that has something for every panel."""
    fill(desk)
    desk.connection.execute((FOLDER / "role.sql").read_bytes())
    with psycopg.connect(make_conninfo(database_url, user=ROLE), autocommit=True) as connection:
        yield connection
    desk.connection.execute(f"DROP OWNED BY {ROLE}")


def fill(desk: Desk) -> None:
    """Three lampposts: one by its place, one by its cell, one that never spoke."""
    placed, celled, mute = Post("lamp-01"), Post("lamp-02"), Post("mute")
    desk.register(placed, celled, mute)
    desk.connection.execute(
        "UPDATE device SET latitude = 41.15, longitude = -8.61, district = 'Harbour' WHERE name = 'lamp-01'"
    )
    desk.connection.execute("UPDATE device SET district = 'O''Neill' WHERE name = 'lamp-02'")
    for n, post in enumerate((placed, celled)):
        unit = declare(desk, post, serial=f"S{n}")
        say(desk, post, hour(20), 1190, (60.0, 40.0 + 10 * n, 50.0, 55.0))
        word = pack_flags([Flag.FAIL_RANGE] * 4)
        say(desk, post, hour(20) + timedelta(seconds=30), 10, (999.0, 999.0, 999.0, 55.0), flags=word)
        told = (Condition(NOW_MS - 5000, "sensor_stuck", "pms", True, "warning", "flat", "Look at it."),)
        desk.take(post.publish(Class.DIAGNOSTIC, ConditionBatch(told)))
        born = Presence(True, 1, NOW_MS, b"e" * 16, "1.2", True, told, {"cell": "ez3fh5"})
        desk.take(post.tell(Up.PRESENCE, born))
        desk.connection.execute(
            "INSERT INTO calibration (sensor_unit_id, channel, slope, offset_, humidity, valid_from,"
            " created_by, created_at) VALUES (%s, 'pm10', 1.1, 0, 0, %s, 'ola', now())",
            (unit, NOW),
        )
    settle(desk)
    happen(desk)


def happen(desk: Desk) -> None:
    """Incidents, open and over, with verdicts of the lampposts."""
    for name, state, closed in (("lamp-01", "open", None), ("lamp-02", "closed", NOW)):
        values = {"name": name, "state": state, "closed": closed, "at": hour(2), "last": hour(1)}
        desk.connection.execute(
            "WITH v AS (INSERT INTO verdict (device_id, sensor_unit, time, kind, score, confidence, reason,"
            "   model, input_hash) SELECT d.id, u.id, %(at)s, 'episode', 0.9, 0.8, 'a rise', 'rule@1', ''"
            "   FROM device d JOIN sensor_unit u ON u.device_id = d.id WHERE d.name = %(name)s"
            "   RETURNING id, device_id, sensor_unit),"
            " i AS (INSERT INTO incident (tenant, kind, state, severity, title, opened_at, first_verdict_at,"
            "   last_verdict_at, closed_at, devices, peak_score) VALUES ('city', 'episode', %(state)s,"
            "   'major', 'Episode', %(at)s, %(at)s, %(last)s, %(closed)s, 1, 0.9) RETURNING id),"
            " m AS (INSERT INTO incident_member (incident_id, device_id, sensor_unit, first_at, last_at,"
            "   peak_score, verdicts) SELECT i.id, v.device_id, v.sensor_unit, %(at)s, %(last)s, 0.9, 1"
            "   FROM i, v)"
            " INSERT INTO incident_verdict (verdict_id, incident_id) SELECT v.id, i.id FROM i, v",
            values,
        )


def variables(connection: psycopg.Connection[Any], name: str, lamppost: str = "city/lamp-01") -> Variables:
    """As Grafana fills them: queries are asked, "All" is every answer."""
    found: dict[str, str | list[str]] = {"index": US_AQI, "lamppost": lamppost}
    for each in board(name)["templating"]["list"]:
        if each["type"] == "query":
            answers = [row[0] for row in connection.execute(expand(each["query"], found, *RANGE).encode())]
            assert answers, each["name"]
            if each["multi"]:
                found[each["name"]] = answers
            else:
                assert found[each["name"]] in answers
    return {each["name"]: found[each["name"]] for each in board(name)["templating"]["list"]}


def ask(
    connection: psycopg.Connection[Any],
    query: Query,
    values: Variables,
    span: tuple[datetime, datetime] = RANGE,
    interval_s: int = 60,
) -> psycopg.Cursor[Any]:
    return connection.execute(expand(query.sql, values, *span, interval_s=interval_s).encode())


def test_every_query_answers_with_its_columns(grafana: psycopg.Connection[Any]) -> None:
    assert {(query.board, query.place) for query in ALL} == set(COLUMNS)
    values = {name: variables(grafana, name) for name in BOARDS}
    for query in ALL:
        answer = ask(grafana, query, values[query.board])
        where = (query.board, query.place, query.title)
        assert answer.description is not None
        assert [column.name for column in answer.description] == COLUMNS[query.board, query.place], where
        assert answer.fetchall(), where
        if query.kind == "time_series":
            time, *rest = answer.description
            assert time.type_code in TIMES | NUMBERS, where
            lines = [column for column in rest if column.name != "metric"]
            assert {column.type_code for column in lines} <= NUMBERS, where
            assert all(c.type_code in TEXTS for c in rest if c.name == "metric"), where


def test_times_ascend_where_grafana_draws_a_line(grafana: psycopg.Connection[Any]) -> None:
    values = {name: variables(grafana, name) for name in BOARDS}
    for query in ALL:
        if query.kind == "time_series":
            times = [row[0] for row in ask(grafana, query, values[query.board])]
            assert times == sorted(times), query.title


@pytest.mark.parametrize("index_id", INDICES)
@pytest.mark.parametrize("minutes", [5, 24 * 60, 365 * 24 * 60])
def test_short_ranges_and_long_ones_are_answered(
    grafana: psycopg.Connection[Any], index_id: str, minutes: int
) -> None:
    """At five minutes the map still has its colours; at a year the hours are read instead of the minutes."""
    span = (NOW - timedelta(minutes=minutes), NOW)
    for name in BOARDS:
        values = {**variables(grafana, name), "index": index_id}
        if "lamppost" in values:
            values["lamppost"] = "city/lamp-02"
        rows = {
            query.place: ask(grafana, query, values, span, interval_s=max(60, minutes // 20 * 60)).fetchall()
            for query in queries(name)
        }
        shown = rows["panel 2 A"][0][GEO_A.index("index")] if name == "city" else rows["panel 1 A"][0][0]
        assert shown is not None
        if name == "lamppost" and minutes > 5:
            assert {row[2] for row in rows["panel 3 A"]} == {60.0, 50.0, 55.0}


def test_flagged_readings_are_in_no_mean_that_is_drawn(grafana: psycopg.Connection[Any]) -> None:
    values = variables(grafana, "lamppost")
    panels = {query.place: query for query in queries("lamppost")}
    means = ask(grafana, panels["panel 3 A"], values).fetchall()
    assert max(value for _, metric, value in means if metric.startswith("pm2_5 ")) == 40.0
    flagged = ask(grafana, panels["panel 4 A"], values).fetchall()
    assert sum(count for _, metric, count in flagged if metric.startswith("pm2_5 ")) == 10


def test_a_city_without_anything_has_no_error(desk: Desk, database_url: str) -> None:
    desk.connection.execute((FOLDER / "role.sql").read_bytes())
    nothing: Variables = {"index": US_AQI, "district": ["none"], "lamppost": "city/x", "channel": ["none"]}
    with psycopg.connect(make_conninfo(database_url, user=ROLE), autocommit=True) as connection:
        for query in ALL:
            ask(connection, query, nothing).fetchall()
    desk.connection.execute(f"DROP OWNED BY {ROLE}")


def test_a_hostile_name_stays_a_name(grafana: psycopg.Connection[Any]) -> None:
    values = {**variables(grafana, "lamppost"), "lamppost": "'; DROP TABLE device; --"}
    for query in queries("lamppost"):
        assert ask(grafana, query, values).fetchall() == []


def test_what_a_panel_formats_is_a_column_of_its_query() -> None:
    for name in BOARDS:
        for panel in board(name)["panels"]:
            answered = {
                column
                for target in panel["targets"]
                for column in COLUMNS[name, f"panel {panel['id']} {target['refId']}"]
            }
            named = [
                o["matcher"] for o in panel["fieldConfig"]["overrides"] if o["matcher"]["id"] == "byName"
            ]
            assert {each["options"] for each in named} <= answered, panel["title"]
            if panel["type"] == "geomap":
                for layer in panel["options"]["layers"]:
                    place = layer["location"]
                    wanted = {place.get(key) for key in ("latitude", "longitude", "geohash")} - {None}
                    style = layer["config"]["style"]
                    wanted |= {style["color"]["field"], style["text"]["field"]}
                    assert wanted <= set(
                        COLUMNS[name, f"panel {panel['id']} {layer['filterData']['options']}"]
                    )


def test_the_account_reads_and_changes_nothing(grafana: psycopg.Connection[Any]) -> None:
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        grafana.execute("DELETE FROM device")
    grafana.execute("SET default_transaction_read_only = off")
    for change in ("DELETE FROM device", "UPDATE incident SET state = 'closed'", "CREATE TABLE mine (n int)"):
        if change.startswith("CREATE") and grafana.info.server_version < 150_000:
            continue  # before PostgreSQL 15 everybody may make tables in the schema "public"
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            grafana.execute(change.encode())


@pytest.mark.parametrize("table", SECRET)
def test_the_account_sees_no_secret(grafana: psycopg.Connection[Any], table: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        grafana.execute(f"SELECT * FROM {table}".encode())


def test_what_the_role_may_read_is_what_is_listed(grafana: psycopg.Connection[Any], desk: Desk) -> None:
    """A table that a later migration adds is not readable until somebody lists it."""
    readable = desk.rows(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'v', 'p')"
        " AND relnamespace = 'public'::regnamespace AND has_any_column_privilege(%s, oid, 'SELECT')",
        ROLE,
    )
    text = (FOLDER / "role.sql").read_text()
    [listed] = re.findall(r"GRANT SELECT ON([^;]+)TO lamppost_grafana;", text)
    in_part = {"calibration", "incident"}
    assert {row[0] for row in readable} == {word.strip() for word in listed.split(",")} | in_part


def test_the_account_reads_nobody_s_name(grafana: psycopg.Connection[Any], desk: Desk) -> None:
    """Whoever may edit a dashboard sends any SQL. A column that is new in the inventory is here by itself."""
    named = {(each.table, each.column) for each in PLACES if each.how is How.NAME}
    readable = desk.rows(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'p') AND a.attnum > 0"
        " AND NOT a.attisdropped AND has_column_privilege(%s, c.oid, a.attnum, 'SELECT')",
        ROLE,
    )
    found = {(table, column) for table, column in readable}
    assert found & named == set()
    assert {("incident", "title"), ("calibration", "slope")} <= found
    for query in ("SELECT acknowledged_by FROM incident", "SELECT * FROM calibration"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            grafana.execute(query.encode())
