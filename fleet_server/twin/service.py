"""Twins, tags and inherited settings, for whoever may ask. Every function takes the context and the acting
principal, and authorizes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlmodel import Session

from fleet_server.access.deciding import authorize
from fleet_server.access.known_tenants import need_there
from fleet_server.access.rules import EVERY_TENANT, Action, Principal
from fleet_server.audit.recording import record
from fleet_server.audit.rules import beside
from fleet_server.context import Context
from fleet_server.errors import Conflict, InvalidRequest, NotFound, OtherTenant, PreconditionFailed
from fleet_server.twin import rules, store
from fleet_server.twin.rules import BadSection, Json, Origin, Patch, Section
from fleet_server.twin.store import TenantSettings, Twin
from wire_contract.errors import InvalidName
from wire_contract.settings import SETTINGS, Setting, Value
from wire_contract.topics import Address

__all__ = ["Address", "Origin", "Setting", "TenantSettings", "Twin", "Wish"]

_ETAG = re.compile(r'(?:W/)?"(\d{1,18})"')


@dataclass(frozen=True)
class Wish:
    """What is to change, and what whoever wishes it has seen. `whole`: the section is replaced. `if_match`:
    an If-Match header's text; "" or "*": whatever is there. `version`: the desired $version that was seen."""

    patch: Patch
    whole: bool = False
    if_match: str = ""
    version: int | None = None


def registry(_ctx: Context, principal: Principal) -> tuple[Setting, ...]:
    """Every setting that there is."""
    authorize(principal, Action.TWIN_READ)
    return SETTINGS


def twin(ctx: Context, principal: Principal, address: Address) -> Twin:
    """The whole document. Raises NotFound."""
    authorize(principal, Action.TWIN_READ, str(address))
    with ctx.db.session(principal.tenant) as session:
        return _there(store.found(session, address), address)


def change_desired(ctx: Context, principal: Principal, address: Address, wish: Wish) -> Twin:
    """Change the device's own settings; what it is sent is computed at once.

    Raises NotFound, InvalidRequest, PreconditionFailed (If-Match), Conflict (an old $version).
    """
    authorize(principal, Action.TWIN_CHANGE, str(address))
    with ctx.db.session(principal.tenant) as session:
        before = _there(store.locked(session, address), address)
        check_seen(wish, before.revision, before.sync.version)
        own = checked_settings(rules.merged({} if wish.whole else before.own, wish.patch))
        if own == before.own:
            return before
        at = rules.changed_at(before.own, own, before.own_at, ctx.clock.now())
        after = _inherit(session, replace(before, own=own, own_at=at))
        if after.sync.version == before.sync.version:  # S6: every accepted change is a version
            after = replace(after, sync=rules.wished(after.sync, after.sync.desired))
        after = replace(after, revision=before.revision + 1)
        store.save(session, after)
        was, is_now = changes(before.own, own)
        record(session, principal, Action.TWIN_CHANGE, str(address), before=was, after=is_now)
    return after


def change_tags(ctx: Context, principal: Principal, address: Address, wish: Wish) -> Twin:
    """Change what the service alone knows of it. Raises as `change_desired`."""
    authorize(principal, Action.TWIN_CHANGE, str(address))
    with ctx.db.session(principal.tenant) as session:
        before = _there(store.locked(session, address), address)
        check_seen(wish, before.revision, before.sync.version)
        tags = rules.merged({} if wish.whole else before.tags, wish.patch)
        problem = rules.tags_problem(tags)
        if problem:
            raise InvalidRequest(f"tags: {problem}")
        if tags == before.tags:
            return before
        at = rules.changed_at(before.tags, tags, before.tags_at, ctx.clock.now())
        after = replace(before, tags=tags, tags_at=at, revision=before.revision + 1)
        store.save(session, after)
        store.mark_stale(session, after.device_id)
        was, is_now = changes(before.tags, tags)
        record(
            session, principal, Action.TWIN_CHANGE, str(address), after={"tags": len(tags)},
            personal=beside(before=was, after=is_now),
        )  # fmt: skip
    return after


def delta_of(found: Twin) -> dict[str, Value]:
    """What it is sent and does not report."""
    return rules.delta(found.sync.desired, found.reported)


