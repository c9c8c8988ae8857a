"""Downloads over a real database and real connections: whole, bounded, limited, never cut in silence."""

from __future__ import annotations

import csv
import gc
import io
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx
import psycopg
import pyarrow as pa
import pytest
import uvicorn
from pyarrow import parquet

from fleet_server.access import service as access
from fleet_server.access.rules import CONSOLE, Principal, Role
from fleet_server.context import Context
from fleet_server.errors import DatabaseUnreachable, Forbidden, NotFound
from fleet_server.telemetry import service
from fleet_server.telemetry.exports import download, rows
from fleet_server.telemetry.exports.asking import Format, Layout, Question
from fleet_server.telemetry.exports.download import TooManyDownloads
from fleet_server.telemetry.rules import Resolution
from fleet_server.telemetry.upkeep.rollups import roll_up
from tests.fleet_server.telemetry.support import MINUTE_MS, NOW, NOW_MS, Desk, Post
from tests.support.api import app_of
from tests.support.ports import free_port
from tests.support.server_context import VIEWER
from tests.support.waiting import KEEP_ALIVE_S, wait_until
from wire_contract.classes import Class
from wire_contract.topics import Address

PASSWORD = "a lamp for every street"
BEGINS = NOW - timedelta(days=30)
EVERYTHING = Question(BEGINS, NOW)


