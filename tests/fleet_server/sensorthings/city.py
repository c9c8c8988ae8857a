"""A small city that the SensorThings tests ask about: four lampposts, three of them measuring, one moved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from fleet_server.access import service as access
from fleet_server.access.rules import CONSOLE, Role
from fleet_server.clock import StreetClock
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.service import Place
from tests.fleet_server.air.support import declare, say, settle
from tests.fleet_server.telemetry.support import NOW, Desk, Post
from wire_contract.classes import Class
from wire_contract.flags import Flag
from wire_contract.messages import SampleBatch, SampleBlock, SensorDeclaration, SlotDeclaration
from wire_contract.topics import Address

PASSWORD = "a lamp for every street"
NAME = "vic"
BEGINS = NOW - timedelta(hours=3)
MINUTES = 180
HARBOUR = (41.1496, -8.6109)
OLD_TOWN = (41.1600, -8.6200)
MOVED_TO = (41.1700, -8.6500)  # lamp-02, in the middle of what it measured
REGISTERED = NOW - timedelta(days=2)
MOVED = NOW - timedelta(minutes=95)
FORMER, PRESENT = 2, 5  # ids of lamp-02's places
CELL = "ez3f5k"  # of lamp-03, which nobody placed
FLAGGED_MINUTE, MISSING_MINUTE = 5, 7


@dataclass(frozen=True)
class Street:
    """What was told, as the tests expect it back: minute -> reading, per lamppost and channel."""

    pm2_5: dict[datetime, float]
    co2: dict[datetime, float]


def pm(minute: int) -> float:
    return 10.0 + minute % 60 / 10


def build(context: Context, desk: Desk) -> Street:
    """Fill an empty database. The street clock stands at NOW."""
    access.create_operator(context, CONSOLE, NAME, PASSWORD, (Role.VIEWER,))
    posts = [Post(f"lamp-0{n}", bytes([n]) * 16) for n in range(1, 5)]
    places = (Place(*HARBOUR, "Harbour"), Place(*OLD_TOWN, "Old Town"), Place(), Place())
    sites = ("Harbour Street 1", "Cathedral", "", "O'Hara's corner & more")
    for post, place, site in zip(posts, places, sites, strict=True):
        devices.register(context, CONSOLE, Address("city", post.name), site, place)
    desk.connection.execute("UPDATE device SET cell = %s WHERE name = 'lamp-03'", (CELL,))
    desk.connection.execute("UPDATE device SET created_at = %s", (REGISTERED,))
    _harbour(desk, posts[0])
    declare(desk, posts[1], kind="sds011", channels=(("pm2_5", "ug/m3"), ("pm10", "ug/m3")), serial="58d9")
    say(desk, posts[1], BEGINS, MINUTES, (20.0, 40.0), every=10)
    earlier = replace(context, clock=StreetClock(wall_ms=lambda: MOVED.timestamp() * 1000))
    devices.change_place(earlier, CONSOLE, posts[1].address, at=MOVED_TO, district="West")
    co2 = _co2(desk, posts[2])
    desk.connection.execute("UPDATE sensor_unit SET site = 'north wall' WHERE kind = 'mhz19b'")
    settle(desk)
    desk.connection.execute("ANALYZE")
    times = [BEGINS + timedelta(minutes=n) for n in range(MINUTES)]
    return Street({time: pm(n) for n, time in enumerate(times) if n != MISSING_MINUTE}, co2)


def _harbour(desk: Desk, post: Post) -> None:
    """Humidity 50 %, PM2.5 that climbs each hour; one reading suspect, one missing."""
    declare(desk, post)
    stretches = ((0, 5), (5, 6), (6, 7), (7, 8), (8, MINUTES))
    for first, end in stretches:
        flags = int(Flag.GOOD) * 0x1111
        if first in (FLAGGED_MINUTE, MISSING_MINUTE):
            flag = Flag.SUSPECT_SPIKE if first == FLAGGED_MINUTE else Flag.MISSING
            flags = flags & ~0xF0 | int(flag) << 4
        rows = [(pm(minute), pm(minute), 30.0, 50.0) for minute in range(first, end)]
        say(desk, post, BEGINS + timedelta(minutes=first), end - first, rows.__getitem__, flags=flags)


def _co2(desk: Desk, post: Post) -> dict[datetime, float]:
    """Whole numbers (exponent 0), at milliseconds that are no whole second."""
    slots = (SlotDeclaration("co2", "ppm", 0), SlotDeclaration("temperature", "Cel", -1))
    begins_ms = int(BEGINS.timestamp() * 1000)
    desk.take(post.publish(Class.REPLY, SensorDeclaration(1, "mhz19b", "", "", slots, begins_ms)))
    times = [begins_ms + 250 + 60_000 * n for n in range(20)]
    values = ([400 + n for n in range(20)], [215] * 20)
    block = SampleBlock(1, (0, 1), times, values, [0x11] * 20)
    desk.take(post.publish(Class.LIVE, SampleBatch((block,))))
    return {datetime.fromtimestamp(time / 1000, UTC): 400.0 + n for n, time in enumerate(times)}
