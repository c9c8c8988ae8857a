"""The agent's own loop and the server's own tables, with everything between them that can go wrong.

Messages are lost, doubled and overtake each other; power goes on the lamppost at any point, the server dies
between its commit and the broker; the connection is made anew. Whatever happens, a command is carried out at
most once and ends, in one state, when its clocks say so at the latest.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.core.commanding import Book
from edge_agent.io.clocks import SteppedClock
from edge_agent.loops.board import Board
from edge_agent.loops.commanding import CommandLoop, Hands
from fleet_server.clock import StreetClock
from fleet_server.commands import answers, rules, service, upkeep
from fleet_server.commands.rules import ENDS, State
from fleet_server.commands.sending import due_now
from fleet_server.commands.service import Ask, CommandName, Wanted
from fleet_server.context import Context
from tests.fleet_server.telemetry.support import Desk, Post
from tests.support.server_context import OPERATOR, make_context
from wire_contract.classes import Class
from wire_contract.envelope import decode
from wire_contract.messages import Command, CommandReply

STEPS = (
    *("send", "send", "send and die", "bring down", "bring down", "double down", "lose down"),
    *(
        "bring up",
        "double up",
        "lose up",
        "reconnect",
        "reconnect",
        "leave",
        "cut",
        "cut later",
        "wait",
        "wait long",
    ),
)
EXPIRY, TIMEOUT = timedelta(minutes=10), timedelta(minutes=5)


class PowerCut(BaseException):
    """Nothing catches it, as nothing catches the real one."""


@dataclass
class Lamppost:
    """The real loop of commands over a disk and a spool of lists. `left`: how many writes power lasts for."""

    clock: SteppedClock
    book: Book = field(default_factory=Book)
    spooled: list[CommandReply] = field(default_factory=list)
    carried_out: int = 0
    left: int | None = None

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        hands = Hands(
            declare=self.carry_out,
            sensors={"front": self.look},
            log_lines=lambda _: "",
            parts=dict,
            secrets=tuple,
            restart=self.cut_off,
            reboot=self.cut_off,
        )
        spool = cast(Any, self)
        self.loop = CommandLoop(self.clock, spool, Board(self.clock), self, hands, lambda: None)
        self.loop.recover()

    def take(self, command: Command) -> None:
        try:
            self.loop.handle(command)
        except PowerCut:
            self.left = None
            self.start()

    def carry_out(self) -> None:
        self.carried_out += 1
        self.spend()

    def look(self) -> tuple[bool, str]:
        self.carry_out()
        return True, "pm2_5 3 ug/m3"

    def cut_off(self) -> None:
        self.carried_out += 1
        raise PowerCut

    def spend(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise PowerCut

    # the disk and the spool: power may go before a write, or behind it

    def load(self) -> Book:
        return self.book

    def save(self, book: Book) -> None:
        self.spend()
        self.book = book
        self.spend()

    def put(self, _cls: Class, payload: bytes, _now_ms: int) -> int:
        self.spend()
        reply = decode(payload)
        assert isinstance(reply, CommandReply)
        self.spooled.append(reply)
        self.spend()
        return len(self.spooled)


class City:
    """One server and one lamppost; `now` is everybody's."""

    def __init__(self, context: Context, desk: Desk) -> None:
        self.desk = desk
        self.post = Post("both-ends")
        desk.register(self.post)
        self.device_id: int = desk.one("SELECT id FROM device")
        self.now = datetime.now().astimezone()
        self.context = replace(context, clock=StreetClock(wall_ms=lambda: self.now.timestamp() * 1000))
        self.session = 0

    def begin(self, name: CommandName, skew: timedelta) -> None:
        self.now = datetime.now().astimezone()
        self.down: list[Command] = []
        self.skew = skew
        self.lamppost = Lamppost(SteppedClock(self.device_ms()))
        self.reconnect()
        asked = service.ask(
            self.context, OPERATOR, self.post.address, Ask(name, expiry=EXPIRY, timeout=TIMEOUT)
        )
        self.id, self.now = asked.id, asked.asked_at

    def device_ms(self) -> int:
        return max(0, int((self.now + self.skew).timestamp() * 1000))

    def reconnect(self) -> None:
        self.session += 1
        self.down = []
        with self.desk.connection.cursor() as cursor:
            cursor.execute(
                "UPDATE device SET presence = 'online', presence_session = %s WHERE id = %s",
                (self.session, self.device_id),
            )
            answers.connected(cursor, self.device_id)

    def leave(self) -> None:
        self.desk.connection.execute("UPDATE device SET presence = 'offline'")

    def send(self) -> None:
        for message in due_now(self.context, self.now):
            command = decode(message.payload)
            assert isinstance(command, Command)
            self.down.append(command)

    def answer(self, reply: CommandReply) -> None:
        with self.desk.connection.transaction(), self.desk.connection.cursor() as cursor:
            assert answers.answered(cursor, self.device_id, reply, self.now)

    def pass_time(self, span: timedelta) -> None:
        self.now += span
        self.lamppost.clock.step_to(self.device_ms())
        upkeep.run_clocks(self.desk.connection, self.now)

    def state(self) -> State:
        return service.get_command(self.context, OPERATOR, self.id).state

    def step(self, what: str, rng: random.Random) -> None:
        up = self.lamppost.spooled
        match what:
            case "send":
                self.send()
            case "send and die":
                due_now(self.context, self.now)
            case "bring down" | "double down" | "lose down" if self.down:
                which = rng.randrange(len(self.down))
                command = self.down[which] if what == "double down" else self.down.pop(which)
                if what != "lose down":
                    self.lamppost.take(command)
            case "bring up" | "double up" | "lose up" if up:
                which = rng.randrange(len(up))
                reply = up[which] if what == "double up" else up.pop(which)
                if what != "lose up":
                    self.answer(reply)
            case "reconnect" | "leave":
                {"reconnect": self.reconnect, "leave": self.leave}[what]()
            case "cut":
                self.lamppost.start()
            case "cut later":
                self.lamppost.left = rng.randrange(6)
            case "wait":
                self.pass_time(timedelta(seconds=rng.randrange(1, 90)))
            case "wait long":
                self.pass_time(timedelta(minutes=rng.randrange(1, 8)))


