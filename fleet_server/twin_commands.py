"""What `lamppost fleet twin`, `settings` and `groups` do: what lampposts are desired to do, who inherits."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fleet_server.admin_commands import Row, console
from fleet_server.context import Context
from fleet_server.errors import InvalidRequest
from fleet_server.twin import groups, rules, service
from fleet_server.twin.service import Twin, Wish
from wire_contract.errors import InvalidName
from wire_contract.settings import REGISTRY, Setting, Value, setting_of
from wire_contract.topics import Address

TWIN_EXAMPLES = """\
examples:
  lamppost fleet twin show lamp-07
  lamppost fleet twin set lamp-07 telemetry.flush_interval_s=5 log.level=debug --reason "looking at a fault"
  lamppost fleet twin set lamp-07 --unset log.level
  lamppost fleet twin tag lamp-07 model=pi5 pole.height_m=4
"""
SETTINGS_EXAMPLES = """\
examples:
  lamppost fleet settings list                                 every setting: type, range, what it changes
  lamppost fleet settings show                                 what all lampposts of the city inherit
  lamppost fleet settings set sampling.every_s=30 --unset log.level
"""
GROUPS_EXAMPLES = """\
examples:
  lamppost fleet groups preview 'tag.model = "pi5" and reported.agent.version < "0.3"'
  lamppost fleet groups add old-pis --query 'tag.model = "pi4"' --priority 10
  lamppost fleet groups add harbour --title "By the water"
  lamppost fleet groups list
  lamppost fleet groups show harbour                           its query, and what its members inherit
  lamppost fleet groups change old-pis --priority 20
  lamppost fleet groups members harbour --add lamp-07 lamp-08
  lamppost fleet groups set harbour spool.history_ttl_days=60
  lamppost fleet groups remove harbour
