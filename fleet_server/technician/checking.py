"""The site test as the city sees it: for a phone at the post, which cannot ask the lamppost itself.

What `lamppost provision test` measures there stands in for what is told here: presence, clock, conditions,
readings of the last minutes; and, once somebody has begun to measure, how long it takes until the city has
stored a new sample. Times are of the street clock, but that one: a technician waits in real time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from fleet_server.access.rules import Action, Principal
from fleet_server.access.service import authorize
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.rules import Freshness, PresenceState
from fleet_server.devices.service import ConditionRecord, DeviceView, SensorUnitRecord
from fleet_server.errors import InvalidRequest
from fleet_server.telemetry import service as telemetry
from fleet_server.telemetry.service import Resolution
from provisioning.technician.picture import Course, picture
from provisioning.technician.site_test import (
    ACK_SLOW_S,
    Line,
    SiteTest,
    ack_line,
)
from wire_contract.radio import NOT_MEASURED, SIGNAL, judged, read
from wire_contract.topics import Address

SHOWN = timedelta(minutes=5)  # the picture of readings: five samples at one a minute
CHANNELS_MOST = 12  # of a picture on a phone
MEASURED_FOR = timedelta(minutes=9)  # the ledger says when a sample came for ten (telemetry.upkeep.fold)
ACK = "first ack"  # as the test at the post calls it


def site_check(
    ctx: Context, principal: Principal, address: Address, since: datetime | None = None
) -> SiteTest:
    """What is well and what is not, as of now.

    since: when somebody began to measure the first ack, real time, in the last minutes; None: nobody did.
    Raises Forbidden, NotFound, InvalidRequest.
    """
    authorize(principal, Action.SITES_READ, str(address))
    real = datetime.now(UTC)
    if since is not None and not measures(since, real):
        raise InvalidRequest(
            f"The first ack is measured from an instant of the last {MEASURED_FOR.seconds // 60} minutes on.",
            remedy="Test again.",
        )
    seen = devices.get_device(ctx, principal, address)
    units = devices.sensors(ctx, principal, address)
    wrong = devices.conditions(ctx, principal, address)
    now = ctx.clock.now()
    courses = tuple(_courses(ctx, principal, units, now))
    first_ack_s = None if since is None else _first_ack_s(ctx, principal, address, since)
    ack = _of_ack(first_ack_s, None if since is None else (real - since).total_seconds())
    lines = [*_of_device(seen), ack, *_of_readings(units, courses, seen), *_of_conditions(wrong)]
    return SiteTest(
        device=str(address),
        version=seen.record.agent_version,
        made_at=real.isoformat(timespec="seconds"),
        span_s=SHOWN.total_seconds(),
        lines=tuple(lines),
        courses=courses,
        first_ack_s=first_ack_s,
    )


def measures(since: datetime, now: datetime) -> bool:
    """Can the first ack after `since` still be told? Both real time."""
    return since.tzinfo is not None and timedelta(0) <= now - since <= MEASURED_FOR


def waits_for_ack(test: SiteTest, since: datetime | None) -> bool:
    """It is measured just now: look again in some seconds."""
    if since is None or test.first_ack_s is not None:
        return False
    return (datetime.fromisoformat(test.made_at) - since).total_seconds() < ACK_SLOW_S


def drawn(test: SiteTest) -> str:
    """Its readings as a picture, SVG."""
    return picture(test.courses, test.span_s)


def _of_device(seen: DeviceView) -> Iterator[Line]:
    record = seen.record
    online = record.presence is PresenceState.ONLINE
    told = "online" if online else "never heard of" if record.presence is PresenceState.NEVER else "offline"
    yield Line("presence", online, told, "" if online else "Power, antenna, then: lamppost agent doctor")
    clock = record.clock_ok is True
    yield Line("clock", clock, "set" if clock else "not set", "" if clock else "timedatectl set-ntp true")
    yield _of_signal(record.settings.get(SIGNAL, "") if online else "")
    waiting = sum(record.backlog.values())
    yield Line("waiting", True, f"{waiting} messages in its spool" if waiting else "nothing waits in it")


def _of_signal(told: str) -> Line:
    """told: as its last presence has it."""
    way = read(told)
    if way is None:
        return Line(SIGNAL, True, f"{NOT_MEASURED}: the lamppost does not tell it")
    found = judged(way)
    return Line(SIGNAL, found.ok, found.detail, found.remedy)


def _first_ack_s(ctx: Context, principal: Principal, address: Address, since: datetime) -> float | None:
    stored = telemetry.first_stored(ctx, principal, address, since)
    return None if stored is None else round((stored - since).total_seconds(), 1)


def _of_ack(first_ack_s: float | None, waited_s: float | None) -> Line:
    """waited_s: since somebody began to measure; None: nobody did."""
    if waited_s is None:
        return Line(ACK, True, f"{NOT_MEASURED} in this test")
    if first_ack_s is None and waited_s < ACK_SLOW_S:
        told = f"nothing new is stored yet, after {waited_s:.0f} s"
        return Line(ACK, False, told, f"Wait: up to {ACK_SLOW_S:.0f} s is well")
    return ack_line(first_ack_s, waited_s)


def _of_readings(
    units: Sequence[SensorUnitRecord], courses: Sequence[Course], seen: DeviceView
) -> Iterator[Line]:
    remedy = "Plug and port; lamppost sensors probe"
    if not units:
        yield Line("sensors", False, "it has told of no sensor", remedy)
        return
    fresh = seen.freshness is Freshness.FRESH
    age = "none yet" if seen.age_s is None else f"the newest {seen.age_s:.0f} s ago"
    yield Line("readings", fresh, age, "" if fresh else "Wait two minutes; then " + remedy.lower())
    if fresh:
        speaking = {course.sensor for course in courses}
        mute = [_name(unit) for unit in units if _name(unit) not in speaking]
        told = f"no reading in five minutes: {', '.join(mute)}" if mute else f"{len(units)} speak"
        # a unit that was replaced stays listed: what is silent is said, and judged by who looks
        yield Line("sensors", True, told)


def _of_conditions(wrong: Sequence[ConditionRecord]) -> Iterator[Line]:
    for each in wrong:
        name = f"{each.code} {each.subject}".strip()
        info = each.severity == "info"
        yield Line(name, info, each.detail, "" if info else each.remedy or "Look at the lamppost's page")


def _courses(
    ctx: Context, principal: Principal, units: Sequence[SensorUnitRecord], now: datetime
) -> Iterator[Course]:
    begins = now - SHOWN
    shown = [(unit, series) for unit in units for series in unit.series][-CHANNELS_MOST:]
    for unit, series in shown:
        found = telemetry.series(ctx, principal, series.id, begins, now, Resolution.RAW, limit=600)
        points = tuple(
            ((point.time - begins).total_seconds(), point.value)
            for point in found.points
            if point.value is not None
        )
        if points:
            yield Course(_name(unit), series.channel, points)


def _name(unit: SensorUnitRecord) -> str:
    return f"{unit.site or unit.kind} {unit.serial}".strip()
