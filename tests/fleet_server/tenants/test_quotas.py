"""What a tenant may use: rates, lampposts, downloads; who may say so, over HTTP and in a terminal."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from fastapi import Request
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from fleet_server.access.asker import signed_in
from fleet_server.access.rules import CONSOLE, Principal, Role
from fleet_server.access.service import SignedIn
from fleet_server.admin_cli import parser
from fleet_server.clock import StreetClock
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.rules import DeviceState
from fleet_server.devices.service import Address, Newcomer, Place
from fleet_server.errors import Forbidden, InvalidRequest, OtherTenant
from fleet_server.telemetry.exports import download
from fleet_server.telemetry.exports.asking import Question
from fleet_server.telemetry.service import export
from fleet_server.tenants import rules, service
from fleet_server.tenants.errors import OverRate, QuotaReached
from fleet_server.tenants.gate import KEPT_S, Gate
from fleet_server.tenants.rules import USUAL, Bucket, Quotas
from tests.fleet_server.telemetry.support import NOW, NOW_MS
from tests.fleet_server.tenants.two_cities import LISBOA, PORTO, build
from tests.support.api import app_of
from tests.support.postgres import _create, _drop, with_database
from tests.support.server_context import ADMIN, make_context

ANA = Principal("operator", "ana", frozenset({Role.ADMIN}), PORTO)
BEA = replace(ANA, name="bea")
LIA = replace(ANA, name="lia", tenant=LISBOA)


@pytest.fixture(scope="module")
def city(
    postgres_server: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Context]:
    """Two tenants, for all tests of this module: each leaves the quotas as they were."""
    _create(postgres_server, "lamppost_quotas", template_database)
    url = with_database(postgres_server, "lamppost_quotas")
    with psycopg.connect(url) as connection:
        build(connection, PORTO)
        build(connection, LISBOA)
    made = make_context(url, tmp_path_factory.mktemp("quotas"))
    yield replace(made, clock=StreetClock(wall_ms=lambda: float(NOW_MS)))
    made.db.close()
    _drop(postgres_server, "lamppost_quotas")


@pytest.fixture
def quotas(city: Context) -> Iterator[Context]:
    yield city
    service.put_tenant(city, ADMIN, PORTO, quotas=dict.fromkeys(rules.NAMES))


@given(
    st.integers(1, 10_000),
    st.lists(st.floats(0, 30), max_size=60),
)
def test_no_minute_has_more_than_a_full_bucket_and_what_flows_in(a_minute: int, pauses: list[float]) -> None:
    bucket, now_s, passed = None, 0.0, 0
    for pause in pauses:
        now_s += pause
        here = rules.filled(bucket, a_minute, now_s)
        while not rules.wait_s(here, a_minute) and passed < 50_000:
            here, passed = Bucket(here.tokens - 1, now_s), passed + 1
        bucket = here
        assert passed <= a_minute + now_s * a_minute / 60 + 1e-6


@given(st.integers(1, 100_000), st.floats(0, 0.999))
def test_after_the_wait_there_is_a_token(a_minute: int, tokens: float) -> None:
    bucket = Bucket(tokens, 0.0)
    wait_s = rules.wait_s(bucket, a_minute)
    assert wait_s >= 1
    assert rules.wait_s(rules.filled(bucket, a_minute, wait_s + 1e-6), a_minute) == 0


@pytest.mark.parametrize("value", [0, -1, rules.MOST + 1, True])
def test_what_is_no_quota(value: int) -> None:
    assert rules.quota_problem(value)


class Clock:
    now_s = 0.0


def test_each_asker_and_each_tenant_is_counted() -> None:
    clock = Clock()
    told = {PORTO: Quotas(requests_a_minute=5, requests_a_minute_each=3), LISBOA: USUAL}
    gate = Gate(lambda tenant: told[tenant], lambda: clock.now_s)
    for _ in range(3):
        gate.pass_one(ANA)
    with pytest.raises(OverRate, match="ana may send 3 requests a minute") as slow:
        gate.pass_one(ANA)
    assert slow.value.members == {"retry_after_s": 20}
    for _ in range(2):
        gate.pass_one(BEA)
    with pytest.raises(OverRate, match="porto may send 5"):  # a machine's token is another asker, one tenant
        gate.pass_one(replace(ANA, name="probe", via="token"))
    gate.pass_one(LIA)  # another tenant is not held up
    gate.pass_one(ADMIN)
    clock.now_s = 20.0
    gate.pass_one(ANA)
    told[PORTO] = Quotas(requests_a_minute=1000, requests_a_minute_each=1000)
    clock.now_s += KEPT_S + 1
    for _ in range(1000):
        gate.pass_one(ANA)


def test_refused_requests_cost_nothing() -> None:
    clock = Clock()
    gate = Gate(lambda _: Quotas(60, 60), lambda: clock.now_s)
    for _ in range(60):
        gate.pass_one(ANA)
    for _ in range(100):
        with pytest.raises(OverRate):
            gate.pass_one(ANA)
    clock.now_s = 1.0
    gate.pass_one(ANA)


def test_over_http_it_is_429_with_a_time_to_come_again(quotas: Context) -> None:
    app = app_of(quotas)

    def asker(request: Request) -> SignedIn:
        who = ANA if request.headers["x-who"] == "ana" else LIA
        return SignedIn(who, datetime.now(UTC) + timedelta(hours=1))

    app.dependency_overrides[signed_in] = asker
    service.put_tenant(quotas, ADMIN, PORTO, quotas={"requests_a_minute_each": 2})
    http = TestClient(app, raise_server_exceptions=False)
    answers = [http.get("/api/v1/devices", headers={"x-who": "ana"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].json()["type"] == "urn:lamppost:problem:too-many-requests"
    assert 1 <= int(answers[2].headers["retry-after"]) <= 30
    assert http.get("/sta/v1.1/Things", headers={"x-who": "ana"}).status_code == 429
    assert http.get("/api/v1/devices", headers={"x-who": "lia"}).status_code == 200
    own = http.get(f"/api/v1/tenants/{LISBOA}", headers={"x-who": "lia"}).json()
    assert (own["lampposts"], own["quotas"]["requests_a_minute_each"]) == (1, 6000)
    assert [t["name"] for t in http.get("/api/v1/tenants", headers={"x-who": "lia"}).json()] == [LISBOA]
    assert http.get(f"/api/v1/tenants/{PORTO}", headers={"x-who": "lia"}).status_code == 404
    lifted = http.put(f"/api/v1/tenants/{LISBOA}", json={"quotas": {}}, headers={"x-who": "lia"})
    assert lifted.status_code == 403


def test_no_more_lampposts_than_the_quota(quotas: Context) -> None:
    service.put_tenant(quotas, ADMIN, PORTO, quotas={"devices": 2})
    devices.register(quotas, CONSOLE, Address(PORTO, "lamp-01"))  # it is there
    devices.register(quotas, CONSOLE, Address(PORTO, "lamp-02"))
    with pytest.raises(QuotaReached, match="porto may have 2 lampposts"):
        devices.register(quotas, CONSOLE, Address(PORTO, "lamp-03"))
    with pytest.raises(QuotaReached):
        devices.register_new(
            quotas, CONSOLE, [Newcomer(Address(PORTO, name), "", Place()) for name in ("lamp-02", "lamp-03")]
        )
    devices.register(quotas, CONSOLE, Address(LISBOA, "lamp-03"))
    devices.change_state(quotas, CONSOLE, Address(PORTO, "lamp-02"), DeviceState.DECOMMISSIONED)
    devices.register(quotas, CONSOLE, Address(PORTO, "lamp-03"))


def test_downloads_are_limited_in_number_and_in_rows(quotas: Context) -> None:
    whole = Question(NOW - timedelta(hours=2), NOW)
    service.put_tenant(quotas, ADMIN, PORTO, quotas={"downloads": 1, "download_rows": 90})
    first = export(quotas, ANA, whole)
    with pytest.raises(download.TooManyDownloads, match="1 downloads run already"):
        export(quotas, BEA, whole)
    export(quotas, LIA, whole).close()
    first.close()
    first.close()
    second = export(quotas, ANA, whole)
    text = b"".join(iter(second.take, None))
    second.close()
    assert text.count(b"\n") == 91
    service.put_tenant(quotas, ADMIN, PORTO, quotas={"download_rows": 89})
    with pytest.raises(InvalidRequest, match="more than 89 rows"):
        export(quotas, ANA, whole)
    export(quotas, ANA, replace(whole, begins=NOW - timedelta(hours=1))).close()


def test_who_may_change_what(city: Context) -> None:
    with pytest.raises(Forbidden):
        service.put_tenant(city, ANA, PORTO, quotas={"devices": 1_000})
    with pytest.raises(OtherTenant):
        service.own_tenant(city, ANA, LISBOA)
    for name, title, given_quotas in (
        ("Porto", None, {}),
        ("a/b", None, {}),
        ("", None, {}),
        ("porto", "x" * 101, {}),
        ("porto", "a\x00", {}),
        ("porto", None, {"lamps": 1}),
        ("porto", None, {"devices": 0}),
        ("porto", None, {"devices": rules.MOST + 1}),
    ):
        with pytest.raises(InvalidRequest):
            service.put_tenant(city, ADMIN, name, title, given_quotas)
    service.put_tenant(city, ADMIN, "aveiro", "Aveiro")
    assert [each.name for each in service.list_tenants(city, ADMIN)] == ["aveiro", LISBOA, PORTO]
    assert [each.name for each in service.list_tenants(city, ANA)] == [PORTO]


def test_the_command_line(quotas: Context, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*argv: str) -> list[dict[str, object]]:
        options = parser().parse_args(["tenants", *argv])
        rows: list[dict[str, object]] = options.act(quotas, options)
        return rows

    assert run("add", "braga", "--title", "Braga")[0]["title"] == "Braga"
    [changed] = run("quota", "braga", "--devices", "5", "--requests-a-minute", "100")
    assert (changed["devices"], changed["requests_minute"]) == (5, 100)
    assert run("quota", "braga", "--devices", "usual")[0]["devices"] is None
    assert "braga" in [row["name"] for row in run("list")]
    with pytest.raises(InvalidRequest):
        run("quota", "braga")
    for wrong in ("0", "-1", "many", "1.5", "9999999999"):
        with pytest.raises((SystemExit, argparse.ArgumentTypeError)):
            run("quota", "braga", f"--devices={wrong}")
    assert "whole number" in capsys.readouterr().err
