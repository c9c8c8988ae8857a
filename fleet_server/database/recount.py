"""Rollups against the samples they were made of: some hours, or all, computed anew."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from psycopg import Connection

from fleet_server.database.findings import Finding, named, not_checked, sound, unsound
from fleet_server.telemetry.ingest.rows import EXCLUDED
from wire_contract.limits import MAX_SLOTS

CHECK = "rollups and samples"
SAMPLE_HOURS = (
    200  # of single sensor units: a second or two, and an error in 2 % of them is found in 98 of 100
)
HOURS_A_QUERY = 50

UnitHour = tuple[int, datetime]

# Without the hours whose samples, or minutes, retention has begun to remove.
_HOURS = """
WITH kept AS (
    SELECT u.id, (SELECT max(l.kept_from) FROM retention_log l WHERE l.what = 'unit_minute'
                      OR (l.what = 'sample_' || u.retention AND l.tenant IN ('', d.tenant))) AS since
    FROM sensor_unit u JOIN device d ON d.id = u.device_id)
SELECT h.sensor_unit, h.bucket FROM kept k JOIN unit_hour h ON h.sensor_unit = k.id
WHERE k.since IS NULL OR h.bucket >= k.since ORDER BY 1, 2
"""
_SLOTS = ", ".join(f"({slot}, s{slot})" for slot in range(MAX_SLOTS))
_COMPARE = f"""
WITH wanted AS (SELECT * FROM unnest(%(units)s::int[], %(hours)s::timestamptz[]) AS t(unit, hour)),
fresh AS (
    SELECT e.id AS series_id, date_trunc('minute', a.time) AS bucket,
           count(*) FILTER (WHERE NOT v.bad) AS n,
           coalesce(sum(v.value) FILTER (WHERE NOT v.bad), 0) AS sum,
           min(v.value) FILTER (WHERE NOT v.bad) AS min, max(v.value) FILTER (WHERE NOT v.bad) AS max,
           count(*) FILTER (WHERE v.bad) AS flagged
    FROM wanted w JOIN sample a ON a.sensor_unit = w.unit AND a.time >= w.hour
                                AND a.time < w.hour + interval '1 hour'
    CROSS JOIN LATERAL (SELECT x.slot, x.value, ((a.flags >> (4 * x.slot)) & 15) = ANY(%(excluded)s) AS bad
                        FROM (VALUES {_SLOTS}) AS x(slot, value) WHERE x.value IS NOT NULL) v
    JOIN series e ON e.sensor_unit_id = w.unit AND e.slot = v.slot
    GROUP BY 1, 2),
kept AS (
    SELECT r.series_id, r.bucket, r.n, r.sum, r.min, r.max, r.flagged
    FROM wanted w JOIN series e ON e.sensor_unit_id = w.unit
    JOIN rollup_1m r ON r.series_id = e.id AND r.bucket >= w.hour AND r.bucket < w.hour + interval '1 hour'),
hourly AS (
    SELECT r.series_id, r.bucket, r.n, r.sum, r.min, r.max, r.flagged
    FROM wanted w JOIN series e ON e.sensor_unit_id = w.unit
    JOIN rollup_1h r ON r.series_id = e.id AND r.bucket = w.hour
    WHERE NOT EXISTS (SELECT 1 FROM rollup_dirty d WHERE d.sensor_unit = w.unit AND d.hour = w.hour)),
of_minutes AS (
    SELECT k.series_id, date_trunc('hour', k.bucket) AS bucket, sum(k.n) AS n, sum(k.sum) AS sum,
           min(k.min) AS min, max(k.max) AS max, sum(k.flagged) AS flagged FROM kept k GROUP BY 1, 2)
SELECT 'minute', series_id, bucket FROM fresh f FULL JOIN kept k USING (series_id, bucket)
WHERE (f.n, f.sum, f.min, f.max, f.flagged) IS DISTINCT FROM (k.n, k.sum, k.min, k.max, k.flagged)
UNION ALL
SELECT 'hour', series_id, bucket FROM hourly h JOIN of_minutes m USING (series_id, bucket)
WHERE (h.n, h.sum, h.min, h.max, h.flagged) IS DISTINCT FROM (m.n, m.sum, m.min, m.max, m.flagged)
LIMIT 1000
"""  # noqa: S608 - made of the constants above


def look(
    connection: Connection[Any], told: Callable[[str], None], *, everything: bool, seed: int | None = None
) -> Finding:
    """`everything`: each hour there is, else SAMPLE_HOURS of them, picked at random."""
    there: list[UnitHour] = connection.execute(_HOURS).fetchall()
    if not there:
        return not_checked(CHECK, "there is no hour with samples yet")
    chosen = there
    if not everything and len(there) > SAMPLE_HOURS:
        chosen = sorted(random.Random(seed).sample(there, SAMPLE_HOURS))  # noqa: S311 - a survey, no secret
    wrong: list[str] = []
    for start in range(0, len(chosen), HOURS_A_QUERY):
        told(f"computing rollups anew: {start} of {len(chosen)} unit hours")
        for level, series, bucket in _compare(connection, chosen[start : start + HOURS_A_QUERY]):
            wrong.append(f"series {series} {level} {bucket.isoformat(timespec='minutes')}")
    counted = f"{len(chosen)} of {len(there)} unit hours computed anew"
    if not wrong:
        return sound(CHECK, counted)
    return unsound(
        CHECK,
        f"{counted}; {len(wrong)} minutes or hours differ: {named(wrong)}",
        "The samples are right: they are what was acked. Charts and indices of these hours are not: report"
        " this with the output of --all --json.",
    )


def _compare(connection: Connection[Any], hours: Sequence[UnitHour]) -> list[tuple[str, int, datetime]]:
    values = {
        "units": [unit for unit, _ in hours],
        "hours": [hour for _, hour in hours],
        "excluded": [flag for flag in range(16) if EXCLUDED[flag]],
    }
    return connection.execute(_COMPARE, values).fetchall()
