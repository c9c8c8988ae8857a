"""One view a sensor kind, e.g. `v_pms5003`: readings as numbers in their unit, for people who write SQL.

Columns: sensor_unit, tenant, device, site, serial, time, then one `double precision` a channel named
`<channel>_<unit>` and one `smallint` a channel named `<channel>_flag`. A missing reading is NULL.
A view is made again when a layout of slots is declared that it does not know yet.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import Connection, sql

from wire_contract.flags import Flag

MAX_VIEWS = 200  # kinds are words of devices: a broken one must not fill the catalogue
MAX_COLUMN_CHARACTERS = 50  # of PostgreSQL's 63
ADVISORY_LOCK = 7_265_003

Layout = Sequence[tuple[str, str, int]]
"""By slot: channel, unit, exponent."""

_UNIT_WORDS = {"%": "percent", "°c": "celsius", "degc": "celsius", "1/dl": "per_dl", "1/cm3": "per_cm3"}


def column_name(channel: str, unit: str) -> str:
    """pm2_5 in "ug/m3" -> pm2_5_ug_m3."""
    word = _UNIT_WORDS.get(unit.lower(), unit.lower().replace("µ", "u"))
    word = re.sub(r"[^a-z0-9]+", "_", word).strip("_")
    return f"{channel}_{word}".strip("_")[:MAX_COLUMN_CHARACTERS]


def view_name(kind: str) -> str | None:
    """None for a kind that makes no name."""
    return f"v_{kind}" if re.fullmatch(r"[a-z][a-z0-9_]{0,40}", kind) else None


def definition(kind: str, layouts: Mapping[str, Layout]) -> sql.Composed:
    """The query of a kind's view: a branch a layout (stored text -> slots), NULL for channels it lacks."""
    names = sorted({column_name(channel, unit) for slots in layouts.values() for channel, unit, _ in slots})
    branches = [_branch(kind, text, layouts[text], names) for text in sorted(layouts)]
    return sql.SQL("\nUNION ALL\n").join(branches)


def _branch(kind: str, text: str, slots: Layout, names: Sequence[str]) -> sql.Composed:
    by_name = {column_name(channel, unit): (slot, exp) for slot, (channel, unit, exp) in enumerate(slots)}
    columns: list[sql.Composable] = []
    for name in names:
        if name in by_name:
            columns += _columns(name, *by_name[name])
        else:
            columns.append(
                sql.SQL("NULL::double precision AS {}, NULL::smallint AS {}").format(
                    sql.Identifier(name), sql.Identifier(f"{name}_flag")
                )
            )
    return sql.SQL(
        "SELECT u.id AS sensor_unit, d.tenant, d.name AS device, u.site, u.serial, s.time, {columns}"
        " FROM sample s JOIN sensor_unit u ON u.id = s.sensor_unit JOIN device d ON d.id = u.device_id"
        " WHERE u.kind = {kind} AND u.layout = {layout}"
    ).format(columns=sql.SQL(", ").join(columns), kind=sql.Literal(kind), layout=sql.Literal(text))


def _columns(name: str, slot: int, exponent: int) -> list[sql.Composable]:
    flag = sql.SQL("((s.flags >> {shift}) & 15)").format(shift=sql.Literal(4 * slot))
    # Dividing by an exact power of ten gives the nearest double; multiplying by 0.1 does not.
    scaled = sql.SQL("s.{column}::double precision {operator} {power}::double precision").format(
        column=sql.Identifier(f"s{slot}"),
        operator=sql.SQL("*" if exponent >= 0 else "/"),
        power=sql.Literal(10 ** abs(exponent)),
    )
    value = sql.SQL("CASE WHEN {flag} <> {missing} THEN {scaled} END AS {name}").format(
        flag=flag, missing=sql.Literal(int(Flag.MISSING)), scaled=scaled, name=sql.Identifier(name)
    )
    return [value, sql.SQL("{}::smallint AS {}").format(flag, sql.Identifier(f"{name}_flag"))]


def make_views(connection: Connection[Any]) -> int:
    """One tick: make the views that are missing or older than their layouts; returns how many."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (ADVISORY_LOCK,))
        by_kind: dict[str, dict[str, Layout]] = {}
        query = "SELECT DISTINCT kind, layout FROM sensor_unit ORDER BY kind, layout"
        for kind, layout in connection.execute(query):
            if view_name(kind) is not None:
                by_kind.setdefault(kind, {})[layout] = [(c, u, e) for c, u, e in json.loads(layout)]
        there = dict(
            connection.execute(
                "SELECT relname, obj_description(oid, 'pg_class') FROM pg_class"
                " WHERE relkind = 'v' AND relnamespace = current_schema()::regnamespace"
            ).fetchall()
        )
        return sum(_make(connection, kind, by_kind[kind], there) for kind in sorted(by_kind)[:MAX_VIEWS])


def _make(
    connection: Connection[Any], kind: str, layouts: Mapping[str, Layout], there: Mapping[str, str | None]
) -> bool:
    name = view_name(kind)
    assert name is not None
    query = definition(kind, layouts)
    mark = "lamppost:" + hashlib.sha256(query.as_bytes(connection)).hexdigest()[:32]
    if there.get(name) == mark:
        return False
    view = sql.Identifier(name)
    connection.execute(sql.SQL("DROP VIEW IF EXISTS {}").format(view))
    connection.execute(sql.SQL("CREATE VIEW {} AS {}").format(view, query))
    connection.execute(sql.SQL("COMMENT ON VIEW {} IS {}").format(view, sql.Literal(mark)))
    return True
