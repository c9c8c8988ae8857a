"""The worker role's part: what each lamppost is desired to do follows from tables; bring it to that.

Every tick is bounded and can be repeated; several workers share the work (SKIP LOCKED).
"""

from __future__ import annotations

from fleet_server.db import Database
from fleet_server.twin import group_store, store

TWINS_A_TICK = 500
GROUPS_A_TICK = 1_000


def reconcile(db: Database) -> int:
    """Membership of the stale twins, then what they inherit; how many there were.

    Raises DatabaseUnreachable.
    """
    with db.session() as session:
        store.make_missing(session, TWINS_A_TICK)
        twins = store.claim_stale(session, TWINS_A_TICK)
        if twins:
            group_store.place(session, [twin.device_id for twin in twins])
            layers = store.layers(session, twins)
            for twin in twins:
                store.save(session, store.refreshed(twin, layers[twin.device_id]))
    return len(twins)


def regroup(db: Database) -> int:
    """Every dynamic group anew: districts, sites and names change without a twin being touched. 0."""
    with db.session() as session:
        groups = group_store.dynamic_groups(session, GROUPS_A_TICK)
    for group in groups:
        with db.session() as session:
            group_store.regroup(session, group)
    return 0
