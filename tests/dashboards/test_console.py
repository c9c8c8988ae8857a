"""The operator's page in a real browser, over a real database."""

from __future__ import annotations

import re
import stat
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from fleet_server.access import rules
from fleet_server.auditor import service as auditor
from fleet_server.enrolment import service as enrolment
from tests.dashboards.conftest import NAME, PASSWORD, Console, Open, Watched
from tests.support.mosquitto import make_request
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser


def row(window: Watched, name: str) -> Any:
    return window.page.locator(f"tr:has(strong:text-is('{name}'))")


def test_a_wrong_password_is_told_and_the_right_one_opens(console: Console, browse: Open) -> None:
    window = browse()
    window.page.goto(console.url)
    expect(window.page).to_have_url(f"{console.url}/sign-in")
    window.page.fill("#name", NAME)
    window.page.fill("#password", "not this one at all")
    window.page.click("text=Sign in >> nth=-1")
    expect(window.page.get_by_role("alert")).to_have_text("Name or password is wrong.")
    expect(window.page.locator("#password")).to_be_focused()
    assert window.page.input_value("#name") == NAME
    assert [c for c in window.complaints if "401" not in c] == []
    window.complaints.clear()  # the browser logs the refused attempt itself
    window.page.fill("#password", PASSWORD)
    window.page.keyboard.press("Enter")
    expect(window.page.locator(".head .city")).to_have_text("demo")
    window.page.click("text=Sign out")
    expect(window.page).to_have_url(f"{console.url}/sign-in")
    window.page.goto(console.url)
    expect(window.page).to_have_url(f"{console.url}/sign-in")


