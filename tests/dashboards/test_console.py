"""The operator's page in a real browser, over a real database."""

from __future__ import annotations

import re
import stat
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from fleet_server.access import rules
from fleet_server.enrolment import service as enrolment
from tests.dashboards.city import minute
from tests.dashboards.conftest import NAME, PASSWORD, Console, Open, Watched
from tests.support.mosquitto import make_request
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser

CHART = "() => window.lamppost.chart.getOption().series.find(s => s.id === '{0}').data"


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
    expect(window.page.locator(".bar .city")).to_have_text("demo")
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


def test_the_filter_and_the_chips_narrow_the_list(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    rows = window.page.locator("tr[data-id]")
    expect(rows).to_have_count(3)
    window.page.fill("input[type=search]", "gasse")
    expect(rows).to_have_count(1)
    window.page.fill("input[type=search]", "nothing like it")
    window.page.click("text=Show all")
    expect(rows).to_have_count(3)
    window.page.click("button:has-text('not online')")
    expect(rows).to_have_count(2)


def test_the_picked_lamppost_shows_chart_conditions_sensors_and_readings(
    console: Console, browse: Open
) -> None:
    window = browse()
    window.sign_in(console.url)
    window.pick("bahnhof-nord")
    page = window.page
    points = page.evaluate(CHART.format("line"))
    values = [value for _, value in points]
    assert len([v for v in values if v is not None]) >= 25
    assert values.count(None) >= 1, "a gap must break the line"
    assert {12, 13, 14} >= {v for v in values if v is not None}
    areas = page.evaluate(
        "() => window.lamppost.chart.getOption().series.find(s => s.id === 'line').markArea.data"
    )
    assert any(360_000 <= to["xAxis"] - start["xAxis"] <= 480_000 for start, to in areas)
    assert len(page.evaluate(CHART.format("flagged"))) == 1
    expect(page.get_by_role("img", name=re.compile("PM2.5 over the last 6h"))).to_be_visible()
    expect(page.locator("section:has(#sensors-title)")).to_contain_text("PMS5003")
    expect(page.locator("section:has(#readings-title)")).to_contain_text("PM10")
    window.pick("rathaus")
    trouble = page.locator("section:has(#conditions-title)")
    expect(trouble).to_contain_text("No frame for two hours.")
    expect(trouble).to_contain_text("Look at the sensor's plug.")


def test_channel_and_range_change_the_chart_and_the_address(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    window.pick("bahnhof-nord")
    page = window.page
    page.select_option("section.chart select", label="PM10")
    page.wait_for_function("window.lamppost.store.chart.title === 'PM10'")
    page.click("text='48 h'")
    page.wait_for_function("window.lamppost.store.chart.key.includes(':48h:')")
    page.click("text='1 h'")
    page.wait_for_function("window.lamppost.store.chart.key.includes(':1h:')")
    assert {v for _, v in page.evaluate(CHART.format("line")) if v is not None} == {20}
    assert "lamppost=demo%2Fbahnhof-nord" in page.url
    page.reload()
    page.wait_for_function("window.lamppost?.store.chart?.title === 'PM10'")
    expect(page.locator("input[name=range][value='1h']")).to_be_checked()


def test_a_committed_sample_appears_without_a_reload(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    window.pick("bahnhof-nord")
    page = window.page
    page.evaluate("window.same_page = true")
    before = page.evaluate("window.lamppost.store.chart.t.length")
    whole = page.evaluate("window.lamppost.store.chart.t[0]")
    console.city.sample(console.units["bahnhof-nord"], datetime.now(UTC), [9, 37, 50])
    expect(row(window, "bahnhof-nord")).to_contain_text("37")
    page.wait_for_function("before => window.lamppost.store.chart.t.length > before", arg=before)
    assert page.evaluate(CHART.format("line"))[-1][1] == 37
    expect(page.locator("section:has(#readings-title)")).to_contain_text("37")
    assert page.evaluate("window.lamppost.store.chart.t[0]") == whole
    assert page.evaluate("window.same_page") is True


def test_a_new_lamppost_appears_in_the_list(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    device = console.city.lamppost("zoo", "Zoo gate")
    expect(row(window, "zoo")).to_be_visible(timeout=10_000)
    console.city.execute("DELETE FROM device WHERE id = %s", device)
    expect(row(window, "zoo")).to_have_count(0, timeout=10_000)


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
    expect(page.locator("#pending-title")).to_have_text("1 lamppost waits to be accepted", timeout=15_000)
    page.click("text=Review")
    expect(page.locator(".finger")).to_have_text(fingerprint)
    page.click("text=Accept demo/park-1")
    expect(row(window, "park-1")).to_contain_text("never seen", timeout=15_000)
    expect(page.locator("#pending-title")).to_have_count(0)
    assert console.city.execute("SELECT state, decided_by FROM enrolment") == [("issued", NAME)]
    console.city.execute("DELETE FROM device WHERE name = 'park-1'")


def test_rejecting_asks_twice(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    page = window.page
    ask_for_enrolment(console, "park-2")
    page.click("text=Review", timeout=15_000)
    page.click("button:text-is('Reject')")
    assert console.city.execute("SELECT state FROM enrolment WHERE device = 'park-2'") == [("pending",)]
    page.click("text=Reject for good")
    expect(page.locator("#pending-title")).to_have_count(0, timeout=15_000)
    assert console.city.execute("SELECT state FROM enrolment WHERE device = 'park-2'") == [("rejected",)]


def test_the_keyboard_alone_signs_in_and_picks(console: Console, browse: Open) -> None:
    window = browse()
    page = window.page
    page.goto(console.url)
    expect(page.locator("#name")).to_be_focused()
    page.keyboard.type(NAME)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("tr[data-id]")
    page.keyboard.press("/")
    page.keyboard.type("a")
    page.keyboard.press("ArrowDown")
    expect(row(window, "bahnhof-nord")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(row(window, "rathaus")).to_be_focused()
    expect(row(window, "rathaus")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(page.locator("#detail-title")).to_be_focused()
    expect(page.locator("#detail-title")).to_have_text("rathaus")


def test_the_database_away_is_told_and_recovery_needs_nobody(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    window.pick("bahnhof-nord")
    notice = window.page.locator("[data-notice=fault]")
    try:
        console.city.allow_connections(False)
        expect(notice).to_contain_text("The database does not answer.", timeout=20_000)
        expect(row(window, "bahnhof-nord")).to_contain_text("online")
        assert len(window.page.evaluate(CHART.format("line"))) > 20
    finally:
        console.city.allow_connections(True)
    expect(notice).to_have_count(0, timeout=20_000)
    console.city.sample(console.units["rathaus"], minute(2), [444, 555])
    expect(row(window, "rathaus")).to_contain_text("44.4", timeout=20_000)


@pytest.mark.parametrize("width", [390, 1024])
def test_nothing_hangs_over_the_edge(console: Console, browse: Open, width: int) -> None:
    window = browse(width=width, height=844)
    window.sign_in(console.url)
    page = window.page
    page.wait_for_selector("tr[data-id]")
    overhang = "document.documentElement.scrollWidth - window.innerWidth"
    assert page.evaluate(overhang) <= 0
    window.pick("rathaus")
    assert page.evaluate(overhang) <= 0
    if width == 390:
        expect(page.locator("section.list")).to_be_hidden()
        page.click("text=All lampposts")
        expect(page.locator("section.list")).to_be_visible()


def test_colours_follow_the_person(console: Console, browse: Open) -> None:
    window = browse(scheme="dark")
    window.sign_in(console.url)
    page = window.page
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(15, 19, 23)"
    page.get_by_role("button", name=re.compile("Colours")).click()
    page.wait_for_function("document.documentElement.dataset.theme === 'light'")
    assert page.evaluate(background) != "rgb(15, 19, 23)"
    page.reload()
    page.wait_for_function("document.documentElement.dataset.theme === 'light'")


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
    other.sign_in(console.url)
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
    expect(page.locator("#detail-title")).to_have_text("rathaus")
    assert {c["name"]: c["value"] for c in window.context.cookies(console.url)}.keys() == before.keys()
    window.page.reload()
    expect(window.page.locator(".bar .city")).to_have_text("demo")


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

    answers = [attempt() for _ in range(9)]
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
    console.city.execute("DELETE FROM device WHERE id = %s", device)
