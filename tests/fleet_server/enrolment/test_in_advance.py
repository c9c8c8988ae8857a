"""Batches of claims, registered keys, rules that let in, claims used twice, a known lamppost's new key."""

from __future__ import annotations

import argparse
import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi.testclient import TestClient

from fleet_server import admin_cli, admin_commands
from fleet_server.accept_policy import read_rules
from fleet_server.access.rules import Principal, Role
from fleet_server.api import create_device_app
from fleet_server.config import EnrolmentConfig
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment import batches, registered_keys, service
from fleet_server.enrolment.batch_rules import BatchState
from fleet_server.enrolment.errors import (
    ClaimEarly,
    ClaimOver,
    ClaimSpent,
    ClaimUnknown,
    NameTaken,
    NotNow,
)
from fleet_server.enrolment.registered_keys import Vouched
from fleet_server.enrolment.rules import State
from fleet_server.enrolment.service import Issued, Waiting
from fleet_server.errors import Forbidden, InvalidRequest, NotFound
from fleet_server.tenants import service as tenants
from provisioning import requests
from provisioning.authority import Authority
from tests.fleet_server.enrolment.test_service import claim, enrolled, leaf
from tests.support.mosquitto import make_request
from tests.support.server_context import ADMIN, OPERATOR, VIEWER, make_context
from wire_contract.topics import Address

ELSEWHERE = Principal("operator", "eve", frozenset({Role.ADMIN}), tenant="village")


def with_rules(ctx: Context, *rules: str) -> Context:
    return replace(ctx, config=replace(ctx.config, enrolment=EnrolmentConfig(read_rules(rules))))


def token(text: str) -> tuple[str, str]:
    claim_id, _, secret = text.partition(".")
    return claim_id, secret


def public_pem(csr: bytes) -> str:
    key = x509.load_der_x509_csr(csr).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def key_of(csr: bytes) -> str:
    return requests.fingerprint(requests.checked_key(x509.load_der_x509_csr(csr).public_key()))


def test_a_batch_lets_its_number_in_each_claim_once_by_rule_or_by_a_person(ctx: Context) -> None:
    made = batches.make_batch(ctx, ADMIN, "ana", 3, district="Harbour")
    assert made.tokens[0].partition(".")[2] not in repr(made)
    people = with_rules(ctx, "batch district=Old")
    by_rule = with_rules(ctx, "batch district=Harbour most=2")
    requests_ = [make_request(f"city/lamp-{n}")[0] for n in range(3)]
    waiting = service.request_certificate(people, *token(made.tokens[0]), requests_[0])
    assert isinstance(waiting, Waiting)
    answers = [
        service.request_certificate(by_rule, *token(text), request)
        for text, request in zip(made.tokens, requests_, strict=True)
    ]
    assert [type(each) for each in answers] == [Issued, Issued, Waiting], "at most two of one batch"
    assert answers[0].enrolment.decided_by == "policy: batch district=Harbour most=2"
    assert devices.get_device(ctx, VIEWER, Address("city", "lamp-0")).record.district == "Harbour"
    assert service.accept(ctx, OPERATOR, answers[2].enrolment.id).state is State.ISSUED
    [listed] = batches.batches(ctx, VIEWER)
    assert (listed.size, listed.unused, listed.used) == (3, 0, 3)
    assert batches.batches(ctx, ELSEWHERE) == []


def test_a_batch_has_its_days_and_can_be_taken_back(ctx: Context) -> None:
    start = datetime.now(UTC) + timedelta(days=2)
    made = batches.make_batch(ctx, ADMIN, "ana", 2, valid_from=start)
    request, _ = make_request("city/lamp-1")
    with pytest.raises(ClaimEarly, match="can be used from"):
        service.request_certificate(ctx, *token(made.tokens[0]), request)
    waiting = service.request_certificate(ctx, *token(made.tokens[0]), request, start)
    late = start + timedelta(days=1)
    with pytest.raises(ClaimOver):
        service.request_certificate(ctx, *token(made.tokens[1]), make_request("city/lamp-2")[0], late)
    with pytest.raises(NotFound):
        batches.revoke(ctx, ELSEWHERE, made.batch.id)
    assert batches.revoke(ctx, ADMIN, made.batch.id, "phone lost").state is BatchState.REVOKED
    assert service.get_enrolment(ctx, VIEWER, waiting.enrolment.id).state is State.WITHDRAWN
    with pytest.raises(ClaimOver):
        service.request_certificate(ctx, *token(made.tokens[0]), request, start)
    with pytest.raises(NotNow):
        batches.resume(ctx, ADMIN, made.batch.id)


