"""What the emulated sensors are told: their air, their faults, and the street's clock."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime

from demo.layout import Layout
from demo.settings import DemoSettings
from demo.story import Story
from fleet_server.clock import Scale

HOUR_MS = 3_600_000
# A story is told on a Wednesday in May at one o'clock, whatever the day and hour at which it is watched: the
# same seed gives the same air, and the fog comes into dry weather.
SCENE_ZERO_MS = round(datetime(2026, 5, 13, 13, tzinfo=UTC).timestamp() * 1000)
RUN_UP_MS = 12 * HOUR_MS  # lived history: agents that are ready sooner find the clock before its beginning


def write_sensor_plan(
    layout: Layout, settings: DemoSettings, street_zero_ms: int, story: Story | None
) -> None:
    """All emulated sensors of the city, for one `lamppost sensors emulate` process."""
    step_s = settings.cadence_s
    start_ms = street_zero_ms - round(settings.history_h * HOUR_MS)
    if settings.live_history:  # until the clock is there nothing is asked; from then on its time counts
        history = {"start_ms": start_ms - RUN_UP_MS, "step_s": step_s, "count": 0}
    else:
        history = {"start_ms": start_ms, "step_s": step_s, "count": round(settings.history_h * 3600 / step_s)}
    units = [
        {
            "name": post.name,
            "kind": post.kind,
            "link": str(post.port),
            "ledger": str(post.ledger),
            "seed": settings.seed * 1000 + i,
            "scene": _scene(settings, street_zero_ms),
            "position": list(post.place.position),
            "serial": None,
            "streaming": not settings.live_history,  # nobody is there yet to read what it says by itself
            "history": history,
            "faults": story.faults_of(post.name) if story else [],
        }
        for i, post in enumerate(layout.posts)
    ]
    events = story.events() if story else []
    plan = {"clock": None, "clock_file": str(layout.clock), "events": events, "units": units}
    layout.plan.write_text(json.dumps(plan, indent=1))


def _scene(settings: DemoSettings, street_zero_ms: int) -> dict[str, object]:
    if settings.replay is not None:
        return {"type": "replay", "file": str(settings.replay.file), "station": settings.replay.station}
    scene: dict[str, object] = {"type": "synthetic", "city_seed": settings.seed}
    if settings.story:
        scene["utc_offset_h"] = (SCENE_ZERO_MS - street_zero_ms) / HOUR_MS
    return scene


def write_clock(layout: Layout, scale: Scale) -> None:
    """From here on the street's clock runs. Whole or not at all: every process follows this file."""
    draft = layout.clock.with_suffix(".part")
    draft.write_text(json.dumps(asdict(scale)))
    draft.replace(layout.clock)
