"""The page of one lamppost in a real browser, with the real services on a real database."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from fleet_server.access import rules, service
from fleet_server.auditor import service as auditor
from fleet_server.enrolment import service as enrolment
from tests.dashboards.accessibility import grave
from tests.dashboards.city import minute
from tests.dashboards.conftest import Console, Open, Watched
from tests.dashboards.trouble import follow_air, plume, trouble
from tests.support.mosquitto import make_request

pytestmark = pytest.mark.browser

POST = "/lamppost/demo/kai-3"
DRAWN = "() => document.querySelectorAll('.canvas')[{0}].chart.getOption().series"
ODD = [["wind_speed", "m/s", -1], ["q7", "1", 0]]


@pytest.fixture(scope="module")
def city(console: Console) -> Console:
    """The console's city and a lamppost with hours of air, a stuck sensor, an odd one and verdicts."""
    town = console.city
    post = town.lamppost("kai-3", "Kai 3, crane")
    unit = town.sensor(post, "pms5003", serial="p1", site="3 m up")
    plume(town, unit, 90, 20, back=14 * 60)
    follow_air(town, [unit])
    town.execute(
        "UPDATE device SET district = 'Hafen', cell = 'u1hcvk', agent_version = '0.2.0', settings = %s"
        " WHERE id = %s",
        json.dumps({"model": "rule@1 because the model failed its golden vector"}), post,
    )  # fmt: skip
    town.execute(
        "INSERT INTO device_condition (device_id, code, subject, severity, detail, remedy, raised_at)"
        " VALUES (%s, 'sensor_stuck', 'pms5003', 'error', 'PM2.5 stands still.', 'Power-cycle it.', now())",
        post,
    )  # fmt: skip
    odd = town.execute(
        "INSERT INTO sensor_unit (device_id, kind, serial, site, layout, declared_at)"
        " VALUES (%s, 'zx9000', '', '', %s, now()) RETURNING id",
        post, json.dumps(ODD),
    )[0][0]  # fmt: skip
    for slot, channel in enumerate(ODD):
        town.execute(
            "INSERT INTO series (sensor_unit_id, slot, channel, unit, exponent) VALUES (%s, %s, %s, %s, %s)",
            odd, slot, *channel,
        )  # fmt: skip
        town.execute(
            f"INSERT INTO latest_unit (sensor_unit, slots, time, s{slot}, flags) VALUES (%s, %s, %s, 34, %s)",
            odd, 1 << slot, minute(1), 2 << 4 * slot,
        )  # fmt: skip
    trouble(town, [unit])
    with console.context() as context:
        service.create_operator(
            context, rules.CONSOLE, "vic", "looks but does not touch", (rules.Role.VIEWER,)
        )
    return console


def opened(window: Watched, console: Console, path: str = POST) -> Page:
    window.sign_in(console.url, path)
    expect(window.page.locator("#post-title")).not_to_have_text("")
    return window.page


def whys(console: Console, action: str, most: int) -> list[str]:
    """The reasons of the newest lines of the audit log about it, newest first."""
    with console.context() as context:
        return [
            line.reason for line in auditor.lines(context, rules.CONSOLE, auditor.Wanted(action=action), most)
        ]


def test_it_tells_who_where_and_how_it_does(city: Console, browse: Open) -> None:
    page = opened(browse(), city)
    head = page.locator(".post-head")
    expect(page.locator("#post-title")).to_have_text("kai-3")
    expect(page).to_have_title("kai-3 - Lamppost demo")
    for words in ("Kai 3, crane, Hafen", "online", "data fresh", "0.2.0", "cell u1hcvk", "none issued here"):
        expect(head).to_contain_text(words)
    expect(head).to_contain_text("the rule rule@1, because the model failed its golden vector")
    conditions = page.locator("section:has(#conditions-title)")
    expect(conditions).to_contain_text("PM2.5 stands still.")
    expect(conditions).to_contain_text("Power-cycle it.")
    sensors = page.locator("section:has(#units-title)")
    expect(sensors.locator("li", has_text="PMS5003")).to_contain_text("Sensor stuck")
    expect(sensors.locator("li", has_text="ZX9000")).to_contain_text("well")


