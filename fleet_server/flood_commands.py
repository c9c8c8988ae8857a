"""What `lamppost fleet floods` does: which lampposts sent more than a lamppost sends."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import datetime
from typing import Any

from fleet_server.admin_commands import Row, console
from fleet_server.context import Context
from fleet_server.errors import InvalidRequest
from fleet_server.limits import service

EXAMPLES = """\
examples:
  lamppost fleet floods list                    the newest first
  lamppost fleet floods list --limit 20 --json
  lamppost fleet lamppost activate lamp-07      let it in before its time is over
  lamppost fleet lamppost quarantine lamp-07    keep it out when its time is over
"""
LIST_MOST = 10_000


def add(group: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """The group's commands; `command(group, name, what, act)` makes one."""
    made = command(group, "list", "what was counted as a flood, the newest first", flood_list)
    made.add_argument("--limit", type=int, default=100, metavar="N", help=f"1 to {LIST_MOST} (100)")


def flood_list(ctx: Context, options: argparse.Namespace) -> list[Row]:
    if not 1 <= options.limit <= LIST_MOST:
        raise InvalidRequest(f"--limit {options.limit}: from 1 to {LIST_MOST}.")
    found = service.list_floods(ctx, console(), before_id=2**62, limit=options.limit)
    return [
        {
            "lamppost": str(each.address),
            "state": each.state.value,
            "seen": _told(each.seen_at),
            "messages": each.rate.messages,
            "bytes": each.rate.bytes,
            "until": _told(each.until),
            "ended": _told(each.ended_at),
        }
        for each in found
    ]


def _told(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat(timespec="seconds")
