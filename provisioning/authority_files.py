"""Reading an authority's directory: each way it can be incomplete, damaged or mixed up has its own error."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from provisioning.errors import AuthorityCorrupt, AuthorityExposed, AuthorityMismatch, AuthorityMissing

T = TypeVar("T")


@dataclass(frozen=True)
class AuthorityFiles:
    """Where each part lies."""

    directory: Path

    @property
    def description(self) -> Path:
        return self.directory / "authority.json"

    @property
    def root_key(self) -> Path:
        return self.directory / "root" / "root.key"

    @property
    def root_certificate(self) -> Path:
        return self.directory / "root" / "root.pem"

    @property
    def issuing_key(self) -> Path:
        return self.directory / "issuing" / "issuing.key"

    @property
    def issuing_certificate(self) -> Path:
        return self.directory / "issuing" / "issuing.pem"

    @property
    def crl(self) -> Path:
        return self.directory / "issuing" / "revoked.crl"

    @property
    def trust(self) -> Path:
        return self.directory / "trust.pem"


@dataclass(frozen=True)
class AuthorityParts:
    city: str
    root: x509.Certificate
    issuing: x509.Certificate
    issuing_key: ec.EllipticCurvePrivateKey
    crl: x509.CertificateRevocationList


def read_authority(files: AuthorityFiles) -> AuthorityParts:
    """Every part but the root's own folder, which may be offline. Raises AuthorityMissing, -Corrupt."""
    if not files.directory.is_dir():
        raise AuthorityMissing(
            f"there is no certificate authority in {files.directory}",
            f'Make one: lamppost ca init --directory {files.directory} --city "NAME"',
        )
    trust = _read(files, files.trust, x509.load_pem_x509_certificates)
    if len(trust) != 2:
        raise AuthorityCorrupt(
            f"{files.trust} holds {len(trust)} certificates instead of two", _restore(files)
        )
    return AuthorityParts(
        city=_read(files, files.description, _city),
        root=trust[0],
        issuing=_read(files, files.issuing_certificate, x509.load_pem_x509_certificate),
        issuing_key=_read(files, files.issuing_key, _private_key),
        crl=_read(files, files.crl, x509.load_pem_x509_crl),
    )


def check_consistent(files: AuthorityFiles, parts: AuthorityParts) -> None:
    """Raises AuthorityMismatch (parts of different authorities), AuthorityExposed (others can read a key)."""
    if parts.issuing_key.public_key() != parts.issuing.public_key():
        raise AuthorityMismatch(
            f"{files.issuing_key} is not the key of {files.issuing_certificate}", _restore(files)
        )
    try:
        parts.issuing.verify_directly_issued_by(parts.root)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise AuthorityMismatch(
            f"{files.issuing_certificate} was not signed by the root in {files.trust}", _restore(files)
        ) from error
    if not parts.crl.is_signature_valid(parts.issuing_key.public_key()):
        raise AuthorityMismatch(f"{files.crl} was not signed by {files.issuing_certificate}", _restore(files))
    mode = stat.S_IMODE(files.issuing_key.stat().st_mode)
    if mode & 0o077:
        raise AuthorityExposed(
            f"{files.issuing_key} can be read by others (mode {mode:04o})",
            f"Close it: chmod 600 {files.issuing_key}; if others had access, make a new authority",
        )


def _read(files: AuthorityFiles, path: Path, parse: Callable[[bytes], T]) -> T:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise AuthorityMissing(
            f"the authority in {files.directory} lacks {path.name}", _restore(files)
        ) from error
    except OSError as error:
        raise AuthorityMissing(
            f"{path} cannot be read: {error.strerror}", "Run as the authority's owner"
        ) from error
    try:
        return parse(content)
    except (ValueError, TypeError, KeyError) as error:
        raise AuthorityCorrupt(f"{path} is damaged", _restore(files)) from error


def _restore(files: AuthorityFiles) -> str:
    return (
        f"Restore {files.directory} from its backup; a new authority (lamppost ca init in another directory) "
        "means enrolling every lamppost again"
    )


def _city(content: bytes) -> str:
    described = json.loads(content)
    if (
        not isinstance(described, dict)
        or described.get("format") != 1
        or not isinstance(described["city"], str)
    ):
        raise ValueError("not an authority's description")
    return described["city"]


def _private_key(content: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(content, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("not an elliptic curve key")
    return key