@pytest.fixture
def posts(desk: Desk) -> list[Post]:
    """Two lampposts, one with two sensors, three hundred minutes; a missing reading in each tenth."""
    made = [Post("lamp-01"), Post("lamp-02")]
    desk.register(*made)
    desk.connection.execute("UPDATE device SET district = '=Harbour' WHERE name = 'lamp-02'")
    times = [NOW_MS - i * MINUTE_MS for i in range(1, 301)]
    for post in made:
        desk.take(post.declare(serial="+7"), post.declare(2, kind="scd41", slots=1))
        good, missing = (
            [t for t in times if t // MINUTE_MS % 10],
            [t for t in times if not t // MINUTE_MS % 10],
        )
        desk.take(post.publish(Class.HISTORY, post.samples(good)))
        desk.take(post.publish(Class.HISTORY, post.samples(missing, flags=0x919)))
    desk.take(made[0].publish(Class.HISTORY, made[0].samples(times[:50], unit=2, slots=(0,))))
    return made


def many(desk: Desk, rows_each: int) -> None:
    """So many samples more, a second apart, straight into the table."""
    unit = desk.one("SELECT min(id) FROM sensor_unit")
    desk.connection.execute(
        "INSERT INTO sample_standard (sensor_unit, time, s0, s1, s2, flags)"
        " SELECT %s, %s::timestamptz + i * interval '1 second', i %% 1000, i %% 777, -i %% 55, 273"
        " FROM generate_series(1, %s) i ON CONFLICT DO NOTHING",
        (unit, NOW - timedelta(days=5), rows_each),
    )


def whole(context: Context, question: Question) -> bytes:
    made = service.export(context, VIEWER, question)
    try:
        return b"".join(iter(made.take, None))
    finally:
        made.close()


def read(raw: bytes, format: Format) -> list[dict[str, Any]]:
    if format is Format.CSV:
        return list(csv.DictReader(io.StringIO(raw.decode(), newline="")))
    if format is Format.ARROW:
        return pa.ipc.open_stream(raw).read_all().to_pylist()
    return parquet.read_table(io.BytesIO(raw)).to_pylist()


def test_a_download_is_what_the_queries_tell(context: Context, desk: Desk, posts: list[Post]) -> None:
    """Every format, layout and resolution, against the service's own answers, folded or not."""
    while roll_up(desk.connection):
        pass
    desk.take(posts[0].publish(Class.HISTORY, posts[0].samples([NOW_MS - 90_000])))
    units = {seen.unit.id: seen for post in posts for seen in service.lamppost(context, VIEWER, post.address)}
    for format in Format:
        for resolution in (Resolution.RAW, Resolution.MINUTE, Resolution.HOUR, Resolution.DAY):
            question = Question(NOW - timedelta(days=1), NOW, resolution, format, Layout.LONG)
            told = read(whole(context, question), format)
            found: dict[tuple[int, str], list[Any]] = {}
            for row in told:
                value = row["value" if resolution is Resolution.RAW else "mean"]
                key = (int(row["sensor_unit"]), row["channel"])
                found.setdefault(key, []).append((row["time"], None if value in ("", None) else float(value)))
            wanted = {}
            for unit, seen in units.items():
                for series in seen.unit.series:
                    points = service.series(
                        context, VIEWER, series.id, question.begins, NOW, resolution
                    ).points
                    if points:
                        wanted[unit, series.channel] = [(stamp(p.time, format), p.value) for p in points]
            assert found == wanted
    wide = read(whole(context, EVERYTHING), Format.CSV)
    assert len(wide) == 2 * 300 + 1 + 50
    missing = [row for row in wide if row["pm2_5_ug_m3_flag"] == "9" or row["pm1_ug_m3_flag"] == "9"]
    assert len(missing) == 60
    assert {(row["pm1_ug_m3"], row["pm10_ug_m3"]) for row in missing} == {("", "")}
    assert {row["serial"] for row in wide} == {"'+7", ""}
    assert {row["district"] for row in wide} == {"'=Harbour", ""}
    about = parquet.read_schema(io.BytesIO(whole(context, Question(BEGINS, NOW, format=Format.PARQUET))))
    assert about.metadata[b"lamppost.corrections"].startswith(b"none")
    assert about.field("pm2_5_ug_m3").metadata[b"unit"] == b"ug/m3"


def stamp(at: datetime, format: Format) -> Any:
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z" if format is Format.CSV else at


def test_filters_and_refusals(context: Context, desk: Desk, posts: list[Post]) -> None:
    def devices(**filters: Any) -> set[tuple[str, str]]:
        question = Question(BEGINS, NOW, layout=Layout.LONG, **filters)
        return {(row["device"], row["channel"]) for row in read(whole(context, question), Format.CSV)}

    pms = {"pm1", "pm2_5", "pm10"}
    assert devices(kinds=("pms5003",)) == {(d, c) for d in ("lamp-01", "lamp-02") for c in pms}
    assert devices(devices=(posts[1].address,)) == {("lamp-02", c) for c in pms}
    assert devices(districts=("=Harbour",), channels=("pm10",)) == {("lamp-02", "pm10")}
    for nothing in ({"devices": (Address("city", "x"),)}, {"kinds": ("x",)}, {"channels": ("x",)}):
        with pytest.raises(NotFound):
            devices(**nothing)
    with pytest.raises(Forbidden):
        service.export(context, Principal("operator", "nobody", frozenset()), EVERYTHING)
    open_ones = [service.export(context, VIEWER, EVERYTHING) for _ in range(download.MOST_AT_ONCE)]
    for _ in range(2):
        with pytest.raises(TooManyDownloads) as refused:
            service.export(context, VIEWER, EVERYTHING)
        assert refused.value.members["retry_after_s"] > 0
    for each in open_ones:
        each.close()
        each.close()  # twice is once
    assert whole(context, EVERYTHING)


@pytest.mark.parametrize("format", Format)
def test_memory_is_bounded_however_long_it_is(
    context: Context, desk: Desk, posts: list[Post], format: Format
) -> None:
    """What Python and Arrow hold at once grows with a block, not with the rows."""
    # Python's own share is the reading of rows, the same for every format; counting it costs the most time
    python = format is Format.CSV
    many(desk, 30_000)
    peaks = []
    for _ in range(2):
        question = Question(BEGINS, NOW, format=format, devices=(posts[0].address,))
        made = service.export(context, VIEWER, question)
        gc.collect()
        pa.default_memory_pool().release_unused()
        arrow_before, most, size = pa.total_allocated_bytes(), 0, 0
        if python:
            tracemalloc.start()
        while (chunk := made.take()) is not None:
            size += len(chunk)
            most = max(most, pa.total_allocated_bytes() - arrow_before)
        peaks.append((most + tracemalloc.get_traced_memory()[1], size))
        tracemalloc.stop()
        made.close()
        many(desk, 120_000 if python else 250_000)
    (few, small), (lots, large) = peaks
    assert large > 3 * small
    held = {Format.PARQUET: 30_000_000, Format.CSV: 8_000_000, Format.ARROW: 8_000_000}[format]
    assert lots < few + held, (few, lots)


def test_one_snapshot_whatever_is_committed_meanwhile(
    context: Context, desk: Desk, posts: list[Post], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "ROWS_A_BLOCK", 50)
    before = len(read(whole(context, EVERYTHING), Format.CSV))
    made = service.export(context, VIEWER, EVERYTHING)
    taken = [made.take(), made.take()]
    late = [NOW_MS - i * MINUTE_MS - 1 for i in range(1, 301)]
    desk.take(posts[1].publish(Class.HISTORY, posts[1].samples(late)))
    taken += list(iter(made.take, None))
    made.close()
    assert len(read(b"".join(filter(None, taken)), Format.CSV)) == before
    assert len(read(whole(context, EVERYTHING), Format.CSV)) == before + 300


@contextmanager
def served(context: Context) -> Iterator[httpx.Client]:
    """The API on a real port: what a broken connection is like, no test client tells."""
    access.create_operator(context, CONSOLE, "ana", PASSWORD, (Role.VIEWER,))
    port = free_port()
    config = uvicorn.Config(
        app_of(context),
        port=port,
        log_level="critical",
        timeout_graceful_shutdown=1,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started, 30, "the server answers")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=30) as client:
            client.post("/session", json={"name": "ana", "password": PASSWORD})
            yield client
    finally:
        server.should_exit = True
        thread.join(30)


def downloads(desk: Desk) -> list[int]:
    """The database's own view: connections with a download's cursor open."""
    query = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_xmin IS NOT NULL"
        " AND pid <> pg_backend_pid() AND query LIKE '%%\"download\"%%'"
    )
    return [pid for (pid,) in desk.rows(query)]


