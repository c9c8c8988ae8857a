"""`lamppost privacy`: what a person may ask about their data, from a terminal."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from fleet_server.admin_commands import console
from fleet_server.audit_commands import reached
from fleet_server.command_line import Act, Answer, add_command, answered, parsed
from fleet_server.errors import InvalidRequest
from fleet_server.privacy import service
from fleet_server.privacy.service import Found

EXAMPLES = """\
examples:
  lamppost privacy inventory                            where personal data may lie, and how long
  lamppost privacy find ana "Ana Silva"                 an account, a name in full, an address
  lamppost privacy find "alvares jose"                  finds José Álvares, too, and says so
  lamppost privacy export ana "Ana Silva" --to ana.json     a copy, for her
  lamppost privacy erase ana "Ana Silva" --reason "request 17 of 2026"

erase puts a tombstone in the person's place and shuts the account; measurements stay, and so do the lines of
the audit log. Where policy asks for it, another person agrees first: lamppost fleet approvals. docs/audit.md.
Exit status 0: done; 1: refused, or nobody was found; 2: configuration or command line.
"""
COPY_FILE_MODE = 0o600


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="lamppost privacy",
        description="Somebody's personal data: find, export, erase.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    acts: tuple[tuple[str, str, Act], ...] = (
        ("inventory", "where personal data may lie", _inventory),
        ("find", "where somebody's lies", _find),
        ("export", "a copy of it, in a new file", _export),
        ("erase", "put a tombstone in the person's place", _erase),
    )
    for name, what, act in acts:
        one = add_command(commands, name, what, act)
        if name != "inventory":
            one.add_argument("names", nargs="+", metavar="NAME", help="each that the person goes by")
        if name == "export":
            one.add_argument("--to", type=Path, required=True, metavar="FILE")
        if name == "erase":
            one.add_argument("--yes", action="store_true", help="do not ask")
    return made


def _inventory(options: argparse.Namespace) -> Answer:
    with reached(options) as ctx:
        places = service.inventory(ctx, console())
    rows = [
        {"place": f"{p.table}.{p.column}", "how": str(p.how), "whose": p.whose, "kept": str(p.kept)}
        for p in places
    ]
    lines = [f"{row['place']:<34}{row['how']:<22}{row['kept']:<50}{row['whose']}" for row in rows]
    return Answer(0, {"places": rows}, lines)


def _find(options: argparse.Namespace) -> Answer:
    with reached(options) as ctx:
        found = service.find(ctx, console(), options.names)
    spelled = service.spelled(found)
    more = [f"also written: {each}" for each in spelled]
    if more:
        more.append("Who is meant by these as well is given to export and erase by each of them.")
    return Answer(0 if found else 1, {"places": _rows(found), "spelled": spelled}, [*_lines(found), *more])


def _export(options: argparse.Namespace) -> Answer:
    rows: Counter[str] = Counter()
    with reached(options) as ctx, _new_file(options.to) as opened:
        copy = service.export(ctx, console(), options.names)
        opened.writelines(service.as_json(_counted(copy, rows)))
    lines = [f"{place:<34}{number:>7} rows" for place, number in rows.items()]
    told = {"file": str(options.to), "places": dict(rows)}
    return Answer(0 if rows else 1, told, [*lines, f"written to {options.to}"])


def _counted(copy: Iterator[tuple[str, Any]], rows: Counter[str]) -> Iterator[tuple[str, Any]]:
    for place, row in copy:
        rows[place] += 1
        yield place, row


def _erase(options: argparse.Namespace) -> Answer:
    if not options.yes:
        _confirm(options.names)
    with reached(options) as ctx:
        done = service.erase(ctx, console(), options.names, options.why)
    told = {"tombstone": done.tombstone, "account_shut": done.account_shut, "places": _rows(done.places)}
    shut = ["the account is shut for good"] if done.account_shut else []
    return Answer(0, told, [*_lines(done.places), *shut, f"{done.tombstone} stands in the person's place"])


def _confirm(names: Sequence[str]) -> None:
    """Raises InvalidRequest, unless the first name is typed again."""
    print(f"This cannot be taken back. Type {names[0]} to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != names[0]:
        raise InvalidRequest("Not confirmed, nothing was changed.", remedy="In a script, say --yes.")


@contextmanager
def _new_file(file: Path) -> Iterator[TextIO]:
    """A new file, the owner's alone; none where it could not be written to its end. Raises InvalidRequest."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, COPY_FILE_MODE)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as opened:
                yield opened
        except BaseException:
            file.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InvalidRequest(f"{file} cannot be written: {error.strerror}.") from error


def _rows(found: Sequence[Found]) -> list[dict[str, Any]]:
    return [
        {"place": f"{e.place.table}.{e.place.column}", "whose": e.place.whose, "rows": e.rows} for e in found
    ]


def _lines(found: Sequence[Found]) -> list[str]:
    return [f"{row['place']:<34}{row['rows']:>7}  {row['whose']}" for row in _rows(found)] or ["nowhere"]


def main(argv: list[str]) -> int:
    """See `EXAMPLES` for the exit statuses. An operator's mistake is one line on stderr."""
    options = parsed(parser(), argv)
    name = f"lamppost privacy {options.command}"
    return answered(name, options, options.act, stopped="stopped, nothing was changed")
