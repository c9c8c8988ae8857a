"""`lamppost fleet incidents`, on a database of the test's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fleet_server import admin_cli
from tests.fleet_server.decisions.street import Street, street_of
from tests.fleet_server.telemetry.support import NOW_MS, Desk


@pytest.fixture
def street(database_url: str) -> Street:
    """Its first lamppost has opened an incident."""
    desk = Desk(database_url)
    made = street_of(desk, 3)
    made.says(0, reason="PM2.5 rose fast\x1b[2J")
    made.decide()
    return made


@pytest.fixture
def config(database_url: str, tmp_path: Path) -> Path:
    """A server whose street clock stands, all but, at the tests' instant."""
    clock = tmp_path / "clock.json"
    clock.write_text(json.dumps({"speed": 0.000001, "street_zero_ms": NOW_MS, "wall_zero_ms": 0}))
    file = tmp_path / "server.toml"
    file.write_text(
        f'data_dir = "{tmp_path}/data"\n[database]\nurl = "{database_url}"\n[bench]\nclock_file = "{clock}"\n'
    )
    return file


class Console:
    """`lamppost fleet incidents`."""

    def __init__(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.config, self.capsys = config, capsys

    def text(self, *arguments: object) -> tuple[int, str, str]:
        status = admin_cli.main(["incidents", *map(str, arguments), "--config", str(self.config)])
        printed = self.capsys.readouterr()
        return status, printed.out, printed.err

    def rows(self, *arguments: object) -> Any:
        status, out, _ = self.text(*arguments, "--json")
        assert status == 0, out
        assert ': ""' not in out, "what is not there is null"
        return json.loads(out)


@pytest.fixture
def console(config: Path, street: Street, capsys: pytest.CaptureFixture[str]) -> Console:
    return Console(config, capsys)


def test_a_days_work(console: Console, street: Street) -> None:
    [row] = console.rows("list", "--state", "open")
    number = row["id"]
    assert (row["severity"], row["title"]) == ("minor", "Episode in Old Town: lamp-00")
    assert console.rows("ack", number)[0]["looked after by"].startswith("console:")
    [silenced] = console.rows("silence", number, "--for", "2h")
    assert silenced["silenced until"].startswith("2026-11-20T14:")
    assert console.rows("silence", number, "--off")[0]["silenced until"] is None
    console.rows("note", number, "a skip burns")
    [closed] = console.rows("close", number, "--reason", "put out")
    assert closed["state"] == "closed"
    [shown] = console.rows("show", number)
    assert [line["what"] for line in shown["history"]] == [
        "opened",
        "acknowledged",
        "silenced",
        "heard",
        "note",
        "closed",
    ]
    assert shown["why closed"] == "put out"
    assert [m["lamppost"] for m in shown["lampposts"]] == ["city/lamp-00"]
    assert [v["kind"] for v in shown["verdicts"]] == ["episode"]
    assert console.rows("list", "--state", "open") == []


def test_the_table_is_for_people(console: Console, street: Street) -> None:
    street.says(2, 1)
    street.decide(1)
    lines = console.text("list")[1].splitlines()
    assert lines[0].split()[:4] == ["id", "state", "severity", "title"]
    assert len(lines) == 3
    shown = console.text("show", console.rows("list")[-1]["id"])[1]
    assert "PM2.5 rose fast" in shown
    assert "None" not in shown
    assert "\x1b" not in shown, "what a lamppost writes is not obeyed by the terminal"
    number = console.rows("list")[-1]["id"]
    console.rows("close", number, "--reason", "put out\x1b[2J")
    assert "\x1b" not in console.text("show", number)[1], "nor is what people write"
    assert console.rows("show", number)[0]["why closed"] == "put out\x1b[2J"


def test_pages(console: Console, street: Street) -> None:
    street.says(2, 1)
    street.decide(1)
    [first] = console.rows("list", "--limit", 1)
    [second] = console.rows("list", "--after", first["id"])
    assert second["id"] < first["id"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["show", "999"], "no incident 999"),
        (["ack", "999"], "no incident 999"),
        (["close", "ID", "--version", "7"], "has changed since"),
        (["silence", "ID", "--for", "8d"], "within the next 7 days"),
        (["note", "ID", " "], "says something"),
        (["list", "--limit", "-1"], "not one that can"),
        (["list", "--limit", "9" * 20], "not one that can"),
        (["show", "9" * 20], "not one that can"),
        (["note", "ID", "\udcff"], "is text"),  # a byte that is no UTF-8, as Python hands it on
        (["close", "ID", "--reason", "\udcff"], "is text"),
    ],
)
def test_what_cannot_be_done_is_one_line(console: Console, arguments: list[str], told: str) -> None:
    number = str(console.rows("list")[0]["id"])
    status, out, error = console.text(*[number if each == "ID" else each for each in arguments])
    assert (status, out, error.count("\n")) == (1, "", 1)
    assert told in error


@pytest.mark.parametrize("what", [[], ["list"], ["show"], ["ack"], ["silence"], ["note"], ["close"]])
def test_help(what: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        admin_cli.main(["incidents", *what, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "usage: lamppost fleet incidents" in shown
    assert what or "lamppost fleet incidents silence 12 --for 2h" in shown


@pytest.mark.parametrize(
    "arguments",
    [["silence", "1"], ["silence", "1", "--for", "soon"], ["show"], ["list", "--state", "burning"]],
)
def test_a_wrong_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        admin_cli.main(["incidents", *arguments])
    assert ended.value.code == 2
