"""The page at `/` in a real browser, over a real database: map, list, panel, keyboard, updates."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.dashboards.city import minute
from tests.dashboards.conftest import NAME, PASSWORD, Console, Open, Watched
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser

OVERHANG = "document.documentElement.scrollWidth - window.innerWidth"


def row(window: Watched, name: str) -> Any:
    return window.page.locator(f"tr:has(strong:text-is('{name}'))")


def mark(page: Page, name: str) -> Any:
    return page.get_by_role("button", name=re.compile(f"^{name}, "))


def test_a_lamppost_is_told_by_number_shape_and_words(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    page = window.page
    well = mark(page, "bahnhof-nord")
    expect(well).to_have_attribute("aria-label", re.compile("US AQI 52, Moderate, data fresh, online"))
    expect(well).to_have_class(re.compile(r"\bl2\b"))
    expect(well.locator("text")).to_have_text("52")
    silent = mark(page, "rathaus")
    expect(silent).to_have_attribute("aria-label", re.compile("no index yet, data stale, offline, 1 open"))
    expect(silent).to_have_class(re.compile("hollow"))
    expect(silent.locator(".badge")).to_have_count(1)
    expect(silent.locator("rect.body")).to_have_count(1)  # only its cell is known
    expect(mark(page, "schule-west")).to_have_count(0)
    expect(row(window, "schule-west")).to_contain_text("no place told")


def test_the_other_index_changes_marks_legend_list_and_address(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    page = window.page
    expect(page.locator(".bands")).to_contain_text("Unhealthy for Sensitive Groups")
    page.click("text=EU EAQI")
    expect(mark(page, "bahnhof-nord").locator("text")).to_have_text("2")
    expect(page.locator(".bands")).to_contain_text("Extremely poor")
    expect(row(window, "bahnhof-nord").locator(".index")).to_have_text(re.compile("2 *Fair"))
    expect(page.locator(".districts")).to_contain_text("Fair")
    expect(page).to_have_url(re.compile("index=eu"))
    page.reload()
    expect(mark(page, "bahnhof-nord").locator("text")).to_have_text("2")


def test_the_panel_has_the_short_of_it_and_the_way_to_the_page(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    page = window.page
    mark(page, "bahnhof-nord").click()
    panel = page.locator("section.pick")
    expect(panel.locator("h2")).to_have_text("bahnhof-nord")
    expect(panel).to_contain_text("Moderate")
    expect(panel).to_contain_text("decided by PM2.5")
    expect(panel.get_by_role("img", name=re.compile("US AQI of each hour over 24 hours"))).to_be_visible()
    expect(panel.locator(".bars rect")).to_have_count(20)
    panel.get_by_text("48 h").click()
    expect(panel.get_by_role("img", name=re.compile("over 48 hours"))).to_be_visible()
    expect(page).to_have_url(re.compile("hours=48h"))
    expect(page).to_have_url(re.compile("lamppost=demo%2Fbahnhof-nord"))
    expect(row(window, "bahnhof-nord")).to_have_attribute("aria-selected", "true")
    expect(panel.get_by_role("link", name="Open bahnhof-nord")).to_have_attribute(
        "href", "/lamppost/demo/bahnhof-nord"
    )
    window.pick("rathaus")
    expect(panel).to_contain_text("No frame for two hours.")
    expect(panel).to_contain_text("place known as a cell only")
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    expect(page).not_to_have_url(re.compile("lamppost="))


def test_an_unknown_lamppost_is_told_instead_of_another(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url, "/?lamppost=demo/nope")
    page = window.page
    expect(page.locator("#missing-title")).to_have_text("There is no lamppost demo/nope")
    expect(page.locator("tr[aria-selected=true]")).to_have_count(0)
    page.click("text=Go on without it")
    expect(page.locator("#missing-title")).to_have_count(0)


def test_filter_chips_and_districts_narrow_the_list(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    page = window.page
    rows = page.locator("tr[data-id]")
    expect(rows).to_have_count(3)
    page.fill("input[type=search]", "gasse")
    expect(rows).to_have_count(1)
    expect(page.locator("#live")).to_have_text("1 lamppost shown")
    page.fill("input[type=search]", "nothing like it")
    page.click("text=Show all")
    expect(rows).to_have_count(3)
    page.click("button:has-text('not online')")
    expect(rows).to_have_count(2)
    page.click("button:has-text('without a place')")
    expect(rows).to_have_count(1)
    page.click("button.chip:has-text('all')")
    page.click("button.district:has-text('Altstadt')")
    expect(rows).to_have_count(2)
    page.click("button.chip:has-text('Altstadt')")
    expect(rows).to_have_count(3)
    page.select_option("select:has(option[value=urgent])", "urgent")
    expect(rows.first).to_contain_text("rathaus")


def test_a_long_list_has_pages_and_the_keyboard_walks_through_them(console: Console, browse: Open) -> None:
    city = console.city
    made = [city.lamppost(f"row-{i:03}", at=(41.2 + i / 1000, -8.7)) for i in range(60)]
    try:
        window = browse()
        window.sign_in(console.url)
        page = window.page
        expect(page.locator("tr[data-id]")).to_have_count(50)
        expect(page.locator(".pager")).to_contain_text("1–50 of 63")
        page.click(".pager button:text-is('Next')")
        expect(page.locator("tr[data-id]")).to_have_count(13)
        page.locator("tr[data-id]").first.focus()
        page.keyboard.press("ArrowUp")
        expect(page.locator(".pager")).to_contain_text("1–50 of 63")
        expect(page.locator("tr[data-id]").last).to_be_focused()
        page.keyboard.press("End")
        expect(row(window, "schule-west")).to_be_focused()
        assert page.locator("[role=grid]").get_attribute("aria-rowcount") == "64"
    finally:
        city.forget(*made)


def test_what_lies_on_one_spot_is_a_cluster_that_tells_the_worst(console: Console, browse: Open) -> None:
    city = console.city
    made = [city.lamppost(f"spot-{i}", at=(41.3, -8.5)) for i in range(12)]
    for i, device in enumerate(made):
        city.air(device, *((160, 4) if i == 3 else (20, 1)))
    try:
        window = browse()
        window.sign_in(console.url)
        page = window.page
        cluster = page.get_by_role(
            "button", name=re.compile("^12 lampposts, US AQI 20 to 160, worst Unhealthy")
        )
        expect(cluster).to_have_class(re.compile(r"cluster l4"), timeout=30_000)
        expect(cluster.locator("text")).to_have_text("12")
        expect(cluster.locator(".arc")).to_have_count(2)
        cluster.click()  # no zoom takes them apart: the list shows them
        expect(page.locator("tr[data-id]")).to_have_count(12)
        expect(page.locator(".chips")).to_contain_text("12 lampposts at one spot")
    finally:
        city.execute("DELETE FROM air_index WHERE device_id = ANY(%s)", made)
        city.forget(*made)


def test_an_incident_draws_a_ring(console: Console, browse: Open) -> None:
    city, device = console.city, console.units["bahnhof-nord"].device
    number = city.execute(
        "INSERT INTO incident (tenant, kind, state, severity, title, district, opened_at, first_verdict_at,"
        " last_verdict_at, late, devices, peak_score) VALUES ('demo', 'episode', 'open', 'minor', 'Smoke',"
        " 'Altstadt', now(), now(), now(), false, 1, 0.9) RETURNING id"
    )[0][0]
    city.execute(
        "INSERT INTO incident_member (incident_id, device_id, sensor_unit, first_at, last_at, peak_score,"
        " verdicts) VALUES (%s, %s, %s, now(), now(), 0.9, 1)",
        number, device, console.units["bahnhof-nord"].id,
    )  # fmt: skip
    try:
        window = browse()
        window.sign_in(console.url)
        expect(mark(window.page, "bahnhof-nord").locator(".ring")).to_have_count(1, timeout=30_000)
        expect(window.page.locator(".areas .count")).to_have_text("1")
        window.pick("bahnhof-nord")
        link = window.page.locator("section.pick").get_by_role("link", name=re.compile("open incident"))
        expect(link).to_have_attribute("href", f"/incidents/{number}")
    finally:
        city.execute("DELETE FROM incident_member WHERE incident_id = %s", number)
        city.execute("DELETE FROM incident WHERE id = %s", number)


def test_a_committed_sample_appears_without_a_reload(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    page = window.page
    expect(row(window, "bahnhof-nord")).to_be_visible()
    page.evaluate("window.same_page = true")
    console.city.sample(console.units["bahnhof-nord"], datetime.now(UTC), [9, 37, 50])
    expect(row(window, "bahnhof-nord")).to_contain_text("37")
    assert page.evaluate("window.same_page") is True


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
    expect(page.locator("#panel-title")).to_be_focused()
    expect(page.locator("#panel-title")).to_have_text("rathaus")
    page.keyboard.press("Escape")
    expect(row(window, "rathaus")).to_be_focused()


def test_the_marks_are_one_stop_of_the_tab_key_and_arrows_go_between_them(
    console: Console, browse: Open
) -> None:
    window = browse()
    window.sign_in(console.url)
    page = window.page
    expect(mark(page, "bahnhof-nord")).to_be_visible()
    assert page.locator(".map button.mark-box[tabindex='0']").count() == 1
    marks = page.locator(".map button.mark-box")
    wait_until(lambda: marks.count() == 2, 10, "both marks")
    boxes = {name: mark(page, name).bounding_box() for name in ("bahnhof-nord", "rathaus")}
    left, right = sorted(boxes, key=lambda name: boxes[name]["x"])
    mark(page, left).focus()
    page.keyboard.press("ArrowRight")
    expect(mark(page, right)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#panel-title")).to_have_text(right)


def test_the_database_away_is_told_and_recovery_needs_nobody(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    window.pick("bahnhof-nord")
    notice = window.page.locator("[data-notice=fault]")
    try:
        console.city.allow_connections(False)
        expect(notice).to_contain_text("The database does not answer.", timeout=30_000)
        expect(row(window, "bahnhof-nord")).to_contain_text("online")
        expect(mark(window.page, "bahnhof-nord")).to_be_visible()
    finally:
        console.city.allow_connections(True)
    expect(notice).to_have_count(0, timeout=30_000)
    console.city.sample(console.units["rathaus"], minute(2), [444, 555])
    expect(row(window, "rathaus")).to_contain_text("44.4", timeout=30_000)


@pytest.mark.parametrize("width", [390, 768, 1024, 1440])
def test_nothing_hangs_over_the_edge(console: Console, browse: Open, width: int) -> None:
    window = browse(width=width, height=844)
    window.sign_in(console.url)
    page = window.page
    page.wait_for_selector("tr[data-id]")
    assert page.evaluate(OVERHANG) <= 0
    window.pick("rathaus")
    assert page.evaluate(OVERHANG) <= 0
    if width == 390:  # the navigation lies where a thumb reaches it
        box = page.locator("nav.areas").bounding_box()
        assert box is not None
        assert box["y"] + box["height"] == pytest.approx(844, abs=1)


def test_the_map_asks_nobody_outside(console: Console, browse: Open) -> None:
    window = browse()
    window.sign_in(console.url)
    expect(mark(window.page, "bahnhof-nord")).to_be_visible()
    expect(window.page.locator(".degree").first).to_be_visible()
    expect(window.page.locator(".leaflet-control-scale-line")).to_be_visible()
    assert window.page.locator(".leaflet-tile").count() == 0
    assert window.hosts == {"127.0.0.1"}