"""

Commands = Any  # argparse's _SubParsersAction, as admin_cli has it
Register = Callable[[Commands, str, str, Any], argparse.ArgumentParser]


def add_twin(group: Commands, command: Register) -> None:
    shown = command(group, "show", "desired, effective, reported, and what became of each wish", twin_show)
    change = command(group, "set", "change the lamppost's own settings", twin_set)
    tag = command(group, "tag", "change what the server alone knows of it", twin_tag)
    for each in (shown, change, tag):
        each.add_argument("name", metavar="[TENANT/]NAME")
    for each in (change, tag):
        _add_wish(each)


def add_settings(group: Commands, command: Register) -> None:
    command(group, "list", "every setting that there is", settings_list)
    shown = command(group, "show", "what every lamppost of a tenant inherits", settings_show)
    change = command(group, "set", "change it", settings_set)
    _add_wish(change)
    for each in (shown, change):
        _add_tenant(each)


def add_groups(group: Commands, command: Register) -> None:
    made = [
        command(group, "list", "every group", groups_list),
        preview := command(group, "preview", "whom a query fits now; nothing is changed", groups_preview),
        shown := command(group, "show", "one group and what its members inherit", groups_show),
        add := command(group, "add", "a group of listed lampposts, or found by --query", groups_add),
        change := command(group, "change", "another title, query or priority", groups_change),
        remove := command(group, "remove", "its members no longer inherit from it", groups_remove),
        members := command(group, "members", "who is in it; --add and --remove", groups_members),
        settings := command(group, "set", "change what its members inherit", groups_set),
    ]
    preview.add_argument("query")
    for each in (shown, add, change, remove, members, settings):
        each.add_argument("name")
    for each in (add, change):
        each.add_argument("--title", metavar="TEXT")
        each.add_argument("--query", metavar="QUERY")
        each.add_argument("--priority", type=int, metavar="N", help="the higher one's settings hold (0)")
    members.add_argument("--add", nargs="+", default=[], metavar="NAME")
    members.add_argument("--remove", nargs="+", default=[], metavar="NAME")
    _add_wish(settings)
    for each in made:
        _add_tenant(each)


def _add_wish(made: argparse.ArgumentParser) -> None:
    made.add_argument("values", nargs="*", metavar="KEY=VALUE")
    made.add_argument("--unset", nargs="+", default=[], metavar="KEY", help="take it away again")
    made.add_argument(
        "--etag", metavar="N", help="the etag you have seen: refused where it has changed since"
    )


def _add_tenant(made: argparse.ArgumentParser) -> None:
    made.add_argument("--tenant", metavar="NAME", help="default: the configured one")


def twin_show(ctx: Context, options: argparse.Namespace) -> list[Row]:
    return _twin(service.twin(ctx, console(), _address(ctx, options.name)))


def twin_set(ctx: Context, options: argparse.Namespace) -> list[Row]:
    address, wish = _address(ctx, options.name), _wish(options)
    _check_unset(options, lambda: service.twin(ctx, console(), address).own)
    return _twin(service.change_desired(ctx, console(), address, wish))


def twin_tag(ctx: Context, options: argparse.Namespace) -> list[Row]:
    found = service.change_tags(ctx, console(), _address(ctx, options.name), _wish(options))
    return [{"tag": key, "value": value} for key, value in sorted(found.tags.items())]


def settings_list(ctx: Context, _: argparse.Namespace) -> list[Row]:
    return [_setting(each) for each in service.registry(ctx, console())]


def settings_show(ctx: Context, options: argparse.Namespace) -> list[Row]:
    found = service.tenant_settings(ctx, console(), options.tenant)
    return _values(found.settings, etag=found.revision)


def settings_set(ctx: Context, options: argparse.Namespace) -> list[Row]:
    wish = _wish(options)
    _check_unset(options, lambda: service.tenant_settings(ctx, console(), options.tenant).settings)
    found = service.change_tenant_settings(ctx, console(), wish, options.tenant)
    return _values(found.settings, etag=found.revision)


def groups_list(ctx: Context, options: argparse.Namespace) -> list[Row]:
    return [_group(each) for each in groups.groups(ctx, console(), options.tenant)]


def groups_preview(ctx: Context, options: argparse.Namespace) -> list[Row]:
    found = groups.preview(ctx, console(), options.query, options.tenant)
    return [{"fits": found.count, "first": " ".join(each.device for each in found.first)}]


def groups_show(ctx: Context, options: argparse.Namespace) -> list[Row]:
    found = groups.group(ctx, console(), options.name, options.tenant)
    return [_group(found) | {"settings": dict(found.settings)}]


def groups_add(ctx: Context, options: argparse.Namespace) -> list[Row]:
    made = groups.create(
        ctx,
        console(),
        options.name,
        title=options.title or "",
        text=options.query,
        priority=options.priority or 0,
        tenant=options.tenant,
    )
    return [_group(made)]


def groups_change(ctx: Context, options: argparse.Namespace) -> list[Row]:
    changed = groups.change(
        ctx,
        console(),
        options.name,
        title=options.title,
        text=options.query,
        priority=options.priority,
        tenant=options.tenant,
    )
    return [_group(changed)]


def groups_remove(ctx: Context, options: argparse.Namespace) -> list[Row]:
    groups.delete(ctx, console(), options.name, options.tenant)
    return [{"group": options.name, "removed": True}]


def groups_members(ctx: Context, options: argparse.Namespace) -> list[Row]:
    by, name, tenant = console(), options.name, options.tenant
    if options.add or options.remove:
        groups.change_members(ctx, by, name, add=options.add, remove=options.remove, tenant=tenant)
    rows: list[Row] = []
    after: int | None = 0
    while after is not None:
        page = groups.members(ctx, by, name, after=after, tenant=tenant)
        rows += [{"device": str(each)} for each in page.devices]
        after = page.next_after
    return rows


def groups_set(ctx: Context, options: argparse.Namespace) -> list[Row]:
    wish = _wish(options)
    _check_unset(options, lambda: groups.group(ctx, console(), options.name, options.tenant).settings)
    changed = groups.change_settings(ctx, console(), options.name, wish, options.tenant)
    return _values(changed.settings, etag=changed.revision)


def _twin(found: Twin) -> list[Row]:
    sync = found.sync
    delta = rules.delta(sync.desired, found.reported)
    rows = []
    for key in sorted({*sync.desired, *found.reported}):
        origin, ack = found.origin.get(key), found.acks.get(key)
        rows.append(
            {
                "setting": key,
                "desired": sync.desired.get(key),
                "from": None if origin is None else f"{origin.source} {origin.name}",
                "ties": None if origin is None else ", ".join(origin.ties) or None,
                "reported": found.reported.get(key),
                "state": _state(key in sync.desired, key in delta, ack),
                "etag": found.revision,
                "version": sync.version,
                "acknowledged": sync.acknowledged,
            }
        )
    return rows


def _state(desired: bool, differs: bool, ack: Mapping[str, Any] | None) -> str:
    if not desired:
        return "as configured"
    if ack is not None and ack["ac"] != 200:
        return f"{'waits' if ack['ac'] < 300 else 'refused'}: {ack['ad']}"
    return "not yet there" if differs else "holds"


def _setting(each: Setting) -> Row:
    return {
        "setting": each.key,
        "allows": each.allows,
        "default": each.default,
        "takes effect": "at the next start" if each.restart else "at once",
        "changes": each.changes,
    }


def _group(found: groups.Group) -> Row:
    return {
        "group": found.name,
        "title": found.title or None,
        "query": found.query,
        "priority": found.priority,
        "members": found.members,
        "settings": len(found.settings),
        "etag": found.revision,
    }


def _values(settings: Mapping[str, Value], etag: int) -> list[Row]:
    return [{"setting": key, "value": value, "etag": etag} for key, value in sorted(settings.items())]


def _wish(options: argparse.Namespace) -> Wish:
    """Raises InvalidRequest."""
    patch: dict[str, Value | None] = {}
    given: Sequence[str] = options.values
    for each in given:
        key, equals, value = each.partition("=")
        if not equals or not key:
            raise InvalidRequest(f"{each[:80]!r} is not KEY=VALUE.")
        patch[key] = _value(key, value)
    for key in options.unset:
        if key in patch:
            raise InvalidRequest(f"{key} is set and taken away at once.")
        patch[key] = None
    if not patch:
        raise InvalidRequest("Give KEY=VALUE, or --unset KEY: what is to change?")
    etag = (options.etag or "").strip('"')
    return Wish(service.patch_of(patch, "values"), False, f'"{etag}"' if etag else "", None)


def _check_unset(options: argparse.Namespace, stored: Callable[[], Mapping[str, Value]]) -> None:
    """stored: what is set now; an older program's setting can be taken away. Raises InvalidRequest."""
    for key in options.unset:
        there = any(f"{each}.".startswith(f"{key}.") for each in (*REGISTRY, *stored()))  # or a section
        if not there and setting_of(key) is None:
            raise InvalidRequest(
                f"There is no setting {key[:80]!r}.", remedy="See `lamppost fleet settings list`."
            )


def _value(key: str, text: str) -> Value:
    """As the setting's type wants it; of a tag, what it looks like."""
    setting = setting_of(key)
    if setting is not None and setting.kind == "text":
        return text
    if text in {"true", "false"}:
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _address(ctx: Context, name: str) -> Address:
    """Raises InvalidRequest."""
    tenant, slash, device = name.partition("/")
    try:
        return Address(tenant, device) if slash else Address(ctx.config.tenant.name, name)
    except InvalidName as refused:
        raise InvalidRequest(f"{name[:80]}: {refused}") from None
