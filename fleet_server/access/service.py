"""Access: authorize every call. (Signing in and operators follow below.)"""

from __future__ import annotations

from fleet_server.access.engine import shipped_engine
from fleet_server.access.rules import Action, Principal
from fleet_server.errors import Forbidden


def authorize(principal: Principal, action: str, resource: str = "*") -> None:
    """Returns when a policy permits it. `resource` is one thing's name, "*" the whole city.

    Raises Forbidden; ValueError for an action outside the closed set (a mistake of ours).
    """
    if not shipped_engine().decide(principal, Action(action), resource):
        raise Forbidden(f"{principal.name} may not do {action} on {resource}.")
