"""Certificate requests (PKCS#10): what is taken from one, and why one is refused. Pure.

From a request only the public key is taken, after its signature proved that the asker holds the private
one. Names come from the claim or the proven identity; a request that asks for another is refused.
"""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import AttributeOID, NameOID

from provisioning.errors import RequestGarbled, WeakKey, WrongName
from wire_contract.limits import MAX_CSR_BYTES
from wire_contract.topics import Address

RSA_MIN_BITS = 2048  # NIST SP 800-57 part 1: 112 bits of security
RSA_MAX_BITS = 8192  # larger only costs the server time
COMMON_NAME_MAX_CHARACTERS = 64  # RFC 5280, ub-common-name
FINGERPRINT_GROUPS = 8  # of four hex digits: 128 bits of SHA-256, short enough to compare by eye

Request = x509.CertificateSigningRequest
# What cryptography raises for bytes that are no request; some of it is no ValueError.
UNREADABLE = (
    ValueError,
    TypeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


def read_request(der: bytes) -> x509.CertificateSigningRequest:
    """The request in these DER bytes, its signature and key checked. Raises RequestGarbled, WeakKey."""
    if len(der) > MAX_CSR_BYTES:
        raise RequestGarbled(
            f"the certificate request has {len(der)} bytes; at most {MAX_CSR_BYTES} are read"
        )
    try:
        request = x509.load_der_x509_csr(der)
        checked_key(request.public_key())
        signed = request.is_signature_valid
        _ = request.subject, request.extensions  # read when first asked for: here, where it can be refused
    except UNREADABLE as error:
        raise RequestGarbled("these bytes are not a certificate request (PKCS#10 in DER)") from error
    if not signed:
        raise RequestGarbled("the certificate request's signature is not by its own key")
    return request


def checked_key(key: object) -> PublicKey:
    """The key, when it is P-256, Ed25519 or RSA of 2048 to 8192 bits. Raises WeakKey saying what it is."""
    wanted = "P-256, Ed25519 or RSA with at least 2048 bits"
    match key:
        case ec.EllipticCurvePublicKey():
            if isinstance(key.curve, ec.SECP256R1):
                return key
            raise WeakKey(f"the key is on the curve {key.curve.name}", f"Make one of {wanted}")
        case ed25519.Ed25519PublicKey():
            return key
        case rsa.RSAPublicKey():
            if RSA_MIN_BITS <= key.key_size <= RSA_MAX_BITS:
                return key
            raise WeakKey(f"the RSA key has {key.key_size} bits", f"Make one of {wanted}")
        case _:
            raise WeakKey(f"a key of the kind {type(key).__name__} is not taken", f"Make one of {wanted}")


def urn(address: Address) -> str:
    """The subject alternative name of a device's certificate."""
    return f"urn:lamppost:{address.tenant}:{address.device}"


def check_name_fits(address: Address) -> None:
    """Raises WrongName when `tenant/device` is longer than a certificate's common name may be."""
    if len(str(address)) > COMMON_NAME_MAX_CHARACTERS:
        raise WrongName(
            f"{address} has {len(str(address))} characters, a certificate's common name at most "
            f"{COMMON_NAME_MAX_CHARACTERS}",
            "Choose a shorter device name",
        )


def asked_common_name(request: x509.CertificateSigningRequest) -> str | None:
    """The common name the request's subject asks for, or None. Raises WrongName when it asks for several."""
    names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) > 1:
        raise WrongName("the certificate request asks for more than one common name")
    if not names:
        return None
    value = names[0].value
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def challenge(request: x509.CertificateSigningRequest) -> str | None:
    """Its challengePassword (RFC 2985, section 5.4.1), or None."""
    try:
        value = request.attributes.get_attribute_for_oid(AttributeOID.CHALLENGE_PASSWORD).value
    except (x509.AttributeNotFound, ValueError, TypeError):
        return None
    return value.decode("utf-8", "replace")


def check_asks_only_for(request: x509.CertificateSigningRequest, address: Address) -> None:
    """Raises WrongName when the request's subject or alternative names ask for anything but `address`."""
    common_name = asked_common_name(request)
    if common_name is not None and common_name != str(address):
        raise WrongName(
            f"the certificate request asks for the name {common_name!r}, not for {str(address)!r}"
        )
    try:
        extension = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return
    for name in extension.value:
        if not (isinstance(name, x509.UniformResourceIdentifier) and name.value == urn(address)):
            raise WrongName(f"the certificate request asks for the alternative name {name.value!r:.120}")


def fingerprint(key: PublicKey) -> str:
    """What device and operator compare by eye: the first 128 bits of SHA-256 over the public key's
    SubjectPublicKeyInfo (DER), as eight groups of four lower-case hex digits joined by "-"."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digits = hashlib.sha256(der).hexdigest()
    return "-".join(digits[4 * i : 4 * i + 4] for i in range(FINGERPRINT_GROUPS))
