"""What is to be sent to lampposts now of their desired settings: a source of the ingest's speaker."""

from __future__ import annotations

import logging
from dataclasses import replace

from fleet_server.context import Context
from fleet_server.twin import rules, store
from fleet_server.twin.store import Twin
from wire_contract.envelope import encode
from wire_contract.errors import WireError
from wire_contract.topics import Down, down_topic

_log = logging.getLogger(__name__)

AT_ONCE = 200  # messages a tick: a group of thousands takes a minute, and no broker's queue runs full
ASIDE_AT_ONCE = 5_000


def due_now(ctx: Context) -> list[tuple[str, bytes]]:
    """Claims it: what is returned is due again later, unless the device answers before.

    Raises DatabaseUnreachable.
    """
    with ctx.db.session() as session:
        twins = store.due(session, AT_ONCE)
        store.note_sent(session, [replace(twin, sync=rules.sent(twin.sync)) for twin in twins])
        store.lay_aside(session, ASIDE_AT_ONCE)
    return [said for twin in twins if (said := _said(twin)) is not None]


def _said(twin: Twin) -> tuple[str, bytes] | None:
    """None, and a line, for what does not fit a message: the others must not wait for it."""
    try:
        return down_topic(twin.address, Down.TWIN), encode(rules.message(twin.sync))
    except WireError as error:
        _log.error("the settings of %s cannot be sent: %s", twin.address, error)
        return None
