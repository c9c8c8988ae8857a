"""Dead letters for whoever may ask: which there are, what is in one, and trying many again.

Every function takes the context and the acting principal, and authorizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import psycopg

from fleet_server.access.rules import Action, Principal
from fleet_server.access.service import authorize
from fleet_server.audit.recording import record_by
from fleet_server.context import Context
from fleet_server.errors import DatabaseUnreachable, NotFound
from fleet_server.telemetry import letters_store
from fleet_server.telemetry.ingest.catalogue import SeriesCatalogue
from fleet_server.telemetry.ingest.pg_binary import register_arrays
from fleet_server.telemetry.ingest.replay import Replayed, replay
from fleet_server.telemetry.letters_store import DeadLetterRecord, LetterContent, LetterFilter
from fleet_server.telemetry.timescale import lift_limits

__all__ = ["DeadLetterRecord", "LetterContent", "LetterFilter"]


def listed(
    ctx: Context, principal: Principal, which: LetterFilter, *, before_id: int | None, limit: int
) -> list[DeadLetterRecord]:
    """Newest first, below `before_id` where one is given."""
    authorize(principal, Action.DEAD_LETTERS_READ)
    with ctx.db.session(principal.tenant) as session:
        return letters_store.listed(
            session,
            before_id=before_id,
            reason=which.reason,
            device=which.device,
            since=which.since,
            waiting=which.waiting,
            limit=limit,
            within=principal.within,
        )


def content(ctx: Context, principal: Principal, letter_id: int) -> LetterContent:
    """One letter with its bytes. Raises NotFound."""
    authorize(principal, Action.DEAD_LETTERS_READ)
    with ctx.db.session(principal.tenant) as session:
        found = letters_store.content(session, letter_id, principal.within)
    if found is None:
        raise NotFound(f"There is no dead letter {letter_id}.")
    return found


def waiting(ctx: Context, principal: Principal, which: LetterFilter) -> list[int]:
    """The numbers of the letters to try again, in the order in which they may become right."""
    authorize(principal, Action.DEAD_LETTERS_READ)
    with ctx.db.session(principal.tenant) as session:
        return letters_store.numbers(session, replace(which, within=principal.within))


def replay_all(ctx: Context, principal: Principal, numbers: Sequence[int]) -> Iterator[tuple[int, Replayed]]:
    """Try each again, in a transaction of its own, so that one may stop at any time. Raises NotFound."""
    authorize(principal, Action.DEAD_LETTERS_REPLAY)
    if principal.within is not None:
        with ctx.db.session(principal.tenant) as session:
            strange = set(numbers) - letters_store.known(session, numbers, principal.within)
        if strange:
            raise NotFound(f"There is no dead letter {min(strange)}.")
    try:
        with ctx.db.raw(autocommit=True) as connection:
            register_arrays(connection)
            lift_limits(connection)
            series = SeriesCatalogue()
            for number in numbers:
                told = recorded(connection, principal, number)
                yield number, replay(connection, number, series, ctx.clock.now(), told)
    except psycopg.Error as lost:
        raise DatabaseUnreachable(f"The database failed: {str(lost).splitlines()[0]}") from lost


def recorded(
    connection: psycopg.Connection[Any], principal: Principal, letter_id: int
) -> Callable[[Replayed], None]:
    """Writes the audit log's line of a replay, in the replay's own transaction."""

    def told(done: Replayed) -> None:
        after = {"outcome": done.outcome, "reason": done.reason, "samples": done.samples}
        record_by(connection, principal, Action.DEAD_LETTERS_REPLAY, f"dead letter {letter_id}", after=after)

    return told
