"""One agent measured alone: three sensors once a second, batches of a minute."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass

from demo.city import City
from demo.layout import Post, agent_config, sensor_table
from demo.measure import Memory, memory_of
from demo.processes import Child, lamppost
from demo.records import agent_status
from demo.start import wait_for

RUNS_S = 10.0  # at 60-fold speed ten batches of a minute each
READY_S = 20.0
SENSORS = (("dust", "pms5003"), ("haze", "sds011"), ("fine", "sps30"))


@dataclass(frozen=True)
class Alone:
    """`bytes_per_reading` None when nothing was sealed."""

    memory: Memory | None
    bytes_per_reading: float | None


def measure_alone(city: City) -> Alone:
    """Stop every agent, then run one with its own spool, as the first lamppost, beside the running server."""
    for agent in city.agents.values():
        agent.stop()
    first = city.layout.posts[0]
    post = Post(first.name, first.kind, city.layout.root / "alone", first.place)
    post.directory.mkdir()
    shutil.copytree(first.data / "identity", post.data / "identity")
    sensors = _start_sensors(city, post)
    tables = "".join(sensor_table(name, kind, post.directory / name, 1.0, name) for name, kind in SENSORS)
    post.config.write_text(agent_config(city.layout, post, city.settings, "", tables))
    agent = Child(
        "alone", lamppost("agent", "run", "--config", str(post.config)), city.layout.logs / "alone.log"
    )
    try:
        agent.start()
        wait_for(lambda: agent_status(post).get("connected"), READY_S, agent, "one agent alone")
        time.sleep(RUNS_S)
        return Alone(memory_of(agent.pid), _bytes_per_reading(post))
    finally:
        agent.stop()
        sensors.stop()


def _start_sensors(city: City, post: Post) -> Child:
    plan = post.directory / "sensors.json"
    units = [
        {
            "name": name,
            "kind": kind,
            "link": str(post.directory / name),
            "ledger": str(post.directory / f"{name}.jsonl"),
            "seed": city.settings.seed + i,
            "scene": {"type": "synthetic", "city_seed": city.settings.seed},
            "position": list(post.place.position),
            "serial": None,
            "history": None,
        }
        for i, (name, kind) in enumerate(SENSORS)
    ]
    plan.write_text(json.dumps({"clock": None, "clock_file": str(city.layout.clock), "units": units}))
    sensors = Child(
        "three sensors",
        lamppost("sensors", "emulate", "--plan", str(plan)),
        city.layout.logs / "alone-sensors.log",
    )
    sensors.start()
    wait_for(
        lambda: all((post.directory / name).exists() for name, _ in SENSORS),
        READY_S,
        sensors,
        "three sensors",
    )
    return sensors


def _bytes_per_reading(post: Post) -> float | None:
    """Payload and MQTT user properties of sealed batches over their readings."""
    sealed = agent_status(post).get("sealed", {})
    readings = sealed.get("readings", 0)
    if not readings:
        return None
    return float(round((sealed["bytes"] + sealed["property_bytes"]) / readings, 3))
