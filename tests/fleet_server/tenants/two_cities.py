"""Two tenants on one server, each with one of everything: what the tests of tenants ask about.

Everything of a tenant bears its name, so that an answer can be searched for the other's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg import Connection

from fleet_server.telemetry import timescale
from fleet_server.telemetry.partitions import is_partitioned, make_months, month_of
from tests.fleet_server.telemetry.support import NOW

PORTO, LISBOA = "porto", "lisboa"
LAMP = "lamp-01"
_STATEMENTS = (
    ("device_id", """
        INSERT INTO device (tenant, name, state, site, district, latitude, longitude) VALUES
        (%(tenant)s, 'lamp-01', 'active', 'Site ' || %(tenant)s, 'District ' || %(tenant)s, 41, -8)
        RETURNING id"""),
    ("", "UPDATE device SET latitude = 42 WHERE id = %(device_id)s"),
    ("place_id", "SELECT min(id) FROM device_place WHERE device_id = %(device_id)s"),
    ("unit_id", """
        INSERT INTO sensor_unit (device_id, kind, serial, layout, declared_at) VALUES
        (%(device_id)s, 'pms5003', 'Serial ' || %(tenant)s, '[["pm2_5", "ug/m3", -1]]', %(now)s)
        RETURNING id"""),
    ("series_id", """
        INSERT INTO series (sensor_unit_id, slot, channel, unit, exponent) VALUES
        (%(unit_id)s, 0, 'pm2_5', 'ug/m3', -1) RETURNING id"""),
    ("", """
        INSERT INTO sample_standard (sensor_unit, time, s0, flags)
        SELECT %(unit_id)s, %(now)s - i * interval '1 minute', 100 + i, 1 FROM generate_series(1, 90) i"""),
    ("", """
        INSERT INTO latest_unit (sensor_unit, slots, time, s0, flags) VALUES
        (%(unit_id)s, 1, %(now)s, 101, 1)"""),
    ("", """
        INSERT INTO unit_minute (sensor_unit, bucket, n_0, sum_0, min_0, max_0, flagged_0) VALUES
        (%(unit_id)s, %(now)s - interval '1 hour', 1, 100, 100, 100, 0)"""),
    ("", """
        INSERT INTO unit_day (sensor_unit, bucket, n_0, sum_0, min_0, max_0, flagged_0) VALUES
        (%(unit_id)s, date_trunc('day', %(now)s, 'UTC'), 1, 100, 100, 100, 0)"""),
    ("", """
        INSERT INTO district_hour
        (tenant, district, channel, unit, bucket, lampposts, n, mean, low, high) VALUES
        (%(tenant)s, 'District ' || %(tenant)s, 'pm2_5', 'ug/m3', %(now)s - interval '1 hour', 9, 9, 1, 1, 1)
        """),
    ("", """
        INSERT INTO district_index
        (tenant, district, time, index_id, value, level, category, driver, n) VALUES
        (%(tenant)s, 'District ' || %(tenant)s, %(now)s, 'us-aqi@2024-05-06', 9, 1, 'Good', 'pm2_5', 1)"""),
    ("", """
        INSERT INTO air_index (device_id, time, index_id, value, level, category, driver, concentration,
        correction, through) VALUES
        (%(device_id)s, %(now)s, 'us-aqi@2024-05-06', 9, 1, 'Good', 'pm2_5', 1, 'none', %(now)s)"""),
    ("calibration_id", """
        INSERT INTO calibration (sensor_unit_id, channel, slope, offset_, humidity, valid_from, created_by,
        created_at) VALUES (%(unit_id)s, 'pm2_5', 1, 0, 0, %(now)s, 'ana', %(now)s) RETURNING id"""),
    ("letter_id", """
        INSERT INTO dead_letter (device_id, topic, content_hash, payload, reason) VALUES
        (%(device_id)s, 'lp/1/' || %(tenant)s || '/lamp-01/up/live', sha256(%(tenant)s::bytea), '', 'broken')
        RETURNING id"""),
    ("verdict_id", """
        INSERT INTO verdict (device_id, sensor_unit, time, kind, score, confidence, reason, model, input_hash)
        VALUES (%(device_id)s, %(unit_id)s, %(now)s - interval '1 hour', 'episode', 1, 1,
        'Reason ' || %(tenant)s, 'm', '') RETURNING id"""),
    ("incident_id", """
        INSERT INTO incident (tenant, kind, state, severity, title, opened_at, first_verdict_at,
        last_verdict_at, devices, peak_score) VALUES (%(tenant)s, 'episode', 'open', 'moderate',
        'Title ' || %(tenant)s, %(now)s, %(now)s, %(now)s, 1, 1) RETURNING id"""),
    ("", "INSERT INTO incident_verdict (incident_id, verdict_id) VALUES (%(incident_id)s, %(verdict_id)s)"),
    ("claim_id", """
        INSERT INTO claim (id, tenant, secret_hash, bound, replaces, created_by, created_at) VALUES
        ('claim' || %(tenant)s, %(tenant)s, '', true, false, 'ana', %(now)s) RETURNING id"""),
    ("enrolment_id", """
        INSERT INTO enrolment (claim_id, state, tenant, device, site, expires_at) VALUES
        (%(claim_id)s, 'claimed', %(tenant)s, 'lamp-02', 'Site ' || %(tenant)s, now() + interval '1 day')
        RETURNING id"""),
    ("operator_id", "INSERT INTO operator (name) VALUES ('ana-' || %(tenant)s) RETURNING id"),
    ("token", """
        INSERT INTO api_token (tenant, operator_id, name, roles, scopes, token_hash, created_by, created_at,
        expires_at) VALUES (%(tenant)s, %(operator_id)s, 'Token ' || %(tenant)s, '{viewer}', '{}',
        sha256(%(tenant)s::bytea), 'ana', now(), now() + interval '1 day') RETURNING id"""),
    ("approval", """
        INSERT INTO second_person_request (tenant, action, resource, digest, what, reason, state, asked_by,
        asked_at, expires_at) VALUES (%(tenant)s, 'devices:decommission', %(tenant)s || '/lamp-01', '',
        'What ' || %(tenant)s, '', 'waiting', 'ana', now(), now() + interval '1 day') RETURNING id"""),
)  # fmt: skip


def build(connection: Connection[Any], tenant: str) -> Mapping[str, Any]:
    """One of everything; returns its ids, by the names that the routes' paths have."""
    if is_partitioned(connection):
        make_months(connection, [month_of(NOW)])
    aggregated = timescale.aggregates(connection)
    made: dict[str, Any] = {"tenant": tenant, "name": LAMP}
    for name, statement in _STATEMENTS:
        if aggregated and "INSERT INTO unit_day" in statement:
            continue  # it is there by itself
        done = connection.execute(statement.encode(), {"now": NOW, **made})
        if name:
            row = done.fetchone()
            assert row is not None
            made[name] = row[0]
    return made