def test_a_claim_used_twice_is_an_alarm_and_suspends_its_batch(ctx: Context) -> None:
    ctx = with_rules(ctx, "batch")
    made = batches.make_batch(ctx, ADMIN, "ana", 3)
    first, second, third = map(token, made.tokens)
    issued = service.request_certificate(ctx, *first, make_request("city/lamp-1")[0])
    assert isinstance(issued, Issued)
    thief, _ = make_request("city/lamp-1")
    for _ in range(2):  # again is no second alarm
        with pytest.raises(ClaimSpent, match="another key"):
            service.request_certificate(ctx, *first, thief)
    [alarm] = batches.alarms(ctx, VIEWER)
    assert (alarm.claim_id, alarm.device, alarm.key_fingerprint) == (first[0], "lamp-1", key_of(thief))
    [batch] = batches.batches(ctx, VIEWER)
    assert (batch.state, batch.unused) == (BatchState.SUSPENDED, 2)
    assert first[0] in batch.reason
    with pytest.raises(ClaimSpent, match="suspended"):
        service.request_certificate(ctx, *second, make_request("city/lamp-2")[0])
    assert service.withdraw(ctx, OPERATOR, third[0]).state is State.WITHDRAWN
    assert batches.alarms(ctx, ELSEWHERE) == []
    with pytest.raises(NotFound):
        batches.see_alarm(ctx, ELSEWHERE, alarm.id)
    at_the_lamppost = Address("city", "lamp-1")
    [told] = devices.conditions(ctx, VIEWER, at_the_lamppost)
    assert (told.code, told.severity, told.subject) == ("claim_used_twice", "error", first[0])
    inside = Principal("operator", "ola", frozenset({Role.OPERATOR}), tenant="city")
    assert batches.see_alarm(ctx, inside, alarm.id).seen_by == "ola"
    assert devices.conditions(ctx, VIEWER, at_the_lamppost) == []
    assert (batches.alarms(ctx, VIEWER), len(batches.alarms(ctx, VIEWER, seen=True))) == ([], 1)
    assert batches.resume(ctx, ADMIN, batch.id).state is BatchState.OPEN
    answer = service.request_certificate(ctx, *second, make_request("city/lamp-2")[0])
    assert isinstance(answer, Issued)
    with ctx.db.raw() as connection:
        found = connection.execute("SELECT count(*) FROM audit_line WHERE action = 'claims:batch'").fetchone()
    assert found == (3,), "made, suspended, resumed"


def test_what_people_write_is_in_no_log_of_a_process(ctx: Context, caplog: pytest.LogCaptureFixture) -> None:
    """A log is copied to where nothing is erased; the audit log has these words, and can forget them."""
    with caplog.at_level("DEBUG"):
        batch = batches.make_batch(ctx, ADMIN, "Ana Silva", 1).batch
        batches.resume(ctx, ADMIN, batch.id, "Ana Silva has found it")
        batches.revoke(ctx, ADMIN, batch.id, "Ana Silva has lost it")
        csr, _ = make_request("city/lamp-1")
        one = claim(ctx, "lamp-1", site="in Ana Silva's garden")
        asked = service.request_certificate(ctx, *one, csr)
        service.reject(ctx, ADMIN, asked.enrolment.id, "Ana Silva has moved")
    assert f"batch {batch.id}: revoked" in caplog.text
    assert "Ana" not in caplog.text


