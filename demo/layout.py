"""Where a demo city lives on disk, and the configuration files that its processes are given."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from demo.places import Place, place
from demo.ports import NoPort, Ports, claim_ports
from demo.settings import DemoSettings, WrongArgument

MARKER = ".lamppost-demo"  # only a folder that a demo made is ever emptied
TENANT = "demo"
KINDS = ("pms5003", "sds011", "sps30", "pms5003t")
RETRY_MAX_S = 2.0  # the demo's outages last seconds, so waiting a minute to try again would hide the recovery


@dataclass(frozen=True)
class Post:
    """One lamppost: its name, the kind of its sensor, where it stands, and its files."""

    name: str
    kind: str
    directory: Path
    place: Place

    @property
    def config(self) -> Path:
        return self.directory / "agent.toml"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def port(self) -> Path:
        return self.directory / "ttyS0"

    @property
    def ledger(self) -> Path:
        return self.directory / "ledger.jsonl"


@dataclass(frozen=True)
class Layout:
    """The city's folder, ports and lampposts. `lock` and `claimed` keep other demos off them."""

    root: Path
    ports: dict[str, int]
    posts: tuple[Post, ...]
    lock: IO[str]
    claimed: Ports

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def server_config(self) -> Path:
        return self.root / "server.toml"

    @property
    def clock(self) -> Path:
        return self.root / "clock.json"

    @property
    def plan(self) -> Path:
        return self.root / "sensors.json"

    @property
    def trust(self) -> Path:
        """The certificate that devices verify the server by: what the technician's card carries."""
        return self.root / "city-ca.pem"


def lay_out(settings: DemoSettings) -> Layout:
    """Make the folder anew and choose ports. Raises WrongArgument where the folder is someone else's."""
    root = settings.directory
    if root.exists() and not root.is_dir():
        raise WrongArgument(f"--dir {root}: is not a folder")
    if root.exists() and any(root.iterdir()):
        if not (root / MARKER).exists():
            raise WrongArgument(f"--dir {root}: is not empty and no demo made it; give another folder")
        _hold(root).close()
        shutil.rmtree(root)
    root.mkdir(parents=True, exist_ok=True)
    (root / MARKER).write_text("Made by `lamppost demo`, which empties it at its next start.\n")
    lock = _hold(root)
    posts = tuple(_posts(settings, root))
    for post in posts:
        post.directory.mkdir(parents=True)
    claimed = _claimed()
    return Layout(root, claimed.by_use, posts, lock, claimed)


def _claimed() -> Ports:
    try:
        return claim_ports()
    except NoPort as none:
        raise WrongArgument(str(none)) from None


def _hold(root: Path) -> IO[str]:
    """Lock the folder until the file is closed or this process ends, however it ends."""
    marker = (root / MARKER).open()
    try:
        fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        marker.close()
        raise WrongArgument(
            f"--dir {root}: another demo runs in it; stop that one or give another folder"
        ) from None
    return marker


def _posts(settings: DemoSettings, root: Path) -> Iterable[Post]:
    for i in range(settings.posts):
        name = f"post-{i + 1:02d}"
        yield Post(name, KINDS[i % len(KINDS)], root / name, place(i))


def write_server_config(layout: Layout) -> None:
    """The server of one city, everything on loopback; commit times are kept to measure latency."""
    ports = layout.ports
    layout.server_config.write_text(
        f"""# Written by `lamppost demo`.
data_dir = "server"
[tenant]
name = "{TENANT}"
[database]
commit_timestamps = true
[broker]
port = {ports["broker"]}
[api]
listen = "127.0.0.1:{ports["api"]}"
device_listen = "127.0.0.1:{ports["device"]}"
[ui]
listen = "127.0.0.1:{ports["ui"]}"
[log]
files = true
[bench]
clock_file = "clock.json"
"""
    )


def sensor_table(name: str, kind: str, port: Path, every_s: float, site: str) -> str:
    """One [[sensor]] of agent.toml."""
    return f"""[[sensor]]
name = "{name}"
kind = "{kind}"
port = "{port}"
every_s = {every_s:g}
site = "{site}"
"""


def agent_config(layout: Layout, post: Post, settings: DemoSettings, claim: str, sensors: str) -> str:
    """agent.toml of one lamppost. `sensors`: its [[sensor]] tables."""
    return f"""# Written by `lamppost demo`.
[device]
tenant = "{TENANT}"
name = "{post.name}"
site = "{post.place.site}"
latitude = {post.place.latitude}
longitude = {post.place.longitude}
data_dir = "{post.data}"
[server]
host = "127.0.0.1"
port = {layout.ports["broker"]}
[enrolment]
url = "https://127.0.0.1:{layout.ports["device"]}"
claim = "{claim}"
ca_file = "{layout.trust}"
{sensors}
[telemetry]
flush_interval_s = {settings.flush_s:g}
[bench]
clock_file = "{layout.clock}"
backoff_max_s = {RETRY_MAX_S:g}
"""


def write_agent_config(layout: Layout, post: Post, settings: DemoSettings, claim: str) -> None:
    """The agent's file with its one sensor."""
    sensor = sensor_table("air", post.kind, post.port, settings.cadence_s, "arm")
    post.config.write_text(agent_config(layout, post, settings, claim, sensor))
    post.config.chmod(0o600)  # it holds the claim
