"""The certificates of the server's own roles: made from the city's authority, renewed before they expire.

    DATA_DIR/certificates/
      ca.pem                    what to trust: root and issuing authority
      server.pem, server.key    the device listener of the API
      broker.pem, broker.key    Mosquitto, where this server runs it
      ingest.pem, ingest.key    the roles that connect to the broker

A file that the configuration names elsewhere is the operator's own and is never written.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from fleet_server.config import ServerConfig
from provisioning.authority import Authority, Identity
from provisioning.storage import PUBLIC_FILE_MODE, private_directory, write_atomically

log = logging.getLogger(__name__)

RENEWED_AFTER = 2 / 3  # of its life: for a year's certificate, four months for somebody to notice a failure


@dataclass(frozen=True)
class Certificate:
    """One identity on disk, and how to make it. `hosts` are what it has to be valid for, if a server's."""

    certificate: Path
    key: Path
    hosts: tuple[str, ...]
    issue: Callable[[Authority], Identity]


def broker_files(config: ServerConfig) -> tuple[Path, Path]:
    folder = config.certificates_directory
    return folder / "broker.pem", folder / "broker.key"


def _wanted(config: ServerConfig) -> list[Certificate]:
    names = config.authority.server_names
    api, broker = config.api, config.broker
    wanted = [
        Certificate(
            api.device_certificate_file,
            api.device_key_file,
            names,
            lambda authority: authority.issue_server("lamppost-api", names),
        ),
        Certificate(
            broker.certificate_file,
            broker.key_file,
            (),
            lambda authority: authority.issue_client("lamppost-ingest"),
        ),
    ]
    if broker.managed:
        hosts = tuple(dict.fromkeys((*names, broker.host)))
        certificate, key = broker_files(config)
        wanted.append(
            Certificate(
                certificate, key, hosts, lambda authority: authority.issue_server("lamppost-broker", hosts)
            )
        )
    own = config.certificates_directory
    return [each for each in wanted if each.certificate.parent == own and each.key.parent == own]


def ensure_authority(config: ServerConfig) -> tuple[Authority, bool]:
    """The city's authority, and whether it was made just now. Raises AuthorityError, OSError."""
    directory = config.authority.directory
    if directory.exists():
        return Authority.load_issuing(directory), False
    making = directory.with_name(
        directory.name + ".making"
    )  # whole or not at all: a first start may be killed
    shutil.rmtree(making, ignore_errors=True)
    directory.parent.mkdir(parents=True, exist_ok=True)
    Authority.init(making, config.tenant.name)
    making.rename(directory)
    return Authority.load_issuing(directory), True


def ensure_certificates(
    config: ServerConfig, authority: Authority, now: datetime | None = None
) -> list[Path]:
    """Make what is missing, due or for other names. Returns the certificate files that were written."""
    private_directory(config.certificates_directory)
    instant = now or datetime.now(UTC)
    written = []
    ca_file = config.broker.ca_file
    bundle = authority.trust_bundle().encode()
    if ca_file.parent == config.certificates_directory and _read(ca_file) != bundle:
        write_atomically(ca_file, bundle, PUBLIC_FILE_MODE)
    for each in _wanted(config):
        if reason := _due(each, authority, instant):
            each.issue(authority).save(each.certificate, each.key)
            log.info("%s made: %s", each.certificate.name, reason)
            written.append(each.certificate)
    return written


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _due(wanted: Certificate, authority: Authority, now: datetime) -> str:
    """Why it has to be made; empty where it has not."""
    if not (wanted.key.exists() and wanted.certificate.exists()):
        return "there was none"
    try:
        leaf = x509.load_pem_x509_certificate(wanted.certificate.read_bytes())
    except ValueError:
        return "the old one cannot be read"
    if leaf.issuer != authority.issuing.subject or not _signed_by(leaf, authority.issuing):
        return "the old one is another authority's"
    if authority.is_revoked(leaf.serial_number):
        return "the old one is revoked"
    if (
        now
        >= leaf.not_valid_before_utc + (leaf.not_valid_after_utc - leaf.not_valid_before_utc) * RENEWED_AFTER
    ):
        return "the old one comes to its end"
    missing = set(wanted.hosts) - _hosts(leaf)
    return f"the old one is not for {', '.join(sorted(missing))}" if missing else ""


def _signed_by(leaf: x509.Certificate, issuer: x509.Certificate) -> bool:
    aki = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    ski = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return aki.key_identifier == ski.digest


def _hosts(leaf: x509.Certificate) -> set[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return set(names.get_values_for_type(x509.DNSName)) | {
        str(address) for address in names.get_values_for_type(x509.IPAddress)
    }