def test_what_a_pending_claim_of_a_suspended_batch_needs_is_a_person(ctx: Context) -> None:
    made = batches.make_batch(ctx, ADMIN, "ana", 2)
    one, two = map(token, made.tokens)
    request = make_request("city/lamp-2")[0]
    service.request_certificate(ctx, *one, make_request("city/lamp-1")[0])
    waiting = service.request_certificate(ctx, *two, request)
    with pytest.raises(ClaimSpent):
        service.request_certificate(ctx, *one, make_request("city/lamp-1")[0])
    assert isinstance(service.request_certificate(with_rules(ctx, "batch"), *two, request), Waiting)
    assert service.accept(ctx, OPERATOR, waiting.enrolment.id).state is State.ISSUED


def test_a_known_lamppost_with_a_new_key_is_pending_and_the_old_one_stays_in_until_then(
    ctx: Context, authority: Authority
) -> None:
    former = enrolled(ctx)
    ctx = with_rules(ctx, "batch", "registered-key")
    [text] = batches.make_batch(ctx, ADMIN, "ana", 1).tokens
    request, _ = make_request("city/lamp-01")
    waiting = service.request_certificate(ctx, *token(text), request)
    assert isinstance(waiting, Waiting)
    assert waiting.enrolment.known
    [shown] = admin_commands.enrolments_list(ctx, argparse.Namespace(state="pending"))
    assert shown["ends another"] == "yes", "whoever decides is told"
    assert list(authority.revocation_list()) == []
    assert service.renew(ctx, Address("city", "lamp-01"), make_request("city/lamp-01")[0]).refused == ""
    service.accept(ctx, OPERATOR, waiting.enrolment.id)
    assert former.serial_number in {each.serial_number for each in authority.revocation_list()}
    answer = service.request_certificate(ctx, *token(text), request)
    assert isinstance(answer, Issued)
    assert leaf(answer.chain_pem).serial_number not in {e.serial_number for e in authority.revocation_list()}
    [again] = batches.make_batch(ctx, ADMIN, "ana", 1).tokens  # its certificate lost, its key not: as it was
    same = service.request_certificate(ctx, *token(again), request)
    assert isinstance(same, Issued)
    assert not same.enrolment.known
    devices.change_state(ctx, OPERATOR, Address("city", "lamp-01"), DeviceState.QUARANTINED)
    stranger, _ = make_request("city/lamp-01")
    registered_keys.register_keys(ctx, ADMIN, [Vouched("lamp-01", key_of(stranger))])
    assert isinstance(service.request_with_key(ctx, stranger), Waiting)


def test_a_registered_key_asks_without_a_claim(ctx: Context) -> None:
    request, _ = make_request("city/lamp-1")
    other, _ = make_request("city/lamp-2")
    with pytest.raises(ClaimUnknown):
        service.request_with_key(ctx, request)
    made = registered_keys.register_keys(
        ctx,
        ADMIN,
        [Vouched("lamp-1", public_pem(request), "Square"), Vouched("lamp-2", key_of(other).upper())],
    )
    assert [each.registered_key for each in made] == [key_of(request), key_of(other)]
    assert len(registered_keys.registered_keys(ctx, VIEWER)) == 2
    assert registered_keys.registered_keys(ctx, ELSEWHERE) == []
    answer = service.request_with_key(ctx, request)
    assert isinstance(answer, Issued), "the default lets registered keys in"
    assert service.request_with_key(ctx, request) == answer
    assert isinstance(service.request_with_key(with_rules(ctx), other), Waiting)
    assert devices.get_device(ctx, VIEWER, Address("city", "lamp-1")).record.site == "Square"
    with pytest.raises(NameTaken, match="lamp-2"):
        registered_keys.register_keys(ctx, ADMIN, [Vouched("lamp-3", key_of(other))])
    third, _ = make_request("city/lamp-3")
    [kept] = registered_keys.register_keys(ctx, ADMIN, [Vouched("lamp-3", key_of(third))])
    service.withdraw(ctx, OPERATOR, kept.claim_id)
    with pytest.raises(ClaimOver):
        service.request_with_key(ctx, third)


