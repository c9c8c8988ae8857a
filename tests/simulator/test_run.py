"""`lamppost simulate` against a real broker: every sample exactly once, whatever happens to the broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.acking_server import AckingServer
from tests.support.mosquitto import MosquittoBroker
from tests.support.waiting import wait_until
from wire_contract.classes import Class
from wire_contract.messages import SampleBatch

LAMPPOSTS = 20
MARK = "LAMPPOST_TEST_SIMULATION"
# By station: PM2.5 and PM10 in ug/m3 on the hour.
COURSES = {
    "Dongsi": ((20.0, 50.0), (60.0, 100.0), (30.0, 40.0)),
    "Tiantan": ((200.0, 400.0), (100.0, 300.0), (300.0, 600.0)),
}


class Run:
    """One `lamppost simulate`."""

    def __init__(self, broker: MosquittoBroker, folder: Path, *options: str) -> None:
        self.folder, self.report, self.ledger = (
            folder / "sim",
            folder / "report.json",
            folder / "ledger.jsonl",
        )
        self.command = [
            *(sys.executable, "-m", "lamppost", "simulate", "--devices", str(LAMPPOSTS)),
            *("--broker", f"127.0.0.1:{broker.port}", "--ca", str(broker.authority.files.trust)),
            *("--authority", str(broker.authority.files.directory), "--directory", str(self.folder)),
            *("--report", str(self.report), "--ledger", str(self.ledger), *options),
        ]
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=os.environ | {MARK: str(self.folder)},
        )

    def end(self, how: signal.Signals | None = None, timeout_s: float = 90.0) -> tuple[int, str]:
        """(status, what it said)."""
        assert self.process is not None
        if how is not None:
            self.process.send_signal(how)
        said, _ = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, said

    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.report.read_text())
        return found

    def entries(self) -> dict[str, tuple[int, int, int]]:
        lines = map(json.loads, self.ledger.read_text().splitlines())
        return {each["name"]: (each["samples"], each["times_ms"], each["values"]) for each in lines}

    def workers(self) -> list[int]:
        """Processes of ours that live."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.folder}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:
                continue
        return found

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def server(broker: MosquittoBroker) -> Iterator[AckingServer]:
    made = AckingServer.on(broker).start()
    yield made
    made.stop()


def stored(server: AckingServer) -> dict[str, tuple[int, int, int]]:
    """Lamppost -> samples, the sum of their times, the sum of their values; each sample once."""
    seen: dict[str, set[tuple[int, int, tuple[int, ...]]]] = {}
    with server.lock:
        for (name, _, cls), stream in server.streams.items():
            if cls not in (Class.LIVE, Class.HISTORY):
                continue
            for message in stream.stored.values():
                assert isinstance(message, SampleBatch)
                for block in message.blocks:
                    rows = zip(block.times_ms, zip(*block.columns, strict=True), strict=True)
                    for time_ms, values in rows:
                        row = (block.unit, time_ms, values)
                        assert row not in seen.setdefault(name.partition("/")[2], set()), "stored twice"
                        seen[name.partition("/")[2]].add(row)
    return {
        name: (len(rows), sum(time for _, time, _ in rows), sum(sum(values) for *_, values in rows))
        for name, rows in seen.items()
    }


def test_the_broker_dies_in_the_middle(broker: MosquittoBroker, server: AckingServer, tmp_path: Path) -> None:
    """With a backlog to drain, on two processes; ended by Ctrl-C."""
    run = Run(broker, tmp_path, "--every", "1s", "--backlog", "2m", "--processes", "2", "--drain", "60s")
    server._client.reconnect_delay_set(1, 1)
    run.start()
    try:
        wait_until(lambda: len(stored(server)) == LAMPPOSTS, 60.0, "a sample of every lamppost")
        broker.kill()
        broker.start()
        before = sum(count for count, *_ in stored(server).values())
        more = before + 5 * LAMPPOSTS
        wait_until(lambda: sum(c for c, *_ in stored(server).values()) >= more, 60.0, "the fleet to be back")
        assert len(run.workers()) == 3
        status, said = run.end(signal.SIGINT)
    finally:
        run.kill()
    assert status == 0, said
    assert "everything that was spooled is acked" in said
    told = run.told()
    assert told["complete"]
    assert told["lost_connections"] >= LAMPPOSTS
    assert told["handshakes"] >= 2 * LAMPPOSTS
    assert told["taken"] == told["acked"] >= LAMPPOSTS * 120
    assert run.entries() == stored(server)
    assert server.reformed() == 0
    left = sorted(path.name for path in run.folder.iterdir())
    assert left == ["identities"], "keys are kept for the next run, and nothing else"
    assert len(list((run.folder / "identities").iterdir())) == LAMPPOSTS
    assert not run.workers()


