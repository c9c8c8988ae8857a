"""What people do with incidents: who may, what is refused, what is kept; nobody overwrites anybody."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet_server.access.rules import INGEST, WORKER, Principal
from fleet_server.context import Context
from fleet_server.decisions import service
from fleet_server.decisions.errors import NotNow, SeenBefore
from fleet_server.decisions.rules import Severity, State, What
from fleet_server.errors import Forbidden, InvalidRequest, NotFound
from tests.fleet_server.decisions.street import MINUTE, Street
from tests.fleet_server.telemetry.support import NOW
from tests.support.server_context import ADMIN, OPERATOR, VIEWER
from wire_contract.topics import Address
from wire_contract.verdict_kinds import VerdictKind

ACTS: dict[str, Callable[..., Any]] = {
    "acknowledge": lambda ctx, who, number: service.acknowledge(ctx, who, number),
    "silence": lambda ctx, who, number: service.silence(ctx, who, number, NOW + MINUTE),
    "note": lambda ctx, who, number: service.note(ctx, who, number, "x"),
    "close": lambda ctx, who, number: service.close(ctx, who, number),
}
LOOKS: dict[str, Callable[..., Any]] = {
    "incidents": lambda ctx, who: service.incidents(ctx, who),
    "count": lambda ctx, who: service.count_open(ctx, who),
    "incident": lambda ctx, who: service.incident(ctx, who, 1),
    "evidence": lambda ctx, who: service.evidence(ctx, who, 1),
    "verdicts": lambda ctx, who: service.verdicts(ctx, who, Address("city", "lamp-00")),
}


@pytest.fixture
def number(street: Street) -> int:
    """An open incident of one lamppost."""
    street.says(0)
    street.decide()
    return int(street.desk.one("SELECT max(id) FROM incident"))


@pytest.mark.parametrize("act", ACTS)
def test_a_viewer_looks_and_changes_nothing(context: Context, number: int, act: str) -> None:
    before = service.incident(context, VIEWER, number)
    with pytest.raises(Forbidden):
        ACTS[act](context, VIEWER, number)
    assert service.incident(context, VIEWER, number) == before
    ACTS[act](context, ADMIN, number)


@pytest.mark.parametrize("look", LOOKS)
def test_who_has_no_role_sees_nothing(context: Context, number: int, look: str) -> None:
    for stranger in (Principal("operator", "nobody", frozenset()), INGEST):
        with pytest.raises(Forbidden):
            LOOKS[look](context, stranger)
    LOOKS[look](context, WORKER)


@pytest.mark.parametrize("act", ACTS)
def test_what_is_not_there_or_not_ones_own_is_not_found(context: Context, number: int, act: str) -> None:
    with pytest.raises(NotFound):
        ACTS[act](context, OPERATOR, number + 99)
    with pytest.raises(NotFound):
        service.note(context, OPERATOR, number, "x", tenant="other")
    with pytest.raises(NotFound):
        service.incident(context, OPERATOR, number, tenant="other")
    with pytest.raises(NotFound):
        service.evidence(context, OPERATOR, number, tenant="other")
    assert service.incidents(context, OPERATOR, tenant="other") == []


def test_acknowledged_by_whom_and_when(context: Context, number: int) -> None:
    seen = service.acknowledge(context, OPERATOR, number)
    assert (seen.acknowledged_by, seen.acknowledged_at, seen.version) == ("ola", NOW, 2)
    assert service.acknowledge(context, OPERATOR, number) == seen, "again is no error, and no line"
    with pytest.raises(NotNow, match="ola looks after"):
        service.acknowledge(context, ADMIN, number)
    masked = service.incident(context, VIEWER, number)
    assert (masked.record.acknowledged_by, masked.events[0].by) == ("o.", "o.")  # needs no names
    assert [(e.what, e.by, e.told) for e in service.incident(context, OPERATOR, number).events] == [
        (What.ACKNOWLEDGED, "ola", False),
        (What.OPENED, "worker", True),
    ]


def test_silenced_nobody_is_told(
    context: Context, street: Street, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    until = NOW + 60 * MINUTE
    assert service.silence(context, OPERATOR, number, until).silenced_until == until
    with caplog.at_level(logging.WARNING, "fleet_server.decisions"):
        street.says(1, 5)
        street.decide(5)
        assert caplog.messages == []
        service.silence(context, OPERATOR, number, None)
        street.says(2, 6)
        street.decide(6)
        assert caplog.messages == [f"incident {number} severity: major"]
    told = [(e.what, e.text, e.told) for e in reversed(service.incident(context, VIEWER, number).events)]
    assert told == [
        (What.OPENED, "minor", True),
        (What.SILENCED, f"until {until.isoformat(timespec='minutes')}", False),
        (What.JOINED, "lamp-01", False),
        (What.SEVERITY, "moderate", False),
        (What.HEARD, "", False),
        (What.JOINED, "lamp-02", False),
        (What.SEVERITY, "major", True),
    ]


def test_a_silence_ends_by_itself(context: Context, street: Street, number: int) -> None:
    service.silence(context, OPERATOR, number, NOW + 10 * MINUTE)
    street.says(1, 11)
    street.decide(11)
    [told] = [e.told for e in service.incident(context, VIEWER, number).events if e.what is What.SEVERITY]
    assert told


@pytest.mark.parametrize("until", [NOW, NOW - MINUTE, NOW + timedelta(days=7, seconds=1)])
def test_a_silence_is_of_the_future_and_short(context: Context, number: int, until: datetime) -> None:
    with pytest.raises(InvalidRequest):
        service.silence(context, OPERATOR, number, until)
    with pytest.raises(InvalidRequest, match="time zone"):
        service.silence(context, OPERATOR, number, until.replace(tzinfo=None))


def test_what_a_person_closed_stays_closed_for_its_lampposts(
    context: Context, street: Street, number: int
) -> None:
    closed = service.close(context, OPERATOR, number, "  a barbecue ")
    assert (closed.state, closed.closed_by, closed.close_reason) == (State.CLOSED, "ola", "a barbecue")
    street.says(0, 10)
    street.decide(10)
    seen = service.incident(context, VIEWER, number)
    assert (seen.record.state, seen.record.closed_at, seen.members[0].verdicts) == (State.CLOSED, NOW, 2)
    street.says(1, 12)
    street.decide(12)
    [record] = service.incidents(context, VIEWER)
    assert (record.id, record.state, record.closed_by, record.closed_at) == (number, State.OPEN, "", None)


def test_notes_are_kept_in_order(context: Context, number: int) -> None:
    for text in ("one", "two\nlines", "  <script>alert(1)</script>  "):
        service.note(context, OPERATOR, number, text)
    notes = [e.text for e in service.incident(context, VIEWER, number).events if e.what is What.NOTE]
    assert notes == ["<script>alert(1)</script>", "two\nlines", "one"]
    assert service.incident(context, VIEWER, number).record.version == 1, "a note overwrites nothing"


@pytest.mark.parametrize("text", ["", "  \n ", "x" * 2_001, "a\x00b", "half \ud83d", "\udcff"])
def test_a_note_that_is_none(context: Context, number: int, text: str) -> None:
    with pytest.raises(InvalidRequest):
        service.note(context, OPERATOR, number, text)
    assert len(service.incident(context, VIEWER, number).events) == 1


def test_what_the_table_refuses(context: Context, number: int) -> None:
    service.close(context, OPERATOR, number)
    with pytest.raises(NotNow, match="closed already"):
        service.close(context, ADMIN, number)
    with pytest.raises(NotNow, match="says nothing"):
        service.silence(context, ADMIN, number, NOW + MINUTE)
    service.note(context, ADMIN, number, "seen")
    assert service.acknowledge(context, ADMIN, number).state is State.CLOSED


def test_what_was_merged_says_where_to_look(context: Context, street: Street, number: int) -> None:
    street.says(2, 1)
    street.decide(1)
    younger = number + 1
    street.says(1, 2)
    street.decide(2)
    for act in ACTS.values():
        with pytest.raises(NotNow) as refused:
            act(context, OPERATOR, younger)
        assert refused.value.members == {"merged_into": number}


def test_two_operators_do_not_overwrite_each_other(context: Context, number: int) -> None:
    seen = service.incident(context, OPERATOR, number).record.version
    service.silence(context, ADMIN, number, NOW + MINUTE, version=seen)
    with pytest.raises(SeenBefore) as refused:
        service.close(context, OPERATOR, number, version=seen)
    assert refused.value.members == {"version": seen + 1}
    service.close(context, OPERATOR, number, version=seen + 1)


def test_of_two_at_once_one_is_refused(context: Context, number: int) -> None:
    start = threading.Barrier(2)
    outcomes: list[str] = []

    def work(who: Principal) -> None:
        start.wait(30)
        try:
            service.close(context, who, number, who.name, version=1)
            outcomes.append(who.name)
        except (SeenBefore, NotNow):
            outcomes.append("refused")

    people = [threading.Thread(target=work, args=(who,)) for who in (OPERATOR, ADMIN)]
    for person in people:
        person.start()
    for person in people:
        person.join(60)
    assert sorted(outcomes)[-1] == "refused"
    record = service.incident(context, OPERATOR, number).record
    assert [record.closed_by] == [name for name in outcomes if name != "refused"]


def test_the_city_changes_the_version_where_it_changes_the_state(
    context: Context, street: Street, number: int
) -> None:
    street.says(1, 5)
    street.decide(5)
    assert service.incident(context, VIEWER, number).record.version == 1, "nothing was overwritten"
    street.decide(60)
    with pytest.raises(NotNow):
        service.close(context, OPERATOR, number, version=1)
    assert service.incident(context, VIEWER, number).record.version == 2


def test_pages(context: Context, street: Street) -> None:
    for episode in range(5):
        street.says(0, episode * 200)
        street.decide(episode * 200 + 100)
    ids = [i.id for i in service.incidents(context, VIEWER)]
    assert ids == sorted(ids, reverse=True)
    assert len(ids) == 5
    pages, after = [], None
    while page := service.incidents(context, VIEWER, after=after, limit=2):
        pages.append([i.id for i in page])
        after = page[-1].id
    assert pages == [ids[:2], ids[2:4], ids[4:]]
    assert service.incidents(context, VIEWER, state=State.OPEN) == []


def test_the_verdicts_of_a_lamppost(context: Context, street: Street, number: int) -> None:
    street.says(0, -30, VerdictKind.FAULT, reason="spike: 3 at once")
    street.says(1, -10)
    address = street.posts[0].address
    newest_first = service.verdicts(context, VIEWER, address)
    assert [(v.kind, v.reason) for v in newest_first] == [
        ("fault", "spike: 3 at once"),
        ("episode", "PM2.5 rose fast"),
    ]
    told, said = newest_first
    assert (said.incident_id, told.incident_id) == (number, None)
    assert (said.sensor_kind, said.model, said.input_hash) == (
        "pms5003",
        "air_anomaly@1.0.0/litert",
        "68" * 32,
    )
    assert (said.received_at, said.history) == (NOW, False)
    assert service.verdicts(context, VIEWER, address, limit=1) == [told]
    assert service.verdicts(context, VIEWER, address, after=told.id) == [said]
    assert service.verdicts(context, VIEWER, address, NOW - 60 * MINUTE, NOW) == [told]
    with pytest.raises(NotFound):
        service.verdicts(context, VIEWER, Address("city", "nowhere"))
    with pytest.raises(NotFound):
        service.verdicts(context, VIEWER, Address("other", "lamp-00"))
    with pytest.raises(InvalidRequest):
        service.verdicts(context, VIEWER, address, NOW, NOW)
    with pytest.raises(InvalidRequest):  # a day before it is no time at all
        service.verdicts(context, VIEWER, address, ends=datetime.min.replace(tzinfo=UTC))


def test_the_evidence_in_pages(context: Context, street: Street, number: int) -> None:
    for minute in (10, 20, 30):
        street.says(0, minute)
        street.decide(minute)
    everything = service.evidence(context, VIEWER, number)
    assert len(everything) == 4
    first = service.evidence(context, VIEWER, number, limit=3)
    assert [*first, *service.evidence(context, VIEWER, number, after=first[-1].id)] == everything
    assert service.incident(context, VIEWER, number, verdicts_limit=2).verdicts == everything[:2]


def test_a_lamppost_with_two_sensors_is_one_lamppost(context: Context, street: Street, number: int) -> None:
    post = street.posts[0]
    street.desk.take(post.declare(unit=2, kind="sds011"))
    street.says(0, 1, unit=2, score=0.99)
    street.decide(1)
    street.says(0, 2, VerdictKind.FAULT, reason="drift: 40 % high", unit=2)
    street.decide(2)
    seen = service.incident(context, VIEWER, number)
    assert (seen.record.devices, seen.record.severity) == (1, Severity.MINOR)
    [member] = seen.members
    assert (member.standing, member.fault, member.peak_score, member.verdicts) == ("in", "", 0.99, 2)


def test_a_note_stays_whatever_a_lamppost_goes_on_doing(
    context: Context, street: Street, number: int
) -> None:
    service.note(context, OPERATOR, number, "a skip burns")
    street.desk.connection.execute(
        "INSERT INTO incident_event (incident_id, at, by, what, text, told)"
        " SELECT %s, now(), 'worker', 'reopened', '', true FROM generate_series(1, %s)",
        (number, service.EVENTS_MOST + 5),
    )
    events = service.incident(context, VIEWER, number).events
    assert len(events) == service.EVENTS_MOST
    assert events[-1].text == "a skip burns"
    assert [e.id for e in events] == sorted((e.id for e in events), reverse=True)
