"""Puts a bundle's files where they belong: a folder, a card's boot partition, a computer behind ssh."""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from provisioning.storage import PUBLIC_FILE_MODE, private_directory, write_atomically
from provisioning.technician.errors import LamppostUnreachable, WrongInput
from provisioning.technician.lamppost import Lamppost
from provisioning.technician.rules import CardFacts, card_problem

MOUNTS = Path("/proc/mounts")
CARD_FOLDER = "lamppost"
SSH_FOLDER = "lamppost-bundle"
PRIVATE = "agent.toml"  # holds the claim
WHEELS = (".whl", ".tar.gz")
_SPARE_BYTES = 1 << 20


def packages(folder: Path) -> dict[str, bytes]:
    """The wheels in a folder, for a lamppost that has no way to a package index. Raises WrongInput."""
    found = sorted(path for path in _listed(folder) if path.name.endswith(WHEELS))
    if not found:
        raise WrongInput(f"{folder}: holds no packages", "Fill it: pip download -d FOLDER '.[edge]'")
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
    """Write them; the folder is private. Raises OSError."""
    private_directory(folder)
    _write(files, folder)
    return folder


def check_card(card: Path, more_bytes: int = 0, mounts: Path = MOUNTS) -> None:
    """Raises WrongInput where it is no Raspberry Pi's boot partition that takes a bundle."""
    problem = card_problem(card_facts(card, mounts), more_bytes + _SPARE_BYTES)
    if problem is not None:
        raise WrongInput(f"{card}: {problem[0]}", problem[1])


def to_card(files: Mapping[str, bytes], card: Path, mounts: Path = MOUNTS) -> Path:
    """Write them into `lamppost/` of a Raspberry Pi's boot partition. Raises WrongInput, OSError."""
    check_card(card, sum(map(len, files.values())), mounts)
    folder = card / CARD_FOLDER
    folder.mkdir(exist_ok=True)  # FAT has no modes: who has the card has the claim
    _write(files, folder)
    os.sync()
    return folder


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
    )


def _mounts(file: Path) -> Iterable[list[str]]:
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        fields = line.split(" ")
        if len(fields) > 2:
            fields[1] = fields[1].replace("\\040", " ")  # proc_mounts(5): a space in octal
            yield fields


def over_ssh(files: Mapping[str, bytes], post: Lamppost) -> str:
    """Write them into `lamppost-bundle/` of the user's home there, private. Raises LamppostUnreachable."""
    done = post.script(
        f"umask 077 && mkdir -p {SSH_FOLDER} && chmod 700 {SSH_FOLDER} && tar -x -f - -C {SSH_FOLDER}",
        archive(files),
    )
    if done.returncode != 0:
        told = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise LamppostUnreachable(f"the bundle could not be written there: {told[-1][:200]}")
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
