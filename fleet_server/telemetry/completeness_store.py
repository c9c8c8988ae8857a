"""What arrived of each sensor unit, day by day: from the daily rollup, the samples and the tombstones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlmodel import Session

from wire_contract.topics import Address

CADENCE_SAMPLES = 60  # an hour's at one a minute: enough for a median, few enough for every unit of a city


@dataclass(frozen=True)
class DayRecord:
    """A unit's day (UTC). received: instants that have a sample; flagged, readings: over all its channels.

    cadence_s: the usual distance of its newest samples. It measures from its first sample that is still kept
    up to `measures_to`. shed: instants that the whole lamppost says it shed, where they began this day.
    """

    unit: int
    address: Address
    kind: str
    site: str
    serial: str
    day: datetime
    cadence_s: float | None
    measures_from: datetime | None
    measures_to: datetime
    received: int
    readings: int
    flagged: int
    shed: int


_UNITS = """
    SELECT u.id FROM sensor_unit u JOIN device d ON d.id = u.device_id
    WHERE u.id >= :unit AND (CAST(:device AS int) IS NULL OR u.device_id = :device)
          AND (CAST(:within AS text) IS NULL OR d.tenant = :within)
    ORDER BY u.id LIMIT :units
"""
# A unit that its device's present epoch does not name any more was taken down after its newest sample.
_DAYS = f"""
    WITH units AS MATERIALIZED (
        SELECT u.id, u.device_id, d.tenant, d.name, u.kind, u.site, u.serial, pace.cadence_s,
               (SELECT time FROM sample WHERE sensor_unit = u.id ORDER BY time LIMIT 1) AS measures_from,
               CASE WHEN d.state <> 'decommissioned' AND (d.epoch IS NULL OR EXISTS (
                        SELECT 1 FROM unit_key k WHERE k.sensor_unit_id = u.id
                        AND k.device_id = d.id AND k.epoch = d.epoch))
                    THEN CAST(:ends AS timestamptz) ELSE coalesce(pace.newest, u.declared_at)
               END AS measures_to
        FROM sensor_unit u JOIN device d ON d.id = u.device_id
        CROSS JOIN LATERAL (
            SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM step)) AS cadence_s,
                   max(time) AS newest
            FROM (SELECT time, time - lag(time) OVER (ORDER BY time) AS step FROM (
                SELECT time FROM sample WHERE sensor_unit = u.id ORDER BY time DESC
                LIMIT {CADENCE_SAMPLES}) few) steps) pace
        WHERE u.id = ANY(:units))
    SELECT u.id, u.tenant, u.name, u.kind, u.site, u.serial, day, u.cadence_s, u.measures_from,
           u.measures_to, coalesce(got.received, 0), coalesce(got.readings, 0), coalesce(got.flagged, 0),
           (SELECT coalesce(sum(t.samples), 0) FROM tombstone t WHERE t.device_id = u.device_id
            AND t.class IN (2, 3) AND t.begins >= day AND t.begins < day + interval '24 hours')
    FROM units u
    CROSS JOIN generate_series(CAST(:first AS timestamptz), CAST(:last AS timestamptz),
                               interval '24 hours') AS day
    CROSS JOIN LATERAL (
        SELECT max(r.n + r.flagged) AS received, sum(r.n + r.flagged) AS readings, sum(r.flagged) AS flagged
        FROM series s JOIN rollup_1d r ON r.series_id = s.id AND r.bucket = day
        WHERE s.sensor_unit_id = u.id) got
    WHERE (got.received > 0 OR (day + interval '24 hours' > u.measures_from AND day <= u.measures_to))
          AND (u.id, day) > (CAST(:unit AS int), CAST(:after AS timestamptz))
    ORDER BY u.id, day LIMIT :limit
"""  # noqa: S608 - made of the constants above


@dataclass(frozen=True)
class Days:
    """UTC midnights, first and last; `ends`: how far the question goes."""

    first: datetime
    last: datetime
    ends: datetime

    @property
    def count(self) -> int:
        return (self.last - self.first).days + 1


def days(
    session: Session,
    device: int | None,
    asked: Days,
    after: tuple[int, datetime],
    limit: int,
    within: str | None,
) -> list[DayRecord]:
    """By unit, then day, beyond the unit and day of `after`; of one device or of all (within a tenant)."""
    found: list[DayRecord] = []
    unit, day = after
    while len(found) < limit:
        wanted = (limit - len(found)) // asked.count + 2  # the first of them may be at its end
        values = {"unit": unit, "device": device, "units": wanted, "within": within}
        units = list(session.execute(text(_UNITS), values).scalars())
        if units:
            found += _days_of(session, units, asked, (unit, day), limit - len(found))
        if len(units) < wanted:
            break
        unit, day = units[-1] + 1, asked.first - timedelta(days=1)
    return found


def _days_of(
    session: Session, units: list[int], asked: Days, after: tuple[int, datetime], limit: int
) -> list[DayRecord]:
    values = {
        "units": units,
        "ends": asked.ends,
        "first": asked.first,
        "last": asked.last,
        "unit": after[0],
        "after": after[1],
        "limit": limit,
    }
    return [
        DayRecord(unit, Address(tenant, name), *rest)
        for unit, tenant, name, *rest in session.execute(text(_DAYS), values)
    ]
