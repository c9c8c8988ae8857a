"""The ledger against the samples: what devices were told is stored, is stored.

An ack says that a batch is in the ledger; the ledger says how many samples each batch brought. So, of each
device: what its ledger counts is at least what it has rows. What it counts beyond them must be samples that
came twice (`repeated_samples` of the ingest's counters, one number for the whole city) or that retention has
taken away (`retention_log`); dead letters were subtracted when they were buried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, LiteralString

from psycopg import Connection

from fleet_server.database.findings import Finding, named, sound, unsound
from fleet_server.telemetry.upkeep.settle import Hole, holes

CHECK = "ledger and samples"
REPEATED = "repeated_samples"
NOTED_AFTER = timedelta(hours=1)  # a batch that is on its way comes within a minute

_LEDGER = """
SELECT d.id, d.tenant || '/' || d.name, coalesce(sum(l.samples), 0)::bigint
FROM device d LEFT JOIN (
    SELECT device_id, samples FROM batch UNION ALL SELECT device_id, samples FROM batch_cursor) l
ON l.device_id = d.id GROUP BY d.id ORDER BY d.id
"""
_UNITS = "SELECT device_id, array_agg(id) FROM sensor_unit GROUP BY device_id"
_ROWS = "SELECT count(*) FROM sample WHERE sensor_unit = ANY(%s)"
# What retention removes it writes down, by table.
_REMOVED = "SELECT coalesce(sum(rows), 0)::bigint FROM retention_log WHERE starts_with(what, 'sample')"
_REPEATED = "SELECT coalesce(sum(value), 0)::bigint FROM ingest_counter WHERE name = %s"


@dataclass(frozen=True)
class Account:
    """One device: the samples its ledger counts, the rows that are there."""

    device: str
    ledger: int
    rows: int

    @property
    def missing(self) -> int:
        return self.ledger - self.rows


def judge(accounts: Sequence[Account], repeated: int, removed: int) -> Finding:
    """removed: rows that retention has taken away, as it noted."""
    surplus = [each for each in accounts if each.missing < 0]
    total = sum(each.missing for each in accounts)
    counted = f"{sum(each.rows for each in accounts):,} samples of {len(accounts)} devices"
    if surplus:
        told = named(f"{each.device} has {-each.missing:,} more than its ledger" for each in surplus)
        return unsound(
            CHECK,
            told,
            "Rows came in past the ingest (an import?), or only the ledger is of an older backup.",
        )
    explained = f"{repeated:,} came twice and were stored once, {removed:,} were removed by retention"
    if total == repeated + removed:
        return sound(CHECK, f"{counted}, each accounted for; {explained}")
    short = sorted((each for each in accounts if each.missing), key=lambda each: -each.missing)
    who = named(f"{each.device} {each.missing:,}" for each in short)
    return unsound(
        CHECK,
        f"the ledger counts {total:,} samples that have no row ({who}), and of these {explained}",
        "Rows were deleted by hand, or the table is damaged: compare with a backup (lamppost db verify FILE"
        " --drill), and restore it beside (--into) to see which.",
    )


def look(connection: Connection[Any], told: Callable[[str], None]) -> list[Finding]:
    """In the connection's transaction: one snapshot, or what comes in meanwhile is counted half."""
    units = dict(connection.execute(_UNITS).fetchall())
    accounts = []
    for device_id, name, ledger in connection.execute(_LEDGER).fetchall():
        told(f"counting the samples of {name}")
        accounts.append(Account(name, ledger, _count(connection, _ROWS, units.get(device_id, []))))
    repeated, removed = _count(connection, _REPEATED, REPEATED), _count(connection, _REMOVED)
    return [judge(accounts, repeated, removed), _of_holes(holes(connection, NOTED_AFTER))]


def _count(connection: Connection[Any], query: LiteralString, *values: Any) -> int:
    row = connection.execute(query, values).fetchone()
    return 0 if row is None else int(row[0])


def _of_holes(found: Sequence[Hole]) -> Finding:
    check = "ledger without holes"
    if not found:
        return sound(check, "what each device sent is contiguous")
    told = named(
        f"device {hole.stream.device_id} class {hole.stream.cls}: {hole.first} to {hole.last}"
        for hole in found
    )
    return unsound(
        check,
        f"batches that never came, though later ones did, for more than an hour: {told}",
        "After a restore from an older backup this is what was lost; the worker role writes it down as such"
        " within a day. Otherwise look whether the lamppost is connected: it sends the oldest first.",
    )
