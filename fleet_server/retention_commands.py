"""What `lamppost fleet retention` does: how long samples are kept, and what went."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from fleet_server.access.known_tenants import need_known
from fleet_server.admin_commands import Row, console
from fleet_server.context import Context
from fleet_server.errors import InvalidRequest
from fleet_server.telemetry import retention
from wire_contract.errors import InvalidName
from wire_contract.topics import Address

EXAMPLES = """\
examples:
  lamppost fleet retention list
  lamppost fleet retention set --kind pms5003 --class long     those declared from now on
  lamppost fleet retention set --class short --days 14         the city keeps less than the class does
  lamppost fleet retention clear --kind pms5003
  lamppost fleet retention log --limit 20                      what was removed, the newest first
"""


def add(group: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """The group's commands; `command(group, name, what, act)` makes one."""
    command(group, "list", "classes with their days, and what departs from them", retention_list)
    made = command(group, "set", "a kind's class, or the days that a tenant keeps a class", retention_set)
    made.add_argument("--days", type=int, metavar="N", help="1 to what the class is kept")
    clear = command(group, "clear", "take such a rule away", retention_clear)
    for each in (made, clear):
        each.add_argument("--kind", metavar="KIND", help="of sensors, such as pms5003")
        each.add_argument("--class", dest="name", choices=retention.CLASSES, help="the retention class")
        each.add_argument("--tenant", metavar="NAME", help="the city of the configuration, without")
    log = command(group, "log", "what was removed, the newest first", retention_log)
    log.add_argument("--limit", type=int, default=100)


def retention_list(ctx: Context, _: argparse.Namespace) -> list[Row]:
    found = retention.overview(ctx, console())
    rows = [_row(name=name, days=days or "for ever") for name, days in found.classes.items()]
    rows += [_row(tenant=each.tenant, name=each.name, days=each.days) for each in found.tenants]
    return rows + [_row(tenant=each.tenant, kind=each.kind, name=each.name) for each in found.kinds]


def _row(
    tenant: str | None = None, kind: str | None = None, name: str = "", days: int | str | None = None
) -> Row:
    return {"tenant": tenant, "kind": kind, "class": name, "days": days}


def retention_set(ctx: Context, options: argparse.Namespace) -> list[Row]:
    tenant = _tenant(ctx, options)
    need_known(ctx, console(), tenant)
    if options.name is None or (options.kind is None) == (options.days is None):
        raise InvalidRequest(
            "Give --class with --kind (its class), or with --days (how long a tenant keeps it)."
        )
    if options.kind is not None:
        made = retention.set_kind(ctx, console(), tenant, options.kind, options.name)
        if not made.declared_before:  # a kind that is new in the street is told before it comes
            print(f"No lamppost of {tenant} has declared a {options.kind} yet.", file=sys.stderr)
        return [_row(tenant, options.kind, options.name) | {"unchanged": made.declared_before}]
    rule = retention.set_days(ctx, console(), tenant, options.name, options.days)
    return [_row(tenant, name=rule.name, days=rule.days)]


def retention_clear(ctx: Context, options: argparse.Namespace) -> list[Row]:
    tenant = _tenant(ctx, options)
    if (options.kind is None) == (options.name is None):
        raise InvalidRequest("Give --kind or --class: which rule is to go?")
    if options.kind is not None:
        retention.clear_kind(ctx, console(), tenant, options.kind)
        return [{"tenant": tenant, "kind": options.kind, "cleared": True}]
    retention.clear_days(ctx, console(), tenant, options.name)
    return [{"tenant": tenant, "class": options.name, "cleared": True}]


def retention_log(ctx: Context, options: argparse.Namespace) -> list[Row]:
    return [
        {
            "at": each.at.isoformat(timespec="seconds"),
            "what": each.what,
            "tenant": each.tenant,
            "rows": each.rows,
            "partitions": each.partitions,
            "kept from": each.kept_from.isoformat(timespec="seconds"),
        }
        for each in retention.removals(ctx, console(), options.limit)
    ]


def _tenant(ctx: Context, options: argparse.Namespace) -> str:
    """Raises InvalidRequest."""
    if options.tenant is None:
        return ctx.config.tenant.name
    try:
        return Address(options.tenant, "x").tenant
    except InvalidName as refused:
        raise InvalidRequest(f"--tenant: {refused}") from None
