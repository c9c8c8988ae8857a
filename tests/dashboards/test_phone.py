"""The pages for a phone, 390 by 844, as a technician uses them: claim, compare, picture, hand-over."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dashboards import desk_view, phone_view
from dashboards.phone_data import Site, Standing
from fleet_server.access.rules import Principal
from fleet_server.access.service import SignedIn
from fleet_server.enrolment import service as enrolment
from fleet_server.technician import service as field
from provisioning.claims import parse_token_text
from provisioning.technician.report import verify
from provisioning.technician.site_test import Line, SiteTest
from tests.dashboards.accessibility import grave
from tests.dashboards.conftest import NAME, Console, Open
from tests.provisioning.technician.test_photos import PLACE, PNG
from tests.support.mosquitto import make_request
from tests.support.server_context import ADMIN
from wire_contract.topics import Address

BUTTON = "button:has-text({!r})"


def narrow(page: Page) -> None:
    """Nothing serious for axe, and nothing to scroll sideways."""
    assert grave(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.browser
def test_a_lamppost_is_set_up_compared_and_let_in(console: Console, browse: Open) -> None:
    window = browse(width=390, height=844)
    page = window.page
    window.sign_in(console.url, "/field")
    narrow(page)
    page.click("text=Set up a lamppost")
    page.fill("[name=device]", "lamp 77")
    page.click(BUTTON.format("Make the claim"))
    expect(page.get_by_role("alert")).to_contain_text("lamp 77")
    page.fill("[name=device]", "lamp-77")
    page.fill("[name=latitude]", "41,15")
    page.fill("[name=longitude]", "-8.61")
    page.click(BUTTON.format("Make the claim"))
    token = parse_token_text(page.inner_text(".token"))
    assert token is not None
    narrow(page)
    page.click("text=Wait for the lamppost")
    expect(page.locator(".state")).to_have_text("waits for the lamppost to ask")
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
        page.click(BUTTON.format("let it in"))
        expect(page.get_by_role("alert")).to_contain_text("Nothing was accepted")
        assert enrolment.get_enrolment(ctx, ADMIN, waiting.id).state is enrolment.State.PENDING
        page.fill("[name=last]", waiting.key_fingerprint[-4:].upper())
        page.click(BUTTON.format("let it in"))
        expect(page.locator(".state")).to_have_text("let in")
        assert enrolment.get_enrolment(ctx, ADMIN, waiting.id).decided_by == NAME
    page.click("text=Site test and hand-over")
    expect(page.locator("h1")).to_have_text("lamp-77")
    expect(page.locator(".lines").first).to_contain_text("never heard of")
    window.complaints[:] = [each for each in window.complaints if "422" not in each and "409" not in each]


@pytest.mark.browser
def test_a_post_is_measured_photographed_and_handed_over(
    console: Console, browse: Open, tmp_path: Path
) -> None:
    window = browse(width=390, height=844, scheme="dark")
    page, lamp = window.page, Address("demo", "bahnhof-nord")
    window.sign_in(console.url, "/field")
    page.fill("[name=name]", "bahnhof-nord")
    page.click(BUTTON.format("Open"))
    expect(page.locator(".verdict")).to_have_text("All is well")
    expect(page.locator("figure svg").first).to_be_visible()
    page.fill("form[action$='/place'] [name=height]", "3,4")
    page.click(BUTTON.format("Keep the place"))
    expect(page.locator("form[action$='/handover'] [name=height]")).to_have_value("3.4")
    photo = tmp_path / "front.png"
    photo.write_bytes(PNG)
    page.set_input_files("[name=photo]", photo)
    page.fill("[name=caption]", "the front")
    page.click(BUTTON.format("Send it"))
    expect(page.get_by_alt_text("the front")).to_be_visible()
    page.fill("[name=technician]", "Ana Reis")
    page.fill("[name=note]", "the lid\nis loose")
    page.click(BUTTON.format("Sign the site report"))
    reports = page.locator("section:has(h2:text('Site reports')) li")
    expect(reports).to_contain_text("Ana Reis")
    expect(reports).to_contain_text("site test passed")
    narrow(page)
    with page.expect_download() as download:
        page.click("section:has(h2:text('Site reports')) a")
    found = verify(download.value.path().read_bytes())
    assert (found.report.technician, found.report.height_m) == ("Ana Reis", 3.4)
    assert found.report.note == "the lid\nis loose"
    with console.context() as ctx:
        (kept,) = field.list_reports(ctx, ADMIN, lamp)
        assert kept.key_fingerprint == found.key_fingerprint
        (picture,) = field.list_photos(ctx, ADMIN, lamp)
        assert PLACE not in field.get_photo(ctx, ADMIN, lamp, picture.sha256)[1]
        assert field.site_history(ctx, ADMIN, lamp)[-1].done_by == NAME
    at = f"{console.url}/field/{lamp}"
    origin = {"Origin": console.url}
    wrong: tuple[tuple[str, int, dict[str, str | float | bool]], ...] = (
        (f"{at}/place", 422, {"id": "x", "height": "3"}),
        (f"{at}/place", 422, {"id": "0" * 32, "height": "high"}),
        (f"{at}/place", 413, {"id": "x" * 20_000}),
        (f"{at}/photo", 422, {}),
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


SITE = Site(
    "demo", "lamp", "<b>site</b>", "", None, None, None, "active",
    SiteTest("demo/lamp", "", "2026-11-21T10:00Z", 1.0, (Line("<i>", False, "<s>", "<u>"),), (), None),
    (), (), (),
)  # fmt: skip


def test_who_may_only_look_is_offered_no_form_and_words_stay_words() -> None:
    shown = phone_view.site(SITE, may_report=False, picture="")
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
