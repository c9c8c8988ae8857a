"""Reading the log, verifying it in the database and as a file, signing, removing what is old."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from fleet_server.access.rules import Principal, Role
from fleet_server.audit import checkpoints, keys
from fleet_server.audit.recording import record
from fleet_server.audit.rules import Outcome
from fleet_server.auditor import service, upkeep
from fleet_server.auditor.service import FaultKind, Place, Wanted
from fleet_server.context import Context
from fleet_server.errors import ConfigurationError, Forbidden, InvalidRequest, NotFound
from fleet_server.origin import coming_from
from tests.support.server_context import ADMIN, OPERATOR

OFFICER = Principal("operator", "olga", frozenset({Role.SECURITY_OFFICER}), "city")
ELSEWHERE = Principal("operator", "emil", frozenset({Role.SECURITY_OFFICER}), "harbour")
SCRIPT = Path(__file__).with_name("verify_export.py")


@pytest.fixture(scope="module", autouse=True)
def written(ctx: Context) -> int:
    """Twelve lines of two tenants, a checkpoint after the tenth. The number of the first."""
    keys.ensure(ctx.config.data_dir)
    for n in range(12):
        with coming_from("api", "192.0.2.9", f"r-{n}"), ctx.db.session() as session:
            tenant = "harbour" if n % 4 == 3 else "city"
            record(session, ADMIN, "devices:change", f"{tenant}/lamp-{n}", after={"n": n}, reason="=SUM(A1)")
        if n == 9:
            with ctx.db.session() as session:
                place = Place(10, bytes(session.execute(text("SELECT hash FROM audit_head")).scalar_one()))
                key = keys.load(ctx.config.data_dir)
                checkpoints.sign(session, key, place, datetime.now(UTC))
    return 1


def tampered(ctx: Context, *statements: str) -> None:
    """As somebody with the rights of the database's owner does it: past the triggers."""
    with ctx.db.session() as session:
        session.execute(text("SET LOCAL session_replication_role = replica"))
        for each in statements:
            session.execute(text(each))


def third_party(file: Path, key: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(file), str(key)], capture_output=True, text=True, check=False
    )


def save(rows: object, file: Path) -> Path:
    file.write_text("".join(rows), encoding="utf-8", newline="")  # type: ignore[arg-type]
    return file


def test_a_tenant_sees_its_own_lines_and_everybody_whether_the_chain_holds(ctx: Context) -> None:
    mine = service.lines(ctx, OFFICER, Wanted(action="devices:"))
    assert {each.tenant for each in mine} == {"city"}
    assert {each.tenant for each in service.lines(ctx, ELSEWHERE, Wanted(who="ada"))} == {"harbour"}
    first = mine[-1]
    assert (first.who, first.address, first.reason, first.resource, first.request) == (
        "ada", "192.0.2.9", "=SUM(A1)", "city/lamp-0", "r-0",
    )  # fmt: skip
    assert service.line(ctx, OFFICER, first.number) == first
    assert service.verify(ctx, ELSEWHERE).fault is None
    with pytest.raises(NotFound):
        service.line(ctx, ELSEWHERE, first.number)
    for refused in (service.export_jsonl, service.verify, service.sign):
        with pytest.raises(Forbidden):
            refused(ctx, OPERATOR)  # type: ignore[operator]
    with pytest.raises(Forbidden):
        service.lines(ctx, OPERATOR, Wanted())


def test_pages_and_filters(ctx: Context) -> None:
    page = service.lines(ctx, ADMIN, Wanted(resource="city/lamp-4"))
    assert [each.after for each in page] == [{"n": 4}]
    below = service.lines(ctx, ADMIN, Wanted(before=page[0].number), limit=2)
    assert [each.number for each in below] == [page[0].number - 1, page[0].number - 2]
    now = datetime.now(UTC)
    assert service.lines(ctx, ADMIN, Wanted(begins=now + timedelta(hours=1))) == []
    assert service.lines(ctx, ADMIN, Wanted(action="devices")) == []
    for wanted in (Wanted(begins=now, ends=now), Wanted(begins=datetime(2026, 1, 1))):
        with pytest.raises(InvalidRequest):
            service.lines(ctx, ADMIN, wanted)


def test_lines_are_found_by_their_outcome_and_a_table_has_chosen_ones(ctx: Context) -> None:
    with ctx.db.session() as session:
        for outcome in (Outcome.REFUSED, Outcome.DONE):
            record(session, OPERATOR, "tokens:create", "token 1", outcome=outcome, tenant="city")
    [refused] = service.lines(ctx, OFFICER, Wanted(action="tokens:", outcome="refused"))
    assert (refused.who, refused.outcome) == ("ola", "refused")
    for wanted in (
        Wanted(action="tokens:", outcome="refused"),
        Wanted(action="devices:change", who="ada", resource="city/lamp-4"),
        Wanted(action="devices:", who="nobody"),
    ):
        told = list(csv.DictReader(io.StringIO("".join(service.export(ctx, OFFICER, "csv", wanted)))))
        page = service.lines(ctx, OFFICER, wanted)
        assert [int(row["number"]) for row in told] == [each.number for each in reversed(page)]
    with pytest.raises(InvalidRequest, match="every line of its days"):
        service.export(ctx, OFFICER, "jsonl", Wanted(who="ada"))
    assert "".join(service.export(ctx, OFFICER, "jsonl", Wanted())).count('"type":"line"') > 1


