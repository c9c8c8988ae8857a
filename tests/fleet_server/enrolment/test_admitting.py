"""Many lampposts let in at once: what is read, what is done, and what garbage is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from fleet_server import admin_cli
from fleet_server.auditor import service as auditor
from fleet_server.config import load_config
from fleet_server.context import Context
from fleet_server.enrolment import service
from fleet_server.enrolment.admitting import admit_all, read_wishes
from fleet_server.enrolment.rules import State
from fleet_server.errors import InvalidRequest
from provisioning import requests
from provisioning.authority import Authority
from tests.support.mosquitto import make_request
from tests.support.server_context import ADMIN, OPERATOR
from wire_contract.topics import Address


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "Line 1 is not JSON"),
        ("[" * 5000, "is not JSON"),
        ("[]", "is not a JSON object"),
        ('{"device": "a", "csr": "00", "color": "red"}', "and nothing else"),
        ('{"device": 7, "csr": "00"}', "device is not text"),
        ('{"device": "a"}', "lacks device or csr"),
        ('{"csr": "00"}', "lacks device or csr"),
        ('{"device": "a", "csr": "zz"}', "csr is not the request's DER in hex"),
        ('{"device": "a", "csr": "00", "latitude": "north"}', "latitude is not a number"),
        ('{"device": "a", "csr": "00", "latitude": NaN}', "latitude is not a number"),
        ('{"device": "a", "csr": "00", "longitude": true}', "longitude is not a number"),
        ('{"device": "a", "csr": "' + "0" * 40_000 + '"}', "longer than"),
    ],
)
def test_garbage_is_told_with_its_line(line: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        list(read_wishes([line]))


def wish(name: str, **more: Any) -> str:
    request, _ = make_request(f"city/{name}")
    return json.dumps({"device": name, "csr": request.hex(), **more}) + "\n"


class Console:
    def __init__(self, folder: Path, database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.config = folder / "server.toml"
        self.config.write_text(f'data_dir = "{folder}/data"\n[database]\nurl = "{database_url}"\n')
        Authority.init(folder / "data" / "authority", "Testing")
        self.requests, self.answers = folder / "requests.jsonl", folder / "answers.jsonl"

    def run(self, *words: object) -> tuple[int, str]:
        status = admin_cli.main([*map(str, words), "--config", str(self.config)])
        printed = self.capsys.readouterr()
        return status, printed.out + printed.err

    def admit(self, *lines: str, replace: bool = False) -> tuple[int, str]:
        self.requests.write_text("".join(lines))
        options = ["--replace"] if replace else []
        return self.run("enrolments", "admit", self.requests, "--answers", self.answers, *options)

    def answered(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self.answers.read_text().splitlines()]


def test_they_are_active_and_hold_certificates(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console(tmp_path, database_url, capsys)
    at = {"latitude": 41.15, "longitude": -8.61, "district": "Harbour", "site": "simulated"}
    status, said = console.admit(wish("sim-00001", **at), "\n", wish("sim-00002"))
    assert status == 0, said
    assert [each["device"] for each in console.answered()] == ["sim-00001", "sim-00002"]
    assert all(each["chain"].count("BEGIN CERTIFICATE") == 2 for each in console.answered())
    _, listed = console.run("lamppost", "list", "--json")
    rows = json.loads(listed)
    assert [row["state"] for row in rows] == ["active", "active"]
    _, listed = console.run("enrolments", "list", "--state", "issued", "--json")
    assert {row["device"] for row in json.loads(listed)} == {"city/sim-00001", "city/sim-00002"}

    status, said = console.admit(wish("sim-00001"))  # it is there, and nobody said that it is replaced
    assert status == 1
    assert "There is a lamppost city/sim-00001" in said
    first = console.answered()[0]["chain"]

    # an interruption between claim and acceptance leaves the name claimed: it is taken up again
    ctx = Context.of(load_config(console.config))
    service.make_claim(ctx, ADMIN, "sim-00001", replaces=True)
    status, said = console.admit(wish("sim-00001"), replace=True)
    assert status == 0, said
    assert console.answered()[-1]["chain"] != first
    assert len(Authority.load_issuing(tmp_path / "data" / "authority").revocation_list()) == 1
    assert not service.list_enrolments(ctx, ADMIN, (State.CLAIMED,))
    ctx.db.close()

    status, said = console.run("lamppost", "decommission", "sim-00001", "sim-00002")
    assert status == 0, said
    assert said.count("decommissioned") == 2
    assert len(Authority.load_issuing(tmp_path / "data" / "authority").revocation_list()) == 3


def test_the_audit_log_names_who_vouched_for_which_key(ctx: Context, authority: Authority) -> None:
    """Two at once, and one whose name was claimed: a line about each, by the person and not the service."""
    service.make_claim(ctx, OPERATOR, "sim-00003")
    wishes = list(read_wishes(wish(f"sim-0000{n}") for n in (1, 2, 3)))
    keys = {}
    for each, chain in admit_all(ctx, ADMIN, wishes, replace=True):
        key = x509.load_pem_x509_certificate(chain.encode()).public_key()
        keys[f"city/{each.device}"] = requests.fingerprint(requests.checked_key(key))
    lines = auditor.lines(ctx, ADMIN, auditor.Wanted(action="enrolments:decide"), 10)
    assert {each.resource: each.after["key"] for each in lines} == keys
    assert len(lines) == len(keys) == 3
    assert {(each.who, each.kind) for each in lines} == {(ADMIN.name, ADMIN.kind)}
    at_once = [each.after for each in lines if each.after["state"] == "issued"]
    held = [service.certificate_of(ctx, ADMIN, Address("city", f"sim-0000{n}")) for n in (1, 2)]
    assert {each["serial"] for each in at_once} == {each.serial for each in held if each is not None}


def test_files_that_cannot_be_used(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console(tmp_path, database_url, capsys)
    status, said = console.run("enrolments", "admit", tmp_path / "none", "--answers", tmp_path / "a")
    assert status == 1
    assert "cannot be read" in said
    status, said = console.admit("\n")
    assert status == 1
    assert "asks for no lamppost" in said
    console.answers = tmp_path / "no" / "folder"
    status, said = console.admit(wish("sim-00001"))
    assert status == 1
    assert "cannot be written" in said
    console.answers = tmp_path / "answers.jsonl"
    for wrong, told in (
        (json.dumps({"device": "b", "csr": "00"}), "b: these bytes are not a certificate request"),
        (wish("sim-00001"), "asked for twice"),
        (wish("b", site="x" * 201), "at most 200 printable characters"),
        (wish("b", latitude=91.0, longitude=0.0), "Latitude 91"),
        (wish("Lamp"), "device 'Lamp'"),
        (wish("c").replace('"c"', '"d"'), "asks for the name 'city/c', not for 'city/d'"),
    ):
        status, said = console.admit(wish("sim-00001"), wrong)
        assert status == 1
        assert told in said
    assert not console.answers.exists() or not console.answered()  # of a lot with a mistake nobody is let in
    _, listed = console.run("lamppost", "list", "--json")
    assert json.loads(listed) == []
