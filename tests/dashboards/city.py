"""A small city in a real database, as ingest would have written it: for the tests of the pages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import psycopg

from air_quality.tables import EU_EAQI, US_AQI
from fleet_server.telemetry.partitions import make_months, month_of
from tests.support.postgres import with_database

CHANNELS = {
    "pms5003": [("pm1", "ug/m3", 0), ("pm2_5", "ug/m3", 0), ("pm10", "ug/m3", 0)],
    "sds011": [("pm2_5", "ug/m3", -1), ("pm10", "ug/m3", -1)],
}
GOOD, SPIKE = 1, 6


@dataclass(frozen=True)
class Unit:
    """A sensor that was declared."""

    device: int
    id: int
    series: tuple[int, ...]


def minute(back: int = 0) -> datetime:
    """The start of this minute, or of one so many minutes back."""
    return datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=back)


class City:
    """Writes rows; every method is one committed transaction."""

    def __init__(self, url: str, tenant: str) -> None:
        self.url = url
        self.tenant = tenant

    def execute(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            cursor = connection.execute(statement, parameters)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def lamppost(
        self,
        name: str,
        site: str = "",
        *,
        presence: str = "online",
        backlog: int = 0,
        at: tuple[float, float] | None = None,
        cell: str = "",
        district: str = "",
    ) -> int:
        return int(
            self.execute(
                "INSERT INTO device (tenant, name, site, presence, presence_session, presence_at,"
                " last_seen_at, agent_version, clock_ok, backlog, latitude, longitude, cell, district)"
                " VALUES (%s, %s, %s, %s, 1, now(), now(), '0.1.0', true, %s, %s, %s, %s, %s) RETURNING id",
                self.tenant, name, site, presence, json.dumps({"history": backlog} if backlog else {}),
                *(at or (None, None)), cell, district,
            )[0][0]
        )  # fmt: skip

    def forget(self, *devices: int) -> None:
        """Take lampposts away, and where they stood."""
        self.execute("DELETE FROM device_place WHERE device_id = ANY(%s)", list(devices))
        self.execute("DELETE FROM device WHERE id = ANY(%s)", list(devices))

    def air(self, device: int, value: int, level: int, hours: int = 1) -> None:
        """US AQI `value` and EAQI `level` of the running hour and those before it."""
        for index, number in ((US_AQI, value), (EU_EAQI, level)):
            self.execute(
                "INSERT INTO air_index (device_id, time, index_id, value, level, category, driver,"
                " concentration, correction, through)"
                " SELECT %s, date_trunc('hour', now()) - hour * interval '1 hour', %s, %s, %s, '', 'pm2_5',"
                " 12.0, 'barkjohn2022@1', now() FROM generate_series(0, %s) hour",
                device, index, number, level, hours - 1,
            )  # fmt: skip

    def district_air(self, district: str, value: int, level: int, lampposts: int) -> None:
        for index, number in ((US_AQI, value), (EU_EAQI, level)):
            self.execute(
                "INSERT INTO district_index"
                " (tenant, district, time, index_id, value, level, category, driver, n)"
                " VALUES (%s, %s, date_trunc('hour', now()), %s, %s, %s, '', 'pm2_5', %s)",
                self.tenant, district, index, number, level, lampposts,
            )  # fmt: skip

    def sensor(self, device: int, kind: str, serial: str = "", site: str = "") -> Unit:
        layout = json.dumps(CHANNELS[kind])
        unit = self.execute(
            "INSERT INTO sensor_unit (device_id, kind, serial, site, layout, declared_at)"
            " VALUES (%s, %s, %s, %s, %s, now()) RETURNING id",
            device, kind, serial, site, layout,
        )[0][0]  # fmt: skip
        series = [
            self.execute(
                "INSERT INTO series (sensor_unit_id, slot, channel, unit, exponent)"
                " VALUES (%s, %s, %s, %s, %s) RETURNING id",
                unit, slot, *channel,
            )[0][0]
            for slot, channel in enumerate(CHANNELS[kind])
        ]  # fmt: skip
        return Unit(device, unit, tuple(series))

    def condition(self, device: int, code: str, severity: str, detail: str, remedy: str) -> None:
        self.execute(
            "INSERT INTO device_condition (device_id, code, subject, severity, detail, remedy, raised_at)"
            " VALUES (%s, %s, 'pms5003', %s, %s, %s, now())",
            device, code, severity, detail, remedy,
        )  # fmt: skip

    def sample(self, unit: Unit, at: datetime, values: Sequence[int], flag: int = GOOD) -> None:
        """One sample in every place where ingest puts it, and the notification after its commit."""
        flags = sum(flag << 4 * slot for slot in range(len(values)))
        columns = ", ".join(f"s{slot}" for slot in range(len(values)))
        marks = ", ".join("%s" for _ in values)
        flagged = int(flag != GOOD)
        counts = {f"n_{slot}": 1 for slot in range(len(values))}
        counts |= {f"flagged_{slot}": flagged for slot in range(len(values))}
        extremes = {f"{field}_{slot}": v for slot, v in enumerate(values) for field in ("sum", "min", "max")}
        minute = counts | extremes
        fold = {"min": "least(m.{c}, excluded.{c})", "max": "greatest(m.{c}, excluded.{c})"}
        folded = [f"{c} = " + fold.get(c.split("_")[0], "m.{c} + excluded.{c}").format(c=c) for c in minute]
        with psycopg.connect(self.url) as connection:
            make_months(connection, [month_of(at)])
            connection.execute(
                f"INSERT INTO sample_standard (sensor_unit, time, {columns}, flags)"  # type: ignore[arg-type]
                f" VALUES (%s, %s, {marks}, %s)",
                (unit.id, at, *values, flags),
            )
            connection.execute(
                f"INSERT INTO unit_minute AS m (sensor_unit, bucket, {', '.join(minute)})"  # type: ignore[arg-type]
                f" VALUES (%s, date_trunc('minute', %s::timestamptz), {', '.join('%s' for _ in minute)})"
                f" ON CONFLICT (sensor_unit, bucket) DO UPDATE SET {', '.join(folded)}",
                (unit.id, at, *minute.values()),
            )
            connection.execute(
                f"INSERT INTO latest_unit AS l (sensor_unit, slots, time, {columns}, flags)"  # type: ignore[arg-type]
                f" VALUES (%s, %s, %s, {marks}, %s) ON CONFLICT (sensor_unit, slots) DO UPDATE SET"
                f" time = excluded.time, flags = excluded.flags,"
                f" {', '.join(f's{i} = excluded.s{i}' for i in range(len(values)))}"
                " WHERE l.time < excluded.time",
                (unit.id, (1 << len(values)) - 1, at, *values, flags),
            )
            connection.execute(
                "SELECT pg_notify('lamppost_live', %s)", (json.dumps({"devices": [unit.device]}),)
            )

    def allow_connections(self, allowed: bool) -> None:
        """Take the database away from everybody who uses it, or give it back."""
        name = urlsplit(self.url).path.strip("/")
        server = with_database(self.url, "postgres")
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {allowed}')  # type: ignore[arg-type]
            if not allowed:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
                )


def furnish(city: City) -> dict[str, Unit]:
    """Three lampposts: one well, one in trouble and long silent, one that never spoke and stands nowhere."""
    well = city.sensor(
        city.lamppost(
            "bahnhof-nord", "Bahnhofstraße, stop A", backlog=400, at=(41.1496, -8.6109), district="Altstadt"
        ),
        "pms5003",
        site="3 m up",
    )
    city.air(well.device, 52, 2, hours=20)
    city.district_air("Altstadt", 52, 2, 1)
    for back in range(30, -1, -1):
        if not 10 <= back < 16:  # a gap of six minutes
            city.sample(well, minute(back), [8, 12 + back % 3, 20], SPIKE if back == 20 else GOOD)
    silent = city.sensor(
        city.lamppost("rathaus", "Rathausgasse 1", presence="offline", cell="ez3fh5", district="Altstadt"),
        "sds011",
        serial="a1b2",
    )
    city.sample(silent, minute(180), [71, 118])
    city.condition(
        silent.device, "sensor.silent", "error", "No frame for two hours.", "Look at the sensor's plug."
    )
    city.lamppost("schule-west", "Schulweg 22", presence="never")
    return {"bahnhof-nord": well, "rathaus": silent}
