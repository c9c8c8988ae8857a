"""The page of one lamppost, `/lamppost/<tenant>/<name>`: what it is, measures, decides, and how it does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import nicegui
from nicegui import ui
from nicegui.events import GenericEventArguments

from dashboards import air_view, incident_view, lamppost_view, topics, verdict_words, view
from dashboards.air_model import IndexTrace, Trace
from dashboards.asked_from import saying_why, why_in
from dashboards.frame import Frame, Opened
from dashboards.hub import Hub, Snapshot
from dashboards.incident_model import Incident, Verdict
from dashboards.lamppost_calibrating import Entry, entry_of
from dashboards.lamppost_model import Calibration, Facts, Series
from dashboards.lamppost_ordering import EVERY_S as ORDERS_EVERY_S
from dashboards.lamppost_ordering import OrderSource, PostOrders, key_of, obey
from dashboards.lamppost_orders import offered
from dashboards.lamppost_orders import rows as order_rows
from dashboards.lamppost_period import OWN, Period, named, period_of, sent_period
from dashboards.model import Detail, Lamppost, Reading
from dashboards.topics import NOTHING, CommonSource, Key, Topic
from dashboards.viewer import Line, Message, PageViewer
from fleet_server.access.service import SignedIn, permitted
from fleet_server.errors import LamppostError

ECHARTS = Path(nicegui.__file__).parent / "elements" / "echart" / "dist"  # the bundle that NiceGUI ships
CHARTS_EVERY_S = 5.0  # a chart of hours: nobody sees a second
FACTS_EVERY_S = 10.0  # certificate and calibrations: people change them, seldom
SERIES = re.compile(r"[0-9]{1,9}")  # what an integer column holds
STYLE = '<link rel="stylesheet" href="/assets/work.css">'


class PostSource(Protocol):
    """One lamppost. Raises LinkError; NotFound where there is none of this name."""

    async def lamppost(self, by: SignedIn, tenant: str, name: str) -> Lamppost: ...
    async def detail(self, by: SignedIn, lamppost: Lamppost) -> Detail: ...
    async def facts(self, by: SignedIn, lamppost: Lamppost) -> Facts: ...
    async def series(self, by: SignedIn, series: int, begins_ms: int, ends_ms: int) -> Series: ...
    async def verdicts(
        self, by: SignedIn, lamppost: Lamppost, begins_ms: int, ends_ms: int
    ) -> tuple[Sequence[Verdict], Sequence[Incident]]: ...


class AirSource(Protocol):
    """What is in the air by it. Raises LinkError, NotFound; of setting, Forbidden and InvalidRequest too."""

    async def trace(self, by: SignedIn, address: str, begins_ms: int, ends_ms: int) -> Trace: ...
    async def index(
        self, by: SignedIn, address: str, begins_ms: int, ends_ms: int, kind: str = ...
    ) -> IndexTrace: ...
    async def calibrations(self, by: SignedIn, lamppost: Lamppost) -> Sequence[Calibration]: ...
    async def calibrate(self, by: SignedIn, lamppost: Lamppost, entry: Entry) -> None: ...


class PostHead(ui.element, component="elements/lamppost_page_head.js"):
    """Who and where it is, how it does, and what is wrong with it."""


class PostCharts(
    ui.element, component="elements/lamppost_page_charts.js", esm={"nicegui-echart": str(ECHARTS)}
):
    """Channels, raw against corrected, index; the time range of all of them."""


class PostSensors(ui.element, component="elements/lamppost_page_sensors.js"):
    """Sensor units with health and calibrations."""


class PostPart(ui.element, component="elements/lamppost_page_part.js"):
    """The incidents it took part in."""


class PostSettings(ui.element, component="elements/lamppost_page_settings.js"):
    """What it is desired to do, by whom, and what it does."""


class PostHistory(ui.element, component="elements/lamppost_page_history.js"):
    """Its verdicts with reasons."""


class PostViewer(PageViewer):
    """One lamppost. `named` None: the address names none that could be."""

    def __init__(
        self,
        line: Line,
        common: CommonSource,
        source: PostSource,
        air: AirSource,
        orders: OrderSource,
        named: tuple[str, str] | None,
        period: Period,
        series: int | None,
        kind: str,
    ) -> None:
        super().__init__(line, common)
        self._source, self._air, self._orders, self.named = source, air, orders, named
        self.reads_orders = permitted(line.who.principal, "commands:read")
        self.period, self.series, self.kind = period, series, kind
        self.post: Lamppost | None = None

    def choose_period(self, sent: Any) -> None:
        self.period = sent_period(sent) or self.period

    def choose_series(self, sent: Any) -> None:
        self.series = sent if isinstance(sent, int) else self.series

    def choose_index(self, sent: Any) -> None:
        self.kind = sent if sent in air_view.KINDS else self.kind

    @property
    def calibrations_key(self) -> Key:
        return ("calibrations", self.named)

    def topics(self, snapshot: Snapshot) -> Iterable[Topic]:
        if self.named is None:
            return
        yield topics.lamppost(self._source, *self.named)
        self.post = snapshot.found.get(topics.lamppost_key(*self.named))
        if self.post is None:
            return
        post, source = self.post, self._source
        of = frozenset({post.id})
        yield Topic(_detail_key(post), lambda by: source.detail(by, post), of=of, stamp=post)
        yield _topic(("facts", post.id), lambda by: source.facts(by, post), every_s=FACTS_EVERY_S)
        yield _topic(
            self.calibrations_key, lambda by: self._air.calibrations(by, post), every_s=FACTS_EVERY_S
        )
        if self.reads_orders:
            orders = self._orders
            yield Topic(key_of(post), lambda by: orders.orders(by, post), of=of, every_s=ORDERS_EVERY_S)
        yield from self._charts(snapshot, post)

    def _charts(self, snapshot: Snapshot, post: Lamppost) -> Iterable[Topic]:
        detail = snapshot.found.get(_detail_key(post))
        begins, ends = self.period.window(snapshot.now_ms)
        every_s = CHARTS_EVERY_S if self.period.moves(snapshot.now_ms) else float("inf")
        source, air, address = self._source, self._air, post.address
        yield _topic(
            self._key("verdicts"), lambda by: source.verdicts(by, post, begins, ends), every_s=every_s
        )
        if detail is None:
            return
        reading = self._drawn(detail)
        if reading is not None:
            key = self._key("series", reading.series)
            yield _topic(key, lambda by: source.series(by, reading.series, begins, ends), every_s=every_s)
        if lamppost_view.has_pm(detail):
            kind = self.kind
            yield _topic(self._key("trace"), lambda by: air.trace(by, address, begins, ends), every_s=every_s)
            key = self._key("index", kind)
            yield _topic(key, lambda by: air.index(by, address, begins, ends, kind), every_s=every_s)

    def _key(self, what: str, *more: Any) -> Key:
        period = self.period
        return ("post", what, self.named, period.key, period.begins_ms, period.ends_ms, *more)

    def _drawn(self, detail: Detail) -> Reading | None:
        """The channel that is charted: the chosen one, else the one that says most."""
        chosen = self.series if any(r.series == self.series for r in detail.readings) else None
        wanted = chosen if chosen is not None else view.first_series(detail.readings)
        return next((r for r in detail.readings if r.series == wanted), None)

    def state(self, snapshot: Snapshot) -> Message:
        begins, ends = self.period.window(snapshot.now_ms)
        own = {"begins": begins, "ends": ends} if self.period.key == OWN else {}
        state: Message = {
            "post_missing": self._missing(snapshot),
            "period": {"key": self.period.key, "problem": self.period.problem} | own,
            "index_kind": self.kind,
            "index_kinds": air_view.kinds(),
            "orders_offered": offered(),
        }
        post = self.post
        if post is None:
            return state
        found = snapshot.found
        detail: Detail | None = found.get(_detail_key(post))
        facts = found.get(("facts", post.id))
        state["post"] = lamppost_view.post(post, detail)
        state["post_facts"] = lamppost_view.facts(facts) if facts else None
        orders = found.get(key_of(post))
        state["post_orders"] = None if orders is None else order_rows(orders)
        verdicts, incidents = found.get(self._key("verdicts"), (None, None))
        if verdicts is not None:
            state["post_verdicts"] = verdict_words.rows(verdicts)
            state["post_incidents"] = [incident_view.row(i) for i in incidents]
        return state if detail is None else state | self._measured(snapshot, detail)

    def _measured(self, snapshot: Snapshot, detail: Detail) -> Message:
        found = snapshot.found
        begins, ends = self.period.window(snapshot.now_ms)
        reading = self._drawn(detail)
        series = found.get(self._key("series", reading.series)) if reading else None
        trace: Trace | None = found.get(self._key("trace"))
        index: IndexTrace | None = found.get(self._key("index", self.kind))
        if series is not None:  # all charts end where the newest read one does
            begins, ends = series.begins_ms, series.ends_ms
        return {
            "post_channels": lamppost_view.channels(detail),
            "post_series": reading.series if reading else None,
            "post_chosen": self.series is not None,
            "post_has_pm": lamppost_view.has_pm(detail),
            "post_chart": lamppost_view.chart(series, reading, lamppost_view.born_ms(detail, reading))
            if series and reading
            else None,
            "post_corrected": air_view.corrected(trace, begins, ends) if trace else None,
            "post_index": air_view.index_bars(index, begins, ends) if index else None,
            "index_bands": air_view.bands(index) if index else [],
            "post_unplaced": lamppost_view.unplaced(detail),
            "post_units": lamppost_view.units(detail, found.get(self.calibrations_key, ()), snapshot.now_ms),
        }

    def _missing(self, snapshot: Snapshot) -> str:
        if self.named is None:
            return "A lamppost's name has a to z, 0 to 9 and - in it, as in demo/bahnhof-nord."
        return snapshot.refused.get(topics.lamppost_key(*self.named), "")


def _detail_key(post: Lamppost) -> Key:
    return ("post-detail", post.id)


def _topic(key: Key, read: Any, *, every_s: float) -> Topic:
    return Topic(key, read, of=NOTHING, every_s=every_s)


def register(
    frame: Frame, common: CommonSource, source: PostSource, air: AirSource, orders: OrderSource
) -> None:
    @frame.page("/lamppost/{tenant}/{name}", title="Lamppost", area="map")
    def lamppost(opened: Opened) -> PageViewer:
        ui.add_head_html(STYLE)
        opened.seed["may"] |= {
            "calibrate": opened.may("calibrations:change"),
            "command": opened.may("devices:command"),
            "standing": opened.may("devices:change") or opened.may("certificates:revoke"),
            "commands": opened.may("commands:read"),
        }
        query = opened.query
        series = query.get("series", "")
        viewer = PostViewer(
            opened.line,
            common,
            source,
            air,
            orders,
            named(opened.path.get("tenant"), opened.path.get("name")),
            period_of(query),
            int(series) if SERIES.fullmatch(series) else None,
            query.get("index", "") if query.get("index") in air_view.KINDS else air_view.DEFAULT_KIND,
        )

        async def calibrate(event: GenericEventArguments) -> None:
            await _calibrate(event, opened.hub, viewer, air, sensors)

        async def order(event: GenericEventArguments) -> None:
            await obey(event, opened.hub, viewer.who, viewer.post, orders, ordering)

        with ui.element("div").classes("work"):
            PostHead()
            with ui.element("div").classes("two"):
                charts = PostCharts()
                charts.on("period", opened.chosen(viewer.choose_period))
                charts.on("series", opened.chosen(viewer.choose_series))
                charts.on("index", opened.chosen(viewer.choose_index))
                with ui.element("div").classes("stacked"):
                    sensors = PostSensors()
                    sensors.on("calibrate", calibrate)
                    PostPart()
            ordering = PostOrders()
            ordering.on("order", order)
            PostSettings()
            PostHistory()
        return viewer


async def _calibrate(
    event: GenericEventArguments, hub: Hub, viewer: PostViewer, air: AirSource, sensors: PostSensors
) -> None:
    entry = entry_of(event.args)
    problem = (
        "" if entry is not None and viewer.post is not None else "The browser sent what is not understood."
    )
    if entry is not None and viewer.post is not None:
        try:
            with saying_why(why_in(event.args)):
                await air.calibrate(viewer.who, viewer.post, entry)
        except LamppostError as refused:
            problem = str(refused)
    sensors.run_method("answered", problem)
    hub.forget(viewer.calibrations_key)
