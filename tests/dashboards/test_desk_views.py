"""What the pages without a script say: words stay words, a difference is told, times have their zone."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dashboards import (
    action_words,
    advance_view,
    approvals_view,
    audit_view,
    desk_view,
    groups_view,
    people_view,
    standing_view,
    tenants_view,
    times,
    tokens_view,
)
from dashboards.areas import MAIN, MORE, offered
from dashboards.forms import Given, number
from dashboards.groups_page import MAY
from dashboards.parts import cut
from fleet_server.access.approval_store import Request
from fleet_server.access.grants import Grant
from fleet_server.access.rules import HUMAN_ROLES, Action, Principal
from fleet_server.access.service import ApiToken, ListedSession, Operator, SignedIn, tokens
from fleet_server.access.two_person_rules import State
from fleet_server.audit.rules import Happening
from fleet_server.audit.verifying import Checkpoint, Fault, FaultKind, Verified
from fleet_server.auditor.rules import LineView
from fleet_server.auditor.service import Verdict
from fleet_server.enrolment import revoking
from fleet_server.enrolment.batch_rules import BatchState
from fleet_server.enrolment.store import Alarm, Batch
from fleet_server.errors import InvalidRequest
from fleet_server.tenants.service import NAMES, TenantRecord
from fleet_server.twin import groups
from wire_contract.settings import SETTINGS

EVIL = '"><script>'
AT = datetime(2026, 7, 21, 12, 30, tzinfo=UTC)
PERSON = Operator(1, EVIL, (Grant("porto", (EVIL,)),), False, AT, True, True)
SESSION = ListedSession(7, EVIL, EVIL, EVIL, EVIL, AT, AT)
TOKEN = ApiToken(3, EVIL, EVIL, "porto", (), (EVIL,), EVIL, AT, AT + timedelta(days=1), None, None, "")
REQUEST = Request(5, EVIL, EVIL, EVIL, b"", EVIL, EVIL, State.WAITING, EVIL, AT, AT, EVIL, AT, EVIL)
LINE = LineView(
    9, EVIL, EVIL, EVIL, EVIL, EVIL, (EVIL,), EVIL, EVIL, EVIL, EVIL, EVIL, EVIL, EVIL,
    {EVIL: {EVIL: EVIL}}, [EVIL], {EVIL: EVIL}, EVIL,
)  # fmt: skip
TENANT = TenantRecord("porto", EVIL, AT, dict.fromkeys(NAMES), 3)
BATCH = Batch("b", EVIL, EVIL, EVIL, 1, AT, AT, BatchState.OPEN, EVIL, EVIL, AT)
ALARM = Alarm(1, EVIL, EVIL, EVIL, EVIL, AT)
GROUP = groups.Group(1, "porto", "g", EVIL, EVIL, 0, 1, AT, None, 2, {EVIL: EVIL}, {})
SOUND = Verdict(Verified(9, 1, 9, 1, 0, 9, None), AT, AT)


def everything() -> Iterator[str]:
    """Every view, of values that are code; of each state that has forms of its own."""
    typed = Given((("name", EVIL), ("tenant", EVIL), ("role", EVIL)))
    yield people_view.listing(people_view.Listing([PERSON], {EVIL: AT}, EVIL, EVIL), "*", True, typed)
    for each in (PERSON, replace(PERSON, disabled=True, has_factor=False)):
        yield people_view.person(each, "*", [SESSION], AT, own=True)
    yield people_view.made(PERSON, EVIL) + people_view.renewed(EVIL, EVIL)
    yield tokens_view.page([TOKEN], 3, AT, [EVIL], "*", True, typed) + tokens_view.made(EVIL, TOKEN)
    for state in State:
        request = replace(REQUEST, state=state)
        yield approvals_view.page([request], [request], 1, "ana", True)
        yield approvals_view.one(request, EVIL, True) + approvals_view.one(request, "ana", False)
    asked = dict.fromkeys(audit_view.FILTERS, EVIL)
    yield audit_view.listing(audit_view.Listing([LINE], asked, 1, True))
    yield audit_view.one(LINE, Checkpoint(9, b"", AT, EVIL, EVIL, b""), [("the line before", 8)])
    yield audit_view.verified(replace(SOUND, found=replace(SOUND.found, fault=BROKEN)), True)
    yield tenants_view.listing([TENANT], EVIL, True, typed) + tenants_view.one(TENANT, True, typed)
    for batch in BatchState:
        given = replace(BATCH, state=batch)
        yield advance_view.in_advance([given], [ALARM], True, True, typed) + advance_view.made(given, [EVIL])
    yield groups_view.listing([GROUP], True, typed)
    yield groups_view.one(GROUP, groups.Members((), 3), SETTINGS, dict.fromkeys(MAY, True), typed)
    who = SignedIn(Principal("operator", EVIL, frozenset(HUMAN_ROLES), "porto"), AT)
    yield desk_view.page(desk_view.Shell(EVIL, who, 3), EVIL, "", area="", told=desk_view.Told(EVIL, EVIL))


BROKEN = Fault(4, FaultKind.CHANGED, EVIL)


def test_words_stay_words() -> None:
    for shown in everything():
        assert "<script" not in shown
        assert '"&gt;&lt;script&gt;' not in shown  # a quote would end an attribute
        assert "&quot;&gt;&lt;script&gt;" in shown


def test_who_may_not_is_offered_no_form() -> None:
    listing = people_view.Listing([PERSON], {}, "", "")
    for shown in (
        people_view.listing(listing, "porto", False).replace('<form method="get"', ""),
        people_view.person(PERSON, "porto", None, None, own=False),
        tokens_view.page([TOKEN], None, AT, None, "porto", False),
        approvals_view.page([REQUEST], [], None, "ana", False),
        tenants_view.listing([TENANT], "", False) + tenants_view.one(TENANT, False),
    ):
        assert "<form" not in shown
    mine = approvals_view.one(REQUEST, EVIL, True)
    assert "withdraw" in mine
    assert "approve" not in mine
    decided = approvals_view.one(replace(REQUEST, state=State.REFUSED), "ana", True)
    assert "<form" not in decided


def test_a_difference_is_told_key_by_key() -> None:
    shown = audit_view.changed({"a": {"b": 1, "c": 2}, "d": "x"}, {"a": {"b": 1, "c": 3}, "e": None})
    rows = re.findall(r"<tr><td.*?</tr>", shown)
    keys = [re.findall(r'class="diff-\w+">([\w.]+)</span>', row) for row in rows]
    assert keys == [["a.b"], ["a.c"], ["d"], ["e"]]
    assert "<span>1</span>" in rows[0]
    assert "<del>2</del>" in rows[1]
    assert "<ins>3</ins>" in rows[1]
    assert "<del>x</del>" in rows[2]
    assert "<ins>null</ins>" in rows[3]
    assert "nothing of a state" in audit_view.changed(None, {})
    assert audit_view.flat(["x"]) == {"all of it": ["x"]}


def test_a_log_that_is_not_sound_is_an_alarm() -> None:
    assert "Sound." in audit_view.verified(SOUND, False)
    assert "<form" not in audit_view.verified(SOUND, False)
    broken = audit_view.verified(replace(SOUND, found=replace(SOUND.found, fault=BROKEN)), True)
    assert 'role="alert"' in broken
    assert "from line 4 on" in broken


@pytest.fixture
def lisbon() -> Iterator[None]:
    """The machine's own zone; it is put back."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Lisbon"
    time.tzset()
    yield
    os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
    time.tzset()


