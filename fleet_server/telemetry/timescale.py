"""TimescaleDB, where it can be had: `sample` as a hypertable whose old chunks are compressed.

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
from sqlalchemy import Connection, Engine, text

CHUNK_INTERVAL = "7 days"  # a week of a thousand posts at one sample a minute: 10 M rows, well within memory
COMPRESS_AFTER = "14 days"  # two chunks stay as rows: devices that were offline for a week drain into these
# NULL: the server has none; false: it could be made here; true: it is in this database.
_OFFERED = "SELECT installed_version IS NOT NULL FROM pg_available_extensions WHERE name = 'timescaledb'"
# By this view, because SHOW is refused to accounts that may not see the setting; there it is NULL.
_PRELOADED = "SELECT setting LIKE '%timescaledb%' FROM pg_settings WHERE name = 'shared_preload_libraries'"
_log = logging.getLogger(__name__)


def prepare(engine: Engine) -> bool:
    """Put the extension into the database where the server offers it. True where it is there afterwards.

    On a connection of its own: TimescaleDB wants CREATE EXTENSION to be a session's first command. Where the
    account may not create it, it says so in the log and the table stays a plain one.
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
    """Make `sample` a compressed hypertable, unless it is one; the caller commits. After `prepare`."""
    if not is_hypertable(connection):
        _convert(connection)
        _compress(connection)


def is_hypertable(connection: Connection) -> bool:
    """Only where the extension is in the database."""
    found = connection.execute(
        text(
            "SELECT 1 FROM timescaledb_information.hypertables"
            " WHERE hypertable_name = 'sample' AND hypertable_schema = current_schema()"
        )
    )
    return found.scalar() is not None


def lift_limits(connection: psycopg.Connection[Any]) -> None:
    """Let a session write late rows into compressed chunks however many rows it must look at for that.

    By default TimescaleDB refuses a statement that decompresses more than 100,000 rows: a hundred late
    instants of a sensor sampled each second. Without the extension the setting means nothing.
    """
    connection.execute("SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0")


def _convert(connection: Connection) -> None:
    connection.execute(
        text(
            f"SELECT create_hypertable('sample', by_range('time', INTERVAL '{CHUNK_INTERVAL}'),"
            " create_default_indexes => false, migrate_data => true)"
        )
    )


def _compress(connection: Connection) -> None:
    licence = connection.execute(text("SELECT current_setting('timescaledb.license', true)")).scalar()
    if licence == "apache":
        _log.warning("this TimescaleDB is the Apache edition: old samples are not compressed")
        return
    connection.execute(
        text(
            "ALTER TABLE sample SET (timescaledb.compress,"
            " timescaledb.compress_segmentby = 'sensor_unit', timescaledb.compress_orderby = 'time')"
        )
    )
    connection.execute(
        text(f"SELECT add_compression_policy('sample', INTERVAL '{COMPRESS_AFTER}', if_not_exists => true)")
    )
