"""A private key in a PKCS #11 token, which signs without leaving it.

`TokenKey` is a private key to `cryptography`, so that certificates are made with it as with any other. Each
signature opens a session, logs in, signs and closes it: two keys of one token do not get into each other's
way, and nothing stays logged in.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from provisioning.errors import TokenMissing, TokenRefused
from provisioning.pkcs11_uri import TokenUri, id_attribute
from provisioning.tokens import attribute, key_name, library, objects, opened, token_name

if TYPE_CHECKING:
    from pkcs11 import Session

P256 = bytes.fromhex("06082a8648ce3d030107")  # EC_PARAMS: the curve's OID in DER (RFC 5480, 2.1.1.1)
HALF_BYTES = 32  # of a signature: r, then s (PKCS #11 2.40, section 2.3.1)
ID_BYTES = 8


@dataclass(frozen=True, eq=False)
class TokenKey(ec.EllipticCurvePrivateKey):
    """A P-256 key in a token. `sign` raises TokenRefused, TokenMissing or PinRefused."""

    uri: TokenUri
    public: ec.EllipticCurvePublicKey
    pin: str = field(repr=False)

    def sign(
        self, data: bytes | bytearray | memoryview, signature_algorithm: ec.EllipticCurveSignatureAlgorithm
    ) -> bytes:
        if not isinstance(signature_algorithm, ec.ECDSA) or not isinstance(
            signature_algorithm.algorithm, hashes.SHA256
        ):
            raise TypeError("a token's key signs by ECDSA with SHA-256")
        with opened(self.uri, self.pin) as session:
            raw = _signed(_private(session, self.uri), hashlib.sha256(data).digest(), self.pin)
        r, s = raw[:HALF_BYTES], raw[HALF_BYTES:]
        signature = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
        try:
            self.public.verify(signature, bytes(data), signature_algorithm)
        except InvalidSignature:
            raise TokenRefused(
                f"the key in {token_name(self.uri)} is not the root's",
                "Bring the token that belongs to this root, or correct the address in root.key",
            ) from None
        return signature

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self.public

    @property
    def curve(self) -> ec.EllipticCurve:
        return self.public.curve

    @property
    def key_size(self) -> int:
        return self.public.key_size

    def exchange(self, *_how: Any, **_named: Any) -> bytes:
        self._stays()

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        self._stays()

    def private_bytes(self, *_how: Any, **_named: Any) -> bytes:
        self._stays()

    def __copy__(self) -> TokenKey:
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> TokenKey:
        return self

    def _stays(self) -> NoReturn:
        raise TokenRefused(f"the key stays in {token_name(self.uri)}")


def proven(uri: TokenUri, pin: str, public: ec.EllipticCurvePublicKey) -> TokenKey:
    """The key, when the token has shown that it belongs to `public`. Raises TokenRefused and the others."""
    key = TokenKey(uri, public, pin)
    key.sign(secrets.token_bytes(HALF_BYTES), ec.ECDSA(hashes.SHA256()))
    return key


def existing(uri: TokenUri, pin: str) -> TokenKey:
    """A key that the token has, which must stay in it. Raises TokenRefused, TokenMissing, PinRefused."""
    with opened(uri, pin) as session:
        private = _private(session, uri)
        if attribute(private, "EXTRACTABLE", True) or not attribute(private, "SENSITIVE", False):
            raise TokenRefused(
                f"the key in {token_name(uri)} can be taken out of it",
                "Have one made that cannot: leave out --existing-key, and name another object=",
            )
        uri = replace(uri, id=uri.id or attribute(private, "ID", b""))
        public = _public(session, uri)
    if public is None:
        raise TokenMissing(f"{token_name(uri)} has the private key only", "Put its public key beside it")
    return proven(uri, pin, public)


def generated(uri: TokenUri, pin: str) -> TokenKey:
    """A new key, made by the token and never outside it. Raises as `existing`."""
    pkcs11 = library()
    uri = _free(uri, pin)
    with opened(uri, pin, write=True) as session:
        curve = session.create_domain_parameters(
            pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: P256}, local=True
        )
        stays = {pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False}
        curve.generate_keypair(
            id=uri.id, label=uri.object, store=True, private_template=stays,
            public_template={pkcs11.Attribute.PRIVATE: False},
            capabilities=pkcs11.MechanismFlag.SIGN | pkcs11.MechanismFlag.VERIFY,
        )  # fmt: skip
    return existing(uri, pin)


def imported(uri: TokenUri, pin: str, key: ec.EllipticCurvePrivateKey) -> TokenKey:
    """This key, put into the token to stay there, if it is not (a power cut came before its address was
    written). Raises as `generated`."""
    of, kind = library().Attribute, library().ObjectClass
    there = _there(uri, pin)
    if there is not None and there.public == key.public_key():
        return there
    uri = _free(uri, pin)
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    common = {
        of.KEY_TYPE: library().KeyType.EC, of.EC_PARAMS: P256, of.TOKEN: True,
        of.ID: uri.id, of.LABEL: uri.object,
    }  # fmt: skip
    private = common | {
        of.CLASS: kind.PRIVATE_KEY, of.PRIVATE: True, of.SENSITIVE: True,
        of.EXTRACTABLE: False, of.SIGN: True,
        of.VALUE: key.private_numbers().private_value.to_bytes(HALF_BYTES, "big"),
    }  # fmt: skip
    public = common | {
        of.CLASS: kind.PUBLIC_KEY, of.PRIVATE: False, of.VERIFY: True,
        of.EC_POINT: b"\x04" + bytes([len(point)]) + point,
    }  # fmt: skip
    with opened(uri, pin, write=True) as session:
        made = session.create_object(private)
        try:
            session.create_object(public)
        except library().PKCS11Error:
            made.destroy()
            raise
    return existing(uri, pin)


def _there(uri: TokenUri, pin: str) -> TokenKey | None:
    try:
        return existing(uri, pin)
    except TokenMissing:
        return None


def public_key(uri: TokenUri) -> ec.EllipticCurvePublicKey | None:
    """What anybody can see of the key without its PIN, if anything. Raises TokenRefused, TokenMissing."""
    with opened(uri, None) as session:
        return _public(session, uri)


def _private(session: Session, uri: TokenUri) -> Any:
    pkcs11 = library()
    found = objects(session, uri, pkcs11.ObjectClass.PRIVATE_KEY)
    if not found:
        raise TokenMissing(
            f"{token_name(uri)} has no private key {key_name(uri)}",
            "Correct object= or id=, or bring the other token",
        )
    if len(found) > 1:
        numbers = ", ".join(id_attribute(attribute(each, "ID", b"")) for each in found)
        raise TokenRefused(
            f"{len(found)} private keys in {token_name(uri)} are {key_name(uri)}",
            f"Add the id= of one of them: {numbers}",
        )
    key = found[0]
    if key.key_type != pkcs11.KeyType.EC or attribute(key, "EC_PARAMS", b"") != P256:
        raise TokenRefused(f"the key {key_name(uri)} in {token_name(uri)} is not on P-256", "Name another")
    if not hasattr(key, "sign"):
        raise TokenRefused(f"the key {key_name(uri)} in {token_name(uri)} may not sign", "Name another")
    return key


def _public(session: Session, uri: TokenUri) -> ec.EllipticCurvePublicKey | None:
    """By its number where that is known: a PIV card gives the two halves of a pair labels of their own."""
    named = replace(uri, object="") if uri.id else uri
    found = objects(session, named, library().ObjectClass.PUBLIC_KEY)
    if len(found) != 1:
        return None
    point = attribute(found[0], "EC_POINT", b"")
    if len(point) == 2 + 1 + 2 * HALF_BYTES:  # in an OCTET STRING (section 2.3.3); some tokens leave that out
        point = point[2:]
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        return None


def _free(uri: TokenUri, pin: str) -> TokenUri:
    """With a number of its own; nothing in the token may have the name already. Raises TokenRefused."""
    with opened(uri, pin) as session:
        if objects(session, uri, library().ObjectClass.PRIVATE_KEY):
            raise TokenRefused(
                f"{token_name(uri)} has a private key {key_name(uri)} already",
                "Name another object=; or give --existing-key where it is to be the root's",
            )
    return replace(uri, id=uri.id or secrets.token_bytes(ID_BYTES))


def _signed(key: Any, digest: bytes, pin: str) -> bytes:
    """r and s. Some keys want the PIN for each signature (a PIV card's signature key does)."""
    again = {"pin": pin} if attribute(key, "ALWAYS_AUTHENTICATE", False) else {}
    return bytes(key.sign(digest, mechanism=library().Mechanism.ECDSA, **again))
