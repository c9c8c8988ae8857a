"""Whether the log holds, as a page asks: what is new is walked at each look, every line once an hour."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from fleet_server.access.rules import Principal, Role
from fleet_server.audit import keys
from fleet_server.audit.recording import record
from fleet_server.auditor import service, verdicts
from fleet_server.auditor.service import FaultKind, Verdict
from fleet_server.auditor.verdicts import Walking
from fleet_server.context import Context
from fleet_server.errors import Forbidden
from tests.support.server_context import ADMIN, VIEWER

OFFICER = Principal("operator", "olga", frozenset({Role.SECURITY_OFFICER}), "city")
NEVER = timedelta(0)


def write(ctx: Context, lines: int = 1) -> None:
    for n in range(lines):
        with ctx.db.session() as session:
            record(session, ADMIN, "devices:change", f"city/lamp-{n}", after={"n": n}, reason="it was dark")


def tampered(ctx: Context, number: int, a: str, b: str) -> None:
    with ctx.db.session() as session:
        session.execute(text("SET LOCAL session_replication_role = replica"))
        told = {"a": a, "b": b, "number": number}
        session.execute(
            text("UPDATE audit_line SET body = replace(body, :a, :b) WHERE number = :number"), told
        )


def fault_of(verdict: Verdict) -> tuple[int, FaultKind] | None:
    fault = verdict.found.fault
    return None if fault is None else (fault.line, fault.kind)


def test_what_is_new_is_walked_and_the_whole_once_an_hour(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.ensure(ctx.config.data_dir)
    for _ in range(3):  # nothing, one line, two lines
        assert service.verdict(ctx, OFFICER).found == service.verify(ctx, ADMIN)
        write(ctx)
    write(ctx, 5)
    first = service.verdict(ctx, OFFICER, full=False)
    again = service.verdict(ctx, OFFICER)
    assert again is first, "nothing was written since"
    write(ctx, 3)
    grown = service.verdict(ctx, OFFICER)
    assert grown.found == service.verify(ctx, ADMIN)
    assert (grown.whole_at, grown.found.lines) == (first.whole_at, first.found.lines + 3)
    signed = service.sign(ctx, ADMIN)
    assert service.verdict(ctx, OFFICER).found.signed_to == signed.number
    assert service.verdict(ctx, OFFICER).found == service.verify(ctx, ADMIN)

    assert service.verdict(ctx, ADMIN, full=True).found == service.verify(ctx, ADMIN)
    write(ctx)
    tampered(ctx, 2, "lamp-0", "lamp-9")
    assert fault_of(service.verdict(ctx, OFFICER)) is None, "an old line, within the hour"
    with pytest.raises(Forbidden):
        service.verdict(ctx, OFFICER, full=True)
    with pytest.raises(Forbidden):
        service.verdict(ctx, VIEWER)
    assert fault_of(service.verdict(ctx, ADMIN, full=True)) == (2, FaultKind.CHANGED)
    tampered(ctx, 2, "lamp-9", "lamp-0")
    assert fault_of(service.verdict(ctx, OFFICER)) == (2, FaultKind.CHANGED), "for a minute"
    monkeypatch.setattr(verdicts, "FAULT_GOOD_FOR", NEVER)
    assert fault_of(service.verdict(ctx, OFFICER)) is None

    tampered(ctx, 2, "lamp-0", "lamp-9")
    monkeypatch.setattr(verdicts, "BASE_GOOD_FOR", NEVER)
    assert fault_of(service.verdict(ctx, OFFICER)) == (2, FaultKind.CHANGED), "when the hour is over"
    tampered(ctx, 2, "lamp-9", "lamp-0")
    assert fault_of(service.verdict(ctx, OFFICER)) is None
    monkeypatch.undo()

    write(ctx, 2)
    newest = service.lines(ctx, ADMIN, service.Wanted(), 1)[0].number
    tampered(ctx, newest - 1, '"n":0', '"n":7')
    assert fault_of(service.verdict(ctx, OFFICER)) == (newest - 1, FaultKind.CHANGED), "a new line, at once"
    tampered(ctx, newest - 1, '"n":7', '"n":0')
    assert fault_of(service.verdict(ctx, ADMIN, full=True)) is None


def test_one_walks_at_a_time_and_the_others_hear_the_last_word(ctx: Context) -> None:
    kept = verdicts.verdicts_of(ctx.db)
    last = service.verdict(ctx, OFFICER)
    with kept.walking() as mine:
        assert mine
        write(ctx)
        assert service.verdict(ctx, ADMIN, full=True) is last
    assert service.verdict(ctx, OFFICER).found.lines == last.found.lines + 1
    nobody_yet = verdicts.Verdicts()
    with nobody_yet.walking(), pytest.raises(Walking) as busy, nobody_yet.walking():
        pass
    assert busy.value.members == {"retry_after_s": 10}


def test_a_clock_that_was_put_back_lengthens_no_hour(ctx: Context) -> None:
    write(ctx, 2)
    service.verdict(ctx, ADMIN, full=True)
    kept = verdicts.verdicts_of(ctx.db)
    assert kept.last is not None
    ahead = kept.last.whole_at + timedelta(days=30)
    kept.last = replace(kept.last, at=ahead, whole_at=ahead)
    assert service.verdict(ctx, OFFICER).whole_at < ahead


def test_a_log_that_went_back_is_walked_anew(ctx: Context) -> None:
    """A database that was restored from a backup meanwhile: what this process knew is of another log."""
    write(ctx, 2)
    kept, sound = verdicts.verdicts_of(ctx.db), service.verdict(ctx, OFFICER)
    assert kept.base is not None
    kept.base = replace(kept.base, place=replace(kept.base.place, hash=bytes(32)))
    write(ctx)
    found = service.verdict(ctx, OFFICER)
    assert (fault_of(found), found.whole_at > sound.whole_at) == (None, True)
