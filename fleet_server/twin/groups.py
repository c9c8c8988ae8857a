"""Groups of devices: listed, or found by a query over tags and reported state; what their members inherit.

Every function takes the context and the acting principal, and authorizes. `tenant` None: the principal's own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlmodel import Session

from fleet_server.access.deciding import authorize
from fleet_server.access.rules import Action, Principal
from fleet_server.audit.recording import record
from fleet_server.audit.rules import beside
from fleet_server.context import Context
from fleet_server.errors import Conflict, InvalidRequest, NotFound
from fleet_server.tenants import service as tenants
from fleet_server.twin import fitting, group_store, query, rules
from fleet_server.twin.group_store import Group
from fleet_server.twin.service import (
    Address,
    Wish,
    changes,
    check_match,
    check_seen,
    checked_settings,
    tenant_of,
)

__all__ = ["Address", "Group", "Members", "Preview"]

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
PRIORITY_MOST = 1_000
TITLE_MOST = 200
MEMBERS_AT_ONCE = 5_000
PREVIEW_MOST = 50


@dataclass(frozen=True)
class Members:
    """A page, and the id to go on after; None on the last one."""

    devices: tuple[Address, ...]
    next_after: int | None


@dataclass(frozen=True)
class Preview:
    """How many devices a query fits now, and the first of them."""

    count: int
    first: tuple[Address, ...]


def groups(ctx: Context, principal: Principal, tenant: str | None = None) -> list[Group]:
    tenant = tenant_of(ctx, principal, tenant)
    authorize(principal, Action.GROUPS_READ, tenant=tenant)
    with ctx.db.session(principal.tenant) as session:
        return group_store.groups(session, tenant)


def group(ctx: Context, principal: Principal, name: str, tenant: str | None = None) -> Group:
    """Raises NotFound."""
    tenant = tenant_of(ctx, principal, tenant)
    authorize(principal, Action.GROUPS_READ, tenant=tenant)
    with ctx.db.session(principal.tenant) as session:
        return _there(session, tenant, name)


def preview(ctx: Context, principal: Principal, text: str, tenant: str | None = None) -> Preview:
    """Raises BadQuery, TooSlow."""
    tenant = tenant_of(ctx, principal, tenant)
    authorize(principal, Action.GROUPS_READ, tenant=tenant)
    with ctx.db.session(principal.tenant) as session:
        count, first = fitting.preview(session, tenant, text, PREVIEW_MOST)
    return Preview(count, tuple(first))


def create(
    ctx: Context,
    principal: Principal,
    name: str,
    *,
    title: str = "",
    text: str | None = None,
    priority: int = 0,
    tenant: str | None = None,
) -> Group:
    """A group of listed devices, or with a query of whoever it fits. Raises InvalidRequest, Conflict,
    QuotaReached."""
    tenant = tenant_of(ctx, principal, tenant)
    authorize(principal, Action.GROUPS_CHANGE, tenant=tenant)
    _check(title, text, priority)
    if not NAME.fullmatch(name):
        raise InvalidRequest("A group's name is 1 to 63 of a-z, 0-9 and '-', not at either end.")
    with ctx.db.session(principal.tenant) as session:
        tenants.need_group(session, tenant, lambda: group_store.count(session, tenant))
        if not group_store.create(session, tenant, name, title, text, priority):
            raise Conflict(f"There is a group {name} already.")
        made = _there(session, tenant, name)
        if text is not None:
            fitting.regroup(session, made)
            made = _there(session, tenant, name)
        told = beside(after=group_store.summary(made))
        record(session, principal, Action.GROUPS_CHANGE, _what(made), personal=told, tenant=tenant)
    return made


def change(
    ctx: Context,
    principal: Principal,
    name: str,
    *,
    title: str | None = None,
    text: str | None = None,
    priority: int | None = None,
    if_match: str = "",
    tenant: str | None = None,
) -> Group:
    """What is None stays. Raises NotFound, InvalidRequest, PreconditionFailed, Conflict (a listed group)."""
    tenant = tenant_of(ctx, principal, tenant)
    authorize(principal, Action.GROUPS_CHANGE, tenant=tenant)
    with ctx.db.session(principal.tenant) as session:
        before = _there(session, tenant, name, lock=True)
        check_match(if_match, before.revision)
        if text is not None and before.query is None:
            raise Conflict(f"The members of {name} are listed: it has no query.")
        after = replace(
            before,
            title=before.title if title is None else title,
            query=before.query if text is None else text,
            priority=before.priority if priority is None else priority,
            revision=before.revision + 1,
        )
        _check(after.title, after.query, after.priority)
        group_store.save(session, after)
        if text is not None:
            fitting.regroup(session, after)
        was, is_now = changes(group_store.summary(before), group_store.summary(after))
        told = beside(before=was, after=is_now)
        record(session, principal, Action.GROUPS_CHANGE, _what(after), personal=told, tenant=tenant)
        return _there(session, tenant, name)


def delete(ctx: Context, principal: Principal, name: str, tenant: str | None = None) -> None:
    """Its members no longer inherit from it. Raises NotFound."""
    tenant = tenant_of(ctx, principal, tenant)
    authorize(principal, Action.GROUPS_CHANGE, tenant=tenant)
    with ctx.db.session(principal.tenant) as session:
        gone = _there(session, tenant, name, lock=True)
        group_store.delete(session, gone.id)
        told, settings = beside(before=group_store.summary(gone)), {"settings": dict(gone.settings)}
        record(
            session, principal, Action.GROUPS_CHANGE, _what(gone), before=settings, personal=told,
            tenant=tenant,
        )  # fmt: skip


def members(
    ctx: Context,
    principal: Principal,
    name: str,
    *,
    after: int = 0,
    limit: int = 500,
    tenant: str | None = None,
) -> Members:
    """By the device's id. Raises NotFound."""
    tenant = tenant_of(ctx, principal, tenant)
    authorize(principal, Action.GROUPS_READ, tenant=tenant)
    with ctx.db.session(principal.tenant) as session:
        found = group_store.members(session, _there(session, tenant, name).id, after, limit)
    return Members(tuple(address for _, address in found), found[-1][0] if len(found) == limit else None)


