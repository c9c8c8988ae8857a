"""Why: the same way over HTTP, from a terminal, of a technician's work; to the second person and the log."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from fleet_server import admin_cli, audit_cli, db_cli, ingest_cli, privacy_cli
from fleet_server.access import service as access
from fleet_server.access import two_person
from fleet_server.access.errors import SecondPersonNeeded
from fleet_server.access.rules import CONSOLE, Principal, Role
from fleet_server.audit import keys
from fleet_server.auditor import service as auditor
from fleet_server.auditor.service import Wanted
from fleet_server.command_line import LOOKING
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.rules import DeviceState
from fleet_server.devices.service import Address
from fleet_server.enrolment import standing
from fleet_server.origin import REASON_MOST_CHARACTERS, because, coming_from, origin, reason_problem
from fleet_server.privacy import service as privacy
from fleet_server.technician import service as technician
from fleet_server.technician.rules import Kind
from provisioning.authority import Authority
from tests.support.api import app_of
from tests.support.server_context import ADMIN

PASSWORD = "nine green lamps at dusk"
WHY = "Ana moves to João's balcony"
ADA = Principal("operator", "ada", frozenset({Role.ADMIN}), "city")
BEA = Principal("operator", "bea", frozenset({Role.APPROVER}), "city")
LAMP = Address("city", "lamp-01")
GARBAGE = (
    ("x" * (REASON_MOST_CHARACTERS + 1), "has at most 500 characters, not 501"),
    ("two\nlines", "character 4 (U+000A)"),
    ("\x1b[2Jgone", "character 1 (U+001B)"),
    ("nul\0", "character 4 (U+0000)"),
    ("\u202egnihton", "character 1 (U+202E)"),
    ("a\u2028b", "character 2 (U+2028)"),
)


@pytest.fixture(scope="module")
def city(ctx: Context) -> Context:
    keys.ensure(ctx.config.data_dir)
    Authority.init(ctx.authority_directory, "Testing")
    for who in (ADA, BEA):
        access.create_operator(ctx, CONSOLE, who.name, PASSWORD, tuple(who.roles), tenant="city")
    devices.register(ctx, ADMIN, LAMP)
    return replace(ctx, config=replace(ctx.config, access=replace(ctx.config.access, two_person="on")))


@pytest.fixture(scope="module")
def http(city: Context) -> Iterator[TestClient]:
    with TestClient(app_of(city), raise_server_exceptions=False) as client:
        made = client.post("/api/v1/session", json={"name": ADA.name, "password": PASSWORD}).json()
        client.cookies.clear()
        client.headers["Authorization"] = f"Bearer {made['token']}"
        yield client


def newest(ctx: Context) -> auditor.LineView:
    return auditor.lines(ctx, ADMIN, Wanted(), 1)[0]


CHANGES: tuple[tuple[str, str, dict[str, Any] | None], ...] = (
    ("PATCH", f"/api/v1/devices/{LAMP}", {"district": "Harbour"}),
    ("PATCH", f"/api/v1/devices/{LAMP}/tags", {"model": "pi5"}),
    ("PUT", f"/api/v1/devices/{LAMP}/state", {"state": "quarantined"}),
    ("PUT", f"/api/v1/devices/{LAMP}/state", {"state": "active"}),
    ("POST", "/api/v1/claims", {"device": "lamp-05"}),
    ("POST", "/api/v1/operators", {"name": "linus", "password": PASSWORD, "roles": ["viewer"]}),
    ("PUT", "/api/v1/operators/linus/state", {"disabled": True}),
    ("DELETE", "/api/v1/operators/linus/sessions", None),
    ("PUT", "/api/v1/settings/tenant", {"telemetry": {"flush_interval_s": 30}}),
    ("GET", "/api/v1/audit/export", None),
)


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
def test_a_reason_is_given_with_every_change(
    city: Context, http: TestClient, caplog: pytest.LogCaptureFixture, method: str, path: str, body: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = http.request(method, path, params={"reason": f"  {WHY} "}, json=body)
    assert answer.is_success, answer.text
    told = newest(city)
    assert (told.who, told.way, told.reason) == (ADA.name, "api", WHY)
    ours = [f"{each.getMessage()} {each.__dict__}" for each in caplog.records if each.name != "httpx"]
    assert "balcony" not in "".join(ours), "it may name somebody: a process's log knows no erasure"


def test_the_body_s_own_reason_goes_before_and_looking_takes_none(city: Context, http: TestClient) -> None:
    address = f"/api/v1/devices/{LAMP}/commands"
    told = http.post(address, params={"reason": WHY}, json={"command": "ping", "reason": "a new sensor"})
    assert (told.status_code, newest(city).reason) == (201, "a new sensor"), told.text
    http.patch(f"/api/v1/devices/{LAMP}", params={"reason": WHY}, json={"district": "Old Town"})
    assert newest(city).reason == WHY
    http.patch(f"/api/v1/devices/{LAMP}", json={"district": "Harbour"})
    assert newest(city).reason == "", "that of a request is no other's"
    refused = http.get("/api/v1/devices", params={"reason": WHY})
    assert (refused.status_code, "There is no parameter 'reason' here" in refused.text) == (422, True)


@pytest.mark.parametrize(("reason", "told"), GARBAGE)
def test_what_is_no_reason_is_refused_and_nothing_is_changed(
    city: Context, http: TestClient, capsys: pytest.CaptureFixture[str], reason: str, told: str
) -> None:
    before = newest(city).number
    answer = http.patch(f"/api/v1/devices/{LAMP}", params={"reason": reason}, json={"district": "North"})
    assert answer.status_code == 422
    assert told in answer.json()["detail"]
    assert newest(city).number == before
    if "\0" not in reason:  # no command line can hold it
        with pytest.raises(SystemExit) as ended:
            admin_cli.main(["claim", "new", f"--reason={reason}"])
        assert (ended.value.code, told in capsys.readouterr().err) == (2, True)


@pytest.mark.parametrize("fine", ["", "x" * 500, "médico 👩\u200d⚕️", "می\u200cخواهم", "<b>'; --", "\u00a0x"])
def test_what_people_write_is_a_reason(fine: str) -> None:
    assert reason_problem(fine) is None


def test_the_description_has_it_at_every_change_once(http: TestClient) -> None:
    own = {("get", "/api/v1/dead-letters")}  # a filter of that name
    for path, operations in http.get("/api/v1/openapi.json").json()["paths"].items():
        for method, operation in operations.items():
            names = [each["name"] for each in operation.get("parameters", ())]
            changes = method != "get" and not path.startswith("/api/v1/session")
            wanted = changes or path == "/api/v1/audit/export" or (method, path) in own
            assert names.count("reason") == wanted, (method, path)


def commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    groups = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    for group in groups:
        for name, inner in group.choices.items():
            leaves = list(commands(inner))
            yield from ((f"{name} {each}", leaf) for each, leaf in leaves) if leaves else [(name, inner)]


def test_every_command_that_changes_something_takes_one() -> None:
    spelled = {"certificates revoke": "--why", "dead replay": "--why"}
    spelled |= {f"approvals {each}": "--note" for each in ("approve", "refuse")}
    seen = 0
    for cli in (admin_cli, audit_cli, privacy_cli, ingest_cli, db_cli):
        for name, command in commands(cli.parser()):
            option = next((each for each in command._actions if each.dest == "why"), None)
            if name.split()[-1] in LOOKING or name == "incidents close":  # it has a reason of its own
                assert option is None, name
            else:
                assert option is not None, name
                assert option.option_strings == [spelled.get(name, "--reason")]
                assert "audit log" in command.format_help()
                seen += 1
    assert seen > 50


@pytest.fixture
def terminal(city: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    file = tmp_path / "server.toml"
    data, url = city.config.data_dir, city.db.url
    file.write_text(f'data_dir = "{data}"\n[database]\nurl = "{url}"\n[access]\ntwo_person = "on"\n')

    def run(*arguments: str) -> tuple[int, str]:
        status = admin_cli.main([*arguments, "--config", str(file)])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


def test_the_second_person_reads_why_and_the_deed_has_it_too(city: Context, terminal: Any) -> None:
    less = ("retention", "set", "--class", "standard", "--days", "30", "--tenant", "city")
    assert terminal(*less)[0] == 1
    [asked] = json.loads(terminal("approvals", "list", "--json")[1])
    assert asked["reason"] is None
    assert terminal(*less, "--reason", WHY)[0] == 1  # the same request, and now it says why
    [asked] = json.loads(terminal("approvals", "list", "--json")[1])
    assert asked["reason"] == WHY
    assert terminal(*less, "--reason", "another")[0] == 1, "which is not what was read"
    status, told = terminal("approvals", "list", "--state", "waiting")
    assert (status, WHY in told) == (0, True)
    line = newest(city)
    assert (line.action, line.outcome, line.reason) == ("retention:change", "refused", WHY)
    two_person.approve(city, BEA, int(asked["id"]))
    assert terminal(*less)[0] == 0
    line = newest(city)
    assert (line.action, line.outcome, line.way, line.reason) == ("retention:change", "done", "command", WHY)


def test_one_agreement_s_reason_is_not_another_s(city: Context) -> None:
    lamps = [Address("city", f"lamp-{n}") for n in (31, 32, 33)]
    reasons = ["it drowned", "", "stolen"]
    for lamp, reason in zip(lamps, reasons, strict=True):
        devices.register(city, ADMIN, lamp)
        with coming_from("api", reason=reason), pytest.raises(SecondPersonNeeded) as asked:
            standing.change_state(city, ADA, lamp, DeviceState.DECOMMISSIONED)
        two_person.approve(city, BEA, int(asked.value.members["request"]))
    with coming_from("api"):
        standing.change_states(city, ADA, lamps, DeviceState.DECOMMISSIONED)
        found = auditor.lines(city, ADMIN, Wanted(action="devices:decommission", outcome="done"), 3)
    assert {each.resource: each.reason for each in found} == dict(zip(map(str, lamps), reasons, strict=True))


def test_a_technician_s_reason_reaches_the_second_person_and_every_line(city: Context) -> None:
    lamp = Address("city", "lamp-41")
    devices.register(city, ADMIN, lamp)
    body = {"reason": f"{WHY},\n  as agreed"}
    work = technician.NewWork("1" * 32, Kind.DECOMMISSION, lamp, datetime.now(UTC), body)
    with coming_from("api", reason="what the request says"):
        with pytest.raises(SecondPersonNeeded) as asked:
            technician.do_work(city, ADA, work)
        request = two_person.get(city, ADA, int(asked.value.members["request"]))
        assert request.reason == f"{WHY}, as agreed"
        two_person.approve(city, BEA, request.id)
        technician.do_work(city, ADA, work)
        assert origin().reason == "what the request says"
    found = auditor.lines(city, ADMIN, Wanted(resource=str(lamp)), 2)
    assert {(each.action, each.reason) for each in found} == {
        ("devices:decommission", f"{WHY}, as agreed"),
        ("sites:report", f"{WHY}, as agreed"),
    }


def test_a_reason_does_not_bring_back_whom_it_erases(city: Context) -> None:
    devices.register(city, ADMIN, Address("city", "lamp-51"), site="by Zita Reis's house")
    with coming_from("api", reason="Zita Reis asked, letter 17"), pytest.raises(SecondPersonNeeded) as asked:
        privacy.erase(city, ADA, ["Zita Reis"])
    two_person.approve(city, BEA, int(asked.value.members["request"]))
    with coming_from("api"):
        done = privacy.erase(city, ADA, ["Zita Reis"])
    assert newest(city).reason == f"{done.tombstone} asked, letter 17"
    with city.db.session() as session:
        kept = session.execute(text("SELECT count(*) FROM audit_personal WHERE value LIKE '%Zita%'"))
        assert kept.scalar_one() == 0


def test_a_work_without_a_reason_has_the_request_s() -> None:
    with coming_from("api", reason="asked"), because(""):
        assert origin().reason == "asked"
    assert WHY not in repr(replace(origin(), reason=WHY))
