"""`lamppost fleet calibration`: what each command does; it calls the service and returns rows to print."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from air_quality.calibration import Calibration
from fleet_server.access.rules import Principal
from fleet_server.air import service
from fleet_server.air.store import CalibrationRecord
from fleet_server.context import Context
from wire_contract.topics import Address

Row = dict[str, Any]


def instant(text: str) -> datetime:
    """`2026-11-20`, `2026-11-20T12:00` (UTC) or with a zone. Raises argparse.ArgumentTypeError."""
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is no time such as 2026-11-20T12:00Z") from None
    return told if told.tzinfo is not None else told.replace(tzinfo=UTC)


def calibration_set(
    ctx: Context, principal: Principal, address: Address, options: argparse.Namespace
) -> list[Row]:
    given = {name: getattr(options, name) for name in sorted(service.COEFFICIENTS)}
    told = {name: value for name, value in given.items() if value is not None}
    service.check_told(told)
    entry = Calibration(**told, source=options.source, channel=options.channel)
    return [row(service.set_calibration(ctx, principal, address, entry, options.since, options.unit))]


def calibration_list(
    ctx: Context, principal: Principal, address: Address, _: argparse.Namespace
) -> list[Row]:
    return [row(each) for each in service.calibrations(ctx, principal, address)]


def row(found: CalibrationRecord) -> Row:
    entry = found.calibration
    return {
        "id": found.id,
        "unit": found.sensor_unit,
        "kind": found.kind,
        "channel": entry.channel,
        "slope": entry.slope,
        "offset": entry.offset,
        "humidity": entry.humidity,
        "valid from": found.valid_from.astimezone(UTC).isoformat(timespec="seconds"),
        "source": entry.source or None,
        "by": found.created_by,
    }
