"""The map page with 500 lampposts that speak each second: how fast it is painted, what ten viewers cost.

The pages are the real `ui` role over a real PostgreSQL (fsync on) that the real ingest writes into; the
viewers are ten windows of a real Chromium on the same machine, with a cold cache for the paint. Bars: first
paint within 2 s, 10 % of a core of the `ui` process for ten viewers. CPU is utime + stime of /proc/PID/stat;
what its queries cost PostgreSQL is told beside it.

Floors, measured in the same run: the paint of the sign-in page, which is HTML and one sheet; and a bare
process that reads each lamppost's newest value each second and sends them, as JSON, to ten websockets.

    python -m benchmarks.map [--json] [--posts N] [--seconds N] [--loads N]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from playwright.sync_api import Browser, Page, sync_playwright
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from benchmarks.report import Figure, at_least_of_floor, at_most, machine
from fleet_server.embedded_server import EmbeddedServer
from fleet_server.migrations import upgrade
from tests.dashboards.conftest import CHROMIUM, NAME, PASSWORD, QUIET, running_console
from tests.fleet_server.telemetry.support import GOOD_WORD, Desk, Post
from tests.support.ports import free_port
from tests.support.waiting import wait_until
from wire_contract.classes import Class
from wire_contract.messages import SampleBatch, SampleBlock

PAINT_BAR_S, CPU_BAR_PERCENT = 2.0, 10.0
VIEWERS = 10
SETTLE_S = 5.0  # the last window's first list
GROUP_MESSAGES = 64  # as the ingest role is configured
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

# How many lampposts a page shows with a value of the last three seconds.
UP_TO_DATE = "Object.values(lamppost.store.rows).filter((r) => lamppost.store.now - r.latest < 3000).length"
SENDER = """
import asyncio, json, sys
import psycopg
from websockets.asyncio.server import broadcast, serve
viewers = set()
async def take(socket):
    viewers.add(socket)
    await socket.wait_closed()
async def main():
    database = await psycopg.AsyncConnection.connect(sys.argv[1], autocommit=True)
    async with serve(take, "127.0.0.1", int(sys.argv[2])):
        print("ready", flush=True)
        while True:
            rows = await (await database.execute(
                "SELECT l.series_id, l.time, l.value FROM latest l JOIN series s ON s.id = l.series_id"
                " WHERE s.channel = 'pm2_5'")).fetchall()
            columns = [[r[0] for r in rows], [r[1].timestamp() for r in rows], [r[2] for r in rows]]
            broadcast(viewers, json.dumps(columns))
            await asyncio.sleep(1)
asyncio.run(main())
"""


class Street:
    """500 lampposts that speak each second, through the ingest transaction."""

    def __init__(self, url: str, posts: int) -> None:
        self._url = url
        self._posts = [Post(f"lamp-{number:04}") for number in range(posts)]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._speak)
        self.seconds_late = 0
        self.connections: list[int] = []

    def furnish(self) -> None:
        """Registered, declared, each with a place and an index."""
        desk, rng = Desk(self._url, "bench"), random.Random(1)
        desk.register(*self._posts)
        desk.take(*(post.declare(slots=3) for post in self._posts))
        where = [(41.15 + rng.gauss(0, 0.02), -8.61 + rng.gauss(0, 0.03)) for _ in self._posts]
        with desk.connection.cursor() as cursor:
            cursor.executemany(
                "UPDATE device SET latitude = %s, longitude = %s, district = %s, presence = 'online'"
                " WHERE name = %s",
                [
                    (*at, f"District {i % 8}", p.name)
                    for i, (at, p) in enumerate(zip(where, self._posts, strict=True))
                ],
            )
            cursor.execute(
                "INSERT INTO air_index SELECT d.id, date_trunc('hour', now()), k, 10 + d.id % 150,"
                " 1 + (10 + d.id % 150) / 51, 'x', 'pm2_5', 12.0, 'barkjohn2022@1', now()"
                " FROM device d, unnest(ARRAY['us-aqi@2024-05-06', 'eu-eaqi@2024']) k"
            )
        desk.close()

    def __enter__(self) -> Street:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _speak(self) -> None:
        desk, rng, due = Desk(self._url, "bench"), random.Random(2), time.monotonic()
        self.connections.append(desk.connection.info.backend_pid)
        while not self._over.wait(max(0.0, due - time.monotonic())):
            now_ms = round(time.time() * 1000)
            said = [post.publish(Class.LIVE, _batch(now_ms, rng)) for post in self._posts]
            for first in range(0, len(said), GROUP_MESSAGES):
                desk.take(*said[first : first + GROUP_MESSAGES], now=datetime.now(UTC))
            due += 1.0
            self.seconds_late += due < time.monotonic()
        desk.close()


def _batch(now_ms: int, rng: random.Random) -> SampleBatch:
    values = tuple([rng.randint(20, 400)] for _ in range(3))
    return SampleBatch((SampleBlock(1, (0, 1, 2), [now_ms], values, [GOOD_WORD]),))


def cpu_s(pid: int) -> float:
    """Seconds of CPU that the process has used, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def cpu_percent(seconds: float, *groups: Sequence[int]) -> list[float]:
    """Of one core, over the next `seconds`, for each group of processes."""

    def used() -> list[float]:
        return [sum(cpu_s(pid) for pid in group) for group in groups]

    before, began = used(), time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    return [100.0 * (b - a) / passed for a, b in zip(before, used(), strict=True)]


