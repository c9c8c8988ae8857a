"""Every route of the API, asked by every role, for what is its tenant's and for what is another's.

`LINES` says who may use each route; everybody else is refused (403). What is another tenant's is not there
(404) for whoever may look, and in no list. A route without a line fails: decide who may, write the line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from fleet_server import db, migrations
from fleet_server.access.asker import signed_in
from fleet_server.access.rules import HUMAN_ROLES, Principal, Role
from fleet_server.access.service import SignedIn
from fleet_server.api import OPEN, OPENAPI_PATH, create_app
from fleet_server.clock import StreetClock
from provisioning.authority import Authority
from tests.fleet_server.telemetry.stores import BOTH, new_timescale_database
from tests.fleet_server.telemetry.support import NOW_MS
from tests.fleet_server.tenants.two_cities import LISBOA, PORTO, build
from tests.support.postgres import _create, _drop, with_database
from tests.support.server_context import make_context

BY_TICKET = "/api/v1/session/second-factor"  # of whoever has shown a password, and has no session yet
R = Role
EVERYBODY = frozenset(HUMAN_ROLES)
LOOK = EVERYBODY - {R.PARTNER}
AGGREGATES = EVERYBODY  # a data partner's, too
RUN = frozenset({R.ADMIN, R.OPERATOR})
SET_UP = RUN | {R.TECHNICIAN}
WATCH = frozenset({R.ADMIN, R.SECURITY_OFFICER})
ADMIN = frozenset({R.ADMIN})
NOBODY: frozenset[Role] = frozenset()
APPROVE = frozenset({R.ADMIN, R.APPROVER})

DEVICE = "/api/v1/devices/{tenant}/{name}"
LINES: dict[str, frozenset[Role]] = {
    "GET /api/v1/session": EVERYBODY,
    "PUT /api/v1/session/tenant": EVERYBODY,
    f"GET {OPENAPI_PATH}": EVERYBODY,
    "PUT /api/v1/account/password": EVERYBODY,
    "POST /api/v1/account/second-factor": EVERYBODY,
    "POST /api/v1/account/second-factor/confirm": EVERYBODY,
    "POST /api/v1/account/second-factor/recovery-codes": EVERYBODY,
    "POST /api/v1/account/second-factor/remove": EVERYBODY,
    "GET /api/v1/account/sessions": EVERYBODY,
    "DELETE /api/v1/account/sessions": EVERYBODY,
    "DELETE /api/v1/account/sessions/{number}": EVERYBODY,
    # people, machines, and what they did
    "GET /api/v1/operators": WATCH,
    "POST /api/v1/operators": ADMIN,
    "GET /api/v1/operators/{operator}": WATCH,
    "PUT /api/v1/operators/{operator}/grants/{tenant}": ADMIN,
    "PUT /api/v1/operators/{operator}/password": ADMIN,
    "DELETE /api/v1/operators/{operator}/second-factor": ADMIN,
    "DELETE /api/v1/operators/{operator}/sessions": ADMIN,
    "PUT /api/v1/operators/{operator}/state": ADMIN,
    "GET /api/v1/tokens": WATCH,
    "POST /api/v1/tokens": ADMIN,
    "DELETE /api/v1/tokens/{token}": WATCH,
    "GET /api/v1/approvals": WATCH | APPROVE,
    "GET /api/v1/approvals/{approval}": WATCH | APPROVE,
    "POST /api/v1/approvals/{approval}/approve": APPROVE,
    "POST /api/v1/approvals/{approval}/refuse": APPROVE,
    "POST /api/v1/approvals/{approval}/withdraw": NOBODY,  # but who asked
    "GET /api/v1/operators/{operator}/sessions": ADMIN,
    "GET /api/v1/privacy/inventory": WATCH,
    "POST /api/v1/privacy/find": WATCH,
    "POST /api/v1/privacy/export": WATCH,
    "POST /api/v1/privacy/erase": ADMIN,
    "GET /api/v1/audit": WATCH,
    "GET /api/v1/audit/export": WATCH,
    "GET /api/v1/audit/keys": WATCH,
    "GET /api/v1/audit/verification": WATCH,
    "GET /api/v1/audit/{number}": WATCH,
    # lampposts
    "GET /api/v1/devices": LOOK,
    f"GET {DEVICE}": LOOK,
    f"PATCH {DEVICE}": SET_UP,
    f"GET {DEVICE}/sensors": LOOK,
    f"GET {DEVICE}/conditions": LOOK,
    f"PUT {DEVICE}/state": SET_UP,
    f"GET {DEVICE}/certificates": LOOK,
    f"POST {DEVICE}/certificates/{{serial}}/revoke": WATCH,
    f"GET {DEVICE}/index": LOOK,
    f"GET {DEVICE}/corrected": LOOK,
    f"GET {DEVICE}/calibrations": LOOK,
    f"POST {DEVICE}/calibrations": SET_UP,
    "DELETE /api/v1/calibrations/{calibration_id}": SET_UP,
    f"GET {DEVICE}/verdicts": LOOK,
    f"GET {DEVICE}/history": LOOK,
    f"GET {DEVICE}/site-check": LOOK,
    f"POST {DEVICE}/handover": SET_UP,
    f"PUT {DEVICE}/photos": SET_UP,
    f"GET {DEVICE}/photos": LOOK,
    f"GET {DEVICE}/photos/{{sha256}}": LOOK,
    f"DELETE {DEVICE}/photos/{{sha256}}": SET_UP,
    # settings
    f"GET {DEVICE}/twin": LOOK,
    f"PUT {DEVICE}/twin": RUN,
    f"PATCH {DEVICE}/twin": RUN,
    f"GET {DEVICE}/tags": LOOK,
    f"PUT {DEVICE}/tags": RUN,
    f"PATCH {DEVICE}/tags": RUN,
    "GET /api/v1/groups": LOOK,
    "POST /api/v1/groups": RUN,
    "POST /api/v1/groups/preview": LOOK,
    "GET /api/v1/groups/{group}": LOOK,
    "PATCH /api/v1/groups/{group}": RUN,
    "DELETE /api/v1/groups/{group}": RUN,
    "GET /api/v1/groups/{group}/members": LOOK,
    "POST /api/v1/groups/{group}/members": RUN,
    "PUT /api/v1/groups/{group}/settings": RUN,
    "PATCH /api/v1/groups/{group}/settings": RUN,
    "GET /api/v1/settings": LOOK,
    "GET /api/v1/settings/tenant": LOOK,
    "PUT /api/v1/settings/tenant": RUN,
    "PATCH /api/v1/settings/tenant": RUN,
    # commands
    f"POST {DEVICE}/commands": RUN,
    f"GET {DEVICE}/commands": LOOK,
    "GET /api/v1/commands": LOOK,
    "POST /api/v1/commands/bulk": RUN,
    "GET /api/v1/commands/bulk/{bulk}": LOOK,
    "POST /api/v1/commands/bulk/{bulk}/cancel": RUN,
    "GET /api/v1/commands/{command_id}": LOOK,
    "POST /api/v1/commands/{command_id}/cancel": RUN,
    "GET /api/v1/commands/{command_id}/file": LOOK,
    # what they measure
    "GET /api/v1/telemetry/units/{unit_id}": LOOK,
    "GET /api/v1/telemetry/devices/{tenant}/{name}": LOOK,
    "GET /api/v1/telemetry/districts": AGGREGATES,
    "GET /api/v1/telemetry/completeness": LOOK,
    "GET /api/v1/telemetry/export": LOOK,
    "GET /api/v1/telemetry/latest": LOOK,
    "GET /api/v1/telemetry/series/{series_id}": LOOK,
    "GET /api/v1/telemetry/gaps/{series_id}": LOOK,
    "GET /api/v1/dead-letters": LOOK,
    "GET /api/v1/floods": LOOK,
    "POST /api/v1/dead-letters/{letter_id}/replay": RUN,
    "GET /api/v1/indices": LOOK,
    "GET /api/v1/districts": AGGREGATES,
    "GET /sta/v1.1": LOOK,
    "GET /sta/v1.1/{path}": LOOK,
    # who comes in
    "GET /api/v1/claim-batches": LOOK,
    "POST /api/v1/claim-batches": ADMIN,
    "POST /api/v1/claim-batches/{batch_id}/revoke": ADMIN,
    "POST /api/v1/claim-batches/{batch_id}/resume": ADMIN,
    "GET /api/v1/claim-alarms": LOOK,
    "POST /api/v1/claim-alarms/{alarm_id}/seen": SET_UP,
    "GET /api/v1/registered-keys": LOOK,
    "POST /api/v1/registered-keys": ADMIN,
    "GET /api/v1/claims": LOOK,
    "POST /api/v1/claims": SET_UP,
    "DELETE /api/v1/claims/{claim_id}": SET_UP,
    "GET /api/v1/enrolments": LOOK,
    "GET /api/v1/enrolments/{enrolment_id}": LOOK,
    "POST /api/v1/enrolments/{enrolment_id}/accept": SET_UP,
    "POST /api/v1/enrolments/{enrolment_id}/reject": SET_UP,
    # incidents
    "GET /api/v1/incidents": LOOK,
    "GET /api/v1/incidents/{incident_id}": LOOK,
    "GET /api/v1/incidents/{incident_id}/verdicts": LOOK,
    "POST /api/v1/incidents/{incident_id}/acknowledge": RUN,
    "POST /api/v1/incidents/{incident_id}/silence": RUN,
    "POST /api/v1/incidents/{incident_id}/notes": RUN,
    "POST /api/v1/incidents/{incident_id}/close": RUN,
    "GET /api/v1/live": LOOK,
    # who shares the installation
    "GET /api/v1/tenants": ADMIN,
    "GET /api/v1/tenants/{tenant}": ADMIN,
    "PUT /api/v1/tenants/{tenant}": NOBODY,  # who acts in one tenant lifts no quota
    # the technician's
    "GET /api/v1/field/settings": LOOK,
    "GET /api/v1/field/labels/{claim}": LOOK,
    "PUT /api/v1/field/work/{work_id}": SET_UP,
    "PUT /api/v1/field/reports/{work_id}": SET_UP,
    "GET /api/v1/field/reports/{work_id}": LOOK,
    "GET /api/v1/field/reports": LOOK,
    "GET /api/v1/field/reports/{work_id}/document": LOOK - {R.VIEWER},  # it names people
}
# What a change is asked with, so that it is the asker that is refused and not the question.
BODIES: Mapping[str, Any] = {
    "PUT /api/v1/session/tenant": {"tenant": PORTO},
    "PUT /api/v1/tenants/{tenant}": {},
    "PUT /api/v1/account/password": {"old": "wrong and long", "new": "right and long enough"},
    "POST /api/v1/account/second-factor": {"password": "wrong and long"},
    "POST /api/v1/account/second-factor/confirm": {"code": "123456"},
    "POST /api/v1/account/second-factor/recovery-codes": {"code": "123456"},
    "POST /api/v1/account/second-factor/remove": {"code": "123456"},
    "POST /api/v1/operators": {"name": "new", "password": "short", "roles": ["viewer"], "tenant": "$tenant"},
    "PUT /api/v1/operators/{operator}/grants/{tenant}": {"roles": ["viewer"]},
    "PUT /api/v1/operators/{operator}/password": {"password": "right and long enough"},
    "PUT /api/v1/operators/{operator}/state": {"disabled": True},
    "POST /api/v1/tokens": {"name": "t", "scopes": ["devices:read"], "days": 1, "tenant": "$tenant"},
    "POST /api/v1/approvals/{approval}/approve": {},
    "POST /api/v1/approvals/{approval}/refuse": {},
    f"PUT {DEVICE}/twin": {"desired": {}},
    f"PATCH {DEVICE}/twin": {"desired": {}},
    f"POST {DEVICE}/handover": {},
    "POST /api/v1/privacy/find": {"names": ["nobody at all"]},
    "POST /api/v1/privacy/export": {"names": ["nobody at all"]},
    "POST /api/v1/privacy/erase": {"names": ["nobody at all"]},
    f"PUT {DEVICE}/tags": {},
    f"PATCH {DEVICE}/tags": {},
    "POST /api/v1/groups": {"name": "g", "query": 'district in ("Harbour")'},
    "POST /api/v1/groups/preview": {"query": 'district in ("Harbour")'},
    "PATCH /api/v1/groups/{group}": {},
    "POST /api/v1/groups/{group}/members": {},
    "PUT /api/v1/groups/{group}/settings": {},
    "PATCH /api/v1/groups/{group}/settings": {},
    "PUT /api/v1/settings/tenant": {},
    "PATCH /api/v1/settings/tenant": {},
    f"PATCH {DEVICE}": {"district": f"District {PORTO}"},
    f"PUT {DEVICE}/state": {"state": "active"},
    f"POST {DEVICE}/certificates/{{serial}}/revoke": {"reason": "keyCompromise"},
    f"POST {DEVICE}/calibrations": {"slope": 0.9},
    f"POST {DEVICE}/commands": {"command": "ping"},
    "POST /api/v1/commands/bulk": {"command": "ping", "devices": ["$tenant/lamp-01"]},
    "POST /api/v1/commands/bulk/{bulk}/cancel": {},
    "POST /api/v1/commands/{command_id}/cancel": {},
    "POST /api/v1/claim-batches": {"technician": "tom", "number": 1},
    "POST /api/v1/registered-keys": {"keys": [{"device": "lamp-77", "key": "0" * 64}]},
    "POST /api/v1/claims": {},
    "POST /api/v1/incidents/{incident_id}/silence": {"until": None},
    "POST /api/v1/incidents/{incident_id}/notes": {"text": "smoke"},
    "PUT /api/v1/field/work/{work_id}": {
        "kind": "note",
        "device": "$tenant/lamp-01",
        "done_at": "2026-11-20T12:00:00Z",
    },
}
QUERIES: Mapping[str, str] = {
    "GET /api/v1/telemetry/districts": "?resolution=1h",
    "GET /api/v1/telemetry/export": "?format=csv&resolution=raw&layout=long",
}
# Ids of things that the two cities have none of: whoever may look finds nothing.
NOTHING = {
    "operator": "nobody",
    "number": 999_999,
    "group": "none",
    "bulk": "0" * 16,
    "command_id": 999_999,
    "batch_id": "none",
    "alarm_id": 999_999,
    "sha256": "0" * 64,
    "work_id": "0" * 32,
    "claim": "none",
    "serial": "f00",
}
REPORT = "PUT /api/v1/field/reports/{work_id}"  # its body says whose it is, and is signed
OWN_SESSIONS = "GET /api/v1/account/sessions"  # of an account, and these askers have none
ENDLESS = "GET /api/v1/live"  # a stream; refused before it begins, and test_live.py reads it
SETS = ("Things", "Locations", "Datastreams", "Sensors", "Observations", "FeaturesOfInterest")


@dataclass
class Cities:
    http: TestClient
    app: FastAPI
    own: Mapping[str, Any]
    other: Mapping[str, Any]

    def ask(self, line: str, role: Role, whose: Mapping[str, Any], tenant: str = PORTO) -> Any:
        """Somebody of this role, acting in the tenant, asks for something of `whose`."""
        method, _, path = line.partition(" ")
        values = {**NOTHING, **whose, "path": "Things"}
        address = re.sub(r"\{(\w+)\}", lambda found: str(values[found[1]]), path) + QUERIES.get(line, "")
        headers = {"x-test-role": role, "x-test-tenant": tenant}
        body = json.dumps(BODIES.get(line)).replace("$tenant", whose["tenant"])
        return self.http.request(method, address, json=json.loads(body), headers=headers)


def _asker(request: Request) -> SignedIn:
    role, tenant = Role(request.headers["x-test-role"]), request.headers["x-test-tenant"]
    principal = Principal("operator", f"the-{role}", frozenset({role}), tenant)
    return SignedIn(principal, datetime.now(UTC) + timedelta(hours=1), (tenant,))


@pytest.fixture(scope="module", params=BOTH)
def url(request: pytest.FixtureRequest, postgres_server: str, template_database: str) -> Iterator[str]:
    if request.param == "timescale":
        with new_timescale_database() as made:
            migrations.upgrade(made)
            yield made
        return
    _create(postgres_server, "lamppost_cities", template_database)
    yield with_database(postgres_server, "lamppost_cities")
    _drop(postgres_server, "lamppost_cities")


@pytest.fixture(scope="module")
def cities(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cities]:
    """They are asked only what changes nothing that another question is about."""
    with psycopg.connect(url) as connection:
        own, other = build(connection, PORTO), build(connection, LISBOA)
    folder = tmp_path_factory.mktemp("cities")
    Authority.init(folder / "authority", "Testing")
    made = make_context(url, folder)
    context = replace(made, clock=StreetClock(wall_ms=lambda: float(NOW_MS)))
    app = create_app(context)
    app.dependency_overrides[signed_in] = _asker
    yield Cities(TestClient(app, raise_server_exceptions=False), app, own, other)
    context.db.close()


def _lines(app: FastAPI) -> set[str]:
    documented = {
        f"{method.upper()} {_distinct(path)}"
        for path, methods in app.openapi()["paths"].items()
        for method in methods
        if (method.upper(), path) not in OPEN and not path.startswith(BY_TICKET)
    }
    return documented | {f"GET {OPENAPI_PATH}"}


def _distinct(path: str) -> str:
    """Two routes may call different things by one name."""
    own_names = {"operators/{name": "operator", "tokens/{number": "token", "approvals/{number": "approval"}
    for word, own in own_names.items():
        path = path.replace(word, f"{word.partition('{')[0]}{{{own}")
    return path


def _is_of_one(line: str) -> bool:
    return "{" in line and "{path}" not in line


def test_every_route_has_a_line(cities: Cities) -> None:
    assert _lines(cities.app) == LINES.keys()


def test_each_role_may_what_its_line_says(cities: Cities) -> None:
    wrong = []
    for line, who in LINES.items():
        for role in HUMAN_ROLES:
            if line == ENDLESS and role in who:
                continue
            status = cities.ask(line, role, cities.own).status_code
            refused = status == 403
            if refused == (role in who) or (status == 401 and "/account/" not in line) or status >= 500:
                wrong.append((line, str(role), status))
    assert wrong == []


@pytest.fixture(params=["both walls", "queries alone"])
def walls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Row-level security would hide a query's forgotten condition: without it the queries stand alone."""
    if request.param != "both walls":
        monkeypatch.setattr(db, "_BIND", "SELECT %(tenant)s::text")
    return str(request.param)


