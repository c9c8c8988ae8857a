"""Somebody's data: every place is known, all is found, copied and erased, and what is measured stays."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from fleet_server import privacy_cli
from fleet_server.access import service as access
from fleet_server.access.errors import SecondPersonNeeded, SignInRefused
from fleet_server.access.rules import CONSOLE, Principal, Role
from fleet_server.audit import keys
from fleet_server.audit.recording import record
from fleet_server.auditor import service as auditor
from fleet_server.auditor.service import Wanted
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.service import Address
from fleet_server.errors import Forbidden, InvalidRequest, NotFound
from fleet_server.origin import coming_from
from fleet_server.privacy import service, upkeep
from fleet_server.privacy.inventory import NOBODY, PLACES, How, Kept
from fleet_server.twin import groups
from fleet_server.twin import service as twin
from tests.support.api import app_of
from tests.support.server_context import ADMIN, OPERATOR, VIEWER

PASSWORD = "nine green lamps at dusk"
ANA = Principal("operator", "ana", frozenset({Role.OPERATOR}))
NAMES = ["ana", "Ana Silva", "192.0.2.44"]


def sql(ctx: Context, statement: str, **values: Any) -> list[Any]:
    with ctx.db.session() as session:
        done = session.execute(text(statement), values)
        return list(done) if done.returns_rows else []  # type: ignore[attr-defined]


@pytest.fixture(scope="module", autouse=True)
def lived(ctx: Context) -> None:
    """What a year of Ana leaves behind."""
    keys.ensure(ctx.config.data_dir)
    access.create_operator(ctx, CONSOLE, "ana", PASSWORD, (Role.OPERATOR,))
    access.create_operator(ctx, CONSOLE, "ana-maria", PASSWORD, (Role.VIEWER,))
    with coming_from("api", "192.0.2.44"):
        access.sign_in(ctx, "ana", PASSWORD, "192.0.2.44")
        devices.register(ctx, ADMIN, Address("city", "lamp-01"), "balcony of Ana Silva, 2nd floor")
        with ctx.db.session() as session:
            record(session, ANA, "incidents:work", "12", reason="Ana saw it; ana-maria and banana did not")
    wish = twin.Wish({"owner": "Ana Silva"})
    twin.change_tags(ctx, ADMIN, Address("city", "lamp-01"), wish)
    groups.create(ctx, ADMIN, "balconies", title="looked after by Ana Silva", tenant="city")
    groups.change(ctx, ADMIN, "balconies", title="Ana Silva's", tenant="city")
    groups.delete(ctx, ADMIN, "balconies", tenant="city")
    sql(
        ctx,
        "INSERT INTO incident (tenant, kind, state, severity, title, opened_at, first_verdict_at,"
        " last_verdict_at, closed_at, closed_by, acknowledged_by, close_reason, devices, peak_score)"
        " VALUES ('city', 'episode', 'closed', 'minor', 't', now(), now(), now(), now(), 'ana', 'ana-maria',"
        " 'told to Ana Silva (banana)', 1, 0.5)",
    )
    sql(
        ctx,
        "INSERT INTO incident_event (incident_id, at, by, what, text, told)"
        " SELECT id, now(), 'ana', 'note', 'ana.silva is no one. Ana is.', true FROM incident",
    )


def test_every_column_that_may_hold_a_name_is_known(ctx: Context) -> None:
    found = sql(
        ctx,
        "SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables"
        " USING (table_schema, table_name) WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        " AND data_type IN ('text', 'character varying', 'jsonb', 'json', 'ARRAY')",
    )
    whole = {(re.sub(r"_(default|\d{4}_\d{2})$", "", table), column) for table, column in found}
    personal = {(place.table, place.column) for place in PLACES}
    nobody = {(table, column) for table, columns in NOBODY.items() for column in columns.split()}
    assert personal & nobody == set()
    assert whole - personal - nobody == set(), "say in fleet_server/privacy/inventory.py whose these are"
    in_bytes = {(place.table, place.column) for place in PLACES if place.how is How.BYTES}
    assert (personal | nobody) - whole - in_bytes == set(), "these are gone"


def test_each_place_of_a_class_has_an_age(ctx: Context) -> None:
    for place in PLACES:
        assert bool(place.at) is (place.kept is Kept.NAMES), place
    assert upkeep.forget_old(ctx) == 0  # every statement is understood by the database


def test_somebody_is_found_and_copied(ctx: Context) -> None:
    found = {f"{each.place.table}.{each.place.column}": each.rows for each in service.find(ctx, ADMIN, NAMES)}
    expected = {
        "operator.name",
        "operator_session.address",
        "device.site",
        "incident.closed_by",
        "incident.close_reason",
        "incident_event.by",
        "incident_event.text",
        "audit_personal.value",
    }
    assert expected <= found.keys()
    assert found["operator.name"] == 1
    copy = json.loads("".join(service.as_json(service.export(ctx, ADMIN, NAMES))))
    assert copy["incident_event.by"][0]["text"] == "ana.silva is no one. Ana is."
    assert "argon2" not in json.dumps(copy)
    assert service.find(ctx, ADMIN, ["nobody-at-all"]) == []
    asked = auditor.lines(ctx, ADMIN, Wanted(action="privacy:read"), 3)
    assert [each.resource for each in asked] == ["nobody-at-all", "ana", "ana"]
    for refused in (OPERATOR, VIEWER):
        with pytest.raises(Forbidden):
            service.find(ctx, refused, NAMES)


def test_a_tenant_reaches_its_own(ctx: Context) -> None:
    elsewhere = Principal("operator", "emil", frozenset({Role.ADMIN}), "harbour")
    assert service.find(ctx, elsewhere, NAMES) == []
    within = Principal("operator", "ella", frozenset({Role.ADMIN}), "city")
    places = {each.place.table for each in service.find(ctx, within, NAMES)}
    assert {"incident", "device"} <= places
    assert "operator" not in places


@pytest.mark.parametrize(
    "names", [[], [""], ["a"], ["x" * 201], ["a\x00b"], ["erased-0a1b2c3d"], ["ab"] * 11]
)
def test_what_is_no_name_is_told(ctx: Context, names: list[str]) -> None:
    with pytest.raises(InvalidRequest):
        service.find(ctx, ADMIN, names)


def test_erasing_leaves_what_was_measured_and_the_line(ctx: Context) -> None:
    lines = len(auditor.lines(ctx, ADMIN, Wanted(), 1000))
    with pytest.raises(InvalidRequest):
        service.erase(ctx, ANA_ADMIN, [" ana", *NAMES[1:]])
    done = service.erase(ctx, ADMIN, [" ana ", *NAMES[1:]], "request 17")
    assert done.account_shut
    assert service.find(ctx, ADMIN, NAMES[:2]) == []
    (row,) = sql(ctx, "SELECT closed_by, acknowledged_by, close_reason FROM incident")
    assert tuple(row) == (done.tombstone, "ana-maria", f"told to {done.tombstone} (banana)")
    (note,) = sql(ctx, "SELECT text FROM incident_event")
    assert note[0] == f"ana.silva is no one. {done.tombstone} is."
    (site,) = sql(ctx, "SELECT site FROM device")
    assert site[0] == f"balcony of {done.tombstone}, 2nd floor"
    assert sql(ctx, "SELECT name FROM operator WHERE NOT disabled")[0][0] == "ana-maria"
    with pytest.raises(SignInRefused):
        access.sign_in(ctx, "ana", PASSWORD)
    found = auditor.verify(ctx, ADMIN)
    assert found.fault is None
    assert found.erased > 0
    assert found.lines > lines
    assert sql(ctx, "SELECT body FROM audit_line WHERE body ~* 'ana silva'") == []
    assert sql(ctx, "SELECT tags->>'owner' FROM device_twin")[0][0] == done.tombstone
    erased = auditor.lines(ctx, ADMIN, Wanted(action="privacy:erase"))[0]
    assert (erased.who, erased.resource, erased.reason) == ("ada", done.tombstone, "request 17")
    assert auditor.lines(ctx, ADMIN, Wanted(action="incidents:work"))[0].who == done.tombstone
    with pytest.raises(NotFound):
        service.erase(ctx, ADMIN, ["never-heard-of"])


ANA_ADMIN = Principal("operator", "ana", frozenset({Role.ADMIN}))


def test_two_people_where_the_policy_asks(ctx: Context) -> None:
    strict = replace(ctx, config=replace(ctx.config, access=replace(ctx.config.access, two_person="on")))
    with pytest.raises(SecondPersonNeeded):
        service.erase(strict, ADMIN, ["ana-maria"])
    assert sql(ctx, "SELECT acknowledged_by FROM incident")[0][0] == "ana-maria"


def test_names_and_addresses_go_by_their_class(ctx: Context) -> None:
    with coming_from("api", "192.0.2.45"), ctx.db.session() as session:
        record(session, ADMIN, "incidents:work", "12")
    now = datetime.now(UTC)
    assert upkeep.forget_old(ctx, now + timedelta(days=ctx.config.retention.addresses_days - 1)) == 0
    assert upkeep.forget_old(ctx, now + timedelta(days=ctx.config.retention.addresses_days + 1)) > 0
    assert sql(ctx, "SELECT count(*) FROM audit_personal WHERE name = 'from' AND salt IS NOT NULL")[0][0] == 0
    assert sql(ctx, "SELECT count(*) FROM audit_personal WHERE name = 'who' AND salt IS NOT NULL")[0][0] > 0
    assert upkeep.forget_old(ctx, now + timedelta(days=ctx.config.retention.names_days + 1)) > 0
    assert sql(ctx, "SELECT acknowledged_by FROM incident")[0][0] == "erased"
    assert auditor.verify(ctx, ADMIN).fault is None
    told = auditor.lines(ctx, ADMIN, Wanted(action="privacy:retention"), 1)[0]
    assert told.who == "worker"
    assert told.after["rows"]["incident.acknowledged_by"] == 1


@pytest.fixture
def http(ctx: Context) -> Iterator[TestClient]:
    access.create_operator(ctx, CONSOLE, "root", PASSWORD, (Role.ADMIN,))
    with TestClient(app_of(ctx), raise_server_exceptions=False) as client:
        client.post("/api/v1/session", json={"name": "root", "password": PASSWORD})
        yield client


def test_over_http_and_from_a_terminal(
    ctx: Context,
    http: TestClient,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places = http.get("/api/v1/privacy/inventory").json()["places"]
    assert len(places) == len(PLACES)
    asked = {"names": ["root"]}
    assert http.post("/api/v1/privacy/find", json=asked).json()["places"][0]["rows"] >= 1
    assert "operator.name" in http.post("/api/v1/privacy/export", json=asked).json()["copy"]
    garbage: list[Any] = [{}, {"names": []}, {"names": "root"}, {"names": [7]}, {"names": ["x"]}]
    for wrong in garbage:
        assert http.post("/api/v1/privacy/find", json=wrong).status_code == 422, wrong
    assert http.post("/api/v1/privacy/erase", json={"names": ["nobody-here"]}).status_code == 404
    config = tmp_path / "server.toml"
    config.write_text(f'data_dir = "{ctx.config.data_dir}"\n[database]\nurl = "{ctx.db.url}"\n')

    def run(*arguments: str) -> int:
        try:
            return privacy_cli.main([*arguments, "--config", str(config)])
        except SystemExit as ended:
            return int(ended.code or 0)

    assert run("inventory") == 0
    assert run("find", "root") == 0
    assert run("find", "nobody-here") == 1
    copy = tmp_path / "copy.json"
    assert run("export", "root", "--to", str(copy)) == 0
    assert "operator.name" in json.loads(copy.read_text())
    assert run("export", "root", "--to", str(copy)) == 1  # it is there already
    monkeypatch.setattr("sys.stdin", io.StringIO("ana\n"))
    assert run("erase", "ana-maria") == 1  # another name was typed
    assert run("erase", "ana-maria", "--yes", "--json") == 0
    assert run("find", "x") == 1
    assert run("erase") == 2
    assert "Traceback" not in capsys.readouterr().err
