"""Commands: `core/commanding.py` decides, this keeps the book, carries out, answers. A thread of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Protocol

from edge_agent.core.commanding import Allowed, Book, Decided, decide, ended, lines, recovered, said
from edge_agent.core.packing import file_of
from edge_agent.errors import AgentError, SpoolError
from edge_agent.loops.board import Board
from edge_agent.loops.gate import Gate
from edge_agent.ports import Clock, Spool
from wire_contract.classes import Class
from wire_contract.messages import Command, CommandName, CommandOutcome, Message

log = logging.getLogger("lamppost")

IDLE_S = 30.0  # the watchdog sees a turn at least this often
SUBJECT = "commands"
BUNDLE, LOG = "bundle.tar.zst", "log.tar.zst"


class Shelf(Protocol):
    """Where the book outlives a power cut. `save` raises SpoolFull."""

    def load(self) -> Book: ...

    def save(self, book: Book) -> None: ...


@dataclass(frozen=True)
class Hands:
    """What a command may move, and nothing else. Each may raise AgentError: then the command failed.

    sensors: name -> what looks at it: whether it answers, its values or its trouble. parts: the texts of a
    bundle, by name; secrets: values that stay. restart and reboot return at once, and this process ends.
    """

    declare: Callable[[], None]
    sensors: Mapping[str, Callable[[], tuple[bool, str]]]
    log_lines: Callable[[int], str]
    parts: Callable[[], Mapping[str, str]]
    secrets: Callable[[], tuple[str, ...]]
    restart: Callable[[], None]
    reboot: Callable[[], None]
    allowed: Allowed = field(default_factory=Allowed)


@dataclass(frozen=True)
class _Done:
    outcome: CommandOutcome
    detail: str
    result: Mapping[str, str] = field(default_factory=dict)


class CommandLoop:
    """`run` in a thread of its own until `stop`; `handle` for whoever has no thread for it."""

    def __init__(
        self,
        clock: Clock,
        spool: Spool,
        board: Board,
        shelf: Shelf,
        hands: Hands,
        spooled: Callable[[], None],
    ) -> None:
        self._clock, self._spool, self._board, self._shelf = clock, spool, board, shelf
        self._hands, self._spooled, self._gate = hands, spooled, Gate(board)
        self._inbox: SimpleQueue[Command | None] = SimpleQueue()
        self._book = shelf.load()
        self._running = True
        self.beat_s = clock.wire_s()  # the watchdog's: when the loop last turned

    def take(self, command: Command) -> None:
        """Called on the link's thread; returns at once."""
        self._inbox.put(command)

    def stop(self) -> None:
        self._running = False
        self._inbox.put(None)

    def run(self) -> None:
        self.recover()
        while self._running:
            try:
                self._turn()
            except Exception as error:  # the loop's top
                if self._board.loop_failed(SUBJECT, error):
                    log.exception("the loop of commands failed; it goes on")

    def _turn(self) -> None:
        self.beat_s = self._clock.wire_s()
        try:
            command = self._inbox.get(timeout=IDLE_S)
        except Empty:
            return
        if command is not None:
            self.handle(command)
            self._board.clear("agent_error", SUBJECT)

    def recover(self) -> None:
        """At a start: answer what had begun and not ended."""
        book, told = recovered(self._book, self._clock.boot())
        if told and not self._keep(book):
            self._book = book  # a full disk: it has ended all the same, and whoever asks again hears so
        for entry in told:
            self._say(entry.reply(self._clock.now_ms()))

    def handle(self, command: Command) -> None:
        """What cannot be kept is not begun, and not answered: the server asks again."""
        now_ms, boot = self._clock.now_ms(), self._clock.boot()
        decided: Decided = decide(self._book, command, now_ms, boot, self._hands.allowed)
        if decided.begin and not self._keep(decided.book):
            return
        if decided.reply is not None:
            self._say(decided.reply)
        if decided.begin:
            log.info("command %s: %s", command.id, command.name)
            self._carry_out(command)

    def _carry_out(self, command: Command) -> None:
        try:
            done = self._do(command)
        except AgentError as error:
            done = _Done(CommandOutcome.FAILED, error.detail)
        except Exception as error:  # the command's top: it must not take the others with it
            log.exception("command %s failed", command.id)
            done = _Done(CommandOutcome.FAILED, f"{type(error).__name__}: {error}")
        if done is None:
            return
        book = ended(self._book, command.id, done.outcome, done.detail, done.result)
        if not self._keep(book):
            self._book = book  # a full disk: the next start would call it failed, and the server knows better
        self._say(said(command.id, done.outcome, done.detail, self._clock.now_ms(), done.result))

    def _do(self, command: Command) -> _Done | None:
        """None: it ends this process, and is answered by the next."""
        match CommandName(command.name):
            case CommandName.PING:
                return _Done(CommandOutcome.SUCCEEDED, "pong")
            case CommandName.DECLARE:
                self._hands.declare()
                return _Done(CommandOutcome.SUCCEEDED, "declared again")
            case CommandName.SENSORS:
                return self._look()
            case CommandName.LOGS:
                text = self._hands.log_lines(lines(command.args))
                return self._send(command.id, LOG, {"log.txt": text})
            case CommandName.BUNDLE:
                return self._send(command.id, BUNDLE, self._hands.parts())
            case CommandName.RESTART:
                self._hands.restart()
            case CommandName.REBOOT:
                self._hands.reboot()
        return None

    def _look(self) -> _Done:
        """At one after another: a sensor that sleeps needs half a minute to warm up."""
        found = {}
        for name, look in self._hands.sensors.items():
            self.beat_s = self._clock.wire_s()
            found[name] = look()
        well = sum(answers for answers, _ in found.values())
        outcome = CommandOutcome.SUCCEEDED if well == len(found) else CommandOutcome.FAILED
        result = {f"sensor.{name}": text for name, (_, text) in found.items()}
        return _Done(outcome, f"{well} of {len(found)} sensors answer", result)

    def _send(self, command_id: str, name: str, parts: Mapping[str, str]) -> _Done:
        """Spool a file, piece by piece: what is spooled arrives. Raises SpoolError."""
        pieces = file_of(command_id, name, parts, self._hands.secrets(), self._gate.stayed)
        for piece in pieces:
            self._spool_now(piece)
            self.beat_s = self._clock.wire_s()
        self._spooled()
        return _Done(CommandOutcome.SUCCEEDED, f"{name}: {pieces[0].size} bytes in {len(pieces)} pieces")

    def _say(self, message: Message) -> None:
        try:
            self._spool_now(message)
        except SpoolError as error:
            self._board.raise_error(error, "spool")
            return
        self._spooled()

    def _spool_now(self, message: Message) -> None:
        """On the disk when this returns. Raises SpoolError."""
        payload = self._gate.leave(Class.REPLY, message)
        if payload is not None:
            self._spool.put(Class.REPLY, payload, self._clock.now_ms())

    def _keep(self, book: Book) -> bool:
        try:
            self._shelf.save(book)
        except SpoolError as error:
            self._board.raise_error(error, "spool")
            return False
        self._book = book
        return True
