"""Puts a bundle's files where they belong: a folder, a card's boot partition, a computer behind ssh.

The file with the claim is the last one each time: where it is, the others are, and what was cut off in the
middle holds no claim.
"""

from __future__ import annotations

import errno
import io
import os
import re
import shlex
import tarfile
import time
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from provisioning.storage import PUBLIC_FILE_MODE, folder_for, write_atomically
from provisioning.technician.bundle import PRIVATE
from provisioning.technician.errors import NotWritten, WrongInput
from provisioning.technician.lamppost import Lamppost
from provisioning.technician.rules import CardFacts, card_problem, reason

MOUNTS = Path("/proc/mounts")
CARD_FOLDER = "lamppost"
SSH_FOLDER = "lamppost-bundle"
WHEELS = (".whl", ".tar.gz")
_SPARE_BYTES = 1 << 20
SLOW_BYTES_S = 50_000  # a link at the edge of a cell: 60 MB of packages in twenty minutes
_DRAFT = re.compile(r"\.agent\.toml\.[0-9a-f]{12}")  # provisioning.storage; a power cut leaves it
_OCTAL = re.compile(r"\\([0-7]{3})")


def packages(folder: Path) -> dict[str, bytes]:
    """The wheels in a folder, for a lamppost that has no way to a package index. Raises WrongInput."""
    found = sorted(path for path in _listed(folder) if path.name.endswith(WHEELS))
    if not any(path.name.startswith("lamppost-") for path in found):
        raise WrongInput(f"{folder}: holds no wheel of lamppost", "docs/technician.md says how to fill it")
    return {f"packages/{path.name}": path.read_bytes() for path in found}


