"""TimescaleDB, where it can be had: samples and minutes in hypertables whose old chunks are compressed.

Everything works without it. Compression is licensed under the Timescale License (TSL), not Apache 2.0: a city
may use it freely on its own servers, and Lamppost ships none of it. The calls are those of TimescaleDB 2.14
to 2.28, by the names that all of these know (later ones call compression "columnstore" as well).

A compressed chunk has no system columns and takes late rows; PostgreSQL's promises (the unique key, what a
transaction sees) hold in it.
"""

from __future__ import annotations

import logging
from typing import Any

import psycopg
import sqlalchemy
from psycopg import sql
from sqlalchemy import Connection, Engine, text

CHUNK_INTERVAL = "7 days"  # a week of a thousand posts at one sample a minute: 10 M rows, well within memory
COMPRESS_AFTER = "14 days"  # two chunks stay as rows: devices that were offline for a week drain into these
# NULL: the server has none; false: it could be made here; true: it is in this database.
_OFFERED = "SELECT installed_version IS NOT NULL FROM pg_available_extensions WHERE name = 'timescaledb'"
# By this view, because SHOW is refused to accounts that may not see the setting; there it is NULL.
_PRELOADED = "SELECT setting LIKE '%timescaledb%' FROM pg_settings WHERE name = 'shared_preload_libraries'"
TABLES = {"sample_short": "time", "sample_standard": "time", "sample_long": "time", "unit_minute": "bucket"}
"""The tables that become hypertables, and their column of time."""

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


def enable(connection: Connection) -> None:
    """Make the tables compressed hypertables, unless they are; the caller commits. After `prepare`."""
    raw: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
    for table, column in TABLES.items():
        if not is_hypertable(raw, table):
            _convert(raw, table, column)
            _compress(raw, table, column)


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


def lift_limits(connection: psycopg.Connection[Any]) -> None:
    """Let a session write late rows into compressed chunks however many rows it must look at for that.

    By default TimescaleDB refuses a statement that decompresses more than 100,000 rows: a hundred late
    instants of a sensor sampled each second. Without the extension the setting means nothing.
    """
    connection.execute("SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0")


def _convert(connection: psycopg.Connection[Any], table: str, column: str) -> None:
    connection.execute(
        sql.SQL(
            "SELECT create_hypertable({table}, by_range({column}, INTERVAL {interval}),"
            " create_default_indexes => false, migrate_data => true)"
        ).format(table=table, column=column, interval=CHUNK_INTERVAL)
    )


def _compress(connection: psycopg.Connection[Any], table: str, column: str) -> None:
    row = connection.execute("SELECT current_setting('timescaledb.license', true)").fetchone()
    if row is not None and row[0] == "apache":
        _log.warning("this TimescaleDB is the Apache edition: %s is not compressed", table)
        return
    connection.execute(
        sql.SQL(
            "ALTER TABLE {} SET (timescaledb.compress,"
            " timescaledb.compress_segmentby = 'sensor_unit', timescaledb.compress_orderby = {})"
        ).format(sql.Identifier(table), column)
    )
    connection.execute(
        sql.SQL("SELECT add_compression_policy({}, INTERVAL {}, if_not_exists => true)").format(
            table, COMPRESS_AFTER
        )
    )