def tenant_settings(ctx: Context, principal: Principal, tenant: str | None = None) -> TenantSettings:
    """What every device of the tenant inherits."""
    tenant = tenant_of(ctx, principal, tenant)
    authorize(principal, Action.TWIN_READ, tenant=tenant)
    with ctx.db.session(principal.tenant) as session:
        return store.tenant_settings(session, tenant)


def change_tenant_settings(
    ctx: Context, principal: Principal, wish: Wish, tenant: str | None = None
) -> TenantSettings:
    """The worker role brings it to every device within seconds. Raises InvalidRequest, PreconditionFailed."""
    tenant = tenant_of(ctx, principal, tenant)
    authorize(principal, Action.TWIN_CHANGE, tenant=tenant)
    with ctx.db.session(principal.tenant) as session:
        before = store.tenant_settings(session, tenant, lock=True)
        check_seen(wish, before.revision, before.revision)
        settings = checked_settings(rules.merged({} if wish.whole else before.settings, wish.patch))
        if settings == before.settings:
            return before
        at = rules.changed_at(before.settings, settings, before.settings_at, ctx.clock.now())
        after = TenantSettings(tenant, before.revision + 1, settings, at)
        store.save_tenant_settings(session, after)
        was, is_now = changes(before.settings, settings)
        record(
            session,
            principal,
            Action.TWIN_CHANGE,
            f"settings of {tenant}",
            before=was,
            after=is_now,
            tenant=tenant,
        )
    return after


def patch_of(given: object, what: str) -> dict[str, Value | None]:
    """Nested JSON as a patch. Raises InvalidRequest."""
    try:
        return rules.flattened(given, what)
    except BadSection as bad:
        raise InvalidRequest(str(bad)) from None


def checked_settings(settings: dict[str, Value]) -> dict[str, Value]:
    """As they are. Raises InvalidRequest."""
    problem = rules.settings_problem(settings)
    if problem:
        raise InvalidRequest(problem)
    return settings


def tenant_of(ctx: Context, principal: Principal, asked: str | None) -> str:
    """The tenant that is meant: the one asked for, else the principal's own, else the configured one.

    Raises InvalidRequest, OtherTenant, NotFound (a mistyped one).
    """
    own = principal.tenant
    tenant = asked or (ctx.config.tenant.name if own == EVERY_TENANT else own)
    try:
        Address(tenant, "x")
    except InvalidName as bad:
        raise InvalidRequest(f"tenant: {bad}") from None
    if own not in {EVERY_TENANT, tenant}:
        raise OtherTenant("There is no such thing.")
    if asked:
        need_there(ctx, principal, tenant)
    return tenant


def check_match(if_match: str, revision: int) -> None:
    """Raises PreconditionFailed where If-Match names another revision, InvalidRequest where it is no etag."""
    given = if_match.strip()
    if given in {"", "*"}:
        return
    tags = [_ETAG.fullmatch(each.strip()) for each in given.split(",")[:16]]
    if not any(tags):
        raise InvalidRequest('If-Match: an etag is a number in double quotes, as "7".')
    if revision not in {int(each[1]) for each in tags if each is not None}:
        raise PreconditionFailed("It has changed since.", members={"etag": f'"{revision}"'})


def check_seen(wish: Wish, revision: int, version: int) -> None:
    """Raises PreconditionFailed, InvalidRequest, Conflict."""
    check_match(wish.if_match, revision)
    if wish.version is not None and wish.version != version:
        raise Conflict(
            f"The desired $version is {version}, not {wish.version}.", members={"version": version}
        )


def _inherit(session: Session, changed: Twin) -> Twin:
    return store.refreshed(changed, store.layers(session, [changed])[changed.device_id])


def _there(found: Twin | None, address: Address) -> Twin:
    if found is None:
        raise NotFound(f"There is no device {address}.")
    return found


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Json, Json]:
    """The keys that differ, as they were and as they are."""
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return _only(before, keys), _only(after, keys)


def _only(section: Section, keys: Iterable[str]) -> Json:
    return {key: section[key] for key in keys if key in section}
