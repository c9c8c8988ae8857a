"""The city that the faults strike: the demo's parts, each lamppost behind its own line, on its own small
disk, by its own clock; two ingest workers; the server's roles reach their broker over a line too.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from demo import start
from demo.city import City
from demo.layout import Layout, Post, agent_config, sensor_table, write_server_config
from demo.plan import write_clock
from demo.processes import Child, lamppost
from demo.records import agent_status
from demo.settings import DemoSettings
from fleet_server.clock import Scale
from tests.chaos.faults import Need
from tests.chaos.lines import Line, Lines
from tests.chaos.plan import SERVER
from tests.chaos.room import Allowed, run_quietly

POSTS = 4  # one of each emulated kind
SPEED = 60.0  # street seconds a second: a flush of a minute leaves each second
CADENCE_S = 30.0  # street; two samples a second of each lamppost, eight in all
KEEPALIVE_S = 5  # the shortest: a line that swallows everything is noticed after eight seconds
DISK_MIB = 24  # of a lamppost: spool, its journal and its ballast with room to spare
FREE_MIB = 4  # what the spool wants free on it
SERVER_HOST = "127.0.0.2"  # where the server's roles look for the broker: the near end of their line
BROKER_HOST = "127.0.0.1"
PASSWORD = "one-fault-after-another"
HOUR_MS = 3_600_000
CONNECTED_S = 60.0


def settings(directory: Path, seed: int, history_h: float) -> DemoSettings:
    """Of a city for chaos."""
    return DemoSettings(
        directory=directory,
        speed=SPEED,
        posts=POSTS,
        history_h=history_h,
        cadence_s=CADENCE_S,
        flush_s=60.0,
        seed=seed,
        admin_password=PASSWORD,
        measure_alone=False,
    )


@dataclass
class Town(City):
    """`start()` as a city's, then `go_live()`. `lines` by lamppost, and "server"."""

    allowed: Allowed = field(default_factory=lambda: Allowed(frozenset(), {}, ""))
    lines: dict[str, Line] = field(default_factory=dict)
    network: Lines | None = None
    clock_off_ms: dict[str, dict[object, int]] = field(default_factory=dict)

    def start(self) -> Iterator[str]:
        """All but the agents: `go_live`. Yields what is being done. Raises DidNotStart, OSError."""
        yield "laying lines and disks"
        self._lay_lines()
        self._give_disks()
        self.street_zero_ms = _next_minute_ms()
        for post in self.layout.posts:
            self._write_agent(post, "")
        yield "starting the server with two ingest workers, and the sensors"
        self.server = self._start_server()
        self.sensors = start.start_sensors(self.layout, self.settings, self.street_zero_ms, None)
        yield f"{self.settings.history_h:g} h of history without a link"
        start.rehearse(self.layout, self.settings, self.street_zero_ms)
        yield "waiting for the server, enrolling"
        self.api = start.wait_server(self.layout, self.settings, self.server)
        self._enrol()
        self._start_clocks()
        self.agents = {post.name: self._agent(post) for post in self.layout.posts}

    def go_live(self) -> None:
        """Start the agents; returns when all are connected, or after a minute."""
        for agent in self.agents.values():
            agent.start()
        deadline = time.monotonic() + CONNECTED_S
        while time.monotonic() < deadline:
            if all(agent_status(post).get("connected") for post in self.layout.posts):
                return
            time.sleep(0.1)

    def stop(self) -> None:
        super().stop()
        if self.network is not None:
            self.network.stop()
        for post in self.layout.posts:
            if os.path.ismount(post.data):
                subprocess.run(["umount", "-l", str(post.data)], check=False)

    # -- before the start --------------------------------------------------------------------------------

    def _lay_lines(self) -> None:
        packets = Need.PACKETS in self.allowed.needs
        self.network = Lines(packets=packets, use_netem=not self.allowed.netem, seed=self.settings.seed)
        self.network.start()
        port = self.layout.ports["broker"]
        broker = (BROKER_HOST, port)
        self.lines[SERVER] = self.network.of_server((SERVER_HOST, port), broker)
        for number, post in enumerate(self.layout.posts, 1):
            self.lines[post.name] = self.network.of_post(number, port, broker)

    def _give_disks(self) -> None:
        for post in self.layout.posts:
            post.data.mkdir()
            if Need.DISK in self.allowed.needs:
                mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=700", "lamppost-chaos"]
                run_quietly([*mount, str(post.data)])

    def _write_agent(self, post: Post, claim: str) -> None:
        """The demo's file, with this lamppost's line, clock and spool."""
        host, port = self.lines[post.name].address
        sensor = sensor_table("air", post.kind, post.port, self.settings.cadence_s, "arm")
        text = agent_config(self.layout, post, self.settings, claim, sensor)
        text = _replaced(
            text,
            f'host = "127.0.0.1"\nport = {self.layout.ports["broker"]}',
            f'host = "{host}"\nport = {port}\nkeepalive_s = {KEEPALIVE_S}',
        )
        text = _replaced(text, str(self.layout.clock), str(clock_file(post)))
        spool = f"[spool]\nmin_free_bytes = {FREE_MIB << 20}\nmin_free_inodes = 0\n"
        post.config.write_text(f'{text}{spool}[model]\nruntime = "rule"\n')
        post.config.chmod(0o600)

    def _start_server(self) -> Child:
        """Kept alive: the supervisor is a victim too."""
        write_server_config(self.layout)
        names = ["localhost", BROKER_HOST, SERVER_HOST, *(line.address[0] for line in self.lines.values())]
        text = self.layout.server_config.read_text()
        text = _replaced(text, "[broker]\n", f'[broker]\nhost = "{SERVER_HOST}"\nlisten = "{BROKER_HOST}"\n')
        text = _replaced(text, 'clock_file = "clock.json"', 'clock_file = "server-clock.json"')
        text += f"[authority]\nserver_names = {json.dumps(sorted(set(names)))}\n[ingest]\nworkers = 2\n"
        self.layout.server_config.write_text(text)
        server = Child(
            "server",
            lamppost("serve", "--config", str(self.layout.server_config)),
            self.layout.logs / "serve.log",
            keep=True,
            environment={"LAMPPOST_ADMIN_PASSWORD": PASSWORD},
        )
        server.start()
        return server

    def _enrol(self) -> None:
        assert self.api is not None
        assert self.server is not None
        for post in self.layout.posts:
            at = {"latitude": post.place.latitude, "longitude": post.place.longitude}
            asked = {"device": post.name, "site": post.place.site, "district": post.place.district, **at}
            self._write_agent(post, self.api.call("POST", "/api/v1/claims", asked)["token"])
        self.enrolled = start.enrol(self.layout, self.server, self.api)

    def _agent(self, post: Post) -> Child:
        command = lamppost("agent", "run", "--config", str(post.config))
        line = self.lines[post.name]
        return Child(post.name, [*line.prefix, *command], self.layout.logs / f"{post.name}.log", keep=True)

    # -- clocks ------------------------------------------------------------------------------------------

    def _start_clocks(self) -> None:
        self.wall_zero_ms = _now_ms()
        self.scale = Scale(SPEED, self.street_zero_ms, self.wall_zero_ms)
        for post in self.layout.posts:
            self._write_clock(post.name)
        self._write_clock(SERVER)
        write_clock(self.layout, self.scale)  # the sensors': always right

    def put_clock_wrong(self, name: str, who: object, off_ms: int) -> None:
        """`name`: a lamppost or "server". `who` lets two faults last at once: what is wrong adds up."""
        self.clock_off_ms.setdefault(name, {})[who] = off_ms
        self._write_clock(name)

    def put_clock_right(self, name: str, who: object) -> None:
        self.clock_off_ms.get(name, {}).pop(who, None)
        self._write_clock(name)

    def _write_clock(self, name: str) -> None:
        assert self.scale is not None
        off_ms = sum(self.clock_off_ms.get(name, {}).values())
        wrong = replace(self.scale, street_zero_ms=self.scale.street_zero_ms + off_ms)
        files = {post.name: clock_file(post) for post in self.layout.posts}
        file = files.get(name, self.layout.root / "server-clock.json")
        draft = file.with_suffix(".part")
        draft.write_text(json.dumps(asdict(wrong)))
        draft.replace(file)


def clock_file(post: Post) -> Path:
    return post.directory / "clock.json"


def make_town(layout: Layout, asked: DemoSettings, allowed: Allowed) -> Town:
    return Town(asked, layout, allowed=allowed)


def _replaced(text: str, old: str, new: str) -> str:
    """The demo's file is the demo's to change: a word that is not there any more must be seen here."""
    assert old in text, f"the demo's configuration has no {old!r} any more"
    return text.replace(old, new, 1)


def _now_ms() -> int:
    return int(time.time() * 1000)


def _next_minute_ms() -> int:
    return _now_ms() // 1000 * 1000
