"""The shipped policies: who may do what, as one table; and that a wrong policy stops the start."""

from __future__ import annotations

import logging
import re

import pytest

from fleet_server.access import rules
from fleet_server.access.engine import InvalidPolicies, PolicyEngine, shipped_text
from fleet_server.access.rules import Action, Principal, Role
from fleet_server.access.service import authorize, permitted
from fleet_server.errors import Forbidden

LOOK = {
    Action.DEVICES_READ,
    Action.TELEMETRY_READ,
    Action.AIR_READ,
    Action.DEAD_LETTERS_READ,
    Action.CLAIMS_READ,
    Action.ENROLMENTS_READ,
    Action.INCIDENTS_READ,
    Action.RETENTION_READ,
    Action.TWIN_READ,
    Action.GROUPS_READ,
    Action.COMMANDS_READ,
    Action.CERTIFICATES_READ,
    Action.SITES_READ,
    Action.AGGREGATES_READ,
}
SET_UP = {
    Action.DEVICES_REGISTER,
    Action.DEVICES_CHANGE,
    Action.CLAIMS_CREATE,
    Action.CLAIMS_WITHDRAW,
    Action.ENROLMENTS_DECIDE,
    Action.CALIBRATIONS_CHANGE,
    Action.SITES_REPORT,
    Action.DEVICES_DECOMMISSION,
}
RUN = SET_UP | {
    Action.DEVICES_COMMAND,
    Action.DEAD_LETTERS_REPLAY,
    Action.INCIDENTS_WORK,
    Action.TWIN_CHANGE,
    Action.GROUPS_CHANGE,
}
WATCH = {
    Action.OPERATORS_READ,
    Action.TOKENS_READ,
    Action.TOKENS_REVOKE,
    Action.APPROVALS_READ,
    Action.AUDIT_READ,
    Action.AUDIT_EXPORT,
    Action.PRIVACY_READ,
    Action.CERTIFICATES_REVOKE,
}
ADMINISTER = WATCH | {
    Action.OPERATORS_CREATE,
    Action.RETENTION_CHANGE,
    Action.CLAIMS_BATCH,
    Action.KEYS_PREREGISTER,
    Action.TOKENS_CREATE,
    Action.APPROVALS_DECIDE,
    Action.PRIVACY_ERASE,
    Action.TENANTS_READ,
    Action.TENANTS_CHANGE,
}
OWN = {Action.SESSION_READ, Action.SESSION_CHANGE}
MAY: dict[Principal, set[Action]] = {
    Principal("operator", "a", frozenset({Role.ADMIN})): LOOK | RUN | ADMINISTER | OWN,
    Principal("operator", "o", frozenset({Role.OPERATOR})): LOOK | RUN | OWN,
    Principal("operator", "v", frozenset({Role.VIEWER})): LOOK | OWN,
    Principal("operator", "t", frozenset({Role.TECHNICIAN})): LOOK | SET_UP | OWN,
    Principal("operator", "p", frozenset({Role.PARTNER})): {Action.AGGREGATES_READ} | OWN,
    Principal("operator", "s", frozenset({Role.SECURITY_OFFICER})): LOOK | WATCH | OWN,
    Principal("operator", "x", frozenset({Role.APPROVER})): LOOK
    | {Action.APPROVALS_READ, Action.APPROVALS_DECIDE}
    | OWN,
    Principal("operator", "n", frozenset()): OWN,
    rules.CONSOLE: LOOK | RUN | ADMINISTER | OWN,
    rules.WORKER: LOOK | {Action.DEVICES_CHANGE, Action.DEVICES_COMMAND, Action.DEAD_LETTERS_REPLAY},
    rules.ENROLMENT: {Action.DEVICES_READ, Action.DEVICES_REGISTER},
    rules.INGEST: {
        Action.DEVICES_READ,
        Action.DEVICES_REPORT,
        Action.TELEMETRY_WRITE,
        Action.DEAD_LETTERS_READ,
        Action.DEAD_LETTERS_REPLAY,
    },
    rules.device_principal("city/lamp-01"): set(),
    rules.claimant_principal("7k3m9qxd"): set(),
}


