"""The key that checkpoints are signed with (Ed25519, RFC 8032), and the public ones that verify them.

DATA_DIR/audit/
  checkpoint.key            private, the owner's alone: who has it can forge the log
  checkpoint-KEYID.pem      public; those of earlier keys stay. Give it to whoever verifies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fleet_server.audit.verifying import Checkpoint, Signed, signed_bytes
from fleet_server.errors import ConfigurationError
from provisioning.storage import PUBLIC_FILE_MODE, private_directory, write_atomically

FOLDER = "audit"
PRIVATE = "checkpoint.key"
_PUBLIC = "checkpoint-*.pem"
ID_CHARACTERS = 16  # 64 bits of the key's hash: names it, and proves nothing by itself

PublicKeys = Mapping[str, Ed25519PublicKey]


def key_id(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:ID_CHARACTERS]


def ensure(data_dir: Path) -> bool:
    """Make the key where there is none; says whether it did. Raises ConfigurationError, OSError."""
    folder = data_dir / FOLDER
    if (folder / PRIVATE).exists():
        _write_public(folder, load(data_dir))
        return False
    private_directory(folder)
    made = Ed25519PrivateKey.generate()
    write_atomically(
        folder / PRIVATE,
        made.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    _write_public(folder, made)
    return True


def load(data_dir: Path) -> Ed25519PrivateKey:
    """Raises ConfigurationError."""
    path = data_dir / FOLDER / PRIVATE
    remedy = "`lamppost serve` makes it at its start; a copy belongs to your backups."
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise ConfigurationError(f"{path}, which signs checkpoints: {reason}.", remedy=remedy) from error
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{path} is no private key in PEM without a passphrase.") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(f"{path} is no Ed25519 key.", remedy=remedy)
    return key


def public_files(data_dir: Path) -> list[Path]:
    return sorted((data_dir / FOLDER).glob(_PUBLIC))


def read_public(files: Iterable[Path]) -> PublicKeys:
    """By their id. Raises ConfigurationError."""
    keys = {}
    for path in files:
        try:
            key = serialization.load_pem_public_key(path.read_bytes())
        except OSError as error:
            raise ConfigurationError(f"{path}: {error.strerror or 'it cannot be read'}.") from error
        except ValueError as error:
            raise ConfigurationError(f"{path} is no public key in PEM.") from error
        if not isinstance(key, Ed25519PublicKey):
            raise ConfigurationError(f"{path} is no Ed25519 key.")
        keys[key_id(key)] = key
    return keys


def signed_by(keys: PublicKeys) -> Signed:
    """Did one of `keys` sign a checkpoint?"""

    def signed(checkpoint: Checkpoint) -> bool | None:
        key = keys.get(checkpoint.key_id)
        if key is None:
            return None
        what = signed_bytes(checkpoint.number, checkpoint.hash, checkpoint.at, checkpoint.kind)
        try:
            key.verify(checkpoint.signature, what)
        except InvalidSignature:
            return False
        return True

    return signed


def _write_public(folder: Path, key: Ed25519PrivateKey) -> None:
    public = key.public_key()
    path = folder / f"checkpoint-{key_id(public)}.pem"
    if not path.exists():
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        write_atomically(path, pem, PUBLIC_FILE_MODE)
