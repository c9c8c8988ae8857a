"""Whose an enrolment is: the tenant that somebody acts in, and the one that they see."""

from __future__ import annotations

from fleet_server.access.rules import EVERY_TENANT, Principal
from fleet_server.context import Context
from fleet_server.errors import InvalidRequest


def tenant_of(ctx: Context, principal: Principal) -> str:
    """The tenant that it acts in; the configuration's where it acts in all."""
    return ctx.config.tenant.name if principal.tenant == EVERY_TENANT else principal.tenant


def only_of(principal: Principal) -> str | None:
    """The tenant that it sees; None: all."""
    return None if principal.tenant == EVERY_TENANT else principal.tenant


def check_site(site: str) -> None:
    """Raises InvalidRequest."""
    if len(site) > 200 or not site.isprintable():
        raise InvalidRequest("A site is at most 200 printable characters.")
