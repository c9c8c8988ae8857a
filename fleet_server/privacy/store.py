"""Queries over the inventory's places: table and column names are its constants, values are parameters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from fleet_server.privacy import finding, rules, spellings
from fleet_server.privacy.inventory import SECRETS, How, Kept, Place

ROWS_AT_ONCE = 500  # in memory: the longest is a twin with all its tags, tens of kB
# what belongs to an account and goes with it; `:names` are its names
_OF_ACCOUNT = (
    "operator_session", "sign_in_ticket", "second_factor", "recovery_code", "operator_identity",
    "operator_grant",
)  # fmt: skip


def has_tenant(session: Session) -> set[str]:
    """Tables with a column `tenant`."""
    query = text("SELECT table_name FROM information_schema.columns WHERE column_name = 'tenant'")
    return set(session.execute(query).scalars())


def one_snapshot(session: Session) -> None:
    """Every query of this transaction sees the same rows, and changes none. To be called first."""
    session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))


def count(session: Session, place: Place, given: dict[str, Any], scoped: bool) -> int:
    """How many rows of it speak of the person. given: `finding.parameters`, within (a tenant or None)."""
    query = f"SELECT count(*) FROM {place.table} t WHERE {finding.match(place)}{_within(scoped)}"  # noqa: S608
    return int(session.execute(text(query), given).scalar_one())


@dataclass(frozen=True)
class Alike:
    """rows: that speak of the person in another spelling alone. spelled: these, as they are written."""

    rows: int
    spelled: frozenset[str]


def alike(session: Session, place: Place, given: dict[str, Any], scoped: bool) -> Alike:
    """What else may be the person's name (`spellings`), but for accounts, whose names are exact."""
    if place.kept is Kept.ACCOUNT:
        return Alike(0, frozenset())
    values, sought = {**given}, []
    for name in given["names"]:
        likeness = {f"like_{len(values) + i}": each for i, each in enumerate(spellings.likeness(name))}
        values |= likeness
        sought.append(" AND ".join(f"x.told ~ :{each}" for each in likeness) or "false")
    told = f"{place.table} t CROSS JOIN LATERAL ({finding.texts(place)}) AS x(told)"
    where = f"({' OR '.join(sought)}){_within(scoped)}"
    exact = f"coalesce({finding.match(place)}, false)"
    more = f"SELECT t.ctid, x.told FROM {told} WHERE {where} AND NOT {exact}"  # noqa: S608 - constants
    beside = f"SELECT DISTINCT CAST(NULL AS tid), x.told FROM {told} WHERE {where} AND {exact}"  # noqa: S608
    known = re.compile(rules.whole(given["names"]))
    rows: set[str] = set()
    spelled: set[str] = set()
    for query in (more, beside):
        done = session.execute(text(query), values, execution_options={"yield_per": ROWS_AT_ONCE})
        for row, written in done:
            found = {each for each in _spelled(written, given["names"], place) if not known.fullmatch(each)}
            spelled |= found
            rows |= {row} if found and row is not None else set()
    return Alike(len(rows), frozenset(spelled))


def _spelled(written: str, names: Sequence[str], place: Place) -> Iterator[str]:
    for name in names:
        yield from spellings.spellings(written, name, whole=place.how is How.NAME)


def copies(session: Session, place: Place, given: dict[str, Any], scoped: bool) -> Iterator[dict[str, Any]]:
    """Every row, without secrets, in the order of the table's key; `ROWS_AT_ONCE` of them in memory."""
    query = (
        f"SELECT to_jsonb(t) - CAST(:secrets AS text[]) FROM {place.table} t"  # noqa: S608 - constants
        f" WHERE {finding.match(place)}{_within(scoped)} ORDER BY {_key(session, place.table)}"
    )
    values = {**given, "secrets": list(SECRETS)}
    for (row,) in session.execute(text(query), values, execution_options={"yield_per": ROWS_AT_ONCE}):
        yield row if isinstance(row, dict) else json.loads(row)


def _key(session: Session, table: str) -> str:
    query = text(
        "SELECT string_agg('t.' || quote_ident(a.attname), ', ' ORDER BY array_position(i.indkey, a.attnum))"
        " FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)"
        " WHERE i.indrelid = CAST(:table AS regclass) AND i.indisprimary"
    )
    return str(session.execute(query, {"table": table}).scalar() or "t.ctid")


