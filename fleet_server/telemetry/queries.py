"""A unit's channels together, districts, completeness, and the state that answers are tagged with.

Part of the service (`service.py` has every name): each function authorizes the acting principal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlmodel import Session

from fleet_server.access.rules import Action, Principal
from fleet_server.access.service import authorize
from fleet_server.context import Context
from fleet_server.errors import InvalidRequest, NotFound
from fleet_server.spans import EARLIEST, span
from fleet_server.telemetry import completeness_store, district_store, unit_store, versions
from fleet_server.telemetry.asked import need_channels, need_device, need_district, need_tenant
from fleet_server.telemetry.bucket_store import Stretch
from fleet_server.telemetry.completeness_store import DayRecord, Days
from fleet_server.telemetry.district_store import DistrictPoint, Group, GroupPoints, Wanted
from fleet_server.telemetry.rules import SECONDS_OF, Resolution
from fleet_server.telemetry.steps import (
    DAY,
    MINUTES_UP_TO,
    base_of,
    district_resolution,
    expected_instants,
    floored,
    step_for,
)
from fleet_server.telemetry.unit_store import Chart, UnitInfo
from fleet_server.telemetry.versions import Version
from wire_contract.topics import Address

__all__ = ["DayRecord", "DistrictPoint", "Group", "GroupPoints", "UnitInfo", "Version", "Wanted"]

MOST_POINTS = 4_000  # of a chart: the widest screens
FEWEST_POINTS = 10
MAX_DISTRICT_POINTS = 20_000  # one answer's: 2 MB of JSON
MAX_DAYS = 5_000  # one answer's rows of completeness
DEFAULT_DAYS = timedelta(days=6)  # with today: a week
ALL_GROUPS = Wanted()
_BUCKETS = (Resolution.MINUTE, Resolution.HOUR, Resolution.DAY)


@dataclass(frozen=True)
class UnitView:
    """A unit's channels from `begins` up to `ends`. step_s: seconds a point stands for; None: raw samples.

    resolution: what the points were made of.
    """

    unit: UnitInfo
    resolution: Resolution
    step_s: int | None
    begins: datetime
    ends: datetime
    chart: Chart


@dataclass(frozen=True)
class DistrictsView:
    """next_after: what to give as `after` for the rest; None where this is all."""

    resolution: Resolution
    begins: datetime
    ends: datetime
    groups: Sequence[GroupPoints]
    next_after: tuple[Group, datetime] | None


@dataclass(frozen=True)
class DayView:
    """expected: None where nobody knows how often the unit measures; shares are of 1, None of nothing."""

    record: DayRecord
    expected: float | None
    share: float | None
    flagged_share: float | None


@dataclass(frozen=True)
class CompletenessView:
    """Whole days (UTC) by unit; next_after: unit and day to give as `after` for the rest."""

    begins: datetime
    ends: datetime
    days: Sequence[DayView]
    next_after: tuple[int, datetime] | None


def unit(
    ctx: Context,
    principal: Principal,
    unit_id: int,
    begins: datetime | None = None,
    ends: datetime | None = None,
    *,
    width: int = 1_000,
) -> UnitView:
    """All channels of a sensor unit with at most `width` points (10 to 4,000), as fine as that allows.

    Raises NotFound, InvalidRequest.
    """
    authorize(principal, Action.TELEMETRY_READ)
    begins, ends = span(ctx, begins, ends)
    with ctx.db.session(principal.tenant) as session:
        found = unit_store.find_unit(session, unit_id, principal.within)
        if found is None:
            raise NotFound(f"There is no sensor unit {unit_id}.")
        return _views(session, [found], begins, ends, _checked(width))[0]


def lamppost(
    ctx: Context,
    principal: Principal,
    address: Address,
    begins: datetime | None = None,
    ends: datetime | None = None,
    *,
    width: int = 1_000,
) -> list[UnitView]:
    """As `unit`, of every sensor unit of the lamppost, all in one step. Raises NotFound, InvalidRequest."""
    authorize(principal, Action.TELEMETRY_READ, str(address))
    begins, ends = span(ctx, begins, ends)
    with ctx.db.session(principal.tenant) as session:
        found = unit_store.units_of(session, address)
        if not found:
            need_device(session, address)
            return []
        return _views(session, found, begins, ends, _checked(width))


def _checked(width: int) -> int:
    if not FEWEST_POINTS <= width <= MOST_POINTS:
        raise InvalidRequest(f"width = {width}: allowed is {FEWEST_POINTS} to {MOST_POINTS}.")
    return width


def _views(
    session: Session, units: Sequence[UnitInfo], begins: datetime, ends: datetime, width: int
) -> list[UnitView]:
    """The finest that fits and holds anything: raw samples may be gone where their hours are still kept."""
    raw = [unit_store.raw_chart(session, each, begins, ends, width) for each in units]
    charts = [chart for chart in raw if chart is not None]
    if len(charts) == len(units) and any(chart.times for chart in charts):
        return [
            UnitView(each, Resolution.RAW, None, begins, ends, chart)
            for each, chart in zip(units, charts, strict=True)
        ]
    finest = step_for(begins, ends, width)
    for base in _BUCKETS[_BUCKETS.index(base_of(finest)) :]:
        step = max(finest, SECONDS_OF[base])
        stretch = Stretch(floored(begins, step), floored(ends, step, up=True), base, step)
        charts = [unit_store.bucket_chart(session, each, stretch) for each in units]
        views = [
            UnitView(each, base, step, stretch.begins, stretch.ends, chart)
            for each, chart in zip(units, charts, strict=True)
        ]
        if any(view.chart.times for view in views):
            return views
    return [replace(view, resolution=base_of(finest), step_s=finest) for view in views]


def districts(
    ctx: Context,
    principal: Principal,
    wanted: Wanted = ALL_GROUPS,
    begins: datetime | None = None,
    ends: datetime | None = None,
    resolution: Resolution = Resolution.AUTO,
    *,
    after: tuple[Group, datetime] | None = None,
    limit: int = MAX_DISTRICT_POINTS,
) -> DistrictsView:
    """Means of districts, by tenant, district, channel and unit. Hours and days as the worker last made them.

    AUTO: minutes up to six hours, hours up to 62 days, else days. Raises InvalidRequest (a channel that there
    is not, too), NotFound for a district or tenant, OtherTenant.
    """
    authorize(principal, Action.AGGREGATES_READ)
    if wanted.tenant is not None:
        authorize(principal, Action.AGGREGATES_READ, tenant=wanted.tenant)
        need_tenant(ctx, principal, wanted.tenant)
    begins, ends = span(ctx, begins, ends)
    if resolution is Resolution.AUTO:
        resolution = district_resolution(begins, ends)
    if resolution is Resolution.RAW:
        raise InvalidRequest("A district has no raw samples.", remedy="Ask for 1m, 1h or 1d.")
    if resolution is Resolution.MINUTE and ends - begins > MINUTES_UP_TO:
        raise InvalidRequest(
            "A district's minutes are told for six hours at most.", remedy="Ask for 1h, or for less time."
        )
    step = SECONDS_OF[resolution]
    begins, ends = floored(begins, step), floored(ends, step, up=True)
    with ctx.db.session(principal.tenant) as session:
        there = district_store.groups(session, resolution, wanted, principal.within)
        _need_wanted(session, wanted, there, principal.within or wanted.tenant)
        of = [group for group in there if after is None or group >= after[0]]
        found: list[GroupPoints] = []
        left, expected = limit + 1, max(1, int((ends - begins).total_seconds()) // step)
        while of and left > 0:
            some, of = of[: left // expected + 1], of[left // expected + 1 :]
            resume = after[1] + timedelta(microseconds=1) if after and some[0] == after[0] else begins
            found += district_store.points(session, resolution, some, (begins, ends), resume, left)
            left = limit + 1 - sum(len(each.points) for each in found)
    kept, last = _first_points(found, limit)
    return DistrictsView(resolution, begins, ends, kept, last)


def _need_wanted(session: Session, wanted: Wanted, there: Sequence[Group], within: str | None) -> None:
    """Raises NotFound, InvalidRequest for what was named and there is not."""
    if wanted.district is not None and not there:
        need_district(session, wanted.district, within)
    missing = set(wanted.channels) - {group.channel for group in there}
    if missing:
        need_channels(session, missing, within)


def _first_points(
    found: Sequence[GroupPoints], limit: int
) -> tuple[list[GroupPoints], tuple[Group, datetime] | None]:
    """The first `limit` points, and the last one's place where there are more."""
    kept: list[GroupPoints] = []
    left = limit
    for each in found:
        if len(each.points) > left:
            if left:
                kept.append(GroupPoints(each.group, each.points[:left]))
            return kept, (kept[-1].group, kept[-1].points[-1].time)
        kept.append(each)
        left -= len(each.points)
    return kept, None


