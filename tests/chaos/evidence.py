"""What a run leaves behind, read without asking what is judged: ledgers, rows, tombstones, spools' counts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from demo.layout import TENANT, Post
from demo.ledger import Frame, Stored, read_ledger
from demo.records import Records, agent_status
from fleet_server.errors import DatabaseUnreachable
from tests.chaos.reckoning import Grave, Happened, Reckoning, reckon, windows
from tests.chaos.town import Town

UNREACHABLE = (psycopg.OperationalError, psycopg.InterfaceError, DatabaseUnreachable)  # it is being struck
SAMPLES = ("live", "history")  # the classes that carry samples


@dataclass(frozen=True)
class Evidence:
    """Rows and tombstones by lamppost are read before the ledgers: no row can be ahead of its frame.
    `folded`: how many samples the minutes of each lamppost hold."""

    rows: dict[str, list[Stored]]
    graves: dict[str, list[Grave]]
    frames: dict[str, list[Frame]] = field(default_factory=dict)
    dead_letters: dict[str, int] = field(default_factory=dict)
    duplicates: int = 0
    folded: dict[str, int] = field(default_factory=dict)


def gather(town: Town) -> Evidence:
    """Raises one of UNREACHABLE."""
    records = Records(town.layout)
    with contextlib.closing(records.connect()) as connection:
        rows = {post.name: records.rows(connection, post) for post in town.layout.posts}
        graves = {post.name: _graves(connection, post) for post in town.layout.posts}
        folded = {post.name: _folded(connection, post) for post in town.layout.posts}
        buried = connection.execute("SELECT reason, count(*) FROM dead_letter GROUP BY reason").fetchall()
        again = connection.execute(
            "SELECT coalesce(sum(value), 0) FROM ingest_counter WHERE name = 'duplicates'"
        ).fetchone()
    frames = {post.name: read_ledger(post.ledger) for post in town.layout.posts}
    return Evidence(rows, graves, frames, dict(buried), int(again[0]) if again else 0, folded)


def _graves(connection: psycopg.Connection[Any], post: Post) -> list[Grave]:
    query = """
        SELECT t.reason, t.samples, coalesce(extract(epoch FROM t.begins) * 1000, 0),
               coalesce(extract(epoch FROM t.ends) * 1000, 0)
        FROM tombstone t JOIN device d ON d.id = t.device_id
        WHERE d.tenant = %s AND d.name = %s AND t.samples > 0"""
    found = connection.execute(query, (TENANT, post.name)).fetchall()
    return [
        Grave(reason, int(samples), float(begins), float(ends)) for reason, samples, begins, ends in found
    ]


def _folded(connection: psycopg.Connection[Any], post: Post) -> int:
    """Every sample fills slot 0, and is in its minute once, flagged or not."""
    query = """
        SELECT coalesce(sum(m.n + m.flagged), 0)
        FROM rollup_1m m JOIN series s ON s.id = m.series_id
        JOIN sensor_unit u ON u.id = s.sensor_unit_id JOIN device d ON d.id = u.device_id
        WHERE d.tenant = %s AND d.name = %s AND s.slot = 0"""
    row = connection.execute(query, (TENANT, post.name)).fetchone()
    return int(row[0]) if row else 0


def judge(
    found: Evidence,
    happened: Sequence[Happened],
    offsets_ms: dict[str, set[int]],
    *,
    accepted: dict[str, int] | None = None,
    until_ms: float = float("inf"),
) -> list[Reckoning]:
    """Every lamppost's account. `accepted`: by the spools' own counters, once they are drained."""
    excuses = windows(happened)
    return [
        reckon(
            post,
            found.frames[post],
            found.rows[post],
            graves=found.graves[post],
            excuses=excuses,
            offsets_ms={0, *offsets_ms.get(post, ())},
            accepted=None if accepted is None else accepted.get(post),
            folded=None if accepted is None else found.folded.get(post),
            until_ms=until_ms,
        )
        for post in found.frames
    ]


def accepted(town: Town) -> dict[str, int]:
    """Samples that each spool ever took in, by its own counters: they survive a kill as its rows do."""
    return {post.name: town.spooled.of(post.name) for post in town.layout.posts}


def shed_there(posts: Iterable[Post]) -> dict[str, int]:
    """Samples that each spool says that it gave up; the city has a tombstone for each of them."""
    return {post.name: _of_classes(agent_status(post), "shed_samples") for post in posts}


def waiting(posts: Iterable[Post]) -> int:
    """Samples on all lampposts that nobody has acknowledged, as their status files said at last."""
    return sum(sum(agent_status(post).get("backlog", {}).values()) for post in posts)


def _of_classes(status: dict[str, Any], name: str) -> int:
    classes = status.get("classes", {})
    return sum(int(classes.get(each, {}).get(name, 0)) for each in SAMPLES)