def test_another_city_that_reads_a_label_takes_no_lamppost_with_it(ctx: Context) -> None:
    tenants.put_tenant(ctx, ADMIN, "village")
    mine, _ = make_request("city/lamp-1")
    registered_keys.register_keys(ctx, ADMIN, [Vouched("lamp-1", key_of(mine))])
    registered_keys.register_keys(ctx, ELSEWHERE, [Vouched("lamp-1", key_of(mine))])
    answer = service.request_with_key(ctx, mine)
    assert isinstance(answer, Issued)
    assert answer.enrolment.tenant == "city"


def test_nothing_is_claimed_in_a_tenant_that_there_is_not(ctx: Context) -> None:
    """Whoever may act in every tenant may have mistyped the one that the session acts in."""
    tenants.put_tenant(ctx, ADMIN, "village")
    vilage = replace(ELSEWHERE, tenant="vilage")
    made_by = "There is no tenant vilage. A new one is made by: lamppost fleet tenants add vilage."
    for told, act in (
        (made_by, lambda: service.make_claim(ctx, vilage, "lamp-1")),
        (made_by, lambda: batches.make_batch(ctx, vilage, "ana", 1)),
        (made_by, lambda: registered_keys.register_keys(ctx, vilage, [Vouched("lamp-1", "0" * 32)])),
        ("Did you mean village?", lambda: service.make_claim(ctx, ADMIN, "lamp-1", tenant="vilage")),
    ):
        with pytest.raises(NotFound) as refused:
            act()
        assert told in str(refused.value)
    assert {each.name for each in tenants.list_tenants(ctx, ADMIN)} == {"village"}
    assert service.make_claim(ctx, ELSEWHERE, "lamp-1").enrolment.tenant == "village"
    assert service.make_claim(ctx, ADMIN, "lamp-1").enrolment.tenant == "city"  # the configuration's


def test_who_is_quarantined_is_let_in_by_no_rule(ctx: Context) -> None:
    [first, second] = batches.make_batch(ctx, ADMIN, "ana", 2).tokens
    ctx = with_rules(ctx, "batch")
    request, _ = make_request("city/lamp-01")
    assert isinstance(service.request_certificate(ctx, *token(first), request), Issued)
    devices.change_state(ctx, OPERATOR, Address("city", "lamp-01"), DeviceState.QUARANTINED)
    assert isinstance(service.request_certificate(ctx, *token(second), request), Waiting)
    assert devices.state_of(ctx, OPERATOR, Address("city", "lamp-01")) is DeviceState.QUARANTINED


def test_an_upgraded_database_keeps_its_claims(ctx: Context) -> None:
    claim_id, _ = claim(ctx)
    with ctx.db.raw() as connection:
        row = connection.execute("SELECT tenant, way, batch FROM claim WHERE id = %s", (claim_id,)).fetchone()
    assert row == ("city", "claim", None)


