"""The database's schema, step by step: `upgrade(url)` brings any older one to the newest.

Alembic, driven from code (no alembic.ini). Each slice adds its files to `versions/`, numbered in one chain.
After the last step the large tables become hypertables where the extension TimescaleDB can be had
(`fleet_server/telemetry/timescale.py`), else partitioned ones (`fleet_server/telemetry/partitions.py`), and
the wall between tenants is put up (`fleet_server/tenants/walls.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from fleet_server.telemetry import partitions, timescale
from fleet_server.tenants import walls

FOLDER = Path(__file__).parent
# Two servers that start at once must not migrate at once. The number is ours; any would do.
ADVISORY_LOCK = 7_265_001


def configuration(connection: sqlalchemy.Connection | None = None) -> Config:
    """Alembic's configuration; with a connection, the one it works on."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["connection"] = connection
    return config


def upgrade(url: str, revision: str = "head", *, use_timescale: bool = True) -> None:
    """Bring the database at `url` (`postgresql://…`) to `revision`. Does nothing where it is there already.

    use_timescale: make hypertables where the extension is available; harmless where it is not.
    """
    hypertable = use_timescale and timescale.prepare(_engine(url))
    with _connect(url) as connection:
        walls.need_role(_raw(connection))
        if MigrationContext.configure(connection).get_current_revision() != _head():
            walls.take_down(_raw(connection))
        command.upgrade(configuration(connection), revision)
        inspected = sqlalchemy.inspect(connection)
        if inspected.has_table("sample_standard"):
            (timescale if hypertable else partitions).enable(connection)
        if inspected.has_table("tenant"):
            walls.put_up(_raw(connection))
        connection.commit()


def downgrade(url: str, revision: str) -> None:
    """Go back to `revision` ("base": nothing at all). What the later steps made is dropped with its rows."""
    with _connect(url) as connection:
        walls.take_down(_raw(connection))
        command.downgrade(configuration(connection), revision)
        if sqlalchemy.inspect(connection).has_table("tenant"):
            walls.put_up(_raw(connection))
        connection.commit()


def _head() -> str | None:
    return ScriptDirectory.from_config(configuration()).get_current_head()


def _raw(connection: sqlalchemy.Connection) -> psycopg.Connection[Any]:
    raw: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
    return raw


def _engine(url: str) -> sqlalchemy.Engine:
    target = url.replace("postgresql://", "postgresql+psycopg://", 1)
    return sqlalchemy.create_engine(target, poolclass=sqlalchemy.NullPool)


def _connect(url: str) -> sqlalchemy.Connection:
    connection = _engine(url).connect()
    connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
    return connection
