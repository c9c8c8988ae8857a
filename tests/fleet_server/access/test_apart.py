"""Who stands apart, and that nobody alone does what takes two: tables, any sequence of steps, a database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fleet_server.access import service, tokens, two_person, upkeep
from fleet_server.access.apart_rules import APART_AFTER, Hand, apart, in_force, may_agree, reach, two_apart
from fleet_server.access.errors import SecondPersonNeeded
from fleet_server.access.grants import roles_in
from fleet_server.access.rules import CONSOLE, Action, Principal, Role
from fleet_server.context import Context
from fleet_server.errors import Forbidden, InvalidRequest, NotFound
from fleet_server.privacy import service as privacy
from tests.support.server_context import make_context

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
WEEK, HOUR = timedelta(days=7), timedelta(hours=1)


@pytest.mark.parametrize(
    ("rule_", "two_now", "ago", "takes_two"),
    [
        ("on", False, None, True),
        ("off", True, HOUR, False),
        ("auto", True, None, True),
        ("auto", False, HOUR, True),
        ("auto", False, WEEK - HOUR, True),
        ("auto", False, WEEK, False),
        ("auto", False, None, False),
    ],
)
def test_where_it_takes_two(rule_: str, two_now: bool, ago: timedelta | None, takes_two: bool) -> None:
    assert APART_AFTER == WEEK
    assert in_force(rule_, two_now, None if ago is None else NOON - ago, NOON) is takes_two


HANDS = (Hand("puppet", "ana"), Hand("doll", "puppet"), Hand("cy", "bo"), Hand("bo", "cy"))


@pytest.mark.parametrize(
    ("one", "other", "stand_apart"),
    [
        ("ana", "bea", True),
        ("ana", "ana", False),
        ("ana", "puppet", False),
        ("doll", "ana", False),  # a hand in a hand
        ("doll", "puppet", False),
        ("bo", "cy", False),  # in a circle
        ("doll", "bo", True),
    ],
)
def test_who_stands_apart(one: str, other: str, stand_apart: bool) -> None:
    assert apart(one, other, HANDS) is apart(other, one, HANDS) is stand_apart
    assert may_agree(one, (other, "zoe"), HANDS) is stand_apart
    assert two_apart((one, other), HANDS) is (stand_apart and one != other)


NAMES = st.sampled_from("abcdef")
SOME_HANDS = st.lists(st.builds(Hand, NAMES, NAMES), max_size=8)


@given(SOME_HANDS, st.lists(NAMES, unique=True), st.builds(Hand, NAMES, NAMES))
@settings(max_examples=150, deadline=None)
def test_another_hand_never_makes_more_people(hands: list[Hand], names: list[str], more: Hand) -> None:
    assert two_apart(names, hands) or not two_apart(names, [*hands, more])
    for each in names:
        assert reach(each, hands) <= reach(each, [*hands, more])


@dataclass
class Account:
    decides: bool = True
    disabled: bool = False


@dataclass
class Asked:
    by: str
    makers: frozenset[str] = frozenset()
    approved: bool = False


@dataclass
class City:
    """What the services keep of one tenant, and what they do with the rules."""

    accounts: dict[str, Account] = field(default_factory=dict)
    hands: list[Hand] = field(default_factory=list)
    token_makers: dict[str, set[str]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    held: datetime | None = None
    now: datetime = NOON

    def two_now(self) -> bool:
        return two_apart((n for n, a in self.accounts.items() if a.decides and not a.disabled), self.hands)

    def takes_two(self) -> bool:
        return in_force("auto", self.two_now(), self.held, self.now)

    def before_a_change(self) -> None:
        if self.two_now():
            self.held = self.now


class OneAgainstTheCity(RuleBasedStateMachine):
    """One person with every right over accounts, for a day: what they do alone never takes two's place.

    `mine` are the accounts whose password this person knows; everybody else sleeps.
    """

    city: City
    mine: list[str]

    @initialize(others=st.integers(1, 3), role=st.booleans())
    def begin(self, others: int, role: bool) -> None:
        self.city = City({"ana": Account(decides=role)} | {f"honest-{n}": Account() for n in range(others)})
        if not self.city.two_now():
            self.city.accounts["honest-0b"] = Account()
        self.mine = ["ana"]

    def pick(self, number: int, among: list[str]) -> str:
        return among[number % len(among)]

    @rule(who=st.integers(0, 9), role=st.booleans())
    def makes_an_account(self, who: int, role: bool) -> None:
        name = f"puppet-{len(self.city.accounts)}"
        self.city.accounts[name] = Account(role)
        self.city.hands.append(Hand(name, self.pick(who, self.mine)))
        self.mine.append(name)

    @rule(who=st.integers(0, 9), whose=st.integers(0, 9))
    def sets_a_password(self, who: int, whose: int) -> None:
        name = self.pick(whose, list(self.city.accounts))
        self.city.before_a_change()
        self.city.hands.append(Hand(name, self.pick(who, self.mine)))
        self.mine = list(dict.fromkeys([*self.mine, name]))

    @rule(who=st.integers(0, 9), whose=st.integers(0, 9), role=st.booleans())
    def changes_roles(self, who: int, whose: int, role: bool) -> None:
        name = self.pick(whose, list(self.city.accounts))
        self.city.before_a_change()
        if role and not self.city.accounts[name].decides:
            self.city.hands.append(Hand(name, self.pick(who, self.mine)))
        self.city.accounts[name].decides = role

    @rule(whose=st.integers(0, 9), disabled=st.booleans())
    def keeps_out_or_lets_in(self, whose: int, disabled: bool) -> None:
        self.city.before_a_change()
        self.city.accounts[self.pick(whose, list(self.city.accounts))].disabled = disabled

    @rule(who=st.integers(0, 9), whose=st.integers(0, 9))
    def makes_a_token(self, who: int, whose: int) -> None:
        owner = self.pick(whose, list(self.city.accounts))
        self.city.token_makers.setdefault(owner, set()).add(self.pick(who, self.mine))

    @rule(whose=st.integers(0, 9))
    def asks(self, whose: int) -> None:
        by = self.pick(whose, [*self.mine, *self.city.token_makers])
        self.city.asked.append(Asked(by, frozenset(self.city.token_makers.get(by, ()))))

    @rule(who=st.integers(0, 9), which=st.integers(0, 9))
    def agrees(self, who: int, which: int) -> None:
        agrees = self.pick(who, self.mine)
        account = self.city.accounts[agrees]
        if self.city.asked and account.decides and not account.disabled:
            found = self.city.asked[which % len(self.city.asked)]
            found.approved |= may_agree(agrees, {found.by, *found.makers}, self.city.hands)

    @rule(minutes=st.integers(1, 600))
    def waits(self, minutes: int) -> None:
        self.city.now = min(self.city.now + timedelta(minutes=minutes), NOON + timedelta(days=1))

    @invariant()
    def nothing_is_done(self) -> None:
        if hasattr(self, "city"):
            assert self.city.takes_two()
            assert not any(each.approved for each in self.city.asked)


OneAgainstTheCity.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestOneAgainstTheCity = OneAgainstTheCity.TestCase

# The same on a database, through the services.

PASSWORD = "a lamp for every street"
ERASE, WHAT = Action.PRIVACY_ERASE, two_person.digest(name="rui")


def person(name: str, role: Role = Role.ADMIN, tenant: str = "porto") -> Principal:
    return Principal("operator", name, frozenset({role}), tenant)


ANA, BEA, CY = person("ana"), person("bea", Role.APPROVER), person("cy", Role.APPROVER)


@pytest.fixture
def ctx(database_url: str, tmp_path: Path, cheap_passwords: None) -> Iterator[Context]:
    made = make_context(database_url, tmp_path)
    for each in (ANA, BEA):
        service.create_operator(made, CONSOLE, each.name, PASSWORD, tuple(each.roles), tenant="porto")
    yield made
    made.db.close()


def ask(ctx: Context, who: Principal = ANA, now: datetime | None = None) -> int:
    """The number of the request; 0 where none was needed."""
    try:
        two_person.need(ctx, who, ERASE, "rui", WHAT, now=now)
    except SecondPersonNeeded as needed:
        return int(needed.members["request"])
    return 0


def disable(ctx: Context) -> None:
    service.set_disabled(ctx, ANA, "bea", disabled=True)


def take_roles(ctx: Context) -> None:
    service.grant(ctx, ANA, "bea", "porto", ())


def set_password(ctx: Context) -> None:
    service.set_password(ctx, ANA, "bea", PASSWORD + "!")


def set_own_password(ctx: Context, who: Principal, name: str) -> None:
    service.set_password(ctx, who, name, PASSWORD + "!")


@pytest.mark.parametrize("change", [disable, take_roles, set_password])
def test_who_is_left_alone_is_still_asked_for_a_week(ctx: Context, change: Callable[[Context], None]) -> None:
    everywhere = person("ana", tenant="*")  # acting in all tenants at once gets around none
    for _ in range(2):
        assert ask(ctx)
        assert ask(ctx, everywhere)
        change(ctx)
    later = datetime.now(UTC) + WEEK + HOUR
    assert bool(ask(ctx, now=later)) is (change is set_password)  # two people again, as far as one can tell


def test_a_change_at_the_console_leaves_nobody_alone_at_once_either(ctx: Context) -> None:
    service.grant(ctx, CONSOLE, "bea", "porto", ())
    assert ask(ctx)
    assert ask(ctx, now=datetime.now(UTC) + WEEK + HOUR) == 0


def test_a_puppet_neither_agrees_nor_asks(ctx: Context) -> None:
    service.create_operator(ctx, ANA, "puppet", PASSWORD, (Role.ADMIN,), tenant="porto")
    puppet = person("puppet")
    service.create_operator(ctx, puppet, "doll", PASSWORD, (Role.ADMIN,), tenant="porto")
    mine, dolls = ask(ctx), ask(ctx, person("doll"))
    for agrees, number in ((puppet, mine), (person("doll"), mine), (ANA, dolls), (puppet, dolls)):
        with pytest.raises(Forbidden, match="may be one person"):
            two_person.approve(ctx, agrees, number)
    two_person.approve(ctx, BEA, dolls)  # who stands apart from all of them
    service.set_password(ctx, puppet, "bea", PASSWORD + "!")
    with pytest.raises(Forbidden, match="may be one person"):
        two_person.approve(ctx, BEA, mine)
    assert two_person.refuse(ctx, puppet, mine).state is two_person.State.REFUSED  # to say no, anybody is one


Step = tuple[str, int, int, bool]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["make", "password", "role", "roles", "out", "token"]),
        st.integers(0, 5),
        st.integers(0, 5),
        st.booleans(),
    ),
    min_size=3,
    max_size=9,
)


class Intruder:
    """Has ana's session in a city of ana and bea, and of whatever else this person makes."""

    def __init__(self, ctx: Context, city: str) -> None:
        self.ctx, self.city = ctx, city
        self.mine, self.all, self.tokens = [f"ana-{city}"], [f"ana-{city}", f"bea-{city}"], list[str]()
        for name in self.all:
            service.create_operator(ctx, CONSOLE, name, None, (Role.ADMIN,), tenant=city)
        with ctx.db.raw() as connection:  # as good as a password, and quicker
            connection.execute("UPDATE operator SET password_hash = 'x'")

    def persons(self) -> list[Principal]:
        """Those of the own that may sign in just now."""
        found = [service.get_operator(self.ctx, CONSOLE, name) for name in self.mine]
        return [
            Principal("operator", each.name, roles_in(each.grants, self.city), self.city)
            for each in found
            if not each.disabled
        ]

    def do(self, step: Step) -> None:
        what, who, whom, much = step
        persons = self.persons()
        if not persons:
            return
        acting, target = persons[who % len(persons)], self.all[whom % len(self.all)]
        try:
            self._do(what, acting, target, much)
        except (Forbidden, NotFound):
            return  # nobody in the city whom it could ask for more

    def _do(self, what: str, acting: Principal, target: str, much: bool) -> None:
        ctx, city = self.ctx, self.city
        match what:
            case "make":
                name = f"puppet-{len(self.all)}-{city}"
                service.create_operator(ctx, acting, name, PASSWORD, (Role.ADMIN,), tenant=city)
                self.mine.append(name)
                self.all.append(name)
            case "password":
                service.set_password(ctx, acting, target, PASSWORD)
                self.mine = list(dict.fromkeys([*self.mine, target]))
            case "role" | "roles":
                service.grant(ctx, acting, target, city, [Role.APPROVER, Role.ADMIN][: 1 + much])
            case "out":
                service.set_disabled(ctx, acting, target, disabled=much)
            case _:
                wanted = tokens.Wanted("t", (Action.RETENTION_CHANGE,), timedelta(days=1), target)
                self.tokens.append(tokens.make(ctx, acting, wanted).token)

    def asks_everywhere(self) -> list[int]:
        """The numbers of requests, by everybody whose name can be used; none was done."""
        machines = [service.resolve(self.ctx, token) for token in self.tokens]
        asked = []
        for each in [*self.persons(), *(machine for machine in machines if machine is not None)]:
            with pytest.raises(SecondPersonNeeded) as needed:
                two_person.need(self.ctx, each, Action.RETENTION_CHANGE, self.city, WHAT, tenant=self.city)
            asked.append(int(needed.value.members["request"]))
        return asked


