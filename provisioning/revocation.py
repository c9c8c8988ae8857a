"""The revocation list (RFC 5280 section 5) of the issuing authority. Pure.

An entry is for good, or on hold (certificateHold, section 5.3.1): refused too, and may be taken off again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from provisioning.certificates import BACKDATED

CLOCKS = timedelta(days=7)  # by which a broker's clock may be behind; costs a fourteenth of the entries


def first_list(
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    entries: Sequence[x509.RevokedCertificate] = (),
) -> x509.CertificateRevocationList:
    """entries: what the lists of the authorities before it name, as `entries_of` has them."""
    return _signed(issuer, key, now, entries, 1)


def entries_of(lists: Iterable[x509.CertificateRevocationList]) -> list[x509.RevokedCertificate]:
    """What any of the lists names, each serial once: for good goes before on hold, then the first."""
    found: dict[int, x509.RevokedCertificate] = {}
    for entry in (entry for each in lists for entry in each):
        known = found.get(entry.serial_number)
        if known is None or (on_hold(known) and not on_hold(entry)):
            found[entry.serial_number] = entry
    return list(found.values())


def with_entries(
    current: x509.CertificateRevocationList,
    entries: Sequence[x509.RevokedCertificate],
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.CertificateRevocationList:
    """The next list, with another list's entries too, their dates and reasons as they are. The same list
    where none is news; what was on hold may become for good, and not the other way round."""
    mine = {each.serial_number: each for each in current}
    news = {
        each.serial_number: each
        for each in entries
        if each.serial_number not in mine or (on_hold(mine[each.serial_number]) and not on_hold(each))
    }
    if not news:
        return current
    return _signed(issuer, key, now, list((mine | news).values()), list_number(current) + 1, current)


def with_revoked(
    current: x509.CertificateRevocationList,
    serials: Iterable[int],
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    *,
    hold: bool = False,
    reason: x509.ReasonFlags = x509.ReasonFlags.unspecified,
) -> x509.CertificateRevocationList:
    """The next list, with `serials` on it. The same list when they already are; what was on hold may become
    for good, and not the other way round. reason: why for good; unspecified is not written (section 5.3.1).
    """
    why = x509.ReasonFlags.certificate_hold if hold else reason
    news = set()
    for serial in serials:
        entry = current.get_revoked_certificate_by_serial_number(serial)
        if entry is None or (not hold and on_hold(entry)):
            news.add(serial)
    if not news:
        return current
    fresh = []
    for serial in sorted(news):
        made = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
        if why is not x509.ReasonFlags.unspecified:
            made = made.add_extension(x509.CRLReason(why), critical=False)
        fresh.append(made.build())
    others = [each for each in current if each.serial_number not in news]
    return _signed(issuer, key, now, [*others, *fresh], list_number(current) + 1, current)


def without_held(
    current: x509.CertificateRevocationList,
    serials: Iterable[int],
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.CertificateRevocationList:
    """The next list, without `serials`. The same list where none is there, or all are there for good."""
    asked = set(serials)
    gone = {each.serial_number for each in current if each.serial_number in asked and on_hold(each)}
    if not gone:
        return current
    others = [each for each in current if each.serial_number not in gone]
    return _signed(issuer, key, now, others, list_number(current) + 1, current)


def without_expired(
    current: x509.CertificateRevocationList,
    ends: Mapping[int, datetime],
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.CertificateRevocationList:
    """The next list, without certificates that ran out. ends: serial -> its last instant; others stay.

    An entry goes once it has stood on a list that was issued after that instant (RFC 5280, section 3.3) and
    `CLOCKS`: the current one; else the list that this makes is that one. The same list where none is due.
    """
    past = {each.serial_number for each in current if _stands_past(each, ends, now - BACKDATED)}
    if not past:
        return current
    issued = min(current.last_update_utc, now - BACKDATED)  # a clock that was ahead may have made it
    gone = {each.serial_number for each in current if _stands_past(each, ends, issued)}
    others = [each for each in current if each.serial_number not in gone]
    return _signed(issuer, key, now, others, list_number(current) + 1, current)


def of_today(
    current: x509.CertificateRevocationList,
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
) -> x509.CertificateRevocationList:
    """The same entries on a list that is valid now. The same list where it is: one that a clock far ahead has
    made is not yet, and OpenSSL refuses every certificate of the city."""
    if current.last_update_utc <= max(now, issuer.not_valid_before_utc):
        return current
    return _signed(issuer, key, now, list(current), list_number(current) + 1)


def _stands_past(entry: x509.RevokedCertificate, ends: Mapping[int, datetime], issued: datetime) -> bool:
    until = ends.get(entry.serial_number)
    return until is not None and is_past(until, issued)


def is_past(not_after: datetime, now: datetime) -> bool:
    """Has it run out by everybody's clock?"""
    return now > not_after + CLOCKS


def reason_of(entry: x509.RevokedCertificate) -> x509.ReasonFlags:
    try:
        return entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return x509.ReasonFlags.unspecified


def on_hold(entry: x509.RevokedCertificate) -> bool:
    return reason_of(entry) is x509.ReasonFlags.certificate_hold


def serials_on(lists: Iterable[x509.CertificateRevocationList]) -> frozenset[int]:
    """Every serial that one of the lists names, on hold or for good."""
    return frozenset(entry.serial_number for each in lists for entry in each)


def pem(lists: Iterable[x509.CertificateRevocationList]) -> bytes:
    """One after another."""
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in lists)


def list_number(current: x509.CertificateRevocationList) -> int:
    return current.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def _signed(
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    revoked: Sequence[x509.RevokedCertificate],
    number: int,
    former: x509.CertificateRevocationList | None = None,
) -> x509.CertificateRevocationList:
    # It is pushed to the broker at every revocation, never polled: a list that expired would only shut the
    # whole city out (OpenSSL refuses every certificate then), so it holds as long as its issuer.
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(_last_update(issuer, now, former))
        .next_update(issuer.not_valid_after_utc)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    for each in revoked:
        builder = builder.add_revoked_certificate(each)
    return builder.sign(key, hashes.SHA256())


def _last_update(
    issuer: x509.Certificate, now: datetime, former: x509.CertificateRevocationList | None
) -> datetime:
    """Later than the former list's, in whole seconds: a broker that reads the new list (SIGHUP) in the middle
    of a handshake has both, and of two OpenSSL takes the later. Two decisions may fall into one second."""
    backdated = max(now - BACKDATED, issuer.not_valid_before_utc)
    if former is None:
        return backdated
    return max(backdated, min(former.last_update_utc + timedelta(seconds=1), now))
