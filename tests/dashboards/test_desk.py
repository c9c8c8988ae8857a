"""The pages of those who keep watch, agree and administer: a story each in a browser; then by HTTP every
role at every page, garbage in every form, other sites' forms."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from fleet_server.access import service as access
from fleet_server.access import tokens, two_person
from fleet_server.access.rules import CONSOLE, EVERY_TENANT, HUMAN_ROLES, Role
from fleet_server.auditor import service as auditor
from fleet_server.devices import service as devices
from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment import relisting, standing
from fleet_server.enrolment import service as enrolment
from fleet_server.errors import Conflict
from fleet_server.limits import service as limits
from fleet_server.limits import store as limits_store
from fleet_server.limits.rules import Rate
from fleet_server.tenants import service as tenants
from fleet_server.twin import groups
from fleet_server.twin import service as twin
from provisioning.authority_files import AuthorityFiles
from tests.dashboards.conftest import Console, Open
from tests.dashboards.desk_office import PASSWORD, a_request, as_, both_widths, browser, enter, go, said, walk
from tests.dashboards.desk_tables import CHANGES, GARBAGE_FORMS, GARBAGE_PATHS, MORE, PAGES
from tests.support.mosquitto import make_request
from wire_contract.topics import Address

R = Role
LAMP = Address("demo", "schule-west")
KEY = "sampling.every_s"


@pytest.fixture(scope="module")
def office(console: Console) -> Console:
    """One person of each role in "demo", and who administers the whole installation."""
    with console.context() as ctx:
        for role in HUMAN_ROLES:
            access.create_operator(ctx, CONSOLE, f"the-{role}", PASSWORD, (role,), tenant="demo")
        access.create_operator(ctx, CONSOLE, "root", PASSWORD, (R.ADMIN,), tenant=EVERY_TENANT)
        access.create_operator(ctx, CONSOLE, "guest", PASSWORD, (R.VIEWER,), tenant="demo")
        groups.create(ctx, as_(R.OPERATOR), "old-town", text='district in ("Altstadt")')
    return console


@pytest.mark.browser
def test_the_approver_agrees_and_the_first_does_it(office: Console, browse: Open) -> None:
    desk, other = browse(width=1280), browse(width=390, height=844, scheme="dark")
    ada = enter(desk, office.url, "the-admin")
    ada.goto(f"{office.url}/lamppost/{LAMP}")
    ada.click("text=Let in, shut out")
    ada.click("summary:has-text('for good')")
    ada.fill("details:has-text('for good') [name=why]", "the <b>school</b> closes")
    both_widths(ada)
    ada.click("button:has-text('Shut it out for good')")
    assert "Nothing was done: another person has to agree" in said(ada, desk, "409")
    bea = enter(other, office.url, "the-approver")
    bea.goto(f"{office.url}/")
    expect(bea.locator(".more summary .count")).to_contain_text("1")
    bea.focus(".more summary")  # by the keyboard alone
    bea.keyboard.press("Enter")
    expect(bea.locator(".more li a").first).to_be_visible()
    bea.keyboard.press("Escape")
    expect(bea.locator(".more li a").first).to_be_hidden()
    expect(bea.locator(".more summary")).to_be_focused()
    go(bea, "Approvals")
    both_widths(bea)
    expect(bea.locator(".request")).to_contain_text(f"revoke the certificates of {LAMP} for good")
    expect(bea.locator(".request")).to_contain_text("the <b>school</b> closes")
    bea.fill("form[action$=approve] [name=note]", "seen <b>the letter</b>")
    bea.click("button:has-text('Agree')")
    expect(bea.get_by_role("status")).to_contain_text("You have agreed")
    expect(bea.locator("dl").last).to_contain_text("seen <b>the letter</b>")
    expect(bea.locator(".more summary .count")).to_have_count(0)
    ada.get_by_role("alert").get_by_role("link").click()
    expect(ada.locator("main")).to_contain_text("Somebody has agreed. Do the same again now")
    ada.click("text=Back to the lamppost")
    ada.click("summary:has-text('for good')")
    ada.click("button:has-text('Shut it out for good')")
    expect(ada.locator(".state")).to_contain_text("shut out for good")
    ada.goto(f"{office.url}/")
    expect(ada.locator("tr:has(strong:text-is('rathaus'))")).to_be_visible()
    expect(ada.locator(f"tr:has(strong:text-is('{LAMP.device}'))")).to_have_count(0)
    go(ada, "Approvals")
    expect(ada.locator("table.cards tr", has_text=str(LAMP))).to_contain_text("done")
    with office.context() as ctx:
        [line] = auditor.lines(ctx, CONSOLE, auditor.Wanted(action="devices:decommission", outcome="done"), 1)
        assert (line.who, line.reason, line.way) == ("the-admin", "the <b>school</b> closes", "pages")


@pytest.mark.browser
def test_the_security_officer_finds_who_did_it(office: Console, browse: Open) -> None:
    lamp = Address("demo", "rathaus")
    with office.context() as ctx:
        for state in (DeviceState.QUARANTINED, DeviceState.ACTIVE):
            standing.change_state(ctx, as_(R.OPERATOR), lamp, state)
        with pytest.raises(Conflict):  # written down as refused
            standing.change_state(ctx, as_(R.ADMIN), lamp, DeviceState.DECOMMISSIONED)
    window = browse(width=1280)
    page = enter(window, office.url, "the-security-officer")
    go(page, "Audit log")
    page.fill("[name=action]", "devices:")
    page.fill("[name=resource]", str(lamp))
    page.select_option("[name=outcome]", "done")
    page.click("button:has-text('Show')")
    rows = page.locator("table.cards tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.last).to_contain_text("the-operator")
    both_widths(page)
    rows.last.locator("a").click()
    expect(page.locator("table.cards")).to_contain_text("quarantined")
    expect(page.locator("del")).to_have_text("active")
    expect(page.locator("ins")).to_have_text("quarantined")
    hash_ = page.locator("dd code", has_text=re.compile("^[0-9a-f]{64}$")).inner_text()
    both_widths(page)
    number = int(page.locator("h1").inner_text().removeprefix("Line "))
    with office.context() as ctx:
        line = auditor.line(ctx, CONSOLE, number)
        assert (line.who, line.hash, line.way) == ("the-operator", hash_, "server")
    page.go_back()
    with page.expect_download() as taken:
        page.click("text=A table (CSV)")
    table = taken.value.path().read_text().splitlines()
    assert len(table) == 3
    assert all(str(lamp) in row for row in table[1:])
    page.click("button:has-text('Verify the log')")
    expect(page.get_by_role("status")).to_contain_text("Sound.")
    both_widths(page)


@pytest.mark.browser
def test_the_administrator_adds_a_person(office: Console, browse: Open) -> None:
    desk, phone = browse(width=1280), browse(width=390, height=844)
    page = enter(desk, office.url, "the-admin")
    go(page, "People")
    page.click("summary:has-text('Add a person')")
    both_widths(page)
    page.fill("[name=name]", "no name at all")
    page.check("[name=role][value=technician]")
    page.click("button:text-is('Add')")
    assert "a name is 1 to 64" in said(page, desk, "422", "403", "400")
    expect(page.locator("[name=role][value=technician]")).to_be_checked()  # what was typed is still there
    page.fill("[name=name]", "Rui")
    page.click("button:text-is('Add')")
    password = page.locator(".token code").inner_text()
    both_widths(page)
    page.reload()  # sends the form again
    assert "There is an operator rui already" in said(page, desk, "409")
    assert password not in page.content()
    rui = enter(phone, office.url, "rui", password)
    expect(rui.get_by_role("alert")).to_contain_text("Somebody else chose your password")
    rui.goto(f"{office.url}/field")
    expect(rui.locator("h1")).to_have_text("Your account")
    both_widths(rui)
    rui.fill("#old", password)
    rui.fill("#new", "what rui alone knows")
    rui.click("button:has-text('Change it')")
    expect(rui.get_by_role("status")).to_contain_text("another one now")
    expect(rui.locator(".areas > a")).to_have_text(["Map", "Incidents", "Field"])
    rui.click(".more summary")
    expect(rui.locator(".more li a")).to_have_text(["Groups and settings", "Your account"])
    page.goto(f"{office.url}/people/rui")
    expect(page.locator("dl").first).not_to_contain_text("not of late")
    page.click("summary:has-text('Keep this account out')")
    page.click("button:has-text('Keep out')")
    expect(page.get_by_role("status")).to_contain_text("kept out")
    with office.context() as ctx:
        assert access.get_operator(ctx, CONSOLE, "rui").disabled
        assert access.sessions_of(ctx, CONSOLE, "rui") == []


@pytest.mark.browser
def test_who_runs_the_installation_raises_a_quota_and_makes_a_token(office: Console, browse: Open) -> None:
    window = browse(width=1280)
    page = enter(window, office.url, "root")
    go(page, "Tenants")
    both_widths(page)
    page.click("table.cards a:text-is('demo')")
    page.fill("[name=devices]", "12.5")
    page.fill("[name=title]", "The city")
    page.evaluate("document.querySelector('[name=devices]').type = 'text'")
    page.fill("[name=devices]", "many")
    page.click("button:has-text('Change it')")
    assert "is no whole number" in said(page, window, "422")
    page.fill("[name=devices]", "40")
    page.click("button:has-text('Change it')")
    expect(page.get_by_role("status")).to_contain_text("It is changed")
    expect(page.locator("dl")).to_contain_text("of 40")
    both_widths(page)
    go(page, "Tokens of machines")
    page.click("summary:has-text('Make a token')")
    page.fill("[name=name]", "nightly <export>")
    page.fill("[name=owner]", "the-viewer")
    page.fill("[name=tenant]", "demo")
    page.check("[name=scope][value='devices:read']")
    page.check("[name=scope][value='tenants:change']")
    both_widths(page)
    page.click("button:has-text('Make the token')")
    assert "no more than the-viewer" in said(page, window, "403")
    page.uncheck("[name=scope][value='tenants:change']")
    page.click("button:has-text('Make the token')")
    token = page.locator(".token code").inner_text()
    with office.context() as ctx:
        found = tokens.resolve(ctx, token, datetime.now(UTC))
        assert found is not None
        assert found[0].scopes == frozenset({"devices:read"})
    page.click("text=All tokens")
    page.click("summary:has-text('Revoke nightly')")
    page.click("button:has-text('Revoke it')")
    expect(page.get_by_role("status")).to_contain_text("worth nothing")
    with office.context() as ctx:
        assert tokens.resolve(ctx, token, datetime.now(UTC)) is None
        assert next(iter(tenants.list_tenants(ctx, CONSOLE))).own["devices"] == 40


@pytest.mark.browser
def test_the_operator_wishes_something_of_a_group_and_tells_all_of_it(office: Console, browse: Open) -> None:
    window = browse(width=1280)
    page = enter(window, office.url, "the-operator")
    go(page, "Groups")
    page.click("table.cards a:text-is('old-town')")
    page.click("summary:has-text('Change a setting')")
    page.fill("[name=key]", KEY)
    page.fill("[name=value]", "often")
    page.click("button:has-text('Set it')")
    assert "is not a" in said(page, window, "422")
    page.fill("[name=value]", "30")
    page.fill("form[action$=settings] [name=why]", "dust in the works")
    page.click("button:has-text('Set it')")
    expect(page.get_by_role("status")).to_contain_text("within seconds")
    expect(page.locator("table.cards").first).to_contain_text("30")
    both_widths(page)
    page.select_option("[name=command]", "sensors")
    page.click("button:has-text('Tell them')")
    expect(page.locator("h1")).to_have_text(re.compile(r"^[12] commands$"))
    both_widths(page)
    page.click("summary:has-text('Take them back')")
    page.click("button:has-text('Take them back')")
    expect(page.locator("dl")).to_contain_text("canceled")
    page.goto(f"{office.url}/settings")
    both_widths(page)
    with office.context() as ctx:
        assert groups.group(ctx, CONSOLE, "old-town").settings == {KEY: 30}
        [line] = auditor.lines(ctx, CONSOLE, auditor.Wanted(action="twin:change"), 1)
        assert (line.who, line.reason, line.way) == ("the-operator", "dust in the works", "pages")
        assert line.address == "127.0.0.1"
        assert twin.tenant_settings(ctx, CONSOLE).settings == {}


@pytest.mark.browser
def test_the_security_officer_revokes_a_certificate(office: Console, browse: Open) -> None:
    with office.context() as ctx:
        made = enrolment.make_claim(ctx, as_(R.OPERATOR), "lamp-66")
        claim, _, secret = made.token.partition(".")
        asked = enrolment.request_certificate(ctx, claim, secret, make_request("demo/lamp-66")[0])
        enrolment.accept(ctx, as_(R.OPERATOR), asked.enrolment.id)
    window = browse(width=1280)
    page = enter(window, office.url, "the-security-officer")
    page.goto(f"{office.url}/lamppost/demo/lamp-66")
    page.click("text=Let in, shut out, certificates")
    expect(page.locator("table.cards td").nth(1)).to_contain_text("good")
    page.click("summary:has-text('Revoke')")
    both_widths(page)
    page.select_option("[name=reason]", "keyCompromise")
    page.fill("form[action$=revoke] [name=why]", "seen in a shop")
    page.click("button:has-text('Revoke it')")
    expect(page.get_by_role("status")).to_contain_text("The broker ends its connection")
    expect(page.locator("table.cards td").nth(1)).to_contain_text("revoked keyCompromise")
    with office.context() as ctx:
        [line] = auditor.lines(ctx, CONSOLE, auditor.Wanted(action="certificates:revoke"), 1)
        assert (line.who, line.resource, line.reason) == (
            "the-security-officer", "demo/lamp-66", "keyCompromise: seen in a shop",
        )  # fmt: skip


@pytest.mark.browser
def test_claims_and_keys_are_agreed_on_before(office: Console, browse: Open) -> None:
    window = browse(width=390, height=844)
    page = enter(window, office.url, "the-admin")
    page.goto(f"{office.url}/field")
    page.click("text=Claims in advance")
    page.click("summary:has-text('Make claims in advance')")
    page.fill("[name=technician]", "the <b>crew</b>")
    page.fill("[name=number]", "3")
    page.click("button:has-text('Make the claims')")
    expect(page.locator(".token li")).to_have_count(3)
    both_widths(page)
    page.click("text=All batches")
    both_widths(page)
    page.click("summary:has-text('Revoke the')")
    page.click("button:has-text('Revoke it')")
    expect(page.locator("table.cards")).to_contain_text("revoked")
    page.goto(f"{office.url}/keys")
    page.click("summary:has-text('Register a key')")
    page.fill("[name=device]", "lamp-88")
    page.fill("[name=key]", "0123 " * 8)
    page.click("button:has-text('Register it')")
    expect(page.locator("table.cards")).to_contain_text("0123-0123")
    both_widths(page)
    page.click("summary:has-text('Take back lamp-88')")
    page.click("button:has-text('Take it back')")
    expect(page.locator("main")).to_contain_text("None waits to be used")


# -- by HTTP ---------------------------------------------------------------------------------------------

REFUSED = {403, 404}


def test_every_role_at_every_page_and_form(office: Console) -> None:
    """Denied unless a policy permits it; the header offers what the page then shows, and no more."""
    with office.context() as ctx:
        request = a_request(ctx)
        for role in HUMAN_ROLES:
            with browser(office.url, f"the-{role}") as person:
                for path, who in PAGES.items():
                    answer = person.get(path.replace("$request", str(request)))
                    wanted = {200} if role in who else REFUSED
                    assert answer.status_code in wanted, (role, path, answer.status_code)
                    if answer.status_code in REFUSED:
                        assert "<form" not in answer.text.partition("<main")[2], (role, path)
                offered = set(re.findall(r'<li><a href="(/\w+)"', person.get("/account").text))
                assert offered == {p for p, who in PAGES.items() if p in MORE and role in who}, role
                for path, (form, who) in CHANGES.items():
                    answer = person.post(path.replace("$request", str(request)), data=form)
                    passed = answer.status_code not in {403, 404} or "may not do" not in answer.text
                    if role not in who:
                        assert answer.status_code in REFUSED, (role, path, answer.status_code)
                    elif "999999" not in path and "factor" not in path:
                        assert passed, (role, path, answer.text[-600:])
        found = two_person.get(ctx, as_(R.SECURITY_OFFICER), request)
        assert found.state in {two_person.State.REFUSED, two_person.State.APPROVED}
        assert tenants.own_tenant(ctx, CONSOLE, "demo").own["devices"] != 99


def test_garbage_is_told_what_to_do_and_changes_nothing(office: Console) -> None:
    with browser(office.url, "root") as root, office.context() as ctx:
        before = [(each.name, each.grants, each.disabled) for each in access.list_operators(ctx, CONSOLE)]
        for path in GARBAGE_PATHS:
            answer = root.get(path)
            assert answer.status_code in {200, 400, 404, 409, 413, 422}, (path, answer.status_code)
            if answer.status_code != 200:
                assert re.search(r'role="alert">[^<]{12,}', answer.text), (path, answer.text[-500:])
        for path, form in GARBAGE_FORMS:
            answer = root.post(path, data=form)
            assert answer.status_code in {400, 403, 404, 409, 413, 422}, (path, form, answer.status_code)
            assert re.search(r'role="alert">[^<]{12,}', answer.text), (path, form, answer.text[-500:])
        assert root.post("/people", content=b"name=x", headers={"Content-Type": "text/plain"}).is_error
        assert [
            (each.name, each.grants, each.disabled) for each in access.list_operators(ctx, CONSOLE)
        ] == before


@pytest.mark.parametrize(
    ("who", "path", "form", "kept"),
    [
        ("root", "/account/tenant", {"tenant": "No tenant!"}, 'name="tenant" type="text" required'),
        ("root", "/account/password", {"old": "a wrong lamp it was", "new": "another lamp for you"}, ""),
        ("the-admin", "/account/password", {"old": PASSWORD, "new": "short"}, ""),
        ("the-admin", "/people/guest/roles", {"tenant": "demo", "role": "king"}, ""),
        (
            "root",
            "/people/guest/roles",
            {"tenant": "dmo", "role": "partner"},
            'name="tenant" value="dmo"',
        ),
        ("root", "/people/guest/roles", {"tenant": "dmo", "role": "partner"}, 'value="partner" checked'),
        ("the-admin", "/people/the-admin/password", {}, ""),
        ("the-admin", "/standing/demo/bahnhof-nord", {"state": "decommissioned"}, ""),
    ],
)
def test_what_was_typed_stands_there_again(
    office: Console, who: str, path: str, form: dict[str, str], kept: str
) -> None:
    """Where the page comes back with what was refused; in that form alone, and no password in any."""
    with browser(office.url, who) as person:
        answer = person.post(path, data=form | {"why": "the <mayor> asked"})
        for number in re.findall(r'href="/approvals/(\d+)"', answer.text):
            person.post(f"/approvals/{number}/withdraw")
    assert answer.status_code in {401, 403, 404, 409, 422}, answer.text[-500:]
    forms = re.findall(r'<form method="post" action="([^"]+)">(.*?)</form>', answer.text, re.DOTALL)
    with_it = [(at, inner) for at, inner in forms if 'value="the &lt;mayor&gt; asked"' in inner]
    assert [at for at, _ in with_it] == [path]
    assert kept in with_it[0][1]
    for name in ("old", "new"):
        assert form.get(name, "nothing typed") not in answer.text
    for opened in re.findall(r"<details>(.*?)</details>", answer.text, re.DOTALL):
        assert "asked" not in opened, "it is not hidden behind a click"


def test_another_site_and_nobody_send_no_form(office: Console) -> None:
    evil = {"Origin": "http://evil.example"}
    with browser(office.url, "the-admin") as admin, browser(office.url) as nobody:
        for path, (form, _) in CHANGES.items():
            path = path.replace("$request", "1")
            assert admin.post(path, data=form, headers=evil).status_code == 403, path
            assert nobody.post(path, data=form).status_code == 401, path
        for path in PAGES:
            answer = nobody.get(path.replace("$request", "1"))
            assert (answer.status_code, answer.headers["location"][:8]) == (303, "/sign-in"), path


def test_a_database_that_is_away_is_told_and_waited_for(office: Console) -> None:
    with browser(office.url, "the-admin") as admin:
        assert admin.get("/audit").status_code == 200
        try:
            office.city.allow_connections(False)
            shown = admin.get("/audit")
            assert (shown.status_code, shown.headers["retry-after"]) == (503, "5")
            assert 'http-equiv="refresh"' in shown.text
            told = admin.post("/people/guest/state", data={"disabled": "yes"})
            assert told.status_code == 503
            assert "Look in a moment whether it was done" in told.text
        finally:
            office.city.allow_connections(True)
        assert admin.get("/audit").status_code == 200
    with office.context() as ctx:
        assert not access.get_operator(ctx, CONSOLE, "guest").disabled


def test_who_is_out_because_it_floods_is_kept_out(office: Console) -> None:
    """Quarantined as it is, the page says until when, and takes a person's word that it stays out."""
    lamp = Address("demo", "lamp-67")
    with office.context() as ctx, ctx.db.raw(autocommit=True) as connection:
        devices.register(ctx, as_(R.OPERATOR), lamp)
        limits_store.seen(connection, {lamp: Rate(9_999, 1)}, datetime.now(UTC))
        limits.follow_floods(connection, ctx, standing.change_state)
        with browser(office.url, "the-operator") as person:
            page = person.get(f"/standing/{lamp}").text
            assert "It floods" in page
            assert "Keep it out" in page
            assert "Shut it out for now" not in page
            assert person.post(f"/standing/{lamp}", data={"state": "pending"}).status_code == 422
            assert person.post(f"/standing/{lamp}", data={"state": "quarantined"}).status_code == 303
            page = person.get(f"/standing/{lamp}").text
            assert "shut out for now" in page
            assert not re.search("It floods|Keep it out", page)
        [flood] = limits.list_floods(ctx, as_(R.OPERATOR), before_id=2**62, limit=1)
        assert flood.state == "left"


