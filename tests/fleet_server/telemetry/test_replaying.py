"""What is replayed is what was ingested: in order, whole, at any chunk size, as fast as it is told."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from air_quality.calibration import Calibration
from fleet_server.errors import NotFound
from fleet_server.replay_commands import Summary, paced
from fleet_server.telemetry import replaying
from fleet_server.telemetry.ingest.intake import Incoming
from fleet_server.telemetry.replaying import Sample, Slot, Unit, next_width
from fleet_server.telemetry.replaying_calibrated import Corrector
from fleet_server.telemetry.replaying_formats import Line, comma_separated, iso, ndjson, wire
from fleet_server.telemetry.replaying_pace import Pace
from tests.fleet_server.telemetry.support import GOOD_WORD, MINUTE_MS, NOW_MS, Desk, Post
from tests.support.postgres import with_database
from wire_contract.classes import Class
from wire_contract.envelope import decode
from wire_contract.flags import Flag, pack_flags
from wire_contract.messages import SampleBatch, SensorDeclaration
from wire_contract.topics import Address

BEGUN_MS = NOW_MS - 40 * 24 * 60 * MINUTE_MS  # over a month's end: two partitions


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


class City:
    """Two lampposts, three units, every other with another set of slots; what was ingested, by instant."""

    def __init__(self, url: str) -> None:
        self.url = url
        desk = Desk(url)
        posts = [Post("lamp-a", b"a" * 16), Post("lamp-b", b"b" * 16)]
        desk.register(*posts)
        self.posts = posts
        self.sent: list[tuple[int, str, int, tuple[int | None, ...], int]] = []
        desk.take(posts[0].declare(1), posts[0].declare(2, serial="second"), posts[1].declare(1))
        for post, unit, step_ms, slots, flags in (
            (posts[0], 1, 60_000, (0, 1, 2), GOOD_WORD),
            (posts[0], 2, 7_000, (0, 2), GOOD_WORD | 0xF << 60),  # the sign bit of the flags
            (posts[1], 1, 60_000, (1,), 0x555),
        ):
            for start in range(0, 60, 20):  # then nothing for weeks, then again
                gap_ms = 35 * 24 * 60 * MINUTE_MS if start == 40 else 0
                times = [BEGUN_MS + gap_ms + (start + i) * step_ms for i in range(20)]
                batch = post.samples(times, unit, slots, flags=flags)
                desk.take(post.publish(Class.LIVE, batch))
                for block in batch.blocks:
                    for i, time_ms in enumerate(block.times_ms):
                        values: list[int | None] = [None] * 16
                        for slot, column in zip(block.slots, block.columns, strict=True):
                            values[slot] = column[i]
                        self.sent.append((time_ms, post.name, unit, tuple(values), flags))
        desk.close()
        self.sent.sort()

    def read(self, begins_ms: int, ends_ms: int, rows_a_fetch: int) -> list[Any]:
        with psycopg.connect(self.url) as connection:
            replaying.begin(connection)
            of = replaying.stretch(connection, moment(begins_ms), moment(ends_ms))
            units = {u.id: (u.address.device, 2 if u.serial else 1) for u in of.units}
            found = list(replaying.samples(connection, of, rows_a_fetch))
        return [(s.time_ms, *units[s.unit], s.values, s.flags) for s in found]


@pytest.fixture(scope="module")
def city(postgres_server: str, template_database: str) -> Iterator[City]:
    name = f"lamppost_replayed_{os.getpid()}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template_database}"')
    yield City(with_database(postgres_server, name))
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_replayed_is_what_was_ingested_at_any_chunk_size(city: City) -> None:
    everything = city.read(0, NOW_MS, 5_000)
    assert everything == city.sent
    last_ms = city.sent[-1][0]

    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(1, 200), st.integers(BEGUN_MS - 1, last_ms), st.integers(1, last_ms - BEGUN_MS + 2))
    def any_stretch(rows_a_fetch: int, begins_ms: int, length_ms: int) -> None:
        ends_ms = begins_ms + length_ms
        wanted = [row for row in city.sent if begins_ms <= row[0] < ends_ms]
        assert city.read(begins_ms, ends_ms, rows_a_fetch) == wanted

    any_stretch()


def test_one_snapshot_whatever_comes_in_meanwhile(city: City) -> None:
    desk = Desk(city.url)
    with psycopg.connect(city.url) as connection:
        replaying.begin(connection)
        of = replaying.stretch(connection, moment(0), moment(NOW_MS))
        stream = replaying.samples(connection, of, 1)
        first = next(stream)
        post, late_ms = Post("late"), city.sent[-1][0] + 500  # in a slice that is read later
        desk.register(post)
        desk.take(post.declare())
        desk.take(post.publish(Class.LIVE, post.samples([late_ms])))
        desk.take(city.posts[1].publish(Class.LIVE, post.samples([late_ms], 1, (1,), value=7)))
        assert len([first, *stream]) == len(city.sent)
    desk.connection.execute("DELETE FROM sample_standard WHERE time = %s", (moment(late_ms),))
    desk.close()


def test_a_device_that_is_named_is_read_alone_and_an_unknown_one_is_told(city: City) -> None:
    with psycopg.connect(city.url) as connection:
        of = replaying.stretch(connection, moment(0), moment(NOW_MS), [Address("city", "lamp-b")])
        assert {unit.address.device for unit in of.units} == {"lamp-b"}
        assert of.units[0].cadence_s == 60.0
        assert len(list(replaying.samples(connection, of))) == 60
        with pytest.raises(NotFound, match="city/lamp-z"):
            replaying.stretch(connection, moment(0), moment(NOW_MS), [Address("city", "lamp-z")])
        assert replaying.stretch(connection, moment(0), moment(1)).units == ()


def test_the_wire_format_gives_back_what_devices_sent(city: City) -> None:
    with psycopg.connect(city.url) as connection:
        of = replaying.stretch(connection, moment(0), moment(NOW_MS))
        lines = [json.loads(line.text) for line in wire(of, replaying.samples(connection, of), 10.0)]
    declared: dict[tuple[str, int], SensorDeclaration] = {}
    rows, sequences = [], []
    for line in lines:
        device = line["topic"].split("/")[3]
        message = decode(base64.b64decode(line["payload"]))
        if isinstance(message, SensorDeclaration):
            declared[device, message.unit] = message
            continue
        assert isinstance(message, SampleBatch)
        properties = dict(line["properties"])
        sequences.append((device, int(properties["s"])))
        for block in message.blocks:
            unit = 2 if declared[device, block.unit].serial else 1
            for i, time_ms in enumerate(block.times_ms):
                values: list[int | None] = [None] * 16
                for slot, column in zip(block.slots, block.columns, strict=True):
                    values[slot] = column[i]
                rows.append((time_ms, device, unit, tuple(values), block.flags[i]))
    assert sorted(rows) == city.sent
    for device in ("lamp-a", "lamp-b"):
        mine = [sequence for each, sequence in sequences if each == device]
        assert mine == list(range(1, len(mine) + 1))


def test_the_wire_format_can_be_ingested_again(city: City, database_url: str) -> None:
    other = Desk(database_url)
    other.register(*city.posts)
    with psycopg.connect(city.url) as connection:
        of = replaying.stretch(connection, moment(0), moment(NOW_MS))
        for line in wire(of, replaying.samples(connection, of)):
            told = json.loads(line.text)
            properties = tuple((name, value) for name, value in told["properties"])
            other.take(Incoming(told["topic"], base64.b64decode(told["payload"]), properties))
    other.close()
    again = City.__new__(City)
    again.url = database_url
    assert again.read(0, NOW_MS, 100) == city.sent


UNIT = Unit(
    7,
    1,
    Address("city", "lamp-a"),
    "pms5003",
    "",
    'roof, "north"',
    (Slot(0, "pm2_5", "ug/m3", -1), Slot(1, "pm10", "ug/m3", -1), Slot(2, "humidity", "%", -1)),
    60.0,
)


def of_units(*units: Unit) -> replaying.Stretch:
    return replaying.Stretch(moment(0), moment(NOW_MS), units)


def sample(time_ms: int, pm2_5: int | None, humidity: int | None, flag: Flag = Flag.GOOD) -> Sample:
    flags = pack_flags([flag, Flag.MISSING, Flag.GOOD])
    return Sample(7, time_ms, (pm2_5, 0, humidity, *([None] * 13)), flags)


def test_lines_for_people_have_units_flags_and_no_missing_values() -> None:
    declared, told = (
        json.loads(line.text) for line in ndjson(of_units(UNIT), [sample(NOW_MS + 7, 123, 456)])
    )
    assert declared["channels"][0] == {"slot": 0, "channel": "pm2_5", "unit": "ug/m3", "exponent": -1}
    assert told == {
        "type": "sample",
        "time": "2026-11-20T12:00:00.007Z",
        "device": "city/lamp-a",
        "unit": 7,
        "values": {"pm2_5": 12.3, "pm10": None, "humidity": 45.6},
        "flags": {"pm2_5": 1, "pm10": 9, "humidity": 1},
    }
    head, rows = comma_separated(of_units(UNIT), [sample(NOW_MS, 123, None)])
    assert head.text == "time,device,sensor_unit,kind,site,channel,value,unit,flag\n"
    assert rows.text.splitlines() == [
        '2026-11-20T12:00:00.000Z,city/lamp-a,7,pms5003,"roof, ""north""",pm2_5,12.3,ug/m3,1',
        '2026-11-20T12:00:00.000Z,city/lamp-a,7,pms5003,"roof, ""north""",pm10,,ug/m3,9',
    ]


