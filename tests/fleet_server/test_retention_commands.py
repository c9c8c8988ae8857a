"""`lamppost fleet retention`: what is kept for how long, from a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from fleet_server import admin_cli


@pytest.fixture
def config(database_url: str, tmp_path: Path) -> Path:
    file = tmp_path / "server.toml"
    file.write_text(
        f'data_dir = "{tmp_path}"\n[database]\nurl = "{database_url}"\n[retention]\nlong_days = 0\n'
    )
    return file


def run(config: Path, *words: str) -> int:
    return admin_cli.main(["retention", words[0], "--config", str(config), "--json", *words[1:]])


def answer(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def test_rules_are_made_listed_and_cleared(
    config: Path, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "WITH d AS (INSERT INTO device (tenant, name) VALUES ('city', 'a') RETURNING id)"
            " INSERT INTO sensor_unit (device_id, kind, layout, declared_at)"
            " SELECT id, 'co2', '[]', now() FROM d"
        )
        connection.execute(
            "INSERT INTO retention_log (at, what, rows, partitions, kept_from)"
            " VALUES ('2026-11-20Z', 'sample_short', 7, 1, '2026-10-01Z')"
        )
    assert run(config, "set", "--kind", "co2", "--class", "long") == 0
    assert answer(capsys)[0]["unchanged"] == 1
    assert run(config, "set", "--kind", "pms500", "--class", "long") == 0
    assert capsys.readouterr().err == "No lamppost of city has declared a pms500 yet.\n"
    assert run(config, "clear", "--kind", "pms500") == 0
    capsys.readouterr()
    assert admin_cli.main(["tenants", "add", "harbour", "--config", str(config)]) == 0
    assert run(config, "set", "--class", "long", "--days", "900", "--tenant", "harbour") == 0
    assert run(config, "set", "--class", "short", "--days", "5") == 0
    capsys.readouterr()
    assert run(config, "list") == 0
    assert answer(capsys) == [
        {"tenant": None, "kind": None, "class": "short", "days": 30},
        {"tenant": None, "kind": None, "class": "standard", "days": 400},
        {"tenant": None, "kind": None, "class": "long", "days": "for ever"},
        {"tenant": "city", "kind": None, "class": "short", "days": 5},
        {"tenant": "harbour", "kind": None, "class": "long", "days": 900},
        {"tenant": "city", "kind": "co2", "class": "long", "days": None},
    ]
    assert run(config, "clear", "--kind", "co2") == 0
    assert run(config, "clear", "--class", "short") == 0
    capsys.readouterr()
    assert run(config, "list") == 0
    assert len(answer(capsys)) == 4
    assert run(config, "log") == 0
    assert answer(capsys)[0]["rows"] == 7
    for words, part in (
        (("set", "--class", "short", "--days", "31"), "from 1 to 30"),
        (("set", "--class", "short", "--days", "0"), "from 1 to 30"),
        (("set", "--class", "short"), "Give --class with"),
        (("set", "--kind", "co2", "--class", "long", "--days", "3"), "Give --class with"),
        (("set", "--kind", "", "--class", "long"), "printable"),
        (("set", "--kind", "x\x1b[2J", "--class", "long"), "printable"),
        (("set", "--kind", "x" * 65, "--class", "long"), "printable"),
        (("set", "--kind", "x", "--class", "long", "--tenant", "No/Body"), "--tenant"),
        (("clear", "--kind", "co2"), "no rule"),
        (("clear", "--class", "standard"), "no days of its own"),
        (("clear",), "which rule"),
        (("log", "--limit", "0"), "from 1 to"),
    ):
        assert run(config, *words) == 1, words
        assert part in json.loads(capsys.readouterr().out)["error"], words


@pytest.mark.parametrize(
    ("lines", "part"),
    [
        ("short_days = -1", "0 (for ever), or a whole number"),
        ("short_days = true", "0 (for ever), or a whole number"),
        ('standard_days = "400"', "0 (for ever), or a whole number"),
        ("minutes_days = 3", "from 14"),
        ("hours_days = 100", "at least retention.minutes_days (400)"),
        ("minutes_days = 0", "at least retention.minutes_days (for ever)"),
        ("days_days = 3000", "at least retention.hours_days (3650)"),
        ("weeks = 3", "only a key that exists"),
    ],
)
def test_a_wrong_configuration_says_what_is_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: str, part: str
) -> None:
    file = tmp_path / "server.toml"
    file.write_text(f"[retention]\n{lines}\n")
    assert admin_cli.main(["retention", "list", "--config", str(file)]) == 2
    assert part in capsys.readouterr().err
