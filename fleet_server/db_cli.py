"""`lamppost db`: the city's database as a whole. Parsing and words; `fleet_server.database` does it."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from fleet_server import db_commands as run
from fleet_server.command_line import add_command, answered, parsed

EXAMPLES = """\
examples:
  lamppost db upgrade --check                   is anything pending? exit status 1 where it is
  lamppost db backup /srv/backups --keep 14     while the server runs; from cron each night
  lamppost db verify                            is what was acked there? are the rollups right?
  lamppost db verify /srv/backups/lamppost-bonn-20261120T030000Z.backup --drill
  lamppost db restore FILE --into /srv/trial    into a new folder, beside what runs
  lamppost db restore FILE --replace            what is there is put aside, not dropped

It works on the database of the server's configuration (--config, --data), running or not.
Exit status 0: done, or sound; 1: refused, pending, or not sound; 2: configuration or command line are wrong.
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="lamppost db",
        description="Upgrade the city's database, save it, bring it back, look whether it is sound.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = partial(add_command, commands)
    upgrade = command("upgrade", "bring the schema to this program's newest step", run.upgrade)
    upgrade.add_argument(
        "--check", action="store_true", help="only say what is pending; status 1 where it is"
    )
    backup = command("backup", "save it while it is in use, with a manifest beside", run.backup)
    backup.add_argument(
        "where", type=Path, metavar="FILE_OR_DIR", help="a new file, or a folder to name one in"
    )
    backup.add_argument("--keep", type=_count, metavar="N", help="in that folder, the newest N of this city")
    restore = command("restore", "bring a backup back; what is there is put aside", run.restore_backup)
    restore.add_argument("file", type=Path, metavar="FILE")
    restore.add_argument(
        "--into", metavar="DIR|URL", help="another database: a new folder (embedded), or postgresql://…"
    )
    restore.add_argument("--replace", action="store_true", help="also where the database is not empty; asks")
    restore.add_argument("--yes", action="store_true", help="do not ask")
    verify = command("verify", "look whether the database, or a backup, is sound", run.verify)
    verify.add_argument("file", type=Path, nargs="?", metavar="FILE", help="a backup; without, the database")
    verify.add_argument(
        "--all", action="store_true", help="every hour's rollups, every page (minutes to hours)"
    )
    verify.add_argument("--drill", action="store_true", help="restore FILE into a server that is thrown away")
    verify.add_argument(
        "--on", metavar="URL", help="the drill's server, postgresql://…: what is made there is dropped"
    )
    return made


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a number from 1 to 10000")
    return int(text)


def main(argv: list[str]) -> int:
    """See `EXAMPLES` for the exit statuses. An operator's mistake is one line on stderr."""
    options = parsed(parser(), argv)
    name = f"lamppost db {options.command}"
    return answered(name, options, options.act, stopped="stopped; nothing was changed")
