"""The pages of incidents: `/incidents`, the list; `/incidents/<number>`, one with evidence and actions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import nicegui
from nicegui import ui
from nicegui.events import GenericEventArguments

from dashboards import air_view, incident_view
from dashboards.air_model import IndexTrace, Trace
from dashboards.asked_from import saying_why, why_in
from dashboards.data_incidents import LISTED_MAX, incident_number
from dashboards.frame import Frame, Opened
from dashboards.hub import Hub, Snapshot
from dashboards.incident_asking import asked_for
from dashboards.incident_model import Incident, Story
from dashboards.topics import NOTHING, CommonSource, Key, Topic
from dashboards.viewer import Line, Message, PageViewer
from fleet_server.access.service import SignedIn
from fleet_server.errors import Conflict, LamppostError

ECHARTS = Path(nicegui.__file__).parent / "elements" / "echart" / "dist"  # the bundle that NiceGUI ships
OPEN: Key = ("incidents", "open")
NEWEST: Key = ("incidents", "newest")
NEWEST_EVERY_S = 10.0  # what is over changes seldom; whatever becomes of an open one has it read at once
EVIDENCE_EVERY_S = 5.0  # eight lampposts' minutes: new ones need not be drawn each second
STYLE = '<link rel="stylesheet" href="/assets/work.css">'


class IncidentSource(Protocol):
    """Raises LinkError; NotFound where there is no such incident."""

    async def open(self, by: SignedIn) -> Sequence[Incident]: ...
    async def newest(self, by: SignedIn) -> Sequence[Incident]: ...
    async def story(self, by: SignedIn, number: int) -> Story: ...
    async def act(
        self, by: SignedIn, number: int, what: str, version: int, text: str, until_ms: int | None
    ) -> None: ...


class EvidenceSource(Protocol):
    """What lampposts measured from an instant up to another. Raises LinkError, NotFound."""

    async def trace(self, by: SignedIn, address: str, begins_ms: int, ends_ms: int) -> Trace: ...
    async def index(self, by: SignedIn, address: str, begins_ms: int, ends_ms: int) -> IndexTrace: ...


class IncidentList(ui.element, component="elements/incident_list.js"):
    """All incidents: filters, counts, keyboard; and what is said when there is none."""


class IncidentHead(ui.element, component="elements/incident_head.js"):
    """What it is, how it stands, and what a person may do about it."""


class IncidentEvidence(
    ui.element, component="elements/incident_evidence.js", esm={"nicegui-echart": str(ECHARTS)}
):
    """What was measured around the time."""


class IncidentStory(ui.element, component="elements/incident_story.js"):
    """Who is in it and what happened."""


class IncidentVerdicts(ui.element, component="elements/incident_verdicts.js"):
    """What was decided, with reasons."""


class IncidentsViewer(PageViewer):
    """The list. A row is sent when it differs from what the browser has."""

    def __init__(self, line: Line, common: CommonSource, source: IncidentSource) -> None:
        super().__init__(line, common)
        self._source = source
        self._rows: dict[int, dict[str, Any]] = {}

    def topics(self, snapshot: Snapshot) -> Iterable[Topic]:
        yield Topic(OPEN, self._source.open)
        going_on: Sequence[Incident] | None = snapshot.found.get(OPEN)
        if going_on is not None:
            stamp = tuple((i.id, i.version) for i in going_on)
            yield Topic(NEWEST, self._source.newest, of=NOTHING, stamp=stamp, every_s=NEWEST_EVERY_S)

    def state(self, snapshot: Snapshot) -> Message:
        return {"incidents_loaded": NEWEST in snapshot.found, "incidents_limit": LISTED_MAX}

    def changes(self, snapshot: Snapshot) -> Message:
        if NEWEST not in snapshot.found:
            return {}
        found = (*snapshot.found[NEWEST], *snapshot.found.get(OPEN, ()))
        rows = {i.id: incident_view.row(i) for i in found}
        changed = [row for number, row in rows.items() if self._rows.get(number) != row]
        gone = [number for number in self._rows if number not in rows]
        self._rows = rows
        return ({"incident_rows": changed} if changed else {}) | ({"incidents_gone": gone} if gone else {})


class IncidentViewer(PageViewer):
    """One incident. `number` None: the address names none."""

    def __init__(
        self,
        line: Line,
        common: CommonSource,
        source: IncidentSource,
        evidence: EvidenceSource,
        number: int | None,
    ) -> None:
        super().__init__(line, common)
        self._source, self._evidence = source, evidence
        self.number = number

    @property
    def key(self) -> Key:
        return ("incident", self.number)

    def topics(self, snapshot: Snapshot) -> Iterable[Topic]:
        number = self.number
        if number is None:
            return

        async def read(by: SignedIn) -> Story:
            return await self._source.story(by, number)

        yield Topic(self.key, read)
        story = snapshot.found.get(self.key)
        if story is not None:
            yield from self._charts(story, snapshot.now_ms)

    def _charts(self, story: Story, now_ms: int) -> Iterable[Topic]:
        begins, ends = incident_view.window(story.incident, now_ms)
        drawn = incident_view.drawn(story.members)
        for address in drawn:

            async def read(by: SignedIn, address: str = address) -> Trace:
                return await self._evidence.trace(by, address, begins, ends)

            key = ("incident-trace", self.number, address)
            yield Topic(key, read, of=NOTHING, stamp=begins, every_s=EVIDENCE_EVERY_S)
        if drawn:

            async def index(by: SignedIn) -> IndexTrace:
                return await self._evidence.index(by, drawn[0], begins, ends)

            key = ("incident-index", self.number, drawn[0])
            yield Topic(key, index, of=NOTHING, stamp=begins, every_s=EVIDENCE_EVERY_S)

    def state(self, snapshot: Snapshot) -> Message:
        missing = "The address names no incident: its number is missing or is none."
        if self.number is not None:
            missing = snapshot.refused.get(self.key, "")
        story: Story | None = snapshot.found.get(self.key)
        state: Message = {"incident_missing": missing}
        if story is None:
            return state
        state["incident"] = incident_view.story(story)
        return state | self._drawn(story, snapshot)

    def _drawn(self, story: Story, snapshot: Snapshot) -> Message:
        begins, ends = incident_view.window(story.incident, snapshot.now_ms)
        drawn = incident_view.drawn(story.members)
        keys: list[Key] = [("incident-trace", self.number, address) for address in drawn]
        if not all(key in snapshot.found or key in snapshot.refused for key in keys):
            return {}
        traces = [snapshot.found[key] for key in keys if key in snapshot.found]
        ends = max((t.time_ms[-1] for t in traces if t.time_ms), default=ends)  # grows with what was read
        index = snapshot.found.get(("incident-index", self.number, drawn[0])) if drawn else None
        return {
            "evidence": incident_view.evidence(traces, story.verdicts, begins, ends),
            "evidence_left_out": len(story.members) - len(drawn),
            "evidence_index": air_view.index_bars(index, begins, ends) if index else None,
            "index_bands": air_view.bands(index) if index else [],
        }


def register(frame: Frame, common: CommonSource, source: IncidentSource, evidence: EvidenceSource) -> None:
    @frame.page("/incidents", title="Incidents", area="incidents")
    def incidents(opened: Opened) -> PageViewer:
        ui.add_head_html(STYLE)
        with ui.element("div").classes("work"):
            IncidentList()
        return IncidentsViewer(opened.line, common, source)

    @frame.page("/incidents/{number}", title="Incident", area="incidents")
    def incident(opened: Opened) -> PageViewer:
        ui.add_head_html(STYLE)
        opened.seed["may"] |= {"work": opened.may("incidents:work")}
        viewer = IncidentViewer(
            opened.line, common, source, evidence, incident_number(str(opened.path.get("number", "")))
        )

        async def act(event: GenericEventArguments) -> None:
            await _act(event, opened.hub, viewer, source, head)

        with ui.element("div").classes("work"):
            head = IncidentHead()
            head.on("act", act)
            with ui.element("div").classes("two"):
                IncidentEvidence()
                IncidentStory()
            IncidentVerdicts()
        return viewer


async def _act(
    event: GenericEventArguments,
    hub: Hub,
    viewer: IncidentViewer,
    source: IncidentSource,
    head: IncidentHead,
) -> None:
    asked = asked_for(event.args)
    problem, meanwhile = "The browser sent what is not understood.", None
    if asked is not None and viewer.number is not None:
        what, version, text, until_ms = asked
        problem = ""
        try:
            with saying_why(why_in(event.args)):
                await source.act(viewer.who, viewer.number, what, version, text, until_ms)
        except LamppostError as refused:
            problem = str(refused)
            if isinstance(refused, Conflict):
                meanwhile = await _meanwhile(viewer, source)
    head.run_method("answered", asked[0] if asked else "", problem, meanwhile)
    hub.forget(viewer.key)
    hub.forget(NEWEST)


async def _meanwhile(viewer: IncidentViewer, source: IncidentSource) -> dict[str, Any] | None:
    """Who did what to it last, for the one who came second; None where that cannot be told."""
    assert viewer.number is not None
    try:
        return incident_view.newest(await source.story(viewer.who, viewer.number))
    except LamppostError:
        return None  # what was refused is told all the same
