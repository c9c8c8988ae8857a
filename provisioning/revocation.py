"""The revocation list (RFC 5280 section 5) of the issuing authority. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from provisioning.certificates import BACKDATED


def empty_list(
    issuer: x509.Certificate, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.CertificateRevocationList:
    return _signed(issuer, key, now, [], 1)


def with_revoked(
    current: x509.CertificateRevocationList,
    serial: int,
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.CertificateRevocationList:
    """The next list, with `serial` on it. The same list when it already is."""
    if current.get_revoked_certificate_by_serial_number(serial) is not None:
        return current
    fresh = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
    return _signed(issuer, key, now, [*current, fresh], list_number(current) + 1)


def list_number(current: x509.CertificateRevocationList) -> int:
    return current.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def _signed(
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    revoked: Sequence[x509.RevokedCertificate],
    number: int,
) -> x509.CertificateRevocationList:
    # It is pushed to the broker at every revocation, never polled: a list that expired would only shut the
    # whole city out (OpenSSL refuses every certificate then), so it holds as long as its issuer.
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(max(now - BACKDATED, issuer.not_valid_before_utc))
        .next_update(issuer.not_valid_after_utc)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    for each in revoked:
        builder = builder.add_revoked_certificate(each)
    return builder.sign(key, hashes.SHA256())
