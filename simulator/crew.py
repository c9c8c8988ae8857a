"""The processes of a simulation, from their parent's side: started, heard, stopped."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulator.job import Job
from simulator.settings import CannotStart
from simulator.tally import Tally, total

READ_BYTES = 1 << 20


@dataclass
class Worker:
    """One process and what it has said so far."""

    process: subprocess.Popen[bytes]
    log: Path
    unread: bytes = b""
    started: bool = False
    tally: Tally = field(default_factory=Tally)
    outcomes: list[dict[str, Any]] | None = None
    failed: str = ""

    def hear(self, more: bytes) -> None:
        *lines, self.unread = (self.unread + more).split(b"\n")
        for line in lines:
            told = json.loads(line)
            if "tally" in told:
                self.tally = Tally.heard(told["tally"])
            self.started = self.started or bool(told.get("started"))
            self.outcomes = told.get("outcomes", self.outcomes)
            self.failed = told.get("failed", self.failed)


class Crew:
    """Leave it (`with`) and nothing of it is left."""

    def __init__(self, jobs: list[Job], logs: Path) -> None:
        self._selector = selectors.DefaultSelector()
        self.workers: list[Worker] = []
        for number, job in enumerate(jobs, start=1):
            worker = _start(job, logs / f"process-{number}.log")
            self.workers.append(worker)
            assert worker.process.stdout is not None
            self._selector.register(worker.process.stdout, selectors.EVENT_READ, worker)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            assert worker.process.stdin is not None
            worker.process.stdin.close()
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.kill()
            worker.process.wait()
            assert worker.process.stdout is not None
            worker.process.stdout.close()
        self._selector.close()

    @property
    def tally(self) -> Tally:
        return total([worker.tally for worker in self.workers])

    @property
    def started(self) -> bool:
        return all(worker.started for worker in self.workers)

    @property
    def done(self) -> bool:
        return all(worker.outcomes is not None for worker in self.workers)

    @property
    def outcomes(self) -> list[dict[str, Any]]:
        """Of the lampposts whose process came to its end."""
        return [each for worker in self.workers for each in worker.outcomes or ()]

    @property
    def pids(self) -> list[int]:
        return [worker.process.pid for worker in self.workers]

    def hear(self, wait_s: float) -> None:
        """Take in what they say for so long. Raises CannotStart where one of them ended before its time."""
        deadline_s = time.monotonic() + wait_s
        while (left_s := deadline_s - time.monotonic()) > 0 and self._selector.get_map():
            for key, _ in self._selector.select(left_s):
                more = os.read(key.fd, READ_BYTES)
                if more:
                    key.data.hear(more)
                else:
                    self._selector.unregister(key.fileobj)
                    _check_it_was_done(key.data)

    def stop(self) -> None:
        """No more readings; drain, say goodbye, tell the outcomes."""
        for worker in self.workers:
            assert worker.process.stdin is not None
            worker.process.stdin.write(b"stop\n")
            worker.process.stdin.flush()


def _start(job: Job, log: Path) -> Worker:
    with log.open("ab") as errors:
        # a session of its own: Ctrl-C reaches the parent alone, which lets them drain
        process = subprocess.Popen(
            [sys.executable, "-m", "simulator.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    assert process.stdin is not None
    process.stdin.write(job.text().encode())
    process.stdin.flush()
    return Worker(process, log)


def _check_it_was_done(worker: Worker) -> None:
    status = worker.process.wait()
    if worker.outcomes is None:
        words = worker.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        why = worker.failed or (words[-1] if words else "it said nothing")
        raise CannotStart(f"a process of the simulation ended with status {status}: {why}")
