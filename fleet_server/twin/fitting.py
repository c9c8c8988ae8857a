"""Who fits the queries of dynamic groups: found by PostgreSQL, each statement within a time of its own.

One tenant's query must not keep other tenants' settings waiting. Where lampposts changed, all groups of a
tenant are asked in one statement; where that takes too long, each for itself, and who takes long alone is
left to the look once a minute from then on (`slow_since`), until it is quick there or its query is another.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby, islice
from typing import Any

from psycopg.errors import QueryCanceled
from sqlalchemy import exc, text
from sqlmodel import Session

from fleet_server.errors import InvalidRequest
from fleet_server.twin import group_store
from fleet_server.twin.group_store import Group
from fleet_server.twin.query import parsed
from fleet_server.twin.query_sql import compiled
from wire_contract.topics import Address

log = logging.getLogger(__name__)

GROUPS_AT_ONCE = 50  # of one statement: some thousand parameters at most
TOGETHER_MS = 2_000  # for that statement and 500 lampposts; 200 groups take some 100 ms
ALONE_MS = 250  # for one group and 500 lampposts
WHOLE_MS = 5_000  # for one group and every lamppost of its tenant
QUICK_S = 1.0  # for the same, so that it is no longer slow
SLOW_MOST = 4  # that a batch waits for, of one tenant; the others have their turn within the minute
_DEVICES = "device d LEFT JOIN device_twin t ON t.device_id = d.id"


class TooSlow(InvalidRequest):
    """A query takes longer than it may."""


def preview(session: Session, tenant: str, query: str, limit: int) -> tuple[int, list[Address]]:
    """How many devices a query fits, and the first of them by name. Raises BadQuery, TooSlow."""
    condition, parameters = compiled(parsed(query))
    where = f"FROM {_DEVICES} WHERE d.tenant = :tenant AND {condition}"
    given = {**parameters, "tenant": tenant, "limit": limit}
    with _within(session, WHOLE_MS):
        count: int = session.execute(text(f"SELECT count(*) {where}"), given).scalar_one()
        listed = text(f"SELECT d.tenant, d.name {where} ORDER BY d.name LIMIT :limit")
        return count, [Address(row.tenant, row.name) for row in session.execute(listed, given)]


def regroup(session: Session, of: Group) -> int:
    """Bring a dynamic group's members to what its query says, of all devices. How many. Raises TooSlow."""
    began_s = time.monotonic()
    with _within(session, WHOLE_MS):
        changed = _bring(session, [of], None)
    if of.slow_since is not None and time.monotonic() - began_s < QUICK_S:
        group_store.note_slow(session, of.id, slow=False)
    return changed


def place(session: Session, device_ids: Sequence[int]) -> None:
    """Put these devices into the dynamic groups that they fit, and out of the others."""
    found = group_store.dynamic_of(session, device_ids)
    for _, own in groupby(found, lambda each: each.tenant):
        slow = 0
        while some := list(islice(own, GROUPS_AT_ONCE)):
            if slow < SLOW_MOST and not _placed(session, some, device_ids, TOGETHER_MS):
                slow += _each_alone(session, some, device_ids, SLOW_MOST - slow)


def _each_alone(session: Session, groups: Sequence[Group], device_ids: Sequence[int], most: int) -> int:
    """How many were slow; at `most` the rest is left as it is."""
    slow = 0
    for each in groups:
        if slow < most and not _placed(session, [each], device_ids, ALONE_MS):
            slow += 1
            group_store.note_slow(session, each.id, slow=True)
            log.warning("the query of %s/%s is slow: looked at once a minute", each.tenant, each.name)
    return slow


def _placed(session: Session, groups: Sequence[Group], device_ids: Sequence[int], most_ms: int) -> bool:
    try:
        with _within(session, most_ms):
            _bring(session, groups, device_ids)
    except TooSlow:
        return False
    return True


@contextmanager
def _within(session: Session, most_ms: int) -> Iterator[None]:
    """What takes longer is undone, the transaction goes on. Raises TooSlow."""
    try:
        with session.begin_nested():
            session.execute(text(f"SET LOCAL statement_timeout = {most_ms}"))
            session.execute(text("SET LOCAL jit = off"))  # it compiles for longer than this runs
            yield
            session.execute(text("SET LOCAL statement_timeout TO DEFAULT"))
    except exc.OperationalError as error:
        if not isinstance(error.orig, QueryCanceled):
            raise
        raise TooSlow(
            f"The query takes longer than {most_ms / 1000:g} s.", remedy="Ask for less: fewer tests, fewer *."
        ) from error


def _bring(session: Session, groups: Sequence[Group], device_ids: Sequence[int] | None) -> int:
    """Members of these groups of one tenant as their queries say, among these devices (None: all)."""
    among = "" if device_ids is None else " AND d.id = ANY(:ids)"
    members_among = "" if device_ids is None else " AND m.device_id = ANY(:ids)"
    conditions, parameters = _conditions(groups)
    bring = (
        "WITH fits AS MATERIALIZED (SELECT d.id, g.id AS group_id"  # noqa: S608 - conditions are made by us
        f" FROM {_DEVICES}, LATERAL (VALUES {conditions}) AS g(id, fits)"
        f" WHERE d.tenant = :tenant AND g.fits{among}),"
        " gone AS (DELETE FROM device_group_member m WHERE m.group_id = ANY(:groups)"
        f" {members_among} AND NOT EXISTS"
        " (SELECT 1 FROM fits f WHERE f.id = m.device_id AND f.group_id = m.group_id)"
        " RETURNING m.device_id),"
        " came AS (INSERT INTO device_group_member (group_id, device_id, tenant)"
        " SELECT group_id, id, :tenant FROM fits ON CONFLICT DO NOTHING RETURNING device_id)"
        " SELECT device_id FROM gone UNION SELECT device_id FROM came"
    )
    given = {
        **parameters,
        "tenant": groups[0].tenant,
        "groups": [each.id for each in groups],
        "ids": list(device_ids or ()),
    }
    ids = list(session.execute(text(bring), given).scalars())
    if ids:
        group_store.mark_stale(session, ids)
    return len(ids)


def _conditions(groups: Sequence[Group]) -> tuple[str, Mapping[str, Any]]:
    """Rows of a VALUES list: a group's id, and whether the device of this row fits its query."""
    rows: list[str] = []
    parameters: dict[str, Any] = {}
    for each in groups:
        assert each.query is not None
        condition, own = compiled(parsed(each.query), f"q{each.id}_")
        rows.append(f"({each.id}, {condition})")
        parameters |= own
    return ", ".join(rows), parameters
