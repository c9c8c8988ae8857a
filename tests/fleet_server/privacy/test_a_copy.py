"""A copy for somebody is whole, however much there is, and never all of it in memory."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from fleet_server import privacy_cli
from fleet_server.access import service as access
from fleet_server.access.rules import CONSOLE, Principal, Role
from fleet_server.audit import keys
from fleet_server.auditor import service as auditor
from fleet_server.auditor.service import Wanted
from fleet_server.context import Context
from fleet_server.errors import Forbidden, InvalidRequest
from fleet_server.privacy import service, store
from tests.fleet_server.privacy.test_privacy import PASSWORD, sql
from tests.support.api import app_of
from tests.support.server_context import ADMIN, VIEWER

NOTES = 12_000
MEMORY_MOST_BYTES = 4_000_000  # all of them at once are 12 MB
PLACE = "incident_event.text"


@pytest.fixture(scope="module", autouse=True)
def noted(ctx: Context) -> None:
    keys.ensure(ctx.config.data_dir)
    access.create_operator(ctx, CONSOLE, "root", PASSWORD, (Role.ADMIN,))
    for tenant in ("city", "harbour"):
        sql(
            ctx,
            "INSERT INTO incident (tenant, kind, state, severity, title, opened_at, first_verdict_at,"
            " last_verdict_at, devices, peak_score)"
            " VALUES (:tenant, 'episode', 'open', 'minor', 't', now(), now(), now(), 1, 0.5)",
            tenant=tenant,
        )
    statement = (
        "INSERT INTO incident_event (incident_id, at, by, what, text, told) SELECT min(i.id),"
        " now() - n * interval '1 s', 'tom', 'note', n || ': told to Ana Silva' || repeat(' and', 100), true"
        " FROM generate_series(1, :notes) n, incident i GROUP BY n"
    )
    sql(ctx, statement, notes=NOTES)


def test_every_row_is_in_it(ctx: Context) -> None:
    tracemalloc.start()
    copied = [
        (row["id"], int(row["text"].partition(":")[0]))
        for place, row in service.export(ctx, ADMIN, ["Ana Silva"])
        if place == PLACE
    ]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert copied == sorted(copied), "in the order of the table's key"
    assert sorted(number for _, number in copied) == list(range(1, NOTES + 1))
    assert most < MEMORY_MOST_BYTES
    (found,) = (each for each in service.find(ctx, ADMIN, ["Ana Silva"]) if each.place.column == "text")
    assert found.rows == NOTES
    line = auditor.lines(ctx, ADMIN, Wanted(action="privacy:read"))[1]
    assert line.after["asked"] == "export"
    assert line.after["rows"] >= NOTES


def test_asking_is_checked_before_the_first_row(ctx: Context) -> None:
    with pytest.raises(Forbidden):
        service.export(ctx, VIEWER, ["Ana Silva"])
    with pytest.raises(InvalidRequest):
        service.export(ctx, ADMIN, ["x"])
    elsewhere = Principal("operator", "emil", frozenset({Role.ADMIN}), "nowhere")
    assert {place for place, _ in service.export(ctx, elsewhere, ["Ana Silva"])} <= {"audit_personal.value"}


@pytest.fixture
def http(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(store, "ROWS_AT_ONCE", 7)
    sql(ctx, "DELETE FROM incident_event WHERE id > (SELECT min(id) + 99 FROM incident_event)")
    with TestClient(app_of(ctx), raise_server_exceptions=False) as client:
        client.post("/api/v1/session", json={"name": "root", "password": PASSWORD})
        yield client


def test_over_http_and_in_a_file(
    ctx: Context, http: TestClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = http.post("/api/v1/privacy/export", json={"names": ["Ana Silva"]})
    assert (said.status_code, said.headers["content-type"]) == (200, "application/json")
    assert len(said.json()["copy"][PLACE]) == 100
    assert http.post("/api/v1/privacy/export", json={"names": ["Nobody Here"]}).json()["copy"].keys() <= {
        "audit_personal.value"
    }
    assert http.post("/api/v1/privacy/export", json={"names": ["x"]}).status_code == 422
    config, file = tmp_path / "server.toml", tmp_path / "copy.json"
    config.write_text(f'data_dir = "{ctx.config.data_dir}"\n[database]\nurl = "{ctx.db.url}"\n')
    asked = ["export", "Ana Silva", "--to", str(file), "--config", str(config), "--json"]
    assert privacy_cli.main(asked) == 0
    told = json.loads(capsys.readouterr().out)
    written = json.loads(file.read_text(encoding="utf-8"))
    assert told["places"] == {place: len(rows) for place, rows in written.items()}
    assert told["places"][PLACE] == 100
    assert file.stat().st_mode & 0o077 == 0


def test_a_copy_that_breaks_off_leaves_no_file(
    ctx: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_rows: object) -> Iterator[str]:
        yield "{"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(service, "as_json", full)
    config, file = tmp_path / "server.toml", tmp_path / "copy.json"
    config.write_text(f'data_dir = "{ctx.config.data_dir}"\n[database]\nurl = "{ctx.db.url}"\n')
    assert privacy_cli.main(["export", "Ana Silva", "--to", str(file), "--config", str(config)]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert not file.exists()
