"""How long samples are kept: the classes of kinds of sensors, and tenants that keep less than a class does.

Every function takes the context and the acting principal, and authorizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session

from fleet_server.access import two_person
from fleet_server.access.rules import Action, Principal
from fleet_server.access.service import authorize
from fleet_server.audit.recording import record
from fleet_server.context import Context
from fleet_server.errors import InvalidRequest, NotFound
from fleet_server.telemetry import retention_store as store
from fleet_server.telemetry.retention_store import KindRule, Removal, TenantDays

__all__ = ["CLASSES", "KindRule", "Removal", "TenantDays"]

CLASSES = ("short", "standard", "long")
MAX_KIND_CHARACTERS = 64
MAX_DAYS = 36_500


@dataclass(frozen=True)
class Retention:
    """classes: the configuration's days of each, 0 for ever; kinds and tenants: what departs from it."""

    classes: dict[str, int]
    kinds: list[KindRule]
    tenants: list[TenantDays]


@dataclass(frozen=True)
class KindSet:
    """A rule, and how many sensors were declared before it: they keep their class."""

    rule: KindRule
    declared_before: int


def overview(ctx: Context, principal: Principal) -> Retention:
    authorize(principal, Action.RETENTION_READ)
    within = principal.within
    classes = {name: ctx.config.retention.of_class(name) for name in CLASSES}
    with ctx.db.session(principal.tenant) as session:
        return Retention(classes, store.kinds(session, within), store.tenants(session, within))


def removals(ctx: Context, principal: Principal, limit: int) -> list[Removal]:
    """What was removed, the newest first."""
    authorize(principal, Action.RETENTION_READ)
    if not 1 <= limit <= 10_000:
        raise InvalidRequest("The limit is from 1 to 10000.")
    with ctx.db.session(principal.tenant) as session:
        return store.removals(session, limit, principal.within)


def set_kind(ctx: Context, principal: Principal, tenant: str, kind: str, name: str) -> KindSet:
    """Sensors of `kind` that are declared from now on are of class `name`."""
    authorize(principal, Action.RETENTION_CHANGE, tenant, tenant=tenant)
    _check_class(name)
    if not kind or len(kind) > MAX_KIND_CHARACTERS or not kind.isprintable():
        raise InvalidRequest(f"A kind has 1 to {MAX_KIND_CHARACTERS} printable characters, such as pms5003.")
    rule = KindRule(tenant, kind, name)
    with ctx.db.session(principal.tenant) as session:
        former = store.class_of(session, tenant, kind)
        before = store.set_kind(session, rule)
        _record(session, principal, tenant, {"kind": kind, "class": former}, {"kind": kind, "class": name})
    return KindSet(rule, before)


def set_days(ctx: Context, principal: Principal, tenant: str, name: str, days: int) -> TenantDays:
    """The tenant's samples of a class go after `days`, which is never longer than the class is kept.

    Raises SecondPersonNeeded where that is sooner than now.
    """
    authorize(principal, Action.RETENTION_CHANGE, tenant, tenant=tenant)
    _check_class(name)
    most = ctx.config.retention.of_class(name) or MAX_DAYS
    if not 1 <= days <= most:
        raise InvalidRequest(f"The class {name} is kept {most} days: a tenant's days are from 1 to {most}.")
    rule = TenantDays(tenant, name, days)
    with ctx.db.session(principal.tenant) as session:
        former = store.days_of(session, tenant, name)
        if days < (former or most):  # what goes does not come back
            two_person.need(
                ctx, principal, Action.RETENTION_CHANGE, tenant, two_person.digest(name=name, days=days),
                what=f"keep samples of the class {name} {days} days", tenant=tenant, session=session,
            )  # fmt: skip
        store.set_days(session, rule)
        _record(session, principal, tenant, {"class": name, "days": former}, {"class": name, "days": days})
    return rule


def clear_kind(ctx: Context, principal: Principal, tenant: str, kind: str) -> None:
    authorize(principal, Action.RETENTION_CHANGE, tenant, tenant=tenant)
    with ctx.db.session(principal.tenant) as session:
        former = store.class_of(session, tenant, kind)
        if not store.clear_kind(session, tenant, kind):
            raise NotFound(f"There is no rule for the kind {kind!r} of {tenant}.")
        _record(session, principal, tenant, {"kind": kind, "class": former}, {"kind": kind, "class": None})


def clear_days(ctx: Context, principal: Principal, tenant: str, name: str) -> None:
    authorize(principal, Action.RETENTION_CHANGE, tenant, tenant=tenant)
    _check_class(name)
    with ctx.db.session(principal.tenant) as session:
        former = store.days_of(session, tenant, name)
        if not store.clear_days(session, tenant, name):
            raise NotFound(f"{tenant} has no days of its own for the class {name}.")
        _record(session, principal, tenant, {"class": name, "days": former}, {"class": name, "days": None})


def kept_from(ctx: Context, principal: Principal, what: str) -> datetime | None:
    """All of `what` (a table's name) before this is gone; None: nothing is."""
    authorize(principal, Action.RETENTION_READ)
    with ctx.db.session(principal.tenant) as session:
        return store.kept_from(session, what)


def _record(
    session: Session, principal: Principal, tenant: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    action = Action.RETENTION_CHANGE
    record(session, principal, action, "retention", before=before, after=after, tenant=tenant)


def _check_class(name: str) -> None:
    if name not in CLASSES:
        raise InvalidRequest(f"A retention class is one of {', '.join(CLASSES)}.")
