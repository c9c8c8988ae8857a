"""Whatever is sent to the listener that lampposts enrol at (EST): it answers, and never with a 5xx.

It is not in the API's description. What is sent begins as requests that are right and is broken then: bits,
lengths, what is signed, the encoding around it, its type, who says to send it. LAMPPOST_FUZZ_EXAMPLES=2000
sends more, others at each run.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import AttributeOID, NameOID
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet_server.api import create_device_app
from fleet_server.devices import service as devices
from fleet_server.enrolment import est, issuing, service, store
from fleet_server.enrolment.limiter import RateLimiter
from provisioning.authority import Authority, utc_now
from tests.support.postgres import _create, _drop, with_database
from tests.support.server_context import OPERATOR, make_context
from wire_contract.topics import Address

EXAMPLES = int(os.environ.get("LAMPPOST_FUZZ_EXAMPLES", "0"))
EST = "/.well-known/est"
LAMP = Address("city", "lamp-01")
CHALLENGE_PASSWORD = bytes.fromhex("2a864886f70d010907")  # RFC 2985, section 5.4.1
MANY = settings(
    max_examples=EXAMPLES or 120,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@dataclass(frozen=True)
class Door:
    """The device listener, a claim's credentials, and a lamppost's certificate that ran out, with its key."""

    http: TestClient
    claim: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def signed(self, content: bytes) -> bytes:
        """As a lamppost signs the request for its next certificate (CMS, DER)."""
        made = pkcs7.PKCS7SignatureBuilder().set_data(content)
        made = made.add_signer(self.certificate, self.key, hashes.SHA256())
        return made.sign(Encoding.DER, [pkcs7.PKCS7Options.Binary])

    def challenge(self) -> str:
        told = base64.b64decode(self.http.get(f"{EST}/csrattrs").content)
        _, _, value = told.partition(CHALLENGE_PASSWORD)  # then a SET of a PrintableString
        return value[4 : 4 + value[3]].decode()

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> int:
        """The status of the answer, which is in order."""
        said = self.http.post(f"{EST}/{path}", content=body, headers=headers)
        assert said.status_code < 500, (path, headers, body.hex(), said.text)
        if said.status_code >= 400:
            assert said.headers["content-type"] == "application/problem+json"
            assert said.json()["detail"], said.text
        return said.status_code


def request(key: Any, name: str = str(LAMP), challenge: str = "") -> bytes:
    """PKCS #10, DER."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if challenge:
        made = made.add_attribute(AttributeOID.CHALLENGE_PASSWORD, challenge.encode())
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return made.sign(key, algorithm).public_bytes(Encoding.DER)


