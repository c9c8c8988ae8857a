"""What `lamppost fleet tenants` does: who shares this installation, and what each may use."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from fleet_server.access.known_tenants import need_known
from fleet_server.admin_commands import Row, console
from fleet_server.context import Context
from fleet_server.errors import InvalidRequest
from fleet_server.tenants import rules, service
from fleet_server.tenants.store import TenantRecord

EXAMPLES = """\
examples:
  lamppost fleet tenants list
  lamppost fleet tenants add porto --title "Porto"
  lamppost fleet tenants quota porto --devices 500 --download-rows 20000000
  lamppost fleet tenants quota porto --requests-a-minute usual
"""
USUAL = "usual"
COLUMNS = {
    "requests_a_minute": "requests_minute",
    "requests_a_minute_each": "each_minute",
    "devices": "devices",
    "downloads": "downloads",
    "download_rows": "download_rows",
    "groups": "groups",
    "files_mb": "files_mb",
    "device_messages": "device_messages",
    "device_mb": "device_mb",
}
WHAT = {
    "requests_a_minute": "of all its people and programs, for each api process",
    "requests_a_minute_each": "of one person or program, for each api process",
    "devices": "lampposts that are not decommissioned",
    "downloads": "at once, for each api process",
    "download_rows": "rows of one download",
    "groups": "groups of lampposts",
    "files_mb": "megabytes of support bundles and logs that are kept",
    "device_messages": "messages a minute of one lamppost, beyond which it floods",
    "device_mb": "megabytes a minute of one lamppost, beyond which it floods",
}


def add(group: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """The group's commands; `command(group, name, what, act)` makes one."""
    command(group, "list", "every tenant, with what it may use", tenants_list)
    made = command(group, "add", "name a tenant", tenants_add)
    made.add_argument("name", help="as in its lampposts' addresses: lower-case letters, digits, hyphens")
    made.add_argument("--title", default="", metavar="TEXT", help="for people")
    quota = command(group, "quota", "change what a tenant may use", tenants_quota)
    quota.add_argument("name")
    for name in rules.NAMES:
        quota.add_argument(
            f"--{name.replace('_', '-')}",
            dest=name,
            type=_quota,
            metavar="N",
            help=f"{WHAT[name]}; or {USUAL}",
        )


def _quota(text: str) -> int | str:
    if text == USUAL:
        return USUAL
    try:
        value = int(text)
    except ValueError:
        value = 0
    problem = rules.quota_problem(value)
    if problem is not None:
        raise argparse.ArgumentTypeError(f"{text[:40]!r}: {problem}, or {USUAL}")
    return value


def tenants_list(ctx: Context, _: argparse.Namespace) -> list[Row]:
    return [_row(each) for each in service.list_tenants(ctx, console())]


def tenants_add(ctx: Context, options: argparse.Namespace) -> list[Row]:
    return [_row(service.put_tenant(ctx, console(), options.name, options.title, new=True))]


def tenants_quota(ctx: Context, options: argparse.Namespace) -> list[Row]:
    given = {name: getattr(options, name) for name in rules.NAMES if getattr(options, name) is not None}
    if not given:
        raise InvalidRequest("Give at least one quota, such as --devices 500.")
    changes = {name: None if value == USUAL else value for name, value in given.items()}
    need_known(ctx, console(), options.name)
    return [_row(service.put_tenant(ctx, console(), options.name, quotas=changes))]


def _row(found: TenantRecord) -> Row:
    holds = rules.with_usual(dict(found.own))
    limits = {column: getattr(holds, name) or None for name, column in COLUMNS.items()}
    return {"name": found.name, "title": found.title or None, "lampposts": found.active, **limits}
