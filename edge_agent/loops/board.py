"""The conditions of this moment, shared between the loops: raise, clear, tell."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection

from edge_agent.core.health import Health, cleared, raised
from edge_agent.errors import AgentError
from edge_agent.ports import Clock
from wire_contract.messages import Condition

log = logging.getLogger("lamppost")

QUIET_S = 60.0  # wire clock; what is raised again within it is on the dashboard, and no further line here


class Board:
    """Thread-safe. Each news is one log line and goes to every listener, on the thread that raised it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._health = Health()
        self._listeners: list[Callable[[Condition], None]] = []
        self._logged_s: dict[tuple[str, str], float] = {}  # when each was raised last, wire clock
        self._quiet: set[tuple[str, str]] = set()  # those that come and go
        self.version = 0  # grows with every change

    def listen(self, listener: Callable[[Condition], None]) -> None:
        self._listeners.append(listener)

    def conditions(self) -> tuple[Condition, ...]:
        return self._health.conditions()

    def raise_(self, code: str, subject: str, detail: str, remedy: str = "") -> None:
        with self._lock:
            before = self._health
            self._health, news = raised(before, code, subject, detail, remedy, self._clock.now_ms())
            self.version += self._health is not before
        self._tell(news)

    def raise_error(self, error: AgentError, subject: str) -> None:
        self.raise_(error.code, subject, error.detail, error.remedy)

    def loop_failed(self, loop: str, error: Exception) -> bool:
        """Our own fault: something nobody foresaw came up to a loop's top. True when that is news."""
        news = ("agent_error", loop) not in self._health.active
        self.raise_("agent_error", loop, f"{type(error).__name__}: {error}")
        return news

    def clear(self, code: str, subject: str) -> None:
        if (code, subject) not in self._health.active:
            return
        with self._lock:
            before = self._health
            self._health, news = cleared(before, code, subject, self._clock.now_ms())
            self.version += self._health is not before
        self._tell(news)

    def clear_subject(self, subject: str, *codes: str, but: Collection[str] = ()) -> None:
        """Clear those of `codes` (all where none is named, except `but`) that are active for a subject."""
        for code, about in list(self._health.active):
            if about == subject and (not codes or code in codes) and code not in but:
                self.clear(code, about)

    def _tell(self, news: Condition | None) -> None:
        if news is None:
            return
        if self._is_worth_a_line(news):
            about = f" {news.subject}" if news.subject else ""
            if news.active:
                level = logging.INFO if news.severity == "info" else logging.WARNING
                log.log(level, "%s%s: %s. %s", news.code, about, news.detail.rstrip("."), news.remedy)
            else:
                log.info("%s%s: over", news.code, about)
        for listener in self._listeners:
            listener(news)

    def _is_worth_a_line(self, news: Condition) -> bool:
        """Not what comes and goes: a loose plug would write a line a second."""
        key, now_s = (news.code, news.subject), self._clock.wire_s()
        if not news.active:
            return key not in self._quiet
        logged_s, self._logged_s[key] = self._logged_s.get(key, float("-inf")), now_s
        if now_s - logged_s < QUIET_S:
            self._quiet.add(key)
        else:
            self._quiet.discard(key)
        return key not in self._quiet
