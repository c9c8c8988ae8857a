"""A small disk of its own, for tests that fill it. Needs root; skips without."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size_bytes: int, inodes: int = 0) -> Iterator[Path]:
    """A tmpfs of this size on `folder`, with so many inodes (0: as many as it likes)."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk of its own")
    folder.mkdir()
    options = f"size={size_bytes}" + (f",nr_inodes={inodes}" if inodes else "")
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no disk of its own here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_disk(disk: Path) -> Path:
    """Use up every byte that is free. Returns the file that holds them."""
    filler = disk / "filler"
    handle = os.open(filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        while os.write(handle, b"x" * 4096):
            pass
    except OSError as error:
        assert error.errno == errno.ENOSPC  # noqa: PT017 what this is for
    finally:
        os.close(handle)
    return filler


def fill_inodes(disk: Path) -> list[Path]:
    """Use up every inode that is free. Returns the empty files that hold them."""
    made: list[Path] = []
    while True:
        try:
            (disk / f"empty-{len(made)}").touch()
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017 what this is for
            return made
        made.append(disk / f"empty-{len(made)}")


def read_only(disk: Path, yes: bool) -> None:
    """Mount it anew; nothing may be open for writing there."""
    subprocess.run(["mount", "-o", f"remount,{'ro' if yes else 'rw'}", str(disk)], check=True)
