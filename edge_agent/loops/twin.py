"""What the server desires: `core/twin.py` decides; this keeps and reports it. On the link's thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Protocol

from edge_agent.core.twin import Twin, Values, in_force, judged_again, judging, report, started, take_in
from edge_agent.errors import SpoolFull
from edge_agent.loops.board import Board
from edge_agent.loops.gate import Gate
from wire_contract.messages import TwinDesired
from wire_contract.topics import Up

log = logging.getLogger("lamppost")

Obey = Callable[[Values, Collection[str]], None]
"""`obey(holds, changed)`: all that holds from now on, and the keys of it that changed."""


class Shelf(Protocol):
    """Where the twin outlives a restart. `save` raises SpoolFull."""

    def load(self) -> Twin: ...

    def save(self, twin: Twin) -> None: ...


class TwinKeeper:
    """`configured`: what holds where the server wishes nothing. `publish(payload)`: to up/twin, not while
    offline. `without`: settings that nothing here obeys, and why."""

    def __init__(
        self,
        shelf: Shelf,
        board: Board,
        configured: Values,
        sensors: Collection[str],
        obey: Obey,
        publish: Callable[[bytes], None],
        without: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._shelf, self._board, self._configured = shelf, board, configured
        self._gate, self._judge = Gate(board), judging(sensors, without)
        self._obey, self._publish = obey, publish
        self._twin = started(judged_again(shelf.load(), self._judge))
        self._keep(self._twin)
        self._started_with = in_force(configured, self._twin, {})
        obey(self._started_with, self._started_with.keys() - _as_configured(configured, self._started_with))

    def desired(self, message: TwinDesired) -> None:
        """Kept before it is obeyed and reported: what is acknowledged survives a power cut."""
        after = take_in(self._twin, message, self._judge)
        if after is not self._twin:
            if not self._keep(after):
                return
            self._change(after)
        self.tell()

    def _keep(self, twin: Twin) -> bool:
        try:
            self._shelf.save(twin)
        except SpoolFull as error:
            self._board.raise_error(error, "spool")
            return False
        return True

    def _change(self, after: Twin) -> None:
        before = in_force(self._configured, self._twin, self._started_with)
        self._twin = after
        holds = in_force(self._configured, after, self._started_with)
        changed = {key for key in holds.keys() | before.keys() if holds.get(key) != before.get(key)}
        told = ", ".join(f"{key} = {holds.get(key, 'as configured')}" for key in sorted(changed))
        log.info("settings version %d: %s", after.acknowledged, told or "nothing changes")
        self._obey(holds, changed)

    def tell(self) -> None:
        """Report; at each connection too, as a report is not spooled: it asks for what we have not got."""
        payload = self._gate.leave(Up.TWIN, report(self._twin, self._configured, self._started_with))
        if payload is not None:
            self._publish(payload)


def _as_configured(configured: Values, holds: Values) -> set[str]:
    return {key for key, value in holds.items() if configured.get(key) == value}
