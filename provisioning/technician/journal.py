"""What a technician did, in a file that survives power cuts, until the server has it.

One JSON object a line, each with the CRC-32 of the others' text: a line that a power cut tore is not there.
A line is work ("work": id, kind, device, done_at, body, blobs) or what became of it ("became": id, state,
detail). Lines are only appended and synced to the disk before anything is said to be kept.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from provisioning.storage import PRIVATE_FILE_MODE, private_directory
from provisioning.technician.errors import WrongInput
from provisioning.technician.rules import Event, State, Waiting, step

DECOMMISSION = "decommission"  # the kind of work, as the server calls it
ID_BYTES = 16  # 128 random bits: two technicians never make the same


@dataclass(frozen=True)
class Work:
    """One thing that was done. `done_at`: ISO 8601 with a zone, by the technician's clock.

    blob: the file in outbox/ that goes with it (a report, a picture), by its SHA-256; "" for none.
    """

    id: str
    kind: str
    device: str  # "tenant/name"
    done_at: str
    body: dict[str, Any]
    blob: str = ""
    state: State = State.WAITING
    detail: str = ""  # what the server said, where it did not take it
    city: str = ""  # Settings.city where it was done; "" where that was not known

    @property
    def waiting(self) -> Waiting:
        return Waiting(self.id, self.device, self.state, self.kind == DECOMMISSION)


def new_id() -> str:
    return secrets.token_hex(ID_BYTES)


class Journal:
    """`path` is made with the first line. Another process may write meanwhile: each line is locked."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, work: Work) -> Work:
        """Keep it. Raises OSError: nothing was kept then."""
        self._append(
            {
                "work": {
                    "id": work.id,
                    "kind": work.kind,
                    "device": work.device,
                    "done_at": work.done_at,
                    "body": work.body,
                    "blob": work.blob,
                    "city": work.city,
                }
            }
        )
        return work

    def became(self, work: Work, event: Event, detail: str = "") -> Work:
        """Keep what became of it. Raises WrongInput where the event does not fit its state."""
        state = step(work.state, event)
        if state is None:
            raise WrongInput(f"{work.id} is {work.state}: {event} does not fit")
        self._append({"became": {"id": work.id, "state": state, "detail": detail}})
        return replace(work, state=state, detail=detail)

    def all(self) -> list[Work]:
        """Everything in its order, each as it is now. Raises OSError."""
        known: dict[str, Work] = {}
        for line in self._lines():
            if "work" in line:
                told = line["work"]
                known.setdefault(told["id"], Work(**told))
            elif line["became"]["id"] in known:
                told = line["became"]
                known[told["id"]] = replace(
                    known[told["id"]], state=State(told["state"]), detail=told["detail"]
                )
        return list(known.values())

    def open(self) -> list[Work]:
        """What the server does not have yet, conflicts included."""
        return [each for each in self.all() if each.state in (State.WAITING, State.CONFLICT)]

    def find(self, start: str) -> Work:
        """The one whose id begins so. Raises WrongInput where none or several do."""
        found = [each for each in self.open() if each.id.startswith(start)] if start else []
        if len(found) != 1:
            raise WrongInput(f"{len(found) or 'no'} work in the journal begins with {start!r}")
        return found[0]

    def _lines(self) -> Iterator[dict[str, Any]]:
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return
        for raw in text.split(b"\n"):
            line = read_line(raw)
            if line is not None:
                yield line

    def _append(self, line: dict[str, Any]) -> None:
        private_directory(self._path.parent)
        with self._locked() as handle:
            end = os.lseek(handle, 0, os.SEEK_END)
            torn = end > 0 and os.pread(handle, 1, end - 1) != b"\n"
            os.write(handle, b"\n" * torn + write_line(line))
            os.fsync(handle)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, PRIVATE_FILE_MODE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield handle
        finally:
            os.close(handle)


def write_line(line: dict[str, Any]) -> bytes:
    text = json.dumps(line, separators=(",", ":"), sort_keys=True)
    return f"{zlib.crc32(text.encode()):08x} {text}\n".encode()


def read_line(raw: bytes) -> dict[str, Any] | None:
    """The line; None for an empty or a torn one."""
    crc, space, text = raw.partition(b" ")
    if not space or crc.decode("latin-1") != f"{zlib.crc32(text):08x}":
        return None
    line: dict[str, Any] = json.loads(text)
    return line