@pytest.fixture(scope="module")
def door(
    postgres_server: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("est")
    _create(postgres_server, "lamppost_any_enrolment", template_database)
    authority = Authority.init(folder / "authority", "Testing", clock=lambda: utc_now() - timedelta(days=400))
    old = replace(authority, clock=lambda: utc_now() - timedelta(days=120))  # that of then has run out
    ctx = make_context(with_database(postgres_server, "lamppost_any_enrolment"), folder)
    ctx = replace(ctx, authority_directory=authority.files.directory)
    key = ec.generate_private_key(ec.SECP256R1())
    chain = old.issue_device(request(key), LAMP)
    devices.register(ctx, OPERATOR, LAMP)
    with ctx.db.session() as session:
        store.insert_certificate(session, issuing.certificate(LAMP, chain, old.clock()))
    claim_id, _, secret = service.make_claim(ctx, OPERATOR, "lamp-02").token.partition(".")
    app = create_device_app(ctx)
    app.state.est_limiter = RateLimiter(10**9, 1e9)
    with TestClient(app, raise_server_exceptions=False) as http:
        leaf = x509.load_pem_x509_certificates(chain.encode())[0]
        yield Door(http, f"{claim_id}:{secret}", leaf, key)
    ctx.db.close()
    _drop(postgres_server, "lamppost_any_enrolment")


KEYS: tuple[Any, ...] = (
    ec.generate_private_key(ec.SECP256R1()),
    ec.generate_private_key(ec.SECP384R1()),
    ed25519.Ed25519PrivateKey.generate(),
    rsa.generate_private_key(65537, 2048),
)
NAMES = ("city/lamp-01", "city/lamp-02", "city", "city/lamp-02/x", "../..", "city/" + "x" * 58, "Ünïcode/☃")
RIGHT = st.builds(
    request, st.sampled_from(KEYS), st.sampled_from(NAMES), st.sampled_from(["", "x", "é" * 40])
)
WHERE = st.floats(0, 1, exclude_max=True)


@st.composite
def broken(draw: st.DrawFn, whole: bytes) -> bytes:
    """Cut, changed, repeated or stretched somewhere, up to three times."""
    made = bytearray(whole)
    for _ in range(draw(st.integers(0, 3))):
        at = int(draw(WHERE) * len(made))
        match draw(st.sampled_from(["cut", "bit", "byte", "put in", "repeat", "long"])):
            case "cut":
                del made[at:]
            case "bit" if made:
                made[at] ^= 1 << draw(st.integers(0, 7))
            case "byte" if made:
                made[at] = draw(st.sampled_from([0, 1, 0x30, 0x31, 0x7F, 0x80, 0x84, 0xA0, 0xFF]))
            case "put in":
                made[at:at] = draw(st.binary(max_size=9))
            case "repeat":
                made += made[at:]
            case "long":
                made[at:at] = b"\x84\xff\xff\xff\xff"
    return bytes(made)


def as_text(der: bytes, how: str) -> bytes:
    match how:
        case "lines":
            return base64.encodebytes(der)
        case "address":
            return base64.urlsafe_b64encode(der)
        case "bare":
            return der
        case "pem":
            return b"-----BEGIN CERTIFICATE REQUEST-----\n" + base64.encodebytes(der) + b"-----END"
        case "half":
            return base64.b64encode(der)[:-1]
        case _:
            return base64.b64encode(der)


HOW = st.sampled_from(["plain", "plain", "plain", "plain", "lines", "address", "bare", "pem", "half"])
TYPE = st.sampled_from(
    [
        est.PKCS10,
        est.PKCS10,
        est.SIGNED,
        f"{est.SIGNED}; smime-type=x",
        "",
        "text/plain",
        "a" * 999,
        "\xff;;=",
        ";",
    ]
)
CREDENTIALS = st.one_of(
    st.sampled_from(["", "Basic", "Basic !", "Basic " + "A" * 5000, "Bearer x", "Negotiate \xff"]),
    st.binary(max_size=40).map(lambda given: "Basic " + base64.b64encode(given).decode()),
    st.text(max_size=20).map(lambda given: "Basic " + base64.b64encode(f"{given}:{given}".encode()).decode()),
)


@MANY
@given(data=st.data(), path=st.sampled_from(["simpleenroll", "simplereenroll"]))
def test_no_bytes_break_it(door: Door, data: st.DataObject, path: str) -> None:
    """Whoever sends it: nobody, somebody with a claim, somebody with garbage."""
    body = as_text(data.draw(st.one_of(st.binary(max_size=300), RIGHT.flatmap(broken))), data.draw(HOW))
    claim = "Basic " + base64.b64encode(door.claim.encode()).decode()
    shown = data.draw(st.one_of(st.just(claim), CREDENTIALS))
    headers = {"Content-Type": data.draw(TYPE), **({"Authorization": shown} if shown else {})}
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    door.post(path, body, encoded)  # type: ignore[arg-type]


@MANY
@given(data=st.data())
def test_what_a_lamppost_s_own_key_signed_breaks_nothing(door: Door, data: st.DataObject) -> None:
    """The signature is right, what it signs is not; or the other way round."""
    fresh = data.draw(st.booleans())
    inner = request(data.draw(st.sampled_from(KEYS)), challenge=door.challenge() if fresh else "stale")
    signed = door.signed(data.draw(broken(inner)))
    body = signed if data.draw(st.booleans()) else data.draw(broken(signed))
    door.post("simplereenroll", base64.b64encode(body), {"Content-Type": est.SIGNED})


def test_what_is_right_gets_through_the_same_door(door: Door) -> None:
    """What is broken above is broken where it says so, and not at the door."""
    key = ec.generate_private_key(ec.SECP256R1())
    claim = {"Authorization": "Basic " + base64.b64encode(door.claim.encode()).decode()}
    asked = base64.b64encode(request(key, "city/lamp-02"))
    assert door.post("simpleenroll", asked, {"Content-Type": est.PKCS10, **claim}) in (202, 403)
    signed = base64.b64encode(door.signed(request(key, challenge=door.challenge())))
    # accepted by itself, unless a question above was a right one, too
    assert door.post("simplereenroll", signed, {"Content-Type": est.SIGNED}) in (200, 202)


@pytest.mark.parametrize("path", ["simpleenroll", "simplereenroll"])
@pytest.mark.parametrize("kind", [est.PKCS10, est.SIGNED])
def test_what_is_too_long_or_too_deep_is_refused(door: Door, path: str, kind: str) -> None:
    claim = {"Authorization": "Basic " + base64.b64encode(door.claim.encode()).decode()}
    deep = b""
    while len(deep) < 20_000:
        deep = b"\x30\x84" + len(deep).to_bytes(4, "big") + deep
    for body in (
        b"A" * (est.MAX_BODY_BYTES + 1),
        b"\n" * est.MAX_BODY_BYTES,
        base64.b64encode(deep),
        b"=" * 9_999,
    ):
        assert 400 <= door.post(path, body, {"Content-Type": kind, **claim}) < 500
        assert 400 <= door.post(path, body, {"Content-Type": kind}) < 500


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/cacerts",
        "/csrattrs",
        "/simpleenroll",
        "/simplereenroll",
        "/serverkeygen",
        "/fullcmc",
        "/%00",
    ],
)
def test_every_method_of_every_path_is_answered(door: Door, path: str, method: str) -> None:
    said = door.http.request(method, f"{EST}{path}", content=b"x")
    assert said.status_code < 500