@pytest.mark.usefixtures("lisbon")
def test_times_are_the_citys_with_utc_in_the_title() -> None:
    shown = times.shown(AT)
    assert 'title="2026-07-21 12:30:00 UTC"' in shown
    assert ">2026-07-21 13:30 WEST<" in shown
    assert times.shown(None, "not yet") == "not yet"
    assert times.told("2026-07-21T13:30") == times.told("2026-07-21T12:30Z") == AT
    assert times.told(times.field(AT)) == AT
    assert times.told(" ") is None
    for garbage in ("yesterday", "0001-01-01T00:00", "9999-12-31T23:59-23:00", "2026-13-01T00:00", "\0"):
        with pytest.raises(InvalidRequest, match="is no time"):
            times.told(garbage)


def test_every_action_and_role_has_words() -> None:
    assert set(action_words.ACTIONS) == set(Action) | set(Happening)
    assert set(action_words.ROLES) == set(HUMAN_ROLES)
    assert {tenants_view.words(name) for name in NAMES} == set(tenants_view.WORDS.values())
    assert all(action_words.action(scope) != scope for scope in tokens.scopes_there_are())
    assert set(approvals_view.STATES) == set(State)
    assert set(standing_view.REASONS) == set(revoking.Reason)
    assert set(standing_view.WORDS) == {"pending", "active", "quarantined", "decommissioned"}


def test_a_long_list_is_cut_into_pages_that_hold_each_once() -> None:
    names = [f"n{each:03}" for each in range(250)]
    found: list[str] = []
    after = ""
    for _ in range(3):
        shown, after = cut(names, str, after, 100)
        found += shown
    assert found == names
    assert after == ""
    assert cut(names[:100], str, "", 100)[1] == ""
    assert cut(names, str, "gone", 2) == (["n000", "n001"], "n001")


def test_the_header_leads_where_somebody_may_go() -> None:
    assert [each.key for each in offered(MAIN, lambda _: False)] == ["map", "incidents"]
    assert [each.key for each in offered(MORE, lambda _: False)] == ["account"]
    assert len(offered(MORE, lambda _: True)) == len(MORE)
    letters = [each.letter for each in (*MAIN, *MORE)]
    assert len(letters) == len(set(letters))
    assert {each.action for each in (*MAIN, *MORE)} - {""} <= set(Action)


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "1.5", "٣", "9" * 40, str(2**31)])
def test_a_number_is_a_whole_one(text: str) -> None:
    with pytest.raises(InvalidRequest, match="whole number"):
        number(text, "line")
    assert number("7", "line") == 7
