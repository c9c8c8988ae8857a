"""PostgreSQL's own partitions: samples and minutes by month (UTC), where TimescaleDB is not there.

Months are made ahead by the worker role, and others on demand by whoever writes into them. A month is made
as a table of its own and then attached: unlike CREATE TABLE … PARTITION OF, that stops nobody else.
There is no default partition, because it would have to be searched whenever a month is attached.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import sqlalchemy
from numpy.typing import NDArray
from psycopg import Connection, sql

from fleet_server.telemetry.replacing import aside, kind_of, refill, set_aside, without_views
from fleet_server.telemetry.timescale import Dropped, is_hypertable

ADVISORY_LOCK = 7_265_008  # one at a time makes months
AHEAD = 2  # months made before they begin: a worker role may be off for weeks
TABLES = {"sample_short": "time", "sample_standard": "time", "sample_long": "time", "unit_minute": "bucket"}
"""The partitioned tables and the column that says the month."""

Month = int
"""Months since January of the year 0: a number, so that neighbours are one apart."""

_THERE = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = ANY(%s::text[]::regclass[])
"""


def month_of(at: datetime) -> Month:
    at = at.astimezone(UTC)
    return at.year * 12 + at.month - 1


def begin_of(month: Month) -> datetime:
    return datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)


def months_of(times_ms: NDArray[np.int64]) -> set[Month]:
    """The months in which these instants (Unix milliseconds) lie."""
    if not len(times_ms):
        return set()
    since_1970 = np.unique(times_ms.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64))
    return {1970 * 12 + int(month) for month in since_1970}


def name_of(table: str, month: Month) -> str:
    return f"{table}_{month // 12:04}_{month % 12 + 1:02}"


def is_partitioned(connection: Connection[Any]) -> bool:
    """Are samples in partitions of PostgreSQL's own, not in a hypertable?"""
    return kind_of(connection, "sample_standard") == "p"


def make_months(connection: Connection[Any], months: Iterable[Month]) -> int:
    """Make what is missing of these months, in a transaction; returns how many partitions that were."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (ADVISORY_LOCK,))
        there = {name for (name,) in connection.execute(_THERE, (list(TABLES),))}
        missing = [
            (table, month)
            for month in sorted(set(months))
            for table in TABLES
            if name_of(table, month) not in there
        ]
        for table, month in missing:
            _make(connection, table, month)
        return len(missing)


def _make(connection: Connection[Any], table: str, month: Month) -> None:
    names = {"part": sql.Identifier(name_of(table, month)), "whole": sql.Identifier(table)}
    connection.execute(sql.SQL("CREATE TABLE {part} (LIKE {whole} INCLUDING ALL)").format(**names))
    bounds = {"begin": sql.Literal(begin_of(month)), "end": sql.Literal(begin_of(month + 1))}
    connection.execute(
        sql.SQL("ALTER TABLE {whole} ATTACH PARTITION {part} FOR VALUES FROM ({begin}) TO ({end})").format(
            **names, **bounds
        )
    )


class Months:
    """Which months one connection's database has, as far as its writer knows."""

    def __init__(self) -> None:
        self._partitioned: bool | None = None
        self._there: set[Month] = set()

    def ensure(self, connection: Connection[Any], times_ms: Iterable[NDArray[np.int64]]) -> None:
        """Have the months of these instants, before rows are written. Nothing to do in a hypertable."""
        if self._partitioned is None:
            self._partitioned = is_partitioned(connection)
        if not self._partitioned:
            return
        missing: set[Month] = set()
        for times in times_ms:
            missing |= months_of(times) - self._there
        if missing:
            make_months(connection, missing)
            self._there |= missing

    def clear(self) -> None:
        """Forget: it may be another database now, or retention removed one."""
        self._partitioned = None
        self._there.clear()


def enable(connection: sqlalchemy.Connection) -> None:
    """Make plain tables partitioned ones, with their rows; the caller commits. A hypertable stays one."""
    raw: Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
    plain = [name for name in TABLES if kind_of(raw, name) == "r" and not is_hypertable(raw, name)]
    with without_views(raw, plain):
        for table in plain:
            set_aside(raw, table, TABLES[table])
        if is_partitioned(raw):
            found = [month for table in plain for month in _months_aside(raw, table)]
            make_months(raw, {*ahead(datetime.now(UTC)), *found})
        for table in plain:
            refill(raw, table)


def ahead(now: datetime) -> list[Month]:
    """This month and the next ones."""
    return [month_of(now) + more for more in range(AHEAD + 1)]


def _months_aside(connection: Connection[Any], table: str) -> list[Month]:
    query = sql.SQL("SELECT DISTINCT date_trunc('month', {}, 'UTC') FROM {}").format(
        sql.Identifier(TABLES[table]), sql.Identifier(aside(table))
    )
    return [month_of(begin) for (begin,) in connection.execute(query).fetchall()]


def drop_before(connection: Connection[Any], table: str, horizon: datetime) -> Dropped | None:
    """Drop the oldest partition that ended before `horizon`, in the caller's transaction. None: there is
    none.

    Dropping waits for whoever reads the table, and whoever comes next waits for it: the caller sets a lock
    time-out, and tries again later.
    """
    oldest = min(
        (name for (name,) in connection.execute(_THERE, ([table],)) if _is_month(table, name)), default=None
    )
    if oldest is None:
        return None
    month = _month_named(oldest)
    if begin_of(month + 1) > horizon:
        return None
    part = sql.Identifier(oldest)
    connection.execute(
        sql.SQL("LOCK TABLE {} IN SHARE MODE").format(part)
    )  # nobody writes what is not counted
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(part)).fetchone()
    assert row is not None
    connection.execute(sql.SQL("DROP TABLE {}").format(part))
    return Dropped(int(row[0]), 1, begin_of(month + 1))


def _is_month(table: str, name: str) -> bool:
    return re.fullmatch(re.escape(table) + r"_\d{4}_\d{2}", name) is not None


def _month_named(name: str) -> Month:
    return int(name[-7:-3]) * 12 + int(name[-2:]) - 1
