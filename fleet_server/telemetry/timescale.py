"""TimescaleDB, where it can be had: samples and minutes in hypertables whose old chunks are compressed.

Everything works without it. Compression is licensed under the Timescale License (TSL), not Apache 2.0: a city
may use it freely on its own servers, and Lamppost ships none of it. The calls are those of TimescaleDB 2.14
to 2.28, by the names that all of these know (later ones call compression "columnstore" as well).

A compressed chunk has no system columns and takes late rows; PostgreSQL's promises (the unique key, what a
transaction sees) hold in it.

Hours and days are continuous aggregates over the minutes: they answer from what is materialized and, above
that, from the minutes. The worker role alone refreshes what its marks name. There is no refresh policy: two
refreshes of the same hours at once are an error in TimescaleDB 2.28, and 2.28.2 may forget a change then (its
issue 10219). Where no worker runs, nothing is materialized and all is answered from the minutes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

import psycopg
import sqlalchemy
from psycopg import sql
from sqlalchemy import Connection, Engine, text

from fleet_server.telemetry.replacing import kind_of, refill, set_aside, without_views
from wire_contract.limits import MAX_SLOTS

CHUNK_INTERVAL = "7 days"  # a week of a thousand posts at one sample a minute: 10 M rows, well within memory
COMPRESS_AFTER = "14 days"  # two chunks stay as rows: devices that were offline for a week drain into these
# NULL: the server has none; false: it could be made here; true: it is in this database.
_OFFERED = "SELECT installed_version IS NOT NULL FROM pg_available_extensions WHERE name = 'timescaledb'"
# By this view, because SHOW is refused to accounts that may not see the setting; there it is NULL.
_PRELOADED = "SELECT setting LIKE '%timescaledb%' FROM pg_settings WHERE name = 'shared_preload_libraries'"
TABLES = {"sample_short": "time", "sample_standard": "time", "sample_long": "time", "unit_minute": "bucket"}
"""The tables that become hypertables, and their column of time."""

AGGREGATES = {"unit_hour": ("unit_minute", "1 hour"), "unit_day": ("unit_hour", "1 day")}
"""The continuous aggregates, each made of the one before: what it reads and its bucket."""
GRACE = (
    "7 days"  # the worker removes chunks and writes it down; the policy does where no worker did for a week
)

FOLDS = {
    "sum": "sum({c})::bigint",
    "n": "sum({c})::int",
    "min": "min({c})",
    "max": "max({c})",
    "flagged": "sum({c})::int",
}
"""How a wide rollup's columns come of the finer one's, on both engines: the types stay the table's."""
ROLLUP_COLUMNS = [f"{field}_{i}" for field in FOLDS for i in range(MAX_SLOTS)]
_HAS_OPTIONS = """
SELECT bool_or('options' = ANY(proargnames)) FROM pg_proc
WHERE proname = 'refresh_continuous_aggregate' AND pg_function_is_visible(oid)
"""
# In pieces, TimescaleDB 2.28 passes over a bucket where the last row that changed is at its very beginning,
# such as a minute at the full hour (its issues 10221, 10296).
_IN_ONE_PIECE: LiteralString = """, options => '{{"buckets_per_batch": 0}}'"""
# Up to the last of these chunks nothing is left; between there and the horizon a chunk may still stand.
_ENDED = """
SELECT max(range_end) FROM timescaledb_information.chunks
WHERE format('%%I.%%I', chunk_schema, chunk_name) = ANY(%s)
"""
# The policy's last run removed every chunk that had ended by then less its days; the next begins at its end.
_BY_POLICY = """
SELECT date_trunc('hour', least(p.horizon, min(c.range_start)), 'UTC') FROM (
    SELECT max(s.last_successful_finish - (j.config ->> 'drop_after')::interval) AS horizon
    FROM timescaledb_information.jobs j JOIN timescaledb_information.job_stats s ON s.job_id = j.job_id
    WHERE j.proc_name = 'policy_retention' AND j.hypertable_schema = current_schema()
          AND j.hypertable_name = %(table)s AND s.last_successful_finish > '-infinity') p
LEFT JOIN timescaledb_information.chunks c
    ON c.hypertable_schema = current_schema() AND c.hypertable_name = %(table)s AND c.range_end > p.horizon
GROUP BY p.horizon
"""
NOT_IN_THIS_STATE = "55000"  # object_not_in_prerequisite_state

_log = logging.getLogger(__name__)


