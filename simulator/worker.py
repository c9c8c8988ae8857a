"""`python -m simulator.worker`: one process. The first line of its input is the job, `stop` ends it in order.

Its output is JSON lines: {"tally"} each second, {"started"} once, {"outcomes", "tally"} at the end, or
{"failed"}. The end of its input is the end of who started it: it goes at once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import sys
from dataclasses import asdict
from typing import Any

from edge_agent.errors import AgentError
from simulator.engine import Engine
from simulator.job import Job
from simulator.mqtt import share_tables

TELL_EVERY_S = 1.0


class Commands:
    """What the parent says: nothing yet, stop in order, or (gone) at once."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.gone = False
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), self._read)

    def _read(self) -> None:
        said = os.read(sys.stdin.fileno(), 4096)
        if not said:
            self.gone = True
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        self.stop.set()


def tell(**what: Any) -> None:
    """One line to the parent."""
    print(json.dumps(what), flush=True)


async def _tell_each_second(engine: Engine) -> None:
    while True:
        await asyncio.sleep(TELL_EVERY_S)
        tell(tally=engine.tally.told())
        engine.tally.behind_s = 0.0


async def run(job: Job) -> None:
    """Until told to stop. Raises AgentError."""
    share_tables()
    commands, engine = Commands(), Engine(job)
    telling = asyncio.create_task(_tell_each_second(engine))
    await engine.start(lambda: not commands.stop.is_set())
    tell(started=True)
    await commands.stop.wait()
    outcomes = await engine.finish(0.0 if commands.gone else job.drain_s)
    telling.cancel()
    tell(tally=engine.tally.told(), outcomes=[asdict(each) for each in outcomes])


def main() -> int:
    """0: it ended in order."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="%(asctime)s %(message)s")
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as unbuffered:
        job = Job.read(unbuffered.readline().decode())  # what follows the first line is for Commands
    try:
        asyncio.run(run(job))
    except (AgentError, OSError) as error:
        tell(failed=f"{error}")
        return 1
    except BrokenPipeError:
        return 1  # who started it is gone
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
