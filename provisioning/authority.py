"""The city's certificate authority on disk: a root kept apart, and the issuing one the server works with.

    DIRECTORY/
      authority.json        the city's name
      root/                 root.pem, root.key (encrypted when a passphrase was given): move it offline
      issuing/              issuing.pem, issuing.key, revoked.crl
      trust.pem             root and issuing: what broker, server and devices trust

The root's key signs the issuing authority at `init` and is not needed, or looked for, afterwards.
"""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from provisioning import certificates, requests, revocation
from provisioning.authority_files import AuthorityFiles, check_consistent, read_authority
from provisioning.errors import AuthorityExists, AuthorityOutOfTime, BadSetting
from provisioning.storage import PUBLIC_FILE_MODE, private_directory, write_atomically
from wire_contract.topics import Address

DEVICE_DAYS = 90  # standards.md section 6: renewed at two thirds, so a month offline costs nothing
SERVER_DAYS = 365
_CITY = re.compile(
    r"[^\x00-\x1f\x7f]{1,40}"
)  # leaves room for " issuing authority" within a common name's 64

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Identity:
    """A key made here, and the chain (leaf, issuing) that certifies it, as PEM."""

    chain_pem: str
    key_pem: str = field(repr=False)

    @property
    def leaf(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.chain_pem.encode())

    def save(self, certificate_file: Path, key_file: Path) -> None:
        """Write both: the key 0600, the chain 0644. Raises OSError."""
        write_atomically(key_file, self.key_pem.encode())
        write_atomically(certificate_file, self.chain_pem.encode(), PUBLIC_FILE_MODE)


