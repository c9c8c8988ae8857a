"""Telemetry, for whoever may ask: what is now, what was, what is missing, and what could not be stored.

Every function takes the context and the acting principal, and authorizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import psycopg
from sqlmodel import Session

from fleet_server.access.rules import Action, Principal
from fleet_server.access.service import authorize
from fleet_server.context import Context
from fleet_server.devices.rules import Freshness, freshness
from fleet_server.errors import Conflict, DatabaseUnreachable, InvalidRequest, NotFound
from fleet_server.spans import EARLIEST, span
from fleet_server.telemetry import latest_store, letters_store, store
from fleet_server.telemetry.asked import need_channels, need_device
from fleet_server.telemetry.bucket_store import Stretch
from fleet_server.telemetry.district_store import Group, Wanted
from fleet_server.telemetry.exports.download import Download, export, export_version
from fleet_server.telemetry.ingest.catalogue import SeriesCatalogue
from fleet_server.telemetry.ingest.pg_binary import register_arrays
from fleet_server.telemetry.ingest.replay import Replayed, ReplayOutcome
from fleet_server.telemetry.ingest.replay import replay as replay_letter
from fleet_server.telemetry.latest_store import LatestReading
from fleet_server.telemetry.letters import recorded
from fleet_server.telemetry.letters_store import DeadLetterRecord
from fleet_server.telemetry.queries import (
    FEWEST_POINTS,
    MAX_DAYS,
    MAX_DISTRICT_POINTS,
    MOST_POINTS,
    CompletenessView,
    DayView,
    DistrictsView,
    UnitView,
    completeness,
    districts,
    districts_version,
    lamppost,
    latest_version,
    unit,
    version,
)
from fleet_server.telemetry.rules import (
    GAP_FACTOR,
    SECONDS_OF,
    Gap,
    Resolution,
    gap_threshold_s,
    resolution_for,
)
from fleet_server.telemetry.steps import floored
from fleet_server.telemetry.store import GapKey, Point, SeriesInfo
from fleet_server.telemetry.timescale import lift_limits
from wire_contract.topics import Address

__all__ = [
    "FEWEST_POINTS",
    "MAX_DAYS",
    "MAX_DISTRICT_POINTS",
    "MOST_POINTS",
    "CompletenessView",
    "DayView",
    "DeadLetterRecord",
    "DistrictsView",
    "Download",
    "Gap",
    "Group",
    "LatestReading",
    "Point",
    "Replayed",
    "Resolution",
    "SeriesInfo",
    "UnitView",
    "Wanted",
    "completeness",
    "dead_letters",
    "districts",
    "districts_version",
    "export",
    "export_version",
    "gaps",
    "lamppost",
    "latest",
    "latest_version",
    "replay",
    "series",
    "unit",
    "version",
]

MAX_POINTS = 20_000  # one answer's: 1 MB of JSON; a longer question is asked in pieces
MAX_GAPS = 1_000


class LatestView(NamedTuple):
    """A newest reading and its age by the street clock."""

    reading: LatestReading
    age_s: float
    freshness: Freshness


@dataclass(frozen=True)
class SeriesView:
    """`points` from `begins` up to `ends`; next_begins: where to ask on, if one answer does not hold all."""

    series: SeriesInfo
    resolution: Resolution
    begins: datetime
    ends: datetime
    points: Sequence[Point]
    next_begins: datetime | None


@dataclass(frozen=True)
class GapsPlace:
    """How far a list of gaps was told, and with which usual distance it began."""

    key: GapKey
    cadence_s: float | None


@dataclass(frozen=True)
class GapsView:
    """cadence_s: the usual distance of samples; None where there are too few to tell, and so no silences.

    next_after: what to give as `after` for the rest; None where this is all.
    """

    series: SeriesInfo
    begins: datetime
    ends: datetime
    cadence_s: float | None
    gaps: Sequence[Gap]
    next_after: GapsPlace | None = None


def latest(
    ctx: Context,
    principal: Principal,
    address: Address | None = None,
    *,
    channel: str | None = None,
    after_series: int = 0,
    limit: int = 1_000,
) -> list[LatestView]:
    """The newest reading of each series, by its id: of one device, one channel (`pm2_5`), or all.

    Raises NotFound for a device. None has a channel that nobody measures: see `need_channel`.
    """
    authorize(principal, Action.TELEMETRY_READ, str(address) if address else "*")
    now = ctx.clock.now()
    with ctx.db.session(principal.tenant) as session:
        found = latest_store.latest(session, address, channel, after_series, limit, principal.within)
        if not found and address is not None:
            need_device(session, address)
    ages: dict[datetime, tuple[float, Freshness]] = {}  # a unit's channels have one time
    views = []
    for reading in found:
        age = ages.get(reading.time)
        if age is None:
            age_s = max(0.0, (now - reading.time).total_seconds())
            age = ages[reading.time] = (age_s, freshness(age_s))
        views.append(LatestView(reading, *age))
    return views


def need_channel(ctx: Context, principal: Principal, name: str) -> None:
    """For a name that somebody wrote. Raises InvalidRequest where no lamppost had it, with the nearest."""
    authorize(principal, Action.TELEMETRY_READ, "*")
    with ctx.db.session(principal.tenant) as session:
        need_channels(session, [name], principal.within)


def first_stored(ctx: Context, principal: Principal, address: Address, after: datetime) -> datetime | None:
    """When the first samples of a lamppost were stored after that instant, both in real time; None: none yet.

    The ledger tells it, which keeps its rows for some minutes (`upkeep.fold.FOLD_AFTER`).
    """
    authorize(principal, Action.TELEMETRY_READ, str(address))
    with ctx.db.session(principal.tenant) as session:
        return store.first_stored(session, address, after, principal.within)


def series(
    ctx: Context,
    principal: Principal,
    series_id: int,
    begins: datetime | None = None,
    ends: datetime | None = None,
    resolution: Resolution = Resolution.AUTO,
    *,
    limit: int = MAX_POINTS,
) -> SeriesView:
    """The points from `begins` (default: a day before) up to `ends` (default: the street clock's now).

    AUTO takes the finest resolution with at most 2,000 points. Buckets begin at or before `begins`.
    Raises NotFound, InvalidRequest.
    """
    authorize(principal, Action.TELEMETRY_READ)
    begins, ends = span(ctx, begins, ends)
    with ctx.db.session(principal.tenant) as session:
        info = _need(session, principal, series_id)
        if resolution is Resolution.AUTO:
            cadence = store.cadence_s(session, info, begins, ends)
            resolution = resolution_for((ends - begins).total_seconds(), cadence)
        if resolution is Resolution.RAW:
            points = store.raw_points(session, info, begins, ends, limit + 1)
        else:
            begins = floored(begins, SECONDS_OF[resolution])
            # whole buckets, the last one too: what is folded already and what is not must not differ
            last = floored(ends, SECONDS_OF[resolution], up=True)
            points = store.buckets(session, info, Stretch(begins, last, resolution), limit + 1)
    more = points[limit].time if len(points) > limit else None
    return SeriesView(info, resolution, begins, ends, points[:limit], more)


def gaps(
    ctx: Context,
    principal: Principal,
    series_id: int,
    begins: datetime | None = None,
    ends: datetime | None = None,
    *,
    factor: float = GAP_FACTOR,
    after: GapsPlace | None = None,
    limit: int = MAX_GAPS,
) -> GapsView:
    """Where more than `factor` usual distances passed without a sample, and what the device says it shed.

    By begin. Raises NotFound, InvalidRequest.
    """
    authorize(principal, Action.TELEMETRY_READ)
    if not factor >= 1.0:
        raise InvalidRequest(f"factor = {factor}: a gap is at least one usual distance long.")
    begins, ends = span(ctx, begins, ends)
    with ctx.db.session(principal.tenant) as session:
        info = _need(session, principal, series_id)
        if after is not None:  # what came late since the first page must not change what a gap is
            cadence = after.cadence_s
        else:
            cadence = store.cadence_s(session, info, begins, ends)
            if cadence is None:  # silent all along: what was usual before?
                cadence = store.cadence_s(session, info, EARLIEST, begins, newest=True)
        longest_s = None if cadence is None else gap_threshold_s(cadence, factor)
        found = store.gaps(
            session, info, begins, ends, longest_s, None if after is None else after.key, limit + 1
        )
    more = GapsPlace(found[limit - 1][1], cadence) if len(found) > limit else None
    return GapsView(info, begins, ends, cadence, [gap for gap, _ in found[:limit]], more)


def dead_letters(
    ctx: Context,
    principal: Principal,
    *,
    before_id: int | None = None,
    reason: str | None = None,
    waiting: bool = True,
    limit: int = 100,
) -> list[DeadLetterRecord]:
    """Messages that could not be stored, newest first; `waiting`: only those not replayed yet."""
    authorize(principal, Action.DEAD_LETTERS_READ)
    with ctx.db.session(principal.tenant) as session:
        return letters_store.listed(
            session,
            before_id=before_id,
            reason=reason,
            waiting=waiting,
            limit=limit,
            within=principal.within,
        )


def replay(ctx: Context, principal: Principal, letter_id: int) -> Replayed:
    """Try a dead letter again, after a fix. Raises NotFound; Conflict where it was replayed before."""
    authorize(principal, Action.DEAD_LETTERS_REPLAY)
    with ctx.db.session(principal.tenant) as session:
        if letter_id not in letters_store.known(session, [letter_id], principal.within):
            raise NotFound(f"There is no dead letter {letter_id}.")
    try:
        with ctx.db.raw(autocommit=True) as connection:
            register_arrays(connection)
            lift_limits(connection)
            result = replay_letter(
                connection,
                letter_id,
                SeriesCatalogue(),
                ctx.clock.now(),
                recorded(connection, principal, letter_id),
            )
    except psycopg.OperationalError as lost:
        raise DatabaseUnreachable(f"The database went away: {str(lost).splitlines()[0]}") from lost
    if result.outcome is ReplayOutcome.NO_SUCH:
        raise NotFound(f"There is no dead letter {letter_id}.")
    if result.outcome is ReplayOutcome.DONE_BEFORE:
        raise Conflict(f"Dead letter {letter_id} was replayed before.")
    return result


def _need(session: Session, principal: Principal, series_id: int) -> SeriesInfo:
    found = store.find_series(session, series_id, principal.within)
    if found is None:
        raise NotFound(f"There is no series {series_id}.")
    return found