def test_a_line_knows_the_checkpoint_that_signs_for_it(ctx: Context) -> None:
    for number in (1, 10):
        found = service.checkpoint_over(ctx, OFFICER, number)
        assert found is not None
        assert found.number == 10
    assert service.checkpoint_over(ctx, OFFICER, 2**40) is None
    with pytest.raises(Forbidden):
        service.checkpoint_over(ctx, OPERATOR, 1)


@pytest.mark.parametrize("names", [True, False])
def test_an_export_is_verified_without_us(ctx: Context, tmp_path: Path, names: bool) -> None:
    (key,) = keys.public_files(ctx.config.data_dir)
    file = save(service.export_jsonl(ctx, ADMIN, names=names), tmp_path / "audit.jsonl")
    found = service.verify_file(file, [key])
    assert found.fault is None
    assert (found.first, found.signed_to) == (1, 10)
    assert ("192.0.2.9" in file.read_text()) is names
    told = third_party(file, key)
    assert (told.returncode, told.stderr) == (0, "")
    assert service.lines(ctx, ADMIN, Wanted(), 1)[0].action == "audit:export"
    rows = file.read_text().splitlines(keepends=True)
    for damaged, line in (
        ([*rows[:4], *rows[5:]], 4),
        ([*rows[:4], rows[4].replace("lamp-3", "lamp-8"), *rows[5:]], 4),
        ([*rows[:4], rows[5], rows[4], *rows[6:]], 4),
    ):
        bad = save(damaged, tmp_path / "bad.jsonl")
        fault = service.verify_file(bad, [key]).fault
        assert fault is not None
        assert fault.line == line
        assert third_party(bad, key).returncode == 1
    other = tmp_path / "other"
    keys.ensure(other)
    fault = service.verify_file(file, keys.public_files(other)).fault
    assert fault is not None
    assert fault.kind is FaultKind.CHECKPOINT


def test_a_tenants_export_tells_hashes_alone_of_others(ctx: Context, tmp_path: Path) -> None:
    file = save(service.export_jsonl(ctx, ELSEWHERE), tmp_path / "audit.jsonl")
    assert "city" not in file.read_text()
    public = keys.public_files(ctx.config.data_dir)
    assert service.verify_file(file, public).fault is None
    file.write_text(file.read_text().replace("lamp-7", "lamp-9"))
    fault = service.verify_file(file, public).fault
    assert fault is not None
    assert fault.line == 8


def test_a_part_begins_where_it_says(ctx: Context, tmp_path: Path) -> None:
    begins = datetime.fromisoformat(service.line(ctx, ADMIN, 4).at)
    ends = datetime.fromisoformat(service.line(ctx, ADMIN, 8).at)
    file = save(service.export_jsonl(ctx, ADMIN, begins, ends), tmp_path / "part.jsonl")
    found = service.verify_file(file, keys.public_files(ctx.config.data_dir))
    assert (found.fault, found.first, found.last) == (None, 4, 7)
    rows = list(csv.DictReader(io.StringIO("".join(service.export_csv(ctx, OFFICER, begins, ends)))))
    assert [row["number"] for row in rows] == ["5", "6", "7"]
    assert rows[0]["reason"] == "'=SUM(A1)"  # a spreadsheet must not compute it


@pytest.mark.parametrize(
    "text_of",
    [
        lambda rows: "",
        lambda rows: "\x00garbage\n",
        lambda rows: rows[1] + rows[0],
        lambda rows: rows[0] + '{"type":"line","number":"1"}\n',
        lambda rows: rows[0] + '{"type":"line","number":true,"hash":"00","body":"x"}\n',
        lambda rows: rows[0] + "[" * 5_000 + "\n",
        lambda rows: rows[0].replace('"form":1', '"form":9'),
        lambda rows: rows[0] + '{"type":"line","number":1,"hash":"zz","body":"x"}\n',
        lambda rows: rows[0] + '{"type":"line","number":1,"hash":"00","body":"\\ud800"}\n',
        lambda rows: rows[0] + '{"type":"checkpoint","number":1,"hash":"00","at":"yesterday"}\n',
    ],
)
def test_a_file_that_is_none_is_told(
    ctx: Context, tmp_path: Path, text_of: Callable[[list[str]], str]
) -> None:
    file = tmp_path / "bad"
    file.write_text(text_of(list(service.export_jsonl(ctx, ADMIN))[:2]))
    with pytest.raises(InvalidRequest):
        service.verify_file(file, keys.public_files(ctx.config.data_dir))