def change_members(
    ctx: Context,
    principal: Principal,
    name: str,
    *,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    tenant: str | None = None,
) -> Group:
    """Of a listed group, devices by their names without the tenant; all of them or none.

    Raises NotFound, InvalidRequest (a name that no device has), Conflict (a query decides who is in it).
    """
    tenant = tenant_of(ctx, principal, tenant)
    authorize(principal, Action.GROUPS_CHANGE, tenant=tenant)
    if len(add) + len(remove) > MEMBERS_AT_ONCE:
        raise InvalidRequest(f"At most {MEMBERS_AT_ONCE} devices at once.")
    with ctx.db.session(principal.tenant) as session:
        of = _there(session, tenant, name, lock=True)
        if of.query is not None:
            raise Conflict(f"A query decides who is in {name}.")
        unknown = group_store.unknown(session, tenant, add)
        if unknown:
            raise InvalidRequest(f"There is no device {', '.join(unknown[:10])}.")
        came, went = group_store.change_members(session, of, add, remove)
        if came or went:
            after = {"came": came, "went": went, "added": list(add)[:50], "removed": list(remove)[:50]}
            record(session, principal, Action.GROUPS_CHANGE, _what(of), after=after, tenant=tenant)
        return _there(session, tenant, name)


def change_settings(
    ctx: Context, principal: Principal, name: str, wish: Wish, tenant: str | None = None
) -> Group:
    """What its members inherit; the worker role brings it to them. Raises as `service.change_desired`."""
    tenant = tenant_of(ctx, principal, tenant)
    authorize(principal, Action.TWIN_CHANGE, tenant=tenant)
    with ctx.db.session(principal.tenant) as session:
        before = _there(session, tenant, name, lock=True)
        check_seen(wish, before.revision, before.revision)
        settings = checked_settings(rules.merged({} if wish.whole else before.settings, wish.patch))
        if settings == before.settings:
            return before
        at = rules.changed_at(before.settings, settings, before.settings_at, ctx.clock.now())
        after = replace(before, settings=settings, settings_at=at, revision=before.revision + 1)
        group_store.save(session, after)
        was, is_now = changes(before.settings, settings)
        record(
            session, principal, Action.TWIN_CHANGE, _what(after), before=was, after=is_now,
            tenant=tenant,
        )  # fmt: skip
    return after


def _check(title: str, text: str | None, priority: int) -> None:
    """Raises InvalidRequest."""
    if len(title) > TITLE_MOST or not title.isprintable():
        raise InvalidRequest(f"A title is at most {TITLE_MOST} printable characters.")
    if not -PRIORITY_MOST <= priority <= PRIORITY_MOST:
        raise InvalidRequest(f"A priority is from -{PRIORITY_MOST} to {PRIORITY_MOST}; the higher decides.")
    if text is not None:
        query.parsed(text)


def _there(session: Session, tenant: str, name: str, *, lock: bool = False) -> Group:
    found = group_store.group(session, tenant, name, lock=lock) if NAME.fullmatch(name) else None
    if found is None:
        raise NotFound(f"There is no group {name[:64]}.")
    return found


def _what(of: Group) -> str:
    return f"group {of.name}"
