"""Who only looks is told no names: every GET route, of things that all were done by one person.

Whose name may stand where says the inventory of personal data: a column that is new there is here by itself.
What is written freely (reasons, notes, captions, a site) stays as it was written, and is in no column that is
looked at here. A viewer may listen to /api/v1/live: it tells numbers alone (`fleet_server.live.Change`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from psycopg import sql

from fleet_server.access.asker import signed_in
from fleet_server.access.rules import Role
from fleet_server.api import create_app
from fleet_server.clock import StreetClock
from fleet_server.privacy.inventory import PLACES, How, Kept
from provisioning.authority import Authority
from tests.fleet_server.telemetry.support import NOW, NOW_MS
from tests.fleet_server.tenants.test_matrix import ENDLESS, LINES, Cities, _asker
from tests.fleet_server.tenants.two_cities import PORTO, build
from tests.support.postgres import _create, _drop, with_database
from tests.support.server_context import make_context

SOMEBODY = "cassandra.quill"
REPORT, PHOTO, BULK = "1" * 32, "2" * 64, "3" * 16
MORE = (
    """INSERT INTO command (tenant, device_id, token, name, state, asked_by, asked_at, canceled_by, bulk,
       not_before, expires_at, timeout_s) VALUES (%(tenant)s, %(device_id)s, 't', 'ping', 'canceled', '',
       %(now)s, '', %(bulk)s, %(now)s, %(now)s, 9)""",
    """INSERT INTO claim_batch (id, tenant, technician, size, valid_from, valid_until, state, created_by,
       created_at) VALUES ('b', %(tenant)s, '', 1, %(now)s, %(now)s, 'open', '', %(now)s)""",
    """INSERT INTO claim_alarm (tenant, claim_id, key_fingerprint, at, seen_by, seen_at)
       VALUES (%(tenant)s, %(claim_id)s, 'f', %(now)s, '', %(now)s)""",
    """INSERT INTO claim (id, tenant, secret_hash, bound, replaces, created_by, created_at, way,
       registered_key) VALUES ('k', %(tenant)s, '', true, false, '', %(now)s, 'registered-key', 'f')""",
    """INSERT INTO enrolment (claim_id, state, tenant, device, expires_at, decided_at)
       VALUES ('k', 'claimed', %(tenant)s, 'lamp-03', now() + interval '1 day', %(now)s)""",
    """INSERT INTO incident_event (incident_id, at, by, what, text, told)
       VALUES (%(incident_id)s, %(now)s, '', 'note', 'seen', false)""",
    """INSERT INTO site_work (id, tenant, device, kind, done_at, received_at, done_by, digest)
       VALUES (%(report)s, %(tenant)s, 'lamp-01', 'note', %(now)s, %(now)s, '', '')""",
    """INSERT INTO site_report (id, tenant, device, made_at, received_at, technician, received_by, sent_by,
       key_fingerprint, key_known, passed, sha256, document) VALUES (%(report)s, %(tenant)s, 'lamp-01',
       %(now)s, %(now)s, '', '', '', '', true, true, '', %(document)s)""",
    """INSERT INTO site_photo (tenant, device, sha256, media_type, sent_by, received_at, content)
       VALUES (%(tenant)s, 'lamp-01', %(photo)s, 'image/png', '', %(now)s, '')""",
)
DEVICE = "/api/v1/devices/{tenant}/{name}"
# Where an administrator reads the name: what a viewer is told there is worth looking at.
TOLD = {
    "GET /api/v1/approvals", "GET /api/v1/approvals/{approval}", "GET /api/v1/tokens",
    f"GET {DEVICE}/calibrations", f"GET {DEVICE}/commands", f"GET {DEVICE}/history", f"GET {DEVICE}/photos",
    "GET /api/v1/claim-alarms", "GET /api/v1/claim-batches", "GET /api/v1/claims",
    "GET /api/v1/registered-keys", "GET /api/v1/enrolments", "GET /api/v1/enrolments/{enrolment_id}",
    "GET /api/v1/commands", "GET /api/v1/commands/{command_id}",
    "GET /api/v1/incidents", "GET /api/v1/incidents/{incident_id}",
    "GET /api/v1/field/reports", "GET /api/v1/field/reports/{work_id}",
    "GET /api/v1/field/reports/{work_id}/document",
}  # fmt: skip
QUERIES = {"GET /api/v1/claim-alarms": "?seen=true"}


@pytest.fixture(scope="module")
def city(
    postgres_server: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cities]:
    _create(postgres_server, "lamppost_names", template_database)
    url = with_database(postgres_server, "lamppost_names")
    with psycopg.connect(url) as connection:
        own: dict[str, Any] = dict(build(connection, PORTO))
        own |= {"report": REPORT, "photo": PHOTO, "bulk": BULK, "document": SOMEBODY.encode(), "now": NOW}
        for statement in MORE:
            connection.execute(statement.encode(), own)
        for place in PLACES:
            if place.how is How.NAME and place.kept is Kept.NAMES:
                names = sql.Identifier(place.table), sql.Identifier(place.column)
                done = connection.execute(sql.SQL("UPDATE {} SET {} = %s").format(*names), (SOMEBODY,))
                assert done.rowcount, f"nothing in {place.table}: make one in MORE"
        row = connection.execute("SELECT id FROM command").fetchone()
    assert row is not None
    own |= {
        "command_id": row[0],
        "work_id": REPORT,
        "sha256": PHOTO,
        "batch_id": "b",
        "claim": own["claim_id"],
    }
    folder = tmp_path_factory.mktemp("names")
    Authority.init(folder / "authority", "Testing")
    made = make_context(url, folder)
    context = replace(made, clock=StreetClock(wall_ms=lambda: float(NOW_MS)))
    app = create_app(context)
    app.dependency_overrides[signed_in] = _asker
    yield Cities(TestClient(app, raise_server_exceptions=False), app, own, own)
    context.db.close()
    _drop(postgres_server, "lamppost_names")


def told_to(city: Cities, role: Role, more: Mapping[str, str]) -> set[str]:
    """The routes that tell somebody of this role the name."""
    found = set()
    for line in LINES:
        if not line.startswith("GET") or line == ENDLESS:
            continue
        answer = city.ask(line + more.get(line, ""), role, city.own)
        assert answer.status_code < 500, (line, answer.text)
        if SOMEBODY in answer.text:
            found.add(line)
    return found


def test_a_viewer_reads_nobody_s_name(city: Cities) -> None:
    assert told_to(city, Role.ADMIN, QUERIES) - {"GET /api/v1/audit"} == TOLD
    for role in (Role.VIEWER, Role.PARTNER):
        assert told_to(city, role, QUERIES) == set()


def test_a_viewer_reads_initials(city: Cities) -> None:
    answer = city.ask("GET /api/v1/commands", Role.VIEWER, city.own)
    assert answer.json()["commands"][0]["asked_by"] == "c.q."
