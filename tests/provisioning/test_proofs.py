"""A request signed by an Ed25519 key (RFC 8419): GnuTLS made one, asn1crypto makes more; none is changed."""

from __future__ import annotations

import base64
from datetime import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from provisioning import proofs
from provisioning.errors import RequestGarbled
from tests.support.cms import signed_by_ed25519

CONTENT = b"what is signed"
# certtool --p7-sign --p7-time --p7-include-cert --load-certificate C --load-privkey K --infile F --outder
# of GnuTLS 3.7.9, over CONTENT
BY_GNUTLS = base64.b64decode(
    """
    MIICmgYJKoZIhvcNAQcCoIICizCCAocCAQExDTALBglghkgBZQMEAgMwHQYJKoZIhvcNAQcBoBAEDndoYXQgaXMgc2lnbmVkoIIB
    OjCCATYwgemgAwIBAgIUbyg6KUGk4nKyHK1u+G5NNdSgG4MwBQYDK2VwMBExDzANBgNVBAMMBnBvc3QtMTAeFw0yNjExMjExNTAy
    MTNaFw0zNjExMTgxNTAyMTNaMBExDzANBgNVBAMMBnBvc3QtMTAqMAUGAytlcAMhAIXsRiZ3PMVCZgHj2Zr+9SANhKBmK8c1yVat
    ZEQ4ofROo1MwUTAdBgNVHQ4EFgQUbCVc5RtIwFZeOTG52WN5ly7HrcEwHwYDVR0jBBgwFoAUbCVc5RtIwFZeOTG52WN5ly7HrcEw
    DwYDVR0TAQH/BAUwAwEB/zAFBgMrZXADQQDrKZdMJJ3v/fx1ii1ihEtgOLFX2pFloeU/RtoZvAnbgHvzziN+KAhoQhl9zp/6TNdM
    W5nyjRM5UcXGMoMU4pAOMYIBFDCCARACAQEwKTARMQ8wDQYDVQQDDAZwb3N0LTECFG8oOilBpOJyshytbvhuTTXUoBuDMAsGCWCG
    SAFlAwQCA6CBiTAYBgkqhkiG9w0BCQMxCwYJKoZIhvcNAQcBMBwGCSqGSIb3DQEJBTEPFw0yNjExMjExNTAyMjhaME8GCSqGSIb3
    DQEJBDFCBEDYbH8e30FnjE5ot3SrSJEdaFL5P2QYLDd1N8OJshII6fAMdgtGfAdRrbw5js8kpWsSjWKPnJzi8swngpv1j/URMAUG
    AytlcARA3BgIwehuhIa58ewjPx2ruCyf594xE9p/PbXdYrw1M8/QL9322+HnYGbkjSLpNtSrWod5FRVQ/lOpHRzPAYf/Bw==
    """
)


def certificate(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "city/post-1")])
    return (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(7).not_valid_before(datetime(2026, 1, 1)).not_valid_after(datetime(2027, 1, 1))
        .sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    )  # fmt: skip


def test_a_proof_by_ed25519_is_read_whoever_encoded_it() -> None:
    assert proofs.read_proof(BY_GNUTLS).content == CONTENT
    key = ed25519.Ed25519PrivateKey.generate()
    found = proofs.read_proof(signed_by_ed25519(CONTENT, certificate(key), key))
    assert (found.content, found.certificate.serial_number) == (CONTENT, 7)


def test_every_byte_of_it_counts_or_changes_nothing_that_is_signed() -> None:
    for at in range(len(BY_GNUTLS)):
        touched = BY_GNUTLS[:at] + bytes([BY_GNUTLS[at] ^ 1]) + BY_GNUTLS[at + 1 :]
        try:
            found = proofs.read_proof(touched)
        except RequestGarbled:
            continue
        assert found.content == CONTENT


def test_another_digest_key_or_algorithm_is_no_proof() -> None:
    key, other = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()
    elliptic = certificate(ec.generate_private_key(ec.SECP256R1()))
    good = signed_by_ed25519(CONTENT, certificate(key), key)
    oid = bytes.fromhex("06032b6570")
    at = good.rindex(oid)  # the signature's algorithm, after the certificate's two
    for wrong in (
        signed_by_ed25519(CONTENT, certificate(key), key, "sha256"),
        signed_by_ed25519(CONTENT, certificate(key), other),
        signed_by_ed25519(CONTENT, elliptic, key),
        signed_by_ed25519(CONTENT, elliptic, key, "sha256"),
        good[:at] + bytes.fromhex("06032b6571") + good[at + len(oid) :],  # Ed448
    ):
        with pytest.raises(RequestGarbled):
            proofs.read_proof(wrong)
