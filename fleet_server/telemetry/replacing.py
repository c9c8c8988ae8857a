"""A table in the place of another: its rows move, and the views that read it are put back as they were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from psycopg import Connection, sql

# Whatever reads the tables, directly or through another view. A view is younger than what it reads.
_VIEWS = """
WITH RECURSIVE reading AS (
    SELECT r.ev_class AS view FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
    WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
          AND d.refobjid = ANY(%s::text[]::regclass[]) AND r.ev_class <> d.refobjid
    UNION
    SELECT r.ev_class
    FROM reading v JOIN pg_depend d ON d.refobjid = v.view JOIN pg_rewrite r ON r.oid = d.objid
    WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND r.ev_class <> v.view
)
SELECT n.nspname, c.relname, pg_get_viewdef(c.oid), obj_description(c.oid, 'pg_class')
FROM reading JOIN pg_class c ON c.oid = reading.view JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'v' ORDER BY c.oid
"""


@contextmanager
def without_views(connection: Connection[Any], tables: Sequence[str]) -> Iterator[None]:
    """Inside the caller's transaction; the body may replace `tables` by others of the same columns.

    Grants on the views are lost: whoever gave them (`dashboards/grafana/role.sql`) gives them again.
    """
    found = connection.execute(_VIEWS, (list(tables),)).fetchall()
    for schema, name, _, _ in reversed(found):
        connection.execute(sql.SQL("DROP VIEW {}").format(sql.Identifier(schema, name)))
    yield
    for schema, name, query, comment in found:
        view = sql.Identifier(schema, name)
        connection.execute(sql.SQL("CREATE VIEW {} AS ").format(view) + sql.SQL(query))
        if comment is not None:
            connection.execute(sql.SQL("COMMENT ON VIEW {} IS {}").format(view, sql.Literal(comment)))


def set_aside(connection: Connection[Any], table: str, column: str = "") -> None:
    """Rename it to `<table>_plain` and make an empty one like it; partitioned by `column` if one is given."""
    statements = [
        "ALTER INDEX IF EXISTS {key} RENAME TO {old_key}",
        "ALTER TABLE {table} RENAME TO {old}",
        "CREATE TABLE {table} (LIKE {old} INCLUDING ALL)"
        + (" PARTITION BY RANGE ({column})" if column else ""),
    ]
    for statement in statements:
        connection.execute(sql.SQL(statement).format(**_names(table), column=sql.Identifier(column)))


def refill(connection: Connection[Any], table: str) -> None:
    """Move the rows of what was set aside, and drop it."""
    for statement in ("INSERT INTO {table} SELECT * FROM {old}", "DROP TABLE {old}"):
        connection.execute(sql.SQL(statement).format(**_names(table)))


def kind_of(connection: Connection[Any], table: str) -> str:
    """PostgreSQL's letter: r for a table, p for a partitioned one, v for a view."""
    row = connection.execute("SELECT relkind FROM pg_class WHERE oid = %s::regclass", (table,)).fetchone()
    assert row is not None
    return str(row[0])


def aside(table: str) -> str:
    return f"{table}_plain"


def _names(table: str) -> dict[str, sql.Identifier]:
    return {
        "table": sql.Identifier(table),
        "key": sql.Identifier(f"{table}_pkey"),
        "old": sql.Identifier(aside(table)),
        "old_key": sql.Identifier(f"{aside(table)}_pkey"),
    }
