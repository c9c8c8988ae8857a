"""The second wall, table by table as the catalogue has them: raw SQL, bound to one tenant, for others' rows.

A table that is new is here by itself: it has a wall (a column that says whose a row is), or the role cannot
touch it; a table with rows of tenants that it can touch without a wall fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict

from fleet_server import migrations
from fleet_server.db import TENANT_ROLE, bind
from fleet_server.tenants import walls
from tests.fleet_server.telemetry.stores import BOTH, new_timescale_database
from tests.support.postgres import _create, _drop, with_database

OWN, OTHER = "porto", "lisboa"
# Of no tenant: the role may not even look.
OF_NOBODY = {
    "account_hand",
    "alembic_version",
    "audit_checkpoint",
    "audit_head",
    "decision_counter",
    "ingest_counter",
    "operator",
    "operator_identity",
    "operator_session",
    "provider_logout",
    "recovery_code",
    "second_factor",
    "sign_in_failure",
    "sign_in_flow",
    "sign_in_ticket",
    "two_person_hold",
}
ONE_ROW = ("alembic_version", "audit_head")
_DUMMIES = {
    **dict.fromkeys(("integer", "bigint", "smallint", "double precision", "real", "numeric"), "{}"),
    "boolean": "false",
    "text": "'x'",
    "bytea": "'\\x0{}'",
    "jsonb": "'{{}}'",
    "ARRAY": "'{{}}'",
    "timestamp with time zone": "now()",
    "date": "now()",
}
# TimescaleDB's own may be called by everybody.
_NO_EXTENSION = "NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = {} AND e.deptype = 'e')"
_COLUMNS = """
SELECT column_name, data_type, is_nullable = 'YES' OR column_default IS NOT NULL OR is_identity = 'YES'
FROM information_schema.columns WHERE table_schema = 'public' AND table_name = %s ORDER BY ordinal_position
"""


@pytest.fixture(scope="module", params=BOTH)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database in which every table has a row of each of two tenants."""
    with _timescale() if request.param == "timescale" else _copied(request) as made:
        with psycopg.connect(made) as connection:
            connection.execute("SET session_replication_role = replica")  # neither triggers nor references
            for number, tenant in enumerate((OWN, OTHER), start=1):
                for table in tables(connection):
                    _insert(connection, table, tenant, number)
            again = walls.put_up(connection)
            assert again == (request.param != "timescale"), "what is copied lets everybody make functions"
        yield made


@contextmanager
def _copied(request: pytest.FixtureRequest) -> Iterator[str]:
    server = request.getfixturevalue("postgres_server")
    _create(server, "lamppost_walls", request.getfixturevalue("template_database"))
    yield with_database(server, "lamppost_walls")
    _drop(server, "lamppost_walls")


@contextmanager
def _timescale() -> Iterator[str]:
    with new_timescale_database() as made:
        migrations.upgrade(made)
        yield made


def tables(connection: Connection[Any]) -> list[str]:
    """Every table but partitions, from the catalogue."""
    found = connection.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND NOT relispartition ORDER BY 1"
    )
    return [name for (name,) in found]


def _insert(connection: Connection[Any], table: str, tenant: str, number: int) -> None:
    """One row: ids of the tenant's own device, unit and incident are its number."""
    if table in ONE_ROW:
        return
    told = {"slots": "65535", "tenant": f"'{tenant}'"} | (
        {"name": f"'{tenant}'"} if table == "tenant" else {}
    )
    values: dict[str, str] = {}
    for name, kind, free in connection.execute(_COLUMNS, (table,)).fetchall():
        if name in told:
            values[name] = told[name]
        elif name == "id" or name.endswith("_id") or name == "sensor_unit" or (not free and name == "number"):
            values[name] = str(number) if kind in ("integer", "bigint", "smallint") else f"'{number}'"
        elif not free or table.startswith("unit_"):
            values[name] = f"'{tenant}'" if kind == "text" else _DUMMIES[kind].format(number)
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(sql.SQL(value) for value in values.values()),
        )
    )


@pytest.fixture
def owner(url: str) -> Iterator[Connection[Any]]:
    with psycopg.connect(url) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def bound(url: str) -> Iterator[Connection[Any]]:
    """Bound to OWN; what it does is undone."""
    with psycopg.connect(url) as connection:
        bind(connection, OWN)
        yield connection
        connection.rollback()


def _count(connection: Connection[Any], statement: str, table: str) -> int | None:
    """Rows; None: not permitted."""
    try:
        with connection.transaction():
            done = connection.execute(
                sql.SQL(statement).format(sql.Identifier("public", table)),
            )
            return done.rowcount
    except psycopg.errors.InsufficientPrivilege:
        return None


def test_the_role_is_no_more_than_it_should_be(owner: Connection[Any]) -> None:
    row = owner.execute(
        "SELECT rolsuper, rolbypassrls, rolcanlogin, rolcreaterole, rolcreatedb FROM pg_roles"
        " WHERE rolname = %s",
        (TENANT_ROLE,),
    ).fetchone()
    assert row == (False,) * 5


