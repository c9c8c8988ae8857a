"""What the server desires: `core/twin.py` decides, this keeps, applies and reports. On the link's thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from edge_agent.core.twin import Twin, report, take_in
from edge_agent.errors import SpoolFull
from edge_agent.loops.board import Board
from edge_agent.loops.gate import Gate
from wire_contract.messages import TwinDesired
from wire_contract.topics import Up

log = logging.getLogger("lamppost")


class Shelf(Protocol):
    """Where the twin outlives a restart. `save` raises SpoolFull."""

    def load(self) -> Twin: ...

    def save(self, twin: Twin) -> None: ...


class TwinKeeper:
    """`apply(seconds)`: the flush interval from now on; `publish(payload)`: to up/twin, not while offline."""

    def __init__(
        self,
        shelf: Shelf,
        board: Board,
        configured_flush_s: float,
        apply: Callable[[float], None],
        publish: Callable[[bytes], None],
    ) -> None:
        self._shelf, self._board, self._configured_flush_s = shelf, board, configured_flush_s
        self._gate = Gate(board)
        self._apply, self._publish = apply, publish
        self._twin = shelf.load()
        if self._twin.flush_s is not None:
            apply(self._twin.flush_s)

    def desired(self, message: TwinDesired) -> None:
        """Kept before it is applied and reported: what is acknowledged survives a power cut."""
        after = take_in(self._twin, message)
        if after is not self._twin:
            try:
                self._shelf.save(after)
            except SpoolFull as error:
                self._board.raise_error(error, "spool")
                return
            self._twin = after
            flush_s = self._configured_flush_s if after.flush_s is None else after.flush_s
            log.info("settings version %d: live samples leave each %g s", after.acknowledged, flush_s)
            self._apply(flush_s)
        self.tell()

    def tell(self) -> None:
        """Report; at each connection too, as a report is not spooled."""
        if self._twin.version:
            payload = self._gate.leave(Up.TWIN, report(self._twin, self._configured_flush_s))
            if payload is not None:
                self._publish(payload)
