"""A server to measure: PostgreSQL with its production settings, Mosquitto as generated, real ingest roles."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet_server.embedded_server import EmbeddedServer
from fleet_server.migrations import upgrade
from tests.fleet_server.telemetry.support import Desk, Post
from tests.support.mosquitto import MosquittoBroker
from tests.support.waiting import wait_until

READY_WITHIN_S = 60.0
WORKERS = 2
SAMPLES = "sample_standard"  # the physical table that default sensor units are stored in
FILLED = [
    SAMPLES,
    "batch",
    "batch_cursor",
    "unit_minute",
    "latest_unit",
    "rollup_dirty",
    "tombstone",
    "dead_letter",
    "ingest_counter",
]


@dataclass
class Bench:
    """Everything on this machine. `desk` is a connection of ours."""

    folder: Path
    server: EmbeddedServer
    broker: MosquittoBroker
    desk: Desk
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_workers(self, count: int = WORKERS) -> None:
        """The role `ingest` as the supervisor starts it."""
        files = self.broker.server_identity()
        config = self.folder / "server.toml"
        config.write_text(
            f'data_dir = "{self.folder}/data"\n[database]\nurl = "{self.server.url()}"\n'
            f'[broker]\nport = {self.broker.port}\nmanaged = false\nca_file = "{files.ca}"\n'
            f'certificate_file = "{files.certificate}"\nkey_file = "{files.key}"\n'
        )
        for instance in range(1, count + 1):
            ready = self.folder / f"ready-{instance}"
            ready.unlink(missing_ok=True)
            environment = os.environ | {
                "LAMPPOST_READY_FILE": str(ready),
                "LAMPPOST_INSTANCE": str(instance),
            }
            command = [sys.executable, "-m", "lamppost", "serve", "--role", "ingest", "--config", str(config)]
            self.workers.append(subprocess.Popen(command, env=environment))
            wait_until(ready.exists, READY_WITHIN_S, "an ingest worker")

    def stop_workers(self) -> None:
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.wait(READY_WITHIN_S)
        self.workers.clear()

    def empty(self) -> None:
        """No samples and nothing derived; devices and sensor units stay."""
        self.desk.connection.execute(f"TRUNCATE {', '.join(FILLED)}")
        self.desk.connection.execute("CHECKPOINT")

    def fleet(self, number: int, slots: int) -> list[Post]:
        """Registered lampposts whose sensor is declared."""
        posts = [Post(f"lamp-{i:04}") for i in range(number)]
        self.desk.register(*posts)
        self.desk.take(*(post.declare(slots=slots) for post in posts))
        return posts

    def rows(self) -> int:
        found: int = self.desk.one(f"SELECT count(*) FROM {SAMPLES}")
        return found


@contextmanager
def bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="lamppost-bench-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        broker = MosquittoBroker(folder)
        broker.start()
        try:
            with EmbeddedServer(folder / "postgres") as server:
                upgrade(server.url())
                here = Bench(folder, server, broker, Desk(server.url(), "bench"))
                try:
                    yield here
                finally:
                    here.stop_workers()
                    here.desk.close()
        finally:
            broker.stop()


def copied_out(desk: Desk, slots: Sequence[int]) -> tuple[str, bytes]:
    """COPY's command and stream, prepared, of the rows that are in the table now, sorted by key."""
    names = ", ".join(["sensor_unit", "time", *(f"s{slot}" for slot in slots), "flags"])
    query = f"COPY (SELECT {names} FROM {SAMPLES} ORDER BY sensor_unit, time) TO STDOUT (FORMAT binary)"
    with desk.connection.cursor() as cursor, cursor.copy(query) as copy:
        stream = b"".join(bytes(part) for part in copy)
    return f"COPY {SAMPLES} ({names}) FROM STDIN (FORMAT binary)", stream


def copy_in(desk: Desk, command: str, stream: bytes) -> None:
    """One COPY, one transaction."""
    connection: Any = desk.connection
    with connection.transaction(), connection.cursor() as cursor, cursor.copy(command) as copy:
        copy.write(stream)