def test_what_an_owner_of_the_database_does_is_found(ctx: Context) -> None:
    line = service.line(ctx, ADMIN, 6)
    whole = {"kind": FaultKind.CHANGED, "line": 6}
    body = "UPDATE audit_line SET body = replace(body, '{}', '{}') WHERE number = 6"
    tampered(ctx, body.format("lamp-5", "lamp-6"))
    fault = service.verify(ctx, ADMIN).fault
    assert fault is not None
    assert {"kind": fault.kind, "line": fault.line} == whole
    tampered(ctx, body.format("lamp-6", "lamp-5"))
    tampered(ctx, "UPDATE audit_line SET tenant = 'harbour' WHERE number = 6")
    fault = service.verify(ctx, ADMIN).fault
    assert fault is not None
    assert "column tenant" in fault.means
    tampered(ctx, "UPDATE audit_line SET tenant = 'city' WHERE number = 6")
    tampered(ctx, "UPDATE audit_personal SET value = 'eve' WHERE number = 6 AND name = 'who'")
    fault = service.verify(ctx, ADMIN).fault
    assert fault is not None
    assert (fault.kind, fault.line) == (FaultKind.PERSONAL, 6)
    tampered(ctx, "UPDATE audit_personal SET value = 'ada' WHERE number = 6 AND name = 'who'")
    noted = Place(6, bytes.fromhex(line.hash))
    assert service.verify(ctx, ADMIN, [noted]).fault is None
    fault = service.verify(ctx, ADMIN, [replace(noted, hash=bytes(32))]).fault
    assert fault is not None
    assert fault.kind is FaultKind.FORGED


def test_old_lines_go_and_the_chain_still_holds(ctx: Context, tmp_path: Path) -> None:
    newest = service.sign(ctx, ADMIN).number
    later = datetime.now(UTC) + timedelta(days=ctx.config.retention.audit_days, seconds=1)
    assert upkeep.remove_old(ctx, later - timedelta(days=5)) == 0
    assert upkeep.remove_old(ctx, later) == newest - 1
    found = service.verify(ctx, ADMIN)
    assert (found.fault, found.first) == (None, newest)
    removed = service.lines(ctx, ADMIN, Wanted(), 1)[0]
    assert (removed.action, removed.who, removed.after["lines"]) == ("audit:retention", "worker", newest - 1)
    (key,) = keys.public_files(ctx.config.data_dir)
    file = save(service.export_jsonl(ctx, ADMIN), tmp_path / "rest.jsonl")
    assert service.verify_file(file, [key]).fault is None
    assert third_party(file, key).returncode == 0
    tampered(ctx, "DELETE FROM audit_checkpoint WHERE kind = 'retention'")
    fault = service.verify(ctx, ADMIN).fault
    assert fault is not None
    assert (fault.line, fault.kind) == (1, FaultKind.MISSING)


def test_checkpoints_come_by_number_and_by_time(ctx: Context, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    assert not checkpoints.due(0, None, now)
    assert not checkpoints.due(999, now, now)
    assert checkpoints.due(1_000, now, now)
    assert checkpoints.due(1, now - timedelta(hours=1), now)
    assert upkeep.sign_when_due(ctx, now) == 0
    assert upkeep.sign_when_due(ctx, now + timedelta(hours=2)) == 1
    assert upkeep.sign_when_due(ctx, now + timedelta(hours=3)) == 0
    with pytest.raises(ConfigurationError):
        keys.load(tmp_path)
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / keys.PRIVATE).write_text("no key")
    with pytest.raises(ConfigurationError):
        keys.load(tmp_path)
    rows = json.loads(json.dumps(service.public_keys(ctx, OFFICER)))
    assert all("PUBLIC KEY" in pem for pem in rows.values())


def test_a_device_that_is_not_let_in_leaves_one_line_and_no_more(ctx: Context) -> None:
    letters = (
        "INSERT INTO dead_letter (topic, content_hash, payload, reason) SELECT 'lp/1/city/' || name ||"
        " '/up/live', sha256((name || n)::bytea), 'p', 'device_not_active' FROM generate_series(1, 7) n,"
        " unnest(ARRAY['lamp-90', 'lamp-91']) name ON CONFLICT DO NOTHING"
    )
    tampered(ctx, letters)
    assert upkeep.tell_refused_devices(ctx) == 2
    assert upkeep.tell_refused_devices(ctx) == 0
    told = service.lines(ctx, ADMIN, Wanted(action="devices:refused"))
    assert {(each.who, each.resource, each.outcome, each.after["messages"]) for each in told} == {
        ("city/lamp-90", "city/lamp-90", "refused", 7),
        ("city/lamp-91", "city/lamp-91", "refused", 7),
    }
