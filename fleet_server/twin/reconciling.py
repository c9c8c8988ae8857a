"""The worker role's part: what each lamppost is desired to do follows from tables; bring it to that.

Every tick is bounded and can be repeated; several workers share the work (SKIP LOCKED).
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from fleet_server.db import Database
from fleet_server.twin import fitting, group_store, store

log = logging.getLogger(__name__)

TWINS_A_TICK = 500


def reconcile(db: Database) -> int:
    """Membership of the stale twins, then what they inherit; how many there were.

    Raises DatabaseUnreachable.
    """
    with db.session() as session:
        store.make_missing(session, TWINS_A_TICK)
        twins = store.claim_stale(session, TWINS_A_TICK)
        if twins:
            fitting.place(session, [twin.device_id for twin in twins])
            layers = store.layers(session, twins)
            after = [(twin, store.refreshed(twin, layers[twin.device_id])) for twin in twins]
            store.no_longer_stale(session, [twin.device_id for twin, same in after if same is twin])
            for twin, changed in after:
                if changed is not twin:
                    store.save(session, changed)
    return len(twins)


def regroup(db: Database, after: int, begin: Callable[[int], None]) -> int:
    """The dynamic group next to `after` anew: districts, sites and names change without a twin being touched.

    `begin` hears its id before, 0 where there is none: a query that fails must not keep the others. How many
    there were: one at a time, as the same thread decides on alarms and a large city's query takes a while.
    """
    with db.session() as session:
        group = group_store.dynamic_group(session, after)
    begin(0 if group is None else group.id)
    if group is None:
        return 0
    with db.session() as session:
        try:
            fitting.regroup(session, group)
        except fitting.TooSlow as slow:  # its members stay as they were found last
            if group.slow_since is None:
                log.warning("group %s/%s: %s", group.tenant, group.name, slow)
            group_store.note_slow(session, group.id, slow=True)
    return 1
