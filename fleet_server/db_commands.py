"""What `lamppost db` does: each command reaches the database, calls `fleet_server.database`, and tells."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from fleet_server.command_line import Answer
from fleet_server.config import ServerConfig
from fleet_server.context import Context, command_context
from fleet_server.database import audit_notes, looking, upgrading
from fleet_server.database import manifest as manifests
from fleet_server.database.backup import back_up
from fleet_server.database.findings import Finding, Verdict, all_sound
from fleet_server.database.manifest import LeftOut
from fleet_server.database.restore import Restored, restore
from fleet_server.database.state import database_of
from fleet_server.embedded_server import EmbeddedServer, answers
from fleet_server.errors import ConfigurationError, Conflict, HardwareError, InvalidRequest
from fleet_server.progress import Progress, size

MARKS = {Verdict.SOUND: "ok ", Verdict.UNSOUND: "BAD", Verdict.NOT_CHECKED: "-  "}


@contextmanager
def _reached(options: argparse.Namespace, *, may_make: bool = False) -> Iterator[Context]:
    """The configured database, started where it is embedded and does not run. Raises ConfigurationError."""
    config: ServerConfig = options.loaded
    directory = config.database.embedded_directory
    if directory is not None and not directory.exists() and not may_make:
        raise ConfigurationError(  # a mistyped --data must not make a new, empty database
            f"There is no server's data in {config.data_dir}.",
            remedy="Give --config and --data as `lamppost serve` has them, or start it once.",
        )
    with command_context(config) as context:
        yield context


@contextmanager
def _progress(options: argparse.Namespace) -> Iterator[Progress]:
    progress = Progress(quiet=options.json)
    try:
        yield progress
    finally:
        progress.done()


def upgrade(options: argparse.Namespace) -> Answer:
    with _reached(options) as context:
        plan = upgrading.plan(context.db.url)
        pending = [{"step": step.revision, "what": step.what} for step in plan.pending]
        told = {"at": plan.at, "newest": plan.newest, "pending": pending}
        lines = [f"{step.revision}  {step.what}" for step in plan.pending]
        if not plan.pending:
            return Answer(0, told | {"upgraded": False}, [f"at step {plan.newest}, nothing is pending"])
        if options.check:
            return Answer(1, told | {"upgraded": False}, [f"{len(lines)} steps are pending:", *lines])
        use_timescale = context.config.database.timescale == "auto"
        upgrading.upgrade(context.db.url, use_timescale=use_timescale)
        audit_notes.upgraded(context.db.url, plan.at, plan.newest)
    return Answer(0, told | {"upgraded": True}, [f"from {plan.at or 'nothing'} to {plan.newest}:", *lines])


def backup(options: argparse.Namespace) -> Answer:
    if options.keep is not None and not options.where.is_dir():
        raise InvalidRequest("--keep is for a folder.", remedy="Name the folder that the backups lie in.")
    with _reached(options) as context, _progress(options) as progress:
        config = context.config
        made = back_up(
            context.db.url,
            options.where,
            config.tenant.name,
            left_out(config),
            progress.told,
            keep=options.keep,
        )
    told = msgspec.to_builtins(made.manifest)
    document = told | {"file": str(made.file), "removed": [str(path) for path in made.removed]}
    lines = [
        f"{made.file}: {size(made.manifest.bytes)}, {made.manifest.rows:,} rows of {made.manifest.started}",
        *(f"removed {path}" for path in made.removed),
        "not in it, save it as well:",
        *(f"  {each.what}: {each.where} ({each.how})" for each in made.manifest.left_out),
    ]
    return Answer(0, document, lines)


def left_out(config: ServerConfig) -> tuple[LeftOut, ...]:
    """What a city needs besides its database."""
    found = [
        LeftOut(
            "the city's certificate authority",
            str(config.authority.directory),
            "its keys: tar it, keep it as you keep keys; without it every lamppost is locked out",
        )
    ]
    if config.file is not None:
        found.append(LeftOut("the configuration", str(config.file), "copy it; it may hold a password"))
    if not config.broker.managed:
        found.append(LeftOut("the broker's configuration", "on the broker's machine", "copy its folder"))
    found.append(
        LeftOut("models you trained", "wherever you built them", "copy the folders; those we ship come back")
    )
    return tuple(found)


def restore_backup(options: argparse.Namespace) -> Answer:
    config: ServerConfig = options.loaded
    use_timescale = config.database.timescale == "auto"
    manifest = manifests.read(options.file)
    if options.into is None and manifest.tenant != config.tenant.name:
        raise Conflict(
            f"{options.file} is of the city {manifest.tenant}, this configuration of {config.tenant.name}.",
            remedy="Give the configuration of that city, or restore beside (--into).",
        )
    _check_room(options, manifest.database_bytes)
    with _target(options) as (url, name), _progress(options) as progress:
        if options.replace and not options.yes:
            _confirm(database_of(url), name)
        former = audit_notes.head_of(url)
        done = restore(options.file, url, progress.told, replace=options.replace, use_timescale=use_timescale)
        audit_notes.restored(url, former, done)
    folder = None if options.into is None else _folder_of(options.into)
    return _restored(options.file, done, name, folder)


def _check_room(options: argparse.Namespace, wanted: int) -> None:
    """Where the database will lie on this machine. Raises HardwareError."""
    into: str | None = options.into
    folder = options.loaded.database.embedded_directory if into is None else _folder_of(into)
    if folder is None:
        return
    there = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(there).free
    if free < wanted:
        raise HardwareError(
            f"{there} has {size(free)} free, and the database took {size(wanted)} when it was saved.",
            remedy="Make room, or restore into another folder (--into).",
        )


def _folder_of(into: str) -> Path | None:
    """None for a server's URL. Raises ConfigurationError."""
    if into.startswith(("postgresql://", "postgres://")):
        return None
    if "://" in into:
        raise ConfigurationError(f"{into} is neither a folder nor postgresql://….")
    return Path(into.removeprefix("embedded:")).absolute()


