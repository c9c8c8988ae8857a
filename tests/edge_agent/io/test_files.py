"""Files that must be whole: a disk that is nearly full, for real."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.io.files import write_atomically
from tests.support.tmpfs import small_disk


def test_a_disk_that_fills_up_in_the_middle_leaves_the_old_file_whole(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 256 * 1024) as disk:
        path = disk / "device.pem"
        write_atomically(path, b"the certificate in use")
        (disk / "filler").write_bytes(b"x" * 236 * 1024)
        with pytest.raises(OSError, match="No space left"):
            write_atomically(path, b"n" * 64 * 1024)
        assert path.read_bytes() == b"the certificate in use"
        assert sorted(each.name for each in disk.iterdir()) == ["device.pem", "filler"], "no draft stays"
