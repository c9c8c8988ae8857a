"""How the city comes to life, step by step: sensors, history, server, enrolment, agents."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from typing import TypeVar

from demo.api import Api
from demo.layout import (
    Layout,
    Post,
    write_agent_config,
    write_server_config,
)
from demo.plan import write_sensor_plan
from demo.processes import Child, lamppost, run_all
from demo.settings import DemoSettings
from demo.story import Story

T = TypeVar("T")

ADMIN = "admin"
SERVER_READY_S = 90.0  # first start: database made, authority made, eight processes on two busy cores
SENSORS_READY_S = 30.0
ENROLLED_S = 60.0
REHEARSED_S = 300.0
TOGETHER = 2  # as many as the smallest supported machine has cores


class DidNotStart(RuntimeError):
    """Which part did not come up, and the end of what it wrote."""


def wait_for(predicate: Callable[[], T], timeout_s: float, child: Child, what: str) -> T:
    """Poll until true; fail at once when `child` ends. Raises DidNotStart."""
    deadline = time.monotonic() + timeout_s
    while not (value := predicate()):
        if not child.running:
            raise DidNotStart(f"{what}: {child.name} ended with status {child.status}\n{child.tail()}")
        if time.monotonic() > deadline:
            raise DidNotStart(f"{what}: not within {timeout_s:.0f} s\n{child.tail()}")
        time.sleep(0.05)
    return value


def start_server(layout: Layout, settings: DemoSettings) -> Child:
    """`lamppost serve` with all its roles; not waited for."""
    write_server_config(layout)
    server = Child(
        "server",
        lamppost("serve", "--config", str(layout.server_config)),
        layout.logs / "serve.log",
        environment={"LAMPPOST_ADMIN_PASSWORD": settings.admin_password or "lamppost-demo"},
    )
    server.start()
    return server


def start_sensors(layout: Layout, settings: DemoSettings, street_zero_ms: int, story: Story | None) -> Child:
    """All emulated sensors in one process; returns when every pseudo-terminal is there."""
    write_sensor_plan(layout, settings, street_zero_ms, story)
    sensors = Child(
        "sensors", lamppost("sensors", "emulate", "--plan", str(layout.plan)), layout.logs / "sensors.log"
    )
    sensors.start()
    wait_for(lambda: all(p.port.exists() for p in layout.posts), SENSORS_READY_S, sensors, "emulated sensors")
    return sensors


def rehearse(layout: Layout, settings: DemoSettings, history_end_ms: int) -> None:
    """Each agent reads its sensor through two days without a link and keeps it all in its spool."""
    runs = [
        Child(
            f"history of {post.name}",
            lamppost(
                "agent",
                "rehearse",
                *("--config", str(post.config)),
                *("--hours", f"{settings.history_h:g}"),
                *("--until-ms", str(history_end_ms)),
            ),
            layout.logs / f"{post.name}-history.log",
        )
        for post in layout.posts
    ]
    _fail_with(run_all(runs, TOGETHER, REHEARSED_S), "history")


def wait_server(layout: Layout, settings: DemoSettings, server: Child) -> Api:
    """Until every part of the server is reachable; signs in as the operator."""
    api = Api(f"http://127.0.0.1:{layout.ports['api']}")
    wait_for(lambda: _is_up(layout) and api.is_ready(), SERVER_READY_S, server, "server")
    api.sign_in(ADMIN, settings.admin_password or "lamppost-demo")
    shutil.copyfile(layout.root / "server" / "certificates" / "ca.pem", layout.trust)
    return api


def _is_up(layout: Layout) -> bool:
    """What this city's own server says: another program may have taken the port since it was chosen."""
    try:
        return bool(json.loads((layout.root / "server" / "serve.json").read_text())["ready"])
    except (OSError, ValueError, KeyError):
        return False


def make_claims(layout: Layout, settings: DemoSettings, api: Api) -> None:
    """The technician's part: one single-use claim a lamppost, which says where it will stand, written into
    its configuration."""
    for post in layout.posts:
        place = post.place
        at = {"latitude": place.latitude, "longitude": place.longitude, "district": place.district}
        claim = api.call("POST", "/api/v1/claims", {"device": post.name, "site": place.site, **at})
        write_agent_config(layout, post, settings, claim["token"])


def enrol(layout: Layout, server: Child, api: Api) -> int:
    """Each agent makes its key and asks; the operator accepts. Returns how many hold a certificate."""
    runs = [
        Child(
            f"enrolment of {post.name}",
            lamppost("agent", "enrol", "--config", str(post.config), "--wait"),
            layout.logs / f"{post.name}-enrol.log",
        )
        for post in layout.posts
    ]
    for run in runs:
        run.start()
    deadline = time.monotonic() + ENROLLED_S
    while any(run.running for run in runs):
        for pending in api.call("GET", "/api/v1/enrolments?state=pending"):
            api.call("POST", f"/api/v1/enrolments/{pending['id']}/accept")
        if time.monotonic() > deadline or not server.running:
            break
        time.sleep(0.1)
    for run in runs:
        run.stop(1.0)
    _fail_with([run for run in runs if run.status != 0], "enrolment")
    return sum(has_certificate(post) for post in layout.posts)


def has_certificate(post: Post) -> bool:
    """Whether this lamppost holds a certificate of its own."""
    return (post.data / "identity" / "device.pem").exists()


def start_agents(layout: Layout) -> dict[str, Child]:
    """The real agents, each kept alive as systemd would."""
    agents = {
        post.name: Child(
            post.name,
            lamppost("agent", "run", "--config", str(post.config)),
            layout.logs / f"{post.name}.log",
            keep=True,
        )
        for post in layout.posts
    }
    for agent in agents.values():
        agent.start()
    return agents


def _fail_with(failed: list[Child], what: str) -> None:
    if failed:
        first = failed[0]
        raise DidNotStart(
            f"{what}: {len(failed)} failed; {first.name} (status {first.status}):\n{first.tail()}"
        )
