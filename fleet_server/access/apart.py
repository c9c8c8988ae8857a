"""Who could be the second person where, and what is kept before and after somebody changes another's account.

    with ctx.db.session() as session:
        apart.before_a_change(session, now)      # the rule of two holds on, whatever comes of it
        …change the account…
        apart.had_a_hand(session, principal, operator_id, What.PASSWORD, now)

What comes from the machine's console leaves no hand: whoever sits there can change the database itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache

from sqlmodel import Session

from fleet_server.access import apart_store, grants, store
from fleet_server.access.apart_rules import APART_AFTER, What, in_force, latest, may_agree, two_apart
from fleet_server.access.deciding import permitted
from fleet_server.access.rules import EVERY_TENANT, Action, Principal


def before_a_change(session: Session, now: datetime) -> None:
    """Keep for which tenants two could agree just now. To be called before an account becomes less."""
    operators = store.operators(session)
    hands = apart_store.hands(session, now - APART_AFTER)
    with_two = {tenant for tenant in _tenants(operators) if two_apart(_could_agree(operators, tenant), hands)}
    apart_store.hold(session, with_two, now)


def had_a_hand(session: Session, principal: Principal, operator_id: int, what: What, now: datetime) -> None:
    """Keep that somebody could act as this account from now on."""
    if principal.kind == "operator":
        apart_store.put_hand(session, operator_id, principal.name, what, now)


def takes_two(session: Session, rule: str, tenant: str, now: datetime) -> bool:
    """Does the rule of two hold in `tenant`? For the whole installation it holds where it does in any tenant:
    who acts in all of them at once gets around none."""
    if rule != "auto":
        return in_force(rule, False, None, now)
    operators = store.operators(session)
    hands = apart_store.hands(session, now - APART_AFTER)
    every = tenant == EVERY_TENANT
    looked_at = _tenants(operators) if every else {tenant}
    two_now = any(two_apart(_could_agree(operators, each), hands) for each in looked_at)
    held = apart_store.held(session)
    return in_force(rule, two_now, latest(held, held if every else (tenant, EVERY_TENANT)), now)


def stands_apart(session: Session, agrees: str, asked: Iterable[str], now: datetime) -> bool:
    """May `agrees` be the second person for what one of `asked` may have asked?"""
    return may_agree(agrees, asked, apart_store.hands(session, now - APART_AFTER))


@cache
def decides(roles: frozenset[str]) -> bool:
    """Do these roles let somebody agree, in the tenant that they are given in?"""
    somebody = Principal("operator", "somebody", roles, "some-city")
    return permitted(somebody, Action.APPROVALS_DECIDE, tenant="some-city")


def _tenants(operators: Sequence[store.Operator]) -> set[str]:
    """Where somebody has a role, and EVERY_TENANT, which stands for the tenants that nobody has one in."""
    return {EVERY_TENANT} | {grant.tenant for each in operators for grant in each.grants}


def _could_agree(operators: Sequence[store.Operator], tenant: str) -> list[str]:
    """Accounts of people that could be the second person in `tenant`."""
    return [
        each.name
        for each in operators
        if not each.disabled
        and (each.has_password or any(grant.source == "oidc" for grant in each.grants))
        and decides(grants.roles_in(each.grants, tenant))
    ]