def test_over_http(context: Context, desk: Desk, posts: list[Post], monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and types; who goes away ends the query; what breaks off is seen to be broken off."""
    many(desk, 300_000)
    monkeypatch.setattr(rows, "ROWS_A_BLOCK", 200)
    path, query = "/telemetry/export", {"from": BEGINS.isoformat(), "to": NOW.isoformat()}
    with served(context) as client:
        few = {
            "from": (NOW - timedelta(hours=1)).isoformat(),
            "to": NOW.isoformat(),
            "device": "city/lamp-02",
        }
        for accept, media in (
            ("", "text/csv; charset=utf-8; header=present"),
            ("application/vnd.apache.parquet", "application/vnd.apache.parquet"),
            ("application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.stream"),
        ):
            answer = client.get(path, params=few, headers={"Accept": accept})
            assert (answer.status_code, answer.headers["content-type"]) == (200, media)
            name = answer.headers["content-disposition"]
            assert 'filename="lamppost_city-lamp-02_raw_20261120T110000Z_20261120T120000Z.' in name
            assert answer.headers["etag"]
            assert answer.headers["vary"] == "Authorization, Cookie, Accept"

        with client.stream("GET", path, params=query) as leaving:
            chunks = leaving.iter_raw()  # kept: forgetting it would be going away already
            next(chunks)
            wait_until(lambda: downloads(desk), 30, "the download's query")
        wait_until(lambda: not downloads(desk), 30, "the end of its query")  # it went away: so did the query

        with client.stream("GET", path, params=query) as broken:
            assert broken.status_code == 200
            chunks = broken.iter_raw()
            next(chunks)
            wait_until(lambda: downloads(desk), 30, "the download's query")
            desk.connection.execute("SELECT pg_terminate_backend(%s)", (downloads(desk)[0],))
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
                list(chunks)

        held = [client.send(client.build_request("GET", path, params=query), stream=True) for _ in range(2)]
        busy = client.get(path, params=query)
        assert (busy.status_code, busy.headers["retry-after"]) == (429, "15")
        for each in held:
            each.close()
        wait_until(lambda: client.get(path, params=few).status_code == 200, 30, "a free place")


def test_a_database_that_is_gone_is_a_problem_before_the_first_byte(
    context: Context, posts: list[Post], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(rows, "sources", gone)
    for _ in range(download.MOST_AT_ONCE + 1):  # and no place is lost
        with pytest.raises(DatabaseUnreachable):
            service.export(context, VIEWER, EVERYTHING)
