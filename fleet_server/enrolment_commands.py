"""What `lamppost fleet batch`, `keys` and `alarms` do: enrolment in advance, and claims used twice."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fleet_server.access import service as access
from fleet_server.admin_commands import Row, console, coordinates, duration
from fleet_server.context import Context
from fleet_server.devices.service import Place
from fleet_server.enrolment import batches, registered_keys, rules
from fleet_server.errors import InvalidRequest

BATCH_EXAMPLES = """\
examples:
  lamppost fleet batch new --technician ana --number 20 --district Harbour
  lamppost fleet batch new --technician ana --number 20 --from 2026-12-01 --for 2d --json
  lamppost fleet batch list
  lamppost fleet batch revoke 7k3m9qxd --reason "phone lost"
  lamppost fleet batch resume 7k3m9qxd
"""
KEY_EXAMPLES = """\
examples:
  lamppost fleet keys add lamp-07 --key lamp-07.pub --site "Market Square 3"
  lamppost fleet keys add lamp-07 --fingerprint 1f0a-22b4-9c01-77c3-0d1e-5a6b-8c2f-41d9
  lamppost fleet keys import delivery.csv        columns: device,key,site,district (key: PEM or fingerprint)
  lamppost fleet keys list

A registered key is taken back with `lamppost fleet claim withdraw CLAIM`.
"""
ALARM_EXAMPLES = """\
examples:
  lamppost fleet alarms list
  lamppost fleet alarms seen 3

