"""`lamppost audit`: the audit log from a terminal. Parsing; `fleet_server.audit_commands` does it."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime
from pathlib import Path

from fleet_server import audit_commands as run
from fleet_server.auditor.service import MOST, Place
from fleet_server.command_line import add_command, answered, parsed

EXAMPLES = """\
examples:
  lamppost audit list                                    the newest first
  lamppost audit list --who ana --action devices: --from 2026-11-01
  lamppost audit list --outcome refused --from 2026-11-20
  lamppost audit show 812                                one line, before and after
  lamppost audit verify                                  is the log the one that was written?
  lamppost audit verify audit.jsonl --key checkpoint-4f….pem      an export, anywhere, without a server
  lamppost audit verify --seen 812:3fa9…                 and is line 812 still the one that you noted down?
  lamppost audit export audit.jsonl --from 2026-10-01 --to 2026-11-01
  lamppost audit export audit.csv --format csv --without-names
  lamppost audit checkpoint                              sign for the newest line now
  lamppost audit keys                                    the public keys, for whoever verifies

It works on the database of the server's configuration (--config, --data), running or not. docs/audit.md says
what is in a line. Exit status 0: done, or the log is sound; 1: refused, or it is NOT sound; 2: configuration
or command line.
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="lamppost audit",
        description="Who did what, on what, from where and why: in a log that shows when it was changed.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    listed = add_command(commands, "list", "lines, the newest first", run.list_lines)
    listed.add_argument("--before", type=_number, metavar="N", help="go on below the last one shown")
    listed.add_argument("--limit", type=_limit, default=50, metavar="N", help=f"at most (50; {MOST})")
    add_command(commands, "show", "one line, with all that is in it", run.show).add_argument(
        "number", type=_number
    )
    export = add_command(commands, "export", "write the log to a new file, for an auditor", run.export)
    export.add_argument("file", type=Path, metavar="FILE")
    export.add_argument("--format", choices=("jsonl", "csv"), default="jsonl", help="jsonl can be verified")
    export.add_argument("--without-names", action="store_true", help="without names, addresses and reasons")
    for each in (listed, export):
        _add_which(each, "" if each is listed else "; of csv alone")
        each.add_argument("--from", dest="begins", type=_instant, metavar="TIME", help="UTC, or with a zone")
        each.add_argument("--to", dest="ends", type=_instant, metavar="TIME")
    verify = add_command(commands, "verify", "is it the log that was written?", run.verify)
    verify.add_argument("file", type=Path, nargs="?", metavar="FILE", help="an export (jsonl), offline")
    verify.add_argument("--key", type=Path, action="append", metavar="FILE", help="public key (PEM); repeat")
    verify.add_argument(
        "--seen",
        type=_seen,
        action="append",
        default=[],
        metavar="N:HASH",
        help="a line's hash, noted elsewhere",
    )
    add_command(commands, "checkpoint", "sign for the newest line now", run.checkpoint)
    add_command(commands, "keys", "the public keys of checkpoints", run.keys)
    return made


def _add_which(each: argparse.ArgumentParser, more: str) -> None:
    each.add_argument("--action", default="", metavar="A", help=f"devices:change, or devices: for all{more}")
    each.add_argument("--who", default="", metavar="NAME", help=f"an account, a service or a device{more}")
    each.add_argument("--resource", default="", metavar="NAME", help=f"what was acted on{more}")
    each.add_argument(
        "--outcome", choices=("done", "refused", "locked"), default="", help=f"what came of it{more}"
    )


def _number(text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,17}", text):
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not the number of a line")
    return int(text)


def _limit(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= MOST:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a number from 1 to {MOST}")
    return int(text)


def _instant(text: str) -> datetime:
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is no time such as 2026-11-20T12:00Z") from None
    return told if told.tzinfo is not None else told.replace(tzinfo=UTC)


def _seen(text: str) -> Place:
    found = re.fullmatch(r"([1-9][0-9]{0,17}):([0-9a-f]{64})", text.lower())
    if found is None:
        raise argparse.ArgumentTypeError(
            f"{text[:80]!r} is not N:HASH, a line's number and its 64 hex digits"
        )
    return Place(int(found[1]), bytes.fromhex(found[2]))


def main(argv: list[str]) -> int:
    """See `EXAMPLES` for the exit statuses. An operator's mistake is one line on stderr."""
    options = parsed(parser(), argv)
    return answered(f"lamppost audit {options.command}", options, options.act)