def completeness(
    ctx: Context,
    principal: Principal,
    address: Address | None = None,
    begins: datetime | None = None,
    ends: datetime | None = None,
    *,
    after: tuple[int, datetime] | None = None,
    limit: int = 1_000,
) -> CompletenessView:
    """Expected against received, of each sensor unit and day that the span touches; of one lamppost or all.

    What is expected follows from the usual distance of the unit's newest samples; today is counted up to now.
    Raises NotFound, InvalidRequest.
    """
    authorize(principal, Action.TELEMETRY_READ, str(address) if address else "*")
    now = ctx.clock.now()
    given = begins
    begins, ends = span(ctx, begins, ends)
    begins = begins if given is not None else max(EARLIEST, ends - DEFAULT_DAYS)
    begins, ends = floored(begins, 86_400), floored(ends, 86_400, up=True)
    asked = Days(begins, ends - DAY, min(ends, max(now, begins)))
    with ctx.db.session(principal.tenant) as session:
        device = None if address is None else need_device(session, address)
        start = after or (0, begins)
        found = completeness_store.days(session, device, asked, start, limit + 1, principal.within)
    last = found[limit - 1] if len(found) > limit else None
    return CompletenessView(
        begins,
        ends,
        [_day(record, asked.ends) for record in found[:limit]],
        None if last is None else (last.unit, last.day),
    )