@dataclass(frozen=True)
class Authority:
    """The issuing authority, loaded and checked. `clock` gives the instant (UTC) certificates start at."""

    files: AuthorityFiles
    city: str
    root: x509.Certificate
    issuing: x509.Certificate
    _key: ec.EllipticCurvePrivateKey = field(repr=False)
    clock: Clock = utc_now

    @classmethod
    def init(
        cls, directory: Path, city: str, passphrase: str | None = None, clock: Clock = utc_now
    ) -> Authority:
        """Make a new authority in `directory`. Raises AuthorityExists, BadSetting, OSError."""
        if not _CITY.fullmatch(city) or not city.strip():
            raise BadSetting(f"{city!r} is not a city's name", "Give 1 to 40 printable characters")
        files = AuthorityFiles(directory)
        if files.root_certificate.exists() or files.issuing_key.exists():
            raise AuthorityExists(
                f"there is an authority in {directory} already",
                "Every certificate of the city hangs on it; keep it",
            )
        root_key, issuing_key, now = certificates.new_key(), certificates.new_key(), clock()
        root = certificates.authority_certificate(
            f"{city} root authority", root_key.public_key(), None, root_key,
            certificates.validity(now, certificates.ROOT_LIFE),
        )  # fmt: skip
        issuing = certificates.authority_certificate(
            f"{city} issuing authority", issuing_key.public_key(), root, root_key,
            certificates.validity(now, certificates.ISSUING_LIFE, root),
        )  # fmt: skip
        for folder in (files.directory, files.root_key.parent, files.issuing_key.parent):
            private_directory(folder)
        write_atomically(files.root_key, certificates.key_pem(root_key, passphrase).encode())
        write_atomically(files.root_certificate, certificates.pem(root).encode(), PUBLIC_FILE_MODE)
        write_atomically(files.issuing_certificate, certificates.pem(issuing).encode(), PUBLIC_FILE_MODE)
        crl = revocation.empty_list(issuing, issuing_key, now)
        write_atomically(files.crl, crl.public_bytes(serialization.Encoding.PEM), PUBLIC_FILE_MODE)
        write_atomically(files.trust, certificates.pem(root, issuing).encode(), PUBLIC_FILE_MODE)
        write_atomically(
            files.description, json.dumps({"format": 1, "city": city}).encode(), PUBLIC_FILE_MODE
        )
        write_atomically(
            files.issuing_key, certificates.key_pem(issuing_key).encode()
        )  # last: now it is whole
        return cls.load_issuing(directory, clock)

    @classmethod
    def load_issuing(cls, directory: Path, clock: Clock = utc_now) -> Authority:
        """The authority of `directory`, its files checked against each other. Raises AuthorityError."""
        files = AuthorityFiles(directory)
        parts = read_authority(files)
        check_consistent(files, parts)
        return cls(files, parts.city, parts.root, parts.issuing, parts.issuing_key, clock)

    def trust_bundle(self) -> str:
        """Root and issuing certificate, as PEM: what to trust."""
        return certificates.pem(self.root, self.issuing)

    def issue_device(self, csr_der: bytes, address: Address, days: float = DEVICE_DAYS) -> str:
        """The chain (leaf, issuing) as PEM for the key in the request, named `address`.

        Raises RequestRefused, AuthorityOutOfTime.
        """
        request = requests.read_request(csr_der)
        requests.check_name_fits(address)
        requests.check_asks_only_for(request, address)
        names = [x509.UniformResourceIdentifier(requests.urn(address))]
        key = requests.checked_key(request.public_key())
        leaf = certificates.client_certificate(
            str(address), names, key, self.issuing, self._key, self._validity(days)
        )
        return certificates.pem(leaf, self.issuing)

    def issue_server(self, name: str, hosts: Sequence[str], days: float = SERVER_DAYS) -> Identity:
        """A key and certificate for a server reached as `hosts` (names, IPv4 or IPv6). Raises BadSetting."""
        key = certificates.new_key()
        leaf = certificates.server_certificate(
            certificates.role_name(name),
            hosts,
            key.public_key(),
            self.issuing,
            self._key,
            self._validity(days),
        )
        return Identity(certificates.pem(leaf, self.issuing), certificates.key_pem(key))

    def issue_client(self, common_name: str, days: float = SERVER_DAYS) -> Identity:
        """A key and certificate for a server role, such as "lamppost-ingest". Raises BadSetting."""
        key = certificates.new_key()
        leaf = certificates.client_certificate(
            certificates.role_name(common_name),
            [],
            key.public_key(),
            self.issuing,
            self._key,
            self._validity(days),
        )
        return Identity(certificates.pem(leaf, self.issuing), certificates.key_pem(key))

    def revoke(self, serial: int, *, hold: bool = False) -> bool:
        """Put a certificate on the revocation list, for good or on hold; False when it already was. A broker
        reads the list when it starts or is told to (SIGHUP), for new connections. Raises OSError."""
        with self._locked():
            current = self.revocation_list()
            return self._replace_list(
                current,
                revocation.with_revoked(current, serial, self.issuing, self._key, self.clock(), hold=hold),
            )

    def release(self, serial: int) -> bool:
        """Take a certificate that is on hold off the list; False where it is not. Raises OSError."""
        with self._locked():
            current = self.revocation_list()
            return self._replace_list(
                current, revocation.without_held(current, serial, self.issuing, self._key, self.clock())
            )

    def signed(self, certificate: x509.Certificate) -> bool:
        """Is it from this issuing authority? Dates and revocation are not looked at."""
        try:
            certificate.verify_directly_issued_by(self.issuing)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    def is_revoked(self, serial: int) -> bool:
        """For good or on hold."""
        return self.revocation_list().get_revoked_certificate_by_serial_number(serial) is not None

    def revocation_list(self) -> x509.CertificateRevocationList:
        return x509.load_pem_x509_crl(self.files.crl.read_bytes())

    def _replace_list(
        self, current: x509.CertificateRevocationList, following: x509.CertificateRevocationList
    ) -> bool:
        if following is current:
            return False
        write_atomically(self.files.crl, following.public_bytes(serialization.Encoding.PEM), PUBLIC_FILE_MODE)
        return True

    def _validity(self, days: float) -> certificates.Validity:
        now = self.clock()
        first, last = self.issuing.not_valid_before_utc, self.issuing.not_valid_after_utc
        if not first <= now + certificates.BACKDATED < last:
            raise AuthorityOutOfTime(
                f"this machine's clock says {now:%Y-%m-%d}, the issuing authority is valid "
                f"from {first:%Y-%m-%d} to {last:%Y-%m-%d}",
                "Set the clock, or make a new issuing authority",
            )
        if not 0 < days <= (certificates.ISSUING_LIFE.days):
            raise BadSetting(f"a certificate cannot hold for {days} days")
        return certificates.validity(now, timedelta(days=days), self.issuing)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.files.issuing_key.parent / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
