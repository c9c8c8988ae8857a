"""`lamppost fleet twin | settings | groups`, on a database of the test's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fleet_server import admin_cli
from fleet_server.twin import reconciling
from tests.support.server_context import make_context

FLUSH = "telemetry.flush_interval_s"


def test_the_whole_of_it_from_a_terminal(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "server.toml"
    file.write_text(
        f'data_dir = "{tmp_path}/data"\n[database]\nurl = "{database_url}"\n[tenant]\nname = "city"\n'
    )
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO device (tenant, name, state) VALUES ('city', 'lamp-07', 'active')")

    def text(*arguments: str) -> tuple[int, str, str]:
        status = admin_cli.main([*arguments, "--config", str(file)])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    def rows(*arguments: str) -> Any:
        status, out, _ = text(*arguments, "--json")
        assert status == 0, out
        return json.loads(out)

    assert {"setting", "allows", "default", "takes effect", "changes"} == rows("settings", "list")[0].keys()
    assert rows("settings", "show") == []
    assert rows("settings", "set", f"{FLUSH}=30", "log.level=debug") == [
        {"setting": "log.level", "value": "debug", "etag": 1},
        {"setting": FLUSH, "value": 30, "etag": 1},
    ]
    assert rows("settings", "set", "--unset", "log.level", "--etag", "1")[0]["etag"] == 2
    assert rows("twin", "tag", "lamp-07", "model=pi5", "lit=true", "pole.height_m=4.5") == [
        {"tag": "lit", "value": True},
        {"tag": "model", "value": "pi5"},
        {"tag": "pole.height_m", "value": 4.5},
    ]
    [shown] = rows("twin", "set", "city/lamp-07", f"{FLUSH}=5", "--reason", "a fault")
    assert (shown["desired"], shown["from"], shown["state"]) == (5, "device city/lamp-07", "not yet there")
    assert rows("groups", "preview", 'tag.model = "pi5"') == [{"fits": 1, "first": "lamp-07"}]
    assert rows("groups", "add", "pis", "--query", 'tag.model = "pi5"', "--priority", "3")[0]["members"] == 1
    rows("groups", "set", "pis", "presence.refresh_s=300")
    assert rows("groups", "members", "pis") == [{"device": "city/lamp-07"}]
    assert rows("groups", "add", "harbour", "--title", "By the water")[0]["query"] is None
    assert rows("groups", "members", "harbour", "--add", "lamp-07") == [{"device": "city/lamp-07"}]
    assert rows("groups", "members", "harbour", "--remove", "lamp-07") == []
    assert rows("groups", "change", "harbour", "--priority", "9")[0]["priority"] == 9
    assert [each["group"] for each in rows("groups", "list")] == ["harbour", "pis"]
    context = make_context(database_url, tmp_path / "data")
    reconciling.reconcile(context.db)
    context.db.close()
    assert {each["setting"]: each["from"] for each in rows("twin", "show", "lamp-07")} == {
        "presence.refresh_s": "group pis",
        FLUSH: "device city/lamp-07",
    }
    assert {(each["reported"], each["ties"]) for each in rows("twin", "show", "lamp-07")} == {(None, None)}
    assert "None" not in text("twin", "show", "lamp-07")[1]
    assert rows("twin", "set", "lamp-07", "log.level=debug")[0]["setting"] == "log.level"
    for unset in ("log", "sensor.front.every_s", "sensor"):
        assert text("twin", "set", "lamp-07", "--unset", unset)[0] == 0, unset
    assert "log.level" not in {each["setting"] for each in rows("twin", "show", "lamp-07")}
    assert rows("groups", "show", "pis")[0]["settings"] == {"presence.refresh_s": 300}
    assert rows("groups", "remove", "harbour") == [{"group": "harbour", "removed": True}]

    for arguments, told in (
        (("twin", "show", "nobody"), "no device"),
        (("twin", "show", "NO BODY"), "NO BODY"),
        (("twin", "set", "lamp-07"), "what is to change"),
        (("twin", "set", "lamp-07", "x"), "not KEY=VALUE"),
        (("twin", "set", "lamp-07", "colour=red"), "no such setting"),
        (("twin", "set", "lamp-07", "--unset", "nonsense"), "no setting 'nonsense'"),
        (
            ("twin", "set", "lamp-07", "--unset", "log.level", "telemetry.flush"),
            "no setting 'telemetry.flush'",
        ),
        (("settings", "set", "--unset", "nonsense"), "settings list"),
        (("groups", "set", "pis", "--unset", "nonsense"), "no setting 'nonsense'"),
        (("twin", "set", "lamp-07", f"{FLUSH}=soon"), "must be a number from 1 to 60 s"),
        (("twin", "set", "lamp-07", f"{FLUSH}=5", "--unset", FLUSH), "at once"),
        (("settings", "set", f"{FLUSH}=5", "--etag", "1"), "has changed since"),
        (("settings", "set", f"{FLUSH}=5", "--etag", "x"), "an etag is a number"),
        (("settings", "set", "a..b=5"), "is no key"),
        (("settings", "show", "--tenant", "NO"), "tenant"),
        (("settings", "show", "--tenant", "cty"), "There is no tenant cty. Did you mean city?"),
        (("settings", "set", f"{FLUSH}=5", "--tenant", "cty"), "no tenant cty"),
        *(
            (("groups", *words, "--tenant", "cty"), "no tenant cty")
            for words in (
                ("list",),
                ("preview", "tag.a = 1"),
                ("show", "pis"),
                ("add", "x"),
                ("change", "pis", "--priority", "1"),
                ("remove", "pis"),
                ("members", "pis"),
                ("set", "pis", f"{FLUSH}=5"),
            )
        ),
        (("groups", "show", "nobody"), "no group"),
        (("groups", "add", "x", "--query", "tag."), "The query"),
        (("groups", "members", "pis", "--add", "lamp-07"), "A query decides"),
    ):
        status, _, err = text(*arguments)
        assert (status, told in err) == (1, True), (arguments, err)


def test_an_option_that_there_is_not_is_told_with_the_usage_of_its_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as left:
        admin_cli.main(["groups", "preview", "--query", 'tag.model = "pi5"'])
    told = capsys.readouterr().err
    assert (left.value.code, told.startswith("usage: lamppost fleet groups preview")) == (2, True), told
    assert "unrecognized arguments: --query" in told