def test_the_list_shows_presence_freshness_value_and_trouble(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    well = row(window, "bahnhof-nord")
    expect(well).to_contain_text("online")
    expect(well).to_contain_text("fresh")
    expect(well).to_contain_text("µg/m³")
    expect(well.locator("progress")).to_be_visible()
    silent = row(window, "rathaus")
    expect(silent).to_contain_text("offline")
    expect(silent).to_contain_text("stale")
    expect(silent).to_contain_text("3 h")
    expect(silent).to_contain_text("7.1")
    expect(silent).to_contain_text("error")
    expect(row(window, "schule-west")).to_contain_text("never seen")
    expect(row(window, "schule-west")).to_contain_text("none yet")


def test_a_new_lamppost_appears_in_the_list(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    device = console.city.lamppost("zoo", "Zoo gate")
    expect(row(window, "zoo")).to_be_visible(timeout=30_000)
    console.city.forget(device)
    expect(row(window, "zoo")).to_have_count(0, timeout=30_000)


def ask_for_enrolment(console: Console, name: str) -> str:
    """A technician's claim and a lamppost's request for it; returns the key's fingerprint."""
    with console.context() as context:
        made = enrolment.make_claim(context, rules.CONSOLE, name, "Park gate")
        request, _ = make_request(f"demo/{name}")
        claim, _, secret = made.token.partition(".")
        asked = enrolment.request_certificate(context, claim, secret, request)
        return asked.enrolment.key_fingerprint


def test_a_person_compares_the_fingerprint_and_accepts(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    page = window.page
    fingerprint = ask_for_enrolment(console, "park-1")
    expect(page.locator("#pending-title")).to_have_text("1 lamppost waits to be accepted", timeout=30_000)
    page.click("text=Review")
    expect(page.locator(".finger")).to_have_text(fingerprint)
    page.get_by_label("Why (optional)").fill("its key is the one I saw")
    page.click("text=Accept demo/park-1")
    expect(row(window, "park-1")).to_contain_text("never seen", timeout=30_000)
    expect(page.locator("#pending-title")).to_have_count(0)
    assert console.city.execute("SELECT state, decided_by FROM enrolment") == [("issued", NAME)]
    [(device,)] = console.city.execute("SELECT id FROM device WHERE name = 'park-1'")
    console.city.forget(device)


def test_rejecting_asks_twice(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    page = window.page
    ask_for_enrolment(console, "park-2")
    page.click("text=Review", timeout=30_000)
    page.get_by_label("Why (optional)").fill("nobody knows this key")
    page.click("button:text-is('Reject')")
    assert console.city.execute("SELECT state FROM enrolment WHERE device = 'park-2'") == [("pending",)]
    page.click("text=Reject for good")
    expect(page.locator("#pending-title")).to_have_count(0, timeout=30_000)
    became = console.city.execute("SELECT state, reason FROM enrolment WHERE device = 'park-2'")
    assert became == [("rejected", "nobody knows this key")]
    with console.context() as ctx:
        lines = auditor.lines(ctx, rules.CONSOLE, auditor.Wanted(action="enrolments:decide", who=NAME), 2)
    assert [line.reason for line in lines] == ["nobody knows this key", "its key is the one I saw"]


def test_colours_follow_the_person(console: Console, browse: Open) -> None:
    window = browse(scheme="dark")
    window.sign_in(console.url)
    page = window.page
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(15, 19, 23)"
    page.get_by_label("Colours").select_option("light")
    page.wait_for_function("document.documentElement.dataset.theme === 'light'")
    assert page.evaluate(background) != "rgb(15, 19, 23)"
    page.reload()
    page.wait_for_function("document.documentElement.dataset.theme === 'light'")
    page.get_by_label("Colours").select_option("as the system")
    assert page.evaluate(background) == "rgb(15, 19, 23)"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/docs",
        "/openapi.json",
        "/redoc",
        "/nothing-here",
        "/assets/store.js",
        "/_nicegui/3.18.0/static/nicegui.js",
        "/_nicegui_ws/socket.io/?EIO=4&transport=polling",
    ],
)
def test_every_address_is_behind_the_login(console: Console, path: str) -> None:
    answer = httpx.get(console.url + path, headers={"accept": "text/html"})
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")
    assert httpx.get(console.url + path).status_code == 401


def test_an_address_that_leads_nowhere_has_a_page_of_its_own(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    answer = window.page.goto(f"{console.url}/nothing-here")
    assert answer is not None
    assert answer.status == 404
    expect(window.page.locator("h1")).to_have_text("This page is not here")
    window.page.click("text=To the map")
    expect(window.page.locator(".head .city")).to_have_text("demo")
    assert [c for c in window.complaints if "404" not in c] == []
    window.complaints.clear()  # the browser logs the missing page itself


def test_the_header_tells_the_street_clock_with_its_time_zone(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    expect(window.page.locator(".street")).to_contain_text(
        re.compile(r"\d\d:\d\d:\d\d\s+(UTC|GMT|[A-Z]{3,4})")
    )


def test_the_keyboard_is_explained_and_goes_to_the_areas(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    page = window.page
    page.wait_for_selector("tr[data-id]")
    page.keyboard.press("?")
    help_ = page.get_by_role("dialog", name="Keyboard")
    expect(help_).to_contain_text("Filter the lampposts")
    page.keyboard.press("Escape")
    expect(help_).to_be_hidden()
    page.keyboard.press("g")
    page.keyboard.press("i")
    expect(page).to_have_url(f"{console.url}/incidents")
    expect(page.locator(".areas a[aria-current]")).to_contain_text("Incidents")


def test_the_skip_link_is_first_and_goes_to_the_content(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    page = window.page
    page.wait_for_selector("tr[data-id]")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_the_socket_is_for_pages_of_the_same_session_and_origin(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    client = re.search(r"'?\"?client_id'?\"?: ?['\"]([0-9a-f-]{36})", window.page.content())
    assert client is not None
    query = f"?EIO=4&transport=polling&client_id={client[1]}"
    cookies = {c["name"]: c["value"] for c in window.context.cookies()}
    socket = f"{console.url}/_nicegui_ws/socket.io/{query}"
    own = httpx.get(socket, cookies=cookies)
    assert own.status_code == 200
    other = browse()
    other.sign_in(console.url, anew=True)
    theirs = {c["name"]: c["value"] for c in other.context.cookies()}
    assert httpx.get(socket, cookies=theirs).status_code == 403
    upgrade = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    address = socket.replace("polling", "websocket")
    for origin in ("https://evil.example", None):
        headers = upgrade | ({"origin": origin} if origin else {})
        assert httpx.get(address, cookies=cookies, headers=headers).status_code == 403


def test_a_link_on_another_site_does_not_sign_out(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    before = {c["name"]: c["value"] for c in window.context.cookies(console.url)}
    page = window.context.new_page()
    page.goto(console.url.replace("127.0.0.1", "localhost") + "/sign-in")  # another site than 127.0.0.1
    page.evaluate("url => { location.href = url }", f"{console.url}/?lamppost=demo/rathaus")
    expect(page.locator("#panel-title")).to_have_text("rathaus")
    assert {c["name"]: c["value"] for c in window.context.cookies(console.url)}.keys() == before.keys()
    window.page.reload()
    expect(window.page.locator(".head .city")).to_have_text("demo")


def test_a_form_from_another_site_is_refused(console: Console) -> None:
    answer = httpx.post(
        f"{console.url}/sign-in",
        data={"name": NAME, "password": PASSWORD, "next": "/"},
        headers={"origin": "https://evil.example"},
    )
    assert answer.status_code == 403


def test_failed_attempts_are_slowed_down_and_told(console: Console) -> None:
    def attempt() -> httpx.Response:
        return httpx.post(
            f"{console.url}/sign-in", data={"name": "nobody", "password": "guess" * 3, "next": "/"}
        )

    answers = [attempt()]
    while answers[-1].status_code != 429 and len(answers) < 20:  # at a slow pace it is one later
        answers.append(attempt())
    assert answers[0].status_code == 401
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert "Too many failed attempts" in answers[-1].text


def test_headers_cookies_and_files_are_tight(console: Console, browse: Open) -> None:
    sheet = httpx.get(f"{console.url}/sign-in")
    assert "script-src 'none'" in sheet.headers["content-security-policy"]
    assert sheet.headers["x-frame-options"] == "DENY"
    assert sheet.headers["cache-control"] == "no-store"
    window = browse()
    window.sign_in(console.url)
    cookies = window.context.cookies()
    assert [(c["httpOnly"], c["sameSite"]) for c in cookies] == [(True, "Strict")]
    page = httpx.get(
        console.url, cookies={c["name"]: c["value"] for c in cookies}, headers={"accept": "text/html"}
    )
    policy = page.headers["content-security-policy"]
    assert "'nonce-" in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    assert list(console.cwd.iterdir()) == [], "NiceGUI wrote into the working directory"
    stored = console.data_dir / "ui"
    assert stat.S_IMODE(stored.stat().st_mode) == 0o700
    wait_until(lambda: list(stored.glob("storage-user-*.json")), 10, "the session in the data directory")
    token = next(stored.glob("storage-user-*.json"))
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert stat.S_IMODE((console.data_dir / "ui.secret").stat().st_mode) == 0o600


def test_an_injected_script_does_not_run(console: Console, browse: Open) -> None:
    window = browse()
    name = "<img src=x onerror=window.hurt=1>"
    device = console.city.lamppost("script-post", name)
    window.sign_in(console.url)
    expect(row(window, "script-post")).to_contain_text(name)
    assert window.page.evaluate("window.hurt") is None
    console.city.forget(device)