def test_one_alone_gets_nothing_done_through_the_services(ctx: Context) -> None:
    numbers = count()

    @given(STEPS)
    @settings(max_examples=12, deadline=None)
    def alone(steps: list[Step]) -> None:
        one = Intruder(ctx, f"city-{next(numbers)}")
        for step in steps:
            one.do(step)
        for number in one.asks_everywhere():
            for each in one.persons():
                with pytest.raises((Forbidden, NotFound)):
                    two_person.approve(ctx, each, number)

    alone()


def test_a_role_just_given_and_a_token_of_a_puppet(ctx: Context) -> None:
    service.create_operator(ctx, CONSOLE, "cy", PASSWORD, (Role.VIEWER,), tenant="porto")
    service.grant(ctx, ANA, "cy", "porto", [Role.APPROVER])
    with pytest.raises(Forbidden, match="may be one person"):
        two_person.approve(ctx, CY, ask(ctx))
    service.create_operator(ctx, CONSOLE, "dov", PASSWORD, (Role.ADMIN,), tenant="porto")
    two_person.approve(ctx, CY, ask(ctx, person("dov")))
    service.create_operator(ctx, ANA, "puppet", PASSWORD, (Role.ADMIN,), tenant="porto")
    wanted = tokens.Wanted("script", (Action.RETENTION_CHANGE,), timedelta(days=1), "dov")
    made = tokens.make(ctx, person("puppet"), wanted)
    script = service.resolve(ctx, made.token)
    assert script is not None
    with pytest.raises(SecondPersonNeeded) as needed:
        two_person.need(ctx, script, Action.RETENTION_CHANGE, "porto", WHAT)
    with pytest.raises(Forbidden, match="may be one person"):
        two_person.approve(ctx, ANA, needed.value.members["request"])
    two_person.approve(ctx, BEA, needed.value.members["request"])


