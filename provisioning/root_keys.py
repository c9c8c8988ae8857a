"""Where a root's key is: in its folder (open, or locked by a passphrase), or in a token.

FOLDER/root.pem     the certificate
FOLDER/root.key     PKCS #8; or, where a token holds the key, its address without the PIN (pkcs11_uri.py)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from provisioning import certificates, pkcs11_uri, token_keys
from provisioning.errors import AuthorityMismatch, BadSetting, TokenMissing, TokenRefused
from provisioning.pkcs11_uri import SCHEME, TokenUri
from provisioning.storage import write_atomically

Root = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]
Pin = Callable[[TokenUri], str]  # asked for when a token needs it
CERTIFICATE, KEY = "root.pem", "root.key"
_NOTE = "# The root's key is in a token (PKCS #11). This is its address, and no secret.\n"


class Kept(StrEnum):
    """Told by `lamppost ca show`."""

    AWAY = "not here (good)"
    OPEN = "open"
    LOCKED = "locked by a passphrase"
    TOKEN = "in a token"  # noqa: S105


@dataclass(frozen=True)
class RootKey:
    """A root's key, and what stands for it in root.key."""

    key: ec.EllipticCurvePrivateKey
    content: bytes = field(repr=False)


MakeRootKey = Callable[[], RootKey]


def in_file(passphrase: str | None) -> RootKey:
    """A new key, for its folder."""
    key = certificates.new_key()
    return RootKey(key, certificates.key_pem(key, passphrase).encode())


def in_token(uri: TokenUri, pin: str, *, existing: bool = False) -> RootKey:
    """A new key in a token, or the one that is there. Raises TokenRefused and its kinds."""
    return _of_token(token_keys.existing(uri, pin) if existing else token_keys.generated(uri, pin))


def kept(folder: Path) -> Kept:
    """How the key of the root in this folder is kept."""
    try:
        content = (folder / KEY).read_bytes()
    except OSError:
        return Kept.AWAY
    if _address(content):
        return Kept.TOKEN
    return Kept.LOCKED if b"ENCRYPTED" in content else Kept.OPEN


def described(folder: Path) -> str:
    """Where the key is and how it is kept, for people."""
    how = kept(folder)
    match how:
        case Kept.AWAY:
            return str(how)
        case Kept.TOKEN:
            return f"{how}: {shown_address(folder)}"
        case _:
            return f"{folder / KEY}, {how}"


def uri_in(folder: Path) -> TokenUri | None:
    """The address of the token that holds this root's key, if one does. Raises BadSetting."""
    try:
        told = _address((folder / KEY).read_bytes())
    except OSError:
        return None
    if not told:
        return None
    try:
        return pkcs11_uri.parse(told)
    except BadSetting as error:
        raise BadSetting(f"{folder / KEY}: {error.what}", error.remedy) from error


def root_in(folder: Path, passphrase: str | None, pin: Pin | None = None) -> Root:
    """A root's certificate and key, from wherever it is kept. Raises BadSetting, TokenRefused."""
    try:
        certificate = x509.load_pem_x509_certificate((folder / CERTIFICATE).read_bytes())
        public = certificate.public_key()
        content = (folder / KEY).read_bytes()
        uri = uri_in(folder)
        if uri is not None and isinstance(public, ec.EllipticCurvePublicKey):
            return certificate, _from_token(folder, uri, public, passphrase, pin)
        key = serialization.load_pem_private_key(content, passphrase.encode() if passphrase else None)
    except OSError as error:
        raise BadSetting(
            f"{error.filename}: {error.strerror}", "Bring the root's folder from where it is kept: --root DIR"
        ) from error
    except (ValueError, TypeError) as error:
        raise BadSetting(
            f"the root in {folder} cannot be read", "Is the passphrase right? --passphrase-file FILE"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != public:
        raise BadSetting(f"{folder}/root.key is not the key of root.pem")
    return certificate, key


def lock(folder: Path, passphrase: str) -> Path:
    """Encrypt a key that lies open. Raises BadSetting."""
    _, key = root_in(folder, None)
    write_atomically(folder / KEY, certificates.key_pem(key, passphrase).encode())
    return folder / KEY


def move_to_token(folder: Path, passphrase: str | None, uri: TokenUri, pin: str) -> TokenUri:
    """Put a key that is in a file into a token, and its address into the file. Raises as `in_token`."""
    if kept(folder) is Kept.TOKEN:
        raise BadSetting(
            "the root's key is in a token already", "Into another one it goes by a rollover: roll-root"
        )
    _, key = root_in(folder, passphrase)
    moved = token_keys.imported(uri, pin, key)
    write_atomically(folder / KEY, _of_token(moved).content)
    return moved.uri


def seen_in_token(folder: Path) -> str:
    """Is the token here, and its key the root's? As far as that shows without the PIN.

    "" where no token holds the key. Raises AuthorityMismatch, OSError.
    """
    try:
        uri = uri_in(folder)
    except BadSetting as garbled:
        return f"not seen: {garbled}"
    if uri is None:
        return ""
    certificate = x509.load_pem_x509_certificate((folder / CERTIFICATE).read_bytes())
    try:
        found = token_keys.public_key(uri)
    except TokenMissing as missing:
        return f"not seen: {missing.what}"
    except TokenRefused as refused:
        return f"not seen: {refused}"
    if found is None:
        return "here; its key shows with the PIN only: lamppost ca check-root"
    if found != certificate.public_key():
        raise AuthorityMismatch(
            f"the token's key {uri} is not the key of {folder / CERTIFICATE}",
            "Bring the token that belongs to this root, or correct root.key",
        )
    return "here, and its key is the root's"


def _from_token(
    folder: Path, uri: TokenUri, public: ec.EllipticCurvePublicKey, passphrase: str | None, pin: Pin | None
) -> token_keys.TokenKey:
    if passphrase is not None:
        raise BadSetting(
            f"the root's key in {folder} is in a token, which takes a PIN and no passphrase",
            "Leave out --passphrase-file; give pin-source=file:/path in root.key, or LAMPPOST_TOKEN_PIN",
        )
    if pin is None:
        raise BadSetting(f"the root's key in {folder} is in a token, and nobody gives its PIN")
    return token_keys.proven(uri, pin(uri), public)


def shown_address(folder: Path) -> str:
    """The address as it is understood: what else somebody may have written there is not repeated."""
    try:
        return str(uri_in(folder))
    except BadSetting as garbled:
        return f"no address: {garbled}"


def _of_token(key: token_keys.TokenKey) -> RootKey:
    return RootKey(key, f"{_NOTE}{key.uri}\n".encode())


def _address(content: bytes) -> str:
    """The URI in a root.key, or "" where it holds a key."""
    lines = [each.strip() for each in content.decode("utf-8", "replace").splitlines()]
    told = [each for each in lines if each and not each.startswith("#")]
    return told[0] if len(told) == 1 and told[0].startswith(SCHEME) else ""
