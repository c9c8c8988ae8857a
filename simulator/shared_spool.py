"""The agent's spool, asked by a process that hosts thousands: it remembers where there is nothing to find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge_agent.core.records import Head, Row, Sealed, Stamp
from edge_agent.io.sqlite_spool import SqliteSpool
from wire_contract.classes import Class


class SharedSpool(SqliteSpool):
    """A link looks for five classes after every ack, and finds nothing in four: those are not looked up
    again until something was stored. Otherwise the agent's own.
    """

    def __init__(self, *parts: Any, **named: Any) -> None:
        self._stored = 0  # grows with every write that may add messages
        self._nothing_above: dict[Class, tuple[int, int]] = {}  # class -> (`_stored` then, sequence)
        super().__init__(*parts, **named)
        self.has_had_history = self.counters()[Class.HISTORY].messages > 0

    def heads(self, cls: Class, after: int, limit: int) -> list[Head]:
        stored, top = self._nothing_above.get(cls, (-1, 0))
        if stored == self._stored and after >= top:
            return []
        stored = self._stored  # before the query: what is stored meanwhile makes this answer an old one
        found = super().heads(cls, after, limit)
        if len(found) < limit:
            self._nothing_above[cls] = (stored, found[-1].sequence if found else after)
        return found

    def commit(
        self,
        rows: Sequence[Row] = (),
        sealed: Sequence[Sealed] = (),
        amended: Mapping[int, int] | None = None,
        stamps: Mapping[int, Stamp] | None = None,
    ) -> None:
        super().commit(rows, sealed, amended, stamps)
        if sealed:
            self._stored += 1
            self.has_had_history |= any(batch.cls is Class.HISTORY for batch in sealed)

    def declare(self, *parts: Any) -> None:
        super().declare(*parts)
        self._stored += 1

    def put(self, *parts: Any) -> int:
        sequence = super().put(*parts)
        self._stored += 1
        return sequence

    def put_tombstone(self, *parts: Any) -> int:
        sequence = super().put_tombstone(*parts)
        self._added()
        return sequence

    def drop_rows(self, *parts: Any) -> None:
        super().drop_rows(*parts)
        self._added()

    def shed(self, *parts: Any) -> None:
        super().shed(*parts)
        self._added()

    def rescue(self, now_ms: int) -> Any:
        rescued = super().rescue(now_ms)
        self._added()
        return rescued

    def _added(self) -> None:
        self.has_had_history = True
        self._stored += 1