@pytest.mark.usefixtures("walls")
def test_what_is_another_tenants_is_not_there(cities: Cities) -> None:
    wrong = []
    for line, who in LINES.items():
        if not _is_of_one(line) or line == REPORT:
            continue
        for role in (Role.ADMIN, Role.TECHNICIAN, Role.PARTNER):  # most, something, least
            answer = cities.ask(line, role, cities.other)
            if answer.status_code not in ({404} if role in who else {403, 404}):
                wrong.append((line, str(role), answer.status_code, answer.text[:200]))
    assert wrong == []


@pytest.mark.usefixtures("walls")
def test_no_list_tells_of_another_tenant(cities: Cities) -> None:
    for line in LINES:
        if not line.startswith("GET") or _is_of_one(line) or line in (ENDLESS, OWN_SESSIONS):
            continue
        if line.startswith("GET /api/v1/audit"):  # quotes what its own people asked for, and were refused
            continue
        answer = cities.ask(line, Role.ADMIN, cities.own)
        assert answer.status_code == 200, (line, answer.text)
        assert LISBOA not in answer.text, line
    for name in SETS:
        answer = cities.ask(f"GET /sta/v1.1/{name}", Role.ADMIN, cities.own)
        assert answer.status_code == 200, answer.text
        assert answer.json()["value"], name
        assert LISBOA not in answer.text, name


