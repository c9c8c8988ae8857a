"""Who has which roles where: an account's grants, and what it is within one tenant. Pure.

A grant gives an account a set of roles in one tenant; in EVERY_TENANT it counts in all of them. Grants come
from here ("local") or from the groups that an OpenID provider tells ("oidc"); what both give is added up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fleet_server.access.rules import EVERY_TENANT, HUMAN_ROLES

Source = Literal["local", "oidc"]
_TENANT = re.compile(r"\*|[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # a label of the wire's names, or every one


@dataclass(frozen=True)
class Grant:
    tenant: str
    roles: tuple[str, ...]
    source: Source = "local"


def roles_in(grants: Iterable[Grant], tenant: str) -> frozenset[str]:
    """What counts in `tenant`: the roles given there and those given everywhere."""
    return frozenset(role for each in grants if each.tenant in {tenant, EVERY_TENANT} for role in each.roles)


def tenants_of(grants: Iterable[Grant]) -> tuple[str, ...]:
    """Where somebody has a role: EVERY_TENANT first, then by name."""
    return tuple(sorted({each.tenant for each in grants if each.roles}))


def may_act_in(grants: Iterable[Grant], tenant: str) -> bool:
    """With a role everywhere, in any tenant; else in those where one was given."""
    return tenant_problem(tenant) is None and bool(roles_in(grants, tenant))


def chosen_tenant(grants: Iterable[Grant], wanted: str) -> str | None:
    """Where a new session acts: where it was `wanted`, "": the first. None: nowhere, or not there."""
    listed = tuple(grants)
    if wanted:
        return wanted if may_act_in(listed, wanted) else None
    return next(iter(tenants_of(listed)), None)


def tenant_problem(tenant: str) -> str | None:
    """What is wrong with a tenant's name, or None."""
    if _TENANT.fullmatch(tenant):
        return None
    return 'a tenant is 1 to 63 lower-case letters, digits and hyphens, or "*" for the whole installation'


def roles_problem(roles: Iterable[str]) -> str | None:
    """What is wrong with the roles of a person, or None."""
    given = list(roles)
    unknown = sorted(set(given) - set(HUMAN_ROLES))
    if given and not unknown:
        return None
    if not given:
        return f"it needs a role, at least one of {', '.join(HUMAN_ROLES)}"
    return f"roles are {', '.join(HUMAN_ROLES)}, not {', '.join(unknown)}"
