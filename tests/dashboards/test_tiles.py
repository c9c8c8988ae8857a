"""Map tiles: only where the configuration names a host, and then from that host alone."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import expect

from dashboards.headers import origin_of, policy
from tests.dashboards.city import City, furnish
from tests.dashboards.conftest import Open, running_console
from tests.support.waiting import wait_until

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.mark.parametrize(
    ("tiles", "origin"),
    [
        ("", ""),
        ("https://tiles.example.org/{z}/{x}/{y}.png", "https://tiles.example.org"),
        ("https://{s}.tiles.example.org/{z}/{x}/{y}.png?key=1", "https://*.tiles.example.org"),
        ("http://127.0.0.1:8099/{z}/{x}/{y}", "http://127.0.0.1:8099"),
    ],
)
def test_the_policy_names_the_host_of_the_tiles(tiles: str, origin: str) -> None:
    assert origin_of(tiles) == origin
    pictures = policy("'none'", origin_of(tiles)).decode().partition("img-src ")[2].partition(";")[0]
    assert pictures == f"'self' data: {origin}".rstrip()


@pytest.fixture
def tiles() -> Iterator[tuple[str, set[str]]]:
    """A tile server: its address, and what was asked of it."""
    asked: set[str] = set()

    class Tiles(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.add(self.path)
            self.send_response(200)
            self.send_header("content-type", "image/png")
            self.end_headers()
            self.wfile.write(PIXEL)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Tiles)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.browser
def test_a_configured_host_gives_the_tiles_and_is_named(
    database_url: str, tmp_path: Path, tiles: tuple[str, set[str]], browse: Open
) -> None:
    address, asked = tiles
    furnish(City(database_url, "demo"))
    ui = f'map_tiles = "{address}/{{z}}/{{x}}/{{y}}.png"\nmap_attribution = "© The <b>tile</b> makers"\n'
    with running_console(database_url, tmp_path, ui) as (url, _):
        window = browse()
        window.sign_in(url)
        expect(window.page.locator("img.leaflet-tile-loaded").first).to_be_visible()
        expect(window.page.locator(".leaflet-control-attribution")).to_have_text("© The <b>tile</b> makers")
        expect(window.page.locator(".degree")).to_have_count(0)
        wait_until(lambda: len(asked) > 3, 10, "tiles to be asked for")
        window.page.evaluate(  # no other host, even where somebody makes the page ask
            "() => new Promise((done) => { const i = new Image(); i.onerror = i.onload = done;"
            " i.src = 'http://127.0.0.1:9/x.png'; })"
        )
        assert any("content security policy" in c.lower() for c in window.complaints)
        window.complaints.clear()