@pytest.mark.parametrize("tenant", [PORTO, "*"])
def test_the_same_questions_have_answers(cities: Cities, tenant: str) -> None:
    """That nothing is told of others must not be because nothing is told at all."""
    told = {
        line: cities.ask(line, Role.ADMIN, cities.own, tenant).text
        for line in (
            "GET /api/v1/devices",
            "GET /api/v1/telemetry/latest",
            "GET /api/v1/telemetry/districts",
            "GET /api/v1/telemetry/export",
            "GET /api/v1/telemetry/completeness",
            "GET /api/v1/dead-letters",
            "GET /api/v1/indices",
            "GET /api/v1/districts",
            "GET /api/v1/enrolments",
        )
    }
    for line, text in told.items():
        assert PORTO in text, line
        assert (LISBOA in text) == (tenant == "*"), line


def test_a_mistyped_tenant_is_told_and_the_nearest_to_who_may_see_them(cities: Cities) -> None:
    for path in (
        "telemetry/districts?tenant=", "settings/tenant?tenant=", "groups?tenant=", "groups/g?tenant=",
        "groups/g/members?tenant=", "tenants/",
    ):  # fmt: skip
        answer = cities.ask(f"GET /api/v1/{path}lisbo", Role.ADMIN, cities.own, "*")
        meant = "There is no tenant lisbo. Did you mean lisboa?"
        assert (answer.status_code, answer.json()["detail"].startswith(meant)) == (404, True), path
    for role in (Role.PARTNER, Role.OPERATOR):  # they act everywhere, and may not list the tenants
        answer = cities.ask("GET /api/v1/telemetry/districts?tenant=lisbo", role, cities.own, "*")
        assert (answer.status_code, LISBOA in answer.text) == (404, False), role


