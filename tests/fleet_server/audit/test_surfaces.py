"""The log over HTTP and from a terminal; a refusal leaves a line, and insisting does not leave thousands."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from fleet_server import audit_cli
from fleet_server.access import service as access
from fleet_server.access.rules import CONSOLE, Role
from fleet_server.api import create_app
from fleet_server.audit import keys
from fleet_server.audit.bounding import KEYS_MOST, WINDOW_S, Bounded
from fleet_server.auditor import service
from fleet_server.auditor.service import Wanted
from fleet_server.context import Context
from tests.support.server_context import ADMIN

PASSWORD = "nine green lamps at dusk"


@pytest.fixture(scope="module")
def http(ctx: Context) -> Iterator[TestClient]:
    keys.ensure(ctx.config.data_dir)
    for name, role in (("olga", Role.SECURITY_OFFICER), ("omar", Role.OPERATOR)):
        access.create_operator(ctx, CONSOLE, name, PASSWORD, (role,))
    with TestClient(create_app(ctx), raise_server_exceptions=False) as client:
        yield client


def signed_in(http: TestClient, name: str) -> dict[str, str]:
    made = http.post("/api/v1/session", json={"name": name, "password": PASSWORD})
    assert made.status_code == 201, made.text
    http.cookies.clear()
    return {"Authorization": f"Bearer {made.json()['token']}"}


def test_the_log_over_http(ctx: Context, http: TestClient) -> None:
    olga = signed_in(http, "olga")
    page = http.get("/api/v1/audit?limit=2", headers=olga).json()
    assert [line["action"] for line in page["lines"]] == ["session:begin", "operators:create"]
    assert (page["lines"][0]["who"], page["lines"][0]["address"]) == ("olga", "testclient")
    following = http.get("/api/v1/audit", params={"limit": 2, "cursor": page["next"]}, headers=olga).json()
    assert following["lines"][0]["resource"] == "olga"
    assert following["next"] is None
    number = following["lines"][0]["number"]
    assert http.get(f"/api/v1/audit/{number}", headers=olga).json() == following["lines"][0]
    assert http.get("/api/v1/audit/999", headers=olga).status_code == 404
    told = http.get("/api/v1/audit/verification", headers=olga).json()
    assert (told["sound"], told["fault"]) == (True, None)
    taken = http.get("/api/v1/audit/export?format=csv&names=false", headers=olga)
    assert taken.headers["content-type"] == "text/csv; charset=utf-8"
    assert "olga" not in taken.text
    assert len(http.get("/api/v1/audit/keys", headers=olga).json()["keys"]) == 1
    for wrong in (
        "limit=0",
        "limit=x",
        "from=yesterday",
        "from=2026-01-01T00:00:00",
        "cursor=xx",
        "whom=ana",
    ):
        assert http.get(f"/api/v1/audit?{wrong}", headers=olga).status_code in (400, 422), wrong
    assert http.get("/api/v1/audit/0", headers=olga).status_code == 422


def test_what_is_refused_is_written_down_and_counted(ctx: Context, http: TestClient) -> None:
    omar = signed_in(http, "omar")
    for _ in range(7):
        assert http.get("/api/v1/audit", headers=omar | {"X-Request-Id": "q-1"}).status_code == 403
    (refused,) = service.lines(ctx, ADMIN, Wanted(who="omar", action="audit:read"))
    assert (refused.outcome, refused.address, refused.request) == ("refused", "testclient", "q-1")


def test_bounding_tells_every_time_in_the_end() -> None:
    bounded: Bounded[str] = Bounded("others")
    assert bounded.happened("a", 0.0) == [("a", 1)]
    assert bounded.happened("a", 1.0) == []
    assert bounded.happened("b", 2.0) == [("b", 1)]
    assert bounded.happened("a", WINDOW_S - 1) == []
    assert bounded.happened("b", WINDOW_S + 2) == [("a", 2), ("b", 1)]
    assert bounded.happened("c", 3 * WINDOW_S) == [("c", 1)]
    for n in range(2 * KEYS_MOST):
        bounded.happened(f"n{n}", 10 * WINDOW_S)
    assert len(bounded._seen) == KEYS_MOST + 1
    assert bounded.happened("x", 11 * WINDOW_S) == [("others", KEYS_MOST - 1), ("x", 1)]


@pytest.fixture
def terminal(ctx: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    file = tmp_path / "server.toml"
    data, url = ctx.config.data_dir, ctx.db.url
    file.write_text(f'data_dir = "{data}"\n[database]\nurl = "{url}"\n')
    keys.ensure(data)

    def run(*arguments: str) -> tuple[int, str]:
        try:
            status = audit_cli.main([*arguments, "--config", str(file)])
        except SystemExit as ended:
            status = int(ended.code or 0)
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


def test_the_log_from_a_terminal(ctx: Context, terminal: Any, tmp_path: Path) -> None:
    access.create_operator(ctx, CONSOLE, "tess", PASSWORD, (Role.VIEWER,))
    status, told = terminal("list", "--action", "operators:", "--limit", "1", "--json")
    assert status == 0
    (line,) = json.loads(told)["lines"]
    assert (line["resource"], line["way"]) == ("tess", "server")
    assert "tess" in terminal("show", str(line["number"]))[1]
    status, told = terminal("checkpoint", "--json")
    signed = json.loads(told)
    assert service.lines(ctx, ADMIN, Wanted(), 1)[0].way == "command"
    seen = f"{signed['number']}:{signed['hash']}"
    assert terminal("verify", "--seen", seen) == (0, terminal("verify", "--seen", seen)[1])
    status, told = terminal("verify", "--seen", f"{signed['number']}:{'0' * 64}")
    assert status == 1
    assert "NOT SOUND" in told
    file = tmp_path / "audit.jsonl"
    assert terminal("export", str(file))[0] == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert terminal("verify", str(file))[0] == 0
    (key,) = keys.public_files(ctx.config.data_dir)
    assert terminal("verify", str(file), "--key", str(key), "--json")[0] == 0
    file.write_text(file.read_text().replace('"who"', '"whi"', 1))
    assert terminal("verify", str(file))[0] == 1
    assert "PUBLIC KEY" in terminal("keys")[1]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["list", "--limit", "0"], 2),
        (["list", "--limit", "9999"], 2),
        (["list", "--from", "yesterday"], 2),
        (["list", "--from", "2026-02-01", "--to", "2026-01-01"], 1),
        (["list", "--who", "a\udce9"], 0),
        (["show", "-1"], 2),
        (["show", "999999"], 1),
        (["verify", "--seen", "1:xyz"], 2),
        (["verify", "--key", "/dev/null"], 1),
        (["verify", "/nowhere/audit.jsonl"], 1),
        (["verify", "/dev/null"], 1),
        (["verify", "/dev/null", "--key", "/dev/null"], 2),
        (["export", "/nowhere/audit.jsonl"], 1),
        (["export", "/dev/null"], 1),
        (["nothing"], 2),
    ],
)
def test_mistakes_are_told(terminal: Any, arguments: list[str], status: int) -> None:
    found, told = terminal(*arguments)
    assert found == status, told
    assert "Traceback" not in told
    assert told.strip()


def test_a_mistake_has_its_own_words(ctx: Context, terminal: Any, tmp_path: Path) -> None:
    assert "'0' is not a number from 1 to" in terminal("list", "--limit", "0")[1]
    told = terminal("verify", "/nowhere/audit.jsonl", "--data", str(tmp_path))[1]
    assert told == "lamppost audit verify: /nowhere/audit.jsonl: there is no such file.\n"
    assert terminal("show", "1", "--nonsense")[1].startswith("usage: lamppost audit show")


@pytest.mark.parametrize("arguments", [[], ["audit.jsonl"], ["audit.jsonl", "nowhere.pem"], ["a", "b", "c"]])
def test_the_auditors_own_check_says_what_it_needs(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").write_text("{}\n")
    script = Path(__file__).with_name("verify_export.py")
    done = subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (done.returncode, "lamppost audit keys" in done.stderr) == (1, True), done.stderr
    assert "Traceback" not in done.stderr
