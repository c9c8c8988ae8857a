"""Air quality, for whoever may ask: indices of lampposts and districts, raw against corrected, calibrations.

Every function takes the context and the acting principal, and authorizes. Times are the street clock's.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from air_quality.calibration import Calibration
from air_quality.index import EU_EAQI, INDICES, US_AQI
from fleet_server.access.rules import Action, Principal
from fleet_server.access.service import authorize
from fleet_server.air import rules, store
from fleet_server.air.store import CalibrationRecord, DistrictRecord, HourRecord, IndexRecord
from fleet_server.audit.recording import record
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.rules import Freshness, freshness
from fleet_server.errors import InvalidRequest, NotFound
from fleet_server.masking import in_log, shown_to
from fleet_server.spans import EARLIEST, LATEST, span
from wire_contract.topics import Address

__all__ = [
    "EU_EAQI",
    "INDICES",
    "US_AQI",
    "Address",
    "Calibration",
    "CalibrationRecord",
    "DistrictRecord",
    "HourRecord",
    "IndexRecord",
]

log = logging.getLogger(__name__)

MAX_POINTS = 20_000  # one answer's; a longer question is asked in pieces
COEFFICIENTS = frozenset({"slope", "offset", "humidity"})  # one of them at least makes a calibration
MINUTES_UP_TO = timedelta(hours=12)  # a longer span is told in hours: a chart shows no more


@dataclass(frozen=True)
class IndexView:
    """A lamppost's newest index; age_s and freshness are of the newest minute that went into it."""

    record: IndexRecord
    age_s: float
    freshness: Freshness


@dataclass(frozen=True)
class CorrectedView:
    """Means of `step_s` seconds, raw and corrected, ascending; of minutes `complete` says nothing."""

    address: Address
    begins: datetime
    ends: datetime
    step_s: int
    points: Sequence[HourRecord]
    next_after: tuple[datetime, str] | None = None  # the last one's time and pollutant, where there are more


def indices(
    ctx: Context, principal: Principal, *, index_id: str = US_AQI, after: int = 0, limit: int = 500
) -> list[IndexView]:
    """The newest of each lamppost, by the device's id; none for one that has none. Raises InvalidRequest."""
    authorize(principal, Action.AIR_READ)
    _check_index(index_id)
    now = ctx.clock.now()
    with ctx.db.session(principal.tenant) as session:
        found = store.newest_indices(session, index_id, after, limit, principal.within)
    views = []
    for index in found:
        age_s = max(0.0, (now - index.through).total_seconds())
        views.append(IndexView(index, age_s, freshness(age_s)))
    return views


def districts(
    ctx: Context,
    principal: Principal,
    *,
    index_id: str = US_AQI,
    after: tuple[str, str] | None = None,
    limit: int = MAX_POINTS,
) -> list[DistrictRecord]:
    """The newest of each district: the median of its lampposts. after: tenant and district, by which they
    are sorted. Raises InvalidRequest."""
    authorize(principal, Action.AGGREGATES_READ)
    _check_index(index_id)
    with ctx.db.session(principal.tenant) as session:
        return store.newest_districts(session, index_id, principal.within, after, limit)


def index_series(
    ctx: Context,
    principal: Principal,
    address: Address,
    index_id: str = US_AQI,
    begins: datetime | None = None,
    ends: datetime | None = None,
    *,
    limit: int = MAX_POINTS,
) -> list[IndexRecord]:
    """Hour by hour, from `begins` (a day before) up to `ends` (now). Raises NotFound, InvalidRequest."""
    authorize(principal, Action.AIR_READ, str(address))
    _check_index(index_id)
    begins, ends = span(ctx, begins, ends)
    device_id = devices.get_device(ctx, principal, address).record.id
    with ctx.db.session(principal.tenant) as session:
        return store.index_series(session, device_id, index_id, rules.hour_of(begins), ends, limit)


def corrected_series(
    ctx: Context,
    principal: Principal,
    address: Address,
    begins: datetime | None = None,
    ends: datetime | None = None,
    *,
    after: tuple[datetime, str] | None = None,
    limit: int = MAX_POINTS,
) -> CorrectedView:
    """Raw against corrected, by pollutant: minutes for up to twelve hours, else hours; at most `limit`.

    From `begins` (default: a day before) up to `ends` (now). Raises NotFound, InvalidRequest.
    """
    authorize(principal, Action.AIR_READ, str(address))
    begins, ends = span(ctx, begins, ends)
    device_id = devices.get_device(ctx, principal, address).record.id
    with ctx.db.session(principal.tenant) as session:
        if ends - begins > MINUTES_UP_TO:
            points = store.hours(session, device_id, rules.hour_of(begins), ends, limit + 1, after)
            return _corrected(address, begins, ends, 3600, points, limit)
        measured = store.minutes(session, device_id, max(begins, after[0]) if after else begins, ends)
        entries: dict[int, list[Calibration]] = {}
        for each in store.calibrations(session, device_id):
            entries.setdefault(each.sensor_unit, []).append(each.calibration)
    minutes: list[HourRecord] = []
    for time, units in groupby(measured, key=lambda each: each[0]):
        # as its hour is corrected: a calibration counts from the first full hour on
        found = rules.hours_of([unit for _, unit in units], entries, rules.hour_of(time), time)
        for h in sorted(found, key=lambda each: each.pollutant):
            if after is None or (time, h.pollutant) > after:
                minutes.append(
                    HourRecord(
                        time, h.pollutant, h.sensor_unit, h.raw, h.value, h.correction, h.humidity, True
                    )
                )
    return _corrected(address, begins, ends, 60, minutes, limit)


