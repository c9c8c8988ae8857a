"""Tenants and their quotas, for whoever may ask.

Every function takes the context and the acting principal, and authorizes; `need_room`, `need_group` and
`quotas_of` are asked by other slices, within what they have authorized.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence

from sqlmodel import Session

from fleet_server.access.rules import Action, Principal
from fleet_server.access.service import authorize, need_there
from fleet_server.audit.recording import record
from fleet_server.context import Context
from fleet_server.errors import Conflict, InvalidRequest, NotFound
from fleet_server.masking import in_log
from fleet_server.tenants import rules, store
from fleet_server.tenants.errors import QuotaReached
from fleet_server.tenants.rules import NAMES, Quotas
from fleet_server.tenants.store import TenantRecord
from wire_contract.errors import InvalidName
from wire_contract.topics import Address

__all__ = [
    "NAMES",
    "Quotas",
    "TenantRecord",
    "list_tenants",
    "need_group",
    "need_room",
    "put_tenant",
    "quotas_of",
]

log = logging.getLogger(__name__)


def list_tenants(ctx: Context, principal: Principal) -> list[TenantRecord]:
    """Every tenant that somebody named or that has lampposts, by name; who acts in one sees that one."""
    authorize(principal, Action.TENANTS_READ)
    with ctx.db.session(principal.tenant) as session:
        return store.listed(session, principal.within)


def put_tenant(
    ctx: Context,
    principal: Principal,
    name: str,
    title: str | None = None,
    quotas: Mapping[str, int | None] | None = None,
    *,
    new: bool = False,
) -> TenantRecord:
    """Name a tenant, or change its title and quotas; what is not given stays, None is the usual.

    For those who act in the whole installation: nobody lifts a quota of their own. new: one that somebody
    named already is not changed. Raises Forbidden, InvalidRequest, Conflict.
    """
    authorize(principal, Action.TENANTS_CHANGE, tenant=principal.tenant)
    given = dict(quotas or {})
    _check(name, title, given)
    with ctx.db.session() as session:
        former = next(iter(store.listed(session, name)), None)
        if new and former is not None and former.created_at is not None:
            raise Conflict(
                f"There is a tenant {name} already.", remedy="Its quotas: lamppost fleet tenants quota."
            )
        store.put(session, name, title, given)
        made = next(iter(store.listed(session, name)))
        before = {} if former is None else {"title": former.title, **former.own}
        record(
            session,
            principal,
            Action.TENANTS_CHANGE,
            name,
            before=before,
            after={"title": made.title, **made.own},
            tenant=name,
        )
    log.info("tenant %s changed by %s", name, in_log(principal))
    return made


def _check(name: str, title: str | None, quotas: Mapping[str, int | None]) -> None:
    try:
        Address(name, "x")
    except InvalidName as wrong:
        raise InvalidRequest(f"A tenant's name: {wrong}") from wrong
    if title is not None and (len(title) > rules.TITLE_MOST_CHARACTERS or not title.isprintable()):
        raise InvalidRequest(f"A title is at most {rules.TITLE_MOST_CHARACTERS} printable characters.")
    unknown = sorted(set(quotas) - set(NAMES))
    if unknown:
        raise InvalidRequest(f"There is no quota {unknown[0]!r:.40}: there are {', '.join(NAMES)}.")
    for each, value in quotas.items():
        problem = rules.quota_problem(value)
        if problem is not None:
            raise InvalidRequest(f"{each}: {problem}.")


def own_tenant(ctx: Context, principal: Principal, name: str) -> TenantRecord:
    """One tenant. Raises Forbidden, NotFound."""
    authorize(principal, Action.TENANTS_READ, tenant=name)
    with ctx.db.session(principal.tenant) as session:
        found: Sequence[TenantRecord] = store.listed(session, name)
    if not found:
        need_there(ctx, principal, name)
        raise NotFound(f"There is no tenant {name:.64}.")
    return found[0]


def quotas_of(ctx: Context, tenant: str) -> Quotas:
    """What holds for the tenant; the usual for "*"."""
    with ctx.db.session() as session:
        return rules.with_usual(store.own_quotas(session, tenant))


def need_room(session: Session, tenant: str, names: Collection[str]) -> None:
    """Is there room for these lampposts, new or known? In the caller's transaction. Raises QuotaReached."""
    most = store.own_quotas(session, tenant)["devices"]
    if most is None:
        return
    store.lock(session, tenant)
    there = store.active_but(session, tenant, names)
    if there + len(names) > most:
        raise QuotaReached(
            f"{tenant} may have {most} lampposts, and has {there} beside {'these' if names else 'none'}.",
            remedy="Decommission some, or have the quota raised: lamppost fleet tenants quota.",
        )


def need_group(session: Session, tenant: str, there: Callable[[], int]) -> None:
    """Is there room for one more group? there: how many it has, asked for while nobody else makes one. In the
    caller's transaction. Raises QuotaReached."""
    most = rules.with_usual(store.own_quotas(session, tenant)).groups
    if most is None:
        return
    store.lock(session, tenant)
    if there() >= most:
        raise QuotaReached(
            f"{tenant} may have {most} groups, and has as many.",
            remedy="Remove one, or have the quota raised: lamppost fleet tenants quota --groups.",
        )
