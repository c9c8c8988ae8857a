"""axe-core finds nothing serious on any page: light and dark, desktop and phone."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.dashboards.accessibility import grave
from tests.dashboards.conftest import Console, Open

pytestmark = pytest.mark.browser

# Address, and what is there once the page has its data; of the city that `furnish` makes.
PAGES = {
    "map": ("/", "tr[data-id]"),
    "map-picked": ("/?lamppost=demo/bahnhof-nord", ".bars rect"),
    "map-trouble": ("/?lamppost=demo/rathaus&index=eu", "section.pick .conditions"),
    "map-missing": ("/?lamppost=demo/nope", "#missing-title"),
    "lamppost": ("/lamppost/demo/bahnhof-nord", "canvas"),
    "incidents": ("/incidents", "h1"),
    "nowhere": ("/nothing-here", "h1"),
}
SIZES = {"desktop": (1440, 900), "phone": (390, 844)}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_finding(console: Console, browse: Open, scheme: str, size: str) -> None:
    width, height = SIZES[size]
    window = browse(width=width, height=height, scheme=scheme)
    window.sign_in(console.url, "/account")
    found: dict[str, list[str]] = {}
    for name, (path, there) in PAGES.items():
        window.page.goto(console.url + path)
        expect(window.page.locator(there).first).to_be_visible()
        found[name] = grave(window.page)
    window.complaints[:] = [c for c in window.complaints if "404" not in c]
    assert {name: problems for name, problems in found.items() if problems} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_signing_in_has_no_serious_finding(console: Console, browse: Open, scheme: str) -> None:
    window = browse(scheme=scheme)
    window.page.goto(console.url)
    expect(window.page.locator("#name")).to_be_visible()
    assert grave(window.page) == []


def test_the_keyboard_help_has_no_serious_finding(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    window.page.wait_for_selector("tr[data-id]")
    window.page.keyboard.press("?")
    expect(window.page.get_by_role("dialog")).to_be_visible()
    assert grave(window.page) == []


def test_a_broken_page_is_found(console: Console, browse: Open) -> None:
    """The check itself: a picture without words, text that cannot be read."""
    window = browse()
    window.sign_in(console.url)
    window.page.wait_for_selector("tr[data-id]")
    window.page.evaluate(
        "document.querySelector('.city').style.color = '#fff8';"
        "document.querySelector('#main').insertAdjacentHTML('beforeend', '<button></button>')"
    )
    assert {problem.split(": ")[0] for problem in grave(window.page)} >= {"button-name"}
