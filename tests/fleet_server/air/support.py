"""What the air tests are written in: lampposts whose sensors say what they are told, minute by minute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from fleet_server.air.upkeep import follow
from fleet_server.telemetry.upkeep.rollups import roll_up
from tests.fleet_server.telemetry.support import GOOD_WORD, MINUTE_MS, NOW, Desk, Post
from wire_contract.classes import Class
from wire_contract.messages import SampleBatch, SampleBlock, SensorDeclaration, SlotDeclaration

PM = (("pm2_5_cf1", "ug/m3"), ("pm2_5", "ug/m3"), ("pm10", "ug/m3"), ("humidity", "%"))
"""Slots of a sensor that says PM2.5 twice and humidity; all in tenths."""


def ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def declare(
    desk: Desk,
    post: Post,
    unit: int = 1,
    kind: str = "pms5003",
    channels: Sequence[tuple[str, str]] = PM,
    serial: str = "",
) -> int:
    """The sensor unit's id in the database."""
    slots = tuple(SlotDeclaration(channel, word, -1) for channel, word in channels)
    desk.take(post.publish(Class.REPLY, SensorDeclaration(unit, kind, serial, "", slots, ms(NOW))))
    found: int = desk.one("SELECT max(id) FROM sensor_unit WHERE kind = %s", kind)
    return found


def say(
    desk: Desk,
    post: Post,
    begins: datetime,
    minutes: int,
    values: Callable[[int], Sequence[float]] | Sequence[float],
    *,
    unit: int = 1,
    every: int = 1,
    flags: int = GOOD_WORD,
    cls: Class = Class.LIVE,
) -> None:
    """One reading each `every` minutes; values: of all slots, or what gives them for a minute."""
    rows = [values(minute) if callable(values) else values for minute in range(0, minutes, every)]
    times = [ms(begins) + minute * MINUTE_MS for minute in range(0, minutes, every)]
    columns = tuple([round(row[slot] * 10) for row in rows] for slot in range(len(rows[0])))
    block = SampleBlock(unit, tuple(range(len(columns))), times, columns, [flags] * len(times))
    desk.take(post.publish(cls, SampleBatch((block,))))


def settle(desk: Desk, now: datetime = NOW) -> None:
    """Work every mark off."""
    while roll_up(desk.connection):
        pass
    while follow(desk.connection, now):
        pass


def hour(ago: int, of: datetime = NOW) -> datetime:
    """The start of the hour `ago` hours before noon."""
    return of - timedelta(hours=ago)
