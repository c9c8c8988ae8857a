"""What the agent says of itself: the Presence on the wire, status.json on the disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from edge_agent.core.records import ClassCounters
from edge_agent.core.stamping import clock_is_set
from edge_agent.core.words import fitting
from edge_agent.errors import SpoolError
from edge_agent.loops.board import Board
from edge_agent.ports import Clock, Spool
from wire_contract.classes import Class
from wire_contract.messages import Presence
from wire_contract.properties import Delivery, packed_bytes
from wire_contract.radio import SIGNAL


@dataclass(frozen=True)
class Facts:
    """What does not change while the agent runs."""

    tenant: str
    device: str
    version: str
    settings: dict[str, str]


class Reporter:
    """Builds the presence (on the link's thread) and the status file (on the main thread).

    signal: by which way it is connected, as `wire_contract.radio` words it; asked for each presence.
    """

    def __init__(
        self, facts: Facts, clock: Clock, spool: Spool, board: Board, signal: Callable[[], str] = str
    ) -> None:
        self._facts, self._clock, self._spool, self._board = facts, clock, spool, board
        self._signal = signal

    def flush_each(self, seconds: float) -> None:
        """The setting that the server may change."""
        self._facts = replace(
            self._facts, settings={**self._facts.settings, "flush_interval_s": f"{seconds:g}"}
        )

    def decided_by(self, who: str) -> None:
        """The model that decides, or the rule and why."""
        self._facts = replace(self._facts, settings={**self._facts.settings, "model": fitting(who)})

    def presence(self, online: bool, session: int) -> Presence:
        """The birth; with `online` False the will, which says no more than that."""
        now_ms = self._clock.now_ms()
        if not online:
            return Presence(False, session, max(now_ms, 0), self._spool.epoch, self._facts.version, True)
        try:
            counters = self._spool.counters()
        except SpoolError:
            counters = {}
        signal = self._signal()
        return Presence(
            online=True,
            session=session,
            time_ms=max(now_ms, 0),
            epoch=self._spool.epoch,
            version=self._facts.version,
            clock_ok=clock_is_set(now_ms),
            conditions=self._board.conditions(),
            settings=self._facts.settings | ({SIGNAL: signal} if signal else {}),
            backlog={cls.name.lower(): count.waiting_messages for cls, count in counters.items()},
        )

    def status(
        self, moment: dict[str, Any], counters: Mapping[Class, ClassCounters], pending: int
    ) -> dict[str, Any]:
        """The status file's content. `moment`: what the caller knows (connected, sampling, latest ...);
        `counters`: the spool's, of the moment when `pending` samples were on their way into it."""
        samples = [counters[cls] for cls in (Class.LIVE, Class.HISTORY)]
        backlog = {cls.name.lower(): count.waiting_samples for cls, count in counters.items()}
        return {
            "tenant": self._facts.tenant,
            "device": self._facts.device,
            "version": self._facts.version,
            "pid": os.getpid(),
            "time_ms": self._clock.now_ms(),
            "clock_ok": clock_is_set(self._clock.now_ms()),
            "epoch": self._spool.epoch.hex(),
            "model": self._facts.settings.get("model", ""),
            **moment,
            # samples that wait here, sealed or not; samples ever spooled; by class
            "backlog": {**backlog, "pending": pending},
            "spooled": {
                **{cls.name.lower(): count.samples for cls, count in counters.items()},
                "pending": pending,
            },
            "sealed": {
                "messages": sum(count.messages for count in samples),
                "readings": sum(count.readings for count in samples),
                "bytes": sum(count.payload_bytes for count in samples),
                "property_bytes": sum(_property_bytes(self._spool.epoch, c.messages) for c in samples),
            },
            "classes": {cls.name.lower(): _plain(count) for cls, count in counters.items()},
            "given_up": [{**vars(each), "cls": each.cls.name.lower()} for each in self._spool.given_up()],
            "conditions": [
                {
                    "code": each.code,
                    "subject": each.subject,
                    "severity": each.severity,
                    "detail": each.detail,
                    "remedy": each.remedy,
                    "since_ms": each.time_ms,
                }
                for each in self._board.conditions()
            ],
        }


def _plain(count: object) -> dict[str, int]:
    return {name: int(value) for name, value in vars(count).items()}


def _property_bytes(epoch: bytes, messages: int) -> int:
    """Bytes of user properties of so many messages, each with the longest sequence of them."""
    if not messages:
        return 0
    return messages * packed_bytes(Delivery(epoch, Class.LIVE, messages).to_user_properties())