@pytest.mark.parametrize("ahead_s", [30, -30])
def test_machines_whose_clocks_differ_make_no_second_person(ctx: Context, ahead_s: int) -> None:
    """A token that was made by a clock ahead of the one that asks, or revoked by one behind, still asked."""
    by_another_clock = datetime.now(UTC) + timedelta(seconds=ahead_s)
    wanted = tokens.Wanted("script", (Action.RETENTION_CHANGE,), timedelta(days=1), "bea")
    service.grant(ctx, CONSOLE, "bea", "porto", [Role.ADMIN])
    made = tokens.make(ctx, ANA, wanted, now=by_another_clock)
    script = service.resolve(ctx, made.token)
    assert script is not None
    with pytest.raises(SecondPersonNeeded) as needed:
        two_person.need(ctx, script, Action.RETENTION_CHANGE, "porto", WHAT)
    if ahead_s < 0:
        tokens.revoke(ctx, ANA, made.described.id, now=by_another_clock)
    with pytest.raises(Forbidden, match="A token that you made"):
        two_person.approve(ctx, ANA, needed.value.members["request"])


def test_a_new_city_s_administrator_is_not_locked_out(ctx: Context) -> None:
    """Who has nobody yet but accounts of their own making is asked as one who is alone: not at all."""
    service.create_operator(ctx, CONSOLE, "fay", PASSWORD, (Role.ADMIN,), tenant="faro")
    fay = person("fay", tenant="faro")
    assert ask(ctx, fay) == 0
    service.create_operator(ctx, fay, "gil", PASSWORD, (Role.APPROVER,), tenant="faro")
    assert ask(ctx, fay) == 0
    assert ask(ctx, fay, datetime.now(UTC) + WEEK + HOUR)


