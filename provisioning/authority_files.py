"""Reading an authority's directory: each way it can be incomplete, damaged or mixed up has its own error."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from provisioning.errors import AuthorityCorrupt, AuthorityExposed, AuthorityMismatch, AuthorityMissing
from provisioning.rollover_rules import Phase

T = TypeVar("T")
FOLDER = re.compile(r"(?:(?:issuing|root)(?:-[0-9]{1,4})?)?")
_CRL = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----\n?", re.DOTALL)


FIRST_GENERATION, FIRST_ROOT = "issuing", "root"
MOST_NUMBERED = 9999  # what FOLDER and the issuing authorities' names hold


@dataclass(frozen=True)
class Described:
    """`authority.json`: the one file that says which authority signs. Folders' names; since: the phase's.

    numbered, numbered_root: the highest number that an issuing authority or a root was ever given here. None
    is given twice, not even after `abandon`: by the number a lamppost tells a former authority from the next.
    """

    city: str
    issuing: str = FIRST_GENERATION
    root: str = FIRST_ROOT
    next: str = ""
    next_root: str = ""
    former: str = ""
    phase: Phase = Phase.STEADY
    since: datetime | None = None
    numbered: int = 1
    numbered_root: int = 1

    def as_json(self) -> bytes:
        """Format 1 as long as nothing was ever rolled over: what older programs read."""
        if self == Described(self.city):
            return json.dumps({"format": 1, "city": self.city}).encode()
        told = {
            "format": 2, "city": self.city, "issuing": self.issuing, "root": self.root, "next": self.next,
            "next_root": self.next_root, "former": self.former, "phase": str(self.phase),
            "since": None if self.since is None else self.since.isoformat(),
            "numbered": self.numbered, "numbered_root": self.numbered_root,
        }  # fmt: skip
        return json.dumps(told, indent=2).encode()


@dataclass(frozen=True)
class AuthorityFiles:
    """Where each part lies. generation: the folder of the issuing authority that is meant."""

    directory: Path
    generation: str = FIRST_GENERATION
    root_generation: str = FIRST_ROOT

    @property
    def description(self) -> Path:
        return self.directory / "authority.json"

    @property
    def root_key(self) -> Path:
        return self.directory / self.root_generation / "root.key"

    @property
    def root_certificate(self) -> Path:
        return self.directory / self.root_generation / "root.pem"

    @property
    def issuing_key(self) -> Path:
        return self.directory / self.generation / "issuing.key"

    @property
    def issuing_certificate(self) -> Path:
        return self.directory / self.generation / "issuing.pem"

    @property
    def cross(self) -> Path:
        """The issuing authority as the former root has signed it; there while that one is trusted."""
        return self.directory / self.generation / "cross.pem"

    @property
    def crl(self) -> Path:
        """The lists of every issuing authority that is trusted, one after another."""
        return self.directory / FIRST_GENERATION / "revoked.crl"

    @property
    def trust(self) -> Path:
        return self.directory / "trust.pem"


@dataclass(frozen=True)
class Generation:
    """One issuing authority that can sign."""

    name: str
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)


@dataclass(frozen=True)
class AuthorityParts:
    """`others`: those beside the one that signs (the next, the former); `retired`: certificates alone."""

    described: Described
    root: x509.Certificate
    current: Generation
    cross: x509.Certificate | None
    others: tuple[Generation, ...]
    retired: tuple[x509.Certificate, ...]
    lists: tuple[x509.CertificateRevocationList, ...]


def described(files: AuthorityFiles) -> Described:
    """Raises AuthorityMissing, AuthorityCorrupt."""
    if not files.directory.is_dir():
        raise AuthorityMissing(
            f"there is no certificate authority in {files.directory}",
            f'Make one: lamppost ca init --directory {files.directory} --city "NAME"',
        )
    return _read(files, files.description, _described)


def read_authority(files: AuthorityFiles) -> AuthorityParts:
    """Every part but the roots' own folders, which may be offline. Raises AuthorityMissing, -Corrupt."""
    told = described(files)
    trust = _read(files, files.trust, x509.load_pem_x509_certificates)
    if len(trust) < 2:
        raise AuthorityCorrupt(f"{files.trust} holds {len(trust)} certificate", _restore(files))
    current = _generation(files, told.issuing)
    cross = AuthorityFiles(files.directory, told.issuing).cross
    return AuthorityParts(
        described=told,
        root=_root_of(files, current.certificate, trust),
        current=current,
        cross=_read(files, cross, x509.load_pem_x509_certificate) if cross.exists() else None,
        others=tuple(_generation(files, name) for name in (told.former, told.next) if name),
        retired=_retired(files, told),
        lists=_read(files, files.crl, read_lists),
    )


