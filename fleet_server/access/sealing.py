"""Secrets that must be read again, encrypted where they lie: AES-256-GCM with the server's key file.

The file holds 256 random bits and never goes into the database or its backups. Who has only the database
reads no authenticator's key. Every role of the server that signs people in needs the same file; without it,
second factors have to be set up anew.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from fleet_server.errors import ConfigurationError, InternalError

KEY_BYTES = 32  # AES-256
NONCE_BYTES = 12  # NIST SP 800-38D, section 5.2.1.1; random, for far fewer than 2^32 values


class UnfitKeyFile(ConfigurationError):
    """The key file holds something else, or others may read it."""


class CannotUnseal(InternalError):
    """What was sealed does not open: another key file, or somebody changed the database."""


def load_or_make(path: Path) -> bytes:
    """The key in `path`; a new one, mode 0600, where there is no file. Raises UnfitKeyFile."""
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    except OSError as refused:
        raise UnfitKeyFile(f"{path}: cannot be read: {refused.strerror}.") from None
    try:
        _make(path)
        return _read(path)
    except OSError as refused:
        raise UnfitKeyFile(f"{path}: cannot be made: {refused.strerror}.") from None


def seal(key: bytes, plain: bytes, belongs_to: str) -> bytes:
    """nonce | ciphertext | tag. belongs_to: whose it is; moved to somebody else's row it does not open."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, belongs_to.encode())


def unseal(key: bytes, sealed: bytes, belongs_to: str) -> bytes:
    """Raises CannotUnseal."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce, ciphertext = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, belongs_to.encode())
    except (InvalidTag, ValueError):
        raise CannotUnseal(f"The secret of {belongs_to} does not open with this server's key file.") from None


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(KEY_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(whole, path)  # whoever comes second keeps what is there
    except FileExistsError:
        pass
    finally:
        whole.unlink()


def _read(path: Path) -> bytes:
    if path.stat().st_mode & 0o077:
        raise UnfitKeyFile(
            f"{path}: others may read the key of second factors.", remedy=f"Run chmod 600 {path}."
        )
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise UnfitKeyFile(f"{path}: does not hold {2 * KEY_BYTES} hexadecimal digits.")
    return key
