"""One open page: what its person picked, and what its browser already has. Sends differences only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from dashboards import view
from dashboards.hub import Snapshot
from dashboards.model import DEFAULT_SPAN, SPANS, Reading, Span
from fleet_server.access.service import SignedIn

Message = dict[str, Any]


class PageViewer:
    """`send` delivers a message; `connected`: does the browser listen; `welcome`: does its session live."""

    def __init__(
        self,
        who: SignedIn,
        *,
        send: Callable[[Message], None],
        connected: Callable[[], bool],
        welcome: Callable[[], Awaitable[bool]],
    ) -> None:
        self.who = who
        self._send, self._connected, self._welcome = send, connected, welcome
        self._wanted_address: str | None = None
        self._wanted_series: int | None = None
        self.picked: int | None = None
        self.series: int | None = None
        self.span: Span = SPANS[DEFAULT_SPAN]
        self._sent: Message = {}
        self._sent_rows: dict[int, view.Row] = {}
        self._sent_chart: dict[str, Any] | None = None

    def restore(self, address: str | None, series: int | None, span: str | None) -> None:
        """What the page's address asks for; taken once the lampposts are known."""
        self._wanted_address, self._wanted_series = address, series
        self.span = SPANS.get(span or "", self.span)

    def pick(self, lamppost: int) -> None:
        self.picked, self.series, self._wanted_address, self._wanted_series = lamppost, None, None, None

    def choose_series(self, series: int) -> None:
        self.series = series

    def choose_span(self, key: str) -> None:
        self.span = SPANS.get(key, self.span)

    async def still_welcome(self) -> bool:
        return await self._welcome()

    def watches(self, snapshot: Snapshot) -> int | None:
        """The lamppost whose detail this page shows."""
        self._settle(snapshot)
        return self.picked

    def draws(self, snapshot: Snapshot) -> tuple[int, int, Span] | None:
        """(lamppost, series, span) of the chart this page shows; settles the choice where there is none."""
        self._settle(snapshot)
        if self.picked is None or self.series is None:
            return None
        return self.picked, self.series, self.span

    def show(self, snapshot: Snapshot) -> None:
        """Send what differs from what the browser has, in one message; nothing while it does not listen."""
        if not self._connected():
            return
        self._settle(snapshot)
        message: Message = {"now": snapshot.now_ms, "speed": snapshot.speed}
        message |= self._rows(snapshot)
        state = {
            "fault": snapshot.fault,
            "loaded": snapshot.loaded,
            "pending": view.pending(snapshot.pending),
            "picked": self.picked,
            "channel": self.series,
            "range": self.span.key,
        }
        found = snapshot.details.get(self.picked) if self.picked is not None else None
        if found is not None:
            state["detail"] = view.detail(found)
        message |= {k: v for k, v in state.items() if k not in self._sent or self._sent[k] != v}
        self._sent |= state
        message |= self._chart(snapshot)
        self._send(message)

    def _rows(self, snapshot: Snapshot) -> Message:
        changed = [row for i, row in snapshot.rows.items() if self._sent_rows.get(i) != row]
        gone = [i for i in self._sent_rows if i not in snapshot.rows]
        self._sent_rows = dict(snapshot.rows)
        return ({"rows": changed} if changed else {}) | ({"gone": gone} if gone else {})

    def _chart(self, snapshot: Snapshot) -> Message:
        reading = self._reading(snapshot)
        found = snapshot.charts.get((self.series, self.span.key)) if self.series is not None else None
        if reading is None or found is None or self.picked is None:
            return {}
        chart = view.chart(found, reading, self.picked)
        old, self._sent_chart = self._sent_chart, chart
        if old == chart:
            return {}
        more = view.growth(old, chart)
        return {"chart": chart} if more is None else {"grow": more}

    def _reading(self, snapshot: Snapshot) -> Reading | None:
        found = snapshot.details.get(self.picked) if self.picked is not None else None
        return next((r for r in found.readings if r.series == self.series), None) if found else None

    def _settle(self, snapshot: Snapshot) -> None:
        if self.picked is None and self._wanted_address:
            at = {p.address: p.id for p in snapshot.lampposts.values()}
            self.picked = at.get(self._wanted_address)
        if self.picked is not None and snapshot.loaded and self.picked not in snapshot.lampposts:
            self.picked, self.series = None, None
        found = snapshot.details.get(self.picked) if self.picked is not None else None
        if found is None:
            return
        series = {r.series for r in found.readings}
        if self._wanted_series in series:
            self.series = self._wanted_series
        self._wanted_series = None
        if self.series not in series:
            self.series = view.first_series(found.readings)
