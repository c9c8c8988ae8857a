"""The pages for a phone, 360 by 780, as a technician uses them: claim, compare, picture, hand-over; a part
that is changed, a lamppost that is taken down; a claim that somebody else used, too."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dashboards import desk_view, phone_site_view, phone_view, phone_work
from dashboards.phone_data import Site, Standing, state_now
from fleet_server.access import service as access
from fleet_server.access import two_person
from fleet_server.access.rules import CONSOLE, Principal, Role
from fleet_server.access.service import SignedIn
from fleet_server.air import service as air
from fleet_server.auditor import service as auditor
from fleet_server.devices import service as devices
from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment import service as enrolment
from fleet_server.errors import Forbidden, InvalidRequest
from fleet_server.technician import service as field
from provisioning.claims import parse_token_text
from provisioning.technician.report import verify
from provisioning.technician.site_test import Line, SiteTest
from tests.dashboards import desk_office
from tests.dashboards.accessibility import grave
from tests.dashboards.conftest import NAME, Console, Open
from tests.provisioning.technician.test_photos import PLACE, PNG
from tests.support.mosquitto import make_request
from tests.support.server_context import ADMIN
from wire_contract.topics import Address

BUTTON = "button:has-text({!r})"


def unfold(page: Page, title: str) -> None:
    page.click(f"summary:text-is({title!r})")


CUT_OFF = (
    "() => [...document.querySelectorAll('main :is(.button, button)')]"
    ".filter(e => e.scrollHeight > e.clientHeight + 1 || e.scrollWidth > e.clientWidth + 1)"
    ".map(e => e.innerText)"
)


def narrow(page: Page) -> None:
    """Nothing serious for axe, nothing to scroll sideways, and every button holds its words."""
    assert page.evaluate(CUT_OFF) == []
    assert grave(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def whys(console: Console, action: str, most: int) -> list[str]:
    """The reasons of the newest lines of the audit log about it, newest first."""
    with console.context() as ctx:
        return [line.reason for line in auditor.lines(ctx, CONSOLE, auditor.Wanted(action=action), most)]


@pytest.mark.browser
def test_a_lamppost_is_set_up_compared_and_let_in(console: Console, browse: Open) -> None:
    window = browse(width=360, height=780)
    page = window.page
    window.sign_in(console.url, "/field")
    narrow(page)
    page.click("text=Set up a lamppost")
    page.fill("[name=device]", "lamp 77")
    page.get_by_label("Why (optional)").fill("a new corner")
    page.click(BUTTON.format("Make the claim"))
    expect(page.get_by_role("alert")).to_contain_text("lamp 77")
    page.fill("[name=device]", "lamp-77")
    page.fill("[name=latitude]", "41,15")
    page.fill("[name=longitude]", "-8.61")
    page.click(BUTTON.format("Make the claim"))
    token = parse_token_text(page.inner_text(".token"))
    assert token is not None
    expect(page.locator("main p").first).to_contain_text(re.compile(r"in [45] min"))
    narrow(page)
    page.click("text=Wait for the lamppost")
    expect(page.locator(".state")).to_have_text("waits for the lamppost to ask")
    expect(page.locator("dl")).to_contain_text("Good until")
    assert token.secret not in page.content() + page.url
    with console.context() as ctx:
        csr, _ = make_request("demo/lamp-77")
        enrolment.request_certificate(ctx, token.id, token.secret, csr)
        (waiting,) = enrolment.list_enrolments(ctx, ADMIN, (enrolment.State.PENDING,))
        expect(page.locator(".finger-groups li")).to_have_text(
            waiting.key_fingerprint.split("-"), timeout=8000
        )  # by itself
        narrow(page)
        page.fill("[name=last]", "0000")
        page.get_by_label("Why (optional)", exact=True).first.fill("I see it glow")
        page.click(BUTTON.format("let it in"))
        expect(page.get_by_role("alert")).to_contain_text("Nothing was accepted")
        assert enrolment.get_enrolment(ctx, ADMIN, waiting.id).state is enrolment.State.PENDING
        page.fill("[name=last]", waiting.key_fingerprint[-4:].upper())
        page.click(BUTTON.format("let it in"))
        expect(page.locator(".state")).to_have_text("let in")
        assert enrolment.get_enrolment(ctx, ADMIN, waiting.id).decided_by == NAME
    assert whys(console, "enrolments:decide", 1) == ["I see it glow"], "kept while the form was refused"
    assert whys(console, "claims:create", 1) == ["a new corner"]
    page.click("text=Site test and hand-over")
    expect(page.locator("h1")).to_have_text("lamp-77")
    expect(page.locator(".lines").first).to_contain_text("never heard of")
    window.complaints[:] = [each for each in window.complaints if "422" not in each and "409" not in each]


@pytest.mark.browser
def test_a_post_is_measured_photographed_and_handed_over(
    console: Console, browse: Open, tmp_path: Path
) -> None:
    window = browse(width=360, height=780, scheme="dark")
    page, lamp = window.page, Address("demo", "bahnhof-nord")
    window.sign_in(console.url, "/field")
    page.fill("[name=name]", "bahnhof-nord")
    page.click(BUTTON.format("Open"))
    expect(page.locator(".verdict")).to_have_text("All is well")
    unfold(page, "Readings of five minutes")
    expect(page.locator("figure svg").first).to_be_visible()
    expect(page.locator(".lines").first).to_contain_text("- first ack: not measured")
    page.click("text=Test again")
    expect(page.locator(".verdict")).to_have_text("The first ack is measured")
    console.city.execute(
        "INSERT INTO batch (device_id, epoch, class, sequence, last, samples)"
        " SELECT id, '\\x01', 1, 1, 1, 3 FROM device WHERE name = 'bahnhof-nord'"
    )
    page.reload()  # as it does by itself each five seconds
    expect(page.locator(".lines").first).to_contain_text("ok first ack: a new sample was stored by the city")
    unfold(page, "Where it stands")
    page.fill("form[action*='/place'] [name=height]", "3,4")
    page.fill("form[action*='/place'] [name=why]", "the pole was changed")
    page.click(BUTTON.format("Keep the place"))
    expect(page.locator("form[action*='/handover'] [name=height]")).to_have_value("3.4")
    unfold(page, "A picture")
    photo = tmp_path / "front.png"
    photo.write_bytes(PNG)
    page.set_input_files("[name=photo]", photo)
    page.fill("[name=caption]", "the front")
    page.fill("form[action*='/photo'] [name=why]", "for the insurance")
    page.click(BUTTON.format("Send it"))
    expect(page.get_by_alt_text("the front")).to_be_visible()
    unfold(page, "Sign the site report")
    page.fill("[name=technician]", "Ana Reis")
    page.fill("[name=note]", "the lid\nis loose")
    page.click(BUTTON.format("Sign it"))
    reports = page.locator("section:has(h2:text('Site reports')) li")
    expect(reports).to_contain_text("Ana Reis")
    expect(reports).to_contain_text("site test passed")
    narrow(page)
    assert whys(console, "sites:report", 3) == [
        "the lid is loose",
        "for the insurance",
        "the pole was changed",
    ]
    with page.expect_download() as download:
        page.click("section:has(h2:text('Site reports')) a")
    found = verify(download.value.path().read_bytes())
    assert (found.report.technician, found.report.height_m) == ("Ana Reis", 3.4)
    assert found.report.test is not None
    assert found.report.test.first_ack_s is not None, "it goes along through every form on the way"
    assert found.report.note == "the lid\nis loose"
    with console.context() as ctx:
        (kept,) = field.list_reports(ctx, ADMIN, lamp)
        assert kept.key_fingerprint == found.key_fingerprint
        (picture,) = field.list_photos(ctx, ADMIN, lamp)
        assert PLACE not in field.get_photo(ctx, ADMIN, lamp, picture.sha256)[1]
        first = field.site_history(ctx, ADMIN, lamp)[-1]
        assert (first.done_by, first.body["reason"]) == (NAME, "the pole was changed")
    at = f"{console.url}/field/{lamp}"
    origin = {"Origin": console.url}
    wrong: tuple[tuple[str, int, dict[str, str | float | bool]], ...] = (
        (f"{at}/place", 422, {"id": "x", "height": "3"}),
        (f"{at}/place", 422, {"id": "0" * 32, "height": "high"}),
        (f"{at}/place", 413, {"id": "x" * 20_000}),
        (f"{at}/photo", 422, {}),
        (f"{at}/note", 422, {"id": "0" * 32, "text": "x", "why": "\u202e"}),
        (f"{console.url}/field/demo/NOPE/place", 404, {"id": "0" * 32}),
        (f"{console.url}/c/22222222", 404, {"decision": "accept"}),
    )
    for path, status, form in wrong:
        answer = page.request.post(path, form=form, headers=origin)
        assert answer.status == status, (path, form, answer.text()[:400])
    assert (
        page.request.post(f"{at}/place", form={"id": "0" * 32}, headers={"Origin": "https://x"}).status == 403
    )
    for path in (
        "/c/x",
        "/field/demo/x",
        "/field/a/b/photo/x",
        "/field/report/x",
        "/field/at?name=",
    ):
        assert page.request.get(console.url + path).status == 404, path


def city_of_roles(console: Console) -> None:
    """A technician, a viewer, and two who can agree to what does not come back."""
    people = {"ana": Role.TECHNICIAN, "vic": Role.VIEWER, "zoe": Role.APPROVER, "eli": Role.APPROVER}
    with console.context() as ctx:
        for name, role in people.items():
            access.create_operator(ctx, CONSOLE, name, desk_office.PASSWORD, (role,))


@pytest.mark.browser
def test_a_technician_changes_parts_and_takes_a_lamppost_down(console: Console, browse: Open) -> None:
    city_of_roles(console)
    window = browse(width=360, height=780)
    page = desk_office.enter(window, console.url, "ana")
    well, end = (Address("demo", name) for name in ("bahnhof-nord", "schule-west"))
    page.goto(f"{console.url}/field/{well}")
    history = page.locator("section:has(h2:text('History')) li")
    unfold(page, "A note")
    page.fill("[name=text]", "the lid is loose")
    page.click(BUTTON.format("Keep the note"))
    expect(page.locator(".done")).to_have_text("The note is kept.")
    expect(history.first).to_contain_text("the lid is loose")
    assert whys(console, "sites:report", 1) == ["the lid is loose"], "a note is its own reason"
    unfold(page, "Another sensor")
    page.select_option("[name=sensor]", "3 m up")
    page.fill("[name=new_serial]", "2F81")
    page.fill("form[action*='/unit'] [name=why]", "drowned")
    page.click(BUTTON.format("It is changed"))
    expect(page.locator(".done")).to_contain_text("agent.toml")
    expect(history.first).to_contain_text("3 m up: ? → 2F81; drowned")
    unfold(page, "A unit's calibration")
    typed = {"slope": "62", "humidity": "−0,05", "source": "beside station 4", "why": "a year has passed"}
    for name, value in typed.items():
        page.fill(f"form[action*='/calibrate'] [name={name}]", value)
    page.click(BUTTON.format("What will it do?"))
    expect(page.get_by_role("alert")).to_contain_text("Slope = 62 is not within")
    expect(page.locator("[name=source]")).to_have_value(
        "beside station 4"
    )  # and open: nothing is typed twice
    page.fill("[name=slope]", "0,62")
    page.click(BUTTON.format("What will it do?"))
    expect(page.locator("main")).to_contain_text("corrected = 0.62 × reading − 0.05 × humidity")
    expect(page.locator("main")).to_contain_text("becomes 9.9 µg/m³")
    narrow(page)
    with console.context() as ctx:
        assert air.calibrations(ctx, ADMIN, well) == [], "it was shown, and not entered"
        page.click(BUTTON.format("correct the past"))
        expect(history.first).to_contain_text("beside station 4; a year has passed")
        (entered,) = air.calibrations(ctx, ADMIN, well)
        assert (entered.calibration.slope, entered.created_by) == (0.62, "ana")
        page.goto(f"{console.url}/field/{end}")
        unfold(page, "Shut it out for good")
        page.fill("form[action*='/decommission'] [name=why]", "the square is rebuilt")
        page.click(BUTTON.format("Go on"))
        page.fill("[name=name]", "another-one")
        page.click(BUTTON.format("Shut it out for good"))
        expect(page.get_by_role("alert")).to_contain_text("not its name")
        page.fill("[name=name]", "schule-west")
        page.click(BUTTON.format("Shut it out for good"))
        expect(page.locator("h2")).to_have_text("It waits for a second person")
        narrow(page)
        zoe = Principal("operator", "zoe", frozenset({Role.APPROVER}), "*")
        (request,) = two_person.listed(ctx, zoe, two_person.State.WAITING)
        assert devices.get_device(ctx, ADMIN, end).record.state is DeviceState.ACTIVE
        two_person.approve(ctx, zoe, request.id)
        page.click(BUTTON.format("They have agreed"))
        expect(page.locator(".done")).to_have_text("It is shut out for good.")
        expect(history).to_contain_text("the square is rebuilt")
        assert devices.get_device(ctx, ADMIN, end).record.state is DeviceState.DECOMMISSIONED
    expect(page.locator("summary:text-is('Shut it out for good')")).to_have_count(0)
    narrow(page)
    window.complaints[:] = [each for each in window.complaints if "422" not in each and "409" not in each]
    the_viewer_and_garbage(console, well)


def the_viewer_and_garbage(console: Console, lamp: Address) -> None:
    """Who only looks is offered no form and refused each; garbage has its answer."""
    number = "0" * 32
    sent = {
        "place": {"height": "3"},
        "note": {"text": "x"},
        "unit": {"sensor": "3 m up", "new_serial": "1"},
        "calibrate": {"unit": "1:pm2_5", "slope": "1", "sure": "yes"},
        "device": {"why": "x"},
        "decommission": {"why": "x", "name": lamp.device, "sure": "yes"},
        "handover": {},
    }
    with desk_office.browser(console.url, "vic") as viewer:
        shown = viewer.get(f"/field/{lamp}").text
        assert shown.count("<form") == 1, "signing out"
        for form, told in sent.items():
            answer = viewer.post(f"/field/{lamp}/{form}", data=told | {"id": number})
            assert answer.status_code == 403, (form, answer.text[-400:])
    wrong: tuple[tuple[str, dict[str, str]], ...] = (
        ("note", {}),
        ("note", {"text": "a\0b"}),
        ("unit", {"sensor": "3 m up"}),
        ("calibrate", {}),
        ("calibrate", {"unit": "999:pm2_5"}),
        ("calibrate", {"unit": "1:pm1"}),
        ("calibrate", {"unit": "1:pm2_5", "slope": "steep"}),
        ("calibrate", {"unit": "1:pm2_5", "valid": "soon"}),
        ("device", {"life": "for ever"}),
        ("device", {"why": "x" * 501}),
        ("decommission", {}),
        ("decommission", {"why": "x", "sure": "yes"}),
    )
    with desk_office.browser(console.url, "ana") as person:
        for form, told in wrong:
            answer = person.post(f"/field/{lamp}/{form}", data=told | {"id": number})
            assert answer.status_code == 422, (form, told, answer.status_code, answer.text[-400:])
        assert person.post(f"/field/{lamp}/note", data={"text": "once", "id": number}).status_code == 303
        again = person.post(f"/field/{lamp}/note", data={"text": "once", "id": number})
        assert again.status_code == 303, "its answer was lost: sent again it is done once"
        assert person.get(f"/field/{lamp}").text.count("<em>once</em>") == 1
        assert person.post(f"/field/{lamp}/note", data={"text": "other", "id": number}).status_code == 409


@pytest.mark.browser
def test_another_computer_and_a_claim_that_two_keys_used(console: Console, browse: Open) -> None:
    """The claim replaces the computer; a second key shows it as well: everybody who decides is told."""
    window = browse(width=360, height=780)
    page, lamp = window.page, Address("demo", "rathaus")
    window.sign_in(console.url, f"/field/{lamp}")
    unfold(page, "Another computer")
    page.fill("form[action*='/device'] [name=why]", "drowned")
    page.click(BUTTON.format("Make the claim"))
    token = parse_token_text(page.inner_text(".token"))
    assert token is not None
    expect(page.locator("main")).to_contain_text("a1b2")  # its sensor's serial number, for the configuration
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    narrow(page)
    with console.context() as ctx:
        (line, *_) = field.site_history(ctx, ADMIN, lamp)
        assert (line.kind, line.body["claim"], line.body["reason"]) == ("replace-device", token.id, "drowned")
        first, second = (make_request(str(lamp))[0] for _ in range(2))
        enrolment.request_certificate(ctx, token.id, token.secret, first)
        desk = browse(width=1280)
        desk.sign_in(console.url, "/incidents")
        expect(desk.page.locator(".head .city")).to_be_visible()
        expect(desk.page.locator("[data-notice=used-twice]")).to_have_count(0)
        with pytest.raises(Forbidden):
            enrolment.request_certificate(ctx, token.id, token.secret, second)
        notice = desk.page.locator("[data-notice=used-twice]")
        expect(notice).to_contain_text(f"{token.id}, rathaus")  # by itself
        expect(desk.page.locator(".areas [aria-label='1 claim was used twice']")).to_have_text("1")
        assert grave(desk.page) == []
        page.click("text=Wait for the lamppost")
        expect(page.get_by_role("alert")).to_contain_text("used twice")
        expect(page.locator(".finger-groups")).to_be_visible()
        narrow(page)
        page.goto(f"{console.url}/field")
        expect(page.get_by_role("alert")).to_contain_text(token.id)
        expect(page.locator(".areas .sr")).to_have_text("1 claim was used twice")
        notice.get_by_role("link").click()
        desk.page.click(BUTTON.format("I have looked at it"))
        expect(desk.page.locator(".done")).to_be_visible()
        page.goto(f"{console.url}/c/{token.id}")
        expect(page.get_by_role("alert")).to_have_count(0)
        enrolment.withdraw(ctx, ADMIN, token.id)
        old = datetime.now(UTC) - timedelta(minutes=6)
        over = enrolment.make_claim(
            ctx, ADMIN, "rathaus", "Rathausgasse 1", life=timedelta(minutes=5), replaces=True, now=old
        ).enrolment
    page.goto(f"{console.url}/c/{over.claim_id}")
    expect(page.locator(".state")).to_have_text("its time is over")
    page.click("text=Make a new claim")
    expect(page.locator("[name=device]")).to_have_value("rathaus")
    expect(page.locator("[name=replaces]")).to_be_checked()
    expect(page.get_by_label("5 minutes")).to_be_checked()
    narrow(page)


SITE = Site(
    "demo", "lamp", "<b>site</b>", "", None, None, None, "active",
    SiteTest("demo/lamp", "", "2026-11-21T10:00Z", 1.0, (Line("<i>", False, "<s>", "<u>"),), (), None),
    (), (), (),
)  # fmt: skip


def test_who_may_only_look_is_offered_no_form_and_words_stay_words() -> None:
    shown = phone_site_view.site(SITE, may_report=False, picture="")
    assert "<form" not in shown
    assert not re.search(r"<(b|i|s|u)>", shown)
    claim = Standing(1, "22222222", "pending", "demo", "lamp", "<b>", "aaaa-bbbb", "<i>", "<s>")
    assert "<form" not in phone_view.claim(claim, may_decide=False)
    taking = phone_view.claim(replace(claim, ends_another=True), may_decide=True)
    assert phone_view.ENDS_ANOTHER in taking
    assert phone_view.ENDS_ANOTHER not in phone_view.claim(claim, may_decide=True)
    assert not re.search(r"<(b|i|s|u)>", phone_view.claim(claim, may_decide=True))
    somebody = SignedIn(Principal("operator", "<b>", frozenset({"viewer"}), "demo"), datetime.now(UTC))
    told = desk_view.Told("<b>", "<b>")
    assert "<b>" not in desk_view.page(desk_view.Shell("<b>", somebody), "<b>", "", area="field", told=told)


UNITS = (
    phone_work.Unit(3, "pms5003", "2F80", "pm", ("pm1", "pm2_5", "pm10")),
    phone_work.Unit(7, "pms5003", "2F81", "pm", ("pm1", "pm2_5", "pm10")),
)


def test_what_a_thumb_types_is_read() -> None:
    assert [phone_work.number(text) for text in ("", " 3,4 ", "−8.61", "–8.61", "+1")] == [
        None, 3.4, -8.61, -8.61, 1.0,
    ]  # fmt: skip
    for garbage in ("1e3", "nan", "\u0663", "1.2.3", "--1", "1234", "x" * 99):
        with pytest.raises(InvalidRequest):
            phone_work.number(garbage)
    assert phone_work.life("") == phone_work.life("now") == timedelta(minutes=5)
    told = {"sensor": "pm", "new_serial": " 2F82 ", "why": "a\r\nb"}
    body = phone_work.replaced_unit(told, UNITS)
    assert body == {"sensor": "pm", "old_serial": "2F81", "new_serial": "2F82", "reason": "a\nb"}
    assert phone_work.replaced_unit(told, ())["old_serial"] == ""
    with pytest.raises(InvalidRequest, match="Nothing says"):
        phone_work.calibration({"unit": "7:pm10", "slope": " ", "source": "station 4"}, UNITS)
    foreseen = phone_work.calibration({"unit": "7:pm10", "offset": "-500"}, UNITS)
    assert (foreseen.body["sensor_unit"], foreseen.body["slope"], foreseen.example) == (7, 1.0, "0.0")


def test_a_claim_is_over_before_that_is_written_down() -> None:
    at, state = datetime(2026, 11, 21, 12, 0, tzinfo=UTC), enrolment.State
    second = timedelta(seconds=1)
    assert state_now(state.CLAIMED, at, at) is state.EXPIRED
    assert state_now(state.PENDING, at, at + second) is state.EXPIRED
    assert state_now(state.CLAIMED, at, at - second) is state.CLAIMED
    assert state_now(state.ISSUED, at, at + second) is state.ISSUED
    claim = Standing(1, "22222222", "expired", "demo", "a b", "x&y", "", "ana", "", expires_at=at)
    shown = phone_view.claim(claim, may_decide=True, may_claim=True, now=at)
    assert "/field/claim?device=a+b&amp;site=x%26y" in shown
    assert "Make a new claim" not in phone_view.claim(claim, may_decide=True, now=at)
    claimed = replace(claim, state="claimed", expires_at=at + timedelta(minutes=4))
    assert "(in 4 min)" in phone_view.claim(claimed, may_decide=True, now=at)