def askers(url: str, ours: Sequence[int]) -> list[int]:
    """The database's processes that serve the pages: all its connections but `ours` and this one."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchall()
    return [pid for (pid,) in found if pid not in ours]


def pid_of(argument: str) -> int:
    """The process that was started with this argument."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if argument.encode() in words:
                return int(entry.name)
    raise RuntimeError(f"no process has the argument {argument}")


def sign_in(page: Page, url: str) -> None:
    page.goto(f"{url}/sign-in")
    page.fill("#name", NAME)
    page.fill("#password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector(".mark-box.cluster", timeout=60_000)


def paints(browser: Browser, url: str, loads: int) -> dict[str, list[float]]:
    """Seconds from the navigation, cache cold: first paint, lampposts on the map; sign-in's first paint."""
    found: dict[str, list[float]] = {"paint_s": [], "lampposts_s": [], "floor_s": []}
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    first = context.new_page()
    sign_in(first, url)
    signed_in = context.storage_state()
    context.close()
    for _ in range(loads):
        context = browser.new_context(viewport={"width": 1440, "height": 900}, storage_state=signed_in)
        page = context.new_page()
        page.goto(url)
        page.wait_for_selector(".mark-box.cluster")
        found["paint_s"].append(first_paint_s(page))
        drawn = page.evaluate("performance.getEntriesByName('lamppost-drawn')[0].startTime")
        found["lampposts_s"].append(drawn / 1000)
        context.close()
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        page.goto(f"{url}/sign-in")
        found["floor_s"].append(first_paint_s(page))
        context.close()
    return found


def first_paint_s(page: Page) -> float:
    """Asked again and again from here: a page that forbids all script cannot wait by itself."""
    entries = "performance.getEntriesByName('first-contentful-paint').map((e) => e.startTime)"
    wait_until(lambda: page.evaluate(entries), 30, "the first paint")
    return float(page.evaluate(entries)[0]) / 1000


@contextmanager
def ten_viewers(browser: Browser, url: str) -> Iterator[list[Page]]:
    contexts = [browser.new_context(viewport={"width": 1280, "height": 800}) for _ in range(VIEWERS)]
    pages = [context.new_page() for context in contexts]
    for page in pages:
        sign_in(page, url)
    yield pages
    for context in contexts:
        context.close()


def drain(socket: ClientConnection) -> None:
    """Take what comes until the other side goes."""
    with suppress(ConnectionClosed):
        for _ in socket:
            pass


def floor_percent(url: str, seconds: float) -> float:
    """CPU of the bare sender with ten listeners."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", SENDER, url, str(port)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        for _ in range(VIEWERS):
            socket = connect(f"ws://127.0.0.1:{port}", max_size=None)
            threading.Thread(target=drain, args=(socket,), daemon=True).start()
        return cpu_percent(seconds, [process.pid])[0]
    finally:
        process.terminate()
        process.wait()


def measure(posts: int, seconds: float, loads: int) -> dict[str, Any]:
    """Everything, on a fresh server."""
    with tempfile.TemporaryDirectory(prefix="lamppost-bench-") as made:
        folder = Path(made)
        folder.chmod(0o777)  # PostgreSQL runs as another account where this is root
        home = folder / "home"
        home.mkdir()
        with EmbeddedServer(folder / "postgres") as server:
            upgrade(server.url())
            street = Street(server.url(), posts)
            street.furnish()
            with street, running_console(server.url(), home) as (url, _), sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
                pid = pid_of(str(home / "server.toml"))
                result: dict[str, Any] = dict(paints(browser, url, loads))
                with ten_viewers(browser, url) as pages:
                    time.sleep(SETTLE_S)
                    before = [page.evaluate("lamppost.store.rolled") for page in pages]
                    asking = askers(server.url(), street.connections)
                    result["cpu_percent"], result["database_percent"] = cpu_percent(seconds, [pid], asking)
                    after = [page.evaluate("lamppost.store.rolled") for page in pages]
                    result["up_to_date"] = min(page.evaluate(UP_TO_DATE) for page in pages)
                result["updates_per_s"] = min(b - a for a, b in zip(before, after, strict=True)) / seconds
                browser.close()
                result["floor_percent"] = floor_percent(server.url(), seconds)
            return result | {"posts": posts, "seconds_late": street.seconds_late}


def figures(quick: bool = False) -> list[Figure]:
    """None where there is no Chromium."""
    if not CHROMIUM.exists():
        print(f"  {CHROMIUM} is not here: apt-get install chromium", file=sys.stderr)
        return []
    found = measure(100 if quick else 500, 5.0 if quick else 30.0, 2 if quick else 5)
    paint, floor = statistics.median(found["paint_s"]), statistics.median(found["floor_s"])
    cpu, bare = found["cpu_percent"], found["floor_percent"]
    posts = f"map, {found['posts']} lampposts"
    return [
        at_most(f"{posts}: first paint", paint, "s", PAINT_BAR_S),
        at_least_of_floor(f"{posts}: first paint beside a plain page's", paint, "s", floor, None),
        at_most(f"{posts}: {VIEWERS} viewers", cpu, "% of a core", CPU_BAR_PERCENT),
        at_least_of_floor(f"{posts}: beside a bare sender", cpu, "% of a core", max(bare, 0.1), None),
    ]


def main(arguments: Sequence[str] | None = ()) -> None:
    """Print both figures beside their floors."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.map")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--posts", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--loads", type=int, default=5)
    options = parser.parse_args(arguments)
    if not CHROMIUM.exists():
        print(f"{CHROMIUM} is not here: apt-get install chromium", file=sys.stderr)
        return
    found = measure(options.posts, options.seconds, options.loads)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print(machine())
    paint, shown, floor = (statistics.median(found[k]) for k in ("paint_s", "lampposts_s", "floor_s"))
    print(
        f"{found['posts']} lampposts: first paint {paint:.2f} s (bar {PAINT_BAR_S} s, worst"
        f" {max(found['paint_s']):.2f} s, {paint / floor:.1f} of a plain page's {floor:.2f} s),"
        f" lampposts on the map {shown:.2f} s"
    )
    cpu, bare = found["cpu_percent"], found["floor_percent"]
    print(
        f"{VIEWERS} viewers: {cpu:.1f} % of a core (bar {CPU_BAR_PERCENT:.0f} %,"
        f" {cpu / max(bare, 0.1):.1f} of a bare sender's {bare:.1f} %),"
        f" {found['database_percent']:.1f} % in PostgreSQL;"
        f" {found['updates_per_s']:.2f} updates/s each,"
        f" {found['up_to_date']} of {found['posts']} lampposts up to date"
    )


if __name__ == "__main__":
    main(None)
