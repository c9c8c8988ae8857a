"""The shape of every certificate of the city (RFC 5280 profile). Pure but for the random serials and keys."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from provisioning.errors import BadSetting
from provisioning.requests import PublicKey

BACKDATED = timedelta(
    minutes=5
)  # a device's clock that is a little behind must not refuse its own certificate
ROOT_LIFE = timedelta(days=365 * 20)  # outlives the lampposts of a generation; it is kept offline
ISSUING_LIFE = timedelta(days=365 * 10)


_ROLE_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # no "/": never mistaken for a device


@dataclass(frozen=True)
class Validity:
    """The instants (UTC) from and until which a certificate holds."""

    not_before: datetime
    not_after: datetime


def validity(now: datetime, life: timedelta, issuer: x509.Certificate | None = None) -> Validity:
    """From a little before `now`, for `life`, and never outside the issuer's own validity."""
    start, end = now - BACKDATED, now + life
    if issuer is not None:
        start, end = max(start, issuer.not_valid_before_utc), min(end, issuer.not_valid_after_utc)
    return Validity(start, end)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def authority_certificate(
    common_name: str,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
    valid: Validity,
) -> x509.Certificate:
    """A certificate that signs others: the root's (`issuer` None), or the issuing one's below it.

    It is verified before it is given out: a key in a token signs elsewhere. Raises InvalidSignature.
    """
    subject = _name(common_name)
    builder = _builder(subject, subject if issuer is None else issuer.subject, key, valid)
    path_length = 1 if issuer is None else 0
    usage = _usage(key_cert_sign=True, crl_sign=True)
    made = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False)
        .sign(issuer_key, hashes.SHA256())
    )
    made.verify_directly_issued_by(issuer or made)
    return made


def client_certificate(
    common_name: str,
    alternative_names: Sequence[x509.GeneralName],
    key: PublicKey,
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    valid: Validity,
) -> x509.Certificate:
    """A certificate to sign in with: a device's or a server role's."""
    return _leaf(
        common_name, alternative_names, ExtendedKeyUsageOID.CLIENT_AUTH, key, issuer, issuer_key, valid
    )


def server_certificate(
    common_name: str,
    hosts: Sequence[str],
    key: PublicKey,
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    valid: Validity,
) -> x509.Certificate:
    """A certificate to be found under `hosts` (names or addresses). Raises BadSetting."""
    if not hosts:
        raise BadSetting(f"the server certificate {common_name!r} names no host", "Give at least one")
    names = [_host(host) for host in hosts]
    return _leaf(common_name, names, ExtendedKeyUsageOID.SERVER_AUTH, key, issuer, issuer_key, valid)


def pem(*certificates: x509.Certificate) -> str:
    return "".join(each.public_bytes(serialization.Encoding.PEM).decode("ascii") for each in certificates)


def key_pem(key: ec.EllipticCurvePrivateKey, passphrase: str | None = None) -> str:
    """PKCS#8; encrypted when a passphrase is given."""
    lock = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else None
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock or serialization.NoEncryption()
    ).decode("ascii")


def role_name(name: str) -> str:
    """The name, when it can be a server role's or server's. Raises BadSetting."""
    if not _ROLE_NAME.fullmatch(name):
        raise BadSetting(
            f"{name!r} is not a server role's name", 'Use a-z, 0-9 and "-", as in lamppost-ingest'
        )
    return name


def _leaf(
    common_name: str,
    alternative_names: Sequence[x509.GeneralName],
    purpose: x509.ObjectIdentifier,
    key: PublicKey,
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    valid: Validity,
) -> x509.Certificate:
    builder = _builder(_name(common_name), issuer.subject, key, valid)
    if alternative_names:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternative_names), critical=False)
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False)
        .sign(issuer_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PublicKey, valid: Validity
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid.not_before)
        .not_valid_after(valid.not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    try:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    except ValueError as error:
        raise BadSetting(f"{common_name!r} cannot be a certificate's common name: {error}") from error


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as error:
        raise BadSetting(f"{host!r} is neither a host name nor an address: {error}") from error