def test_every_channel_can_be_drawn_known_or_not(city: Console, browse: Open) -> None:
    page = opened(browse(), city)
    rows = page.locator(".channels tbody tr")
    expect(rows).to_have_count(5)
    expect(rows.filter(has_text="Wind speed")).to_contain_text("3.4")
    expect(page.locator(".channels tr[aria-current=true]")).to_contain_text("PM2.5")
    page.get_by_role("button", name="PM10", exact=True).click()
    expect(page.locator(".channels tr[aria-current=true]")).to_contain_text("PM10")
    expect(page.get_by_role("img", name=re.compile("^PM10, .*latest"))).to_be_visible(timeout=30_000)
    expect(page).to_have_url(re.compile(r"series=\d+"))
    page.reload()
    expect(page.locator(".channels tr[aria-current=true]")).to_contain_text("PM10")
    page.get_by_role("button", name="Q7").click()
    expect(page.locator(".over").first).to_have_text("No sample in this range.", timeout=30_000)


def test_the_time_range_is_kept_in_the_address(city: Console, browse: Open) -> None:
    page = opened(browse(), city)
    expect(page.get_by_role("img", name=re.compile("^PM2.5, .*latest")).first).to_be_visible(timeout=30_000)
    page.click(".periods span:text-is('24 h')")
    page.wait_for_function(
        "window.lamppost.store.post_chart?.to - window.lamppost.store.post_chart?.from === 864e5"
    )
    expect(page).to_have_url(re.compile("range=24h"))
    page.click(".periods span:text-is('custom')")
    page.fill("input[type=datetime-local] >> nth=0", "2026-01-02T03:00")
    page.fill("input[type=datetime-local] >> nth=1", "2026-01-01T03:00")
    page.click("text=Show")
    expect(page.locator(".own-time [role=alert]")).to_contain_text("not after")
    page.fill("input[type=datetime-local] >> nth=1", "2026-01-02T05:30")
    page.click("text=Show")
    page.wait_for_function(
        "window.lamppost.store.post_chart?.to - window.lamppost.store.post_chart?.from === 9e6"
    )
    expect(page.locator(".over").first).to_have_text("No sample in this range.")
    expect(page).to_have_url(re.compile("from=2026-01-0"))
    page.reload()
    page.wait_for_function(
        "window.lamppost.store.post_chart?.to - window.lamppost.store.post_chart?.from === 9e6"
    )


def test_raw_stands_against_corrected_and_the_index_names_its_table(city: Console, browse: Open) -> None:
    page = opened(browse(), city, f"{POST}?range=24h")
    corrected = page.locator("section:has(#corrected-title)")
    expect(corrected.locator(".keys-of-lines")).to_contain_text("as the sensor gave it", timeout=30_000)
    expect(corrected).to_contain_text("none@1")
    index = page.locator("section:has(#index-title)")
    expect(index).to_contain_text("us-aqi@2024-05-06", timeout=30_000)
    expect(index.locator(".bands li")).to_have_count(6)
    page.wait_for_function("window.lamppost.store.post_index?.bars.length > 8")
    index.locator("summary").click()
    expect(index.locator("table")).to_contain_text("Moderate")
    index.locator("select").select_option(label="European Air Quality Index")
    expect(index).to_contain_text("eu-eaqi@2024", timeout=30_000)
    expect(page).to_have_url(re.compile("index=eu"))


def test_verdicts_with_reasons_and_the_incidents_they_belong_to(city: Console, browse: Open) -> None:
    page = opened(browse(), city, f"{POST}?range=24h")
    verdicts = page.locator(".verdicts")
    expect(verdicts).to_contain_text("sensor stuck", timeout=30_000)
    expect(verdicts).to_contain_text("Nothing moved for 40 minutes")
    expect(verdicts).to_contain_text("rule@1")
    expect(verdicts).to_contain_text("model air_anomaly@1.0.0/litert")
    link = page.locator("section:has(#part-title) a", has_text="Episode at Altstadt")
    expect(link).to_be_visible()
    link.click()
    expect(page.locator("#incident-title")).to_contain_text("Episode at Altstadt")