def test_the_calibration_that_was_valid_then_is_applied() -> None:
    hour_ms = 60 * MINUTE_MS
    entries = {
        7: [
            Calibration(2.0, 0.0, 0.0, NOW_MS - hour_ms, "", "pm2_5"),
            Calibration(3.0, 1.0, 0.1, NOW_MS + MINUTE_MS, "", "pm2_5"),  # from the first full hour on
        ]
    }
    correct = Corrector(entries)
    found = {at: correct(UNIT, sample(int(NOW_MS + at * hour_ms), 100, 500))["pm2_5"] for at in (-1, 0.5, 1)}
    assert found == {-1: (20.0, "calibration"), 0.5: (20.0, "calibration"), 1: (36.0, "calibration")}
    assert correct(UNIT, sample(NOW_MS - 3 * hour_ms, 100, 500))["pm2_5"][1] != "calibration"
    lines = [json.loads(line.text) for line in ndjson(of_units(UNIT), [sample(NOW_MS, 100, 500)], correct)]
    assert lines[1]["values"]["pm2_5"] == 20.0
    assert lines[1]["corrections"]["pm2_5"] == "calibration"
    assert lines[1]["values"]["humidity"] == 50.0


class Slow:
    """A clock that only sleeping moves, and each sleep takes a little too long."""

    def __init__(self) -> None:
        self.at_s = 1000.0

    def now_s(self) -> float:
        return self.at_s

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.at_s += seconds + 0.003


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=40), st.floats(0.1, 1_000))
def test_the_pace_does_not_drift(steps_ms: list[int], speed: float) -> None:
    clock = Slow()
    pace = Pace(speed, now_s=clock.now_s, sleep=clock.sleep)
    pace.wait(NOW_MS)
    at_ms = NOW_MS
    for step_ms in steps_ms:
        at_ms += step_ms
        pace.wait(at_ms)
    due_s = 1000.0 + (at_ms - NOW_MS) / 1000 / speed
    assert due_s - 1e-6 <= clock.at_s <= due_s + 0.004, "late by one sleep at most, however many there were"


