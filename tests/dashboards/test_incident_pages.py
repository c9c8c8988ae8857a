"""Working incidents in a real browser, with the real services on a real database, as two people."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from fleet_server.access import rules, service
from fleet_server.auditor import service as auditor
from fleet_server.decisions import service as decisions
from tests.dashboards.accessibility import grave
from tests.dashboards.city import Unit, minute
from tests.dashboards.conftest import NAME, Console, Open, Watched
from tests.dashboards.trouble import Trouble, clear, follow_air, incident, plume, trouble

pytestmark = pytest.mark.browser

VIEWER, PASSWORD = "vic", "looks but does not touch"
LINES = (
    "() => document.querySelector('.canvas').chart.getOption().series.filter(s => s.id.startsWith('line-'))"
)


@pytest.fixture(scope="module")
def city(console: Console) -> Console:
    """The console's city, where three lampposts saw the same smoke, and a viewer's account."""
    units = [console.units["bahnhof-nord"]]
    for name in ("markt-1", "muenster-2"):
        units.append(console.city.sensor(console.city.lamppost(name, name), "pms5003"))
        plume(console.city, units[-1], 70, 18)
    follow_air(console.city, units)
    with console.context() as context:
        service.create_operator(context, rules.CONSOLE, VIEWER, PASSWORD, (rules.Role.VIEWER,))
    return console


@pytest.fixture
def troubled(city: Console) -> Iterator[Trouble]:
    """Three incidents; none is left behind."""
    units = [city.units["bahnhof-nord"], *_others(city)]
    yield trouble(city.city, units)
    clear(city.city)


def _others(console: Console) -> list[Unit]:
    rows = console.city.execute(
        "SELECT u.device_id, u.id FROM sensor_unit u JOIN device d ON d.id = u.device_id"
        " WHERE d.name IN ('markt-1', 'muenster-2') ORDER BY d.name"
    )
    return [Unit(device, unit, ()) for device, unit in rows]


def opened(window: Watched, console: Console, number: int) -> Page:
    window.sign_in(console.url, f"/incidents/{number}")
    expect(window.page.locator("#incident-title")).not_to_have_text("")
    return window.page


def looking(window: Watched, console: Console, path: str) -> Page:
    """The same address, seen by somebody who may look only."""
    page = window.page
    page.goto(console.url + path)
    page.fill("#name", VIEWER)
    page.fill("#password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector(".bar .city")
    return page


def test_the_open_ones_come_first_and_the_counts_are_right(
    city: Console, troubled: Trouble, browse: Open
) -> None:
    window = browse()
    window.sign_in(city.url, "/incidents")
    page = window.page
    rows = page.locator("[data-incident]")
    expect(rows).to_have_count(1)
    expect(page.locator(".incident-table")).to_contain_text("not acknowledged")
    expect(page.get_by_role("button", name="closed 2")).to_be_visible()
    page.get_by_role("button", name="all 3").click()
    expect(rows).to_have_count(3)
    expect(rows.first).to_have_attribute("data-incident", str(troubled.open))
    expect(page.locator(".incident-table")).to_contain_text("late")
    page.select_option("label:has-text('Severity') select", "minor")
    expect(rows).to_have_count(1)
    expect(page).to_have_url(re.compile("severity=minor"))
    page.reload()
    expect(rows).to_have_count(1)
    expect(rows.first).to_have_attribute("data-incident", str(troubled.closed))
    page.select_option("label:has-text('District') select", "")
    page.select_option("label:has-text('Severity') select", "")
    page.select_option("label:has-text('Time') select", "24h")
    expect(rows).to_have_count(2)


def test_the_keyboard_walks_the_list_and_opens_one(city: Console, troubled: Trouble, browse: Open) -> None:
    window = browse()
    window.sign_in(city.url, "/incidents?state=all")
    page = window.page
    expect(page.locator("[data-incident]")).to_have_count(3)
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator(f"[data-incident='{troubled.closed}']")).to_be_focused()
    page.keyboard.press("k")
    expect(page.locator(f"[data-incident='{troubled.open}']")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{city.url}/incidents/{troubled.open}")
    expect(page.locator("#incident-title")).to_contain_text("Episode at Altstadt")
    page.keyboard.press("u")
    expect(page).to_have_url(f"{city.url}/incidents")


def test_without_any_the_page_says_since_when(city: Console, troubled: Trouble, browse: Open) -> None:
    window = browse()
    window.sign_in(city.url)
    page = window.page
    with city.context() as context:
        decisions.close(context, rules.CONSOLE, troubled.open, "over")
    page.goto(f"{city.url}/incidents")
    expect(page.locator(".calm h2")).to_have_text(re.compile(r"No incident since \d{4}-\d\d-\d\d \d\d:\d\d"))
    clear(city.city)
    expect(page.locator(".calm h2")).to_have_text("No incident so far", timeout=30_000)


def test_a_new_incident_appears_without_a_reload(city: Console, troubled: Trouble, browse: Open) -> None:
    window = browse()
    window.sign_in(city.url, "/incidents")
    page = window.page
    expect(page.locator("[data-incident]")).to_have_count(1)
    made = incident(city.city, "Episode at Zoo", [city.units["rathaus"]], minute(3), severity="minor")
    expect(page.locator(f"[data-incident='{made}']")).to_be_visible(timeout=30_000)
    expect(page.locator("#live")).to_contain_text("Episode at Zoo")
    assert troubled.open != made


def test_the_evidence_is_charted_with_words_and_a_table(
    city: Console, troubled: Trouble, browse: Open
) -> None:
    page = opened(browse(), city, troubled.open)
    expect(page.locator(".keys-of-lines li")).to_have_count(3, timeout=30_000)
    lines = page.evaluate(LINES)
    assert {line["name"] for line in lines} == {"bahnhof-nord", "markt-1", "muenster-2"}
    assert max(v for _, v in next(x["data"] for x in lines if x["name"] == "markt-1") if v) > 60
    assert len(lines[0]["markLine"]["data"]) == 3, "each lamppost's first verdict is marked"
    picture = page.get_by_role("img", name=re.compile("PM2.5, corrected.*bahnhof-nord: latest"))
    expect(picture).to_be_visible()
    page.locator(".as-table summary").first.click()
    expect(page.locator(".as-table table").first).to_contain_text("markt-1")
    verdicts = page.locator(".verdicts")
    expect(verdicts).to_contain_text("PM2.5 rose from 12 to 84")
    expect(verdicts).to_contain_text("air_anomaly@1.0.0/litert")
    expect(page.locator(".timeline")).to_contain_text("moderate instead of minor")
    expect(page).to_have_title(re.compile("Episode at Altstadt.* - Lamppost demo"))
    expect(page.locator(".members a").first).to_have_attribute("href", "/lamppost/demo/bahnhof-nord")


def test_what_one_does_the_other_sees(city: Console, troubled: Trouble, browse: Open) -> None:
    page = opened(browse(), city, troubled.open)
    other = looking(browse(), city, f"/incidents/{troubled.open}")
    expect(other.locator("#incident-title")).to_contain_text("Episode at Altstadt")
    expect(other.locator(".actions")).to_have_count(0)
    why = page.locator(".actions").get_by_label("Why (optional)")
    why.fill("a \u202e trick")
    page.click("button:text-is('Acknowledge')")
    expect(page.locator(".incident-head [role=alert]")).to_contain_text("A reason is one line of text")
    why.fill("I stand there")
    why.press("Enter")
    expect(other.locator(".incident-head")).to_contain_text(f"by {NAME[0]}.", timeout=30_000)
    expect(other.locator(".timeline")).to_contain_text("I stand there")
    expect(page.locator("button:text-is('Acknowledge')")).to_have_count(0)
    page.click("text=Silence…")
    page.click("dialog label:has-text('4 hours')")
    page.locator("dialog").get_by_label("Why (optional)").fill("works until noon")
    page.click("dialog button:text-is('Silence')")
    expect(other.locator(".timeline")).to_contain_text("works until noon", timeout=30_000)
    why.fill("they are done")
    page.click("text=End the silence")
    expect(other.locator(".timeline")).to_contain_text("Silence ended", timeout=30_000)
    page.click("text=Add a note…")
    page.fill("dialog textarea", "Fire brigade is told.\n<b>Wind from the east.</b>")
    page.click("text=Keep the note")
    expect(other.locator(".timeline .said").first).to_contain_text(
        "<b>Wind from the east.</b>", timeout=30_000
    )
    page.click("text=Close…")
    page.select_option("dialog select", label="A known source: works, a feast, fire drill")
    page.fill("dialog textarea", "training of the brigade")
    page.click("text=Close it")
    expect(other.locator(".incident-head .state")).to_have_text("closed", timeout=30_000)
    expect(other.locator(".incident-head")).to_contain_text("fire drill: training of the brigade")
    assert city.city.execute("SELECT closed_by FROM incident WHERE id = %s", troubled.open) == [(NAME,)]
    with city.context() as context:
        lines = auditor.lines(context, rules.CONSOLE, auditor.Wanted(action="incidents:work", who=NAME), 5)
    assert [line.reason for line in reversed(lines)] == [
        "I stand there",
        "works until noon",
        "they are done",
        "Fire brigade is told.\n<b>Wind from the east.</b>",
        "A known source: works, a feast, fire drill: training of the brigade",
    ]


def test_one_that_became_part_of_another_leads_there_and_offers_nothing(
    city: Console, troubled: Trouble, browse: Open
) -> None:
    city.city.execute(
        "UPDATE incident SET state = 'merged', merged_into = %s WHERE id = %s", troubled.open, troubled.closed
    )
    page = opened(browse(), city, troubled.closed)
    link = page.locator(".incident-head .note a")
    expect(link).to_have_attribute("href", f"/incidents/{troubled.open}")
    expect(page.locator(".actions button")).to_have_count(0)


def test_closing_can_be_left_and_another_reason_needs_words(
    city: Console, troubled: Trouble, browse: Open
) -> None:
    page = opened(browse(), city, troubled.open)
    page.click("text=Close…")
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.click("text=Close…")
    page.select_option("dialog select", label="Another reason")
    page.fill("dialog textarea", "   ")
    page.click("text=Close it")
    expect(page.locator("dialog [role=alert]")).to_contain_text("Say why.")
    page.click("text=Leave it")
    assert city.city.execute("SELECT state FROM incident WHERE id = %s", troubled.open) == [("open",)]


def test_who_comes_second_is_told_who_was_first(city: Console, troubled: Trouble, browse: Open) -> None:
    page = opened(browse(), city, troubled.open)
    page.click("text=Close…")
    with city.context() as context:
        ola = rules.Principal("operator", "ola", frozenset({rules.Role.OPERATOR}))
        decisions.acknowledge(context, ola, troubled.open)
    expect(page.locator(".timeline")).to_contain_text("by ola", timeout=30_000)
    page.evaluate("window.lamppost.store.incident.head.version -= 1")  # as if the news had not come yet
    page.click("text=Close it")
    told = page.locator("dialog [role=alert]")
    expect(told).to_contain_text("Nothing was changed")
    expect(told).to_contain_text("ola: acknowledged")
    assert city.city.execute("SELECT state FROM incident WHERE id = %s", troubled.open) == [("open",)]


def test_a_viewer_who_sends_it_all_the_same_is_refused(
    city: Console, troubled: Trouble, browse: Open
) -> None:
    page = looking(browse(), city, f"/incidents/{troubled.open}")
    expect(page.locator("#incident-title")).to_contain_text("Episode at Altstadt")
    page.evaluate("window.lamppost.store.may = { work: true }")
    page.click("button:text-is('Acknowledge')")
    expect(page.locator(".incident-head [role=alert]")).to_contain_text("may not", timeout=30_000)
    assert city.city.execute("SELECT acknowledged_by FROM incident WHERE id = %s", troubled.open) == [("",)]


def test_the_database_away_is_told_and_nothing_is_lost(
    city: Console, troubled: Trouble, browse: Open
) -> None:
    page = opened(browse(), city, troubled.open)
    expect(page.locator(".keys-of-lines li")).to_have_count(3, timeout=30_000)
    page.click("text=Add a note…")
    page.fill("dialog textarea", "written while the database was away")
    try:
        city.city.allow_connections(False)
        expect(page.locator("[data-notice=fault]")).to_contain_text("does not answer", timeout=30_000)
        page.click("text=Keep the note")
        expect(page.locator("dialog [role=alert]")).to_be_visible(timeout=30_000)
        expect(page.locator("#incident-title")).to_contain_text("Episode at Altstadt")
    finally:
        city.city.allow_connections(True)
    expect(page.locator("[data-notice=fault]")).to_have_count(0, timeout=30_000)
    page.click("text=Keep the note")
    expect(page.locator(".timeline")).to_contain_text("written while the database was away", timeout=30_000)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/incidents/x1", "No such incident"),
        ("/incidents/99999999", "There is no incident 99999999."),
        ("/incidents/0", "No such incident"),
        ("/incidents/%3Cscript%3E", "No such incident"),
        ("/incidents/1%00", "No such incident"),
        ("/incidents/99999999999999999999999999", "No such incident"),
        ("/incidents?state=purple&severity=terrible&time=soon", "state “purple”"),
    ],
)
def test_garbage_in_the_address_gets_a_clear_page(city: Console, browse: Open, path: str, words: str) -> None:
    window = browse()
    window.sign_in(city.url, path)
    expect(window.page.locator(".work")).to_contain_text(words)
    assert "Traceback" not in window.page.content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_stops_anybody_from_using_them(
    city: Console, troubled: Trouble, browse: Open, scheme: str
) -> None:
    page = opened(browse(scheme=scheme), city, troubled.open)
    expect(page.locator(".keys-of-lines li")).to_have_count(3, timeout=30_000)
    page.locator(".as-table summary").first.click()
    assert grave(page) == []
    page.click("text=Silence…")
    page.click("dialog label:has-text('a time of its own')")
    assert grave(page) == []
    page.click("text=Leave it")
    page.goto(f"{city.url}/incidents?state=all")
    expect(page.locator("[data-incident]")).to_have_count(3)
    assert grave(page) == []
    page.goto(f"{city.url}/incidents?district=Nowhere")
    expect(page.locator(".calm")).to_be_visible()
    assert grave(page) == []


@pytest.mark.parametrize("width", [360, 1024])
def test_nothing_hangs_over_the_edge(city: Console, troubled: Trouble, browse: Open, width: int) -> None:
    window = browse(width=width, height=800)
    page = opened(window, city, troubled.open)
    expect(page.locator(".keys-of-lines li")).to_have_count(3, timeout=30_000)
    overhang = "document.documentElement.scrollWidth - window.innerWidth"
    assert page.evaluate(overhang) <= 0
    page.goto(f"{city.url}/incidents?state=all")
    expect(page.locator("[data-incident]")).to_have_count(3)
    assert page.evaluate(overhang) <= 0
