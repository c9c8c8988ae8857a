"""Many units in one loop: what may be asked of it when it is over."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from firmware_bridge.emulator.host import EmulatorHost
from firmware_bridge.emulator.plan import build_units
from tests.support.waiting import wait_until


def test_who_calls_after_its_end_reaches_nobody(tmp_path: Path) -> None:
    """Whoever stops it races with its loop; a number of a closed file may be another's by then."""
    unit = {"name": "pms", "kind": "pms5003", "link": str(tmp_path / "pms")}
    host = EmulatorHost(build_units({"units": [unit]}))
    host.start()
    thread = threading.Thread(target=host.run, daemon=True)
    thread.start()
    host.stop()
    thread.join(30)
    wait_until(lambda: not thread.is_alive(), 10.0, "the end of the loop")
    others = [os.pipe() for _ in range(4)]  # take the numbers that have become free
    for read, _ in others:
        os.set_blocking(read, False)
    host.stop()
    host.unplug("pms")
    for read, write in others:
        try:
            heard = os.read(read, 1)
        except BlockingIOError:
            heard = b""
        assert heard == b""
        os.close(read)
        os.close(write)