@pytest.mark.usefixtures("walls")
def test_asking_for_another_tenant_by_name_finds_nothing(cities: Cities) -> None:
    for address in (
        f"/api/v1/telemetry/latest?device={LISBOA}/lamp-01",
        f"/api/v1/telemetry/completeness?device={LISBOA}/lamp-01",
        f"/api/v1/telemetry/export?device={LISBOA}/lamp-01",
        f"/api/v1/telemetry/export?device={PORTO}/lamp-01&device={LISBOA}/lamp-01",
        f"/sta/v1.1/Things({cities.other['device_id']})",
        f"/sta/v1.1/Locations({cities.other['place_id']})",
        f"/sta/v1.1/HistoricalLocations({cities.other['place_id']})",
        f"/sta/v1.1/FeaturesOfInterest({cities.other['place_id']})/Observations",
        f"/sta/v1.1/Datastreams({2 * cities.other['series_id']})/Observations",
        f"/sta/v1.1/Observations('{2 * cities.other['series_id']}:{NOW_MS - 60_000}')",
    ):
        assert cities.ask(f"GET {address}", Role.ADMIN, cities.own).status_code == 404, address
    for path in ("telemetry/districts", "settings/tenant", "groups", "groups/g", "groups/g/members"):
        told = [
            cities.ask(f"GET /api/v1/{path}?tenant={name}", Role.ADMIN, cities.own)
            for name in (LISBOA, "lisbo", "nowhere")  # there or not: the same words, and none of others
        ]
        assert [each.status_code for each in told] == [404] * 3, path
        assert {each.json()["detail"] for each in told} == {"There is no such thing."}, path
    for subject in ("units", "districts", "index", "district_index"):
        export = f"GET /api/v1/telemetry/export?subject={subject}&to=2026-11-20T13:00:00Z"
        told = cities.ask(export, Role.ADMIN, cities.own)
        assert (told.status_code, PORTO in told.text, LISBOA in told.text) == (200, True, False), subject
        other = cities.ask(f"{export}&district=District {LISBOA}", Role.ADMIN, cities.own)
        assert other.status_code == 404, subject
    own = cities.ask(f"GET /sta/v1.1/Locations({cities.own['place_id']})", Role.ADMIN, cities.own)
    assert "until" in own.json()["properties"], "a former place"
    like = "/sta/v1.1/Things?$filter=properties/tenant eq 'lisboa' or id gt 0"
    assert LISBOA not in cities.ask(f"GET {like}", Role.ADMIN, cities.own).json()["value"].__repr__()
