"""The role `worker`: loops that bring tables to what they should be. Cut off anywhere, the next goes on."""

from __future__ import annotations

import signal
import threading
from typing import Any

from fleet_server.config import ServerConfig
from fleet_server.context import Context
from fleet_server.ready import notify_ready
from fleet_server.telemetry.upkeep.loops import run_loops


def main(config: ServerConfig) -> int:
    """Run until SIGTERM or SIGINT."""
    context = Context.of(config)
    ended = threading.Event()

    def end(_signal: int, _frame: Any) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    notify_ready()
    run_loops(context, ended)
    return 0
