"""A technician's day with `lamppost provision`, against the API over real HTTP, connected and not."""

from __future__ import annotations

import errno
import json
import ssl
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest

from fleet_server.access import service as access
from fleet_server.access import two_person
from fleet_server.access.rules import CONSOLE, Principal, Role
from fleet_server.air import service as air
from fleet_server.auditor import service as auditor
from fleet_server.devices import service as devices
from fleet_server.devices.rules import DeviceState
from fleet_server.devices.service import Place
from fleet_server.enrolment import service as enrolment
from fleet_server.enrolment import standing
from fleet_server.enrolment.rules import State
from fleet_server.technician import service
from provisioning.technician import cli
from provisioning.technician.errors import WrongInput
from provisioning.technician.home import HOME_VARIABLE, TOKEN_VARIABLE
from provisioning.technician.report import verify
from provisioning.technician.server import checked_address, trust_for
from tests.dashboards.city import City
from tests.fleet_server.technician.conftest import PASSWORD, Town
from tests.provisioning.technician.test_photos import JPEG, PLACE
from tests.provisioning.technician.test_report import TEST
from tests.support.ports import free_port
from tests.support.server_context import ADMIN
from wire_contract.topics import Address

LAMP = Address("city", "lamp-09")
Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def run(
    town: Town,
    tokens: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """`lamppost provision ARGUMENTS --json` in a technician's folder of its own, signed in as ana."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    monkeypatch.setenv("LAMPPOST_SERVER", town.url)
    token = tmp_path / "token"
    token.write_text(tokens["ana"])
    token.chmod(0o600)

    def provision(*arguments: str, signed_in: bool = True) -> tuple[int, dict[str, Any]]:
        shown = ("--token-file", str(token)) if signed_in else ()
        capsys.readouterr()
        status = cli.main([*arguments, *shown, "--json"])
        return status, json.loads(capsys.readouterr().out)

    return provision


def test_a_bundle_while_connected_holds_a_claim_of_the_server(town: Town, run: Run, tmp_path: Path) -> None:
    options = ("--site", "Market Square 3", "--at", "-41.1,8.6", "--sensor", "pm:pms5003:/dev/ttyAMA0")
    status, told = run("bundle", "lamp-31", *options, "--out", str(tmp_path / "b"))
    assert (status, told["post"]) == (0, "city/lamp-31")
    config = tomllib.loads((tmp_path / "b" / "agent.toml").read_text())
    claim_id, _, secret = config["enrolment"]["claim"].partition(".")
    assert claim_id == told["claim"]
    assert secret not in json.dumps(told)
    waiting = enrolment.list_enrolments(town.ctx, ADMIN, (State.CLAIMED,))
    mine = next(each for each in waiting if each.claim_id == claim_id)
    assert (mine.device, mine.site, mine.place.latitude) == ("lamp-31", "Market Square 3", -41.1)
    assert (tmp_path / "b" / "trust.pem").read_text() == enrolment.ca_certificates(town.ctx)
    label = service.label_of(town.ctx, ADMIN, claim_id)
    assert label.url.endswith(f"/c/{claim_id}")
    assert label.state is State.CLAIMED
    assert (
        run(
            "handover",
            "lamp-31",
            "--technician",
            "Ana",
            "--untested",
            "--offline",
            "--out",
            str(tmp_path / "r"),
        )[0]
        == 0
    )
    found = verify((tmp_path / "r").read_bytes()).report
    assert (found.site, found.latitude, found.passed) == ("Market Square 3", -41.1, False)
    status, refused = run("bundle", "lamp-32", "--out", str(tmp_path / "b"))
    assert (status, "holds a bundle" in refused["error"]) == (2, True)
    open_claims = len(enrolment.list_enrolments(town.ctx, ADMIN, (State.CLAIMED,)))
    assert open_claims == len(waiting), "no claim is made for a bundle that has no place"


def test_without_a_connection_claims_are_taken_one_by_one(
    run: Run, tokens: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("claims", "--number", "2")[0] == 1, "a technician makes none for themselves"
    monkeypatch.setenv(TOKEN_VARIABLE, tokens["eva"])
    status, told = run("claims", "--number", "2", "--technician", "ana", signed_in=False)
    assert (status, told["claims"]) == (0, 2)
    used = [
        run("bundle", f"lamp-4{n}", "--offline", "--out", str(tmp_path / f"b{n}"), signed_in=False)[1]
        for n in (1, 2)
    ]
    assert used[0]["claim"] != used[1]["claim"]
    status, told = run("bundle", "lamp-43", "--offline", "--out", str(tmp_path / "b3"), signed_in=False)
    assert (status, "holds no claim" in told["error"]) == (2, True)


def test_what_was_done_without_a_connection_is_sent_later_and_once(
    town: Town, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    city = City(town.ctx.db.url, "city")
    record = devices.get_device(town.ctx, ADMIN, LAMP).record
    unit = city.sensor(record.id, "pms5003", site="pm")
    test = tmp_path / "test.json"
    test.write_text(json.dumps(TEST.as_json() | {"device": str(LAMP)}))
    photo = tmp_path / "front_of_it.jpg"
    photo.write_bytes(JPEG)
    away = ("--server", f"http://127.0.0.1:{free_port()}")
    done = [
        run(
            "calibrate", "lamp-09", "--slope", "0.62", "--humidity", "-0.05", "--source", "station 4",
            "--reason", "it drifted", *away,
        ),
        run("replace", "unit", "lamp-09", "--sensor", "pm", "--new-serial", "2F81", "--offline"),
        run("photo", "lamp-09", str(photo), "--caption", "front", "--offline"),
        run(
            "handover", "lamp-09", "--technician", "Ana Reis", "--test", str(test), "--height", "3.2",
            "--district", "Harbour", "--photo", str(photo), "--offline", "--out", str(tmp_path / "r.html"),
        ),
    ]  # fmt: skip
    assert [status for status, _ in done] == [4, 0, 0, 0], "4: it was tried, and kept"
    assert air.calibrations(town.ctx, ADMIN, LAMP) == []
    report = (tmp_path / "r.html").read_bytes()
    assert PLACE not in report
    status, told = run("sync")
    assert (status, told["sent"], told["waiting"]) == (0, 5, 0)
    assert run("sync")[1]["sent"] == 0
    calibrations = air.calibrations(town.ctx, ADMIN, LAMP)
    assert [(each.sensor_unit, each.calibration.slope) for each in calibrations] == [(unit.id, 0.62)]
    [entered] = auditor.lines(town.ctx, ADMIN, auditor.Wanted(action="calibrations:change"))
    assert entered.reason == "it drifted", "said at the post, hours before it was sent"
    kinds = [str(each.kind) for each in service.site_history(town.ctx, ADMIN, LAMP)]
    assert sorted(kinds) == ["calibrate", "handover", "place", "replace-unit"]
    (kept,) = service.list_reports(town.ctx, ADMIN, LAMP)
    assert service.report_document(town.ctx, ADMIN, kept.id) == report
    assert [each.caption for each in service.list_photos(town.ctx, ADMIN, LAMP)] == ["front"]
    assert not list((tmp_path / "home" / "outbox").iterdir()), "what was sent is not kept twice"
    status, told = run("history", "lamp-09")
    assert (status, len(told["history"]), len(told["photos"])) == (0, 4, 1)
    assert (told["photos"][0]["what"], told["photos"][0]["by"]) == ("photo", "ana")
    assert (
        cli.shown({"photos": told["photos"]}).strip().startswith(told["photos"][0]["received_at"] + "  photo")
    )
    assert run("report", told["reports"][0]["report"], "--out", str(tmp_path / "again.html"))[0] == 0
    assert (tmp_path / "again.html").read_bytes() == report
    status, told = run("verify-report", str(tmp_path / "r.html"), "--fingerprint", kept.key_fingerprint)
    assert (status, told["handed_over_by"]) == (0, "Ana Reis")
    assert run("verify-report", str(tmp_path / "r.html"), "--fingerprint", "1f0a")[0] == 1
    (tmp_path / "r.html").write_bytes(report.replace(b"3.2 m", b"9.2 m"))
    status, told = run("verify-report", str(tmp_path / "r.html"))
    assert (status, told["error"]) == (1, "it was changed after it was signed")


def test_a_refusal_is_told_and_left_to_the_technician(town: Town, run: Run) -> None:
    status, told = run("note", "nobody", "hello")
    assert (status, told["state"]) == (1, "conflict")
    assert "no device city/nobody" in told["refused"].lower()
    assert run("sync")[0] == 1
    assert run("sync", "--drop", told["work"])[0] == 0
    assert [each["state"] for each in run("journal", "--all")[1]["work"]] == ["dropped"]


def test_decommissioned_is_out(town: Town, run: Run) -> None:
    lamp = Address("city", "lamp-07")
    assert run("decommission", "lamp-07", "--reason", "rebuilt")[0] == 2, "nobody there to say yes"
    assert devices.get_device(town.ctx, ADMIN, lamp).record.state is DeviceState.ACTIVE
    status, told = run("decommission", "lamp-07", "--reason", "rebuilt", "--yes")
    assert status == 0, told
    assert devices.get_device(town.ctx, ADMIN, lamp).record.state is DeviceState.DECOMMISSIONED
    lines = auditor.lines(town.ctx, ADMIN, auditor.Wanted(resource=str(lamp)), 2)
    assert {each.action: each.reason for each in lines} == {
        "devices:decommission": "rebuilt", "sites:report": "rebuilt",
    }  # fmt: skip


def test_a_lamppost_that_was_decommissioned_meanwhile(town: Town, run: Run) -> None:
    """The desk was quicker: what was done is its history all the same, and the same wish is no conflict."""
    lamp = Address("city", "lamp-21")
    devices.register(town.ctx, CONSOLE, lamp, "", Place())
    record = devices.get_device(town.ctx, ADMIN, lamp).record
    City(town.ctx.db.url, "city").sensor(record.id, "pms5003", site="pm")
    done = [
        ("note", "lamp-21", "the lid is loose"),
        ("calibrate", "lamp-21", "--slope", "0.9"),
        ("handover", "lamp-21", "--technician", "Ana", "--untested"),
        ("decommission", "lamp-21", "--reason", "rebuilt", "--yes"),
        ("note", "lamp-21", "the post is gone"),
    ]
    assert [run(*each, "--offline")[0] for each in done] == [0] * 5
    standing.change_state(town.ctx, CONSOLE, lamp, DeviceState.DECOMMISSIONED)
    status, told = run("sync")
    assert (status, told["sent"], told["refused"]) == (0, 5, "none")
    kinds = [str(each.kind) for each in service.site_history(town.ctx, ADMIN, lamp)]
    assert sorted(kinds) == ["calibrate", "decommission", "handover", "note", "note"]
    assert devices.get_device(town.ctx, ADMIN, lamp).record.state is DeviceState.DECOMMISSIONED
    status, told = run("bundle", "lamp-21", "--out", "/nowhere/b")
    assert (status, "replace device lamp-21" in told["remedy"]) == (1, True), (
        "a new one needs a claim for that"
    )


def test_a_clock_that_was_put_back_between_two_deeds(
    town: Town, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second place is where it stands, whatever the clock said."""
    lamp = Address("city", "lamp-22")
    devices.register(town.ctx, CONSOLE, lamp, "", Place())
    begin = datetime.now(UTC) - timedelta(hours=6)
    for hours, where in ((3, "41.1,-8.1"), (1, "42.2,-8.2"), (2, "43.3,-8.3")):

        class Clock(datetime):
            shown = begin + timedelta(hours=hours)

            @classmethod
            def now(cls, _tz: Any = None) -> Any:
                return cls.shown

        monkeypatch.setattr("provisioning.technician.workshop.datetime", Clock)
        assert run("place", "lamp-22", "--at", where, "--offline")[0] == 0
    status, told = run("sync")
    assert (status, told["sent"]) == (0, 3), told
    assert devices.get_device(town.ctx, ADMIN, lamp).record.latitude == 43.3


def test_a_bundle_that_could_not_be_written_leaves_no_claim_open(
    town: Town, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = len(enrolment.list_enrolments(town.ctx, ADMIN, (State.CLAIMED,)))
    with monkeypatch.context() as patched:
        patched.setattr("provisioning.technician.delivering.write_atomically", full)
        status, told = run("bundle", "lamp-51", "--out", str(tmp_path / "b"))
        assert (status, "No space left" in told["error"]) == (1, True)
    assert len(enrolment.list_enrolments(town.ctx, ADMIN, (State.CLAIMED,))) == before
    assert run("bundle", "lamp-51", "--out", str(tmp_path / "b"))[0] == 0, "and the name is free again"


def test_what_takes_two_people_waits_for_the_second_and_holds_up_nothing_else(town: Town, run: Run) -> None:
    lamp = Address("city", "lamp-08")
    access.create_operator(town.ctx, CONSOLE, "zoe", PASSWORD, (Role.APPROVER,))
    zoe = Principal("operator", "zoe", frozenset({Role.APPROVER}), "*")
    status, told = run("decommission", "lamp-08", "--reason", "rebuilt", "--yes")
    assert (status, told["state"]) == (4, "waiting")
    assert run("note", "lamp-09", "another post")[0] == 0
    status, told = run("note", "lamp-08", "behind it")
    assert (status, told["state"]) == (4, "waiting")
    assert devices.get_device(town.ctx, ADMIN, lamp).record.state is DeviceState.ACTIVE
    requests = [each for each in two_person.listed(town.ctx, zoe) if str(each.state) == "waiting"]
    assert len(requests) == 1, "asked once, however often it was sent"
    two_person.approve(town.ctx, zoe, requests[0].id)
    status, told = run("sync")
    assert (status, told["sent"]) == (0, 2)
    assert devices.get_device(town.ctx, ADMIN, lamp).record.state is DeviceState.DECOMMISSIONED


def test_what_was_refused_is_named_and_holds_up_no_decommissioning(town: Town, run: Run) -> None:
    lamp = Address("city", "lamp-23")
    devices.register(town.ctx, CONSOLE, lamp, "", Place())
    status, told = run("calibrate", "lamp-23", "--slope", "0.5", "--unit", "99")
    assert (status, told["state"]) == (1, "conflict")
    refused = told["work"]
    status, told = run("note", "lamp-23", "behind it")
    assert (status, told["state"]) == (4, "waiting")
    assert f"{refused} (calibrate) stands before it and was refused: " in told["kept"]
    assert f"sync --retry {refused}`, or `--drop {refused}`" in told["kept"]
    run("decommission", "lamp-23", "--reason", "stolen", "--yes")
    zoe = Principal("operator", "zoe", frozenset({Role.APPROVER}), "*")
    for each in two_person.listed(town.ctx, zoe):  # there is a second person, where another test made one
        if str(each.state) == "waiting":
            two_person.approve(town.ctx, zoe, each.id)
    told = run("sync")[1]
    assert list(told["refused"]) == [refused]
    assert "sync --retry ID" in told["then"]
    assert devices.get_device(town.ctx, ADMIN, lamp).record.state is DeviceState.DECOMMISSIONED
    assert run("sync", "--drop", refused)[1]["sent"] == 1, "the note"


def test_a_bundle_that_the_agent_would_not_take_costs_no_claim(town: Town, run: Run, tmp_path: Path) -> None:
    before = len(enrolment.list_enrolments(town.ctx, ADMIN, (State.CLAIMED,)))
    sensor = ("--sensor", "pm:pms500:/dev/ttyAMA0")
    status, told = run("bundle", "lamp-52", *sensor, "--out", str(tmp_path / "b"))
    assert (status, "did you mean pms5003?" in told["error"]) == (1, True), told
    assert len(enrolment.list_enrolments(town.ctx, ADMIN, (State.CLAIMED,))) == before
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    "address", ["", "ftp://x", "https://", "https://a:b@x", "http://x.example", "https://[", "x"]
)
def test_a_token_is_shown_over_https_or_to_this_machine(address: str) -> None:
    with pytest.raises(WrongInput):
        checked_address(address)


def test_the_server_is_who_its_certificate_says() -> None:
    trusted = trust_for("https://fleet.porto.example", None)
    assert isinstance(trusted, ssl.SSLContext)
    assert trusted.verify_mode is ssl.CERT_REQUIRED
    assert trusted.check_hostname


def test_signing_in_keeps_the_token_to_its_owner(
    town: Town, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = iter([PASSWORD, "wrong " * 3])
    monkeypatch.setattr("provisioning.technician.at_the_desk._line", lambda: next(given))
    status, told = run("sign-in", "--server", town.url, "--name", "ana", signed_in=False)
    assert (status, told["signed_in_as"], told["city"]) == (0, "ana", "city")
    token = tmp_path / "home" / "token"
    assert token.stat().st_mode & 0o777 == 0o600
    assert token.read_text() not in json.dumps(told)
    assert run("note", "lamp-08", "hello", signed_in=False)[0] == 0
    assert run("sign-in", "--server", town.url, "--name", "ana", signed_in=False)[0] == 1
    token.chmod(0o644)
    assert run("note", "lamp-08", "again", signed_in=False)[0] == 2
    token.chmod(0o600)
    token.write_text("not-a-token")
    status, told = run("sync", signed_in=False)
    assert (status, told["waiting"]) == (4, 1)
    assert "token" in told["stopped"]


def test_the_second_factor_is_asked_for(
    town: Town, run: Run, tokens: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = f"{town.url}/api/v1/account/second-factor"
    headers = {"Authorization": f"Bearer {tokens['eva']}"}
    shown = httpx.post(account, json={"password": PASSWORD}, headers=headers).json()
    code = pyotp.TOTP(shown["secret"]).now()
    made = httpx.post(f"{account}/confirm", json={"code": code}, headers=headers).json()
    given = iter([PASSWORD, made["recovery_codes"][0], PASSWORD, "000000"])
    monkeypatch.setattr("provisioning.technician.at_the_desk._line", lambda: next(given))
    signing_in = ("sign-in", "--server", town.url, "--name", "eva")
    assert run(*signing_in, signed_in=False)[0] == 0
    assert (tmp_path / "home" / "token").read_text() not in (made["token"], "")
    status, told = run(*signing_in, signed_in=False)
    assert (status, "error" in told) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("bundle", "Lamp 7"),
        ("bundle", "lamp-7", "--sensor", "pm"),
        ("bundle", "lamp-7", "--serial", "pm=1"),
        ("bundle", "lamp-7", "--sensor", "pm:pms5003:/dev/x", "--serial", "pm"),
        ("bundle", "lamp-7", "--ssh=-oProxyCommand=sh"),
        ("bundle", "lamp-7", "--card", "/nowhere"),
        ("bundle", "lamp-7", "--packages", "/nowhere"),
        ("bundle", "lamp-7", "--claim-file", "/nowhere"),
        ("label", "../../etc"),
        ("verify-report", "/nowhere"),
        ("handover", "lamp-7", "--technician", "Ana"),
        ("photo", "lamp-7", "/dev/null"),
        ("place", "lamp-7"),
        ("calibrate", "lamp-7"),
        ("calibrate", "lamp-7", "--source", "station 4", "--channel", "pm10"),
        ("sync", "--retry", "zz"),
        ("note", "lamp-7", "x", "--server", "http://example.org"),
        ("note", "lamp-7", "x", "--ca-file", "/dev/null"),
    ],
)
def test_a_mistake_of_the_operator_has_one_line(run: Run, arguments: tuple[str, ...]) -> None:
    status, told = run(*arguments)
    assert status in (1, 2), told
    assert told["error"]


@pytest.mark.parametrize(
    "arguments",
    [(), ("bundle",), ("bundle", "x", "--at", "91,0"), ("place", "x", "--height", "x"),
     ("calibrate", "x", "--from", "soon"), ("calibrate", "x", "--slope", "nan"),
     ("claims", "--number", "0"), ("nothing",)],
)  # fmt: skip
def test_a_mistyped_line_is_told_by_its_parser(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(list(arguments))
    assert left.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
