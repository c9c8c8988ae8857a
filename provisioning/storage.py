"""Files that hold identities: written whole or not at all, private from the first byte."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

PRIVATE_FILE_MODE = 0o600  # keys: the owner alone
PUBLIC_FILE_MODE = 0o644  # certificates, revocation list, configuration without secrets
PRIVATE_DIRECTORY_MODE = 0o700


def write_atomically(path: Path, content: bytes, mode: int | None = PRIVATE_FILE_MODE) -> None:
    """Replace `path` by `content` in one step that survives a power cut; the file never has a wider mode.

    mode None: for a filesystem without modes, some of which refuse to set one (FAT). Raises OSError.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode or PRIVATE_FILE_MODE)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def private_directory(path: Path) -> None:
    """Make the directory, its parents included, and close it to everyone but its owner."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(PRIVATE_DIRECTORY_MODE)


def folder_for(path: Path) -> None:
    """Make the directory private where there is none. One that is there stays as it is, as /etc/ssl has
    to: its files have modes of their own."""
    if not path.is_dir():
        private_directory(path)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
