"""`lamppost fleet`, on a database of the test's own."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fleet_server import admin_cli
from fleet_server.access import service as access
from fleet_server.access.errors import SignInRefused
from fleet_server.config import load_config
from fleet_server.context import Context
from fleet_server.enrolment import service as enrolment
from provisioning.authority import Authority
from tests.support.mosquitto import make_request
from tests.support.server_context import ADMIN


class Console:
    """Runs commands against one configuration."""

    def __init__(self, config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.config_file, self.capsys = config_file, capsys

    def text(self, *arguments: object) -> tuple[int, str, str]:
        status = admin_cli.main([*map(str, arguments), "--config", str(self.config_file)])
        printed = self.capsys.readouterr()
        return status, printed.out, printed.err

    def rows(self, *arguments: object) -> Any:
        status, out, _ = self.text(*arguments, "--json")
        assert status == 0, out
        assert ': ""' not in out, "what is not there is null"
        return json.loads(out)


@pytest.fixture
def console(database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Console:
    file = tmp_path / "server.toml"
    file.write_text(f'data_dir = "{tmp_path}/data"\n[database]\nurl = "{database_url}"\n')
    Authority.init(tmp_path / "data" / "authority", "Testing")
    return Console(file, capsys)


def context(console: Console) -> Context:
    return Context.of(load_config(console.config_file))


def test_operators(console: Console, tmp_path: Path) -> None:
    [made] = console.rows("operator", "add", "ana", "--role", "admin", "--generate")
    ctx = context(console)
    first = access.sign_in(ctx, "ana", made["password"])
    assert (first.must_change, first.principal.roles) == (
        True,
        frozenset(),
    )  # its owner chooses another first
    (tmp_path / "pass").write_text("a lamp for every street\nsecond line\n")
    console.rows("operator", "password", "ana", "--password-file", tmp_path / "pass")
    assert access.sign_in(ctx, "ana", "a lamp for every street").principal.roles == {"admin"}
    with pytest.raises(SignInRefused):
        access.sign_in(ctx, "ana", made["password"])
    console.rows("operator", "add", "bo", "--role", "operator", "--password-file", tmp_path / "pass")
    assert [(each["name"], each["roles"]) for each in console.rows("operator", "list")] == [
        ("ana", "admin"),
        ("bo", "operator"),
    ]
    ctx.db.close()


def test_from_claim_to_certificate(console: Console) -> None:
    [claim] = console.rows("claim", "new", "--device", "lamp-07", "--site", "Quay 4")
    assert [each["device"] for each in console.rows("claim", "list")] == ["lamp-07"]
    ctx = context(console)
    [made] = enrolment.list_enrolments(ctx, ADMIN)
    assert made.expires_at - made.created_at == timedelta(minutes=5)
    assert claim["expires"] == made.expires_at.isoformat(timespec="seconds"), "it says when it ends"
    claim_id, _, secret = claim["claim"].partition(".")
    request, _ = make_request("city/lamp-07")
    enrolment.request_certificate(ctx, claim_id, secret, request)
    [pending] = console.rows("enrolments", "list", "--state", "pending")
    shown = pending["key fingerprint"]
    assert pending["ends another"] is None
    status, _, error = console.text(
        "enrolments", "accept", pending["id"], "--fingerprint", "0000-" + shown[5:]
    )
    assert status == 1
    assert "reject it" in error
    [accepted] = console.rows("enrolments", "accept", pending["id"], "--fingerprint", shown.upper())
    assert accepted["state"] == "issued"
    assert accepted["decided by"].startswith("console:")
    assert isinstance(enrolment.request_certificate(ctx, claim_id, secret, request), enrolment.Issued)
    ctx.db.close()


def test_a_place_comes_with_the_claim_or_later(console: Console) -> None:
    [claim] = console.rows(
        "claim", "new", "--device", "lamp-07", "--at", "-33.9, 18.42", "--district", "Quay"
    )
    claim_id, _, secret = claim["claim"].partition(".")
    ctx = context(console)
    asked = enrolment.request_certificate(ctx, claim_id, secret, make_request("city/lamp-07")[0])
    console.rows("enrolments", "accept", asked.enrolment.id)
    ctx.db.close()
    [placed] = console.rows("place", "set", "lamp-07", "--district", "Harbour")
    assert (placed["at"], placed["district"]) == ("-33.9,18.42", "Harbour")
    [placed] = console.rows("place", "set", "city/lamp-07", "--at=41.1496,-8.6109")
    assert (placed["at"], placed["district"]) == ("41.1496,-8.6109", "Harbour")


@pytest.mark.parametrize("at", ["", "41", "41,", "41;8", "north,south", "41,8,100", "1" * 5000 + "x,2"])
def test_what_is_no_pair_of_numbers_is_told(at: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        admin_cli.main(["place", "set", "lamp-07", "--at", at])
    assert "is not LAT,LON" in capsys.readouterr().err


def test_calibrations_are_entered_listed_and_taken_away(console: Console, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO device (tenant, name) VALUES ('city', 'lamp-07')")
        connection.execute(
            "INSERT INTO sensor_unit (device_id, kind, layout, declared_at)"
            " SELECT id, 'sds011', '', now() FROM device"
        )
        connection.execute(
            "INSERT INTO series (sensor_unit_id, slot, channel, unit, exponent)"
            " SELECT id, 0, 'pm2_5', 'ug/m3', -1 FROM sensor_unit"
        )
    [made] = console.rows(
        "calibration", "set", "lamp-07", "--slope", "0.62", "--offset=-3.1", "--from", "2026-11-01"
    )  # fmt: skip
    assert (made["slope"], made["offset"], made["valid from"]) == (0.62, -3.1, "2026-11-01T00:00:00+00:00")
    assert made["by"].startswith("console:")
    assert console.rows("calibration", "list", "lamp-07") == [made]
    assert console.rows("calibration", "remove", made["id"]) == []
    assert console.text("calibration", "remove", made["id"])[0] == 1
    assert console.text("calibration", "set", "lamp-07", "--slope", "1", "--channel", "pm10")[0] == 1


@pytest.mark.parametrize("arguments", [["--from", "yesterday"], ["--slope", "steep"], ["--channel", "co2"]])
def test_what_is_no_calibration_is_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        admin_cli.main(["calibration", "set", "lamp-07", *arguments])
    assert arguments[1] in capsys.readouterr().err


def test_a_claim_that_nobody_used_has_no_fingerprint(console: Console) -> None:
    console.rows("claim", "new", "--device", "lamp-07")
    ctx = context(console)
    [claimed] = enrolment.list_enrolments(ctx, ADMIN)
    ctx.db.close()
    status, _, error = console.text("enrolments", "accept", claimed.id, "--fingerprint", "1f0a-93bc")
    assert (status, "no lamppost has asked with the claim" in error) == (1, True), error


def test_a_batch_for_nobody_s_account_says_so(console: Console) -> None:
    assert console.text("operator", "add", "ana", "--role", "operator", "--generate")[0] == 0
    assert console.text("batch", "new", "--technician", "ana", "--number", "1")[2] == ""
    status, _, told = console.text("batch", "new", "--technician", "nobody", "--number", "1")
    assert (status, told) == (0, "nobody is no account here; the claims are made all the same.\n")


def test_reject_and_withdraw(console: Console) -> None:
    [claim] = console.rows("claim", "new")
    claim_id, _, secret = claim["claim"].partition(".")
    ctx = context(console)
    asked = enrolment.request_certificate(ctx, claim_id, secret, make_request("city/lamp-09")[0])
    [rejected] = console.rows("enrolments", "reject", asked.enrolment.id, "--reason", "not ours")
    assert rejected["state"] == "rejected"
    [other] = console.rows("claim", "new", "--device", "lamp-10")
    [gone] = console.rows("claim", "withdraw", other["claim"].partition(".")[0])
    assert gone["state"] == "withdrawn"
    ctx.db.close()


def test_the_table_is_for_people(console: Console) -> None:
    assert console.text("claim", "list")[1] == "none\n"
    for name in ("lamp-01", "lamp-02"):
        console.rows("claim", "new", "--device", name)
    lines = console.text("claim", "list")[1].splitlines()
    assert lines[0].split()[:4] == ["claim", "state", "device", "site"]
    assert len(lines) == 3


def test_dead_letters(console: Console) -> None:
    assert console.rows("dead-letters", "list") == []
    assert console.text("dead-letters", "replay", "1")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (
            ["operator", "add", "ana", "--role", "operator"],
            1,
            "no terminal to ask on. Use --password-file or --generate.",
        ),
        (["account", "show", "--as", "ana"], 1, "no terminal to ask on. Use --password-file.\n"),
        (["account", "factor", "--as", "ana", "--password-file", "/nowhere"], 1, "on a terminal alone"),
        (["approvals", "approve", "1", "--as", "ana"], 1, "no terminal to ask on. Use --password-file.\n"),
        (["operator", "add", "Ana", "--role", "operator", "--generate"], 1, "a-z"),
        (
            ["operator", "add", "ana", "--role", "operator", "--password-file", "/nonexistent"],
            2,
            "/nonexistent",
        ),
        (["claim", "new", "--device", "A/B"], 1, "A/B"),
        (["claim", "new", "--expires", "31d"], 1, "at most"),
        (["claim", "new", "--at", "91,0"], 1, "Latitude 91"),
        (["claim", "new", "--at", "nan,nan"], 1, "Latitude nan"),
        (["claim", "new", "--district", "x" * 65], 1, "at most 64"),
        (["calibration", "set", "lamp-07", "--slope", "nan"], 1, "Slope = nan"),
        (["calibration", "set", "lamp-07"], 1, "give slope, offset or humidity"),
        (["calibration", "set", "lamp-07", "--source", "station 4"], 1, "slope 1 takes"),
        (["calibration", "list", "nowhere"], 1, "no device"),
        (["place", "set", "lamp-07"], 1, "nothing to change"),
        (["place", "set", "lamp-07", "--at", "0,0"], 1, "no device"),
        (["claim", "withdraw", "nothing"], 1, "no claim"),
        (["enrolments", "accept", "999"], 1, "no enrolment 999"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    console: Console, arguments: list[str], status: int, told: str
) -> None:
    ended, out, error = console.text(*arguments)
    assert (ended, out, error.count("\n")) == (status, "", 1)
    assert told in error


def test_a_configuration_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert admin_cli.main(["claim", "list", "--config", str(tmp_path / "none.toml")]) == 2
    assert "none.toml" in capsys.readouterr().err


@pytest.mark.parametrize(
    "what", [[], ["operator"], ["claim", "new"], ["enrolments", "accept"], ["dead-letters"]]
)
def test_help(what: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        admin_cli.main([*what, "--help"])
    assert ended.value.code == 0
    assert "usage: lamppost fleet" in capsys.readouterr().out


def enrolled(console: Console, name: str) -> None:
    token = console.rows("claim", "new", "--device", name)[0]["claim"]
    claim_id, _, secret = token.partition(".")
    ctx = context(console)
    asked = enrolment.request_certificate(ctx, claim_id, secret, make_request(f"city/{name}")[0])
    console.rows("enrolments", "accept", asked.enrolment.id)


def test_a_stolen_lamppost_is_shut_out_by_name(console: Console, tmp_path: Path) -> None:
    assert console.rows("lamppost", "list") == []
    for name in ("lamp-01", "lamp-02"):
        enrolled(console, name)
    authority = Authority.load_issuing(tmp_path / "data" / "authority")
    console.rows("lamppost", "quarantine", "lamp-02")
    assert len(list(authority.revocation_list())) == 1
    shown = [(each["lamppost"], each["state"]) for each in console.rows("lamppost", "list")]
    assert shown == [("city/lamp-01", "active"), ("city/lamp-02", "quarantined")]
    console.rows("lamppost", "activate", "city/lamp-02")
    assert list(authority.revocation_list()) == []
    console.rows("lamppost", "decommission", "lamp-02")
    status, _, told = console.text("lamppost", "activate", "lamp-02")
    assert (status, "--replaces" in told) == (1, True)
    assert console.text("lamppost", "quarantine", "nowhere")[0] == 1
    status, _, told = console.text("lamppost", "quarantine", "No Where")
    assert (status, "a-z" in told) == (1, True)


def test_a_folder_without_a_server_stays_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typo = tmp_path / "lampost"
    assert admin_cli.main(["operator", "list", "--data", str(typo)]) == 2
    told = capsys.readouterr().err
    assert f"There is no server's data in {typo}." in told
    assert not typo.exists()


def test_a_database_of_another_version_is_told_in_one_line(
    empty_database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "server.toml"
    file.write_text(f'data_dir = "{tmp_path}/data"\n[database]\nurl = "{empty_database_url}"\n')
    assert admin_cli.main(["operator", "list", "--config", str(file)]) == 2
    told = capsys.readouterr().err
    assert "lamppost db upgrade" in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["operator", "add", "ana", "--role", "king"], "'admin', 'operator', 'viewer'"),
        (["enrolments", "list", "--state", "lost"], "'claimed', 'suspended'"),
    ],
)
def test_a_wrong_choice_is_answered_with_words(
    arguments: list[str], allowed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        admin_cli.main(arguments)
    assert allowed in capsys.readouterr().err


def test_who_leaves_the_city_is_kept_out_at_once(console: Console) -> None:
    [made] = console.rows("operator", "add", "ana", "--role", "operator", "--generate")
    ctx = context(console)
    token = access.sign_in(ctx, "ana", made["password"]).token
    assert console.rows("operator", "disable", "ana")[0]["state"] == "disabled"
    assert access.resolve(ctx, token) is None
    with pytest.raises(SignInRefused):
        access.sign_in(ctx, "ana", made["password"])
    assert console.rows("operator", "enable", "ana")[0]["state"] == "active"
    assert access.resolve(ctx, token) is None
    assert access.sign_in(ctx, "ana", made["password"])
    assert console.text("operator", "disable", "nobody")[0] == 1
    ctx.db.close()
