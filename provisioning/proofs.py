"""A certificate request signed by the key of an older certificate: CMS SignedData (RFC 5652), verified.

Exactly one signer, SHA-256 with ECDSA or RSA (PKCS #1 v1.5), or SHA-512 with Ed25519 (RFC 8419), with signed
attributes, content and the signer's certificate within: what `openssl cms -sign -nodetach -binary` makes; for
Ed25519, with which OpenSSL 3 signs no CMS, `certtool --p7-sign --p7-time --p7-include-cert` of GnuTLS. Pure;
the certificate itself (whose, by whom, until when) is the caller's to judge.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs7

from provisioning.errors import RequestGarbled
from provisioning.requests import UNREADABLE
from wire_contract.limits import MAX_CSR_BYTES

MAX_PROOF_BYTES = 3 * MAX_CSR_BYTES  # the request, a chain of certificates and a signature
_INTEGER, _OCTETS, _OID, _SEQUENCE, _SET = 0x02, 0x04, 0x06, 0x30, 0x31
_EXPLICIT_0, _EXPLICIT_1 = 0xA0, 0xA1
_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_DATA = bytes.fromhex("2a864886f70d010701")
_MESSAGE_DIGEST = bytes.fromhex("2a864886f70d010904")
_SHA256, _SHA512 = bytes.fromhex("608648016503040201"), bytes.fromhex("608648016503040203")
_ED25519 = bytes.fromhex("2b6570")


@dataclass(frozen=True)
class Proof:
    """`content` was signed by the key of `certificate`."""

    content: bytes
    certificate: x509.Certificate


@dataclass(frozen=True)
class _Element:
    """One DER element: its tag, its content, and all of it."""

    tag: int
    content: bytes
    whole: bytes


def read_proof(der: bytes) -> Proof:
    """Raises RequestGarbled for everything that is no such proof, a wrong signature included."""
    if len(der) > MAX_PROOF_BYTES:
        raise RequestGarbled(f"the signed request has {len(der)} bytes; at most {MAX_PROOF_BYTES} are read")
    try:
        return _read(der)
    except InvalidSignature as error:
        raise RequestGarbled("the signed request's signature is wrong") from error
    except (*UNREADABLE, IndexError, StopIteration) as error:
        raise RequestGarbled("these bytes are not a signed request (CMS SignedData in DER)") from error


def _read(der: bytes) -> Proof:
    content_type, wrapped = _parts(_only(der, _SEQUENCE))[:2]
    _expect(content_type.content == _SIGNED_DATA and wrapped.tag == _EXPLICIT_0, "content type")
    _version, _digests, encapsulated, *rest = _parts(_only(wrapped.content, _SEQUENCE))
    [infos] = [each for each in rest if each.tag == _SET]
    [given] = [each for each in rest if each.tag == _EXPLICIT_0]
    content = _content(encapsulated)
    [signer] = _parts(infos)
    fields = _parts(signer)
    _expect(len(fields) >= 6 and fields[1].tag == _SEQUENCE, "signer's issuer and number")
    _, named, digest, attributes, algorithm, signature = fields[:6]
    _expect(attributes.tag == _EXPLICIT_0 and signature.tag == _OCTETS, "signed attributes")
    certificate = _signer_of([x509.load_der_x509_certificate(each.whole) for each in _parts(given)], named)
    edwards = isinstance(certificate.public_key(), ed25519.Ed25519PublicKey)
    oid, digest_of = (_SHA512, hashlib.sha512) if edwards else (_SHA256, hashlib.sha256)
    _expect(_parts(digest)[0].content == oid, "digest algorithm")
    _expect(not edwards or [each.content for each in _parts(algorithm)] == [_ED25519], "signature algorithm")
    _expect(_digest_told(attributes) == digest_of(content).digest(), "digest of the content")
    # what is signed is the SET OF itself, not the implicit tag that it travels under (RFC 5652, section 5.4)
    _verify(certificate, signature.content, bytes([_SET]) + attributes.whole[1:])
    return Proof(content, certificate)


def _content(encapsulated: _Element) -> bytes:
    kind, wrapped = _parts(encapsulated)
    _expect(kind.content == _DATA and wrapped.tag == _EXPLICIT_0, "kind of content")
    return _only(wrapped.content, _OCTETS).content


def _digest_told(attributes: _Element) -> bytes:
    told = [_parts(each) for each in _parts(attributes)]
    [values] = [values for kind, values in told if kind.content == _MESSAGE_DIGEST]
    return _only(values.content, _OCTETS).content


def _signer_of(certificates: list[x509.Certificate], named: _Element) -> x509.Certificate:
    issuer, number = _parts(named)
    serial = int.from_bytes(number.content, "big")
    return next(
        each
        for each in certificates
        if each.serial_number == serial and each.issuer.public_bytes() == issuer.whole
    )


def _verify(certificate: x509.Certificate, signature: bytes, signed: bytes) -> None:
    key = certificate.public_key()
    match key:
        case ec.EllipticCurvePublicKey():
            key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
        case rsa.RSAPublicKey():
            key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        case ed25519.Ed25519PublicKey():
            key.verify(signature, signed)
        case _:
            raise ValueError(f"a key of the kind {type(key).__name__} signs no proof")


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def _only(data: bytes, tag: int) -> _Element:
    [found] = _elements(data)
    _expect(found.tag == tag, f"tag {found.tag:#x} where {tag:#x} belongs")
    return found


def _parts(element: _Element) -> list[_Element]:
    return list(_elements(element.content))


def _elements(data: bytes) -> Iterator[_Element]:
    """The elements one after another; DER: short tags, definite lengths in the fewest bytes."""
    at = 0
    while at < len(data):
        tag, length, start = data[at], data[at + 1], at + 2
        _expect(tag & 0x1F != 0x1F, "a long tag")
        if length & 0x80:
            count = length & 0x7F
            _expect(1 <= count <= 3, "length of a length")
            length = int.from_bytes(data[start : start + count], "big")
            _expect(length >= 0x80 and data[start] != 0, "a length in too many bytes")
            start += count
        _expect(start + length <= len(data), "an element that is cut short")
        yield _Element(tag, data[start : start + length], data[at : start + length])
        at = start + length


def sign(content: bytes, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Such a proof, DER: what a device makes of its request (the agent has its own)."""
    builder = pkcs7.PKCS7SignatureBuilder().set_data(content).add_signer(certificate, key, hashes.SHA256())
    return builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])
