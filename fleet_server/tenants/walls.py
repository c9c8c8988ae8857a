"""The wall between tenants, made of the catalogue after the last migration: a new table has its own at once.

A session that is bound to a tenant (`fleet_server.db`) acts as the role `lamppost_tenant`. That role sees

- of a table with the column `tenant`, and of one whose rows belong to a device, a sensor unit or an incident,
  the rows of its tenant (row-level security);
- of what cannot have row-level security (TimescaleDB refuses to compress a table with it) a view of the same
  name in the schema `lamppost_tenant`, where its search path begins; the tables themselves it cannot read;
- nothing of any other table.

The views are no security barriers: joined by a sensor unit they would read everybody's rows. So the role must
not be able to make a function that a query calls before the view's own condition: it may create nothing, not
even what is temporary.

The policies let other roles pass, which have what they were granted (Grafana's), and name no role, so that a
backup can be restored where there is none yet. The owner of the tables is not subject to them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import Connection, sql

from fleet_server.db import TENANT_ROLE, TENANT_SCHEMA
from fleet_server.errors import ConfigurationError

POLICY = "tenant"
_BOUND = "current_setting('lamppost.tenant', true)"
_DEVICES = f"SELECT id FROM device WHERE tenant = {_BOUND}"  # noqa: S608 - constants, as all below
_UNITS = f"SELECT u.id FROM sensor_unit u JOIN device d ON d.id = u.device_id WHERE d.tenant = {_BOUND}"  # noqa: S608
_SERIES = f"SELECT s.id FROM series s WHERE s.sensor_unit_id IN ({_UNITS})"  # noqa: S608
# Whose a row is, by the first of these columns that its table has.
BY_COLUMN: Mapping[str, str] = {
    "tenant": f"tenant = {_BOUND}",
    "device_id": f"device_id IN ({_DEVICES})",
    "sensor_unit_id": f"sensor_unit_id IN ({_UNITS})",
    "sensor_unit": f"sensor_unit IN ({_UNITS})",
    "incident_id": f"incident_id IN (SELECT id FROM incident WHERE tenant = {_BOUND})",  # noqa: S608
}
BY_TABLE: Mapping[str, str] = {
    "tenant": f"name = {_BOUND}",
    "retention_log": f"tenant IN ('', {_BOUND})",  # '': what was removed of everybody, whole months
}
# Samples and what they come to: no row-level security, a bound view instead.
VIEWS: Mapping[str, str] = {
    "sample": f"sensor_unit IN ({_UNITS})",
    **{
        name: f"sensor_unit IN ({_UNITS})" for name in ("latest_unit", "unit_minute", "unit_hour", "unit_day")
    },
    **{name: f"series_id IN ({_SERIES})" for name in ("rollup_1m", "rollup_1h", "rollup_1d", "latest")},
    "air_latest": f"device_id IN ({_DEVICES})",
}
WITHOUT = frozenset({"sample_short", "sample_standard", "sample_long", *VIEWS})
# What may be done with a table, where that is not everything; and what is the sign-in's business alone.
LESS: Mapping[str, str] = {
    "tenant": "SELECT",
    "audit_line": "SELECT",
    "audit_personal": "SELECT, UPDATE",
    "retention_log": "SELECT",
}
NEVER = frozenset({"operator_session", "two_person_hold"})
FUNCTIONS = ("audit_append(text[], jsonb)",)  # they bind themselves to every tenant (SECURITY DEFINER)

_TABLES = """
SELECT c.relname, c.oid::int8,
       array(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
     AND NOT c.relispartition
     AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                     AND d.deptype = 'e')
ORDER BY 1
"""
_READ = """
SELECT c.relname, c.oid::int8 FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = ANY(%s) ORDER BY 1
"""
# Everybody may use the schema `public`; one of another name may be closed.
_USAGE = """
DO $$ BEGIN
    IF NOT has_schema_privilege({name}, current_schema(), 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO {role}', current_schema());
    END IF;
END $$
"""
# A function may be temporary, too. The owner keeps the right.
_NOTHING_TEMPORARY = """
DO $$ BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END $$
"""
_NAMES = {"policy": POLICY, "role": TENANT_ROLE}
# A database that was copied has the schema, and not what was taken from the public.
_STANDING = """
SELECT obj_description(to_regnamespace(%s)::oid, 'pg_namespace'),
       has_database_privilege(%s, current_database(), 'TEMPORARY')
"""


class RoleMissing(ConfigurationError):
    """The database's account may not make the role that sessions of a tenant act as."""


def need_role(connection: Connection[Any]) -> None:
    """Have the role, and may become it. Inside the caller's transaction. Raises RoleMissing."""
    role = sql.Identifier(TENANT_ROLE)
    there = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (TENANT_ROLE,)).fetchone()
    try:
        if there is None:
            _make_role(connection, role)
        if not _may_become(connection, role):
            with connection.transaction():
                connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))
        if _may_become(connection, role):
            return
    except psycopg.errors.InsufficientPrivilege:
        pass
    row = connection.execute("SELECT quote_ident(current_user)").fetchone()
    assert row is not None
    raise RoleMissing(
        f"The database's account may not make the role {TENANT_ROLE}, which keeps tenants apart.",
        remedy="Have a superuser of this PostgreSQL run, once:"
        f" CREATE ROLE {TENANT_ROLE} NOLOGIN; GRANT {TENANT_ROLE} TO {row[0]};",
    )


