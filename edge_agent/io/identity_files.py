"""This device's key and certificate: made, checked and replaced in one folder.

`cryptography` is imported only inside these functions: the running agent never loads it, its renewals run in
a child process (decisions.md, the agent: memory).

    identity/device.key   private key, PKCS#8 PEM, 0600; never leaves the device
    identity/device.pem   certificate chain, leaf first
    identity/ca.pem       the city's authority
    identity/next.key     the key of a renewal that is under way
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.errors import IdentityError
from edge_agent.io.files import write_atomically
from wire_contract.topics import Address

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

KEY_MODE = 0o600


@dataclass(frozen=True)
class IdentityFiles:
    """Where the files are."""

    key: Path
    certificate: Path
    ca: Path

    @property
    def next_key(self) -> Path:
        return self.key.with_name("next.key")

    def complete(self) -> bool:
        return all(path.exists() for path in (self.key, self.certificate, self.ca))


def ensure_key(path: Path) -> EllipticCurvePrivateKey:
    """The key in this file; a new P-256 key where there is none. Raises IdentityError, OSError."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if path.exists():
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), None)
        except (ValueError, TypeError) as error:
            raise IdentityError(f"{path}: not a private key in PEM: {error}", "Delete it.") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise IdentityError(f"{path}: not an elliptic curve key", "Delete it; a new one is made.")
        return key
    made = ec.generate_private_key(ec.SECP256R1())
    pem = made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(path, pem, KEY_MODE)
    return made


def make_csr(key: EllipticCurvePrivateKey, address: Address, challenge: str = "") -> bytes:
    """A PKCS#10 request for the common name tenant/device, DER; with a challengePassword where given."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import AttributeOID, NameOID

    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(address))])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if challenge:
        builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, challenge.encode())
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def signed_by_the_old_key(files: IdentityFiles, csr_der: bytes) -> bytes:
    """The request as CMS SignedData (RFC 5652, DER) by the key of the certificate that we have.

    Raises IdentityError, OSError.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.serialization import pkcs7

    try:
        leaf = x509.load_pem_x509_certificates(files.certificate.read_bytes())[0]
        builder = pkcs7.PKCS7SignatureBuilder().set_data(csr_der)
        builder = builder.add_signer(leaf, ensure_key(files.key), hashes.SHA256())
    except (ValueError, IndexError) as error:
        raise IdentityError(
            f"{files.certificate}: not a certificate in PEM: {error}", "Enrol again."
        ) from error
    return builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])


def fingerprint(key: EllipticCurvePrivateKey) -> str:
    """What device and operator compare by eye: 128 bits of SHA-256 over the SubjectPublicKeyInfo, as eight
    groups of four hex digits."""
    from cryptography.hazmat.primitives import serialization

    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digits = hashlib.sha256(der).hexdigest()
    return "-".join(digits[4 * i : 4 * i + 4] for i in range(8))


def checked_chain(chain_pem: str, key: EllipticCurvePrivateKey, address: Address, trust_pem: str) -> str:
    """The chain, leaf first, when it is ours: for our key and name, and leading to the trusted authority.

    Raises IdentityError otherwise. The order of what came means nothing (RFC 7030 4.1.3).
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import NameOID

    try:
        given = x509.load_pem_x509_certificates(chain_pem.encode())
        trusted = x509.load_pem_x509_certificates(trust_pem.encode())
    except ValueError as error:
        raise IdentityError(f"the server's certificates cannot be read: {error}") from error
    numbers = key.public_key().public_numbers()
    ours = [each for each in given if _numbers(each) == numbers]
    if not ours:
        raise IdentityError("the certificate that came was not made for this device's key")
    leaf = ours[0]
    names = [str(each.value) for each in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [str(address)]:
        raise IdentityError(f"the certificate that came is for {names}, not for {address}")
    chain, top = [leaf], leaf
    while not any(_issued(top, each) for each in trusted):
        issuer = next((each for each in given if each not in chain and _issued(top, each)), None)
        if issuer is None:
            raise IdentityError("the certificate that came does not lead to the city's authority")
        chain.append(issuer)
        top = issuer
    rest = [each for each in given if each not in chain and each.subject != each.issuer]
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in (*chain, *rest))


def _numbers(certificate: x509.Certificate) -> object:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    public = certificate.public_key()
    return public.public_numbers() if isinstance(public, EllipticCurvePublicKey) else None


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def install_chain(files: IdentityFiles, chain_pem: str, trust_pem: str) -> None:
    """Put a first certificate in place; its key is there already."""
    if trust_pem:
        write_atomically(files.ca, trust_pem.encode())
    write_atomically(files.certificate, chain_pem.encode())


def learn_trust(files: IdentityFiles, trust_pem: str) -> bool:
    """Take over what the city trusts now; True where it is news. Raises IdentityError, OSError.

    It came from a server that we trust. It must hold authorities only, and our own certificate must lead to
    them: a bundle that shuts us out is a mistake of somebody's.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        told = x509.load_pem_x509_certificates(trust_pem.encode())
        ours = x509.load_pem_x509_certificates(files.certificate.read_bytes())
    except ValueError as error:
        raise IdentityError(f"what the city trusts cannot be read: {error}") from error
    if not told or not all(_is_authority(each) for each in told):
        raise IdentityError("what the server says the city trusts are not only authorities")
    if not any(_issued(each, authority) for each in ours for authority in told):
        raise IdentityError("our certificate does not lead to what the server says the city trusts")
    following = "".join(each.public_bytes(Encoding.PEM).decode() for each in told)
    if files.ca.exists() and files.ca.read_text() == following:
        return False
    write_atomically(files.ca, following.encode())
    return True


def authorities_in(pem: str) -> str:
    """The authorities among these certificates, each once, when a root is among them; else ""."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    given = [each for each in x509.load_pem_x509_certificates(pem.encode()) if _is_authority(each)]
    roots = [each for each in given if each.subject == each.issuer]
    under = [each for each in dict.fromkeys(given) if any(_issued(each, root) for root in roots)]
    return "".join(each.public_bytes(Encoding.PEM).decode() for each in under) if roots else ""


def _is_authority(certificate: x509.Certificate) -> bool:
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def install_renewal(files: IdentityFiles, chain_pem: str) -> None:
    """Put the new certificate and then its key in place.

    A power cut between the two leaves a pair that does not match: `finish_renewal` at the next start.
    """
    write_atomically(files.certificate, chain_pem.encode())
    files.next_key.replace(files.key)


def finish_renewal(files: IdentityFiles) -> bool:
    """After a power cut inside `install_renewal`: the certificate is the next key's, so take that key."""
    if not (files.next_key.exists() and files.certificate.exists()):
        return False
    from cryptography import x509

    leaf = x509.load_pem_x509_certificates(files.certificate.read_bytes())[0]
    if _numbers(leaf) != ensure_key(files.next_key).public_key().public_numbers():
        return False
    files.next_key.replace(files.key)
    return True