GARBAGE: list[tuple[str, Callable[[Context], object]]] = [
    ("no claim", lambda c: batches.make_batch(c, ADMIN, "ana", 0)),
    ("too many", lambda c: batches.make_batch(c, ADMIN, "ana", 201)),
    ("nobody", lambda c: batches.make_batch(c, ADMIN, "", 1)),
    ("unprintable", lambda c: batches.make_batch(c, ADMIN, "a\nb", 1)),
    ("too long", lambda c: batches.make_batch(c, ADMIN, "ana", 1, life=timedelta(days=15))),
    ("no life", lambda c: batches.make_batch(c, ADMIN, "ana", 1, life=timedelta(0))),
    (
        "long ago",
        lambda c: batches.make_batch(c, ADMIN, "ana", 1, valid_from=datetime(2020, 1, 1, tzinfo=UTC)),
    ),
    ("no zone", lambda c: batches.make_batch(c, ADMIN, "ana", 1, valid_from=datetime(2026, 12, 1))),
    ("district", lambda c: batches.make_batch(c, ADMIN, "ana", 1, district="x" * 65)),
    ("reason", lambda c: batches.revoke(c, ADMIN, "22222222", "a\0b")),
    ("no key", lambda c: registered_keys.register_keys(c, ADMIN, [])),
    ("garbage", lambda c: registered_keys.register_keys(c, ADMIN, [Vouched("lamp", "garbage")])),
    ("huge", lambda c: registered_keys.register_keys(c, ADMIN, [Vouched("lamp", "a" * 9999)])),
    ("half", lambda c: registered_keys.register_keys(c, ADMIN, [Vouched("lamp", "1f0a-22b4")])),
    ("private", lambda c: registered_keys.register_keys(c, ADMIN, [Vouched("lamp", make_request("a/b")[1])])),
    ("name", lambda c: registered_keys.register_keys(c, ADMIN, [Vouched("La mp", "0" * 32)])),
    ("twice", lambda c: registered_keys.register_keys(c, ADMIN, [Vouched(n, "0" * 32) for n in "ab"])),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """Without a database: what makes no sense is refused before one is asked."""
    return make_context("postgresql://nobody@127.0.0.1:1/none", tmp_path_factory.mktemp("shared"))


@pytest.mark.parametrize(("what", "act"), GARBAGE, ids=[what for what, _ in GARBAGE])
def test_what_makes_no_sense_is_refused(shared: Context, what: str, act: Callable[[Context], object]) -> None:
    with pytest.raises(InvalidRequest):
        act(shared)


def test_who_may_not(shared: Context) -> None:
    for act in (
        lambda: batches.make_batch(shared, VIEWER, "ana", 1),
        lambda: batches.revoke(shared, VIEWER, "22222222"),
        lambda: batches.see_alarm(shared, VIEWER, 1),
        lambda: registered_keys.register_keys(shared, VIEWER, [Vouched("lamp", "0" * 32)]),
    ):
        with pytest.raises(Forbidden):
            act()


@pytest.fixture
def http(ctx: Context) -> Iterator[TestClient]:
    with TestClient(create_device_app(ctx), raise_server_exceptions=False) as client:
        yield client


def test_over_est_without_credentials(ctx: Context, http: TestClient) -> None:
    request, _ = make_request("city/lamp-1")
    body = base64.b64encode(request)
    header = {"Content-Type": "application/pkcs10"}
    refused = http.post("/.well-known/est/simpleenroll", content=body, headers=header)
    assert (refused.status_code, "not registered" in refused.json()["detail"]) == (401, True)
    registered_keys.register_keys(ctx, ADMIN, [Vouched("lamp-1", key_of(request))])
    assert http.post("/.well-known/est/simpleenroll", content=body, headers=header).status_code == 200


def test_from_the_command_line(
    ctx: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "server.toml"
    config.write_text(f'data_dir = "{tmp_path}"\n[database]\nurl = "{ctx.db.url}"\n')

    def run(*words: str) -> tuple[int, list[dict[str, object]]]:
        status = admin_cli.main([*words, "--config", str(config), "--json"])
        return status, json.loads(capsys.readouterr().out)

    soon = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
    status, made = run("batch", "new", "--technician", "ana", "--number", "2", "--from", soon)
    assert (status, len(made)) == (0, 2)
    status, made = run("batch", "new", "--technician", "ana", "--number", "2", "--district", "Harbour")
    assert (status, len(made)) == (0, 2)
    assert run("batch", "revoke", str(made[0]["batch"]), "--reason", "lost")[1][0]["state"] == "revoked"
    csv = tmp_path / "keys.csv"
    csv.write_text(
        f'device,key,site\nlamp-1,"{public_pem(make_request("a/b")[0])}",Square\nlamp-2,{"0" * 32},\n'
    )
    assert run("keys", "import", str(csv))[0] == 0
    assert [each["device"] for each in run("keys", "list")[1]] == ["lamp-2", "lamp-1"]
    assert run("alarms", "list") == (0, [])
    assert run("alarms", "seen", "7")[0] == 1
    for bad in (
        "",
        "device\nlamp\n",
        "device,key\nlamp\n",
        "device,key,other\na,b,c\n",
        'device,key\n"a,b\n',
    ):
        csv.write_text(bad)
        assert run("keys", "import", str(csv))[0] == 1
    csv.write_bytes(b"\xff\xfe")
    assert run("keys", "import", str(csv))[0] == 1
    assert run("keys", "import", str(tmp_path / "none"))[0] == 1