def _make_role(connection: Connection[Any], role: sql.Identifier) -> None:
    try:
        with connection.transaction():
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(role))
    except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        pass  # of another database of this server, at the same time


def _may_become(connection: Connection[Any], role: sql.Identifier) -> bool:
    try:
        with connection.transaction():
            connection.execute(sql.SQL("SET LOCAL ROLE {}").format(role))
            connection.execute("SET LOCAL ROLE NONE")
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def put_up(connection: Connection[Any]) -> bool:
    """Make the wall where it is not as it should be, in the caller's transaction. True: it was made."""
    tables = connection.execute(_TABLES).fetchall()
    read = connection.execute(_READ, (list(VIEWS),)).fetchall()
    statements = [*_of_tables([(name, columns) for name, _, columns in tables]), *_of_views()]
    told = repr((tables, read, [statement.as_string(connection) for statement in statements]))
    mark = f"lamppost:{hashlib.sha256(told.encode()).hexdigest()[:32]}"
    row = connection.execute(_STANDING, (TENANT_SCHEMA, TENANT_ROLE)).fetchone()
    if row == (mark, False):
        return False
    take_down(connection)
    for statement in statements:
        connection.execute(statement)
    schema = sql.Identifier(TENANT_SCHEMA)
    connection.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(schema, sql.Literal(mark)))
    return True


def take_down(connection: Connection[Any]) -> None:
    """Away with it, in the caller's transaction: for steps that change what it is made of."""
    connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(TENANT_SCHEMA)))
    found = connection.execute(
        "SELECT tablename FROM pg_policies WHERE schemaname = current_schema() AND policyname = %s", (POLICY,)
    ).fetchall()
    for (table,) in found:
        names = {name: sql.Identifier(each) for name, each in _NAMES.items()} | {
            "table": sql.Identifier(table)
        }
        for statement in (
            "DROP POLICY {policy} ON {table}",
            "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
            "REVOKE ALL ON {table} FROM {role}",
        ):
            connection.execute(sql.SQL(statement).format(**names))


def condition_of(table: str, columns: list[str]) -> str | None:
    """SQL that holds for the rows of the bound tenant; None: the role has nothing to do with the table."""
    if table in WITHOUT or table in NEVER:
        return None
    if table in BY_TABLE:
        return BY_TABLE[table]
    return next((condition for column, condition in BY_COLUMN.items() if column in columns), None)


def _of_tables(tables: list[tuple[str, list[str]]]) -> list[sql.Composed]:
    role = sql.Identifier(TENANT_ROLE)
    made = [
        sql.Composed([sql.SQL(_NOTHING_TEMPORARY)]),
        sql.SQL(_USAGE).format(role=role, name=sql.Literal(TENANT_ROLE)),
    ]
    for table, columns in tables:
        condition = condition_of(table, columns)
        if condition is None:
            continue
        words = {
            "table": sql.Identifier(table),
            "role": role,
            "policy": sql.Identifier(POLICY),
            "other": sql.Literal(TENANT_ROLE),
            "condition": sql.SQL(condition),  # made of this module's constants
            "rights": sql.SQL(LESS.get(table, "SELECT, INSERT, UPDATE, DELETE")),
        }
        for statement in (
            "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            "CREATE POLICY {policy} ON {table} USING (current_user <> {other} OR {condition})",
            "GRANT {rights} ON {table} TO {role}",
        ):
            made.append(sql.SQL(statement).format(**words))
    for function in FUNCTIONS:
        signature = sql.SQL(function)
        made.append(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(signature, role))
    return made


def _of_views() -> list[sql.Composed]:
    schema, role = sql.Identifier(TENANT_SCHEMA), sql.Identifier(TENANT_ROLE)
    made = [sql.SQL("CREATE SCHEMA {}").format(schema)]
    for name, condition in VIEWS.items():
        words = {
            "view": sql.Identifier(TENANT_SCHEMA, name),
            "table": sql.Identifier(name),
            "condition": sql.SQL(condition),
        }
        made.append(sql.SQL("CREATE VIEW {view} AS SELECT * FROM {table} WHERE {condition}").format(**words))
    made.append(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, role))
    made.append(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {}").format(schema, role))
    return made
