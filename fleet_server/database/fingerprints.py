"""How many rows each table has and what they come to, so that two databases can be compared.

A table's fingerprint is the sum of its rows' 64-bit hashes (PostgreSQL's own, of the whole row): the order of
rows does not matter, a changed, lost or doubled row does. It is the same on every version since 14.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import psycopg
from psycopg import Connection, sql


class TableState(msgspec.Struct, frozen=True):
    """`fingerprint`: a decimal number; "0" of a table without rows."""

    rows: int
    fingerprint: str


# Partitions are counted with their parent; TimescaleDB keeps its own books in schemas of its own.
_TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema')
      AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT LIKE '%timescaledb%'
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                      AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""
# Whatever pg_dump copies, TimescaleDB's own tables with it. Partitions and chunks come with their parent.
_HELD = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND has_table_privilege(c.oid, 'SELECT')
      AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'
      AND NOT EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhrelid = c.oid)
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                      AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""
# For the fallback by text: the same words for the same value, whatever the server's settings.
_SETTINGS = ("timezone = 'UTC'", "datestyle = 'ISO'", "extra_float_digits = 3", "bytea_output = 'hex'")


def hold_tables(connection: Connection[Any]) -> None:
    """From here to the end of the transaction no table, partition or chunk is dropped.

    To be called where no transaction has begun. The one it begins has no snapshot yet: LOCK takes none.
    """
    while True:
        with connection.transaction():
            there = connection.execute(_HELD).fetchall()
        names = sql.SQL(", ").join(sql.Identifier(schema, name) for schema, name in there)
        try:
            if there:
                connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names))
            return
        except psycopg.errors.UndefinedTable:  # dropped in between
            connection.rollback()


def table_names(connection: Connection[Any]) -> list[tuple[str, str]]:
    """(schema, table) of every table that holds something of ours."""
    return [(str(schema), str(name)) for schema, name in connection.execute(_TABLES)]


def fingerprints(
    connection: Connection[Any], told: Callable[[str], None] = lambda _: None
) -> dict[str, TableState]:
    """`schema.table` -> its state, in the connection's transaction: begin one, for a single snapshot."""
    for setting in _SETTINGS:
        connection.execute(f"SET LOCAL {setting}".encode())
    found = {}
    for schema, name in table_names(connection):
        told(f"counting {name}")
        found[f"{schema}.{name}"] = _state(connection, sql.Identifier(schema, name))
    return found


def _state(connection: Connection[Any], table: sql.Identifier) -> TableState:
    by_record = sql.SQL("SELECT count(*), coalesce(sum(hash_record_extended(t, 0)), 0) FROM {} t")
    by_text = sql.SQL("SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) FROM {} t")
    try:
        with connection.transaction():
            row = connection.execute(by_record.format(table)).fetchone()
    except psycopg.errors.UndefinedFunction:  # a column of a type without a hash, such as json
        row = connection.execute(by_text.format(table)).fetchone()
    assert row is not None
    return TableState(int(row[0]), str(row[1]))


def differences(wanted: Mapping[str, TableState], found: Mapping[str, TableState]) -> list[str]:
    """What is not the same, a line a table; empty: everything is."""
    lines = []
    for name in sorted({*wanted, *found}):
        mine, theirs = wanted.get(name), found.get(name)
        if mine == theirs:
            continue
        if theirs is None:
            lines.append(f"{name} is missing")
        elif mine is None:
            lines.append(f"{name} should not be there")
        elif mine.rows != theirs.rows:
            lines.append(f"{name} has {theirs.rows} rows instead of {mine.rows}")
        else:
            lines.append(f"{name} has {mine.rows} rows, and not the same ones")
    return lines
