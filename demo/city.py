"""A running city: started in order, watched, drained, compared with its ledgers, stopped."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from demo import start
from demo.api import Api
from demo.counts import SpooledCounts
from demo.layout import Layout, write_agent_config
from demo.ledger import Comparison, Frame, Stored, compare, read_ledger
from demo.plan import HOUR_MS, write_clock
from demo.processes import Child
from demo.records import Records, agent_status
from demo.settings import DemoSettings
from demo.story import Story, tell
from fleet_server.clock import Scale

DRAINED_S = (
    60.0  # what waits when sampling stops is seconds old; history that is not through by then is a finding
)
TICK_S = 1.0
AHEAD_S = 5.0  # lived history begins so long after its agents were started: they are all there by then


@dataclass
class City:
    """Its processes by name. `street_zero_ms`: where history ends on the street's clock, `wall_zero_ms` when
    that is (ahead while history is lived); `scale` is the street's clock once it runs."""

    settings: DemoSettings
    layout: Layout
    server: Child | None = None
    sensors: Child | None = None
    agents: dict[str, Child] = field(default_factory=dict)
    api: Api | None = None
    story: Story | None = None
    scale: Scale | None = None
    spooled: SpooledCounts = field(default_factory=SpooledCounts)
    enrolled: int = 0
    street_zero_ms: int = 0
    wall_zero_ms: int = 0

    def start(self) -> Iterator[str]:
        """Yields what is being done, before it is done. Raises DidNotStart."""
        self.street_zero_ms = int(time.time()) * 1000
        self.story = tell(self.layout.posts, self.street_zero_ms) if self.settings.story else None
        for post in self.layout.posts:
            write_agent_config(self.layout, post, self.settings, "")
        yield "starting the server: database, broker, api, ingest, worker, ui"
        self.server = start.start_server(self.layout, self.settings)
        yield f"connecting {len(self.layout.posts)} emulated sensors"
        self.sensors = start.start_sensors(self.layout, self.settings, self.street_zero_ms, self.story)
        if not self.settings.live_history:
            hours = f"{self.settings.history_h:g} h"
            yield f"{hours} without a link: each lamppost reads its sensor and keeps it all"
            start.rehearse(self.layout, self.settings, self.street_zero_ms)
        yield "waiting for the server"
        self.api = start.wait_server(self.layout, self.settings, self.server)
        yield "enrolling: each lamppost makes its key, the operator accepts, the city signs"
        start.make_claims(self.layout, self.settings, self.api)
        self.enrolled = start.enrol(self.layout, self.server, self.api)
        if self.settings.live_history:
            yield from self._live_through_history()
        else:
            self.wall_zero_ms = int(time.time() * 1000)
            self.scale = Scale(self.settings.speed, self.street_zero_ms, self.wall_zero_ms)
            write_clock(self.layout, self.scale)
            yield "the link is back: lampposts drain their history and go on live"
            self.agents = start.start_agents(self.layout)

    def _live_through_history(self) -> Iterator[str]:
        """The agents run and are linked for all of it; the clock takes them through it fast, then slows down.
        It is written at once: an agent learns of its end long before it comes."""
        settings = self.settings
        takes_s = settings.history_h * 3600 / settings.history_speed
        yield (
            f"living through {settings.history_h:g} h {settings.history_speed:g} times as fast: "
            f"{takes_s:.0f} s of real sampling, deciding and sending"
        )
        wall_ms = int((time.time() + AHEAD_S) * 1000)
        self.wall_zero_ms = wall_ms + round(takes_s * 1000)
        story = Scale(settings.speed, self.street_zero_ms, self.wall_zero_ms)
        self.scale = Scale(settings.history_speed, self.history_from_ms, wall_ms, story)
        write_clock(self.layout, self.scale)
        self.agents = start.start_agents(self.layout)

    @property
    def history_from_ms(self) -> int:
        """Where history begins on the street's clock."""
        return self.street_zero_ms - round(self.settings.history_h * HOUR_MS)

    @property
    def street_now_ms(self) -> float:
        """The street's clock."""
        return self.scale.street_ms(time.time() * 1000) if self.scale else self.street_zero_ms

    @property
    def speed(self) -> float:
        """Street seconds in a wall second, now."""
        return self.scale.of(time.time() * 1000).speed if self.scale else self.settings.speed

    @property
    def running_s(self) -> float:
        """Wall seconds since the link came back, or since history was lived through; negative before that."""
        return time.time() - self.wall_zero_ms / 1000

    def hear_agents(self) -> None:
        """Remember how much each agent has spooled; often enough to miss no epoch of a spool."""
        for post in self.layout.posts:
            self.spooled.hear(post.name, agent_status(post))

    def stop_sampling(self) -> None:
        """Agents stop reading sensors and go on draining (SIGUSR1)."""
        for agent in self.agents.values():
            agent.signal(signal.SIGUSR1)

    def drain(self, timeout_s: float = DRAINED_S) -> bool:
        """Whether every spool became empty in time."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if all(
                backlog_of(agent_status(post)) == 0 and stopped(agent_status(post))
                for post in self.layout.posts
            ):
                return True
            time.sleep(0.1)
        return False

    def ledgers(self) -> dict[str, list[Frame]]:
        """What each emulated sensor sent."""
        return {post.name: read_ledger(post.ledger) for post in self.layout.posts}

    def stored(self, records: Records) -> dict[str, list[Stored]]:
        """What the database has of each lamppost."""
        with contextlib.closing(records.connect()) as connection:
            return {post.name: records.rows(connection, post) for post in self.layout.posts}

    def stop(self) -> None:
        """Everything, in the order in which nothing is missed by the next."""
        for agent in self.agents.values():
            agent.signal(signal.SIGTERM)
        for agent in self.agents.values():
            agent.stop()
        for child in (self.sensors, self.server):
            if child is not None:
                child.stop(20.0)


def compare_all(frames: dict[str, list[Frame]], rows: dict[str, list[Stored]]) -> dict[str, Comparison]:
    """Each lamppost's ledger against its rows."""
    return {name: compare(frames[name], rows.get(name, [])) for name in frames}


def backlog_of(status: dict[str, Any]) -> int:
    """Samples that wait on the lamppost, sealed or not; of an agent that has not reported yet, one."""
    counts = status.get("backlog")
    return sum(counts.values()) if isinstance(counts, dict) else 1


def stopped(status: dict[str, Any]) -> bool:
    """Whether the agent says that it stopped sampling."""
    return bool(status.get("sampling") is False)
