"""What `lamppost fleet` does: each command calls one service and returns rows to print."""

from __future__ import annotations

import argparse
import getpass
import re
from datetime import datetime, timedelta
from typing import Any

from fleet_server.access.rules import CONSOLE, Principal
from fleet_server.air import commands as air
from fleet_server.air import service as air_quality
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.enrolment import service as enrolment
from fleet_server.enrolment import standing
from fleet_server.enrolment.rules import State
from fleet_server.enrolment.store import Enrolment
from fleet_server.errors import Conflict, InvalidRequest
from wire_contract.errors import InvalidName
from wire_contract.topics import Address

Row = dict[str, Any]
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def console() -> Principal:
    """Who acts from the command line: the console role, under the system user's name."""
    return Principal("service", f"console:{getpass.getuser()}", CONSOLE.roles)


def duration(text: str) -> timedelta:
    """`5m`, `24h`, `7d`. Raises argparse.ArgumentTypeError."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 5m, 24h or 7d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def coordinates(text: str) -> tuple[float, float]:
    """`41.1496,-8.6109`, in degrees. Raises argparse.ArgumentTypeError; the range is the service's affair."""
    latitude, comma, longitude = text.partition(",")
    try:
        return float(latitude), float(longitude if comma else "")
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not LAT,LON such as 41.1496,-8.6109") from None


def claim_new(ctx: Context, options: argparse.Namespace) -> list[Row]:
    latitude, longitude = options.at or (None, None)
    place = devices.Place(latitude, longitude, options.district)
    made = enrolment.make_claim(
        ctx, console(), options.device, options.site,
        place=place, life=options.expires, replaces=options.replaces,
    )  # fmt: skip
    found = made.enrolment
    return [
        {
            "claim": made.token,
            "device": found.device or "(free)",
            "site": found.site or None,
            "expires": _instant(found.expires_at),
        }
    ]


def claim_list(ctx: Context, _: argparse.Namespace) -> list[Row]:
    return [_claim(each) for each in enrolment.list_enrolments(ctx, console(), (State.CLAIMED,))]


def claim_withdraw(ctx: Context, options: argparse.Namespace) -> list[Row]:
    return [_claim(enrolment.withdraw(ctx, console(), options.claim))]


def enrolments_list(ctx: Context, options: argparse.Namespace) -> list[Row]:
    states = (State(options.state),) if options.state else ()
    return [_enrolment(each) for each in enrolment.list_enrolments(ctx, console(), states)]


def enrolments_accept(ctx: Context, options: argparse.Namespace) -> list[Row]:
    found = enrolment.get_enrolment(ctx, console(), options.id)
    if options.fingerprint and not found.key_fingerprint:
        raise Conflict(
            f"Nothing was changed: no lamppost has asked with the claim of enrolment {found.id} yet.",
            remedy="There is no key to compare; see `lamppost fleet enrolments list --state pending`.",
        )
    if options.fingerprint and _digits(options.fingerprint) != _digits(found.key_fingerprint):
        raise Conflict(
            f"Nothing was changed: the fingerprint of enrolment {found.id} is {found.key_fingerprint}.",
            remedy="If the lamppost shows another, somebody else asked in its name: reject it.",
        )
    return [_enrolment(enrolment.accept(ctx, console(), options.id))]


def enrolments_reject(ctx: Context, options: argparse.Namespace) -> list[Row]:
    return [_enrolment(enrolment.reject(ctx, console(), options.id, options.why))]


def lamppost_list(ctx: Context, _: argparse.Namespace) -> list[Row]:
    rows: list[Row] = []
    after = 0
    while page := devices.list_devices(ctx, console(), after_id=after):
        rows += [_lamppost(each) for each in page]
        after = page[-1].record.id
    return rows


def lamppost_state(ctx: Context, options: argparse.Namespace) -> list[Row]:
    addresses = [address_of(ctx, name) for name in options.name]
    return [_lamppost(each) for each in standing.change_states(ctx, console(), addresses, options.state)]


def place_set(ctx: Context, options: argparse.Namespace) -> list[Row]:
    if options.at is None and options.district is None:
        raise InvalidRequest("There is nothing to change: give --at, --district or both.")
    found = devices.change_place(
        ctx, console(), address_of(ctx, options.name), at=options.at or "keep", district=options.district
    ).record
    at = None if found.latitude is None else f"{found.latitude},{found.longitude}"
    where: Row = {"at": at, "district": found.district or None, "cell": found.cell or None}
    return [{"lamppost": str(found.address)} | where]


def calibration_set(ctx: Context, options: argparse.Namespace) -> list[Row]:
    return air.calibration_set(ctx, console(), address_of(ctx, options.name), options)


def calibration_list(ctx: Context, options: argparse.Namespace) -> list[Row]:
    return air.calibration_list(ctx, console(), address_of(ctx, options.name), options)


def calibration_remove(ctx: Context, options: argparse.Namespace) -> list[Row]:
    air_quality.remove_calibration(ctx, console(), options.id)
    return []


def address_of(ctx: Context, text: str) -> Address:
    """`lamp-07` or `city/lamp-07`. Raises InvalidRequest."""
    tenant, slash, name = text.rpartition("/")
    try:
        return Address(tenant if slash else ctx.config.tenant.name, name)
    except InvalidName as wrong:
        raise InvalidRequest(f"{wrong}.") from wrong


def dead_letters_list(ctx: Context, options: argparse.Namespace) -> list[Row]:
    from fleet_server.telemetry import service as telemetry  # numpy comes with it

    letters = telemetry.dead_letters(ctx, console(), waiting=not options.all, limit=options.limit)
    return [
        {
            "id": each.id,
            "device": each.device,
            "reason": each.reason,
            "detail": each.detail or None,
            "bytes": each.payload_bytes,
            "received": _instant(each.received_at),
            "replayed": _instant(each.replayed_at),
        }
        for each in letters
    ]


def dead_letters_replay(ctx: Context, options: argparse.Namespace) -> list[Row]:
    from fleet_server.telemetry import service as telemetry

    rows: list[Row] = []
    for number in options.id:
        told = telemetry.replay(ctx, console(), number)
        why = f"{told.reason} {told.detail}".strip()
        rows.append({"id": number, "outcome": str(told.outcome), "samples": told.samples, "why": why})
    return rows


def _lamppost(seen: devices.DeviceView) -> Row:
    found = seen.record
    return {
        "lamppost": str(found.address),
        "state": str(found.state),
        "site": found.site or None,
        "link": str(found.presence),
        "data": str(seen.freshness),
        "open": found.conditions,
    }


def _claim(found: Enrolment) -> Row:
    return {
        "claim": found.claim_id,
        "state": str(found.state),
        "device": found.device or "(free)",
        "site": found.site or None,
        "made by": found.created_by,
        "expires": _instant(found.expires_at),
    }


def _enrolment(found: Enrolment) -> Row:
    return {
        "id": found.id,
        "state": str(found.state),
        "device": f"{found.tenant}/{found.device or '(free)'}",
        "site": found.site or None,
        "key fingerprint": found.key_fingerprint or None,
        "ends another": "yes" if found.known or found.replaces else None,
        "claim": found.claim_id,
        "asked": _instant(found.requested_at),
        "decided by": found.decided_by or None,
    }


def _digits(fingerprint: str) -> str:
    return re.sub(r"[^0-9a-f]", "", fingerprint.lower())


def _instant(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")
