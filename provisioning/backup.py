"""The authority's backup: one encrypted file, and its return, proven by fingerprints.

A root's key that is in a token is not within: it does not leave that. `restore` says if the token is here.

one line of JSON     format, how the key is made, the city, the fingerprints; readable, and authenticated
the rest             AES-256-GCM over a tar of the directory; its key by scrypt (RFC 7914) of the passphrase
"""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import shutil
import tarfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import Encoding

from provisioning import root_keys
from provisioning.authority import Authority
from provisioning.authority_files import FIRST_ROOT
from provisioning.errors import AuthorityExists, BackupRefused, BadSetting
from provisioning.root_keys import Kept
from provisioning.storage import PRIVATE_FILE_MODE, private_directory, write_atomically

FORMAT = "lamppost authority backup 1"
COST, BLOCK, LANES = 1 << 16, 8, 1  # scrypt: 64 MiB and a quarter of a second for each guess
PASSPHRASE_LEAST = 12  # characters; the file may lie on a stick in a drawer for years
WITHIN = {
    Kept.AWAY: "not within (kept apart)", Kept.OPEN: "within", Kept.LOCKED: "within",
    Kept.TOKEN: "not within (in a token)",
}  # fmt: skip
MOST_BYTES = 64 * 1024 * 1024  # a revocation list of a million entries is less


def back_up(directory: Path, passphrase: str, file: Path) -> dict[str, str]:
    """Write the backup; what it holds. Raises AuthorityError, BadSetting, OSError."""
    if len(passphrase) < PASSPHRASE_LEAST:
        raise BadSetting(f"a backup's passphrase has at least {PASSPHRASE_LEAST} characters")
    authority = Authority.load_issuing(directory)
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    facts = _facts(authority)
    header = {
        "format": FORMAT, "scrypt": {"n": COST, "r": BLOCK, "p": LANES, "salt": salt.hex()},
        "nonce": nonce.hex(), "made_at": datetime.now(UTC).isoformat(timespec="seconds"), **facts,
    }  # fmt: skip
    head = json.dumps(header, sort_keys=True).encode() + b"\n"
    sealed = AESGCM(_key(passphrase, salt)).encrypt(nonce, _packed(directory), head)
    write_atomically(file, head + sealed, PRIVATE_FILE_MODE)
    restored = _opened(file, passphrase)[1]  # a backup that was never read is none
    if restored != _packed(directory):
        raise BackupRefused(f"{file} does not hold what was written", "Write it to another medium")
    tokens = {
        name: f"{root_keys.shown_address(directory / name)}: keep the token" for name in _tokens(directory)
    }
    return {"backup": str(file), **facts, **_told("not_within", tokens)}


def restore(file: Path, passphrase: str, directory: Path) -> dict[str, str]:
    """Unpack it where there is nothing yet, and prove that it is what its head says.

    Raises BackupRefused, AuthorityExists, AuthorityError (AuthorityMismatch: a root's token is here and holds
    another key), OSError.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise AuthorityExists(f"{directory} is not empty", "Restore beside it, then move")
    header, packed = _opened(file, passphrase)
    making = directory.with_name(directory.name + ".restoring")
    shutil.rmtree(making, ignore_errors=True)
    private_directory(making)
    try:
        _unpack(packed, making)
        facts = _facts(Authority.load_issuing(making))
        wrong = [name for name, value in facts.items() if header.get(name) != value]
        if wrong:
            raise BackupRefused(f"{file} holds another {', '.join(wrong)} than its head says")
        tokens = {name: root_keys.seen_in_token(making / name) for name in _tokens(making)}
        if directory.exists():
            directory.rmdir()
        making.rename(directory)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return {
        "directory": str(directory), "made_at": str(header["made_at"]), **facts, **_told("tokens", tokens)
    }  # fmt: skip


def _facts(authority: Authority) -> dict[str, str]:
    lists = b"".join(each.public_bytes(Encoding.DER) for each in authority.revocation_lists())
    return {
        "city": authority.city,
        "root": hashlib.sha256(authority.root.public_bytes(Encoding.DER)).hexdigest(),
        "issuing": hashlib.sha256(authority.issuing.public_bytes(Encoding.DER)).hexdigest(),
        "revoked": hashlib.sha256(lists).hexdigest(),
        "root_key": WITHIN[root_keys.kept(authority.files.root_key.parent)],
    }


def _tokens(directory: Path) -> list[str]:
    """The roots' folders whose keys are in tokens."""
    return sorted(
        each.name for each in directory.glob(f"{FIRST_ROOT}*") if root_keys.kept(each) is Kept.TOKEN
    )


def _told(name: str, tokens: Mapping[str, str]) -> dict[str, str]:
    return {name: "; ".join(f"{folder}: {what}" for folder, what in tokens.items())} if tokens else {}


def _packed(directory: Path) -> bytes:
    """The same bytes for the same files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(each for each in directory.rglob("*") if each.is_file()):
            if path.name.startswith("."):
                continue  # the lock, and drafts
            content = path.read_bytes()
            entry = tarfile.TarInfo(str(path.relative_to(directory)))
            entry.size, entry.mode = len(content), path.stat().st_mode & 0o777
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _unpack(packed: bytes, directory: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as tar:
        for entry in tar:
            target = (directory / entry.name).resolve()
            content = tar.extractfile(entry) if entry.isreg() else None
            if content is None or not target.is_relative_to(directory.resolve()):
                raise BackupRefused(f"the backup holds {entry.name!r:.80}, which is no file of an authority")
            private_directory(target.parent)
            write_atomically(target, content.read(), entry.mode & 0o777)


def _opened(file: Path, passphrase: str) -> tuple[dict[str, Any], bytes]:
    if file.stat().st_size > MOST_BYTES:
        raise BackupRefused(f"{file} is larger than a backup of an authority can be")
    head, newline, sealed = file.read_bytes().partition(b"\n")
    try:
        header = json.loads(head)
        how = header["scrypt"]
        if header["format"] != FORMAT or (how["n"], how["r"], how["p"]) != (COST, BLOCK, LANES):
            raise ValueError("another format")
        salt, nonce = bytes.fromhex(how["salt"]), bytes.fromhex(header["nonce"])
        return header, AESGCM(_key(passphrase, salt)).decrypt(nonce, sealed, head + newline)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BackupRefused(f"{file} is not a backup of an authority") from error
    except InvalidTag:
        raise BackupRefused(
            f"{file} does not open",
            "Is the passphrase right? If it is, the file is damaged: take another copy",
        ) from None


def _key(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=COST, r=BLOCK, p=LANES).derive(passphrase.encode())
