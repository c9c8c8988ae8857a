"""The key that signs the pages' cookies: made once, readable by its owner alone."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from fleet_server.errors import ConfigurationError

SECRET_BYTES = 32  # 256 bits, as the HMAC-SHA-256 family takes
SECRET_MIN_CHARACTERS = 32  # a hand-written key shorter than this is a mistake


class UnfitSecret(ConfigurationError):
    """The secret file holds too little, or others may read it; the text says what to do."""


def load_or_make(path: Path) -> str:
    """The key in `path`; a new one, mode 0600, where there is no file.

    Raises UnfitSecret, and OSError where the folder cannot be written.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:  # another process of the same server was first
        return _read(path)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secrets.token_urlsafe(SECRET_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return _read(path)


def _read(path: Path) -> str:
    if path.stat().st_mode & 0o077:
        raise UnfitSecret(
            f"{path}: others may read the cookies' key.",
            remedy=f"If it is that key, run chmod 600 {path}; else set ui.secret_file to a file of its own.",
        )
    secret = path.read_text(encoding="utf-8").strip()
    if len(secret) < SECRET_MIN_CHARACTERS:
        raise UnfitSecret(
            f"{path}: has fewer than {SECRET_MIN_CHARACTERS} characters.",
            remedy="Delete it: a new one is made.",
        )
    return secret