def test_what_was_not_acked_is_kept_and_sent_the_next_time(broker: MosquittoBroker, tmp_path: Path) -> None:
    broker.stop()
    run = Run(broker, tmp_path, "--every", "1s", "--for", "2s", "--drain", "1s", "--ramp", "1000")
    run.start()
    status, said = run.end()
    assert status == 1, said
    assert f"NOT everything is acked, at {LAMPPOSTS} lampposts" in said
    assert "the next run with this --directory sends it" in said
    first = run.told()
    assert first["acked"] == 0
    assert first["waiting"] == first["taken"] >= LAMPPOSTS
    assert first["lost"] == 0

    broker.start()
    server = AckingServer.on(broker).start()
    again = Run(broker, tmp_path, "--every", "1h", "--for", "3s", "--ramp", "1000")
    again.start()
    status, said = again.end()
    server.stop()
    assert status == 0, said
    second = again.told()
    assert second["left"] == first["waiting"]
    assert second["acked"] == second["left"] + second["taken"]
    assert sum(count for count, *_ in stored(server).values()) == second["acked"]


def test_what_a_recording_says_arrives(broker: MosquittoBroker, tmp_path: Path) -> None:
    """Two stations in turn, each with its own course over two hours; every reading is acked."""
    recording = tmp_path / "hourly.csv"
    rows = [
        f"2026-01-10 0{hour}:00,{station},{fine},{coarse}"
        for station, course in COURSES.items()
        for hour, (fine, coarse) in enumerate(course)
    ]
    recording.write_text("\n".join(["datetime,station,PM2.5,PM10", *rows, ""]))
    server = AckingServer.on(broker).start()
    options = ("--source", str(recording), "--station", ",".join(COURSES), "--kinds", "sds011")
    run = Run(
        broker, tmp_path, *options, "--every", "10m", "--backlog", "2h", "--for", "1s", "--ramp", "1000"
    )
    run.start()
    try:
        status, said = run.end()
    finally:
        run.kill()
        server.stop()
    assert status == 0, said
    assert run.entries() == stored(server)
    told = run.told()
    assert told["taken"] == told["acked"] >= LAMPPOSTS * 12
    courses = measured(server)
    assert len(courses) == LAMPPOSTS
    for name, course in courses.items():
        index = int(name.removeprefix("sim-")) - 1
        truth = list(COURSES.values())[index % len(COURSES)]
        begins_ms = min(course)
        for time_ms, found in course.items():
            past_h = min((time_ms - begins_ms) / 3_600_000, 1.999)
            before, after = truth[int(past_h)], truth[int(past_h) + 1]
            for value, low, high in zip(found, before, after, strict=True):
                right = low + (high - low) * (past_h % 1)
                # its gain is within 8 %, its noise 2 % and a tenth of a microgram
                assert value == pytest.approx(right, rel=0.2, abs=1.0), (name, past_h)


def measured(server: AckingServer) -> dict[str, dict[int, tuple[float, ...]]]:
    """Lamppost -> time -> PM2.5 and PM10 in ug/m3; of an SDS011, which tells tenths."""
    found: dict[str, dict[int, tuple[float, ...]]] = {}
    for (name, _, cls), stream in server.streams.items():
        for message in stream.stored.values() if cls in (Class.LIVE, Class.HISTORY) else ():
            assert isinstance(message, SampleBatch)
            for block in message.blocks:
                for time_ms, *values in zip(block.times_ms, *block.columns, strict=True):
                    tenths = tuple(value / 10 for value in values if value is not None)
                    found.setdefault(name.partition("/")[2], {})[time_ms] = tenths
    return found


def test_without_certificates_it_says_who_gives_them(broker: MosquittoBroker, tmp_path: Path) -> None:
    run = Run(broker, tmp_path)
    place = run.command.index("--authority")
    del run.command[place : place + 2]
    run.start()
    status, said = run.end()
    assert status == 3
    assert "has no certificate of sim-00001 and 19 others" in said
    run.command += ["--authority", str(tmp_path / "nothing")]
    run.start()
    status, said = run.end()
    assert status == 3
    assert "there is no certificate authority" in said
