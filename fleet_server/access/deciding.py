"""The one question that every service asks before it acts: may this principal do that?"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from fleet_server.access.engine import shipped_engine, tenant_of
from fleet_server.access.rules import EVERY_TENANT, HUMAN_ROLES, Action, Principal
from fleet_server.errors import Forbidden, OtherTenant


def authorize(principal: Principal, action: str, resource: str = "*", *, tenant: str | None = None) -> None:
    """Returns when a policy permits it. `resource` is one thing's name, "*" everything of the tenant.

    tenant: whose it is; None: a device's "tenant/device" says it, anything else is the principal's own.

    Raises Forbidden, which says who may; OtherTenant where it would be permitted on one of the principal's
    own; ValueError for an action outside the closed set (a mistake of ours).
    """
    if permitted(principal, action, resource, tenant=tenant):
        return
    own = principal.tenant
    where = "" if resource == "*" else f" on {resource}"
    refused = Forbidden(f"{principal.name} may not do this{where}.", remedy=_who_may(principal, action))
    if (tenant or tenant_of(principal, resource)) != own and permitted(principal, action, tenant=own):
        refused = OtherTenant(
            f"There is no device {resource}." if tenant is None else "There is no such thing."
        )
    refused.attempt = (principal, str(action), resource)
    raise refused


def permitted(principal: Principal, action: str, resource: str = "*", *, tenant: str | None = None) -> bool:
    """As `authorize`, for pages that hide what somebody may not do. The service that does it checks again."""
    return shipped_engine().decide(principal, Action(action), resource, tenant)


def _who_may(principal: Principal, action: str) -> str:
    """Whom to ask, by the policies alone: roles, never people. "" for what no person does."""
    if principal.scopes is not None and permitted(replace(principal, scopes=None), action):
        return f"This token is not for it: one with the scope {action} is."
    for tenant in (principal.tenant, EVERY_TENANT):
        roles = _roles_that_may(action, tenant)
        if roles:
            where = "in the whole installation" if tenant == EVERY_TENANT else f"in {tenant}"
            return f"Ask somebody who is {' or '.join(roles)} {where} ({action})."
    return ""


@cache
def _roles_that_may(action: str, tenant: str) -> tuple[str, ...]:
    """Within that tenant; as the policies have it, so it is worked out once."""
    somebody = Principal("operator", "somebody", frozenset(), tenant)
    return tuple(
        str(role)
        for role in HUMAN_ROLES
        if permitted(replace(somebody, roles=frozenset({role})), action, tenant=tenant)
    )
