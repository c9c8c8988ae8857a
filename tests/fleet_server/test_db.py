"""Sessions and raw connections on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import exc, text

from fleet_server.config import load_config
from fleet_server.context import command_context
from fleet_server.db import Database
from fleet_server.errors import DatabaseUnreachable, InvalidRequest

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture
def database(empty_database_url: str) -> Iterator[Database]:
    made = Database(empty_database_url)
    with made.session() as session:
        session.connection().execute(text("CREATE TABLE note (n integer PRIMARY KEY, said text)"))
    yield made
    made.close()


def count(database: Database) -> int:
    with database.session() as session:
        return int(session.connection().execute(text("SELECT count(*) FROM note")).scalar() or 0)


def test_a_session_is_committed_at_its_end_and_rolled_back_on_an_error(database: Database) -> None:
    with database.session() as session:
        session.connection().execute(text("INSERT INTO note VALUES (1, 'a')"))
    assert count(database) == 1
    with pytest.raises(exc.ProgrammingError):
        _insert_and_fail(database)
    assert count(database) == 1


def test_errors_of_the_caller_pass_as_they_are(database: Database) -> None:
    with pytest.raises(exc.IntegrityError), database.session() as session:
        session.connection().execute(text("INSERT INTO note VALUES (1, 'a'), (1, 'b')"))


@pytest.mark.parametrize("value", [{"n": 10**30, "said": ""}, {"n": 1, "said": "a\0b"}])
def test_a_value_that_cannot_be_held_is_the_askers_fault(
    database: Database, value: dict[str, object]
) -> None:
    with pytest.raises(InvalidRequest), database.session() as session:
        session.connection().execute(text("INSERT INTO note VALUES (:n, :said)"), value)


def test_a_connection_that_was_cut_is_replaced_before_it_is_used(database: Database) -> None:
    assert count(database) == 0
    with database.raw(autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert count(database) == 0


def test_a_connection_cut_in_a_transaction_is_the_databases_fault(database: Database) -> None:
    with pytest.raises(DatabaseUnreachable):
        _cut_in_the_middle(database)


def _insert_and_fail(database: Database) -> None:
    with database.session() as session:
        session.connection().execute(text("INSERT INTO note VALUES (2, 'b')"))
        session.connection().execute(text("SELECT nothing_of_this_name"))


def _cut_in_the_middle(database: Database) -> None:
    with database.session() as session:
        pid = session.connection().execute(text("SELECT pg_backend_pid()")).scalar()
        with database.raw(autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (pid,))
        session.connection().execute(text("SELECT 1"))


def test_nobody_there_is_told_by_every_way() -> None:
    database = Database(NOWHERE)
    with pytest.raises(DatabaseUnreachable):
        database.ping()
    with pytest.raises(DatabaseUnreachable):
        database.raw()
    with pytest.raises(DatabaseUnreachable), database.session() as session:
        session.connection()


def test_a_command_starts_the_embedded_database_for_as_long_as_it_lasts(tmp_path: Path) -> None:
    config = load_config(data_dir=tmp_path)
    with command_context(config) as outer:
        outer.db.ping()
        with command_context(config) as inner:  # it runs already, and is left running
            inner.db.ping()
        outer.db.ping()
    with pytest.raises(DatabaseUnreachable):
        outer.db.ping()