def test_who_agrees_to_an_erasure_reads_every_name(ctx: Context) -> None:
    """Accounts of these names are shut: not, unseen among them, whoever could be asked next time."""
    service.create_operator(ctx, CONSOLE, "cy", PASSWORD, (Role.APPROVER,), tenant="*")
    root, cy, names = person("ana", tenant="*"), person("cy", Role.APPROVER, "*"), ["who left", "bea"]
    for too_much, why in ((["bea", "cy"], "two accounts"), (["bea", *(n * 180 for n in "def")], "fit")):
        with pytest.raises(InvalidRequest, match=why):
            privacy.erase(ctx, root, too_much)
    for each in (names, ["cy"]):
        with pytest.raises(SecondPersonNeeded) as needed:
            privacy.erase(ctx, root, each)
        number = needed.value.members["request"]
        assert two_person.get(ctx, root, number).what.endswith(", ".join(each))
        two_person.approve(ctx, cy, number)
        assert privacy.erase(ctx, root, each).account_shut
    assert ask(ctx), "who is left alone is asked for a week, however that came"
    assert ask(ctx, now=datetime.now(UTC) + WEEK + HOUR) == 0


@pytest.mark.parametrize("change", [service.reset_second_factor, set_own_password])
def test_a_browser_left_open_is_not_enough(ctx: Context, change: Callable[..., None]) -> None:
    """What one's own account asks the old password, or a code, for is not to be had as its administrator."""
    with pytest.raises(Forbidden, match="your own"):
        change(ctx, ANA, "ana")


def test_what_is_old_goes(ctx: Context) -> None:
    service.set_password(ctx, ANA, "bea", PASSWORD + "!")
    number = ask(ctx)
    long_after = datetime.now(UTC) + timedelta(days=ctx.config.retention.names_days)
    assert upkeep.forget_old(ctx, long_after - HOUR) == 1  # the hand in bea's account
    assert [each.id for each in two_person.listed(ctx, ANA)] == [number]
    assert upkeep.forget_old(ctx, long_after + HOUR) == 1
    assert two_person.listed(ctx, ANA) == []
    assert upkeep.forget_old(ctx, long_after + HOUR) == 0
    with ctx.db.raw() as connection:
        body = connection.execute("SELECT body FROM audit_line WHERE action = 'privacy:retention'").fetchall()
        assert connection.execute("SELECT count(*) FROM two_person_hold").fetchone() == (0,)
    assert len(body) == 1
