"""One demo run from start to verdict."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable

from demo import people
from demo.api import ApiRefused
from demo.city import TICK_S, City, backlog_of
from demo.glance import Glance, look
from demo.layout import Layout, Post, lay_out
from demo.ports import DEFAULT_PORTS
from demo.reckoning import reckon
from demo.records import UNREACHABLE, DatabaseFigures, Records, agent_status
from demo.settings import DemoSettings, WrongArgument
from demo.start import ADMIN, DidNotStart
from demo.story import ENDS_S
from demo.summary import PostState, Snapshot, Summary


def run(settings: DemoSettings) -> int:
    """The process's exit status (see demo.cli.main)."""
    try:
        layout = lay_out(settings)
    except (WrongArgument, OSError) as wrong:
        print(f"lamppost demo: {wrong}", file=sys.stderr)
        return 2
    summary = Summary(settings.quiet)
    city = City(settings, layout)
    try:
        for step in city.start():
            summary.say(f"  {step}")
        if settings.run_for_s is None:  # unattended, nobody signs in
            summary.say("  giving each role somebody to be")
            people.invite(layout, settings)
        _announce(summary, settings, layout)
        _say_what_fits(summary, settings)
        _live(city, summary)
        return reckon(city, summary)
    except KeyboardInterrupt:
        summary.say("stopping")
        return 0 if settings.run_for_s is None else 130
    except (DidNotStart, ApiRefused, *UNREACHABLE, OSError) as failed:
        print(f"lamppost demo: {failed}\nlogs: {layout.logs}", file=sys.stderr)
        return 3
    finally:
        city.stop()


def _announce(summary: Summary, settings: DemoSettings, layout: Layout) -> None:
    moved = [f"{use} {port}" for use, port in layout.ports.items() if port != DEFAULT_PORTS[use]]
    if moved:
        summary.say(f"  other programs have the usual ports; here: {', '.join(moved)}")
    summary.say(f"\n  dashboard  http://127.0.0.1:{layout.ports['ui']}")
    summary.say(f"  sign in    {ADMIN} / {settings.admin_password}")
    if settings.run_for_s is None:
        summary.say(f"  or as      {', '.join(people.ROLES)}, with the same password")
    summary.say(f"  api        http://127.0.0.1:{layout.ports['api']}/api/v1\n  logs       {layout.logs}\n")


def _say_what_fits(summary: Summary, settings: DemoSettings) -> None:
    """A run that ends before its story is none to judge the city by."""
    needs_s = ENDS_S / settings.speed
    if settings.story and settings.run_for_s is not None and settings.run_for_s < needs_s:
        summary.say(
            f"  the story takes {needs_s:.0f} s and this run ends before that; try --for {needs_s:.0f}s"
        )


def _live(city: City, summary: Summary) -> None:
    """Draw until the time is up; without a time, until Ctrl-C."""
    summary.watch(_snapshots(city, Records(city.layout)))


def _snapshots(city: City, records: Records) -> Callable[[], Snapshot | None]:
    settings, ports = city.settings, city.layout.ports
    until_s = settings.run_for_s if settings.run_for_s is not None else float("inf")
    figures = DatabaseFigures({}, 0, 0, 0)
    glance = Glance()

    def next_snapshot() -> Snapshot | None:
        nonlocal figures, glance
        time.sleep(max(0.0, min(TICK_S, until_s - city.running_s)))
        if city.running_s >= until_s:
            return None
        if city.server is not None and not city.server.running:
            raise DidNotStart(f"the server ended with status {city.server.status}\n{city.server.tail()}")
        with contextlib.suppress(*UNREACHABLE):  # it may be killed to see what happens: show what was
            figures = records.now(city.street_zero_ms)
        if city.api is not None:
            glance = look(city.api, glance)
        city.hear_agents()
        street_ms = city.street_now_ms
        return Snapshot(
            posts=tuple(_post_state(post, figures, glance) for post in city.layout.posts),
            street_ms=street_ms,
            speed=city.speed,
            running_s=city.running_s,
            run_for_s=settings.run_for_s,
            dashboard=f"http://127.0.0.1:{ports['ui']}",
            login=f"sign in: {ADMIN} / {settings.admin_password}",
            incidents=glance.incidents,
            story=city.story.lines(street_ms, city.speed) if city.story and city.running_s >= 0 else (),
        )

    return next_snapshot


def _post_state(post: Post, figures: DatabaseFigures, glance: Glance) -> PostState:
    status = agent_status(post)
    latest = status.get("latest", {}).get("air", {}).get("pm2_5")
    return PostState(
        name=f"{post.name}  {post.place.site}",
        sensor=post.kind.upper(),
        state="online" if status.get("connected") else "offline",
        backlog=backlog_of(status),
        stored=figures.per_post.get(post.name, 0),
        latest="" if latest is None else f"{latest:g}",
        index=glance.index.get(post.name, ""),
        conditions=tuple(c["code"] for c in status.get("conditions", [])),
    )
