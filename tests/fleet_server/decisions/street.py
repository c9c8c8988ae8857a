"""Lampposts in a real database: what they say comes by the ingest, a worker decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from fleet_server.decisions.deciding import decide
from tests.fleet_server.telemetry.support import NOW, NOW_MS, Desk, Post
from wire_contract.classes import Class
from wire_contract.messages import Verdict, VerdictBatch
from wire_contract.verdict_kinds import VerdictKind

MODEL = "air_anomaly@1.0.0/litert"
MINUTE = timedelta(minutes=1)


@dataclass
class Street:
    """Lampposts in a row, a kilometre apart, and a worker."""

    desk: Desk
    posts: Sequence[Post]

    def says(
        self,
        number: int,
        minute: float = 0,
        kind: str = VerdictKind.EPISODE,
        *,
        delay_min: float = 0.0,
        reason: str = "PM2.5 rose fast",
        score: float = 0.95,
        model: str = MODEL,
        confidence: float = 0.9,
        unit: int = 1,
    ) -> None:
        at_ms = NOW_MS + round(minute * 60_000)
        said = Verdict(at_ms, unit, kind, score, confidence, reason, model, b"h" * 32)
        now = NOW + (minute + delay_min) * MINUTE
        self.desk.take(self.posts[number].publish(Class.ALARM, VerdictBatch((said,))), now=now)

    def decide(self, minute: float = 0) -> int:
        return decide(self.desk.connection, NOW + minute * MINUTE)

    def device(self, number: int) -> int:
        return int(self.desk.one("SELECT id FROM device WHERE name = %s", self.posts[number].name))


def street_of(desk: Desk, count: int) -> Street:
    posts = [Post(f"lamp-{number:02}") for number in range(count)]
    desk.register(*posts)
    desk.take(*(post.declare() for post in posts))
    for number, post in enumerate(posts):
        desk.connection.execute(
            "UPDATE device SET latitude = %s, longitude = 5, district = 'Old Town' WHERE name = %s",
            (52.0 + number / 111.195, post.name),
        )
    return Street(desk, posts)