def test_what_is_written_leaves_before_a_wait(capsys: pytest.CaptureFixture[str]) -> None:
    clock, seen = Slow(), []

    def sleep(seconds: float) -> None:
        seen.append(capsys.readouterr().out)
        clock.sleep(seconds)

    def lines() -> Iterator[Line]:
        yield Line("declared\n", None)
        yield from (Line(f"{i}\n", NOW_MS + i * 60_000, 1) for i in range(3))

    summary = Summary()
    paced(lines(), Pace(60, now_s=clock.now_s, sleep=sleep), summary)
    assert seen == ["declared\n0\n", "1\n"]
    assert capsys.readouterr().out == "2\n"
    assert clock.at_s == pytest.approx(1002, abs=0.01)
    assert summary.samples == 3


@given(st.lists(st.integers(0, 1_000_000), max_size=60))
def test_slices_stay_within_their_bounds(counts: list[int]) -> None:
    width = replaying.FIRST_SLICE
    for count in counts:
        width = next_width(width, count)
        assert replaying.SHORTEST_SLICE <= width <= replaying.LONGEST_SLICE
    assert next_width(timedelta(hours=1), replaying.ROWS_A_SLICE // 2) == timedelta(hours=1)


def test_an_instant_is_told_in_milliseconds() -> None:
    assert iso(NOW_MS + 999) == "2026-11-20T12:00:00.999Z"
