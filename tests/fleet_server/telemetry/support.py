"""What the telemetry tests are written in: posts that publish, one worker's transactions on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg

from fleet_server.telemetry.ingest import ledger
from fleet_server.telemetry.ingest.catalogue import SeriesCatalogue
from fleet_server.telemetry.ingest.intake import Incoming, classify
from fleet_server.telemetry.ingest.pg_binary import register_arrays
from fleet_server.telemetry.ingest.transaction import Outcome, process
from fleet_server.telemetry.timescale import lift_limits
from wire_contract.classes import Class
from wire_contract.envelope import encode
from wire_contract.messages import Message, SampleBatch, SampleBlock, SensorDeclaration, SlotDeclaration
from wire_contract.properties import Delivery
from wire_contract.topics import Address, Up, class_channel, up_topic

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
MINUTE_MS = 60_000
GOOD_WORD = 0x1111_1111_1111_1111


@dataclass
class Post:
    """One lamppost: publishes what it is told to, and counts its sequences."""

    name: str = "lamp-01"
    epoch: bytes = b"e" * 16
    sequences: dict[Class, int] = field(default_factory=dict)

    @property
    def address(self) -> Address:
        return Address("city", self.name)

    def publish(self, cls: Class, message: Message | bytes, sequence: int | None = None) -> Incoming:
        if sequence is None:
            sequence = self.sequences.get(cls, 0) + 1
            self.sequences[cls] = sequence
        delivery = Delivery(self.epoch, cls, sequence, cls is Class.HISTORY, None)
        payload = message if isinstance(message, bytes) else encode(message)
        topic = up_topic(self.address, class_channel(cls))
        return Incoming(topic, payload, tuple(delivery.to_user_properties()))

    def tell(self, channel: Up, message: Message) -> Incoming:
        return Incoming(up_topic(self.address, channel), encode(message))

    def declare(self, unit: int = 1, kind: str = "pms5003", serial: str = "", slots: int = 3) -> Incoming:
        names = (
            "pm1",
            "pm2_5",
            "pm10",
            "n0_3",
            "n0_5",
            "n1_0",
            "n2_5",
            "n5_0",
            "n10_0",
            "co2",
            "a",
            "b",
            "c",
        )
        channels = tuple(SlotDeclaration(names[i % 13] + "x" * (i // 13), "ug/m3", -1) for i in range(slots))
        return self.publish(Class.REPLY, SensorDeclaration(unit, kind, serial, "", channels, NOW_MS))

    def samples(
        self,
        times_ms: Sequence[int],
        unit: int = 1,
        slots: tuple[int, ...] = (0, 1, 2),
        value: int | None = None,
        flags: int = GOOD_WORD,
    ) -> SampleBatch:
        """Values tell their instant and slot apart, unless `value` is given."""
        columns = tuple(
            [(t // 1000) % 10_000 + s if value is None else value for t in times_ms] for s in slots
        )
        return SampleBatch((SampleBlock(unit, slots, list(times_ms), columns, [flags] * len(times_ms)),))


class Desk:
    """One ingest worker without its broker."""

    def __init__(self, url: str, worker: str = "test") -> None:
        self.connection: psycopg.Connection[Any] = psycopg.connect(url, autocommit=True)
        register_arrays(self.connection)
        lift_limits(self.connection)
        self.series = SeriesCatalogue()
        self.worker = worker

    def take(self, *incoming: Incoming, now: datetime = NOW) -> Outcome:
        now_ms = int(now.timestamp() * 1000)
        items = [item for item in (classify(each, now_ms) for each in incoming) if item is not None]
        return process(self.connection, items, self.series, now, self.worker)

    def progress(self, outcome: Outcome) -> dict[int, tuple[int, tuple[tuple[int, int], ...]]]:
        """class -> prefix and ranges."""
        found = ledger.progress(self.connection, outcome.streams, {})
        return {p.stream.cls: (p.prefix, p.ranges) for p in found}

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, values or None).fetchall()

    def one(self, query: str, *values: Any) -> Any:
        return self.rows(query, *values)[0][0]

    def register(self, *posts: Post) -> None:
        for post in posts:
            self.connection.execute(
                "INSERT INTO device (tenant, name, state) VALUES ('city', %s, 'active')", (post.name,)
            )

    def close(self) -> None:
        self.connection.close()
