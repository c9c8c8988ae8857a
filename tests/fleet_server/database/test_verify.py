"""A database in which something was changed by hand is found not sound, with what to do."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from fleet_server.database import looking
from fleet_server.database.findings import Verdict
from tests.fleet_server.database.conftest import HOURS, POSTS, Saved
from tests.fleet_server.telemetry.support import NOW

# What is done to it, and the check that must find it.
HARM = {
    "a row was deleted": (
        "DELETE FROM {samples} WHERE ctid = (SELECT min(ctid) FROM {samples})",
        "ledger and samples",
    ),
    "a row was added": (
        "INSERT INTO {samples} (sensor_unit, time, s0, flags)"
        " SELECT min(id), '2026-11-20 11:30:00.5Z', 1, 1 FROM sensor_unit",
        "ledger and samples",
    ),
    "a value was changed": (
        "UPDATE {samples} SET s1 = s1 + 1 WHERE ctid = (SELECT min(ctid) FROM {samples})",
        "rollups and samples",
    ),
    "a counter was set back": ("SELECT setval('sensor_unit_id_seq', 1)", "sequences"),
    "samples of nobody": (
        "INSERT INTO {samples} (sensor_unit, time, s0, flags) VALUES (999999, '2026-11-20 11:30Z', 1, 1)",
        "references",
    ),
    "a batch is missing": (
        "UPDATE batch SET received_at = received_at - interval '2 hours';"
        "DELETE FROM batch WHERE class = 2 AND sequence = 3",
        "ledger without holes",
    ),
    "retention does not run": (
        "INSERT INTO tenant_retention VALUES ('city', 'standard', 1);"
        "UPDATE {samples} SET time = time - interval '5 days' WHERE s0 = (SELECT min(s0) FROM {samples})",
        "retention",
    ),
    "an older schema": ("UPDATE alembic_version SET version_num = '0003'", "schema"),
    "a newer schema": ("UPDATE alembic_version SET version_num = '9999'", "schema"),
}


def samples_table(connection: psycopg.Connection[Any]) -> str:
    """The physical table that holds this city's rows."""
    return next(
        name
        for name in ("sample_standard", "sample")
        if (connection.execute("SELECT to_regclass(%s)", (name,)).fetchone() or [None])[0]
    )


def test_what_nobody_changed_is_sound(saved: Saved) -> None:
    whole = looking.look_at_database(saved.url, lambda _: None, NOW, everything=True)
    assert [f for f in whole if f.verdict is Verdict.UNSOUND] == []
    accounts = next(f for f in whole if f.check == "ledger and samples")
    assert accounts.detail.startswith(f"{POSTS * HOURS * 60} samples of {POSTS} devices")


def test_what_retention_removed_and_wrote_down_is_no_harm(saved: Saved) -> None:
    with psycopg.connect(saved.url) as connection:
        table = samples_table(connection)
        gone = connection.execute(f"DELETE FROM {table} WHERE time < '2026-11-20 11:00Z'".encode()).rowcount
        connection.execute(
            "INSERT INTO retention_log (at, what, rows, kept_from)"
            " VALUES (now(), %s, %s, '2026-11-20 11:00Z')",
            (table, gone),
        )
        found = looking.look_within(connection, saved.url, lambda _: None, NOW, everything=True)
        connection.rollback()
    assert gone == POSTS * 60
    assert [f for f in found if f.verdict is Verdict.UNSOUND] == []
    assert any("3 of 3 unit hours" in f.detail for f in found)


@pytest.mark.parametrize("what", HARM)
def test_what_was_changed_by_hand_is_found(saved: Saved, what: str) -> None:
    harm, check = HARM[what]
    with psycopg.connect(saved.url) as connection:
        connection.execute(harm.format(samples=samples_table(connection)).encode())
        found = looking.look_within(connection, saved.url, lambda _: None, NOW, everything=True)
        connection.rollback()
    bad = {f.check: f for f in found if f.verdict is Verdict.UNSOUND}
    assert check in bad, found
    assert bad[check].remedy
    if check == "sequences":  # which no rollback brings back
        with psycopg.connect(saved.url) as connection:
            connection.execute("SELECT setval('sensor_unit_id_seq', 1000)")
