"""The lines of `retention_log`: what the worker role removed or, where none ran, TimescaleDB's policy.

The policy (`timescale.keep_policy`) removes chunks a week after the worker would have, and writes nothing
down. Its line is written here afterwards, before anything is computed from what it left: a single late
reading would else become the whole of an hour that is kept.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from psycopg import Connection, sql

from fleet_server.access.rules import WORKER
from fleet_server.audit.recording import record_by
from fleet_server.audit.rules import Happening
from fleet_server.telemetry import timescale
from fleet_server.telemetry.timescale import Dropped

_log = logging.getLogger(__name__)

_NOTE = """
INSERT INTO retention_log (at, what, tenant, rows, partitions, kept_from) VALUES (%s, %s, %s, %s, %s, %s)
"""
_NOTED = "SELECT max(kept_from) FROM retention_log WHERE what = %s AND tenant = ''"
# What is made of them is kept longer. A bucket of it with nothing under it tells a chunk that is gone from
# one that never was; not where its tenant keeps less: that has its own lines (`retain._delete_of_tenant`).
_OUTLIVED = """
SELECT EXISTS (
    SELECT FROM {kept} k JOIN sensor_unit u ON u.id = k.sensor_unit AND {mine}
    JOIN device d ON d.id = u.device_id
    LEFT JOIN (SELECT tenant, max(kept_from) AS kept_from FROM retention_log
               WHERE what = {what} AND tenant <> '' GROUP BY tenant) own ON own.tenant = d.tenant
    WHERE k.bucket >= {since} AND k.bucket <= {gone} - {width}
          AND k.bucket >= coalesce(own.kept_from, '-infinity') AND NOT EXISTS (
        SELECT FROM {table} t WHERE t.sensor_unit = k.sensor_unit
                                    AND t.{column} >= k.bucket AND t.{column} < k.bucket + {width}))
"""
# As `fleet_server/database/accounting.py` counts them; one statement, one snapshot.
_MISSING = """
SELECT greatest(0,
    (SELECT coalesce(sum(samples), 0) FROM batch) + (SELECT coalesce(sum(samples), 0) FROM batch_cursor)
    - (SELECT count(*) FROM sample)
    - (SELECT coalesce(sum(value), 0) FROM ingest_counter WHERE name = 'repeated_samples')
    - (SELECT coalesce(sum(rows), 0) FROM retention_log WHERE starts_with(what, 'sample')))::bigint
"""


def note(connection: Connection[Any], now: datetime, what: str, tenant: str, dropped: Dropped) -> None:
    """In the transaction that removes it, at its end: the audit log's lock is the last that is taken."""
    values = (now, what, tenant, dropped.rows, dropped.partitions, dropped.kept_from)
    connection.execute(_NOTE, values)
    told = {"rows": dropped.rows, "partitions": dropped.partitions, "older_than": dropped.kept_from}
    record_by(connection, WORKER, Happening.SAMPLES_REMOVED, what, after=told, tenant=tenant or None)
    whose = f" of {tenant}" if tenant else ""
    _log.info("retention: %d rows of %s%s before %s are gone", dropped.rows, what, whose, dropped.kept_from)


def note_policy(connection: Connection[Any], table: str, now: datetime) -> None:
    """Write the line that is missing where TimescaleDB's policy has removed chunks of `table`.

    Its rows: of samples, what the ledger lacks; of minutes 0, for nobody knows. Partitions 0, likewise.
    """
    gone = timescale.removed_by_policy(connection, table)
    if gone is None:
        return
    with connection.transaction():
        row = connection.execute(_NOTED, (table,)).fetchone()
        noted: datetime | None = None if row is None else row[0]
        if (noted is not None and noted >= gone) or not _outlived(connection, table, noted, gone):
            return
        missing = connection.execute(_MISSING).fetchone() if table != "unit_minute" else None
        rows = 0 if missing is None else int(missing[0])
        _log.warning("TimescaleDB's policy removed what was in %s before %s: no worker did", table, gone)
        note(connection, now, table, "", Dropped(rows, 0, gone))


def _outlived(connection: Connection[Any], table: str, since: datetime | None, gone: datetime) -> bool:
    minutes = table == "unit_minute"
    # Constants, not a join: only so does TimescaleDB leave out chunks that cannot hold any.
    query = sql.SQL(_OUTLIVED).format(
        kept=sql.Identifier("unit_hour" if minutes else "unit_day"),
        width=sql.SQL("INTERVAL '1 hour'" if minutes else "INTERVAL '24 hours'"),
        mine=sql.SQL("true")
        if minutes
        else sql.SQL("u.retention = {}").format(sql.Literal(table.removeprefix("sample_"))),
        what=sql.Literal(table),
        table=sql.Identifier(table),
        column=sql.Identifier(timescale.TABLES[table]),
        since=sql.Literal("-infinity" if since is None else since),
        gone=sql.Literal(gone),
    )
    row = connection.execute(query).fetchone()
    return row is not None and bool(row[0])
