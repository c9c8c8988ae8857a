"""What happens when, a pure function: the same seed, minutes, lampposts and kinds give the same plan.

Faults come in acts of one to three that overlap. Kinds are dealt like cards: each comes once before any comes
again, so that half an hour has met all of them several times, and a minute as many as fit in it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from tests.chaos.faults import SPECS, Fault, Kind, Scope

SERVER = "server"
FIRST_S = (0.2, 2.0)  # from the start of an act, when all is settled, to its first fault
TOGETHER = (1, 2, 2, 3)  # how many faults an act has: mostly two
DRAIN_RATE = 4000.0  # bytes a second: sixteen hours of history take long enough to be struck in the middle
DRAIN_S = 10.0
STRIKE_S = 2.0, 9.0  # by the first a quiet machine has connected and begun
IN_THE_DRAIN = (Kind.AGENT_KILL, Kind.INGEST_KILL, Kind.BROKER_WIPE, Kind.DATABASE_KILL)
HEAVY = frozenset({Kind.SERVER_KILL, Kind.DATABASE_KILL, Kind.DATABASE_BACKEND})  # one of them an act


def plan(
    seed: int, minutes: float, posts: Sequence[str], kinds: Iterable[Kind] = tuple(Kind)
) -> tuple[Fault, ...]:
    """The faults of a run, by time. `posts`: names of the lampposts.

    Where the kinds allow it the first act strikes each part once while the lampposts drain their history over
    slow lines.
    """
    dice = random.Random(seed)
    allowed = sorted(set(kinds))
    if not allowed:
        return ()
    faults, now_s, act = _drain(dice, posts, allowed)
    deck: list[Kind] = []
    while now_s < minutes * 60:
        act += 1
        drawn, deck = _deal(dice, deck, allowed)
        made: list[Fault] = []
        at_s = now_s + dice.uniform(*FIRST_S)
        for kind in drawn:
            fault = _fault(dice, kind, at_s, posts, act)
            if not any(_meet(fault, other) for other in made):
                made.append(fault)
            longest_s = max(made[0].for_s, 2.0)
            at_s = made[0].at_s + dice.uniform(0.0, longest_s)
        made += _while_it_stands_still(dice, made, posts, allowed)
        faults += made
        now_s = max(fault.until_s for fault in made)
    return tuple(sorted(faults))


def _while_it_stands_still(
    dice: random.Random, made: Sequence[Fault], posts: Sequence[str], allowed: Sequence[Kind]
) -> list[Fault]:
    """Whoever has a batch that the database did not take yet is killed: nothing of it may have been acked."""
    still = next((fault for fault in made if fault.kind is Kind.DATABASE_FREEZE), None)
    if still is None or Kind.INGEST_KILL not in allowed:
        return []
    at_s = still.at_s + still.for_s * dice.uniform(0.5, 0.95)
    kill = _fault(dice, Kind.INGEST_KILL, at_s, posts, still.act)
    return [] if any(_meet(kill, other) for other in made) else [kill]


def _drain(dice: random.Random, posts: Sequence[str], allowed: list[Kind]) -> tuple[list[Fault], float, int]:
    victims = [kind for kind in IN_THE_DRAIN if kind in allowed]
    if Kind.NET_THROTTLE not in allowed or not victims:
        return [], 0.0, -1
    slow = [Fault(0.0, Kind.NET_THROTTLE, post, DRAIN_S, DRAIN_RATE, 0.0, 0) for post in posts]
    dice.shuffle(victims)
    share_s = (STRIKE_S[1] - STRIKE_S[0]) / len(victims)
    kills = [
        _fault(dice, kind, STRIKE_S[0] + i * share_s + dice.uniform(0.0, 0.8 * share_s), posts, 0)
        for i, kind in enumerate(victims)
    ]
    return [*slow, *kills], DRAIN_S, 0


def _deal(dice: random.Random, deck: list[Kind], allowed: list[Kind]) -> tuple[list[Kind], list[Kind]]:
    """The kinds of the next act and the deck that is left."""
    count = min(dice.choice(TOGETHER), len(allowed))
    drawn: list[Kind] = []
    while len(drawn) < count:
        if not deck:
            deck = dice.sample(allowed, len(allowed))
        card = deck.pop()
        if card in HEAVY and HEAVY.intersection(drawn):
            deck.insert(0, card)
            break
        drawn.append(card)
    return drawn, deck


def _fault(dice: random.Random, kind: Kind, at_s: float, posts: Sequence[str], act: int) -> Fault:
    spec = SPECS[kind]
    targets = {
        Scope.POST: [*posts],
        Scope.POST_LINE: [*posts],
        Scope.LINE: [*posts, *posts, SERVER],
        Scope.CITY: [SERVER],
    }
    for_s = 0.0 if spec.at_once else dice.uniform(*spec.lasts_s)
    size = dice.uniform(*spec.size)
    size = round(size, 0 if spec.size[1] >= 10 else 2)  # whole bytes; hundredths of hours, seconds, shares
    target = dice.choice(targets[spec.scope])
    return Fault(round(at_s, 2), kind, target, round(for_s, 2), float(size), round(dice.random(), 3), act)


def _meet(one: Fault, other: Fault) -> bool:
    """Two faults of one part and target at a time: the second would undo the first."""
    same = one.target == other.target and _part(one.kind) == _part(other.kind)
    return same and not (SPECS[one.kind].at_once and SPECS[other.kind].at_once)


def _part(kind: Kind) -> str:
    """A tight disk cuts the line as well; packets and connections are layers of their own."""
    return kind.split("-")[0]