def test_a_calibration_is_entered_after_a_clear_question(city: Console, browse: Open) -> None:
    page = opened(browse(), city)
    page.click("text=Enter a calibration…")
    page.fill("dialog label:has-text('Slope') input", "0.5")
    page.fill("dialog label:has-text('Offset') input", "2")
    page.fill("dialog label:has-text('Measured against') input", "station Bonn, two weeks")
    page.fill("dialog label:has-text('Holds from') input", "2026-01-01T00:00")
    page.locator("dialog").get_by_label("Why (optional)").fill("a year has passed")
    page.click("text=Check it")
    sure = page.locator("dialog.ask")
    expect(sure).to_contain_text("This changes the past.")
    expect(sure).to_contain_text("0.5 × reading + 2")
    expect(sure).to_contain_text("12.0")  # of a reading of 20
    assert city.city.execute("SELECT count(*) FROM calibration") == [(0,)]
    page.click("text=Enter it and correct the past")
    units = page.locator("section:has(#units-title)")
    expect(units).to_contain_text("0.5 × reading + 2", timeout=30_000)
    expect(units).to_contain_text("holds now")
    expect(units).to_contain_text("station Bonn, two weeks")
    expect(page.locator("section:has(#corrected-title)")).to_contain_text(
        "this unit's own calibration", timeout=30_000
    )
    assert whys(city, "calibrations:change", 1) == ["a year has passed"]
    city.city.execute("DELETE FROM calibration")


def test_a_calibration_that_makes_no_sense_is_refused_in_the_dialog(city: Console, browse: Open) -> None:
    page = opened(browse(), city)
    page.click("text=Enter a calibration…")
    page.fill("dialog label:has-text('Slope') input", "-4000")
    page.fill("dialog label:has-text('Measured against') input", "a guess")
    page.click("text=Check it")
    page.click("text=Enter it and correct the past")
    expect(page.locator("dialog [role=alert]")).to_contain_text(re.compile("slope", re.IGNORECASE))
    assert city.city.execute("SELECT count(*) FROM calibration") == [(0,)]


def test_a_viewer_is_offered_no_calibration_and_no_command_and_refused_both(
    city: Console, browse: Open
) -> None:
    page = browse().page
    page.goto(city.url + POST)
    page.fill("#name", "vic")
    page.fill("#password", "looks but does not touch")
    page.keyboard.press("Enter")
    expect(page.locator("section:has(#units-title)")).to_contain_text("PMS5003", timeout=30_000)
    expect(page.locator("text=Enter a calibration…")).to_have_count(0)
    orders = page.locator("section:has(#orders-title)")
    expect(orders).to_contain_text("It was told nothing yet.")
    expect(orders.get_by_role("button")).to_have_count(0)
    page.evaluate("window.lamppost.store.may = { calibrate: true, command: true, commands: true }")
    orders.get_by_role("button", name="Tell it", exact=True).click()
    expect(orders.locator("[role=alert]")).to_contain_text("may not", timeout=30_000)
    page.click("text=Enter a calibration…")
    page.fill("dialog label:has-text('Measured against') input", "nothing")
    page.click("text=Check it")
    page.click("text=Enter it and correct the past")
    expect(page.locator("dialog [role=alert]")).to_contain_text("may not", timeout=30_000)


def test_the_certificate_is_told_and_when_it_is_shut_out(city: Console, browse: Open) -> None:
    with city.context() as context:
        made = enrolment.make_claim(context, rules.CONSOLE, "tor-1", "Gate")
        claim, _, secret = made.token.partition(".")
        asked = enrolment.request_certificate(context, claim, secret, make_request("demo/tor-1")[0])
        enrolment.accept(context, rules.CONSOLE, asked.enrolment.id)
    page = opened(browse(), city, "/lamppost/demo/tor-1")
    head = page.locator(".post-head")
    expect(head).to_contain_text("CN=demo/tor-1", timeout=30_000)
    expect(head).to_contain_text(re.compile(r"valid, \d+ days left"))
    expect(head).to_contain_text("never seen")
    expect(page.locator("section:has(#channels-title)")).to_contain_text("nothing to draw")
    city.city.execute("UPDATE certificate SET revoked_at = now() WHERE device = 'tor-1'")
    expect(head).to_contain_text("shut out", timeout=30_000)