def erase(session: Session, place: Place, given: dict[str, Any], scoped: bool) -> int:
    """Put the tombstone in the person's place; given: `tombstone` besides. How many rows."""
    where = f"{finding.match(place)}{_within(scoped)}"
    if place.how is How.JSON:
        return _erase_json(session, place, given, where)
    statement = f"UPDATE {place.table} t SET {_erased(place)} WHERE {where}"  # noqa: S608 - constants
    gone: Any = session.execute(text(statement), given)
    return int(gone.rowcount)


def _erase_json(session: Session, place: Place, given: dict[str, Any], where: str) -> int:
    """Text by text of each document: what stands between them, and numbers, are nobody's name."""
    column, done = place.column, 0
    found = re.compile(given["pattern"])
    query = text(f"SELECT t.ctid, t.{column} FROM {place.table} t WHERE {where} FOR UPDATE")  # noqa: S608
    change = text(
        f"UPDATE {place.table} SET {column} = CAST(:document AS jsonb) WHERE ctid = CAST(:row AS tid)"  # noqa: S608
    )
    rows = session.execute(query, given, execution_options={"yield_per": ROWS_AT_ONCE})
    for some in rows.partitions():
        changed = [
            {"row": row, "document": json.dumps(rules.replaced(document, found, given["tombstone"]))}
            for row, document in some
        ]
        session.execute(change, changed)
        done += len(changed)
    return done


def end_account(session: Session, names: Sequence[str]) -> int:
    """Shut the accounts of these names for good, with all they sign in by. How many."""
    given = {"names": list(names)}
    mine = "operator_id IN (SELECT id FROM operator WHERE name = ANY(:names))"
    statements = [f"DELETE FROM {table} WHERE {mine}" for table in _OF_ACCOUNT]  # noqa: S608 - constants
    statements.append(f"UPDATE api_token SET revoked_at = now() WHERE revoked_at IS NULL AND {mine}")  # noqa: S608
    statements.append("DELETE FROM sign_in_failure WHERE name = ANY(:names)")
    for statement in statements:
        session.execute(text(statement), given)
    shut: Any = session.execute(
        text("UPDATE operator SET disabled = true, password_hash = NULL WHERE name = ANY(:names)"), given
    )
    return int(shut.rowcount)


def forget_old(session: Session, place: Place, before: datetime, most: int) -> int:
    """Put "erased" where a name is older than `before`. How many rows."""
    old = (
        f"SELECT t.ctid FROM {place.table} t"  # noqa: S608 - constants
        f" WHERE t.{place.column} NOT IN ('', 'erased') AND {place.at} < :before LIMIT :most"
    )
    assert place.how is How.NAME
    statement = f"UPDATE {place.table} t SET {_set(place, ':tombstone')} WHERE t.ctid = ANY(ARRAY({old}))"  # noqa: S608
    gone: Any = session.execute(text(statement), {"before": before, "most": most, "tombstone": "erased"})
    return int(gone.rowcount)


def forget_beside(session: Session, before: datetime, most: int, only: str | None) -> int:
    """The same beside audit lines; only: values of that name (None: of every one). How many."""
    statement = text(
        "UPDATE audit_personal t SET value = 'erased', salt = NULL, erased_at = now() FROM ("
        " SELECT p.number, p.name FROM audit_line l JOIN audit_personal p ON p.number = l.number"
        " WHERE l.at < :before AND p.salt IS NOT NULL AND (CAST(:only AS text) IS NULL OR p.name = :only)"
        " LIMIT :most) old WHERE old.number = t.number AND old.name = t.name"
    )
    gone: Any = session.execute(statement, {"before": before, "most": most, "only": only})
    return int(gone.rowcount)


def _erased(place: Place) -> str:
    match place.how:
        case How.NAME:
            return _set(place, finding.erased(place))
        case How.TEXT:
            return f"{place.column} = regexp_replace(t.{place.column}, :pattern, :tombstone, 'g')"
        case How.BESIDE:
            return f"{place.column} = :tombstone, salt = NULL, erased_at = now()"
        case How.BYTES:
            return f"{place.column} = ''"
        case How.JSON:
            raise AssertionError("text by text, not by one statement")


def _set(place: Place, value: str) -> str:
    return f"{place.column} = {value}" + (f", {place.also}" if place.also else "")


def _within(scoped: bool) -> str:
    return " AND t.tenant = :within" if scoped else ""
