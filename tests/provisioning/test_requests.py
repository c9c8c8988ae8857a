"""Certificate requests: what is taken, what is refused and why; no bytes bring it down."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioning import requests
from provisioning.errors import RequestGarbled, RequestRefused, WeakKey, WrongName
from tests.support.mosquitto import make_request
from wire_contract.limits import MAX_CSR_BYTES
from wire_contract.topics import Address

ONE = Address("city", "lamp-01")
GOOD, _ = make_request(str(ONE))


def der(key: object, *names: str, alternative: x509.GeneralName | None = None) -> bytes:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if alternative is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
    edwards = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    signed = builder.sign(key, None if edwards else hashes.SHA256())  # type: ignore[arg-type]
    return signed.public_bytes(serialization.Encoding.DER)


P256 = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    "key", [P256, ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)]
)
def test_good_keys(key: object) -> None:
    request = requests.read_request(der(key, str(ONE)))
    requests.check_asks_only_for(request, ONE)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (ec.generate_private_key(ec.SECP384R1()), "secp384r1"),
        (ec.generate_private_key(ec.SECP256K1()), "secp256k1"),
        (rsa.generate_private_key(65537, 1024), "1024 bits"),
        (dsa.generate_private_key(2048), "DSA"),
        (ed448.Ed448PrivateKey.generate(), "Ed448"),
    ],
)
def test_other_keys_are_refused_by_name(key: object, told: str) -> None:
    with pytest.raises(WeakKey, match=told):
        requests.read_request(der(key, str(ONE)))


@given(st.binary(max_size=200))
def test_any_bytes_are_told_apart_from_a_request(garbage: bytes) -> None:
    with pytest.raises(RequestGarbled):
        requests.read_request(garbage)


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_one_changed_byte_never_passes_unseen(position: int, change: int) -> None:
    broken = bytearray(GOOD)
    broken[position] ^= change
    try:
        read = requests.read_request(bytes(broken))
    except (RequestGarbled, WeakKey):
        return
    # What is not under the signature may differ (there is nothing): then it is the same request.
    assert read.public_key() == x509.load_der_x509_csr(GOOD).public_key()
    assert read.subject == x509.load_der_x509_csr(GOOD).subject


def tlv(tag: int, *content: bytes) -> bytes:
    """One DER value."""
    body = b"".join(content)
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8 or 1, "big")
    return bytes([tag]) + (size if len(body) < 128 else bytes([0x80 | len(size)]) + size) + body


def signed(info: bytes, by: ec.EllipticCurvePrivateKey = P256) -> bytes:
    """A request with a good signature over any bytes: what only who holds the key can send."""
    algorithm = tlv(0x30, bytes.fromhex("06082a8648ce3d040302"))  # ecdsa-with-SHA256
    signature = by.sign(info, ec.ECDSA(hashes.SHA256()))
    return tlv(0x30, info, algorithm, tlv(0x03, b"\0", signature))


RICH = x509.load_der_x509_csr(
    der(P256, str(ONE), alternative=x509.UniformResourceIdentifier("urn:lamppost:city:lamp-01"))
).tbs_certrequest_bytes
KEY_AT = RICH.index(
    bytes.fromhex("2a8648ce3d030107")
)  # prime256v1: before it the subject, 70 bytes on attributes


def test_a_signature_by_another_key_is_refused() -> None:
    requests.read_request(signed(RICH))
    with pytest.raises(RequestGarbled, match="signature"):
        requests.read_request(signed(RICH, by=ec.generate_private_key(ec.SECP256R1())))


def told(request_der: bytes) -> str:
    try:
        request = requests.read_request(request_der)
        requests.asked_common_name(request)
        requests.check_asks_only_for(request, ONE)
    except RequestRefused as refused:
        return type(refused).__name__
    return "taken"


@settings(max_examples=1500, deadline=None)
@given(
    st.one_of(st.integers(0, KEY_AT - 1), st.integers(KEY_AT + 70, len(RICH) - 1)),
    st.integers(0, 255),
    st.data(),
)
def test_crafted_requests_are_refused_by_name_too(position: int, byte: int, data: st.DataObject) -> None:
    assert told(signed(RICH)) == "taken"
    info = bytearray(RICH)
    info[position] = byte
    if data.draw(st.booleans()):
        info[data.draw(st.integers(0, len(RICH) - 1))] = data.draw(st.integers(0, 255))
    assert told(signed(bytes(info))) in {"taken", "RequestGarbled", "WeakKey", "WrongName"}


def test_an_extension_asked_for_twice_is_refused() -> None:
    info = RICH
    name = tlv(
        0x30, bytes.fromhex("0603551d11"), tlv(0x04, tlv(0x30, tlv(0x86, b"urn:lamppost:city:lamp-01")))
    )
    start = info.index(name)
    attributes = tlv(
        0xA0, tlv(0x30, bytes.fromhex("06092a864886f70d01090e"), tlv(0x31, tlv(0x30, name, name)))
    )
    assert start > KEY_AT
    head = info[info.index(b"\x02\x01\x00") : KEY_AT + 8 + 68]  # version, subject, key
    assert told(signed(tlv(0x30, head, attributes))) == "RequestGarbled"


def test_an_oversized_one_is_refused_unread() -> None:
    with pytest.raises(RequestGarbled, match="at most"):
        requests.read_request(bytes(MAX_CSR_BYTES + 1))


@pytest.mark.parametrize(
    ("names", "alternative"),
    [
        (["city/lamp-02"], None),
        (["city/lamp-01", "city/lamp-02"], None),
        (["lamppost-ingest"], None),
        ([], x509.DNSName("fleet.example")),
        ([], x509.UniformResourceIdentifier("urn:lamppost:city:lamp-02")),
        (["city/lamp-01"], x509.RFC822Name("a@b.example")),
    ],
)
def test_another_name_is_refused(names: list[str], alternative: x509.GeneralName | None) -> None:
    request = requests.read_request(der(P256, *names, alternative=alternative))
    with pytest.raises(WrongName):
        requests.check_asks_only_for(request, ONE)


@pytest.mark.parametrize(
    ("names", "alternative"),
    [([], None), (["city/lamp-01"], x509.UniformResourceIdentifier("urn:lamppost:city:lamp-01"))],
)
def test_no_name_or_its_own_is_fine(names: list[str], alternative: x509.GeneralName | None) -> None:
    requests.check_asks_only_for(requests.read_request(der(P256, *names, alternative=alternative)), ONE)


def test_a_name_longer_than_a_common_name_is_refused() -> None:
    requests.check_name_fits(Address("a" * 32, "b" * 31))
    with pytest.raises(WrongName, match="shorter"):
        requests.check_name_fits(Address("a" * 32, "b" * 32))


def test_the_fingerprint_is_eight_groups_of_the_key_s_hash() -> None:
    public = P256.public_key()
    shown = requests.fingerprint(public)
    spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(spki)
    assert shown.replace("-", "") == digest.finalize().hex()[:32]
    assert [len(group) for group in shown.split("-")] == [4] * 8
