"""TimescaleDB, where it can be had: `sample` as a hypertable whose old chunks are compressed.

Everything works without it. Compression is licensed under the Timescale Licence (TSL), not Apache 2.0: a city
may use it freely on its own servers, and Lamppost ships none of it. The calls are those of TimescaleDB 2.13
to 2.28.
"""

from __future__ import annotations

import logging

import sqlalchemy
from sqlalchemy import Connection, text

CHUNK_INTERVAL = "7 days"  # a week of a thousand posts at one sample a minute: 10 M rows, well within memory
COMPRESS_AFTER = "14 days"  # two chunks stay as rows: devices that were offline for a week drain into these
_log = logging.getLogger(__name__)


def available(connection: Connection) -> bool:
    """Is the extension in this database, or installed beside it and loaded by the server?"""
    installed = connection.execute(text("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'")).scalar()
    if installed:
        return True
    offered = connection.execute(
        text("SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'")
    ).scalar()
    preloaded = connection.execute(text("SELECT current_setting('shared_preload_libraries')")).scalar_one()
    return bool(offered) and "timescaledb" in preloaded


def enable(connection: Connection) -> bool:
    """Make `sample` a compressed hypertable, in the caller's transaction. True where it is one afterwards.

    Idempotent. Where the account may not create the extension it says so in the log and leaves a plain table.
    """
    if not available(connection):
        return False
    try:
        with connection.begin_nested():
            connection.execute(text("CREATE EXTENSION IF NOT EXISTS timescaledb"))
    except sqlalchemy.exc.ProgrammingError as refused:
        _log.warning("TimescaleDB is there and may not be enabled: %s", str(refused.orig).split("\n")[0])
        return False
    if not is_hypertable(connection):
        _convert(connection)
    return True


def is_hypertable(connection: Connection) -> bool:
    """Only where the extension is in the database."""
    found = connection.execute(
        text("SELECT 1 FROM timescaledb_information.hypertables WHERE hypertable_name = 'sample'")
    )
    return found.scalar() is not None


def _convert(connection: Connection) -> None:
    connection.execute(
        text(
            "SELECT create_hypertable('sample', by_range('time', INTERVAL :chunk),"
            " create_default_indexes => false, migrate_data => true)".replace(":chunk", f"'{CHUNK_INTERVAL}'")
        )
    )
    connection.execute(
        text(
            "ALTER TABLE sample SET (timescaledb.compress,"
            " timescaledb.compress_segmentby = 'sensor_unit', timescaledb.compress_orderby = 'time')"
        )
    )
    connection.execute(
        text(f"SELECT add_compression_policy('sample', INTERVAL '{COMPRESS_AFTER}', if_not_exists => true)")
    )
