"""`lamppost fleet account`: what a person does with their own account, on a real terminal."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyotp
import pytest

from fleet_server import admin_cli
from fleet_server.access import service as access
from fleet_server.access.rules import CONSOLE, Role
from fleet_server.config import load_config
from fleet_server.context import Context
from tests.support.terminal import talk

OLD, NEW = "a lamp for every street", "a street for every lamp"


@pytest.fixture
def config(database_url: str, tmp_path: Path) -> Path:
    file = tmp_path / "server.toml"
    file.write_text(f'data_dir = "{tmp_path}/data"\n[database]\nurl = "{database_url}"\n')
    (tmp_path / "old").write_text(OLD + "\n")
    (tmp_path / "new").write_text(NEW + "\n")
    return file


@pytest.fixture
def ctx(config: Path) -> Context:
    return Context.of(load_config(config))


def command(config: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "lamppost", "fleet", "account", *arguments, "--config", str(config)]


def secret(seen: str) -> str:
    found = re.search(r"type in: ([A-Z2-7]+)", seen)
    assert found is not None, seen
    return found[1]


def code(seen: str | None = None, of: str = "", after_s: int = 0) -> str:
    """after_s: a code is good half a minute, and no code twice."""
    totp = pyotp.TOTP(of or secret(seen or ""))
    return totp.at(datetime.now(UTC) + timedelta(seconds=after_s))


def test_a_second_factor_is_set_up_used_and_taken_away_at_a_terminal(config: Path, ctx: Context) -> None:
    access.create_operator(ctx, CONSOLE, "ana", OLD, (Role.ADMIN,))
    status, seen = talk(
        command(config, "factor", "--as", "ana", "--json"),
        [("Password of ana: ", OLD), ("The code that it shows for ana: ", code)],
    )
    assert status == 0, seen
    kept, codes = secret(seen), re.findall(r'"recovery code": "(\S+)"', seen)
    assert len(codes) == 10
    assert "\x1b[97;40m" in seen, "a code to scan, in colours of its own"
    assert OLD not in seen

    wrong: list[tuple[str, str | Callable[[str], str]]] = [
        ("Password of ana: ", OLD),
        ("Code of the second factor of ana: ", "000000"),
    ]
    status, seen = talk(command(config, "show", "--as", "ana"), wrong)
    assert status == 1, seen
    assert "Traceback" not in seen

    status, seen = talk(
        command(config, "factor-remove", "--as", "ana"),
        [
            ("Password of ana: ", OLD),
            ("Code of the second factor of ana: ", codes[0]),
            ("The next code of the second factor of ana: ", lambda _: code(of=kept, after_s=30)),
        ],
    )
    assert status == 0, seen
    assert not access.sign_in(ctx, "ana", OLD).must_change, "by the password alone again"


def test_a_password_of_somebody_else_s_choice_is_changed_from_a_script(
    config: Path, ctx: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    access.create_operator(ctx, CONSOLE, "bea", OLD, (Role.VIEWER,), one_time=True)

    def run(*arguments: str) -> tuple[int, str]:
        status = admin_cli.main(["account", *arguments, "--as", "bea", "--config", str(config)])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    by = ("--password-file", str(tmp_path / "old"))
    status, said = run("show", *by)
    assert (status, "lamppost fleet account password --as bea" in said) == (1, True), said
    assert run("password", *by, "--new-password-file", str(tmp_path / "old"))[0] == 1, "the same one"
    assert run("password", *by, "--new-password-file", str(tmp_path / "nowhere"))[0] == 2
    assert run("password", *by, "--new-password-file", str(tmp_path / "new"))[0] == 0
    status, said = run("show", "--json", "--password-file", str(tmp_path / "new"))
    assert (status, json.loads(said)) == (
        0,
        [{"name": "bea", "password": "yes", "second factor": "no", "sessions": 0}],
    )
    status, said = run("factor", "--password-file", str(tmp_path / "new"))
    assert (status, "no terminal" in said) == (1, True)
