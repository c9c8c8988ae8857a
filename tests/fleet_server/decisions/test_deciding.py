"""The worker's tick on a real PostgreSQL: verdicts come by the ingest, incidents come of them."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from fleet_server.context import Context
from fleet_server.decisions import service
from fleet_server.decisions.deciding import decide
from fleet_server.decisions.rules import Severity, Standing, State, What
from fleet_server.live import CHANNEL
from tests.fleet_server.decisions.street import MINUTE, MODEL, Street
from tests.fleet_server.telemetry.support import NOW
from tests.support.server_context import OPERATOR, VIEWER
from wire_contract.verdict_kinds import VerdictKind


def told(context: Context, incident: int) -> list[tuple[str, str, str]]:
    """The history, oldest first: what, by whom, which words."""
    found = service.incident(context, VIEWER, incident).events
    return [(event.what, event.by, event.text) for event in reversed(found)]


def test_a_plume_from_the_first_verdict_to_the_last(context: Context, street: Street) -> None:
    street.says(0)
    assert street.decide() == 1
    [record] = service.incidents(context, VIEWER)
    assert (record.state, record.severity, record.devices) == (State.OPEN, Severity.MINOR, 1)
    assert (record.opened_at, record.first_verdict_at) == (NOW, NOW)
    assert (record.title, record.district, record.late) == (
        "Episode in Old Town: lamp-00",
        "Old Town",
        False,
    )
    street.says(1, 4)
    street.says(2, 5)
    assert street.decide(5) == 2
    for number in range(3):
        street.says(number, 20, VerdictKind.EPISODE_OVER)
    assert street.decide(20) == 3
    [record] = service.incidents(context, VIEWER)
    assert (record.state, record.severity, record.devices) == (State.CLOSED, Severity.MAJOR, 3)
    assert record.closed_at == NOW + 20 * MINUTE
    assert record.title == "Episode in Old Town: lamp-00 and 2 more"
    assert told(context, record.id) == [
        (What.OPENED, "worker", "minor"),
        (What.JOINED, "worker", "lamp-01, lamp-02"),
        (What.SEVERITY, "worker", "major"),
        (What.LEFT, "worker", "lamp-00, lamp-01, lamp-02"),
        (What.CLOSED, "worker", "every lamppost is over it"),
    ]
    assert street.decide(21) == 0
    detail = service.incident(context, VIEWER, record.id)
    assert [(m.address.device, m.standing, m.verdicts) for m in detail.members] == [
        ("lamp-00", Standing.OVER, 1),
        ("lamp-01", Standing.OVER, 1),
        ("lamp-02", Standing.OVER, 1),
    ]
    assert len(detail.verdicts) == 6
    assert {v.incident_id for v in detail.verdicts} == {record.id}


def test_silence_ends_it(context: Context, street: Street) -> None:
    street.says(0)
    street.decide()
    assert street.decide(30) == 0
    assert service.count_open(context, VIEWER) == 1
    street.decide(31)
    [record] = service.incidents(context, VIEWER, state=State.CLOSED)
    assert (record.closed_at, record.close_reason) == (NOW + 30 * MINUTE, "no verdict for 30 minutes")
    street.says(1, 45)
    street.decide(45)
    assert [i.id for i in service.incidents(context, VIEWER, state=State.OPEN)] == [record.id], "it came back"
    assert (What.REOPENED, "worker", "") in told(context, record.id)


def test_two_that_a_third_lamppost_joins_are_merged(context: Context, street: Street) -> None:
    street.says(0)
    street.decide()
    street.says(2, 1)
    street.decide(1)
    older, younger = sorted(i.id for i in service.incidents(context, VIEWER))
    service.note(context, OPERATOR, younger, "smoke seen")
    street.says(1, 2)
    street.decide(2)
    [record] = service.incidents(context, VIEWER)
    assert (record.id, record.devices, record.severity) == (older, 3, Severity.MAJOR)
    merged = service.incident(context, VIEWER, younger)
    assert (merged.record.state, merged.record.merged_into) == (State.MERGED, older)
    assert (merged.members, merged.verdicts) == ([], [])
    assert told(context, younger)[-2:] == [
        (What.NOTE, "o.", "smoke seen"),  # who only looks reads initials
        (What.MERGED, "worker", str(older)),
    ]
    assert (What.ABSORBED, "worker", str(younger)) in told(context, older)
    assert len(service.incident(context, VIEWER, older).verdicts) == 3


def test_a_chain_of_mergers_leads_to_the_end(context: Context, street: Street) -> None:
    for minute, number in enumerate((0, 2, 4)):
        street.says(number, minute)
        street.decide(minute)
    first, second, third = sorted(i.id for i in service.incidents(context, VIEWER))
    street.says(3, 5)
    street.decide(5)
    street.says(1, 6)
    street.decide(6)
    assert [i.id for i in service.incidents(context, VIEWER)] == [first]
    merged = service.incidents(context, VIEWER, state=State.MERGED)
    assert [(i.id, i.merged_into) for i in merged] == [(third, first), (second, first)]


def test_late_ones_are_written_down_and_call_nobody(
    context: Context, street: Street, caplog: pytest.LogCaptureFixture
) -> None:
    street.says(0, delay_min=16)
    with caplog.at_level(logging.WARNING, "fleet_server.decisions"):
        street.decide(16)
    assert caplog.messages == []
    [record] = service.incidents(context, VIEWER)
    assert (record.state, record.late, record.severity) == (State.CLOSED, True, Severity.MINOR)
    assert service.incidents(context, VIEWER, late=False) == []


def test_a_lamppost_that_was_away_only_adds_to_what_is_known(context: Context, street: Street) -> None:
    street.says(0)
    street.decide()
    street.says(1, 2, delay_min=60)
    street.decide(62)
    [record] = service.incidents(context, VIEWER)
    assert (record.state, record.devices, record.late) == (State.CLOSED, 2, False)


def test_a_fault_takes_its_lamppost_out(context: Context, street: Street) -> None:
    street.says(0)
    street.says(1)
    street.decide()
    street.says(1, 5, VerdictKind.FAULT, reason="humidity_swell: 97 % humidity")
    street.decide(5)
    [record] = service.incidents(context, VIEWER)
    assert (record.state, record.severity, record.devices) == (State.OPEN, Severity.MINOR, 1)
    out = service.incident(context, VIEWER, record.id).members[1]
    assert (out.standing, out.fault) == (Standing.OUT, "humidity_swell: 97 % humidity")
    left, milder = reversed(service.incident(context, VIEWER, record.id).events[:2])
    assert (left.what, left.text) == (What.LEFT, "lamp-01: humidity_swell: 97 % humidity")
    assert (milder.what, milder.text, milder.told) == (What.SEVERITY, "minor", False)


def test_faults_alone_make_no_incident(context: Context, street: Street) -> None:
    street.says(0, kind=VerdictKind.FAULT, reason="flat_line: 20 minutes")
    street.says(1, kind="earthquake")
    street.says(2, model="rule@1", confidence=0.3)
    assert street.decide() == 3
    assert service.incidents(context, VIEWER) == []
    counted = dict(street.desk.rows("SELECT name, value FROM decision_counter"))
    assert counted == {"fault": 1, "unknown_kind": 1, "unsure": 1}


def test_the_index_of_the_lamppost_makes_it_graver(context: Context, street: Street) -> None:
    street.desk.connection.execute(
        "INSERT INTO air_index (device_id, time, index_id, value, level, category, driver, concentration,"
        " correction, through) VALUES (%s, %s, 'us-aqi@2024-05-06', 250, 5, 'very unhealthy', 'pm2_5', 180,"
        " 'none@1', %s)",
        (street.device(0), NOW - timedelta(minutes=50), NOW),
    )
    street.says(0)
    street.says(3, 1)
    street.decide(1)
    assert [i.severity for i in service.incidents(context, VIEWER)] == [Severity.MINOR, Severity.MAJOR]


def test_a_verdict_that_is_delivered_again_counts_once(context: Context, street: Street) -> None:
    street.says(0)
    street.decide()
    before = service.incident(context, VIEWER, service.incidents(context, VIEWER)[0].id)
    street.says(0)  # a replayed dead letter, a lamppost whose storage is new: another row, the same words
    street.says(0)
    assert street.decide(1) == 2
    after = service.incident(context, VIEWER, before.record.id)
    assert (after.record, after.members, after.events) == (before.record, before.members, before.events)


def test_an_episode_whose_end_came_first(context: Context, street: Street) -> None:
    """Two ingest workers: the later verdict is decided on before the earlier one has come."""
    street.says(0, 5, VerdictKind.EPISODE_OVER)
    street.decide(5)
    street.says(0, 0, delay_min=6)
    street.decide(6)
    [record] = service.incidents(context, VIEWER)
    assert (record.state, record.closed_at) == (State.CLOSED, NOW + 5 * MINUTE)


def test_a_verdict_that_is_committed_behind_others_is_not_lost(
    context: Context, street: Street, database_url: str
) -> None:
    """Its id is lower than one that was decided on long before it could be seen."""
    row = (
        "INSERT INTO verdict (device_id, sensor_unit, time, kind, score, confidence, reason, model,"
        " input_hash, received_at) SELECT %s, u.id, %s, 'episode', 1, 1, '', %s, '', %s FROM sensor_unit u"
        " WHERE u.device_id = %s RETURNING id"
    )

    def values(number: int) -> tuple[Any, ...]:
        return (street.device(number), NOW, MODEL, NOW, street.device(number))

    with psycopg.connect(database_url) as slow, psycopg.connect(database_url) as quick:
        low = slow.execute(row, values(0)).fetchone()
        high = quick.execute(row, values(4)).fetchone()
        assert low is not None
        assert high is not None
        assert low[0] < high[0]
        quick.commit()
        assert street.decide() == 1
        slow.commit()
    assert street.decide() == 1
    assert len(service.incidents(context, VIEWER)) == 2


def test_two_workers_open_one_incident(context: Context, street: Street, database_url: str) -> None:
    street.says(0)
    street.says(1)
    with psycopg.connect(database_url, autocommit=True) as one, psycopg.connect(database_url) as other:
        with one.transaction():
            assert decide(one, NOW) == 2
            assert decide(other, NOW) == 0, "it is the first one's turn"
        other.rollback()
        assert decide(other, NOW) == 0
    assert len(service.incidents(context, VIEWER)) == 1


def test_many_workers_at_once(context: Context, street: Street, database_url: str) -> None:
    for number in range(5):
        street.says(number)
    start = threading.Barrier(4)
    done: list[int] = []

    def work() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            start.wait(30)
            while connection.execute("SELECT 1 FROM verdict WHERE decided_at IS NULL").fetchone():
                done.append(decide(connection, NOW, limit=1))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert sum(done) == 5
    [record] = service.incidents(context, VIEWER)
    assert record.devices == 5


HALF_WAY = """
import os, sys
from datetime import datetime
import psycopg
from fleet_server.decisions.deciding import decide
with psycopg.connect(sys.argv[1]) as connection:
    with connection.transaction():
        print(decide(connection, datetime.fromisoformat(sys.argv[2])), flush=True)
        sys.stdin.read()