def _corrected(
    address: Address, begins: datetime, ends: datetime, step_s: int, points: Sequence[HourRecord], limit: int
) -> CorrectedView:
    """points: one more than `limit` at least, where there are."""
    last = points[limit - 1] if len(points) > limit else None
    rest = None if last is None else (last.time, last.pollutant)
    return CorrectedView(address, begins, ends, step_s, points[:limit], rest)


def calibrations(ctx: Context, principal: Principal, address: Address) -> list[CalibrationRecord]:
    """Of its sensor units, by unit, channel and begin. Raises NotFound."""
    authorize(principal, Action.AIR_READ, str(address))
    device_id = devices.get_device(ctx, principal, address).record.id
    with ctx.db.session(principal.tenant) as session:
        found = store.calibrations(session, device_id)
    return [replace(each, created_by=shown_to(principal, each.created_by)) for each in found]


def set_calibration(
    ctx: Context,
    principal: Principal,
    address: Address,
    calibration: Calibration,
    valid_from: datetime | None = None,
    sensor_unit: int | None = None,
) -> CalibrationRecord:
    """Enter a calibration; the worker computes what it changes anew, back to `valid_from` (default: now).

    It takes the place of `calibration.valid_from_ms`, and counts from the first full hour on. sensor_unit:
    needed where the lamppost has more than one with the channel. One that begins at the same instant is
    replaced. Raises NotFound, InvalidRequest.
    """
    authorize(principal, Action.CALIBRATIONS_CHANGE, str(address))
    begins = valid_from or ctx.clock.now()
    check_calibration(calibration, begins)
    unit = _unit(ctx, principal, address, calibration.channel, sensor_unit)
    device_id = devices.get_device(ctx, principal, address).record.id
    with ctx.db.session(principal.tenant) as session:
        made = store.put_calibration(session, unit, calibration, begins, principal.name, datetime.now(UTC))
        store.mark_past(session, unit, rules.hour_of(begins))
        entered = store.calibrations(session, device_id)
        new = next(each for each in entered if each.id == made)
        after = {"id": made, "unit": unit, **_told(calibration, begins)}
        source = {"source": calibration.source}
        record(session, principal, Action.CALIBRATIONS_CHANGE, str(address), after=after, personal=source)
    log.info("calibration %d of %s, unit %d, entered by %s", made, address, unit, in_log(principal))
    return new


def check_told(told: Collection[str]) -> None:
    """told: the names that somebody gave. With none of these it would undo the kind's correction, unasked.

    Raises InvalidRequest.
    """
    if not COEFFICIENTS & set(told):
        raise InvalidRequest(
            "Nothing says what the unit's values become: give slope, offset or humidity.",
            remedy="slope 1 takes the raw values as they are, without the correction for the kind.",
        )


def check_calibration(calibration: Calibration, begins: datetime) -> None:
    """Would it be taken, of a unit that has the channel? Raises InvalidRequest."""
    if begins.tzinfo is None or not EARLIEST <= begins <= LATEST:
        raise InvalidRequest("valid_from is a time with a zone.", remedy="Write 2026-11-20T12:00:00Z.")
    problem = rules.calibration_problem(calibration)
    if problem is not None:
        raise InvalidRequest(f"{problem[0].upper()}{problem[1:]}.")


def remove_calibration(ctx: Context, principal: Principal, calibration_id: int) -> None:
    """Take a mistaken one away; the worker computes its past anew. Raises NotFound."""
    authorize(principal, Action.CALIBRATIONS_CHANGE)
    with ctx.db.session(principal.tenant) as session:
        removed = store.remove_calibration(session, calibration_id, principal.within)
        if removed is None:
            raise NotFound(f"There is no calibration {calibration_id}.")
        address, former = removed
        unit, begins = former.sensor_unit, former.valid_from
        before = {"id": calibration_id, "unit": unit, **_told(former.calibration, begins)}
        source = {"source": former.calibration.source}
        record(session, principal, Action.CALIBRATIONS_CHANGE, str(address), before=before, personal=source)
        store.mark_past(session, unit, rules.hour_of(begins))
    log.info("calibration %d of unit %d taken away by %s", calibration_id, unit, in_log(principal))


def _told(calibration: Calibration, begins: datetime) -> dict[str, Any]:
    """For the audit log: what it makes of a raw value, and from when on. Its source may name a person."""
    told = {"channel": calibration.channel, "slope": calibration.slope, "offset": calibration.offset}
    return told | {"humidity": calibration.humidity, "valid_from": begins}


def _unit(ctx: Context, principal: Principal, address: Address, channel: str, wanted: int | None) -> int:
    """The sensor unit that is meant. Raises NotFound, InvalidRequest."""
    having = {
        unit.id: unit
        for unit in devices.sensors(ctx, principal, address)
        if any(series.channel == channel for series in unit.series)
    }
    if wanted is not None:
        if wanted not in having:
            raise NotFound(f"{address} has no sensor unit {wanted} with {channel}.")
        return wanted
    if len(having) == 1:
        return next(iter(having))
    if not having:
        raise NotFound(f"{address} has no sensor unit with {channel}.")
    told = ", ".join(f"{unit.id} ({unit.kind} {unit.serial})".replace(" )", ")") for unit in having.values())
    raise InvalidRequest(f"{address} has several sensor units with {channel}: say which of {told}.")


def _check_index(index_id: str) -> None:
    if index_id not in INDICES:
        raise InvalidRequest(f"There is no index {index_id[:64]!r}: choose {' or '.join(INDICES)}.")
