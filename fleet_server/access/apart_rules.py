"""Are two accounts two people, and does a tenant have two? Pure.

Whoever makes an account, sets its password, takes its second factor away or gives it the role to agree could
act as its owner: their hand is in it, and stays in it for APART_AFTER. Hands reach on: who made an account
that made another has a hand in both. Two accounts stand apart when no hand is in both, their own included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import combinations
from typing import Literal

# An account that an intruder made, or a tenant that they left with fewer than two, is of use to them after a
# week at the earliest: time for the security officer, who reads the audit log on workdays, to see it.
APART_AFTER = timedelta(days=7)

Rule = Literal["auto", "on", "off"]


class What(StrEnum):
    """How a hand came into an account; stored as these words."""

    MADE = "made it"
    PASSWORD = "set its password"  # noqa: S105 - says what was done
    FACTOR = "took its second factor"
    ROLE = "gave it the role to agree"


@dataclass(frozen=True)
class Hand:
    """`by` had a hand in `account`, at an instant within APART_AFTER. Names of accounts."""

    account: str
    by: str


def reach(account: str, hands: Iterable[Hand]) -> frozenset[str]:
    """Everybody who could act as this account: itself, who had a hand in it, and so on."""
    listed = tuple(hands)
    found, edge = {account}, {account}
    while edge:
        edge = {each.by for each in listed if each.account in edge} - found
        found |= edge
    return frozenset(found)


def apart(one: str, other: str, hands: Iterable[Hand]) -> bool:
    """Is nobody able to act as both?"""
    listed = tuple(hands)
    return reach(one, listed).isdisjoint(reach(other, listed))


def may_agree(agrees: str, asked: Iterable[str], hands: Iterable[Hand]) -> bool:
    """Does who agrees stand apart from all who may have asked: the account, and makers of its tokens?"""
    listed = tuple(hands)
    return all(apart(agrees, each, listed) for each in asked)


def two_apart(names: Iterable[str], hands: Iterable[Hand]) -> bool:
    """Are two among these accounts that stand apart?"""
    listed = tuple(hands)
    reached = [reach(name, listed) for name in names]
    return any(one.isdisjoint(other) for one, other in combinations(reached, 2))


def in_force(rule: str, two_now: bool, last_two: datetime | None, now: datetime) -> bool:
    """Does it take two people? last_two: when there were two, before an account was last changed.

    | rule | two stand apart now | there were two within APART_AFTER | takes two |
    |------|---------------------|-----------------------------------|-----------|
    | on   | -                   | -                                 | yes       |
    | off  | -                   | -                                 | no        |
    | auto | yes                 | -                                 | yes       |
    | auto | no                  | yes                               | yes       |
    | auto | no                  | no                                | no        |
    """
    if rule != "auto":
        return rule == "on"
    return two_now or (last_two is not None and now - last_two < APART_AFTER)


def latest(held: Mapping[str, datetime], tenants: Iterable[str]) -> datetime | None:
    """The newest of these tenants' instants."""
    return max((held[each] for each in tenants if each in held), default=None)