def test_the_role_makes_nothing_that_a_query_could_call(bound: Connection[Any]) -> None:
    """The views are no security barriers. A function of one's own, or an operator made of it, would see the
    rows before the view's condition does."""
    leak = "FUNCTION {}.leak(double precision) RETURNS boolean COST 0.0001 LANGUAGE plpgsql AS"
    body = "'BEGIN RAISE NOTICE ''%'', $1; RETURN true; END'"
    schemas = [name for (name,) in bound.execute("SELECT nspname FROM pg_namespace").fetchall()]
    assert "public" in schemas
    for schema in (*schemas, "pg_temp"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), bound.transaction():
            bound.execute(f"CREATE {leak.format(schema)} {body}")
    callable_ones = bound.execute(
        "SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND p.prorettype <> 'trigger'::regtype"
        f" AND has_function_privilege(p.oid, 'EXECUTE') AND {_NO_EXTENSION.format('p.oid')}"
    ).fetchall()
    assert {name for (name,) in callable_ones} == {"audit_append"}
    operators = "SELECT count(*) FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace"
    operators += f" WHERE n.nspname <> 'pg_catalog' AND {_NO_EXTENSION.format('o.oid')}"
    assert bound.execute(operators.encode()).fetchone() == (0,)


def test_nothing_of_another_tenant_is_read_in_any_table(
    bound: Connection[Any], owner: Connection[Any]
) -> None:
    seen = {}
    for table in tables(owner):
        assert _count(owner, "SELECT * FROM {}", table) == (2 if table not in ONE_ROW else 1), table
        seen[table] = _count(bound, "SELECT * FROM {}", table)
    unwalled = {table for table, rows in seen.items() if rows is None} - walls.WITHOUT
    assert unwalled <= OF_NOBODY
    assert {table: rows for table, rows in seen.items() if rows not in (None, 1)} == {}


def test_the_views_of_samples_hold_the_own_ones(bound: Connection[Any], owner: Connection[Any]) -> None:
    for view in walls.VIEWS:
        assert _count(bound, "SELECT * FROM {}", view) is None, view
        if view == "air_latest":
            continue
        everybody = owner.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(view))).rowcount
        own = bound.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(view))).rowcount
        assert (view, everybody) != (view, 0)
        assert 0 < own < everybody, view


def test_nothing_of_another_tenant_is_changed_in_any_table(url: str, owner: Connection[Any]) -> None:
    for table in tables(owner):
        with psycopg.connect(url) as connection:
            connection.execute(
                "SET session_replication_role = replica"
            )  # triggers would save what walls must
            bind(connection, OWN)
            assert _count(connection, "DELETE FROM {}", table) in (None, 1), table
            connection.rollback()


def test_no_row_is_given_to_another_tenant(bound: Connection[Any]) -> None:
    for statement in (
        f"INSERT INTO device (tenant, name) VALUES ('{OTHER}', 'strange')",
        f"UPDATE device SET tenant = '{OTHER}'",
        "INSERT INTO device_condition (device_id, code, severity, raised_at) VALUES (2, 'x', 'info', now())",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), bound.transaction():
            bound.execute(statement.encode())


def test_a_session_that_is_bound_to_nobody_sees_nobody(url: str) -> None:
    with psycopg.connect(url) as connection:
        bind(connection, "nobody")
        assert connection.execute("SELECT * FROM device").rowcount == 0
        connection.execute("SELECT set_config('lamppost.tenant', '', true)")
        assert connection.execute("SELECT * FROM device").rowcount == 0
        connection.rollback()
        assert connection.execute("SELECT * FROM device").rowcount == 2  # the owner again


def test_the_wall_is_made_once_and_again_when_a_table_is_new(owner: Connection[Any]) -> None:
    assert not walls.put_up(owner)
    owner.execute("CREATE TABLE novelty (tenant text NOT NULL)")
    owner.execute("INSERT INTO novelty VALUES ('lisboa'), ('porto')")
    assert walls.put_up(owner)
    assert not walls.put_up(owner)
    bind(owner, OWN)
    assert owner.execute("SELECT * FROM novelty").fetchall() == [(OWN,)]


def test_an_owner_without_a_superusers_rights_is_enough_and_is_told_what_is_missing(
    postgres_server: str,
) -> None:
    """A city's PostgreSQL gives us an account that owns its database, and no more."""
    with psycopg.connect(postgres_server, autocommit=True) as keeper:
        keeper.execute("CREATE ROLE lamppost_plain LOGIN PASSWORD 'plain'")
        keeper.execute("CREATE DATABASE lamppost_plain OWNER lamppost_plain TEMPLATE template0")
        parts = conninfo_to_dict(postgres_server) | {"dbname": "lamppost_plain"}
        host, port = quote(str(parts["host"]), safe=""), parts.get("port") or 5432
        url = f"postgresql://lamppost_plain:plain@/lamppost_plain?host={host}&port={port}"
        try:
            with pytest.raises(walls.RoleMissing, match="GRANT lamppost_tenant TO lamppost_plain;"):
                migrations.upgrade(url)
            keeper.execute(f"GRANT {TENANT_ROLE} TO lamppost_plain")
            migrations.upgrade(url)
            with psycopg.connect(url) as connection:
                connection.execute("INSERT INTO device (tenant, name) VALUES ('porto', 'a'), ('lisboa', 'b')")
                assert connection.execute("SELECT * FROM device").rowcount == 2
                bind(connection, OWN)
                assert connection.execute("SELECT name FROM device").fetchall() == [("a",)]
                assert connection.execute("SELECT * FROM sample").rowcount == 0
        finally:
            keeper.execute("DROP DATABASE lamppost_plain WITH (FORCE)")
            keeper.execute("DROP ROLE lamppost_plain")
