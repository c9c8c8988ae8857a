"""Is there such a tenant? Asked before something is given or claimed in one, or looked for: a mistyped name
would be a new one, or have an empty answer."""

from __future__ import annotations

from sqlmodel import Session

from fleet_server.access import store
from fleet_server.access.deciding import permitted
from fleet_server.access.grants import tenant_problem
from fleet_server.access.rules import EVERY_TENANT, Action, Principal
from fleet_server.context import Context
from fleet_server.errors import NotFound
from fleet_server.nearest import told as nearest


def need_known(ctx: Context, principal: Principal, name: str) -> None:
    """As `need_there`, for whoever may see which there are. Who acts in one tenant, or may not see them, is
    not told: the service that is asked next refuses them."""
    if _sees_all(principal):
        need_there(ctx, principal, name)


def need_there(ctx: Context, principal: Principal, name: str) -> None:
    """Raises NotFound where no tenant has the name; with the nearest, for who may see which there are.

    "*" and the city of the configuration are known. A name that can be none is the service's own affair.
    """
    if name != EVERY_TENANT and tenant_problem(name) is None:
        with ctx.db.session() as session:
            need_in(session, ctx, principal, name)


def need_in(session: Session, ctx: Context, principal: Principal, name: str) -> None:
    """The same, in the caller's transaction, which acts as the owner."""
    known = store.tenant_names(session) | {ctx.config.tenant.name, EVERY_TENANT}
    if name not in known:
        meant = nearest(name, known - {EVERY_TENANT}) if _sees_all(principal) else ""
        made_by = f"A new one is made by: lamppost fleet tenants add {name}."
        raise NotFound(f"There is no tenant {name}.", remedy=f"{meant} {made_by}".strip())


def _sees_all(principal: Principal) -> bool:
    return principal.within is None and permitted(principal, Action.TENANTS_READ)