An alarm: a claim that one key had used was shown with another. Its batch is suspended.
"""
Make = Callable[..., argparse.ArgumentParser]
_COLUMNS = {"device", "key", "site", "district"}
MOST_FILE_BYTES = 4 * 1024 * 1024


def add_batch(group: Any, command: Make) -> None:
    new = command(group, "new", "claims in advance; their secrets are printed once", batch_new)
    new.add_argument("--technician", required=True, metavar="NAME", help="whose they are")
    new.add_argument("--number", required=True, type=int, metavar="N", help=f"1 to {rules.BATCH_MOST}")
    new.add_argument("--district", default="", metavar="NAME")
    new.add_argument("--from", dest="since", type=_day, metavar="DATE", help="UTC, 2026-12-01; default: now")
    new.add_argument("--for", dest="life", type=duration, default=timedelta(days=1), metavar="TIME")
    command(group, "list", "the newest first", batch_list)
    for name, what, act in (
        ("revoke", "take back every claim that is not accepted", batches.revoke),
        ("resume", "its unused claims may be used again, after an alarm", batches.resume),
    ):
        made = command(group, name, what, batch_change)
        made.add_argument("id", metavar="BATCH")
        made.set_defaults(change=act)


def add_keys(group: Any, command: Make) -> None:
    add = command(group, "add", "a lamppost's public key, before it asks", keys_add)
    add.add_argument("device", metavar="NAME")
    key = add.add_mutually_exclusive_group(required=True)
    key.add_argument("--key", type=Path, metavar="FILE", help="public key in PEM")
    key.add_argument("--fingerprint", metavar="TEXT", help="as the lamppost shows it")
    add.add_argument("--site", default="", metavar="TEXT")
    add.add_argument("--at", type=coordinates, metavar="LAT,LON", help="degrees, as in 41.1496,-8.6109")
    add.add_argument("--district", default="", metavar="NAME")
    many = command(group, "import", "many, from a CSV file: all of them or none", keys_import)
    many.add_argument("file", type=Path, metavar="FILE")
    for each in (add, many):
        each.add_argument("--expires", type=duration, default=rules.KEY_LIFE, metavar="TIME", help="365d")
    command(group, "list", "those that no lamppost has used yet", keys_list)


def add_alarms(group: Any, command: Make) -> None:
    listed = command(group, "list", "claims that were used twice", alarms_list)
    listed.add_argument("--all", action="store_true", help="those that somebody looked at, too")
    command(group, "seen", "say that you have looked at it", alarms_seen).add_argument("id", type=int)


def batch_new(ctx: Context, options: argparse.Namespace) -> list[Row]:
    made = batches.make_batch(
        ctx, console(), options.technician, options.number,
        district=options.district, valid_from=options.since, life=options.life,
    )  # fmt: skip
    if options.technician not in {each.name for each in access.list_operators(ctx, console())}:
        told = f"{options.technician} is no account here; the claims are made all the same."
        print(told, file=sys.stderr)  # a crew or a firm may be given them
    until = _instant(made.batch.valid_until)
    return [{"batch": made.batch.id, "claim": token, "until": until} for token in made.tokens]


def batch_list(ctx: Context, _: argparse.Namespace) -> list[Row]:
    return [_batch(each) for each in batches.batches(ctx, console())]


def batch_change(ctx: Context, options: argparse.Namespace) -> list[Row]:
    return [_batch(options.change(ctx, console(), options.id, options.why))]


def keys_add(ctx: Context, options: argparse.Namespace) -> list[Row]:
    latitude, longitude = options.at or (None, None)
    key = options.fingerprint if options.key is None else _text(options.key)
    place = Place(latitude, longitude, options.district)
    return _register(
        ctx, [registered_keys.Vouched(options.device, key, options.site, place)], options.expires
    )


def keys_import(ctx: Context, options: argparse.Namespace) -> list[Row]:
    try:
        lines = list(csv.DictReader(_text(options.file).splitlines(keepends=True), strict=True))
    except csv.Error as wrong:
        raise InvalidRequest(f"{options.file} is not CSV: {wrong}.") from None
    given = set(lines[0]) if lines else set()
    if not {"device", "key"} <= given or given - _COLUMNS:
        raise InvalidRequest(f"{options.file}: the first line names device,key and may name site,district.")
    vouched = []
    for number, line in enumerate(lines, start=2):
        if None in line or None in line.values():
            raise InvalidRequest(f"{options.file}: entry {number} has too many or too few columns.")
        place = Place(None, None, line.get("district") or "")
        vouched.append(registered_keys.Vouched(line["device"], line["key"], line.get("site") or "", place))
    return _register(ctx, vouched, options.expires)


def keys_list(ctx: Context, _: argparse.Namespace) -> list[Row]:
    return [_key(each) for each in registered_keys.registered_keys(ctx, console())]


def alarms_list(ctx: Context, options: argparse.Namespace) -> list[Row]:
    return [_alarm(each) for each in batches.alarms(ctx, console(), seen=options.all)]


def alarms_seen(ctx: Context, options: argparse.Namespace) -> list[Row]:
    return [_alarm(batches.see_alarm(ctx, console(), options.id))]


def _register(ctx: Context, vouched: list[registered_keys.Vouched], life: timedelta) -> list[Row]:
    return [_key(each) for each in registered_keys.register_keys(ctx, console(), vouched, life=life)]


def _batch(b: batches.Batch) -> Row:
    return {
        "batch": b.id,
        "state": str(b.state),
        "technician": b.technician,
        "district": b.district or None,
        "claims": b.size,
        "unused": b.unused,
        "used": b.used,
        "from": _instant(b.valid_from),
        "until": _instant(b.valid_until),
        "reason": b.reason or None,
    }


def _key(found: registered_keys.Enrolment) -> Row:
    return {
        "claim": found.claim_id,
        "device": found.device,
        "key": found.registered_key,
        "site": found.site or None,
        "expires": _instant(found.expires_at),
    }


def _alarm(a: batches.Alarm) -> Row:
    return {
        "id": a.id,
        "at": _instant(a.at),
        "claim": a.claim_id,
        "device": a.device,
        "key": a.key_fingerprint,
        "seen by": a.seen_by or None,
    }


def _instant(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def _day(text: str) -> datetime:
    """`2026-12-01` or `2026-12-01T06:00`, UTC. Raises argparse.ArgumentTypeError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a day such as 2026-12-01") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > MOST_FILE_BYTES:
            raise InvalidRequest(f"{file} is larger than {MOST_FILE_BYTES} bytes.")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} cannot be read: {error}.") from None
