"""TimescaleDB, where it can be had: `sample` as a hypertable whose old chunks are compressed.

Everything works without it. Compression is licensed under the Timescale Licence (TSL), not Apache 2.0: a city
may use it freely on its own servers, and Lamppost ships none of it. The calls are those of TimescaleDB 2.13
to 2.28.
"""

from __future__ import annotations

import logging

import sqlalchemy
from sqlalchemy import Connection, Engine, text

CHUNK_INTERVAL = "7 days"  # a week of a thousand posts at one sample a minute: 10 M rows, well within memory
COMPRESS_AFTER = "14 days"  # two chunks stay as rows: devices that were offline for a week drain into these
_log = logging.getLogger(__name__)


def prepare(engine: Engine) -> bool:
    """Put the extension into the database where the server offers it. True where it is there afterwards.

    On a connection of its own: TimescaleDB wants CREATE EXTENSION to be a session's first command. Where the
    account may not create it, it says so in the log and the table stays a plain one.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        offered = (
            "SELECT installed_version IS NOT NULL FROM pg_available_extensions WHERE name = 'timescaledb'"
        )
        installed = connection.execute(text(offered)).scalar()
        if installed is not False:
            return bool(installed)
        if "timescaledb" not in connection.execute(text("SHOW shared_preload_libraries")).scalar_one():
            return False
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("CREATE EXTENSION timescaledb"))
    except sqlalchemy.exc.DBAPIError as refused:
        _log.warning("TimescaleDB is there and may not be enabled: %s", str(refused.orig).split("\n")[0])
        return False
    return True


def enable(connection: Connection) -> None:
    """Make `sample` a compressed hypertable, unless it is one; the caller commits. After `prepare`."""
    if not is_hypertable(connection):
        _convert(connection)


def is_hypertable(connection: Connection) -> bool:
    """Only where the extension is in the database."""
    found = connection.execute(
        text("SELECT 1 FROM timescaledb_information.hypertables WHERE hypertable_name = 'sample'")
    )
    return found.scalar() is not None


def _convert(connection: Connection) -> None:
    connection.execute(
        text(
            f"SELECT create_hypertable('sample', by_range('time', INTERVAL '{CHUNK_INTERVAL}'),"
            " create_default_indexes => false, migrate_data => true)"
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