def prepare(engine: Engine) -> bool:
    """Put the extension into the database where the server offers it. True where it is there afterwards.

    On a connection of its own: TimescaleDB wants CREATE EXTENSION to be a session's first command. Where the
    account may not create it, it says so in the log and the tables are partitioned by PostgreSQL.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        installed = connection.execute(text(_OFFERED)).scalar()
        if installed is not False:
            return bool(installed)
        if connection.execute(text(_PRELOADED)).scalar() is False:
            _log.info("TimescaleDB is installed and not in shared_preload_libraries: done without it")
            return False
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("CREATE EXTENSION IF NOT EXISTS timescaledb"))
    except sqlalchemy.exc.DBAPIError as refused:
        _log.warning("TimescaleDB is there and may not be enabled: %s", str(refused.orig).split("\n")[0])
        return False
    return True


@dataclass(frozen=True)
class Dropped:
    """What was dropped whole: all of it lay before `kept_from`."""

    rows: int
    partitions: int
    kept_from: datetime


def enable(connection: Connection) -> None:
    """Make the tables compressed hypertables, and hours and days continuous aggregates, unless they are.

    All of these calls may stand in a transaction; the caller commits. After `prepare`.
    """
    raw: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
    apache = _is_apache(raw)
    for table, column in TABLES.items():
        if not is_hypertable(raw, table):
            _make_hypertable(raw, table, column)
            if not apache:
                with _may_refuse(raw, f"{table} is not compressed"):
                    _compress(raw, table, column)
    if apache:
        _log.warning("this TimescaleDB is the Apache edition: no compression, no continuous aggregates")
    elif aggregates(raw):
        return
    elif _only_in_hours(raw):
        _log.warning(
            "hours are kept whose minutes are gone: hours and days stay tables that the worker fills"
        )
    else:
        with _may_refuse(raw, "hours and days stay tables that the worker fills"):
            _make_aggregates(raw)


def is_hypertable(connection: psycopg.Connection[Any], table: str) -> bool:
    row = connection.execute(
        "SELECT to_regclass('timescaledb_information.hypertables') IS NOT NULL"
    ).fetchone()
    if row is None or not row[0]:
        return False
    found = connection.execute(
        "SELECT 1 FROM timescaledb_information.hypertables"
        " WHERE hypertable_name = %s AND hypertable_schema = current_schema()",
        (table,),
    )
    return found.fetchone() is not None


def aggregates(connection: psycopg.Connection[Any]) -> bool:
    """Are hours and days continuous aggregates here? For the catalogue, such a one is a view."""
    return kind_of(connection, "unit_hour") == "v"


def lift_limits(connection: psycopg.Connection[Any]) -> None:
    """Let a session write late rows into compressed chunks however many rows it must look at for that.

    By default TimescaleDB refuses a statement that decompresses more than 100,000 rows: a hundred late
    instants of a sensor sampled each second. Without the extension the setting means nothing.
    """
    connection.execute("SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0")


def refresh(connection: psycopg.Connection[Any], aggregate: str, begins: datetime, ends: datetime) -> None:
    """Materialize whole buckets anew. Not inside a transaction: it commits several of its own."""
    has_options = connection.execute(_HAS_OPTIONS).fetchone()
    options = _IN_ONE_PIECE if has_options is not None and has_options[0] else ""
    call = sql.SQL("CALL refresh_continuous_aggregate({}, {}, {}" + options + ")")
    connection.execute(call.format(sql.Literal(aggregate), sql.Literal(begins), sql.Literal(ends)))


def drop_before(connection: psycopg.Connection[Any], table: str, horizon: datetime) -> Dropped | None:
    """Drop the chunks that ended before `horizon`, inside the caller's transaction. None: there is none."""
    older = {"table": sql.Literal(table), "horizon": sql.Literal(horizon)}
    show = sql.SQL("SELECT show_chunks({table}, older_than => {horizon})::text").format(**older)
    chunks = [name for (name,) in connection.execute(show).fetchall()]
    if not chunks:
        return None
    rows = 0
    for name in chunks:  # written by PostgreSQL, quoted where it must be
        chunk = sql.SQL(name)
        # nobody writes what is not counted
        connection.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(chunk))
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(chunk)).fetchone()
        assert row is not None
        rows += row[0]
    ended = connection.execute(_ENDED, (chunks,)).fetchone()
    assert ended is not None
    connection.execute(sql.SQL("SELECT drop_chunks({table}, older_than => {horizon})").format(**older))
    return Dropped(rows, len(chunks), ended[0] or horizon)


def keep_policy(connection: psycopg.Connection[Any], table: str, days: int) -> None:
    """Have TimescaleDB drop chunks by itself `days` and GRACE after their end; 0 days: never."""
    found = connection.execute(
        "SELECT (config ->> 'drop_after')::interval = make_interval(days => %s) + %s::interval"
        " FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention' AND hypertable_name = %s"
        " AND hypertable_schema = current_schema()",
        (days, GRACE, table),
    ).fetchone()
    if (found is None and not days) or (found is not None and days and found[0]):
        return
    with _may_refuse(connection, f"{table} has no retention policy; the worker removes what is old"):
        connection.execute("SELECT remove_retention_policy(%s::regclass, if_exists => true)", (table,))
        if days:
            connection.execute(
                "SELECT add_retention_policy(%s::regclass,"
                " drop_after => make_interval(days => %s) + %s::interval)",
                (table, days, GRACE),
            )


