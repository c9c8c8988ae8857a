"""Roles per tenant, as pure rules; and that the configuration knows the same roles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_server import people_rules
from fleet_server.access import grants
from fleet_server.access.grants import Grant
from fleet_server.access.rules import EVERY_TENANT, HUMAN_ROLES

ADA = (Grant("porto", ("admin",)), Grant("*", ("viewer",), "oidc"))
BO = (Grant("porto", ("viewer",)), Grant("lisboa", ("operator",)), Grant("lisboa", ("approver",), "oidc"))


def test_roles_add_up_within_a_tenant_and_stay_out_of_others() -> None:
    assert grants.roles_in(ADA, "porto") == {"admin", "viewer"}
    assert grants.roles_in(ADA, "lisboa") == grants.roles_in(ADA, EVERY_TENANT) == {"viewer"}
    assert grants.roles_in(BO, "lisboa") == {"operator", "approver"}
    assert grants.roles_in(BO, "faro") == grants.roles_in(BO, EVERY_TENANT) == frozenset()


@pytest.mark.parametrize(
    ("given_to", "wanted", "chosen"),
    [
        (ADA, "", "*"),
        (ADA, "lisboa", "lisboa"),
        (ADA, "no tenant!", None),
        (BO, "", "lisboa"),
        (BO, "porto", "porto"),
        (BO, "faro", None),
        (BO, "*", None),
        ((), "", None),
        ((Grant("porto", ()),), "", None),
    ],
)
def test_where_a_session_acts(given_to: tuple[Grant, ...], wanted: str, chosen: str | None) -> None:
    assert grants.chosen_tenant(given_to, wanted) == chosen


names = st.sampled_from(["porto", "lisboa", "faro", "*"])
some_grants = st.lists(
    st.builds(Grant, names, st.lists(st.sampled_from(list(map(str, HUMAN_ROLES)))).map(tuple))
)


@given(some_grants, st.sampled_from(["porto", "lisboa", "faro"]))
def test_nothing_given_elsewhere_counts(given_to: list[Grant], tenant: str) -> None:
    elsewhere = [each for each in given_to if each.tenant not in {tenant, "*"}]
    assert grants.roles_in(elsewhere, tenant) == frozenset()
    kept = [each for each in given_to if each not in elsewhere]
    assert grants.roles_in(given_to, tenant) == grants.roles_in(kept, tenant)


@pytest.mark.parametrize("tenant", ["", "Porto", "a b", "-a", "a" * 64, "**", "a\n", "../x", "pörto"])
def test_bad_tenants(tenant: str) -> None:
    assert grants.tenant_problem(tenant)


def test_the_configuration_knows_the_same_roles_and_tenants() -> None:
    assert tuple(map(str, HUMAN_ROLES)) == people_rules.ROLES
    assert people_rules.TENANT.pattern == grants._TENANT.pattern


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([], ()),
        (["crew -> porto: viewer, technician"], (("crew", "porto", ("viewer", "technician")),)),
        (["cn=a -> b,ou=x -> *: admin"], (("cn=a -> b,ou=x", "*", ("admin",)),)),
    ],
)
def test_groups_become_grants(value: object, told: tuple[tuple[str, str, tuple[str, ...]], ...]) -> None:
    assert tuple((g.group, g.tenant, g.roles) for g in people_rules.grants(value)) == told


@pytest.mark.parametrize(
    "value",
    ["x", [1], [""], ["crew"], ["crew -> porto"], ["crew -> porto: king"], ["crew -> Porto: admin"],
     [" -> porto: admin"], ["crew -> : admin"], ["crew -> porto:"]],
)  # fmt: skip
def test_what_is_no_mapping_is_told(value: object) -> None:
    with pytest.raises(ValueError, match=r"GROUP ->|such as"):
        people_rules.grants(value)


@pytest.mark.parametrize(
    "value",
    [1, "http://login.example.org", "https://", "ftp://x", "https://u:p@x.org", "https://x.org/?a=b",
     "https://x.org/#a", "https://x.org/ a", "javascript:alert(1)", "https://x.org:99999", "//x.org"],
)  # fmt: skip
def test_what_is_no_address_of_a_provider_is_told(value: object) -> None:
    with pytest.raises(ValueError, match="https address"):
        people_rules.web_address(value)


def test_secrets_are_named_and_never_written() -> None:
    assert people_rules.reference("file:/etc/lamppost/oidc") == "file:/etc/lamppost/oidc"
    for value in ("hunter2", 1, "env:", "file: /x", "http://x"):
        with pytest.raises(ValueError, match="reference"):
            people_rules.reference(value)
