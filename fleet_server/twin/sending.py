"""What is to be sent to lampposts now of their desired settings: a source of the ingest's speaker."""

from __future__ import annotations

from dataclasses import replace

from fleet_server.context import Context
from fleet_server.twin import rules, store
from wire_contract.envelope import encode
from wire_contract.topics import Down, down_topic

AT_ONCE = 200  # messages a tick: a group of thousands takes a minute, and no broker's queue runs full


def due_now(ctx: Context) -> list[tuple[str, bytes]]:
    """Claims it: what is returned is due again later, unless the device answers before.

    Raises DatabaseUnreachable.
    """
    with ctx.db.session() as session:
        twins = store.due(session, AT_ONCE)
        store.note_sent(session, [replace(twin, sync=rules.sent(twin.sync)) for twin in twins])
    return [(down_topic(t.address, Down.TWIN), encode(rules.message(t.sync))) for t in twins]