def removed_by_policy(connection: psycopg.Connection[Any], table: str) -> datetime | None:
    """Before this instant its policy has removed whatever there was; None: it has none, or that never ran."""
    row = connection.execute(_BY_POLICY, {"table": table}).fetchone()
    return None if row is None else row[0]


@contextmanager
def _may_refuse(connection: psycopg.Connection[Any], consequence: str) -> Iterator[None]:
    """What Lamppost can do without, in a savepoint: where this TimescaleDB refuses it, a warning says so.

    A full disk, a lock that is not had or a lost connection is no refusal: that is raised. What does not fit
    the state of things (SQLSTATE 55000) is one, though psycopg files it with these.
    """
    try:
        with connection.transaction():
            yield
    except psycopg.DatabaseError as refused:
        operational = isinstance(refused, psycopg.OperationalError)
        if operational and refused.sqlstate != NOT_IN_THIS_STATE:
            raise
        _log.warning("TimescaleDB refuses, so %s: %s", consequence, str(refused).split("\n")[0])


def _is_apache(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute("SELECT current_setting('timescaledb.license', true)").fetchone()
    return row is not None and row[0] == "apache"


def _only_in_hours(connection: psycopg.Connection[Any]) -> bool:
    """Are there hours without their minutes? An aggregate would lose them."""
    if kind_of(connection, "unit_hour") != "r":
        return False
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM unit_hour h WHERE NOT EXISTS (SELECT FROM unit_minute m"
        " WHERE m.sensor_unit = h.sensor_unit AND m.bucket >= h.bucket"
        " AND m.bucket < h.bucket + interval '1 hour'))"
    ).fetchone()
    return row is not None and bool(row[0])


def _make_hypertable(connection: psycopg.Connection[Any], table: str, column: str) -> None:
    """A partitioned table cannot become one: its rows move into a new one."""
    partitioned = kind_of(connection, table) == "p"
    with without_views(connection, [table] if partitioned else []):
        if partitioned:
            set_aside(connection, table)
        call = sql.SQL(
            "SELECT create_hypertable({}, by_range({}, INTERVAL {}), create_default_indexes => false,"
            " migrate_data => true)"
        )
        connection.execute(call.format(sql.Literal(table), sql.Literal(column), sql.Literal(CHUNK_INTERVAL)))
        if partitioned:
            refill(connection, table)


def _compress(connection: psycopg.Connection[Any], table: str, column: str) -> None:
    _only_there(
        connection,
        "ALTER TABLE {} SET (timescaledb.compress, timescaledb.compress_segmentby = 'sensor_unit',"
        " timescaledb.compress_orderby = {})",
        sql.Identifier(table),
        sql.Literal(column),
    )
    connection.execute(
        sql.SQL("SELECT add_compression_policy({}, INTERVAL {}, if_not_exists => true)").format(
            sql.Literal(table), sql.Literal(COMPRESS_AFTER)
        )
    )


def _make_aggregates(connection: psycopg.Connection[Any]) -> None:
    """In place of the tables. What was in them is marked: the worker materializes it from the minutes."""
    connection.execute(
        # a tick refreshes the hours of neighbouring marks for all units: so it has few, the newest first
        "INSERT INTO rollup_dirty (sensor_unit, hour)"
        " SELECT sensor_unit, bucket FROM unit_hour ORDER BY bucket DESC"
    )
    with without_views(connection, list(AGGREGATES)):
        for name in AGGREGATES:
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
        folded = ", ".join(f"{FOLDS[c.split('_')[0]].format(c=c)} AS {c}" for c in ROLLUP_COLUMNS)
        for name, (source, width) in AGGREGATES.items():
            bucket = sql.SQL("time_bucket(INTERVAL {}, bucket)").format(sql.Literal(width))
            _only_there(
                connection,
                "CREATE MATERIALIZED VIEW {}"
                " WITH (timescaledb.continuous, timescaledb.materialized_only = false)"
                " AS SELECT sensor_unit, {} AS bucket, {} FROM {} GROUP BY sensor_unit, {} WITH NO DATA",
                sql.Identifier(name),
                bucket,
                sql.SQL(folded),
                sql.Identifier(source),
                bucket,
            )


def _only_there(
    connection: psycopg.Connection[Any], statement: LiteralString, *parts: sql.Composable
) -> None:
    """A statement with options that PostgreSQL alone refuses: in one place, so that a test can stand in."""
    connection.execute(sql.SQL(statement).format(*parts))
