"""The policy engine: Cedar, with the policies that are text beside this file, parsed and validated once.

A policy that does not fit the schema stops the start: an invalid `forbid` would otherwise not apply.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import cedarpy

from fleet_server.access.rules import Action, Principal
from fleet_server.masking import in_log

log = logging.getLogger(__name__)

_ENTITY_OF_KIND = {"operator": "Operator", "service": "Service", "device": "Device"}


class InvalidPolicies(Exception):
    """The policy text or its schema is wrong: an error of ours, found at the start."""


class PolicyEngine:
    """Parsed policies. `decide` is pure: the same principal, action and resource give the same answer."""

    def __init__(self, policies: str, schema: str) -> None:
        """Parse and validate. Raises InvalidPolicies with Cedar's own words."""
        try:
            self._schema = cedarpy.Schema.from_str(schema)
            self._policies = cedarpy.PolicySet.from_str(policies)
        except ValueError as error:
            raise InvalidPolicies(
                f"policies.cedar or policies.cedarschema does not parse: {error}"
            ) from error
        result = cedarpy.validate_policies(policies, self._schema)
        if not result.validation_passed:
            raise InvalidPolicies("; ".join(str(error) for error in result.errors))

    def decide(self, principal: Principal, action: Action, resource: str, tenant: str | None = None) -> bool:
        """True when a policy permits it. An error while deciding is logged, and denies.

        tenant: the resource's; None: what `tenant_of` makes of its name.
        """
        if principal.scopes is not None and str(action) not in principal.scopes:
            return False
        owner = tenant_of(principal, resource) if tenant is None else tenant
        kind = f"Lamppost::{_ENTITY_OF_KIND[principal.kind]}"
        request = {
            "principal": {"type": kind, "id": principal.name},
            "action": {"type": "Lamppost::Action", "id": str(action)},
            "resource": {"type": "Lamppost::Resource", "id": resource},
            "context": {},
        }
        entities = json.dumps(_entities(kind, principal, resource, owner))
        result = cedarpy.is_authorized(request, self._policies, entities, self._schema)
        for error in result.diagnostics.errors:
            log.error("policy error deciding %s on %s for %s: %s", action, resource, in_log(principal), error)
        return bool(result.allowed)


def tenant_of(principal: Principal, resource: str) -> str:
    """A device's name begins with its tenant; anything else is taken to be of the principal's own."""
    tenant, slash, _ = resource.partition("/")
    return tenant if slash else principal.tenant


def _entities(kind: str, principal: Principal, resource: str, tenant: str) -> list[Mapping[str, object]]:
    roles = [{"type": "Lamppost::Role", "id": str(role)} for role in sorted(principal.roles)]
    resource_uid = {"type": "Lamppost::Resource", "id": resource}
    listed: list[Mapping[str, object]] = [{"uid": role, "attrs": {}, "parents": []} for role in roles]
    return [
        *listed,
        {
            "uid": {"type": kind, "id": principal.name},
            "attrs": {"name": principal.name, "tenant": principal.tenant},
            "parents": roles,
        },
        {"uid": resource_uid, "attrs": {"name": resource, "tenant": tenant}, "parents": []},
    ]


def shipped_text() -> tuple[str, str]:
    """The policies and the schema that come with the package."""
    folder = files("fleet_server.access")
    return (folder / "policies.cedar").read_text(), (folder / "policies.cedarschema").read_text()


@cache
def shipped_engine() -> PolicyEngine:
    """The engine of this process, made at first use: call it at the start, a wrong policy is seen there."""
    return PolicyEngine(*shipped_text())