@pytest.fixture(scope="module")
def city(postgres_server: str, template_database: str, tmp_path_factory: Any) -> Iterator[City]:
    from tests.support import postgres

    name = "lamppost_both_ends"
    postgres._create(postgres_server, name, template_database)
    url = postgres.with_database(postgres_server, name)
    context, desk = make_context(url, Path(tmp_path_factory.mktemp("both"))), Desk(url)
    yield City(context, desk)
    desk.close()
    context.db.close()
    postgres._drop(postgres_server, name)


COMMANDS = st.sampled_from([CommandName.DECLARE, CommandName.SENSORS, CommandName.RESTART])
SKEWS = st.sampled_from([timedelta(0), timedelta(days=-30_000), timedelta(days=1)])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(COMMANDS, SKEWS, st.integers(10, 50), st.integers(0, 2**32))
def test_at_most_once_and_it_ends(
    city: City, name: CommandName, skew: timedelta, length: int, seed: int
) -> None:
    rng = random.Random(seed)
    city.begin(name, skew)
    asked_at, end = city.now, None
    for what in rng.choices(STEPS, k=length):
        city.step(what, rng)
        state = city.state()
        assert city.lamppost.carried_out <= 1
        assert end in (None, state), "what has ended does not change"
        end = state if state in ENDS else None
        if state is State.SUCCEEDED and name is not CommandName.RESTART:  # a power cut restarts it, too
            assert city.lamppost.carried_out == 1
    last = rules.last_instant(asked_at + EXPIRY, TIMEOUT)
    city.pass_time(max(last - city.now, timedelta(0)))
    assert city.state() in ENDS, "never longer than its clocks"