@pytest.mark.parametrize("principal", MAY, ids=lambda p: f"{p.kind}-{p.name}")
@pytest.mark.parametrize("action", Action)
def test_who_may_do_what(principal: Principal, action: Action) -> None:
    if action in MAY[principal]:
        authorize(principal, action)
    else:
        with pytest.raises(Forbidden):
            authorize(principal, action)


@pytest.mark.parametrize("role", rules.HUMAN_ROLES)
def test_nobody_reaches_into_another_tenant(role: Role) -> None:
    ana = Principal("operator", "ana", frozenset({role}), "porto")
    everywhere = Principal("operator", "ana", frozenset({role}))
    for action in Action:
        with pytest.raises(Forbidden):
            authorize(ana, action, "lisboa/lamp-01")
        with pytest.raises(Forbidden):
            authorize(ana, action, tenant="lisboa")
        if action is Action.TENANTS_CHANGE:  # nobody lifts the quotas of the own tenant
            assert not permitted(ana, action)
            continue
        assert permitted(everywhere, action, "lisboa/lamp-01") == permitted(ana, action, "porto/lamp-01")


def test_a_token_does_no_more_than_its_scopes_and_no_more_than_its_roles() -> None:
    scopes = frozenset({Action.DEVICES_READ, Action.OPERATORS_CREATE})
    machine = Principal("operator", "m", frozenset({Role.OPERATOR}), "porto", scopes, "token")
    assert {action for action in Action if permitted(machine, action)} == {Action.DEVICES_READ}


def test_a_device_renews_its_own_certificate_only() -> None:
    device = rules.device_principal("city/lamp-01")
    authorize(device, Action.CERTIFICATES_RENEW, "city/lamp-01")
    with pytest.raises(Forbidden):
        authorize(device, Action.CERTIFICATES_RENEW, "city/lamp-02")


def test_a_claim_opens_the_door_of_its_own_id_only() -> None:
    claimant = rules.claimant_principal("7k3m9qxd")
    authorize(claimant, Action.ENROLMENTS_REQUEST, "7k3m9qxd")
    with pytest.raises(Forbidden):
        authorize(claimant, Action.ENROLMENTS_REQUEST, "8k3m9qxd")


def test_a_role_counts_only_with_its_kind_of_name_spelt_right() -> None:
    with pytest.raises(Forbidden):
        authorize(Principal("operator", "x", frozenset({"Admin"})), Action.DEVICES_READ)


@pytest.mark.parametrize("name", ['"', "\\", "x\ny", '") || true', "é", ""])
def test_names_cannot_change_the_question(name: str) -> None:
    with pytest.raises(Forbidden):
        authorize(Principal("operator", name, frozenset()), Action.DEVICES_READ, name)


def test_an_action_outside_the_closed_set_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="devices:fly"):
        authorize(rules.CONSOLE, "devices:fly")


def test_schema_and_rules_name_the_same_actions() -> None:
    _, schema = shipped_text()
    assert set(re.findall(r'"([a-z-]+:[a-z-]+)"', schema)) == set(Action)


@pytest.mark.parametrize(
    "policy",
    [
        'permit (principal, action == Lamppost::Action::"devices:fly", resource);',
        "forbid (principal, action, resource) when { principal.nmae == resource.name };",
        "permit (principal, action",
    ],
)
def test_a_wrong_policy_stops_the_start(policy: str) -> None:
    policies, schema = shipped_text()
    with pytest.raises(InvalidPolicies):
        PolicyEngine(policies + policy, schema)


def test_an_error_while_deciding_is_logged_and_denies(caplog: pytest.LogCaptureFixture) -> None:
    _, schema = shipped_text()
    overflow = "permit (principal, action, resource) when { 9223372036854775807 + 1 > 0 };"
    engine = PolicyEngine(overflow, schema)
    with caplog.at_level(logging.ERROR):
        assert not engine.decide(rules.CONSOLE, Action.DEVICES_READ, "*")
    assert "policy error" in caplog.text
