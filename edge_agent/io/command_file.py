"""data_dir/commands.json: which commands were begun here, kept over power cuts."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge_agent.core.commanding import Book
from edge_agent.errors import SpoolFull
from edge_agent.io.files import write_atomically

LARGEST_BYTES = 4 << 20  # MOST entries with a result for each of 64 sensors; a device must survive any file


class CommandFile:
    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Book:
        """What was kept; an empty book where there is none, or none that can be read."""
        try:
            with self._path.open("rb") as file:
                content = file.read(LARGEST_BYTES + 1)
            return msgspec.json.decode(content, type=Book) if len(content) <= LARGEST_BYTES else Book()
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
            return Book()

    def save(self, book: Book) -> None:
        """On the disk when this returns; the old file or the new one after a power cut. Raises SpoolFull."""
        try:
            write_atomically(self._path, msgspec.json.encode(book))
        except OSError as error:
            raise SpoolFull(f"{self._path}: {error.strerror}", "Free space on this disk (df -h).") from error
