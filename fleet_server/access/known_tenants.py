"""Is there such a tenant? Asked before something is given in one: a mistyped name would be a new one."""

from __future__ import annotations

from fleet_server.access import store
from fleet_server.access.deciding import permitted
from fleet_server.access.grants import tenant_problem
from fleet_server.access.rules import EVERY_TENANT, Action, Principal
from fleet_server.context import Context
from fleet_server.errors import NotFound
from fleet_server.nearest import told as nearest


def need_known(ctx: Context, principal: Principal, name: str) -> None:
    """Raises NotFound where no tenant has the name, with the nearest: a mistyped one would be made.

    "*" and the city of the configuration are known. Who acts in one tenant, or may not see which there are,
    is not told: the service that is asked next refuses them. A name that is none is its affair, too.
    """
    if principal.within is not None or name == EVERY_TENANT or tenant_problem(name) is not None:
        return
    if not permitted(principal, Action.TENANTS_READ):
        return
    with ctx.db.session() as session:
        known = store.tenant_names(session) | {ctx.config.tenant.name}
    if name not in known:
        made_by = f"A new one is made by: lamppost fleet tenants add {name}."
        raise NotFound(f"There is no tenant {name}.", remedy=f"{nearest(name, known)} {made_by}".strip())
