"""The pages as they run: a process of their own, a real database, Debian's Chromium."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

from fleet_server.access import rules, service
from fleet_server.config import load_config
from fleet_server.context import Context
from fleet_server.roles import responds
from provisioning.authority import Authority
from tests.dashboards.city import City, Unit, furnish
from tests.support.ports import free_port
from tests.support.postgres import with_database
from tests.support.waiting import wait_until

expect.set_options(timeout=30_000)  # of what must come: a busy machine shows it later, and none at once

PROGRAMS = [Path("/usr/bin") / name for name in ("chromium-headless-shell", "chromium", "chromium-browser")]
CHROMIUM = next((program for program in PROGRAMS if program.exists()), PROGRAMS[0])
QUIET = [  # a browser that asks nobody for anything
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
]
NAME, PASSWORD = "mara", "a long and quiet street"
SESSIONS: dict[str, list[dict[str, Any]]] = {}  # Mara's, by the pages' address: a form for each window costs
START_S = 120  # a browser, a city and everything else may be starting beside it


@dataclass
class Console:
    """The running pages, and the city behind them."""

    url: str
    city: City
    units: dict[str, Unit]
    data_dir: Path
    cwd: Path

    @contextmanager
    def context(self) -> Iterator[Context]:
        """The services' context, for what another part of the server does meanwhile."""
        made = Context.of(load_config(self.data_dir.parent / "server.toml"))
        yield made
        made.db.close()


@contextmanager
def running_console(url: str, home: Path, ui: str = "") -> Iterator[tuple[str, Path]]:
    """The `ui` role on a free port, its data under `home`; yields its address and its working directory.

    ui: further lines of the configuration's section [ui].
    """
    port = free_port()
    file = home / "server.toml"
    file.write_text(
        f'data_dir = "{home / "data"}"\n[tenant]\nname = "demo"\n[database]\nurl = "{url}"\n'
        f'[ui]\nlisten = "127.0.0.1:{port}"\n{ui}'
    )
    config = load_config(file)
    Authority.init(config.authority.directory, "Testing")
    context = Context.of(config)
    service.create_operator(context, rules.CONSOLE, NAME, PASSWORD, (rules.Role.OPERATOR,))
    context.db.close()
    cwd = home / "cwd"
    cwd.mkdir()
    code = "import sys; from pathlib import Path; from fleet_server.config import load_config;"
    code += "from dashboards.app import main; sys.exit(main(load_config(Path(sys.argv[1]))))"
    with (home / "ui.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(file)],
            cwd=cwd,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
    try:
        wait_until(
            lambda: process.poll() is not None or responds(config.ui.listen, "/healthz"),
            START_S,
            "the pages to answer",
        )
        assert process.poll() is None, (home / "ui.log").read_text()
        yield f"http://127.0.0.1:{port}", cwd
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(scope="module")
def console(
    postgres_server: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Console]:
    """The pages over a city of three lampposts, shared by a module's tests."""
    name = f"lamppost_pages_{os.getpid()}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template_database}"')  # type: ignore[arg-type]
    city = City(with_database(postgres_server, name), "demo")
    home = tmp_path_factory.mktemp("pages")
    try:
        units = furnish(city)
        with running_console(city.url, home) as (url, cwd):
            yield Console(url, city, units, home / "data", cwd)
    finally:
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Ends with the module: while it lives, nothing else in this process can run an event loop."""
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@dataclass
class Watched:
    """A browser window, and what it asked for and complained of."""

    context: BrowserContext
    page: Page
    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def hear(self, line: ConsoleMessage) -> None:
        if line.type == "error":
            self.complaints.append(line.text)

    def sign_in(self, url: str, path: str = "/", *, anew: bool = False) -> None:
        """Be Mara at `path`: by the form the first time (and where asked `anew`), then with her session."""
        known = [] if anew else SESSIONS.get(url, [])
        self.context.add_cookies(known)  # type: ignore[arg-type]  # its TypedDict is private
        self.page.goto(url + path)
        if urlsplit(self.page.url).path == "/sign-in":
            self.page.fill("#name", NAME)
            self.page.fill("#password", PASSWORD)
            self.page.keyboard.press("Enter")
            self.page.wait_for_url(lambda where: urlsplit(where).path != "/sign-in")
            SESSIONS[url] = [dict(cookie) for cookie in self.context.cookies()]
        if path == "/":
            self.page.wait_for_selector(".head .city")

    def pick(self, name: str) -> None:
        """Click a lamppost in the map page's list and wait for what the server tells of it."""
        self.page.click(f"tr:has(strong:text-is('{name}'))")
        self.page.wait_for_function(
            "name => { const s = window.lamppost?.store; const row = s?.rows[s.picked];"
            " return row?.name === name && s.course?.lamppost === s.picked }",
            arg=name,
        )


Open = Callable[..., Watched]


@pytest.fixture
def browse(chromium: Browser) -> Iterator[Open]:
    """Opens windows. At the end none may have asked another host, or complained where not expected."""
    opened: list[Watched] = []

    def open_window(*, width: int = 1440, height: int = 900, scheme: str = "light") -> Watched:
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
        watched = Watched(context, context.new_page())
        page = watched.page
        page.on(
            "request", lambda request: watched.hosts.add(urlsplit(request.url).hostname or request.url[:20])
        )
        page.on("websocket", lambda channel: watched.hosts.add(urlsplit(channel.url).hostname or channel.url))
        page.on("pageerror", lambda error: watched.complaints.append(str(error)))
        page.on("console", watched.hear)
        opened.append(watched)
        return watched

    yield open_window
    for watched in opened:
        watched.context.close()
    for watched in opened:
        assert {host for host in watched.hosts if not host.startswith("data:")} <= {"127.0.0.1"}
        assert watched.complaints == []
