"""What `lamppost audit` does: asks the auditor's slice, and tells in words or as a document."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from fleet_server.admin_commands import console
from fleet_server.audit import keys as key_files
from fleet_server.auditor import service
from fleet_server.auditor.service import LineView, Verified, Wanted
from fleet_server.command_line import Answer
from fleet_server.config import ServerConfig
from fleet_server.context import Context, command_context
from fleet_server.errors import ConfigurationError, HardwareError, InvalidRequest
from fleet_server.health import database_parts
from fleet_server.progress import Progress

PRIVATE_FILE_MODE = 0o600  # an export has names in it


@contextmanager
def reached(options: argparse.Namespace) -> Iterator[Context]:
    """The configured database. Raises ConfigurationError where there is none, or one of another program."""
    config: ServerConfig = options.loaded
    directory = config.database.embedded_directory
    if directory is not None and not directory.exists():
        raise ConfigurationError(  # a mistyped --data must not make a new, empty database
            f"There is no server's data in {config.data_dir}.",
            remedy="Give --config and --data as `lamppost serve` has them, or start it once.",
        )
    with command_context(config) as ctx:
        schema = database_parts(ctx)["migrations"]
        if not schema.ok:
            raise ConfigurationError(f"The database's schema does not fit: {schema.detail}.")
        yield ctx


def list_lines(options: argparse.Namespace) -> Answer:
    wanted = replace(_wanted(options), before=options.before)
    with reached(options) as ctx:
        found = service.lines(ctx, console(), wanted, options.limit)
    following = found[-1].number if len(found) == options.limit else None
    document = {"lines": [document_of(each) for each in found], "next_before": following}
    lines = [_line(each) for each in found] or ["none"]
    if following is not None:
        lines.append(f"there may be more: --before {following}")
    return Answer(0, document, lines)


def _wanted(options: argparse.Namespace) -> Wanted:
    return Wanted(
        None, options.action, options.who, options.resource, options.begins, options.ends, options.outcome
    )


def show(options: argparse.Namespace) -> Answer:
    with reached(options) as ctx:
        found = service.line(ctx, console(), options.number)
    told = document_of(found)
    shown = {name: value for name, value in told.items() if value not in ("", None, {}, [])}
    words = {
        k: v if isinstance(v, str | int) else json.dumps(v, ensure_ascii=False) for k, v in shown.items()
    }
    return Answer(0, told, [f"{name:<10}{value}" for name, value in words.items()])


def export(options: argparse.Namespace) -> Answer:
    names = not options.without_names
    with reached(options) as ctx, _progress(options) as progress:
        rows = service.export(ctx, console(), options.format, _wanted(options), names=names)
        written = _write(options.file, rows, progress)
    told = {"file": str(options.file), "rows": written}
    return Answer(0, told, [f"{options.file}: {written:,} rows"])


def verify(options: argparse.Namespace) -> Answer:
    with _progress(options) as progress:
        if options.file is not None:
            if not options.file.exists():  # before a key is missed
                raise InvalidRequest(f"{options.file}: there is no such file.")
            public = options.key or key_files.public_files(options.loaded.data_dir)
            if not public:
                raise InvalidRequest(
                    "There is no public key to verify with.", remedy="Give --key, or the server's --data."
                )
            found = service.verify_file(options.file, public, options.seen, progress.told)
        elif options.key:
            raise InvalidRequest("--key is for a file.", remedy="lamppost audit verify FILE --key KEY")
        else:
            with reached(options) as ctx:
                found = service.verify(ctx, console(), options.seen, progress.told)
    fault = None if found.fault is None else vars(found.fault)
    document = {**vars(found), "sound": fault is None, "fault": fault}
    return Answer(0 if fault is None else 1, document, _verdict(found))


def checkpoint(options: argparse.Namespace) -> Answer:
    with reached(options) as ctx:
        made = service.sign(ctx, console())
    told = {"number": made.number, "hash": made.hash.hex(), "key": made.key_id, "at": made.at.isoformat()}
    words = [
        f"signed at line {made.number}; note it down elsewhere, and later:",
        f"  lamppost audit verify --seen {made.number}:{made.hash.hex()}",
    ]
    return Answer(0, told, words)


def keys(options: argparse.Namespace) -> Answer:
    with reached(options) as ctx:
        found = service.public_keys(ctx, console())
    return Answer(0, {"keys": found}, [found[each].strip() for each in found] or ["none"])


def document_of(line: LineView) -> dict[str, Any]:
    return {**vars(line), "roles": list(line.roles), "more": dict(line.more)}


def _line(line: LineView) -> str:
    outcome = "" if line.outcome == "done" else f" {line.outcome.upper()}"
    where = f" from {line.address}" if line.address else ""
    why = f": {line.reason}" if line.reason else ""
    return (
        f"{line.number:>7}  {line.at[:19]}Z  {line.who}{where}  {line.action}{outcome}  {line.resource}{why}"
    )


def _verdict(found: Verified) -> list[str]:
    told = [
        f"{found.lines:,} lines, from {found.first} to {found.last}; {found.checkpoints} checkpoints,"
        f" signed up to line {found.signed_to}; {found.erased} personal values erased"
    ]
    if found.fault is None:
        return [*told, "sound"]
    fault = found.fault
    return [*told, f"NOT SOUND from line {fault.line} on ({fault.kind}): {fault.means}"]


def _write(file: Path, rows: Iterator[str], progress: Progress) -> int:
    """A new file, the owner's alone. Raises InvalidRequest, HardwareError; then there is no file."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE_MODE)
    except FileExistsError:
        raise InvalidRequest(f"{file} exists already; nothing was written.") from None
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be written: {error.strerror}.") from error
    count = 0
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as opened:
            for row in rows:
                opened.write(row)
                count += 1
                progress.told(f"{count:,} rows")
    except OSError as error:
        with suppress(OSError):
            file.unlink()
        raise HardwareError(f"{file} cannot be written: {error.strerror}.") from error
    return count


@contextmanager
def _progress(options: argparse.Namespace) -> Iterator[Progress]:
    progress = Progress(quiet=options.json)
    try:
        yield progress
    finally:
        progress.done()