def test_who_is_not_out_yet_is_told_as_such(office: Console) -> None:
    lamp = Address("demo", "lamp-68")
    with office.context() as ctx, browser(office.url, "the-operator") as person:
        claim, _, secret = enrolment.make_claim(ctx, as_(R.OPERATOR), lamp.device).token.partition(".")
        asked = enrolment.request_certificate(ctx, claim, secret, make_request(str(lamp))[0])
        enrolment.accept(ctx, as_(R.OPERATOR), asked.enrolment.id)
        key = AuthorityFiles(ctx.authority_directory).issuing_key
        away = key.rename(key.with_name("away"))
        answer = person.post(f"/standing/{lamp}", data={"state": "quarantined"})
        away.rename(key)
        assert answer.status_code == 503
        for told in ("not out yet", "tries again each minute", "shut out for now", "They cannot be shown"):
            assert told in answer.text
        assert "Not out yet" in person.get(f"/standing/{lamp}").text
        assert relisting.list_again(ctx) == 1
        page = person.get(f"/standing/{lamp}").text
        assert "Not out yet" not in page
        assert "on hold" in page


def test_lists_come_in_pages(office: Console) -> None:
    """More people, tokens, requests and lines than a page shows: every one is reached, once."""
    with office.context() as ctx:
        names = [f"crowd-{n:03}" for n in range(130)]
        for name in names:
            access.create_operator(ctx, CONSOLE, name, None, (R.VIEWER,), tenant="demo")
        wish = ("devices:read",)
        for n in range(105):
            tokens.make(ctx, CONSOLE, tokens.Wanted(f"t{n}", wish, timedelta(days=1), names[0], "demo"))
    with browser(office.url, "the-security-officer") as officer:
        assert walk(officer, "/people?find=crowd-", r'href="/people/(crowd-\d+)"') == names
        assert len(walk(officer, "/tokens", r"<strong>(t\d+)</strong>")) == 105
        lines = [int(each) for each in walk(officer, "/audit", r'<td[^>]*><div><a href="/audit/(\d+)"')]
        assert len(lines) > 235
        assert lines == sorted(set(lines), reverse=True)
