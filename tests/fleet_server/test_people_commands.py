"""`lamppost fleet operators|sessions|tokens|approvals`, on a database of the test's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fleet_server import admin_cli
from fleet_server.access import service as access
from fleet_server.access import two_person
from fleet_server.access.errors import SecondPersonNeeded
from fleet_server.access.rules import Action, Principal, Role
from fleet_server.config import load_config
from fleet_server.context import Context

PASSWORD = "a lamp for every street"


class Console:
    """Runs commands against one configuration."""

    def __init__(self, config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.config_file, self.capsys = config_file, capsys

    def text(self, *arguments: object) -> tuple[int, str]:
        status = admin_cli.main([*map(str, arguments), "--config", str(self.config_file)])
        printed = self.capsys.readouterr()
        return status, printed.out + printed.err

    def rows(self, *arguments: object) -> Any:
        status, out = self.text(*arguments, "--json")
        assert status == 0, out
        assert ': ""' not in out, "what is not there is null"
        return json.loads(out)


@pytest.fixture
def console(database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Console:
    file = tmp_path / "server.toml"
    file.write_text(f'data_dir = "{tmp_path}/data"\n[database]\nurl = "{database_url}"\n')
    (tmp_path / "pass").write_text(PASSWORD + "\n")
    return Console(file, capsys)


def test_accounts_tokens_sessions_and_approvals(console: Console, tmp_path: Path) -> None:
    secret = ("--password-file", tmp_path / "pass")
    for tenant in ("porto", "faro"):
        console.rows("tenants", "add", tenant)
    console.rows("operators", "add", "ana", "--tenant", "porto", "--role", "admin", *secret)
    console.rows("operators", "add", "bea", "--tenant", "porto", "--role", "approver", *secret)
    console.rows("operators", "add", "robot", "--no-password", "--role", "viewer")
    [made] = console.rows("operators", "grant", "ana", "--tenant", "faro", "--role", "viewer")
    assert made["roles"] == "faro: viewer; porto: admin"
    [made] = console.rows("operators", "revoke", "ana", "--tenant", "faro")
    assert made["roles"] == "porto: admin"
    assert [each["roles"] for each in console.rows("operator", "list")] == [
        "porto: admin", "porto: approver", "viewer",
    ]  # fmt: skip
    ctx = Context.of(load_config(console.config_file))
    access.sign_in(ctx, "ana", PASSWORD)
    assert [(each["from"], each["with"]) for each in console.rows("sessions", "list", "ana")] == [
        (None, None)
    ]
    console.rows("sessions", "end", "ana")
    access.sign_in(ctx, "ana", PASSWORD, "10.0.0.1")
    assert [each["from"] for each in console.rows("sessions", "list", "ana")] == ["10.0.0.1"]
    assert console.rows("sessions", "end", "ana") == [{"name": "ana", "ended": 1}]
    assert console.text("operators", "totp-reset", "ana")[0] == 1

    assert {"scope": "telemetry:read"} in console.rows("tokens", "scopes")
    [token] = console.rows(
        "tokens", "new", "nightly", "--owner", "robot", "--scope", "telemetry:read", "--days", "9"
    )
    assert access.resolve(ctx, token["token"]) is not None
    assert [(each["name"], each["owner"]) for each in console.rows("tokens", "list")] == [
        ("nightly", "robot")
    ]
    assert console.rows("tokens", "revoke", token["id"])[0]["revoked"]
    assert access.resolve(ctx, token["token"]) is None
    for wrong in (
        ("tokens", "new", "x", "--owner", "nobody", "--scope", "telemetry:read", "--days", "9"),
        ("tokens", "new", "x", "--owner", "robot", "--scope", "fly", "--days", "9"),
        ("tokens", "new", "x", "--owner", "robot", "--scope", "devices:change", "--days", "9"),
        ("tokens", "new", "x", "--owner", "robot", "--scope", "telemetry:read", "--days", "10000000000"),
        ("tokens", "revoke", "99"),
        ("tokens", "revoke", "9" * 12),
        ("operators", "grant", "ana", "--tenant", "No!", "--role", "viewer"),
        ("operators", "grant", "ana", "--tenant", "prto", "--role", "viewer"),
        ("operators", "add", "eve", "--tenant", "prto", "--role", "viewer", "--generate"),
        (
            *[
                "tokens",
                "new",
                "x",
                "--owner",
                "robot",
                "--scope",
                "telemetry:read",
                "--days",
                "9",
                "--tenant",
                "prto",
            ],
        ),
        ("tenants", "quota", "prto", "--devices", "3"),
        ("tenants", "add", "porto"),
        ("retention", "set", "--tenant", "prto", "--class", "short", "--days", "3"),
        ("operators", "grant", "nobody", "--role", "viewer"),
        ("approvals", "show", "99"),
        ("approvals", "approve", "99", "--as", "bea", *secret),
        ("approvals", "approve", "99", "--as", "bea"),
        ("sessions", "list", "nobody"),
    ):
        status, said = console.text(*wrong)
        assert status == 1, wrong
        assert len(said.strip().splitlines()) == 1, said
        assert ("Did you mean porto?" in said) == ("prto" in wrong), said
    listed = console.rows("tenants", "list")
    assert [each["name"] for each in listed] == ["faro", "porto"]
    limits = {name: each for name, each in listed[0].items() if name not in ("name", "title", "lampposts")}
    assert all(each is None or each > 0 for each in limits.values()), "what nothing limits is null"
    assert None in limits.values()

    ana = Principal("operator", "ana", frozenset({Role.ADMIN}), "porto")
    with pytest.raises(SecondPersonNeeded) as needed:
        two_person.need(ctx, ana, Action.PRIVACY_ERASE, "rui", two_person.digest(name="rui"))
    number = needed.value.members["request"]
    assert [each["id"] for each in console.rows("approvals", "list", "--state", "waiting")] == [number]
    status, said = console.text("approvals", "approve", number, "--as", "ana", *secret)
    assert (status, "another one" in said) == (1, True)
    [given] = console.rows("operators", "password", "bea", "--generate")
    (tmp_path / "given").write_text(given["password"])
    status, said = console.text(
        "approvals", "approve", number, "--as", "bea", "--password-file", tmp_path / "given"
    )
    assert (status, "lamppost fleet account password --as bea" in said) == (1, True)
    console.rows("operators", "password", "bea", *secret)
    [decided] = console.rows("approvals", "approve", number, "--as", "bea", "--note", "seen it", *secret)
    assert (decided["state"], decided["decided by"], decided["note"]) == ("approved", "bea", "seen it")
    two_person.need(ctx, ana, Action.PRIVACY_ERASE, "rui", two_person.digest(name="rui"))
    assert console.rows("approvals", "show", number)[0]["state"] == "used"
    assert console.rows("sessions", "list", "bea") == []
    ctx.db.close()


@pytest.mark.parametrize("group", ["operators", "sessions", "tokens", "approvals"])
def test_each_group_has_examples(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        admin_cli.main([group, "--help"])
    assert ended.value.code == 0
    assert f"lamppost fleet {group} " in capsys.readouterr().out
