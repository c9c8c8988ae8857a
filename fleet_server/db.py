"""The way to PostgreSQL: an engine for sessions (SQLAlchemy, psycopg 3), raw connections for the hot path.

A connection that PostgreSQL dropped is replaced before it is used (pool_pre_ping): after a restart of the
database the next call works.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy
from psycopg.conninfo import make_conninfo
from sqlalchemy import Engine, exc
from sqlmodel import Session

from fleet_server.embedded import url_of
from fleet_server.errors import DatabaseUnreachable, InvalidRequest

CONNECT_TIMEOUT_S = 5  # a local server answers in milliseconds; this is for one that hangs
# A server that vanished without a word (power, network) is given up after about 30 s instead of TCP's quarter
# of an hour; on a Unix socket these do nothing.
LINK = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4, "tcp_user_timeout": 30_000}
POOL_SIZE = 5
POOL_OVERFLOW = 10
POOL_TIMEOUT_S = 10  # then the caller hears 503 instead of waiting for ever

EVERY_TENANT = "*"
TENANT_ROLE = "lamppost_tenant"  # may read and write what row-level security shows it, and nothing else
TENANT_SCHEMA = "lamppost_tenant"  # views of the same names over what has no row-level security (samples)
# All of it ends with the transaction. The role comes last: it is what the others are set for.
_BIND = f"""
    SELECT set_config('lamppost.tenant', %(tenant)s, true),
           set_config('search_path', '{TENANT_SCHEMA}, ' || current_setting('search_path'), true),
           set_config('role', '{TENANT_ROLE}', true)
"""


def plain_url(url: str) -> str:
    """`embedded:DIR` and `postgresql://` alike as a URL that libpq takes."""
    return url_of(Path(url.removeprefix("embedded:"))) if url.startswith("embedded:") else url


class Database:
    """`url` is `embedded:DIR` (a server that runs there) or `postgresql://`. Connects when first used."""

    def __init__(self, url: str) -> None:
        self.url = plain_url(url)
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            self._engine = sqlalchemy.create_engine(
                self.url.replace("postgresql://", "postgresql+psycopg://", 1),
                pool_pre_ping=True,
                pool_size=POOL_SIZE,
                max_overflow=POOL_OVERFLOW,
                pool_timeout=POOL_TIMEOUT_S,
                connect_args={"connect_timeout": CONNECT_TIMEOUT_S, **LINK},
            )
        return self._engine

    @contextmanager
    def session(self, tenant: str = EVERY_TENANT) -> Iterator[Session]:
        """A transaction: committed at the end, rolled back on an error.

        tenant: the one that it is bound to, for as long as it lasts: another's rows are not there (`bind`);
        "*" for all.

        Raises DatabaseUnreachable where PostgreSQL does not answer, InvalidRequest where it cannot hold a
        value (a NUL in a text, a number out of range); other errors pass as they are.
        """
        try:
            with Session(self.engine, expire_on_commit=False) as session, session.begin():
                if tenant != EVERY_TENANT:
                    session.connection().exec_driver_sql(_BIND, {"tenant": tenant})
                yield session
        except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as lost:
            raise DatabaseUnreachable(f"The database does not answer: {_first_line(lost)}") from lost
        except exc.DBAPIError as failed:
            if failed.connection_invalidated:
                raise DatabaseUnreachable(f"The database went away: {_first_line(failed)}") from failed
            if isinstance(failed, exc.DataError):
                raise InvalidRequest("A value is not one that can be stored or looked for.") from failed
            raise

    def raw(self, *, autocommit: bool = False) -> psycopg.Connection:
        """A connection of the caller's own, who closes it. Raises DatabaseUnreachable."""
        try:
            info = make_conninfo(self.url, connect_timeout=CONNECT_TIMEOUT_S, **LINK)
            return psycopg.connect(info, autocommit=autocommit)
        except psycopg.OperationalError as lost:
            raise DatabaseUnreachable(f"The database does not answer: {_first_line(lost)}") from lost

    def ping(self) -> None:
        """One round trip on a fresh connection. Raises DatabaseUnreachable."""
        with self.raw(autocommit=True) as connection:
            connection.execute("SELECT 1")

    def close(self) -> None:
        """Close the pooled connections. The object may be used again."""
        if self._engine is not None:
            self._engine.dispose()


def bind(connection: psycopg.Connection[Any], tenant: str) -> None:
    """Bind the transaction that `connection` is in to one tenant; nothing for "*".

    PostgreSQL's row-level security then hides every other tenant's rows (`fleet_server/tenants/walls.py`). It
    is the wall behind the queries' own conditions: against a forgotten one, not against foreign SQL.
    """
    if tenant != EVERY_TENANT:
        connection.execute(_BIND.encode(), {"tenant": tenant})


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0]
