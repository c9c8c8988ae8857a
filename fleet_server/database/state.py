"""What a database is: its server, its extensions, the migration it stands at, whether anything is in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fleet_server.database.fingerprints import table_names
from fleet_server.db import CONNECT_TIMEOUT_S, LINK
from fleet_server.errors import DatabaseUnreachable
from fleet_server.migrations import configuration

MAINTENANCE = "postgres"  # initdb makes it, everywhere: where one stands to rename the others


@dataclass(frozen=True)
class Server:
    """`timescaledb`: the version in this database, None without it."""

    version: str
    major: int
    timescaledb: str | None


@contextmanager
def connected(url: str, *, autocommit: bool = False) -> Iterator[Connection[Any]]:
    """A connection, closed at the end. Raises DatabaseUnreachable, where it is lost on the way as well."""
    info = make_conninfo(url, connect_timeout=CONNECT_TIMEOUT_S, application_name="lamppost db", **LINK)
    try:
        opened = psycopg.connect(info, autocommit=autocommit)
    except psycopg.OperationalError as lost:
        raise DatabaseUnreachable(f"The database does not answer: {first_line(lost)}.") from lost
    try:
        with opened as connection:
            yield connection
    except (psycopg.OperationalError, psycopg.InterfaceError) as lost:
        raise DatabaseUnreachable(f"The database failed: {first_line(lost)}.") from lost


def first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).split("\n", 1)[0].rstrip(".")


def database_of(url: str) -> str:
    """The name of the database that a URL leads to (libpq: the account's, where none is named)."""
    told = conninfo_to_dict(url)
    return str(told.get("dbname") or told.get("user") or MAINTENANCE)


def with_database(url: str, name: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{quote(name)}"))


def server_of(connection: Connection[Any]) -> Server:
    row = connection.execute(
        "SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000,"
        " (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb')"
    ).fetchone()
    assert row is not None
    return Server(str(row[0]).split(" ")[0], int(row[1]), row[2])


def schema_of(connection: Connection[Any]) -> str | None:
    """The migration it stands at; None where none was ever made."""
    there = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
    if there is None or there[0] is None:
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def is_empty(connection: Connection[Any]) -> bool:
    """No table of ours or anybody's."""
    return not table_names(connection)


@dataclass(frozen=True)
class Step:
    revision: str
    what: str


def newest_step() -> str:
    """The newest migration of this program."""
    return _steps().get_current_head() or ""


def knows(revision: str) -> bool:
    """Is it a migration of this program? A newer program's is not."""
    try:
        return _steps().get_revision(revision) is not None
    except (CommandError, ResolutionError):
        return False


def steps_from(revision: str | None) -> list[Step]:
    """What lies between a known revision (None: nothing at all) and the newest, oldest first."""
    between = _steps().iterate_revisions("head", revision or "base")
    return [Step(each.revision, (each.doc or "").rstrip(".")) for each in reversed(list(between))]


def _steps() -> ScriptDirectory:
    return ScriptDirectory.from_config(configuration())
