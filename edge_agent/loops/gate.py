"""The way out for the loops: what may not leave is a condition on the board, and the loop goes on."""

from __future__ import annotations

from edge_agent.core.leaving import leave
from edge_agent.errors import NotAllowedOut
from edge_agent.loops.board import Board
from wire_contract.classes import Class
from wire_contract.messages import Message
from wire_contract.topics import Up

SUBJECT = "agent"


class Gate:
    """`leave` for whoever has a board. The condition stays until a restart: the program is at fault."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def leave(self, where: Up | Class, message: Message) -> bytes | None:
        """The bytes that may leave; None where nothing of the message may."""
        try:
            return leave(where, message, self.stayed)
        except NotAllowedOut as error:
            self._board.raise_error(error, SUBJECT)
            return None

    def stayed(self, name: str) -> None:
        """Something was left out, by its name."""
        self._board.raise_error(NotAllowedOut(f"{name} is not listed; the rest has left"), SUBJECT)
