"""What SQLite asks of the disk, write by write, and the disk as a power cut would leave it after any of them.

SQLite reaches its files through a table of functions (sqlite.org/vfs.html). While `traced` runs, those that
change a file are ours: they note what was asked, then call the real ones. A power cut keeps what was synced;
of what was written since, a disk may have kept all, nothing, or any of its sectors in any order.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

SECTOR_BYTES = 512  # the least that a disk writes whole; a card's page is larger, which tears less

_int, _ptr, _i64, _text = ctypes.c_int, ctypes.c_void_p, ctypes.c_int64, ctypes.c_char_p
_OPEN = ctypes.CFUNCTYPE(_int, _ptr, _ptr, _ptr, _int, _ptr)
_DELETE = ctypes.CFUNCTYPE(_int, _ptr, _text, _int)
_WRITE = ctypes.CFUNCTYPE(_int, _ptr, _ptr, _int, _i64)
_TRUNCATE = ctypes.CFUNCTYPE(_int, _ptr, _i64)
_SYNC = ctypes.CFUNCTYPE(_int, _ptr, _int)


class _Vfs(ctypes.Structure):
    _fields_ = [
        *(("version", _int), ("file_bytes", _int), ("longest_path", _int)),
        *(("next", _ptr), ("name", _text), ("data", _ptr), ("open", _OPEN), ("delete", _DELETE)),
    ]


class _Methods(ctypes.Structure):
    _fields_ = [
        *(("version", _int), ("close", _ptr), ("read", _ptr)),
        *(("write", _WRITE), ("truncate", _TRUNCATE), ("sync", _SYNC), ("rest", _ptr * 13)),
    ]


class Kind(Enum):
    WRITE = auto()
    TRUNCATE = auto()
    SYNC = auto()
    DELETE = auto()


@dataclass(frozen=True)
class Op:
    """One request. `name`: the file's. `at`: where it writes, or the length it cuts to."""

    kind: Kind
    name: str
    at: int = 0
    data: bytes = b""


class Trace:
    """The requests in their order. `len(trace)` now, and the state after that many of them later.

    While `write_fails` or `sync_fails` holds one of SQLite's error codes, those requests fail with it.
    """

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self.write_fails = self.sync_fails = 0

    def __len__(self) -> int:
        return len(self.ops)

    @property
    def written_bytes(self) -> int:
        return sum(len(op.data) for op in self.ops)

    @property
    def syncs(self) -> int:
        return sum(op.kind is Kind.SYNC for op in self.ops)

    def after_cut(self, count: int, kept: str, chance: random.Random) -> dict[str, bytes]:
        """The files when the power goes after `count` requests. `kept` of what no sync covers: "all",
        "nothing", "half of the last" write, or "some" of its sectors, drawn with `chance`."""
        done = self.ops[:count]
        synced = {op.name: i for i, op in enumerate(done) if op.kind in (Kind.SYNC, Kind.DELETE)}
        files: dict[str, bytearray] = {}
        for index, op in enumerate(done):
            if op.kind is Kind.DELETE:
                files.pop(op.name, None)
            elif index < synced.get(op.name, -1) or kept == "all":
                _apply(files, op)
            elif kept == "half of the last":
                last = index == count - 1
                _apply(files, Op(op.kind, op.name, op.at, op.data[: len(op.data) // 2]) if last else op)
            elif kept == "some" and op.kind is Kind.WRITE:
                for at in range(0, len(op.data), SECTOR_BYTES):
                    if chance.random() < 0.5:
                        _apply(files, Op(op.kind, op.name, op.at + at, op.data[at : at + SECTOR_BYTES]))
            elif kept == "some" and chance.random() < 0.5:
                _apply(files, op)
        return {name: bytes(content) for name, content in files.items()}


def _apply(files: dict[str, bytearray], op: Op) -> None:
    content = files.setdefault(op.name, bytearray())
    if op.kind is Kind.WRITE:
        if len(content) < op.at:
            content.extend(bytes(op.at - len(content)))
        content[op.at : op.at + len(op.data)] = op.data
    elif op.kind is Kind.TRUNCATE:
        del content[op.at :]
        content.extend(bytes(op.at - len(content)))


def fingerprint(files: dict[str, bytes]) -> bytes:
    """Equal where the files are."""
    digest = hashlib.blake2b(digest_size=16)
    for name, content in sorted(files.items()):
        digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.digest()


@contextmanager
def traced(folder: Path) -> Iterator[Trace]:
    """Note what SQLite does to files in `folder`, those opened from now on. One at a time in a process."""
    library = ctypes.CDLL(_sqlite3.__file__)  # it has the very library that sqlite3 uses
    library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    vfs = library.sqlite3_vfs_find(None).contents
    trace, hooks = Trace(), _Hooks(folder)
    real_open, real_delete = _OPEN.from_buffer_copy(vfs.open), _DELETE.from_buffer_copy(vfs.delete)

    def opened(self: int, name: int, file: int, flags: int, out: int) -> int:
        code = real_open(self, name, file, flags, out)
        if code == 0 and name:
            hooks.hook(trace, Path(ctypes.string_at(name).decode()), file)
        return int(code)

    def deleted(self: int, name: bytes, sync_folder: int) -> int:
        code = real_delete(self, name, sync_folder)
        if code == 0 and Path(name.decode()).parent == folder:
            trace.ops.append(Op(Kind.DELETE, Path(name.decode()).name))
        return int(code)

    mine = _OPEN(opened), _DELETE(deleted)
    vfs.open, vfs.delete = mine
    try:
        yield trace
    finally:
        vfs.open, vfs.delete = real_open, real_delete


class _Hooks:
    """The tables of functions of the files that are open; they must live as long as the files may."""

    _alive: list[Any] = []  # noqa: RUF012 for the life of the process: SQLite holds their addresses

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def hook(self, trace: Trace, path: Path, file: int) -> None:
        if path.parent != self._folder:
            return
        place = ctypes.cast(file, ctypes.POINTER(ctypes.POINTER(_Methods)))
        real = place[0].contents

        def write(handle: int, data: int, amount: int, at: int) -> int:
            if trace.write_fails:
                return trace.write_fails
            trace.ops.append(Op(Kind.WRITE, path.name, at, ctypes.string_at(data, amount)))
            return int(real.write(handle, data, amount, at))

        def truncate(handle: int, size: int) -> int:
            trace.ops.append(Op(Kind.TRUNCATE, path.name, size))
            return int(real.truncate(handle, size))

        def sync(handle: int, flags: int) -> int:
            if trace.sync_fails:
                return trace.sync_fails
            code = int(real.sync(handle, flags))
            trace.ops.append(Op(Kind.SYNC, path.name))
            return code

        methods = _Methods.from_buffer_copy(real)
        methods.write, methods.truncate, methods.sync = _WRITE(write), _TRUNCATE(truncate), _SYNC(sync)
        self._alive.append((methods, real))
        place[0] = ctypes.pointer(methods)
