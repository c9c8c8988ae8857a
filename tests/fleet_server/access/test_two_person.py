"""The second person: every state and event, what the policies name, and the rule on a real database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest

from fleet_server.access import approval_store, store, tokens, two_person
from fleet_server.access.errors import SecondPersonNeeded
from fleet_server.access.grants import Grant
from fleet_server.access.rules import CONSOLE, Action, Principal, Role
from fleet_server.access.two_person_rules import OPEN, REQUEST_LIFE, TABLE, Event, Refusal, State, step
from fleet_server.config import AccessConfig
from fleet_server.context import Context
from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment import standing
from fleet_server.errors import Conflict, Forbidden, NotFound
from fleet_server.telemetry import retention
from tests.support.server_context import make_context
from wire_contract.topics import Address

ERASE, WHOM = Action.PRIVACY_ERASE, "rui"
WHAT = two_person.digest(name=WHOM)


def test_every_state_has_an_answer_to_every_event() -> None:
    assert set(TABLE) == set(product(State, Event))
    for state, event in product(State, Event):
        after = step(state, event)
        if state not in OPEN:
            assert after == state or isinstance(after, Refusal)
        if event is Event.POWER_LOSS:
            assert after is state
        if after is State.USED and state is not State.USED:
            assert (state, event) == (State.APPROVED, Event.USE)


def test_the_policies_name_the_actions() -> None:
    assert two_person.actions() == {"devices:decommission", "privacy:erase", "retention:change"}
    one = '@two_person("yes") permit (principal, action == Lamppost::Action::"audit:read", resource);'
    assert two_person.actions_in(one) == {"audit:read"}
    assert two_person.actions_in(one.replace("yes", "no")) == frozenset()
    with pytest.raises(ValueError, match="names no single action"):
        two_person.actions_in(one.replace("audit:read", "people"))


def test_a_digest_tells_arguments_apart() -> None:
    assert two_person.digest(a=1, b="x") == two_person.digest(b="x", a=1)
    assert len({two_person.digest(), two_person.digest(a=1), two_person.digest(a="1")}) == 3


def person(name: str, role: Role = Role.ADMIN, tenant: str = "porto") -> Principal:
    return Principal("operator", name, frozenset({role}), tenant)


ANA, BEA = person("ana"), person("bea", Role.APPROVER)


PEOPLE = {
    "ana": Grant("porto", ("admin",)),
    "bea": Grant("porto", ("approver",)),
    "cy": Grant("faro", ("admin",)),
}


@pytest.fixture
def ctx(database_url: str, tmp_path: Path) -> Iterator[Context]:
    made = make_context(database_url, tmp_path)
    with made.db.session() as session:
        for name, grant in PEOPLE.items():
            store.insert_operator(session, name, "x", [grant], datetime.now(UTC))
    yield made
    made.db.close()


def ask(ctx: Context, who: Principal = ANA, arguments: bytes = WHAT, now: datetime | None = None) -> int:
    """The number of the request; 0 where none was needed."""
    try:
        two_person.need(ctx, who, ERASE, WHOM, arguments, what="all of rui", reason="asked for it", now=now)
    except SecondPersonNeeded as needed:
        return int(needed.members["request"])
    return 0


def test_one_asks_another_agrees_and_it_is_done_once(ctx: Context) -> None:
    number = ask(ctx)
    assert number
    assert ask(ctx) == number
    [waiting] = two_person.listed(ctx, BEA, State.WAITING)
    assert (waiting.id, waiting.asked_by, waiting.what, waiting.reason) == (
        number, "ana", "all of rui", "asked for it",
    )  # fmt: skip
    for nobody, why in (
        (ANA, "another one"),
        (replace(BEA, via="token 7"), "person who has signed in"),
        (replace(CONSOLE, name="console:root"), "person who has signed in"),
        (person("vic", Role.SECURITY_OFFICER), "may not"),
    ):
        with pytest.raises(Forbidden, match=why):
            two_person.approve(ctx, nobody, number)
    with pytest.raises(NotFound):
        two_person.approve(ctx, person("cy", tenant="faro"), number)
    assert two_person.listed(ctx, person("cy", tenant="faro")) == []
    assert two_person.approve(ctx, BEA, number, "seen the letter").decided_by == "bea"
    with pytest.raises(Conflict, match="already"):
        two_person.approve(ctx, person("dora"), number)
    assert ask(ctx, arguments=two_person.digest(name="somebody else")) not in {0, number}
    assert ask(ctx, BEA) not in {0, number}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ask(ctx), range(4)))
    assert answers.count(0) == 1
    assert two_person.get(ctx, ANA, number).state is State.USED
    with pytest.raises(Conflict, match="done"):
        two_person.refuse(ctx, BEA, number)
    with ctx.db.raw() as connection:
        lines = connection.execute("SELECT body FROM audit_line ORDER BY number").fetchall()
    assert any("approvals:decide" in body for (body,) in lines)


def test_a_token_in_somebody_s_name_does_not_make_two_of_one(ctx: Context) -> None:
    dora, when = person("dora"), datetime.now(UTC) - timedelta(minutes=1)
    wanted = tokens.Wanted("script", (Action.RETENTION_CHANGE,), timedelta(days=1), "ana")
    made = tokens.make(ctx, dora, wanted, when)
    script = tokens.resolve(ctx, made.token, when)
    assert script is not None
    with pytest.raises(SecondPersonNeeded) as needed:
        retention.set_days(ctx, script[0], "porto", "standard", 30)
    number = needed.value.members["request"]
    tokens.revoke(ctx, dora, made.described.id)
    with pytest.raises(Forbidden, match="A token that you made for ana"):
        two_person.approve(ctx, dora, number)
    two_person.approve(ctx, BEA, number)
    other = ask(ctx)
    assert two_person.approve(ctx, dora, other).state is State.APPROVED  # no token erases
    for question in (two_person.get, two_person.withdraw):
        with pytest.raises(Forbidden):
            question(ctx, script[0], other)
    assert two_person.withdraw(ctx, script[0], number).state is State.WITHDRAWN


def test_what_was_asked_twice_at_once_is_done_once(ctx: Context) -> None:
    wanted = approval_store.Wanted("porto", str(ERASE), WHOM, WHAT, "ana")
    now = datetime.now(UTC)
    with ctx.db.session() as session:
        made = [approval_store.insert(session, wanted, "", "", now, now + REQUEST_LIFE) for _ in range(2)]
    for each in made:
        two_person.approve(ctx, BEA, each.id)
    assert [ask(ctx) == 0 for _ in range(2)] == [True, False]


def test_a_change_that_fails_leaves_the_agreement(ctx: Context) -> None:
    number = ask(ctx)
    two_person.approve(ctx, BEA, number)
    with pytest.raises(ZeroDivisionError), ctx.db.session() as session:  # noqa: PT012
        two_person.need(ctx, ANA, ERASE, WHOM, WHAT, session=session)
        _ = 1 / 0
    assert two_person.get(ctx, ANA, number).state is State.APPROVED
    with ctx.db.session() as session:
        two_person.need(ctx, ANA, ERASE, WHOM, WHAT, session=session)
    with pytest.raises(SecondPersonNeeded), ctx.db.session() as session:
        two_person.need(ctx, ANA, ERASE, WHOM, WHAT, session=session)


def test_refused_withdrawn_and_expired_are_no_agreement(ctx: Context) -> None:
    refused = ask(ctx)
    two_person.approve(ctx, BEA, refused)
    two_person.refuse(ctx, BEA, refused, "not now")
    withdrawn = ask(ctx)
    assert withdrawn not in {0, refused}
    with pytest.raises(Forbidden):
        two_person.withdraw(ctx, BEA, withdrawn)
    assert two_person.withdraw(ctx, ANA, withdrawn).state is State.WITHDRAWN
    long_ago = datetime.now(UTC) - REQUEST_LIFE - timedelta(minutes=1)
    old = ask(ctx, now=long_ago)
    with pytest.raises(Conflict, match="expired"):
        two_person.approve(ctx, BEA, old)
    late = ask(ctx)
    two_person.approve(ctx, BEA, late)
    assert ask(ctx, now=datetime.now(UTC) + REQUEST_LIFE) not in {0, late}


def test_where_fewer_than_two_could_agree_one_is_enough_unless_told(ctx: Context) -> None:
    alone = person("cy", tenant="faro")
    assert ask(ctx, alone) == 0
    strict = replace(ctx, config=replace(ctx.config, access=AccessConfig("on")))
    assert ask(strict, alone) > 0
    lax = replace(ctx, config=replace(ctx.config, access=AccessConfig("off")))
    assert ask(lax) == 0
    two_person.need(strict, ANA, Action.AUDIT_READ, "*", WHAT)
    with ctx.db.raw() as connection:
        connection.execute("UPDATE operator SET disabled = true WHERE name = 'bea'")
    assert ask(ctx) == 0


def test_services_wait_for_the_second_person(ctx: Context) -> None:
    """Fewer days, and a lamppost shut out for good; longer and milder changes wait for nobody."""
    lamppost = Address("porto", "lamp-1")
    with ctx.db.raw() as connection:
        connection.execute("INSERT INTO device (tenant, name, state) VALUES ('porto', 'lamp-1', 'active')")

    def twice(act: Callable[[], object]) -> None:
        with pytest.raises(SecondPersonNeeded) as needed:
            act()
        two_person.approve(ctx, BEA, needed.value.members["request"])
        act()

    twice(lambda: retention.set_days(ctx, ANA, "porto", "standard", 30))
    retention.set_days(ctx, ANA, "porto", "standard", 60)
    twice(lambda: retention.set_days(ctx, ANA, "porto", "standard", 59))
    standing.change_state(ctx, ANA, lamppost, DeviceState.QUARANTINED)
    twice(lambda: standing.change_state(ctx, ANA, lamppost, DeviceState.DECOMMISSIONED))
    assert two_person.listed(ctx, BEA, State.WAITING) == []
    assert len(two_person.listed(ctx, BEA, State.USED)) == 3
