"""The loop of commands where the disk is full: what ended has ended, and whoever asks again hears so."""

from __future__ import annotations

from pathlib import Path

from edge_agent.core.commanding import Book, Entry
from edge_agent.errors import SpoolFull
from edge_agent.io.clocks import SteppedClock
from edge_agent.loops.commanding import CommandLoop, Hands
from tests.edge_agent.loops.test_spooler import Post
from wire_contract.classes import Class
from wire_contract.envelope import decode
from wire_contract.messages import Command, CommandName, CommandOutcome, CommandReply


class FullShelf:
    def load(self) -> Book:
        return Book((Entry("c1", CommandName.RESTART, 1 << 40, "boot"),))

    def save(self, book: Book) -> None:
        raise SpoolFull("commands.json: no space left", "")


def _nothing() -> None:
    raise AssertionError


def test_a_restart_on_a_full_disk_is_answered(tmp_path: Path) -> None:
    post = Post(tmp_path)
    hands = Hands(
        declare=_nothing,
        sensors={},
        log_lines=str,
        parts=dict,
        secrets=tuple,
        restart=_nothing,
        reboot=_nothing,
    )
    loop = CommandLoop(SteppedClock(1000), post.spool, post.board, FullShelf(), hands, lambda: None)
    loop.recover()
    loop.handle(Command("c1", "restart", {}, 0))  # the server asks for its word
    heads = post.spool.heads(Class.REPLY, 0, 10)
    stored = [post.spool.load(Class.REPLY, head.sequence) for head in heads]
    told = [decode(each.payload) for each in stored if each is not None]
    assert [each.outcome for each in told if isinstance(each, CommandReply)] == [CommandOutcome.SUCCEEDED] * 2