def _listed(folder: Path) -> Iterable[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise WrongInput(f"{folder}: {error.strerror}") from error


def check_folder(folder: Path, *, replace: bool = False) -> None:
    """Raises WrongInput where it holds another bundle."""
    if (folder / PRIVATE).exists() and not replace:
        raise WrongInput(f"{folder} holds a bundle already", "Another folder, or --force")


def to_folder(files: Mapping[str, bytes], folder: Path) -> Path:
    """Write them; a new folder is private. Raises NotWritten."""
    try:
        folder_for(folder)
        _write(files, folder)
    except OSError as error:
        raise NotWritten(f"{folder}: {error.strerror}") from error
    return folder


def check_card(
    card: Path, files: Mapping[str, bytes], *, replace: bool = False, mounts: Path = MOUNTS
) -> None:
    """Raises WrongInput where it is no Raspberry Pi's boot partition that takes this bundle."""
    facts = card_facts(card, mounts)
    cluster = os.statvfs(card).f_frsize  # each file takes whole ones
    needed = sum(-(-len(content) // cluster) * cluster for content in files.values()) + _SPARE_BYTES
    problem = card_problem(facts, needed, replace=replace)
    if problem is not None:
        raise WrongInput(f"{card}: {problem[0]}", problem[1])


def to_card(files: Mapping[str, bytes], card: Path, *, replace: bool = False, mounts: Path = MOUNTS) -> Path:
    """Write them into `lamppost/` of a Raspberry Pi's boot partition. When it returns, the card may be taken
    out: all is on it, and was read back.

    The partition is held open meanwhile: it cannot be ejected, and where it is torn out, the empty folder
    that is then at its place gets nothing. Raises WrongInput, NotWritten.
    """
    check_card(card, files, replace=replace, mounts=mounts)
    try:
        held = os.open(card, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _onto(files, Path(f"/proc/self/fd/{held}") / CARD_FOLDER)
            os.fsync(held)
            if not os.path.samestat(card.stat(), os.fstat(held)):
                raise OSError(errno.ENODEV, "")
        finally:
            os.close(held)
    except OSError as error:
        raise NotWritten(
            f"{card}: {_why(error)}", "Nothing on it is of use: put it in again, and begin anew"
        ) from error
    return card / CARD_FOLDER


def _onto(files: Mapping[str, bytes], folder: Path) -> None:
    """FAT has no owners and no modes: who has the card has the claim. Raises OSError."""
    folder.mkdir(exist_ok=True)
    for draft in [path for path in folder.iterdir() if _DRAFT.fullmatch(path.name)]:
        draft.unlink()
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, content, None)
    for name, content in files.items():
        if _on_disk(folder / name) != content:
            raise OSError(errno.EIO, "")


def _on_disk(path: Path) -> bytes:
    """What the card holds, and not what the kernel remembers of it."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return file.read()


def _why(error: OSError) -> str:
    return {
        errno.ENOSPC: "it is full",
        errno.EROFS: "it can only be read now: it is damaged, or its switch is at LOCK",
        errno.ENODEV: "it was taken out while it was written",
        errno.ENOENT: "it was taken out while it was written",
        errno.EIO: "it does not keep what is written: it was taken out, or is broken",
        errno.EEXIST: f"a file has the name of its folder, {CARD_FOLDER}",
    }.get(error.errno or 0, error.strerror or str(error))


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name == PRIVATE:
            write_atomically(path, content)
        else:
            write_atomically(path, content, PUBLIC_FILE_MODE)


def card_facts(card: Path, mounts: Path) -> CardFacts:
    """What is at the path. Raises WrongInput where nothing is."""
    names = frozenset(path.name.lower() for path in _listed(card))
    where = os.path.realpath(card)
    mounted = {fields[1]: fields[2] for fields in _mounts(mounts)}
    status = os.statvfs(card)
    return CardFacts(
        is_mount_point=where in mounted,
        filesystem=mounted.get(where, ""),
        names=names,
        writable=os.access(card, os.W_OK) and not status.f_flag & os.ST_RDONLY,
        of_this_system=where in {"/", "/boot", "/boot/firmware", "/boot/efi"},
        free_bytes=status.f_bavail * status.f_frsize,
        bundle_of=_bundle_of(card / CARD_FOLDER / PRIVATE),
    )


def _bundle_of(file: Path) -> str | None:
    try:
        device = tomllib.loads(file.read_text(encoding="utf-8"))["device"]
        return f"{device['tenant']}/{device['name']}"
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return "?"


def _mounts(file: Path) -> Iterable[list[str]]:
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        fields = line.split(" ")
        if len(fields) > 2:  # proc_mounts(5): space, tab, newline and backslash in octal
            fields[1] = _OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[1])
            yield fields


def check_ssh(post: Lamppost, *, replace: bool = False) -> None:
    """Raises LamppostUnreachable; WrongInput where a bundle waits there already."""
    found = post.script(f"test -e {SSH_FOLDER}/{PRIVATE}").returncode == 0
    if found and not replace:
        raise WrongInput(f"{post.host} holds a bundle already: ~/{SSH_FOLDER}", "Install it, or --force")


def over_ssh(files: Mapping[str, bytes], post: Lamppost) -> str:
    """Write them into `lamppost-bundle/` of the user's home there, private; whole or not at all. It takes a
    shell and tar there, neither scp nor sftp. Raises LamppostUnreachable, NotWritten."""
    packed = archive(files)
    folder, draft = shlex.quote(SSH_FOLDER), shlex.quote(f"{SSH_FOLDER}.new")
    done = post.script(
        f"umask 077 && rm -rf {draft} && mkdir {draft} && tar -x -m -f - -C {draft} && sync"
        f" && rm -rf {folder} && mv {draft} {folder} || {{ rm -rf {draft}; exit 1; }}",
        packed,
        more_s=len(packed) / SLOW_BYTES_S,
    )
    if done.returncode != 0:
        why = reason(done.stderr.decode(errors="replace"))
        raise NotWritten(f"{post.host}: the bundle could not be written there: {why}")
    return f"{post.host or 'this machine'}:{SSH_FOLDER}"


def archive(files: Mapping[str, bytes]) -> bytes:
    """As a tar with the modes that the files should have."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), int(time.time())
            entry.mode = 0o600 if name == PRIVATE else 0o644
            tar.addfile(entry, io.BytesIO(content))
    return held.getvalue()
