"""Lines in the transaction of the change, chained in the order of commits, that nobody changes afterwards."""

from __future__ import annotations

import json
import threading
from hashlib import sha256
from typing import Any

import pytest
import sqlalchemy.exc
from sqlalchemy import text

from fleet_server.access.rules import CONSOLE, WORKER, Principal, Role
from fleet_server.audit.recording import record, record_by
from fleet_server.audit.rules import Outcome
from fleet_server.context import Context
from fleet_server.origin import coming_from
from tests.support.server_context import ADMIN

WRITERS, LINES_EACH = 6, 8


def lines(ctx: Context, after: int = 0) -> list[tuple[int, dict[str, Any], bytes]]:
    query = text("SELECT number, body, hash FROM audit_line WHERE number > :after ORDER BY number")
    with ctx.db.session() as session:
        return [(n, json.loads(b), bytes(h)) for n, b, h in session.execute(query, {"after": after})]


def beside(ctx: Context, number: int) -> dict[str, tuple[bytes, str]]:
    query = text("SELECT name, salt, value FROM audit_personal WHERE number = :number")
    with ctx.db.session() as session:
        return {n: (bytes(s), v) for n, s, v in session.execute(query, {"number": number})}


def newest(ctx: Context) -> int:
    with ctx.db.session() as session:
        return int(session.execute(text("SELECT number FROM audit_head")).scalar_one())


def test_who_what_from_where_and_the_names_beside(ctx: Context) -> None:
    start = newest(ctx)
    with coming_from("api", "192.0.2.7", "r-1"), ctx.db.session() as session:
        record(
            session, ADMIN, "devices:change", "city/lamp-01",
            before={"state": "active"}, after={"state": "quarantined", "token": "canary"},
            reason="Ana saw it \0 stolen", personal={"technician": "João"},
        )  # fmt: skip
    ((number, told, _),) = lines(ctx, start)
    assert told["action"] == "devices:change"
    assert told["resource"] == "city/lamp-01"
    assert (told["tenant"], told["way"], told["request"]) == ("city", "api", "r-1")
    assert told["who"] == {"kind": "operator", "roles": ["admin"], "via": "session"}
    assert (told["before"], told["after"]["state"]) == ({"state": "active"}, "quarantined")
    values = beside(ctx, number)
    assert {name: value for name, (_, value) in values.items()} == {
        "who": "ada", "from": "192.0.2.7", "reason": "Ana saw it \ufffd stolen", "technician": "João",
    }  # fmt: skip
    for name, (salt, value) in values.items():
        assert told["personal"][name] == sha256(salt + value.encode()).hexdigest()
    raw = json.dumps(told)
    assert not any(word in raw for word in ('"ada"', "192.0.2.7", "stolen", "canary"))


def test_nothing_is_written_of_what_did_not_happen(ctx: Context) -> None:
    start = newest(ctx)

    def half() -> None:
        with ctx.db.session() as session:
            record(session, ADMIN, "devices:change", "city/lamp-01")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert newest(ctx) == start


def test_an_account_is_a_name_and_a_service_is_none(ctx: Context) -> None:
    start = newest(ctx)
    person = Principal("service", "console:grace", CONSOLE.roles)
    with ctx.db.session() as session:
        record(session, person, "operators:create", "linus", after={"roles": (Role.VIEWER,)})
        record(session, WORKER, "telemetry:retention", "sample", outcome=Outcome.REFUSED)
    (made, told, _), (removed, by_worker, _) = lines(ctx, start)
    assert {k: v for k, (_, v) in beside(ctx, made).items()} == {"who": "console:grace", "resource": "linus"}
    assert "resource" not in told
    assert told["after"] == {"roles": ["viewer"]}
    assert told["way"] == "server"
    assert by_worker["who"]["name"] == "worker"
    assert by_worker["outcome"] == "refused"
    assert by_worker["tenant"] == "*"
    assert beside(ctx, removed) == {}


def test_concurrent_writers_make_one_chain_in_the_order_of_their_commits(ctx: Context) -> None:
    """Each sees, after its commit, every line with a smaller number than its own: none is committed later."""
    start = newest(ctx)
    gate = threading.Barrier(WRITERS)
    seen: list[tuple[int, int]] = []  # own number, lines up to it that are there right after the commit

    def write(mine: int) -> None:
        gate.wait()
        for turn in range(LINES_EACH):
            if mine % 2:
                with ctx.db.session() as session:
                    record(session, ADMIN, "devices:change", f"city/w{mine}-{turn}")
                    session.execute(text("SELECT 1"))
            else:
                with ctx.db.raw() as connection:
                    number = record_by(connection, WORKER, "devices:change", f"city/w{mine}-{turn}")
                    connection.commit()
                    found = connection.execute(
                        "SELECT count(*) FROM audit_line WHERE number > %s AND number <= %s", (start, number)
                    ).fetchone()
                    assert found is not None
                    seen.append((number - start, found[0]))

    writers = [threading.Thread(target=write, args=(n,)) for n in range(WRITERS)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    written = lines(ctx, start)
    assert [n for n, _, _ in written] == list(range(start + 1, start + 1 + WRITERS * LINES_EACH))
    assert len({told["resource"] for _, told, _ in written}) == WRITERS * LINES_EACH
    assert seen
    assert all(number == there for number, there in seen)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_line SET body = body",
        "DELETE FROM audit_line",
        "TRUNCATE audit_line CASCADE",
        "UPDATE audit_personal SET value = 'somebody else'",
        "UPDATE audit_personal SET value = 'x', salt = NULL, erased_at = now(), number = number + 1",
        "DELETE FROM audit_personal",
        "DELETE FROM audit_checkpoint",
        "UPDATE audit_checkpoint SET number = number + 1",
    ],
)
def test_what_is_written_stays(ctx: Context, statement: str) -> None:
    with ctx.db.session() as session:
        record(session, ADMIN, "devices:change", "city/lamp-01")
        session.execute(
            text(
                "INSERT INTO audit_checkpoint VALUES (1, 'checkpoint', now(), '', '', '')"
                " ON CONFLICT DO NOTHING"
            )
        )
    with pytest.raises(sqlalchemy.exc.DBAPIError, match="append-only"), ctx.db.session() as session:
        session.execute(text(statement))