@pytest.mark.parametrize("writes", range(10))
@pytest.mark.parametrize("name", [CommandName.DECLARE, CommandName.SENSORS, CommandName.RESTART])
def test_power_may_go_at_any_write(city: City, name: CommandName, writes: int) -> None:
    rng = random.Random(1)
    city.begin(name, timedelta(0))
    city.lamppost.left = writes
    for _ in range(3):
        city.send()
        while city.down:
            city.step("bring down", rng)
        city.lamppost.left = None
        for reply in city.lamppost.spooled:
            city.answer(reply)
        city.pass_time(timedelta(minutes=1))
    assert city.lamppost.carried_out <= 1
    assert city.state() in (State.SUCCEEDED, State.FAILED)
    if city.state() is State.SUCCEEDED and name is not CommandName.RESTART:
        assert city.lamppost.carried_out == 1


@pytest.mark.parametrize("name", [CommandName.PING, CommandName.SENSORS, CommandName.RESTART])
def test_on_a_quiet_day_it_succeeds(city: City, name: CommandName) -> None:
    rng = random.Random(1)
    city.begin(name, timedelta(0))
    city.send()
    assert city.state() is State.SENT
    while city.down or city.lamppost.spooled:
        city.step("bring down", rng)
        while city.lamppost.spooled:
            city.answer(city.lamppost.spooled.pop(0))
    assert city.state() is State.SUCCEEDED
    city.send()
    assert not city.down, "nothing is said of what has ended"


def test_every_word_lost_is_asked_for_again(city: City) -> None:
    rng = random.Random(1)
    city.begin(CommandName.SENSORS, timedelta(0))
    for lost in ("lose down", "lose up", "lose up"):
        city.send()
        assert city.down
        if lost == "lose up":
            city.step("bring down", rng)
            city.lamppost.spooled.clear()
        else:
            city.step(lost, rng)
        city.send()
        assert not city.down, "not again at once"
        city.pass_time(timedelta(minutes=1, seconds=1))
    city.reconnect()
    city.send()
    city.step("bring down", rng)
    assert city.lamppost.carried_out == 1
    city.answer(city.lamppost.spooled.pop())
    assert city.state() is State.SUCCEEDED


def test_one_after_another_in_the_order_of_asking(city: City) -> None:
    city.begin(CommandName.PING, timedelta(0))
    first = city.id
    second = service.ask(city.context, OPERATOR, city.post.address, Ask(CommandName.DECLARE)).id
    city.now += timedelta(seconds=1)
    city.send()
    assert [command.name for command in city.down] == ["ping"]
    city.lamppost.take(city.down.pop())
    city.answer(city.lamppost.spooled.pop())
    city.send()
    assert [command.name for command in city.down] == ["declare"]
    wanted = Wanted(address=city.post.address, states=(State.SENT,))
    assert [each.id for each in service.list_commands(city.context, OPERATOR, wanted)] == [second]
    assert service.get_command(city.context, OPERATOR, first).state is State.SUCCEEDED
    service.cancel(city.context, OPERATOR, second)


def test_storage_that_was_replaced_while_it_ran_does_not_run_it_again(city: City) -> None:
    city.begin(CommandName.SENSORS, timedelta(0))
    city.send()
    city.lamppost.take(city.down.pop())
    city.answer(city.lamppost.spooled[0])
    assert city.state() is State.RECEIVED
    carried_out = city.lamppost.carried_out
    city.lamppost = Lamppost(SteppedClock(city.device_ms()))
    city.reconnect()
    city.send()
    city.lamppost.take(city.down.pop())
    city.answer(city.lamppost.spooled.pop())
    assert (city.lamppost.carried_out, carried_out, city.state()) == (0, 1, State.FAILED)