def _postgresql(url: str) -> str:
    return "postgresql://" + url.split("://", 1)[1]


@contextmanager
def _target(options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """(URL, words for it) of where it goes. Raises ConfigurationError."""
    into: str | None = options.into
    if into is None:
        with _reached(options, may_make=True) as context:
            yield context.db.url, str(context.config.database.embedded_directory or "the configured server")
    elif (directory := _folder_of(into)) is None:
        yield _postgresql(into), "that server"
    else:
        server = EmbeddedServer(directory)
        if directory.exists() and answers(server.url()):
            yield server.url(), str(directory)
        else:
            with server:
                yield server.url(), str(directory)


def _confirm(database: str, where: str) -> None:
    """Raises Conflict, unless the database's name is typed."""
    print(
        f"The database {database} of {where} will be put aside, and the backup takes its place.\n"
        f"Type {database} to go on: ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    if sys.stdin.readline().strip() != database:
        raise Conflict("Not confirmed, nothing was changed.", remedy="In a script, say --yes.")


def _restored(file: Path, done: Restored, where: str, beside: Path | None) -> Answer:
    """beside: the folder of a database that no configuration names yet."""
    manifest = done.manifest
    document = {
        "file": str(file),
        "database": done.database,
        "where": where,
        "rows": manifest.rows,
        "saved": manifest.started,
        "upgraded_to": done.upgraded_to,
        "put_aside": done.put_aside,
    }
    age_h = (datetime.now(UTC) - datetime.fromisoformat(manifest.started)).total_seconds() / 3600
    lines = [
        f"restored {manifest.rows:,} rows of {manifest.started} into {done.database} of {where}; all compared"
    ]
    if done.upgraded_to is not None:
        lines.append(f"its schema was brought from {manifest.schema} to {done.upgraded_to}")
    if done.put_aside is not None:
        lines.append(
            f'what was there is now {done.put_aside}; when you are sure: DROP DATABASE "{done.put_aside}"'
        )
    if beside is not None:
        lines.append(f'to run a server on it: [database] url = "embedded:{beside}" in its configuration')
    lines.append(
        f"What lampposts sent in the {age_h:.1f} h since then and was acknowledged is gone: they have deleted"
        " it. What they still hold is taken, once (docs/database.md)."
    )
    return Answer(0, document, lines)


def verify(options: argparse.Namespace) -> Answer:
    if options.file is None and options.drill:
        raise InvalidRequest("--drill is for a backup.", remedy="lamppost db verify FILE --drill")
    if options.on is not None and not options.drill:
        raise InvalidRequest("--on is for --drill.", remedy="lamppost db verify FILE --drill --on URL")
    if options.on is not None and _folder_of(options.on) is not None:
        raise InvalidRequest(
            "--on is the postgresql://… of a server.", remedy="Without it, the drill brings its own."
        )
    with _progress(options) as progress:
        if options.file is not None:
            on = options.on and _postgresql(options.on)
            findings = looking.look_at_backup(options.file, progress.told, drill=options.drill, on=on)
        else:
            with _reached(options) as context:
                now = context.clock.now()
                findings = looking.look_at_database(
                    context.db.url, progress.told, now, everything=options.all
                )
    whole = all_sound(findings)
    document = {"sound": whole, "findings": [finding.row() for finding in findings]}
    lines = [line for finding in findings for line in _lines(finding)]
    return Answer(0 if whole else 1, document, [*lines, "sound" if whole else "NOT SOUND"])


def _lines(finding: Finding) -> list[str]:
    told = [f"{MARKS[finding.verdict]}  {finding.check:<22}{finding.detail}"]
    return told + ([f"     to do: {finding.remedy}"] if finding.remedy else [])
