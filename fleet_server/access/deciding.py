"""The one question that every service asks before it acts: may this principal do that?"""

from __future__ import annotations

from fleet_server.access.engine import shipped_engine, tenant_of
from fleet_server.access.rules import Action, Principal
from fleet_server.errors import Forbidden, OtherTenant


def authorize(principal: Principal, action: str, resource: str = "*", *, tenant: str | None = None) -> None:
    """Returns when a policy permits it. `resource` is one thing's name, "*" everything of the tenant.

    tenant: whose it is; None: a device's "tenant/device" says it, anything else is the principal's own.

    Raises Forbidden; OtherTenant where it would be permitted on one of the principal's own; ValueError for
    an action outside the closed set (a mistake of ours).
    """
    if permitted(principal, action, resource, tenant=tenant):
        return
    own = principal.tenant
    refused = Forbidden(f"{principal.name} may not do {action} on {resource}.")
    if (tenant or tenant_of(principal, resource)) != own and permitted(principal, action, tenant=own):
        refused = OtherTenant(
            f"There is no device {resource}." if tenant is None else "There is no such thing."
        )
    refused.attempt = (principal, str(action), resource)
    raise refused


def permitted(principal: Principal, action: str, resource: str = "*", *, tenant: str | None = None) -> bool:
    """As `authorize`, for pages that hide what somebody may not do. The service that does it checks again."""
    return shipped_engine().decide(principal, Action(action), resource, tenant)