def _generation(files: AuthorityFiles, name: str) -> Generation:
    here = AuthorityFiles(files.directory, name)
    return Generation(
        name,
        _read(here, here.issuing_certificate, x509.load_pem_x509_certificate),
        _read(here, here.issuing_key, _private_key),
    )


def _root_of(
    files: AuthorityFiles, issuing: x509.Certificate, trust: list[x509.Certificate]
) -> x509.Certificate:
    for each in trust:
        if each.subject == each.issuer and directly_issued(issuing, each):
            return each
    raise AuthorityMismatch(
        f"{files.issuing_certificate} was not signed by the root in {files.trust}", _restore(files)
    )


def _retired(files: AuthorityFiles, told: Described) -> tuple[x509.Certificate, ...]:
    """Authorities whose key is destroyed: what they signed long ago is still known as ours."""
    living = {told.issuing, told.former, told.next}
    folders = sorted(each for each in files.directory.glob(f"{FIRST_GENERATION}*") if each.name not in living)
    found = [AuthorityFiles(files.directory, each.name).issuing_certificate for each in folders]
    return tuple(_read(files, each, x509.load_pem_x509_certificate) for each in found if each.exists())


def directly_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Did `issuer` sign it? Dates are not looked at."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def check_consistent(files: AuthorityFiles, parts: AuthorityParts) -> None:
    """Raises AuthorityMismatch (parts of different authorities), AuthorityExposed (others can read a key)."""
    for each in (parts.current, *parts.others):
        here = AuthorityFiles(files.directory, each.name)
        if each.key.public_key() != each.certificate.public_key():
            raise AuthorityMismatch(
                f"{here.issuing_key} is not the key of {here.issuing_certificate}", _restore(files)
            )
        mode = stat.S_IMODE(here.issuing_key.stat().st_mode)
        if mode & 0o077:
            raise AuthorityExposed(
                f"{here.issuing_key} can be read by others (mode {mode:04o})",
                f"Close it: chmod 600 {here.issuing_key}; if others had access, make a new authority",
            )
    signers = {each.certificate.subject: each.key.public_key() for each in (parts.current, *parts.others)}
    named = {each.issuer: each for each in parts.lists}
    for subject, key in signers.items():
        if subject not in named or not named[subject].is_signature_valid(key):
            raise AuthorityMismatch(
                f"{files.crl} holds no list that {subject.rfc4514_string()} has signed", _restore(files)
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


def _described(content: bytes) -> Described:
    told = json.loads(content)
    if not isinstance(told, dict) or told.get("format") not in (1, 2) or not isinstance(told["city"], str):
        raise ValueError("not an authority's description")
    if told["format"] == 1:
        return Described(told["city"])
    folders = [told[name] for name in ("issuing", "root", "next", "next_root", "former")]
    if not all(isinstance(each, str) and FOLDER.fullmatch(each) for each in folders):
        raise ValueError("not an authority's folders")
    since = None if told["since"] is None else datetime.fromisoformat(told["since"])
    issuing, root, following, next_root, former = folders
    phase = Phase(told["phase"])
    return Described(
        told["city"], issuing, root, following, next_root, former, phase, since,
        _highest(told.get("numbered"), issuing, following, former),
        _highest(told.get("numbered_root"), root, next_root),
    )  # fmt: skip


def _highest(counted: object, *folders: str) -> int:
    """counted: None in a file that was written before numbers were counted. Raises ValueError."""
    there = max(number_of(each) for each in folders)
    if counted is None:
        return there
    if type(counted) is not int or not there <= counted <= MOST_NUMBERED:
        raise ValueError("not the highest number of an authority")
    return counted


def number_of(folder: str) -> int:
    """1 of the first, "issuing" or "root", and of no folder at all."""
    return int(folder.rpartition("-")[2]) if "-" in folder else 1


def read_lists(content: bytes) -> tuple[x509.CertificateRevocationList, ...]:
    """Every revocation list in a PEM file. Raises ValueError."""
    blocks = _CRL.findall(content)
    if not blocks:
        raise ValueError("no revocation list")
    return tuple(x509.load_pem_x509_crl(each) for each in blocks)


def _private_key(content: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(content, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("not an elliptic curve key")
    return key
