"""Which command is carried out: each at most once, over power cuts too. Pure.

The book is on the disk before a command begins (S7 b of docs: the state is kept before it runs). A command
that is in the book is never begun again: its answer is given again. What had begun when the power went is
answered at the next start, as failed, unless to start again was what it asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from edge_agent.core.words import fitting, fitting_name
from wire_contract.limits import MAX_MAP_ITEMS
from wire_contract.messages import Command, CommandName, CommandOutcome, CommandReply

KEPT = 64  # the newest commands, whatever their age: a clock that jumps must not make us forget
MOST = 512  # not yet expired, 100 kB in the book: beyond it somebody's program has gone wrong
LINES, LINES_MOST = 200, 2_000  # of the log
# What takes a while, or ends this process, says first that it begins.
SAYS_THAT_IT_BEGINS = frozenset(
    {CommandName.SENSORS, CommandName.LOGS, CommandName.BUNDLE, CommandName.RESTART, CommandName.REBOOT}
)


class Phase(StrEnum):
    BEGAN = "began"
    ENDED = "ended"


@dataclass(frozen=True)
class Entry:
    """A command that was begun here. boot: the boot it began in. outcome, detail, result: once it ended."""

    id: str
    name: CommandName
    expires_ms: int
    boot: str
    phase: Phase = Phase.BEGAN
    outcome: CommandOutcome = CommandOutcome.NONE
    detail: str = ""
    result: Mapping[str, str] = field(default_factory=dict)

    def reply(self, now_ms: int) -> CommandReply:
        outcome = self.outcome if self.phase is Phase.ENDED else CommandOutcome.RECEIVED
        return said(self.id, outcome, self.detail, now_ms, self.result)


@dataclass(frozen=True)
class Book:
    """Every command begun here that may come again, oldest first."""

    entries: tuple[Entry, ...] = ()

    def of(self, command_id: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.id == command_id), None)


@dataclass(frozen=True)
class Allowed:
    """What this lamppost's configuration leaves to the server."""

    reboot: bool = False


@dataclass(frozen=True)
class Decided:
    """Keep `book` first; then say `reply`, and begin where it says so."""

    book: Book
    reply: CommandReply | None = None
    begin: bool = False


def said(
    command_id: str,
    outcome: CommandOutcome,
    detail: str,
    now_ms: int,
    result: Mapping[str, str] | None = None,
) -> CommandReply:
    """A reply that fits the wire, whatever a sensor or an error said."""
    fits = {fitting_name(key): fitting(value) for key, value in list((result or {}).items())[:MAX_MAP_ITEMS]}
    well = outcome in (CommandOutcome.RECEIVED, CommandOutcome.SUCCEEDED)
    return CommandReply(command_id, well, fitting(detail), max(now_ms, 0), outcome, fits)


def decide(book: Book, command: Command, now_ms: int, boot: str, allowed: Allowed) -> Decided:
    """What to do with a command that came, perhaps not for the first time."""
    known = book.of(command.id)
    if known is not None:
        return Decided(book, known.reply(now_ms))
    if now_ms > command.expires_ms:
        return Decided(book, said(command.id, CommandOutcome.EXPIRED, "expired before it arrived", now_ms))
    live = _pruned(book, now_ms)
    why = _why_not(command, allowed) or ("too many commands" if len(live.entries) >= MOST else "")
    if why:
        return Decided(book, said(command.id, CommandOutcome.REJECTED, why, now_ms))
    name = CommandName(command.name)
    entry = Entry(command.id, name, command.expires_ms, boot)
    reply = entry.reply(now_ms) if name in SAYS_THAT_IT_BEGINS else None
    return Decided(Book((*live.entries, entry)), reply, begin=True)


def _pruned(book: Book, now_ms: int) -> Book:
    """Without those that cannot come again: after its expiry a command is refused, known or not."""
    old = book.entries[:-KEPT]
    kept = tuple(each for each in old if each.expires_ms >= now_ms or each.phase is Phase.BEGAN)
    return Book((*kept, *book.entries[-KEPT:]))


def _why_not(command: Command, allowed: Allowed) -> str:
    try:
        name = CommandName(command.name)
    except ValueError:
        return f"this agent knows no command {command.name!r:.40}; there are {', '.join(CommandName)}"
    if name is CommandName.REBOOT and not allowed.reboot:
        return "this lamppost's configuration does not allow it: [commands] reboot"
    if name is CommandName.LOGS and not 1 <= lines(command.args) <= LINES_MOST:
        return f"lines: 1 to {LINES_MOST}"
    return ""


def lines(arguments: Mapping[str, str]) -> int:
    """How many lines of the log; 0 for what is no number."""
    told = arguments.get("lines", str(LINES))
    return int(told) if told.isascii() and told.isdigit() and len(told) <= 6 else 0


def ended(
    book: Book, command_id: str, outcome: CommandOutcome, detail: str, result: Mapping[str, str]
) -> Book:
    """The book with what came of a command that began."""
    return Book(
        tuple(
            replace(each, phase=Phase.ENDED, outcome=outcome, detail=fitting(detail), result=dict(result))
            if each.id == command_id
            else each
            for each in book.entries
        )
    )


def recovered(book: Book, boot: str) -> tuple[Book, tuple[Entry, ...]]:
    """At a start: what had begun has ended. Returns the entries that are to be answered now."""
    open_ones = [each for each in book.entries if each.phase is Phase.BEGAN]
    for each in open_ones:
        outcome, detail = _after_a_start(each, boot)
        book = ended(book, each.id, outcome, detail, {})
    told = (book.of(each.id) for each in open_ones)
    return book, tuple(entry for entry in told if entry is not None)


def _after_a_start(entry: Entry, boot: str) -> tuple[CommandOutcome, str]:
    match entry.name:
        case CommandName.RESTART:
            return CommandOutcome.SUCCEEDED, "the agent has started again"
        case CommandName.REBOOT if entry.boot != boot:
            return CommandOutcome.SUCCEEDED, "the computer has started again"
        case CommandName.REBOOT:
            return CommandOutcome.FAILED, "the agent has started again, the computer has not"
        case _:
            return CommandOutcome.FAILED, "the agent or the power ended while it ran"