def test_what_changes_shows_without_a_reload(city: Console, browse: Open) -> None:
    page = opened(browse(), city, "/lamppost/demo/rathaus?range=24h")
    expect(page.locator(".post-head")).to_contain_text("Nothing new for 3 h")
    expect(page.locator(".post-head")).to_contain_text("not connected")
    city.city.sample(city.units["rathaus"], minute(0), [444, 555])
    expect(page.locator(".channels")).to_contain_text("44.4", timeout=30_000)
    expect(page.locator(".post-head")).to_contain_text("data fresh")
    city.city.execute("DELETE FROM latest_unit WHERE time > now() - interval '1 hour' AND s0 = 444")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/lamppost/demo/nobody", "There is no device demo/nobody."),
        ("/lamppost/elsewhere/kai-3", "No such lamppost"),
        ("/lamppost/DEMO/K%C3%A4i", "A lamppost's name has a to z"),
        ("/lamppost/demo/%3Cimg%20src=x%20onerror=alert(1)%3E", "No such lamppost"),
        ("/lamppost/demo/" + "x" * 300, "No such lamppost"),
        (f"{POST}?from=yesterday&to=now", "“yesterday” is no instant"),
        (f"{POST}?range=forever", "There is no range “forever”"),
        (f"{POST}?series=-1&index=mars", "PM2.5"),
        (f"{POST}?series=999999999", "PM2.5"),
    ],
)
def test_garbage_in_the_address_gets_a_clear_page(city: Console, browse: Open, path: str, words: str) -> None:
    window = browse()
    window.sign_in(city.url, path)
    expect(window.page.locator(".work")).to_contain_text(words, timeout=30_000)
    assert "Traceback" not in window.page.content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_stops_anybody_from_using_it(city: Console, browse: Open, scheme: str) -> None:
    page = opened(browse(scheme=scheme), city, f"{POST}?range=24h")
    expect(page.locator("section:has(#index-title) summary")).to_be_visible(timeout=30_000)
    expect(page.locator(".verdicts")).to_be_visible(timeout=30_000)
    assert grave(page) == []
    page.click(".periods span:text-is('custom')")
    page.click("text=Enter a calibration…")
    assert grave(page) == []
    page.goto(f"{city.url}/lamppost/demo/nobody")
    expect(page.locator(".calm")).to_be_visible()
    assert grave(page) == []


@pytest.mark.parametrize("width", [360, 1024])
def test_nothing_hangs_over_the_edge(city: Console, browse: Open, width: int) -> None:
    page = opened(browse(width=width, height=800), city, f"{POST}?range=24h")
    expect(page.locator(".verdicts")).to_be_visible(timeout=30_000)
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0


def test_it_is_told_things_by_who_may_and_says_what_came_of_them(city: Console, browse: Open) -> None:
    page = opened(browse(), city)
    part = page.locator("section:has(#orders-title)")
    expect(part).to_contain_text("It was told nothing yet.")
    part.get_by_label("Tell it to").select_option("sensors")
    part.get_by_label("Why").fill("it smells")
    part.get_by_role("button", name="Tell it", exact=True).click()
    row = part.locator("tbody tr").first
    expect(row).to_contain_text("Read each sensor once")
    expect(row).to_contain_text("queued")
    expect(row).to_contain_text("mara")
    city.city.execute(
        "UPDATE command SET state = 'failed', detail = '0 of 1 sensors answer',"
        " result = '{\"sensor.front\": \"sensor_silent: no frame\"}' WHERE name = 'sensors'"
    )
    expect(row).to_contain_text("sensor_silent: no frame", timeout=30_000)
    part.get_by_label("Tell it to").select_option("bundle")
    part.get_by_role("button", name="Tell it", exact=True).click()
    expect(row).to_contain_text("Send a support bundle")
    row.get_by_role("button", name="Take back").click()
    taking = row.get_by_label("Why (optional)")
    expect(taking).to_be_focused()
    assert grave(page) == []
    taking.fill("told twice")
    taking.press("Enter")
    expect(row).to_contain_text("canceled")
    assert whys(city, "devices:command", 3) == ["told twice", "", "it smells"]
    city.city.execute(
        "WITH c AS (SELECT id FROM command WHERE name = 'bundle'), f AS (INSERT INTO command_file"
        " SELECT id, 'demo', 'bundle.tar.zst', 3, sha256('abc'), now() FROM c)"
        " INSERT INTO command_piece (command_id, index, tenant, data) SELECT id, 0, 'demo', 'abc' FROM c"
    )
    with page.expect_download() as saved:
        row.get_by_role("button", name="Save the file").click()
    assert saved.value.path().read_bytes() == b"abc"
    assert saved.value.suggested_filename.endswith("-bundle.tar.zst")
    assert grave(page) == []
