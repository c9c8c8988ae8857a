"""What `lamppost fleet command` does: tell lampposts, see what came of it, fetch what it brought."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from fleet_server.admin_commands import Row, address_of, console, duration
from fleet_server.commands import rules, service
from fleet_server.commands.rules import ENDS, EXPIRY, RATE, TIMEOUT, State
from fleet_server.commands.service import Ask, CommandName, CommandRecord, Wanted
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.errors import ConfigurationError, Conflict, InvalidRequest
from fleet_server.progress import Progress

EXAMPLES = """\
examples:
  lamppost fleet command send ping lamp-07 --wait
  lamppost fleet command send sensors lamp-07 --wait       reads each sensor once
  lamppost fleet command send restart lamp-07 lamp-08 --rate 10 --reason "new sensors"
  lamppost fleet command send logs @harbour --lines 500
  lamppost fleet command bundle lamp-07 --to lamp-07.tar.zst
  lamppost fleet command list --lamppost lamp-07 --state queued
  lamppost fleet command show 12
  lamppost fleet command file 12 --to log.tar.zst
  lamppost fleet command cancel 12
  tar --zstd -xf lamp-07.tar.zst

A lamppost that is away gets it when it is back, until it expires. What has begun is not stopped.
"""
LOOK_EVERY_S = 0.5


def add(group: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """The group's commands; `command(group, name, what, act)` makes one."""
    send = command(group, "send", "tell lampposts to do something", send_many)
    send.add_argument("what", choices=list(map(str, CommandName)), metavar="COMMAND", help=_what())
    send.add_argument("name", nargs="+", metavar="[TENANT/]NAME", help="or @GROUP: who is in it now")
    send.add_argument("--rate", type=int, default=RATE, metavar="N", help=f"so many a minute ({RATE})")
    send.add_argument("--key", default="", help="asking again with it sends nothing twice")
    send.add_argument("--wait", action="store_true", help="until all have ended; 1 where one did not succeed")
    bundle = command(group, "bundle", "ask for a support bundle, wait for it and save it", fetch_bundle)
    bundle.add_argument("name", metavar="[TENANT/]NAME")
    for each in (send, bundle):
        each.add_argument("--lines", type=int, metavar="N", help=f"of logs: how many ({rules.LINES})")
        each.add_argument("--expires", type=duration, default=EXPIRY, metavar="TIME", help="5m, 7d (24h)")
        each.add_argument(
            "--timeout", type=duration, default=TIMEOUT, metavar="TIME", help="once it began (15m)"
        )
    listed = command(group, "list", "the newest first", list_commands)
    listed.add_argument("--lamppost", metavar="[TENANT/]NAME")
    listed.add_argument("--state", choices=list(map(str, State)), metavar="STATE", help=", ".join(State))
    listed.add_argument("--bulk", metavar="ID", help="those that were sent with one call")
    listed.add_argument("--limit", type=int, default=100)
    shown = command(group, "show", "one, with what came of it", show)
    file = command(group, "file", "save what it brought", fetch)
    canceled = command(group, "cancel", "take it back, while no lamppost has begun with it", cancel)
    for each in (shown, file, canceled):
        each.add_argument("id", help="a number" + (", or a bulk's id" if each is canceled else ""))
    for each in (bundle, file):
        each.add_argument("--to", type=Path, required=True, metavar="FILE", help="must not exist yet")


def _what() -> str:
    return "; ".join(f"{name}: {rule.what}" for name, rule in rules.RULES.items())


def send_many(ctx: Context, options: argparse.Namespace) -> list[Row]:
    wanted = _ask(options, CommandName(options.what), options.key)
    if options.name[0].startswith("@"):
        if len(options.name) > 1:
            raise InvalidRequest("One group at a time, and no names beside it.")
        bulk = service.ask_group(ctx, console(), options.name[0][1:], wanted, options.rate)
    else:
        addresses = [address_of(ctx, name) for name in options.name]
        if len(addresses) == 1:
            return _told(ctx, options, [service.ask(ctx, console(), addresses[0], wanted)])
        bulk = service.ask_many(ctx, console(), addresses, wanted, options.rate)
    found = service.list_commands(ctx, console(), Wanted(bulk=bulk.id, limit=bulk.commands))
    return _told(ctx, options, found)


def _told(ctx: Context, options: argparse.Namespace, found: Sequence[CommandRecord]) -> list[Row]:
    if not options.wait:
        return [_row(each) for each in reversed(found)]
    return [_row(each) for each in _awaited(ctx, [each.id for each in reversed(found)])]


def fetch_bundle(ctx: Context, options: argparse.Namespace) -> list[Row]:
    _check_free(options.to)
    wanted = _ask(options, CommandName.BUNDLE, "")
    made = service.ask(ctx, console(), address_of(ctx, options.name), wanted)
    [ended] = _awaited(ctx, [made.id], until=lambda each: each.file is not None and each.file.complete)
    return [_saved(ctx, ended.id, options.to)]