def _day(record: DayRecord, ends: datetime) -> DayView:
    measures_from = record.measures_from or record.day
    if record.day + DAY <= measures_from:  # its samples are gone, its day is still known
        measures_from = record.day
    expected = expected_instants(record.day, record.cadence_s, measures_from, min(record.measures_to, ends))
    return DayView(
        record,
        expected,
        min(1.0, record.received / expected) if expected else None,
        record.flagged / record.readings if record.readings else None,
    )


def version(
    ctx: Context,
    principal: Principal,
    *,
    unit_id: int | None = None,
    series_id: int | None = None,
    address: Address | None = None,
) -> Version:
    """What changes with every answer about this unit, series or lamppost; about all where none is given.

    Much cheaper than the answers. Raises NotFound.
    """
    authorize(principal, Action.TELEMETRY_READ, str(address) if address else "*")
    with ctx.db.session(principal.tenant) as session:
        device: int | None = None
        if unit_id is not None:
            device = versions.device_of_unit(session, unit_id, principal.within)
            if device is None:
                raise NotFound(f"There is no sensor unit {unit_id}.")
        elif series_id is not None:
            device = versions.device_of_series(session, series_id, principal.within)
            if device is None:
                raise NotFound(f"There is no series {series_id}.")
        elif address is not None:
            device = need_device(session, address)
        return versions.stored(session, device, ctx.clock.now(), principal.within)


def districts_version(ctx: Context, principal: Principal) -> Version:
    """As `version`, of every district."""
    authorize(principal, Action.AGGREGATES_READ)
    with ctx.db.session(principal.tenant) as session:
        return versions.districts(session, ctx.clock.now(), principal.within)


def latest_version(ctx: Context, principal: Principal, address: Address | None = None) -> Version:
    """As `version`, of the newest readings and their freshness."""
    authorize(principal, Action.TELEMETRY_READ, str(address) if address else "*")
    with ctx.db.session(principal.tenant) as session:
        return versions.newest(session, address, ctx.clock.now(), principal.within)
