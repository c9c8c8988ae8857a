"""The city's certificate authority on disk: a root kept apart, and the issuing one the server works with.

    DIRECTORY/
      authority.json        the city's name, and which of the authorities below signs
      root/                 root.pem, root.key (which may be locked, or name a token): move it offline
      issuing/              issuing.pem, issuing.key, revoked.crl
      root-2/, issuing-2/   those that followed (`rollover.py`)
      trust.pem             roots and issuing authorities: what broker, server and devices trust

The root's key signs the issuing authority at `init`, and is needed for the next one only.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from provisioning import certificates, requests, revocation, root_keys
from provisioning.authority_files import (
    AuthorityFiles,
    Described,
    Generation,
    check_consistent,
    directly_issued,
    read_authority,
    read_lists,
)
from provisioning.errors import AuthorityExists, AuthorityOutOfTime, BadSetting
from provisioning.root_keys import MakeRootKey
from provisioning.storage import PUBLIC_FILE_MODE, private_directory, write_atomically
from wire_contract.authorities import issuing_name
from wire_contract.topics import Address

DEVICE_DAYS = 90  # standards.md section 6: renewed at two thirds, so a month offline costs nothing
SERVER_DAYS = 365
_CITY = re.compile(
    r"[^\x00-\x1f\x7f]{1,40}"
)  # leaves room for " issuing authority" within a common name's 64

Clock = Callable[[], datetime]
Lists = tuple[x509.CertificateRevocationList, ...]


def utc_now() -> datetime:
    return datetime.now(UTC)


class Signer(Enum):
    """Who has signed a certificate that somebody shows."""

    TRUSTED = auto()  # the city's issuing authority; the next or the former one, while both are trusted
    RETIRED = auto()  # one whose key was destroyed here; whoever had copied it still signs as it
    UNKNOWN = auto()


Following = Callable[[x509.CertificateRevocationList, Generation], x509.CertificateRevocationList]


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
    described: Described = field(default_factory=lambda: Described(""))
    _cross: x509.Certificate | None = None  # the issuing authority, as the former root has signed it
    _others: tuple[Generation, ...] = ()  # the next or the former issuing authority
    _retired: tuple[x509.Certificate, ...] = ()

    @classmethod
    def init(
        cls,
        directory: Path,
        city: str,
        passphrase: str | None = None,
        clock: Clock = utc_now,
        *,
        make_root_key: MakeRootKey | None = None,
    ) -> Authority:
        """Make a new authority in `directory`, its root's key in a file, or where `make_root_key` makes it.

        Raises AuthorityExists, BadSetting, OSError, and what `make_root_key` raises.
        """
        if not _CITY.fullmatch(city) or not city.strip():
            raise BadSetting(f"{city!r} is not a city's name", "Give 1 to 40 printable characters")
        files = AuthorityFiles(directory)
        _check_nothing_there(files)
        made = make_root_key() if make_root_key else root_keys.in_file(passphrase)
        root_key, issuing_key, now = made.key, certificates.new_key(), clock()
        root = certificates.authority_certificate(
            f"{city} root authority", root_key.public_key(), None, root_key,
            certificates.validity(now, certificates.ROOT_LIFE),
        )  # fmt: skip
        issuing = certificates.authority_certificate(
            issuing_name(city, 1), issuing_key.public_key(), root, root_key,
            certificates.validity(now, certificates.ISSUING_LIFE, root),
        )  # fmt: skip
        for folder in (files.directory, files.root_key.parent, files.issuing_key.parent):
            private_directory(folder)
        write_atomically(files.root_key, made.content)
        write_atomically(files.root_certificate, certificates.pem(root).encode(), PUBLIC_FILE_MODE)
        write_atomically(files.issuing_certificate, certificates.pem(issuing).encode(), PUBLIC_FILE_MODE)
        crl = revocation.first_list(issuing, issuing_key, now)
        write_atomically(files.crl, crl.public_bytes(serialization.Encoding.PEM), PUBLIC_FILE_MODE)
        write_atomically(files.trust, certificates.pem(root, issuing).encode(), PUBLIC_FILE_MODE)
        write_atomically(files.issuing_key, certificates.key_pem(issuing_key).encode())
        write_atomically(
            files.description, Described(city).as_json(), PUBLIC_FILE_MODE
        )  # last: now it is whole
        return cls.load_issuing(directory, clock)

    @classmethod
    def load_issuing(cls, directory: Path, clock: Clock = utc_now) -> Authority:
        """The authority of `directory`, its files checked against each other. Raises AuthorityError."""
        parts = read_authority(AuthorityFiles(directory))
        files = AuthorityFiles(directory, parts.current.name, parts.described.root)
        check_consistent(files, parts)
        return cls(
            files, parts.described.city, parts.root, parts.current.certificate, parts.current.key, clock,
            parts.described, parts.cross, parts.others, parts.retired,
        )  # fmt: skip

    def trust_bundle(self) -> str:
        """Roots and issuing authorities, as PEM: what to trust. Raises OSError."""
        return certificates.pem(*self.trusted())

    def trusted(self) -> list[x509.Certificate]:
        """As the file says now. Raises OSError, ValueError."""
        return x509.load_pem_x509_certificates(self.files.trust.read_bytes())

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
        return self._chain(leaf)

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
        return Identity(self._chain(leaf), certificates.key_pem(key))

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
        return Identity(self._chain(leaf), certificates.key_pem(key))

    def revoke(self, serial: int, *, hold: bool = False) -> bool:
        """As `revoke_all`, of one; False when it already was."""
        return bool(self.revoke_all([serial], hold=hold))

    def revoke_all(
        self,
        serials: Iterable[int],
        *,
        hold: bool = False,
        reason: x509.ReasonFlags = x509.ReasonFlags.unspecified,
    ) -> set[int]:
        """Put certificates on the revocation list, for good or on hold, the list written once; those that are
        news. A broker reads the list when it starts or is told to (SIGHUP), for new connections. Raises
        OSError."""
        asked = set(serials)

        def following(crl: x509.CertificateRevocationList, by: Generation) -> x509.CertificateRevocationList:
            return revocation.with_revoked(
                crl, asked, by.certificate, by.key, self.clock(), hold=hold, reason=reason
            )

        return self._change_lists(asked, following)

    def release(self, serial: int) -> bool:
        """As `release_all`, of one; False where it is not on hold."""
        return bool(self.release_all([serial]))

    def release_all(self, serials: Iterable[int]) -> set[int]:
        """Take certificates that are on hold off the list; those that were. Raises OSError."""
        asked = set(serials)

        def following(crl: x509.CertificateRevocationList, by: Generation) -> x509.CertificateRevocationList:
            return revocation.without_held(crl, asked, by.certificate, by.key, self.clock())

        return self._change_lists(asked, following)

    def shorten_lists(self, ends: Mapping[int, datetime]) -> frozenset[int]:
        """A list as is due each day: without certificates that ran out, where the former list has named them
        since (`revocation.without_expired`). ends: serial -> its last instant. Returns those that no list
        names any more. Raises OSError."""
        before, after = self._follow_lists(
            lambda crl, by: revocation.without_expired(crl, ends, by.certificate, by.key, self.clock())
        )
        return revocation.serials_on(before) - revocation.serials_on(after)

    def redate_lists(self) -> bool:
        """Make those lists again that a clock far ahead has made (`revocation.of_today`). Raises OSError."""
        before, after = self._follow_lists(
            lambda crl, by: revocation.of_today(crl, by.certificate, by.key, self.clock())
        )
        return before != after

    def signer(self, certificate: x509.Certificate) -> Signer:
        """Whose signature it bears. Its dates and standing are not looked at."""
        trusted = (self.issuing, *(each.certificate for each in self._others))
        if any(directly_issued(certificate, each) for each in trusted):
            return Signer.TRUSTED
        if any(directly_issued(certificate, each) for each in self._retired):
            return Signer.RETIRED
        return Signer.UNKNOWN

    def is_revoked(self, serial: int) -> bool:
        """For good or on hold."""
        return any(each.get_revoked_certificate_by_serial_number(serial) for each in self.revocation_lists())

    def revocation_list(self) -> x509.CertificateRevocationList:
        """The list of the authority that signs now."""
        return next(each for each in self.revocation_lists() if each.issuer == self.issuing.subject)

    def revocation_lists(self) -> tuple[x509.CertificateRevocationList, ...]:
        """One for each issuing authority that is trusted. Raises OSError."""
        return read_lists(self.files.crl.read_bytes())

    def _change_lists(self, asked: set[int], following: Following) -> set[int]:
        """Each serial goes on every list, whosever it is. Returns the serials whose standing changed."""
        before, after = self._follow_lists(following)
        return {serial for serial in asked if _standing(before, serial) != _standing(after, serial)}

    def _follow_lists(self, following: Following) -> tuple[Lists, Lists]:
        """The lists as they were, and as they are: written where one is another. Raises OSError."""
        signers = {each.certificate.subject: each for each in self.signing()}
        with self.locked():
            before = self.revocation_lists()
            after = tuple(
                following(each, signers[each.issuer]) if each.issuer in signers else each for each in before
            )
            if any(new is not old for new, old in zip(after, before, strict=True)):
                write_atomically(self.files.crl, revocation.pem(after), PUBLIC_FILE_MODE)
        return before, after

    def signing(self) -> tuple[Generation, ...]:
        """The one that signs now first, then the next or the former one: whose keys are here."""
        return (Generation(self.files.generation, self.issuing, self._key), *self._others)

    def _chain(self, leaf: x509.Certificate) -> str:
        """Leaf first. By the former root first, where that is still trusted: whoever knows the new one finds
        the way by what it trusts, whoever does not only by what comes along."""
        between = [self.issuing] if self._cross is None else [self._cross, self.issuing]
        return certificates.pem(leaf, *between)

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
    def locked(self) -> Iterator[None]:
        """Nobody else changes the revocation lists meanwhile. Raises OSError."""
        with (self.files.crl.parent / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _check_nothing_there(files: AuthorityFiles) -> None:
    """Whatever of it was moved away or destroyed since (its root, its first key). Raises AuthorityExists."""
    if files.description.exists():
        raise AuthorityExists(
            f"there is an authority in {files.directory} already",
            "Every certificate of the city hangs on it; keep it",
        )
    there = (*files.directory.glob("root*/root.pem"), *files.directory.glob("issuing*/*"), files.trust)
    if any(each.exists() for each in there):
        raise AuthorityExists(
            f"there is a part of an authority in {files.directory}",
            "Was init cut short? Nothing hangs on it then: remove the folder, and init again (with "
            "--existing-key where a token has made the key). Else restore the folder from its backup",
        )


def _standing(lists: Sequence[x509.CertificateRevocationList], serial: int) -> str:
    entries = [each.get_revoked_certificate_by_serial_number(serial) for each in lists]
    return "".join("-" if each is None else "h" if revocation.on_hold(each) else "r" for each in entries)
