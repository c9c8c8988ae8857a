"""Which command is begun: by table; and that a book forgets nothing that may come again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core import commanding
from edge_agent.core.commanding import Allowed, Book, Entry, Phase, decide, ended, recovered
from wire_contract.limits import MAX_TIME_MS
from wire_contract.messages import Command, CommandName, CommandOutcome

NOW_MS = 1_800_000_000_000
LATER_MS = NOW_MS + 60_000


def command(name: str = "ping", command_id: str = "c1", expires_ms: int = LATER_MS, **args: str) -> Command:
    return Command(command_id, name, args, expires_ms)


@pytest.mark.parametrize(
    ("told", "outcome", "begins"),
    [
        (command(), None, True),
        (command("declare"), None, True),
        (command("sensors"), CommandOutcome.RECEIVED, True),
        (command("bundle"), CommandOutcome.RECEIVED, True),
        (command("restart"), CommandOutcome.RECEIVED, True),
        (command("logs", lines="2000"), CommandOutcome.RECEIVED, True),
        (command("logs", lines="2001"), CommandOutcome.REJECTED, False),
        (command("logs", lines="1e3"), CommandOutcome.REJECTED, False),
        (command("logs", lines="9" * 1024), CommandOutcome.REJECTED, False),
        (command("reboot"), CommandOutcome.REJECTED, False),
        (command("sing"), CommandOutcome.REJECTED, False),
        (command("$(reboot)"), CommandOutcome.REJECTED, False),
        (command(expires_ms=NOW_MS), None, True),
        (command(expires_ms=NOW_MS - 1), CommandOutcome.EXPIRED, False),
        (command("sing", expires_ms=0), CommandOutcome.EXPIRED, False),
    ],
)
def test_a_command_that_comes_for_the_first_time(
    told: Command, outcome: CommandOutcome | None, begins: bool
) -> None:
    decided = decide(Book(), told, NOW_MS, "boot", Allowed())
    assert (decided.reply.outcome if decided.reply else None, decided.begin) == (outcome, begins)
    assert bool(decided.book.entries) is begins, "what is not begun is not written down"


def test_reboot_is_for_who_allows_it() -> None:
    assert decide(Book(), command("reboot"), NOW_MS, "boot", Allowed(reboot=True)).begin


def test_a_command_that_comes_again_is_answered_and_not_begun() -> None:
    book = decide(Book(), command("sensors"), NOW_MS, "boot", Allowed()).book
    again = decide(book, command("sensors"), LATER_MS + 5, "boot", Allowed())
    assert again.reply is not None
    assert (again.begin, again.reply.outcome) == (False, CommandOutcome.RECEIVED)
    book = ended(book, "c1", CommandOutcome.FAILED, "no", {"sensor.a": "silent"})
    again = decide(book, command("sensors", expires_ms=0), LATER_MS, "boot", Allowed())
    assert again.reply is not None
    assert (again.reply.outcome, again.reply.ok, again.reply.result) == (
        CommandOutcome.FAILED,
        False,
        {"sensor.a": "silent"},
    )
    assert again.book is book


@pytest.mark.parametrize(
    ("name", "boot", "outcome"),
    [
        (CommandName.SENSORS, "boot", CommandOutcome.FAILED),
        (CommandName.BUNDLE, "other", CommandOutcome.FAILED),
        (CommandName.RESTART, "boot", CommandOutcome.SUCCEEDED),
        (CommandName.RESTART, "other", CommandOutcome.SUCCEEDED),
        (CommandName.REBOOT, "boot", CommandOutcome.FAILED),
        (CommandName.REBOOT, "other", CommandOutcome.SUCCEEDED),
    ],
)
def test_what_had_begun_is_answered_at_the_next_start(
    name: CommandName, boot: str, outcome: CommandOutcome
) -> None:
    done = Entry("old", CommandName.PING, LATER_MS, "boot", Phase.ENDED, CommandOutcome.SUCCEEDED)
    book, told = recovered(Book((done, Entry("c1", name, LATER_MS, "boot"))), boot)
    assert [(each.id, each.outcome, each.phase) for each in told] == [("c1", outcome, Phase.ENDED)]
    assert recovered(book, boot)[1] == (), "once"


@given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, MAX_TIME_MS)), max_size=300), st.data())
def test_a_book_forgets_only_what_could_not_begin_again(
    told: list[tuple[int, int]], data: st.DataObject
) -> None:
    book, now_ms, begun, expiries = Book(), 0, dict[str, int](), dict[int, int]()
    for number, drawn_ms in told:
        expires_ms = expiries.setdefault(number, drawn_ms)  # the server gives an id one expiry, or a past one
        now_ms = min(now_ms + data.draw(st.integers(0, 10**10)), MAX_TIME_MS)
        decided = decide(
            book, command(command_id=f"c{number}", expires_ms=expires_ms), now_ms, "b", Allowed()
        )
        if decided.begin:
            assert f"c{number}" not in begun, "begun twice"
            begun[f"c{number}"] = expires_ms
        book = ended(decided.book, f"c{number}", CommandOutcome.SUCCEEDED, "", {})
        assert all(begun[entry.id] == entry.expires_ms for entry in book.entries)
        assert len(book.entries) <= commanding.MOST


def test_a_flood_of_commands_is_refused_and_what_is_open_is_kept() -> None:
    book = Book()
    for n in range(commanding.MOST + 5):
        book = decide(book, command(command_id=str(n)), NOW_MS, "b", Allowed()).book
    assert len(book.entries) == commanding.MOST
    refused = decide(book, command(command_id="one more"), NOW_MS, "b", Allowed())
    assert refused.reply is not None
    assert refused.reply.outcome is CommandOutcome.REJECTED
    after = decide(book, command(command_id="x", expires_ms=MAX_TIME_MS), LATER_MS + 1, "b", Allowed()).book
    assert len(after.entries) == commanding.MOST, "they have begun: their end is still to be told"
