"""An episode over three lampposts, in a real database as the workers would have written it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg

from fleet_server.air.upkeep import follow
from tests.dashboards.city import City, Unit, minute

MODEL, RULE = "air_anomaly@1.0.0/litert", "rule@1"


@dataclass(frozen=True)
class Trouble:
    """Ids of incidents: one that goes on, one that is over, one found in late history."""

    open: int
    closed: int
    late: int


def verdict(
    city: City,
    unit: Unit,
    at: datetime,
    kind: str = "episode",
    *,
    score: float = 0.91,
    reason: str = "PM2.5 rose from 12 to 84 µg/m³ within 6 minutes.",
    model: str = MODEL,
) -> int:
    return int(
        city.execute(
            "INSERT INTO verdict (device_id, sensor_unit, time, kind, score, confidence, reason, model,"
            " input_hash, received_at, decided_at)"
            " VALUES (%s, %s, %s, %s, %s, 0.87, %s, %s, '', now(), now()) RETURNING id",
            unit.device, unit.id, at, kind, score, reason, model,
        )[0][0]
    )  # fmt: skip


def incident(
    city: City,
    title: str,
    units: Sequence[Unit],
    began: datetime,
    *,
    state: str = "open",
    severity: str = "major",
    district: str = "Altstadt",
    late: bool = False,
) -> int:
    """An incident as the worker would have written it, with a verdict of each unit two minutes apart."""
    last = began + timedelta(minutes=2 * len(units) - 2)
    closed = last + timedelta(minutes=30) if state == "closed" else None
    number = int(
        city.execute(
            "INSERT INTO incident (tenant, kind, state, severity, title, district, opened_at,"
            " first_verdict_at, last_verdict_at, closed_at, close_reason, late, devices, peak_score)"
            " VALUES (%s, 'episode', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 0.97) RETURNING id",
            city.tenant, state, severity, title, district, began, began, last, closed,
            "no verdict for 30 minutes" if closed else "", late, len(units),
        )[0][0]
    )  # fmt: skip
    for nth, unit in enumerate(units):
        at = began + timedelta(minutes=2 * nth)
        found = verdict(city, unit, at, score=0.97 - nth / 20)
        city.execute("INSERT INTO incident_verdict (incident_id, verdict_id) VALUES (%s, %s)", number, found)
        city.execute(
            "INSERT INTO incident_member (incident_id, device_id, sensor_unit, first_at, last_at, over_at,"
            " peak_score, peak_level, verdicts) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 1)",
            number, unit.device, unit.id, at, at, closed, 0.97 - nth / 20, 5 - nth,
        )  # fmt: skip
    happened(city, number, began, "opened", f"{title}.")
    if closed:
        happened(city, number, closed, "closed", "no verdict for 30 minutes")
    return number


def happened(city: City, number: int, at: datetime, what: str, text: str, by: str = "worker") -> None:
    city.execute(
        "INSERT INTO incident_event (incident_id, at, by, what, text, told)"
        " VALUES (%s, %s, %s, %s, %s, true)",
        number, at, by, what, text,
    )  # fmt: skip


def plume(city: City, unit: Unit, peak: float, centre: int, back: int = 90) -> None:
    """`back` minutes of readings with a plume around the minute `centre` before now."""
    for ago in range(back, -1, -1):
        swell = peak * max(0.0, 1 - abs(ago - centre) / 12)
        value = round(11 + ago % 4 + swell)
        city.sample(unit, minute(ago), [round(value * 0.7), value, round(value * 1.4)])


def follow_air(city: City, units: Sequence[Unit]) -> None:
    """Let the worker compute the hours and indices of what was sampled."""
    for unit in units:
        city.execute(
            "INSERT INTO air_dirty (sensor_unit, hour) SELECT DISTINCT %s::integer, date_trunc('hour', time)"
            " FROM sample WHERE sensor_unit = %s ON CONFLICT DO NOTHING",
            unit.id, unit.id,
        )  # fmt: skip
    with psycopg.connect(city.url) as connection:
        while follow(connection, datetime.now(UTC)):
            connection.commit()


def trouble(city: City, units: Sequence[Unit]) -> Trouble:
    """`units` are declared already; the first three see the same smoke."""
    going_on = incident(city, "Episode at Altstadt, Bahnhofstraße and 2 more", units[:3], minute(20))
    happened(city, going_on, minute(18), "joined", "markt-1")
    happened(city, going_on, minute(16), "severity", "moderate instead of minor: 2 lampposts")
    verdict(
        city, units[0], minute(45), "fault", score=0.2, model=RULE,
        reason="flat_line: nothing moved for 40 minutes",
    )  # fmt: skip
    verdict(
        city, units[0], minute(40), "fault_over", score=0.1, reason="flat_line: it moves again", model=RULE
    )
    over = incident(
        city, "Episode at Hafen, kai-3", units[:1], minute(60 * 9), state="closed", severity="minor",
        district="Hafen",
    )  # fmt: skip
    late = incident(
        city, "Episode at Hafen, kai-3 (history)", units[:1], minute(60 * 30), state="closed",
        severity="moderate", district="Hafen", late=True,
    )  # fmt: skip
    return Trouble(going_on, over, late)


def clear(city: City) -> None:
    """No incident was ever. Deletes: what pages read meanwhile may go on."""
    for table in ("incident_event", "incident_verdict", "incident_member", "incident", "verdict"):
        city.execute(f"DELETE FROM {table}")
