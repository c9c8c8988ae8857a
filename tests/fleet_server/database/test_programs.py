"""Which pg_dump is taken, and what of a password can be read on the machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_server.database import programs
from fleet_server.database.accounting import Account, judge
from fleet_server.database.errors import NoSuitableProgram
from fleet_server.database.findings import Verdict
from fleet_server.database.programs import Program, suitable, target

majors = st.integers(10, 30)


@given(st.lists(majors), majors)
def test_the_oldest_that_is_not_older_than_the_server(there: list[int], server: int) -> None:
    found = [Program(Path(f"/{major}"), major, str(major)) for major in there]
    chosen = suitable(found, server)
    fitting = [major for major in there if major >= server]
    assert (chosen.major if chosen else None) == min(fitting, default=None)


def test_none_that_fits_is_told_with_what_is_there() -> None:
    with pytest.raises(NoSuitableProgram, match="pg_dump of PostgreSQL 99 or later") as refused:
        programs.program("pg_dump", 99)
    assert "postgresql-client-99" in str(refused.value)


def test_a_password_is_on_no_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGDATABASE", "mine")
    address, environment = target("postgresql://ana:s%20ecret@db.example:5433/city?sslmode=require")
    assert "ecret" not in address
    assert "sslmode=require" in address
    assert environment["PGPASSWORD"] == "s ecret"
    assert "PGDATABASE" not in environment


ACCOUNTS = {
    "each has its row": ([(10, 10), (5, 5)], 0, 0, Verdict.SOUND),
    "some came twice": ([(12, 10), (5, 5)], 2, 0, Verdict.SOUND),
    "some are too old": ([(12, 10), (5, 1)], 2, 4, Verdict.SOUND),
    "one is lost": ([(12, 10), (5, 5)], 1, 0, Verdict.UNSOUND),
    "one more is lost than removed": ([(12, 10), (5, 5)], 0, 1, Verdict.UNSOUND),
    "one too many": ([(10, 11), (6, 5)], 0, 0, Verdict.UNSOUND),
    "counted as repeated, yet stored": ([(10, 10)], 3, 0, Verdict.UNSOUND),
    "nobody yet": ([], 0, 0, Verdict.SOUND),
}


@pytest.mark.parametrize("case", ACCOUNTS)
def test_the_ledger_is_held_against_the_rows(case: str) -> None:
    pairs, repeated, removed, verdict = ACCOUNTS[case]
    accounts = [Account(f"city/lamp-{i}", ledger, rows) for i, (ledger, rows) in enumerate(pairs)]
    finding = judge(accounts, repeated, removed)
    assert finding.verdict is verdict
    assert (finding.remedy != "") == (verdict is Verdict.UNSOUND)
