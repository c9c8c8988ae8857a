"""What `lamppost fleet certificates` does: a lamppost's certificates, and revoking one of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import datetime
from typing import Any

from fleet_server.admin_commands import Row, address_of, console
from fleet_server.context import Context
from fleet_server.enrolment import revoking
from fleet_server.enrolment.revoking import Known, Reason

EXAMPLES = """\
examples:
  lamppost fleet certificates list lamp-07
  lamppost fleet certificates revoke lamp-07 3fa94c0d8e71 --reason keyCompromise
  lamppost fleet certificates revoke porto/lamp-07 3fa94c0d8e71 --reason superseded --json

To shut a lamppost out with all that it has: lamppost fleet lamppost quarantine NAME, which can be taken back.
"""


def add(group: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """The group's commands; `command(group, name, what, act)` makes one."""
    listed = command(group, "list", "those that a lamppost was given, the newest first", certificates_list)
    revoke = command(group, "revoke", "revoke one for good", certificates_revoke, why="--why")
    for each in (listed, revoke):
        each.add_argument("name", metavar="[TENANT/]NAME")
    revoke.add_argument("serial", metavar="SERIAL", help="hexadecimal, as the list shows it")
    words = list(map(str, Reason))
    revoke.add_argument("--reason", required=True, choices=words, metavar="WORD", help=", ".join(words))


def certificates_list(ctx: Context, options: argparse.Namespace) -> list[Row]:
    found = revoking.certificates(ctx, console(), address_of(ctx, options.name))
    return [_row(each) for each in found]


def certificates_revoke(ctx: Context, options: argparse.Namespace) -> list[Row]:
    address, reason = address_of(ctx, options.name), Reason(options.reason)
    done = revoking.revoke(ctx, console(), address, options.serial, reason)
    return [_row(done.known) | {"changed": "yes" if done.changed else "no", "follows": done.follows}]


def _row(known: Known) -> Row:
    made = known.certificate
    return {
        "serial": made.serial,
        "state": str(known.standing),
        "reason": known.reason or None,
        "from": _told(made.issued_at),
        "until": _told(made.not_after),
        "revoked": _told(made.revoked_at),
        "key fingerprint": made.key_fingerprint,
    }


def _told(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat(timespec="seconds")
