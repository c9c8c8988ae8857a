"""People at the pages without a script, in a browser and by HTTP: for test_desk.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from playwright.sync_api import Page, expect

from fleet_server.access.rules import Principal, Role
from fleet_server.context import Context
from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment import standing
from fleet_server.errors import Conflict
from tests.dashboards.accessibility import grave
from tests.dashboards.conftest import Watched
from wire_contract.topics import Address

PASSWORD = "a person of one role"


def as_(role: Role) -> Principal:
    return Principal("operator", f"the-{role}", frozenset({role}), "demo")


def enter(window: Watched, url: str, name: str, password: str = PASSWORD) -> Page:
    page = window.page
    page.goto(f"{url}/sign-in?next=/account")
    page.fill("#name", name)
    page.fill("#password", password)
    page.keyboard.press("Enter")
    page.wait_for_selector(".bar .city")
    return page


def both_widths(page: Page) -> None:
    """Nothing serious for axe and nothing to scroll sideways, on a phone and at a desk."""
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert grave(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def go(page: Page, title: str) -> None:
    """By the header, as a person does."""
    page.click(".more summary")
    page.click(f".more li a:has-text({title!r})")
    expect(page.locator(".more [aria-current=page]")).to_contain_text(title)


def said(page: Page, window: Watched, *statuses: str) -> str:
    """What the page says of a refusal; the browser's own complaint of the status is expected."""
    text = page.get_by_role("alert").inner_text()
    window.complaints[:] = [c for c in window.complaints if not any(each in c for each in statuses)]
    return text


@contextmanager
def browser(url: str, name: str = "") -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers={"Accept": "text/html", "Origin": url}, timeout=30) as made:
        if name:
            entered = made.post("/sign-in", data={"name": name, "password": PASSWORD})
            assert entered.status_code == 303, entered.text[-400:]
        yield made


def a_request(ctx: Context) -> int:
    """That the operator's colleague asked for; waiting."""
    somebody = Principal("operator", "nobody-here", frozenset({Role.ADMIN}), "demo")
    lamp = Address("demo", "bahnhof-nord")
    with pytest.raises(Conflict) as asked:
        standing.change_state(ctx, somebody, lamp, DeviceState.DECOMMISSIONED)
    return int(asked.value.members["request"])


def walk(person: httpx.Client, path: str, what: str) -> list[str]:
    """Everything that is listed from `path` on, page after page."""
    found: list[str] = []
    for _ in range(50):
        text = person.get(path).text
        found += re.findall(what, text)
        further = re.search(r'class="further"><a href="([^"]+)"', text)
        if further is None:
            return found
        path = further[1].replace("&amp;", "&")
    raise AssertionError("the pages have no end")
