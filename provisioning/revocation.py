"""The revocation list (RFC 5280 section 5) of the issuing authority. Pure.

An entry is for good, or on hold (certificateHold, section 5.3.1): refused too, and may be taken off again.
"""

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
    *,
    hold: bool = False,
) -> x509.CertificateRevocationList:
    """The next list, with `serial` on it. The same list when it already is; what was on hold may become
    for good, and not the other way round."""
    entry = current.get_revoked_certificate_by_serial_number(serial)
    if entry is not None and (hold or not on_hold(entry)):
        return current
    fresh = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
    if hold:
        fresh = fresh.add_extension(x509.CRLReason(x509.ReasonFlags.certificate_hold), critical=False)
    others = [each for each in current if each.serial_number != serial]
    return _signed(issuer, key, now, [*others, fresh.build()], list_number(current) + 1)


def without_held(
    current: x509.CertificateRevocationList,
    serial: int,
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.CertificateRevocationList:
    """The next list, without `serial`. The same list where it is not there, or there for good."""
    entry = current.get_revoked_certificate_by_serial_number(serial)
    if entry is None or not on_hold(entry):
        return current
    others = [each for each in current if each.serial_number != serial]
    return _signed(issuer, key, now, others, list_number(current) + 1)


def on_hold(entry: x509.RevokedCertificate) -> bool:
    try:
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return False
    return reason is x509.ReasonFlags.certificate_hold


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
