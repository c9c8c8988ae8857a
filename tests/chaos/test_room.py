"""What runs in a sealed room ends with its runner, however that ends, and leaves nothing on the machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.room import UNSHARE, seal
from tests.support.waiting import wait_until

GONE_S = 20.0
INSIDE = "mount -t tmpfs chaos-test-{mark} /mnt && touch {ready} && exec sleep {mark}"
RUNNER = "import sys; from tests.chaos.room import seal; print(seal(sys.argv[1:])); sys.exit(0)"


def living(mark: str) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if f"sleep\0{mark}\0".encode() in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left(tmp_path: Path, end: signal.Signals) -> None:
    if subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine allows no namespaces")
    mark, ready = f"98{os.getpid()}{int(end)}", tmp_path / "ready"
    inside = INSIDE.format(mark=mark, ready=ready)
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, "bash", "-c", f"trap 'exit 7' TERM; ({inside}) & wait"]
    )
    try:
        wait_until(ready.exists, GONE_S, "the room being furnished")
        wait_until(lambda: living(mark), GONE_S, "somebody living there")
        runner.send_signal(end)
        assert runner.wait(GONE_S) in (0, -signal.SIGKILL)
        wait_until(lambda: not living(mark), GONE_S, "nobody left in the room")
    finally:
        runner.kill()
        runner.wait()
    assert f"chaos-test-{mark}" not in Path("/proc/mounts").read_text()


def test_a_machine_without_rooms_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    refused = seal(["true"])
    assert isinstance(refused, str)
    assert "unshare" in refused
