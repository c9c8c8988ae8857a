"""Queries of the air slice: a session in, plain dataclasses out. The worker's are in `upkeep.py`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from air_quality.calibration import Calibration
from fleet_server.air import tables
from fleet_server.air.rules import UnitMeans
from fleet_server.air.upkeep import ADVISORY_LOCK
from wire_contract.topics import Address


@dataclass(frozen=True)
class IndexRecord:
    """A lamppost's index of the hour that begins at `time`. concentration: of the driver, ug/m3."""

    device_id: int
    address: Address
    index_id: str
    time: datetime
    value: int
    level: int
    category: str
    driver: str
    concentration: float
    correction: str
    through: datetime


@dataclass(frozen=True)
class DistrictRecord:
    """A district's newest index: the median of `n` lampposts, the driver of the worst."""

    tenant: str
    district: str
    index_id: str
    time: datetime
    value: int
    level: int
    category: str
    driver: str
    n: int


@dataclass(frozen=True)
class HourRecord:
    """A mean as it was measured and as it was corrected, ug/m3. complete: it counts for an index."""

    time: datetime
    pollutant: str
    sensor_unit: int
    raw: float
    value: float
    correction: str
    humidity: float | None
    complete: bool


@dataclass(frozen=True)
class CalibrationRecord:
    id: int
    sensor_unit: int
    kind: str
    calibration: Calibration
    valid_from: datetime
    created_by: str
    created_at: datetime


_INDEX = """
    i.device_id, d.tenant, d.name, i.index_id, i.time, i.value, i.level, i.category, i.driver,
    i.concentration, i.correction, i.through
"""


def newest_indices(
    session: Session, index_id: str, after: int, limit: int, within: str | None
) -> list[IndexRecord]:
    """Of each lamppost (of the tenant `within`; None: of all), by its id."""
    query = text(
        f"SELECT {_INDEX} FROM air_latest i JOIN device d ON d.id = i.device_id"  # noqa: S608 - constants
        " WHERE i.index_id = :index AND d.id > :after"
        " AND (CAST(:within AS text) IS NULL OR d.tenant = :within) ORDER BY d.id LIMIT :limit"
    )
    values = {"index": index_id, "after": after, "limit": limit, "within": within}
    return [_index(*row) for row in session.execute(query, values)]


def index_series(
    session: Session, device_id: int, index_id: str, begins: datetime, ends: datetime, limit: int
) -> list[IndexRecord]:
    """Hours that begin from `begins` up to `ends`, ascending."""
    query = text(
        f"SELECT {_INDEX} FROM air_index i JOIN device d ON d.id = i.device_id"  # noqa: S608 - constants
        " WHERE i.device_id = :device AND i.index_id = :index AND i.time >= :begins AND i.time < :ends"
        " ORDER BY i.time LIMIT :limit"
    )
    values = {"device": device_id, "index": index_id, "begins": begins, "ends": ends, "limit": limit}
    return [_index(*row) for row in session.execute(query, values)]


def _index(device_id: int, tenant: str, name: str, *rest: Any) -> IndexRecord:
    return IndexRecord(device_id, Address(tenant, name), *rest)


def newest_districts(
    session: Session, index_id: str, within: str | None, after: tuple[str, str] | None, limit: int
) -> list[DistrictRecord]:
    """Of each district (of the tenant) that has an active lamppost, by name. after: tenant and district."""
    query = text(
        "SELECT i.tenant, i.district, i.index_id, i.time, i.value, i.level, i.category, i.driver, i.n"
        " FROM (SELECT DISTINCT tenant, district FROM device WHERE district <> '' AND state = 'active'"
        "  AND (CAST(:within AS text) IS NULL OR tenant = :within)"
        "  AND (CAST(:tenant AS text) IS NULL OR (tenant, district) > (:tenant, :district))) d"
        " CROSS JOIN LATERAL (SELECT * FROM district_index x WHERE x.tenant = d.tenant"
        "  AND x.district = d.district AND x.index_id = :index ORDER BY x.time DESC LIMIT 1) i"
        " ORDER BY i.tenant, i.district LIMIT :limit"
    )
    tenant, district = after or (None, None)
    values = {"index": index_id, "within": within, "tenant": tenant, "district": district, "limit": limit}
    return [DistrictRecord(*row) for row in session.execute(query, values)]


def hours(
    session: Session,
    device_id: int,
    begins: datetime,
    ends: datetime,
    limit: int,
    after: tuple[datetime, str] | None = None,
) -> list[HourRecord]:
    """The stored hourly means that begin from `begins` up to `ends`, ascending. after: hour and pollutant."""
    query = text(
        "SELECT time, pollutant, sensor_unit, raw, value, correction, humidity, complete FROM air_hour"
        " WHERE device_id = :device AND time >= :begins AND time < :ends"
        " AND (CAST(:time AS timestamptz) IS NULL OR (time, pollutant) > (:time, :pollutant))"
        " ORDER BY time, pollutant LIMIT :limit"
    )
    time, pollutant = after or (None, None)
    span = {"begins": begins, "ends": ends, "time": time, "pollutant": pollutant}
    values = {"device": device_id, "limit": limit, **span}
    return [HourRecord(*row) for row in session.execute(query, values)]