def list_commands(ctx: Context, options: argparse.Namespace) -> list[Row]:
    address = None if options.lamppost is None else address_of(ctx, options.lamppost)
    if address is not None:
        devices.get_device(ctx, console(), address)  # a mistyped name is told from one without commands
    states = (State(options.state),) if options.state else ()
    if not 1 <= options.limit <= 10_000:
        raise InvalidRequest("--limit is from 1 to 10000.")
    wanted = Wanted(address=address, states=states, bulk=options.bulk, limit=options.limit)
    return [_row(each) for each in service.list_commands(ctx, console(), wanted)]


def show(ctx: Context, options: argparse.Namespace) -> list[Row]:
    found = service.get_command(ctx, console(), _number(options.id))
    more: Row = {"reason": found.reason or None, "bulk": found.bulk, "sent": _at(found.sent_at)}
    more |= {"times sent": found.sendings, "began": _at(found.began_at), "late": found.late or None}
    file = None if found.file is None else f"{found.file.name}, {found.file.pieces} of {found.file.of} pieces"
    return [_row(found) | more | {"file": file} | found.result]


def fetch(ctx: Context, options: argparse.Namespace) -> list[Row]:
    _check_free(options.to)
    return [_saved(ctx, _number(options.id), options.to)]


def cancel(ctx: Context, options: argparse.Namespace) -> list[Row]:
    if len(options.id) == 16:
        found = service.cancel_bulk(ctx, console(), options.id, options.why)
        counts: Row = {str(state): n for state, n in found.counts.items()}
        return [{"bulk": found.id, **counts}]
    return [_row(service.cancel(ctx, console(), _number(options.id), options.why))]


def _ask(options: argparse.Namespace, name: CommandName, key: str) -> Ask:
    lines = getattr(options, "lines", None)
    arguments = {} if lines is None else {"lines": str(lines)}
    return Ask(name, arguments, options.why, options.expires, options.timeout, key)


def _awaited(
    ctx: Context,
    ids: Sequence[int],
    until: Callable[[CommandRecord], bool] = lambda _: True,
) -> list[CommandRecord]:
    """Until each has ended, and `until` is so of those that succeeded. Raises Conflict where one did not."""
    progress = Progress(every_s=5.0)
    while True:
        found = [service.get_command(ctx, console(), each) for each in ids]
        bad = [each for each in found if each.state in ENDS and each.state is not State.SUCCEEDED]
        open_ones = [each for each in found if each.state not in ENDS]
        if not open_ones and (bad or all(until(each) for each in found)):
            break
        progress.told(_waiting(open_ones or found))
        time.sleep(LOOK_EVERY_S)
    progress.done()
    if bad:
        told = "; ".join(f"{each.address}: {each.state}, {_why(each)}" for each in bad[:5])
        more = f"; and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise Conflict(f"{len(bad)} of {len(found)} did not succeed: {told}{more}.")
    return found


def _why(found: CommandRecord) -> str:
    result = "; ".join(f"{name}: {text}" for name, text in found.result.items())
    return f"{found.detail} ({result})" if result else found.detail


def _waiting(found: Iterable[CommandRecord]) -> str:
    states = [str(each.state) for each in found]
    return "waiting: " + ", ".join(f"{states.count(each)} {each}" for each in dict.fromkeys(states))


def _saved(ctx: Context, command_id: int, path: Path) -> Row:
    """Raises ConfigurationError where it cannot be written."""
    record, content = service.fetch_file(ctx, console(), command_id)
    try:
        # for whoever asked alone: a log may tell what nobody thought of
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}.") from error
    return {"command": command_id, "file": str(path), "bytes": record.size, "sha256": record.sha256.hex()}


def _check_free(path: Path) -> None:
    """Before a lamppost sends it. Raises ConfigurationError."""
    if path.exists():
        raise ConfigurationError(f"{path} is there already.", remedy="Name another file with --to.")
    if not path.parent.is_dir():
        raise ConfigurationError(f"There is no folder {path.parent}.", remedy="Make it, or name another.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{path.parent} may not be written to.", remedy="Name another with --to.")


def _number(text: str) -> int:
    """Raises InvalidRequest."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidRequest(f"{text[:40]!r} is no command's number.")
    return int(text)


def _row(found: CommandRecord) -> Row:
    return {
        "id": found.id,
        "lamppost": str(found.address),
        "command": found.name,
        "state": str(found.state),
        "asked": _at(found.asked_at),
        "by": found.asked_by,
        "ended": _at(found.ended_at),
        "detail": found.detail or None,
    }


def _at(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat(timespec="seconds")
