"""`lamppost ingest dead`, on a database of the test's own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet_server import ingest_cli
from fleet_server.telemetry.ingest import dead_letters
from fleet_server.telemetry.ingest.intake import Incoming
from tests.fleet_server.telemetry.support import NOW_MS, Desk, Post
from wire_contract.classes import Class


class Console:
    """Runs commands against one configuration."""

    def __init__(self, config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.config_file, self.capsys = config_file, capsys

    def text(self, *arguments: object) -> tuple[int, str, str]:
        config = ["--config", str(self.config_file)]
        try:
            status = ingest_cli.main(["dead", *map(str, arguments), *config])
        except SystemExit as ended:
            status = int(ended.code or 0)
        printed = self.capsys.readouterr()
        return status, printed.out, printed.err

    def json(self, *arguments: object, status: int = 0) -> Any:
        ended, out, _ = self.text(*arguments, "--json")
        assert ended == status, out
        return json.loads(out)


@pytest.fixture
def console(database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Console:
    file = tmp_path / "server.toml"
    file.write_text(f'data_dir = "{tmp_path}/data"\n[database]\nurl = "{database_url}"\n')
    return Console(file, capsys)


@pytest.fixture
def desk(database_url: str) -> Iterator[Desk]:
    made = Desk(database_url)
    yield made
    made.close()


def test_letters_are_listed_shown_and_tried_again(console: Console, desk: Desk, tmp_path: Path) -> None:
    one, other = Post("lamp-01"), Post("lamp-02")
    desk.register(one, other)
    assert console.text("list")[:2] == (0, "none\n")
    undeclared = [one.publish(Class.LIVE, one.samples([NOW_MS - n])) for n in range(1, 4)]
    desk.take(*undeclared)
    desk.take(other.publish(Class.LIVE, b"\x1b[2J no message"))
    desk.take(Incoming("lp/1/\x1b[31m/x", b"", (("\x07", "y"),)))

    listed = console.json("list")["letters"]
    assert [each["reason"] for each in listed][1:] == ["future_version", *["unknown_sensor"] * 3]
    assert [each["id"] for each in listed] == sorted((each["id"] for each in listed), reverse=True)
    page = console.json("list", "--reason", "unknown_sensor", "--limit", 2)
    rest = console.json("list", "--reason", "unknown_sensor", "--limit", 2, "--before", page["next_before"])
    assert page["letters"] + rest["letters"] == listed[2:]
    assert rest["next_before"] is None
    assert console.json("list", "--device", "lamp-02", "--since", "1h")["letters"] == [listed[1]]
    assert console.json("list", "--since", "2100-01-01")["letters"] == []
    assert console.text("list", "--reason", "truncated")[:2] == (0, "none\n")
    assert console.text("list", "--device", "city/lamp-01", "--since", "2100-01-01")[:2] == (0, "none\n")

    first = listed[-1]["id"]
    shown = console.json("show", first)
    assert (shown["device"], shown["sequence"], shown["missing_unit"]) == ("city/lamp-01", 1, 1)
    assert (
        shown["content"]["blocks"][0] | {"rows": 1, "unit": 1, "slots": [0, 1, 2]}
        == shown["content"]["blocks"][0]
    )
    assert bytes.fromhex(shown["payload_hex"]) == undeclared[0].payload
    for each in listed:
        status, out, _ = console.text("show", each["id"])
        assert status == 0
        assert all(char.isprintable() for char in out.replace("\n", "")), "no terminal obeys it"
    raw = tmp_path / "letter.bin"
    assert console.text("show", first, "--raw", raw)[0] == 0
    assert raw.read_bytes() == undeclared[0].payload
    status, _, error = console.text("show", first, "--raw", raw)
    assert (status, "is there already" in error) == (1, True)

    told = console.json("replay", "--all", status=1)
    assert (told["tried"], told["refused"], told["samples"]) == (5, 5, 0)
    desk.take(one.declare())
    told = console.json("replay", "--reason", "unknown_sensor", "--device", "city/lamp-01")
    assert (told["tried"], told["stored"], told["samples"]) == (3, 3, 3)
    assert desk.one("SELECT count(*) FROM sample") == 3
    assert console.json("replay", first)["done_before"] == 1
    assert [each["reason"] for each in console.json("list")["letters"]][1:] == ["future_version"]
    assert len(console.json("list", "--all")["letters"]) == 5
    status, out, _ = console.text("replay", listed[1]["id"])
    assert (status, "1 letters tried: 1 refused" in out, "future_version" in out) == (1, True, True)


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["show", "999"], 1, "no dead letter 999"),
        (["show", "x"], 2, "number"),
        (["show", "9" * 30], 2, "number"),
        (["replay"], 2, "give the numbers"),
        (["replay", "1", "--all"], 2, "give the numbers"),
        (["replay", "999"], 1, ""),
        (["list", "--limit", "0"], 2, "number"),
        (["list", "--since", "yesterday"], 2, "no time"),
        (["list", "--since", "99999999d"], 2, "no time"),
        (["list", "--device", "A B"], 2, "--device"),
        (["list", "--device", ""], 2, "--device"),
        (["list", "--before", "-3"], 2, "number"),
        (["list", "--reason", "nonsense"], 2, "choose from 'bad_properties'"),
        (["replay", "--reason", "unknwon"], 2, "'unknown_sensor'"),
        (["list", "--device", "nothere"], 1, "no device city/nothere"),
        (["replay", "--device", "nothere"], 1, "no device city/nothere"),
        (["list", "--nonsense"], 2, "usage: lamppost ingest dead list"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    console: Console, arguments: list[str], status: int, told: str
) -> None:
    ended, out, error = console.text(*arguments)
    assert (ended, told in error + out) == (status, True), error
    assert "Traceback" not in error


def test_the_reasons_are_those_that_the_server_gives_and_the_page_explains() -> None:
    """By the sources: a reason that is new stands in all three."""
    page = Path("docs/ingest.md").read_text(encoding="utf-8").partition("| reason |")[2].partition("\n\n")[0]
    reasons = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    explained = set(re.findall(r"`([a-z_]+)`", " ".join(reasons)))
    given = Path("fleet_server/telemetry/ingest/intake.py").read_text(encoding="utf-8")
    literal = set(re.findall(r'(?:delivery|None), "([a-z_]+)", |return "([a-z]+_[a-z_]+)", ', given))
    assert {first or second for first, second in literal} == set(dead_letters.REFUSALS)
    assert explained == set(dead_letters.REASONS)


def test_a_server_that_is_not_there_and_help(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ingest_cli.main(["dead", "list", "--data", str(tmp_path / "nothing")]) == 2
    assert "no server's data" in capsys.readouterr().err
    for words in (["--help"], ["dead", "--help"], ["dead", "replay", "--help"]):
        with pytest.raises(SystemExit) as ended:
            ingest_cli.main(words)
        assert ended.value.code == 0
    assert "usage: lamppost ingest" in capsys.readouterr().out
