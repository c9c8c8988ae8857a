"""What stands beside a backup: FILE.json, written last. A backup without it is none.

It seals itself (`seal`: SHA-256 over the rest), so that a changed one is told from the file's own damage.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from fleet_server.database.errors import BackupUnusable
from fleet_server.database.fingerprints import TableState
from fleet_server.errors import HardwareError

FORMAT = 1
SUFFIX = ".json"
LARGEST_BYTES = 10_000_000  # a table's line is 100 bytes
READ_BYTES = 1 << 20


class LeftOut(msgspec.Struct, frozen=True):
    """What is not in the backup and should be saved as well."""

    what: str
    where: str
    how: str


class Manifest(msgspec.Struct, frozen=True):
    """`schema`: the migration it stands at. started, finished: UTC, ISO 8601. database_bytes: indexes too."""

    format: int
    file: str
    bytes: int
    sha256: str
    lamppost: str
    tenant: str
    schema: str
    server: str
    server_major: int
    timescaledb: str | None
    pg_dump: str
    pg_dump_major: int
    started: str
    finished: str
    database_bytes: int
    tables: dict[str, TableState]
    left_out: tuple[LeftOut, ...] = ()
    seal: str = ""

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())

    def sealed(self) -> Manifest:
        return msgspec.structs.replace(self, seal=_seal(self))


def _seal(manifest: Manifest) -> str:
    content = msgspec.json.encode(msgspec.structs.replace(manifest, seal=""), order="sorted")
    return hashlib.sha256(content).hexdigest()


def manifest_of(file: Path) -> Path:
    """Where the manifest of a backup lies."""
    return file.with_name(file.name + SUFFIX)


def write(manifest: Manifest, file: Path) -> None:
    """Beside `file`; there after a power cut, or not there at all. Raises OSError."""
    path = manifest_of(file)
    draft = path.with_name(path.name + ".part")
    with draft.open("wb") as output:
        output.write(msgspec.json.format(msgspec.json.encode(manifest.sealed()), indent=1) + b"\n")
        output.flush()
        os.fsync(output.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """A rename is on the disk when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(file: Path) -> Manifest:
    """The manifest of the backup `file`. Raises BackupUnusable."""
    path = manifest_of(file)
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise BackupUnusable(f"{path} is too large to be a backup's manifest.")
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        if not file.is_file():
            raise BackupUnusable(
                f"{file} is missing, or no file.", remedy="Name the backup itself: NAME.backup."
            ) from None
        raise BackupUnusable(
            f"{path} is missing: it is written last, so {file.name} was never finished.",
            remedy="Take another backup. If only the manifest was lost, pg_restore can read the file.",
        ) from None
    except OSError as unreadable:
        raise HardwareError(f"{path} cannot be read: {unreadable.strerror}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise BackupUnusable(f"{path} is no manifest of a backup: {wrong}.") from None
    if manifest.format != FORMAT:
        raise BackupUnusable(
            f"{path} is of format {manifest.format}, this program knows {FORMAT}.",
            remedy="Restore it with the version of Lamppost that made it, or a later one.",
        )
    if manifest.seal != _seal(manifest):
        raise BackupUnusable(f"{path} was changed since it was written.", remedy="Take another backup.")
    return manifest


def check_file(file: Path, manifest: Manifest, told_share: Callable[[int, int], None] | None = None) -> None:
    """Is `file` what was written? told_share: bytes read, in all. Raises BackupUnusable, HardwareError."""
    digest, done = hashlib.sha256(), 0
    try:
        size = file.stat().st_size
        if size != manifest.bytes:
            what = "cut short" if size < manifest.bytes else "too long"
            raise BackupUnusable(
                f"{file} is {what}: {size} bytes instead of {manifest.bytes}.", remedy="Take another backup."
            )
        with file.open("rb") as source:
            while part := source.read(READ_BYTES):
                digest.update(part)
                done += len(part)
                if told_share is not None:
                    told_share(done, size)
    except FileNotFoundError:
        raise BackupUnusable(f"There is no backup {file}.") from None
    except OSError as unreadable:
        raise HardwareError(f"{file} cannot be read: {unreadable.strerror}.") from None
    if digest.hexdigest() != manifest.sha256:
        raise BackupUnusable(
            f"{file} is damaged: its bytes are not those that were written.", remedy="Take another backup."
        )