"""


def test_a_worker_that_is_killed_half_way_leaves_nothing_and_loses_nothing(
    context: Context, street: Street, database_url: str
) -> None:
    street.says(0)
    worker = subprocess.Popen(
        [sys.executable, "-c", HALF_WAY, database_url, NOW.isoformat()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "1\n"
    os.kill(worker.pid, signal.SIGKILL)
    worker.communicate(timeout=30)
    assert service.incidents(context, VIEWER) == []
    while street.decide() == 0:  # PostgreSQL notices the end of the connection in its own time
        pass
    assert len(service.incidents(context, VIEWER)) == 1


def test_whoever_listens_hears_of_incidents(street: Street, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute(f"LISTEN {CHANNEL}")
        street.says(0)
        list(listener.notifies(timeout=30, stop_after=1))
        street.decide()
        [heard] = [json.loads(n.payload) for n in listener.notifies(timeout=30, stop_after=1)]
    assert heard["devices"] == [street.device(0)]
    assert len(heard["incidents"]) == 1


def test_hours_that_a_worker_missed_are_worked_off_in_pieces(
    context: Context, street: Street, caplog: pytest.LogCaptureFixture
) -> None:
    """An episode of two hours, a verdict every ten minutes: in pieces of three it is still one."""
    for minute in range(0, 121, 10):
        street.says(0, minute)
    street.says(0, 125, VerdictKind.EPISODE_OVER)
    now = NOW + 600 * MINUTE
    with caplog.at_level(logging.WARNING, "fleet_server.decisions"):
        while decide(street.desk.connection, now, limit=3):
            pass
    [record] = service.incidents(context, VIEWER)
    assert (record.state, record.closed_at) == (State.CLOSED, NOW + 125 * MINUTE)
    assert [what for what, _, _ in told(context, record.id)] == [What.OPENED, What.LEFT, What.CLOSED]


def test_a_quiet_round_writes_nothing(street: Street) -> None:
    assert street.decide() == 0
    assert street.desk.one("SELECT count(*) FROM decision_counter") == 0


def test_other_tenants_are_left_alone(context: Context, street: Street) -> None:
    street.desk.connection.execute("UPDATE device SET tenant = 'other' WHERE name IN ('lamp-01', 'lamp-02')")
    for number in range(3):
        street.desk.connection.execute(
            "INSERT INTO verdict (device_id, sensor_unit, time, kind, score, confidence, reason, model,"
            " input_hash, received_at) SELECT u.device_id, u.id, %s, 'episode', 1, 1, '', %s, '', %s"
            " FROM sensor_unit u WHERE u.device_id = %s",
            (NOW, MODEL, NOW, street.device(number)),
        )
    assert street.decide() == 3
    [mine] = service.incidents(context, VIEWER)
    assert (mine.tenant, mine.devices) == ("city", 1)
    [theirs] = service.incidents(context, VIEWER, tenant="other")
    assert theirs.devices == 2
    assert service.count_open(context, VIEWER) == 1


def at(minute: float) -> datetime:
    return NOW + minute * MINUTE


def test_verdicts_of_before_this_was_kept_open_nothing(context: Context, street: Street) -> None:
    street.desk.connection.execute(
        "INSERT INTO verdict (device_id, sensor_unit, time, kind, score, confidence, reason, model,"
        " input_hash) SELECT u.device_id, u.id, %s, 'episode', 1, 1, '', %s, '' FROM sensor_unit u"
        " WHERE u.device_id = %s",
        (at(-1), MODEL, street.device(0)),
    )
    street.decide()
    assert service.count_open(context, VIEWER) == 0
    [record] = service.incidents(context, VIEWER)
    assert record.late
