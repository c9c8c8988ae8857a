"""The device's side over HTTP, garbage included, and the certificate at a real broker."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from fastapi import FastAPI
from fastapi.testclient import TestClient

from fleet_server.api import create_device_app
from fleet_server.context import Context
from fleet_server.enrolment import est, service
from provisioning.authority import Authority
from tests.provisioning.mqtt_client import connected, may_connect
from tests.support.mosquitto import IdentityFiles, MosquittoBroker, make_request
from tests.support.server_context import OPERATOR
from wire_contract.topics import Address, Up, up_topic

PATH = "/.well-known/est/simpleenroll"
PKCS10 = {"Content-Type": "application/pkcs10"}


@pytest.fixture
def app(ctx: Context) -> FastAPI:
    return create_device_app(ctx)


@pytest.fixture
def http(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def made_claim(ctx: Context, device: str = "lamp-01") -> tuple[str, str]:
    claim_id, _, secret = service.make_claim(ctx, OPERATOR, device).token.partition(".")
    return claim_id, secret


def test_pending_then_the_certificate(ctx: Context, http: TestClient, authority: Authority) -> None:
    claim, (request, _) = made_claim(ctx), make_request("city/lamp-01")
    body = base64.encodebytes(request)
    waiting = http.post(PATH, content=body, headers=PKCS10, auth=claim)
    assert waiting.status_code == 202
    assert int(waiting.headers["retry-after"]) >= 1
    assert waiting.content == b""
    [pending] = service.list_enrolments(ctx, OPERATOR)
    service.accept(ctx, OPERATOR, pending.id)
    answer = http.post(PATH, content=body, headers=PKCS10, auth=claim)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
    chain = pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer.content))
    assert authority.issuing in chain
    assert [each.subject.rfc4514_string() for each in chain if each != authority.issuing] == [
        "CN=city/lamp-01"
    ]


def test_what_to_trust_is_told_to_anybody(http: TestClient, authority: Authority) -> None:
    answer = http.get("/.well-known/est/cacerts")
    chain = pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer.content))
    assert set(chain) == {authority.root, authority.issuing}


def test_an_authority_that_is_away_is_told_as_such(http: TestClient, authority: Authority) -> None:
    authority.files.trust.unlink()
    answer = http.get("/.well-known/est/cacerts")
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    assert str(authority.files.directory) not in answer.text


GOOD = base64.b64encode(make_request("city/lamp-01")[0])


@pytest.mark.parametrize(
    ("what", "body", "headers", "status"),
    [
        ("not base64", b"!!!!", {}, 400),
        ("not base64, not ASCII", "é".encode() * 9, {}, 400),
        ("PEM", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----", {}, 400),
        ("base64 of no DER", base64.b64encode(b"hello"), {}, 400),
        ("DER cut short", base64.b64encode(base64.b64decode(GOOD)[:-9]), {}, 400),
        ("empty", b"", {}, 400),
        ("another name", base64.b64encode(make_request("city/lamp-02")[0]), {}, 400),
        ("oversized", b"A" * (est.MAX_BODY_BYTES + 1), {}, 413),
        ("wrong type", GOOD, {"Content-Type": "application/json"}, 415),
        ("no type", GOOD, {"Content-Type": ""}, 415),
        ("no claim", GOOD, {"Authorization": ""}, 401),
        ("bearer", GOOD, {"Authorization": "Bearer x"}, 401),
        ("basic without base64", GOOD, {"Authorization": "Basic !!"}, 401),
        ("basic without colon", GOOD, {"Authorization": "Basic " + base64.b64encode(b"x").decode()}, 401),
        ("basic not UTF-8", GOOD, {"Authorization": "Basic " + base64.b64encode(b"\xff:x").decode()}, 401),
        ("basic far too long", GOOD, {"Authorization": "Basic " + "A" * 5000}, 401),
        ("wrong secret", GOOD, {"Authorization": "Basic " + base64.b64encode(b"22222222:x").decode()}, 401),
    ],
)
def test_garbage_is_refused_by_its_kind_and_uses_nothing_up(
    ctx: Context, http: TestClient, what: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    claim_id, secret = made_claim(ctx)
    shown = {"Authorization": "Basic " + base64.b64encode(f"{claim_id}:{secret}".encode()).decode()}
    answer = http.post(PATH, content=body, headers={**PKCS10, **shown, **headers})
    assert answer.status_code == status, what
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["detail"]
    assert ("www-authenticate" in answer.headers) == (status == 401)
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Basic")
    assert http.post(PATH, content=GOOD, headers={**PKCS10, **shown}).status_code == 202


def test_used_expired_and_taken_are_told_apart(ctx: Context, http: TestClient) -> None:
    def ask(claim: tuple[str, str], name: str = "city/lamp-01") -> int:
        body = base64.b64encode(make_request(name)[0])
        return http.post(PATH, content=body, headers=PKCS10, auth=claim).status_code

    claim = made_claim(ctx)
    assert [ask(claim), ask(claim)] == [202, 403]  # each with a key of its own
    over = made_claim(ctx, "lamp-02")
    with ctx.db.raw() as connection:
        connection.execute("UPDATE enrolment SET expires_at = '2020-01-01' WHERE claim_id = %s", (over[0],))
    assert ask(over, "city/lamp-02") == 410
    free, _, secret = service.make_claim(ctx, OPERATOR).token.partition(".")
    assert ask((free, secret)) == 409


def test_an_address_that_asks_too_often_waits(
    ctx: Context, app: FastAPI, http: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    http.post(PATH, content=b"", headers=PKCS10)
    now_s = time.monotonic()  # and it stays: four seconds more, and forty could ask again
    monkeypatch.setattr(app.state.est_limiter, "_clock_s", lambda: now_s)
    answers = [http.post(PATH, content=b"", headers=PKCS10) for _ in range(est.BURST + 40)]
    assert {each.status_code for each in answers} == {400, 429}
    slowed = next(each for each in answers if each.status_code == 429)
    assert int(slowed.headers["retry-after"]) >= 1


def test_nothing_of_a_claim_s_secret_is_logged(
    ctx: Context, http: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    claim_id, secret = made_claim(ctx)
    with caplog.at_level("DEBUG"):
        http.post(PATH, content=b"x", headers=PKCS10, auth=(claim_id, secret))
        http.post(PATH, content=GOOD, headers=PKCS10, auth=(claim_id, secret))
    assert secret not in caplog.text
    assert base64.b64encode(f"{claim_id}:{secret}".encode()).decode() not in caplog.text


def test_the_certificate_opens_the_broker_and_the_replaced_one_no_longer(
    ctx: Context, broker: MosquittoBroker, tmp_path: Path
) -> None:
    ctx = replace(ctx, authority_directory=broker.authority.files.directory)
    address = Address("city", "lamp-01")

    def enrol(http: TestClient, stem: str, *, replaces: bool) -> IdentityFiles:
        made = service.make_claim(ctx, OPERATOR, address.device, replaces=replaces)
        claim_id, _, secret = made.token.partition(".")
        request, key = make_request(str(address))
        body = base64.b64encode(request)
        assert http.post(PATH, content=body, headers=PKCS10, auth=(claim_id, secret)).status_code == 202
        service.accept(ctx, OPERATOR, made.enrolment.id)
        answer = http.post(PATH, content=body, headers=PKCS10, auth=(claim_id, secret))
        chain = pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer.content))
        chain.sort(key=lambda each: each.subject == broker.authority.issuing.subject)  # the leaf first
        files = IdentityFiles(
            broker.authority.files.trust, tmp_path / f"{stem}.pem", tmp_path / f"{stem}.key"
        )
        files.certificate.write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in chain))
        files.key.write_text(key)
        return files

    with TestClient(create_device_app(ctx)) as http:
        first = enrol(http, "first", replaces=False)
        with connected(broker, first) as device:
            assert not device.publish(up_topic(address, Up.LIVE), b"reading").is_failure
        second = enrol(http, "second", replaces=True)
    broker.restart()
    assert not may_connect(broker, first)
    assert may_connect(broker, second)
