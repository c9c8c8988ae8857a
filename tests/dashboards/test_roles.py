"""What the page offers to whom: only what the person may do, and in an empty city how to begin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from fleet_server.access import rules, service
from fleet_server.config import load_config
from fleet_server.context import Context
from fleet_server.enrolment import service as enrolment
from tests.dashboards.conftest import Open, running_console
from tests.support.mosquitto import make_request

SET_UP = (rules.Role.ADMIN, rules.Role.OPERATOR, rules.Role.TECHNICIAN)
PASSWORD = "looks but does not touch"


@pytest.fixture
def empty(database_url: str, tmp_path: Path) -> Iterator[tuple[str, Context]]:
    """The pages of a city without lampposts; one person of each role."""
    with running_console(database_url, tmp_path) as (url, _):
        context = Context.of(load_config(tmp_path / "server.toml"))
        for role in rules.HUMAN_ROLES:
            service.create_operator(context, rules.CONSOLE, f"the-{role}", PASSWORD, (role,))
        yield url, context
        context.db.close()


def sign_in(page: Page, url: str, name: str) -> None:
    page.goto(url)
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector(".head .city")


def test_each_role_is_offered_what_it_may_do(empty: tuple[str, Context], browse: Open) -> None:
    url, context = empty
    windows = {role: browse().page for role in rules.HUMAN_ROLES}
    for role, page in windows.items():
        sign_in(page, url, f"the-{role}")
        if role is rules.Role.PARTNER:
            expect(page.locator(".list .empty")).to_contain_text("no single lamppost", timeout=30_000)
            continue
        expect(page.locator(".list .empty h3")).to_have_text("No lamppost yet", timeout=30_000)
        may_enrol = role in SET_UP
        expect(page.locator(".list .empty li")).to_have_count(3 if may_enrol else 0)
        expect(page.locator(".list .empty")).to_contain_text(
            "lamppost fleet claim new" if may_enrol else "may look on"
        )
    made = enrolment.make_claim(context, rules.CONSOLE, "gate-1")
    claim, _, secret = made.token.partition(".")
    enrolment.request_certificate(context, claim, secret, make_request("demo/gate-1")[0])
    for role, page in windows.items():
        if role is rules.Role.PARTNER:
            continue
        page.click("text=Review", timeout=30_000)
        expect(page.locator(".finger")).to_be_visible()
        buttons = page.locator("#pending-list button")
        expect(buttons).to_have_count(2 if role in SET_UP else 0)


def test_a_viewer_who_sends_the_decision_all_the_same_is_refused(
    empty: tuple[str, Context], browse: Open
) -> None:
    """Hiding is politeness; the service is the lock."""
    url, context = empty
    made = enrolment.make_claim(context, rules.CONSOLE, "gate-2")
    claim, _, secret = made.token.partition(".")
    asked = enrolment.request_certificate(context, claim, secret, make_request("demo/gate-2")[0])
    page = browse().page
    sign_in(page, url, "the-viewer")
    page.click("text=Review", timeout=30_000)
    page.evaluate("window.lamppost.store.may = { decide: true }")
    page.click("text=Accept demo/gate-2")
    expect(page.locator("#pending-list [role=alert]")).to_contain_text("may not", timeout=30_000)
    found = enrolment.get_enrolment(context, rules.CONSOLE, asked.enrolment.id)
    assert found.state is enrolment.State.PENDING