def minutes(
    session: Session, device_id: int, begins: datetime, ends: datetime
) -> list[tuple[datetime, UnitMeans]]:
    """What each of its units measured in each minute from `begins` up to `ends`, ascending."""
    query = text(
        "SELECT m.bucket, u.id, u.kind, s.channel,"
        " m.sum::float8 / m.n * power(10::float8, s.exponent), m.bucket + interval '1 minute'"
        " FROM sensor_unit u JOIN series s ON s.sensor_unit_id = u.id JOIN rollup_1m m ON m.series_id = s.id"
        " WHERE u.device_id = :device AND m.bucket >= :begins AND m.bucket < :ends AND m.n > 0"
        " AND (s.channel, s.unit) IN (('pm2_5', 'ug/m3'), ('pm2_5_cf1', 'ug/m3'), ('pm10', 'ug/m3'),"
        "  ('humidity', '%')) ORDER BY m.bucket, u.id"
    )
    found: dict[tuple[datetime, int], UnitMeans] = {}
    for time, unit, kind, channel, mean, through in session.execute(
        query, {"device": device_id, "begins": begins, "ends": ends}
    ):
        before = found.get((time, unit))
        means = {**(before.means if before else {}), channel: mean}
        found[time, unit] = UnitMeans(unit, kind, means, {}, through)
    return [(time, unit) for (time, _), unit in found.items()]


def calibrations(session: Session, device_id: int) -> list[CalibrationRecord]:
    """Of the lamppost's units, by unit, channel and begin."""
    query = text(
        "SELECT c.id, u.id, u.kind, c.slope, c.offset_, c.humidity, c.valid_from, c.source, c.channel,"
        " c.created_by, c.created_at FROM calibration c JOIN sensor_unit u ON u.id = c.sensor_unit_id"
        " WHERE u.device_id = :device ORDER BY u.id, c.channel, c.valid_from"
    )
    return [_calibration(*row) for row in session.execute(query, {"device": device_id})]


def _calibration(
    calibration_id: int,
    unit: int,
    kind: str,
    slope: float,
    offset: float,
    humidity: float,
    begins: datetime,
    source: str,
    channel: str,
    by: str,
    at: datetime,
) -> CalibrationRecord:
    begins_ms = int(begins.timestamp() * 1000)
    entry = Calibration(slope, offset, humidity, begins_ms, source, channel)
    return CalibrationRecord(calibration_id, unit, kind, entry, begins, by, at)


def put_calibration(
    session: Session, unit: int, entry: Calibration, begins: datetime, by: str, at: datetime
) -> int:
    """Its id. One that begins at the same instant is replaced."""
    values = {
        "slope": entry.slope,
        "offset_": entry.offset,
        "humidity": entry.humidity,
        "source": entry.source,
        "created_by": by,
        "created_at": at,
    }
    statement = (
        insert(tables.Calibration)
        .values(sensor_unit_id=unit, channel=entry.channel, valid_from=begins, **values)
        .on_conflict_do_update(constraint="calibration_begin_key", set_=values)
        .returning(col(tables.Calibration.id))
    )
    made: int = session.execute(statement).scalar_one()
    return made


def remove_calibration(
    session: Session, calibration_id: int, within: str | None
) -> tuple[Address, CalibrationRecord] | None:
    """It, and whose it was; None where there is no such one (in the tenant)."""
    query = text(
        "SELECT d.tenant, d.name, c.id, u.id, u.kind, c.slope, c.offset_, c.humidity, c.valid_from, c.source,"
        " c.channel, c.created_by, c.created_at FROM calibration c"
        " JOIN sensor_unit u ON u.id = c.sensor_unit_id JOIN device d ON d.id = u.device_id"
        " WHERE c.id = CAST(:id AS integer) AND (CAST(:within AS text) IS NULL OR d.tenant = :within)"
        " FOR UPDATE OF c"
    )
    found = session.execute(query, {"id": calibration_id, "within": within}).one_or_none()
    if found is None:
        return None
    session.execute(delete(tables.Calibration).where(col(tables.Calibration.id) == calibration_id))
    tenant, name, *rest = found
    return Address(tenant, name), _calibration(*rest)


def mark_past(session: Session, unit: int, begins: datetime) -> None:
    """Have the worker compute the unit's hours anew, from `begins` on.

    Until the commit it waits: it would take a mark that is there already, and not see what this one is for.
    """
    session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
    # By itself, not as the source of the INSERT: in anything but a SELECT, TimescaleDB asks for the watermark
    # of `unit_hour` as the role of the session, which may not read it (`tenants/walls.py`).
    found = session.execute(
        text(
            "SELECT DISTINCT h.bucket FROM series s JOIN rollup_1h h ON h.series_id = s.id"
            " WHERE s.sensor_unit_id = :unit AND h.bucket >= :begins"
            # hours whose minutes retention removed cannot be computed anew
            " AND h.bucket >= coalesce((SELECT max(kept_from) FROM retention_log WHERE what = 'unit_minute'),"
            "                          '-infinity')"
        ),
        {"unit": unit, "begins": begins},
    )
    session.execute(
        text(
            "INSERT INTO air_dirty (sensor_unit, hour)"
            " SELECT :unit, hour FROM unnest(CAST(:hours AS timestamptz[])) AS t(hour) ON CONFLICT DO NOTHING"
        ),
        {"unit": unit, "hours": list(found.scalars())},
    )
