"""`lamppost ingest dead`: what could not be stored. Parsing; `fleet_server.ingest_commands` does it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fleet_server import ingest_commands as run
from fleet_server.command_line import Answer, add_command, answered, parsed
from fleet_server.config import ServerConfig
from fleet_server.context import Context, command_context
from fleet_server.errors import ConfigurationError
from fleet_server.telemetry.ingest.dead_letters import REASONS
from wire_contract.errors import InvalidName
from wire_contract.topics import Address

MAX_LISTED = 10_000
MAX_NUMBER = 2**63 - 1

EXAMPLES = """\
examples:
  lamppost ingest dead list                          what waits, the newest first
  lamppost ingest dead list --reason unknown_sensor --device lamp-07 --since 24h
  lamppost ingest dead list --all --json             what was replayed as well
  lamppost ingest dead show 41                       why, its properties, what is in it, its bytes
  lamppost ingest dead show 41 --raw /tmp/41.bin     the bytes as they came, to look at elsewhere
  lamppost ingest dead replay 41 42                  try these again, after the fix
  lamppost ingest dead replay --reason unknown_sensor
  lamppost ingest dead replay --all

It works on the database of the server's configuration (--config, --data), running or not. A letter is
stored at most once, however often it is tried. docs/ingest.md says what each reason means.
Exit status 0: done; 1: refused, or some letters are still not stored; 2: configuration or command line.
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="lamppost ingest",
        description="What lampposts sent and the server could not store: kept with its bytes, until it can.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    groups = made.add_subparsers(dest="group", required=True, metavar="WHAT")
    dead = groups.add_parser(
        "dead",
        help="messages that could not be stored",
        description="Messages that could not be stored.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = dead.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _list(add_command(commands, "list", "the newest first", run.dead_list))
    _show(add_command(commands, "show", "one letter: why, and what is in it", run.dead_show))
    _replay(add_command(commands, "replay", "try again, after the fix", run.dead_replay, why="--why"))
    return made


def _filters(one: argparse.ArgumentParser) -> None:
    told = f"only those with this reason: {', '.join(REASONS)}"
    one.add_argument("--reason", choices=REASONS, metavar="R", help=told)
    one.add_argument("--device", metavar="NAME", help="only of this lamppost")
    one.add_argument("--since", type=_since, metavar="WHEN", help="24h, 7d, or 2026-11-20T12:00Z: came since")


def _list(one: argparse.ArgumentParser) -> None:
    _filters(one)
    one.add_argument("--all", action="store_true", help="those that were replayed as well")
    one.add_argument("--limit", type=_whole(1, MAX_LISTED), default=100, metavar="N", help="at most (100)")
    one.add_argument(
        "--before", type=_whole(1, MAX_NUMBER), metavar="ID", help="go on below the last one shown"
    )


def _show(one: argparse.ArgumentParser) -> None:
    one.add_argument("id", type=_whole(1, MAX_NUMBER))
    one.add_argument("--raw", type=Path, metavar="FILE", help="write its bytes to a new file")


def _replay(one: argparse.ArgumentParser) -> None:
    one.add_argument("id", type=_whole(1, MAX_NUMBER), nargs="*")
    _filters(one)
    one.add_argument("--all", action="store_true", help="everything that waits")


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,19}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a number from {least} to {most}")
        return int(text)

    return read


def _since(text: str) -> timedelta | datetime:
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", text)
    if found:
        return timedelta(**{{"m": "minutes", "h": "hours", "d": "days"}[found[2]]: int(found[1])})
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is no time: 24h, 7d or 2026-11-20T12:00Z") from None
    return told if told.tzinfo is not None else told.replace(tzinfo=UTC)


def main(argv: list[str]) -> int:
    """See `EXAMPLES` for the exit statuses. An operator's mistake is one line on stderr."""
    made = parser()
    options = parsed(made, argv)
    if options.command == "replay":
        filtered = options.all or options.reason or options.device or options.since
        if bool(options.id) == bool(filtered):
            made.error("replay: give the numbers of letters, or --reason, --device, --since or --all")
    name = f"lamppost ingest {options.group} {options.command}"
    return answered(name, options, _acted, stopped="stopped; what was stored until now stays stored")


def _acted(options: argparse.Namespace) -> Answer:
    config: ServerConfig = options.loaded
    act: Callable[[Context, argparse.Namespace], Answer] = options.act
    if options.command != "show":
        options.device = _address(options.device, config.tenant.name)
    run.check_there_is_a_server(config)
    with command_context(config) as ctx:
        run.check_schema(ctx)
        if options.command != "show":
            run.check_lamppost(ctx, options.device)
        return act(ctx, options)


def _address(name: str | None, tenant: str) -> str | None:
    """`tenant/name` of a lamppost. Raises ConfigurationError."""
    if name is None:
        return None
    try:
        return str(Address.parse(name) if "/" in name else Address(tenant, name))
    except InvalidName as error:
        raise ConfigurationError(f"--device: {error}") from None
