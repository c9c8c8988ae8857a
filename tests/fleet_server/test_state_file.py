"""The file that says what runs: for others to read, never a reason to stop the server."""

from __future__ import annotations

import json
from pathlib import Path

from fleet_server.state_file import NAME, StateFile


def test_a_disk_that_takes_nothing_does_not_stop_the_supervisor(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    in_the_way = (tmp_path / NAME).with_suffix(".part")
    in_the_way.mkdir()
    file.write({"ready": False})
    assert not (tmp_path / NAME).exists()
    in_the_way.rmdir()
    file.write({"ready": False})
    assert json.loads((tmp_path / NAME).read_text()) == {"ready": False}
    file.remove()
