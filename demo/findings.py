"""What the city made of its air: incidents and verdicts as they stand in the database.

Read past the services that made them, like the samples: the verdict on a run must not pass through what it
judges.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from demo.layout import TENANT
from wire_contract.verdict_kinds import FaultCode, VerdictKind, fault_of

MERGED = "merged"


@dataclass(frozen=True)
class Incident:
    """Times are street ms. `merged_into`: the incident that it became a part of; `posts`: who is in it."""

    id: int
    opened_ms: float
    first_verdict_ms: float
    last_verdict_ms: float
    posts: frozenset[str]
    late: bool = False
    merged_into: int | None = None


@dataclass(frozen=True)
class Fault:
    """One time that a lamppost said that its sensor cannot be believed, and why."""

    post: str
    code: FaultCode
    time_ms: float


@dataclass(frozen=True)
class Findings:
    """`undecided`: verdicts that the city has not looked at yet."""

    incidents: tuple[Incident, ...] = ()
    faults: tuple[Fault, ...] = ()
    undecided: int = 0


def read_findings(connection: psycopg.Connection[Any]) -> Findings:
    """Everything that the city has found until now."""
    undecided = connection.execute("SELECT count(*) FROM verdict WHERE decided_at IS NULL").fetchone()
    return Findings(
        tuple(_incidents(connection)), tuple(_faults(connection)), int(undecided[0]) if undecided else 0
    )


def _incidents(connection: psycopg.Connection[Any]) -> Iterator[Incident]:
    rows = connection.execute(
        """
        SELECT i.id, extract(epoch FROM i.opened_at) * 1000, extract(epoch FROM i.first_verdict_at) * 1000,
               extract(epoch FROM i.last_verdict_at) * 1000, i.late, i.merged_into,
               array_remove(array_agg(DISTINCT d.name), NULL)
        FROM incident i LEFT JOIN incident_member m ON m.incident_id = i.id
        LEFT JOIN device d ON d.id = m.device_id
        WHERE i.tenant = %s GROUP BY i.id ORDER BY i.id""",
        (TENANT,),
    )
    for number, opened, first, last, late, merged_into, posts in rows:
        yield Incident(number, float(opened), float(first), float(last), frozenset(posts), late, merged_into)


def _faults(connection: psycopg.Connection[Any]) -> Iterator[Fault]:
    rows = connection.execute(
        """
        SELECT d.name, v.reason, extract(epoch FROM v.time) * 1000
        FROM verdict v JOIN device d ON d.id = v.device_id
        WHERE d.tenant = %s AND v.kind = %s ORDER BY v.id""",
        (TENANT, VerdictKind.FAULT.value),
    )
    for post, reason, time_ms in rows:
        code = fault_of(reason)
        if code is not None:
            yield Fault(post, code, float(time_ms))
