"""Tokens (PKCS #11): the one that a URI names, a session on it, and what goes wrong there in our words.

A token's whole code loads with its first use: a server needs none, and a machine may be without the extra.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from provisioning.errors import PinRefused, ProvisioningError, TokenMissing, TokenRefused
from provisioning.pkcs11_uri import TokenUri, id_attribute

if TYPE_CHECKING:
    from pkcs11 import ObjectClass, Session, Token

_Said = tuple[type[ProvisioningError], str, str]
# What a token answers (the names of python-pkcs11's errors), and what we say. {} is the token.
SAID: Mapping[str, _Said] = {
    "PinIncorrect": (PinRefused, "{} refuses the PIN", "Mind that it locks itself after a few wrong ones"),
    "PinInvalid": (PinRefused, "{} takes no PIN of this form", ""),
    "PinLenRange": (PinRefused, "{} takes no PIN of this length", ""),
    "PinExpired": (PinRefused, "the PIN of {} has run out", "Set a new one with the token's own program"),
    "PinLocked": (
        PinRefused,
        "{} has locked itself after too many wrong PINs",
        "Unlock it with the security officer's PIN and the token's own program",
    ),
    "UserPinNotInitialized": (PinRefused, "{} has no PIN yet", "Set one with the token's own program"),
    "TokenNotPresent": (TokenMissing, "{} is gone", "Put it in and try again"),
    "TokenNotRecognised": (TokenMissing, "{} is not readable", "Is it the right one for this library?"),
    "DeviceRemoved": (TokenMissing, "{} was taken out", "Put it in and try again"),
    "SlotIDInvalid": (TokenMissing, "{} is gone", "Put it in and try again"),
    "TokenWriteProtected": (
        TokenRefused,
        "{} is read-only",
        "Make the key with the token's own program, then give --existing-key",
    ),
    "SessionReadOnly": (
        TokenRefused,
        "{} is read-only",
        "Make the key with the token's own program, then give --existing-key",
    ),
    "UserNotLoggedIn": (
        TokenRefused,
        "{} lets only its security officer do that",
        "Make the key with the token's own program, then give --existing-key",
    ),
    "MechanismInvalid": (TokenRefused, "{} cannot make or use a key on P-256", "Take another token"),
    "FunctionNotSupported": (TokenRefused, "{} does not do that", "Take another token"),
    "DeviceMemory": (TokenRefused, "{} is full", "Delete a key that is needed no more"),
}


def library() -> ModuleType:
    try:
        import pkcs11
    except ImportError as error:
        raise TokenRefused(
            "a root's key in a token needs python-pkcs11",
            "Install it, in a copy of Lamppost's repository: pip install '.[server,pkcs11]'",
        ) from error
    return pkcs11


@contextmanager
def opened(uri: TokenUri, pin: str | None, *, write: bool = False) -> Iterator[Session]:
    """A session on the token, logged in with the PIN if there is one. What goes wrong in it is told by us."""
    error_of_token = library().PKCS11Error
    token = _token(uri)
    try:
        with token.open(rw=write, user_pin=pin) as session:
            yield session
    except error_of_token as error:
        names = [each.__name__ for each in type(error).__mro__]
        kind, what, remedy = next(
            (SAID[name] for name in names if name in SAID), (TokenRefused, f"{{}} says {names[0]}", "")
        )
        if kind is PinRefused and _is_last_try(token):
            remedy = "One more wrong PIN and it locks itself"
        raise kind(what.format(token_name(uri)), remedy) from error


def _is_last_try(token: Token) -> bool:
    pkcs11 = library()
    try:
        return bool(token.slot.get_token().flags & pkcs11.TokenFlag.USER_PIN_FINAL_TRY)
    except pkcs11.PKCS11Error:
        return False


def _token(uri: TokenUri) -> Token:
    found: list[Token] = []
    others: list[Token] = []
    for each in _tokens(uri.module_path):
        asked = [
            (uri.token, each.label), (uri.manufacturer, each.manufacturer_id), (uri.model, each.model),
            (uri.serial, each.serial.decode("ascii", "replace").rstrip()),
        ]  # fmt: skip
        (found if all(not want or want == has for want, has in asked) else others).append(each)
    if not found:
        there = ", ".join(sorted(repr(each.label) for each in others)) or "none"
        raise TokenMissing(
            f"{token_name(uri)} is not here", f"Put it in; correct token=, serial= (tokens here: {there})"
        )
    if len(found) > 1:
        numbers = ", ".join(each.serial.decode("ascii", "replace").rstrip() for each in found)
        raise TokenRefused(
            f"{len(found)} tokens are {token_name(uri)}", f"Add the serial= of one of them: {numbers}"
        )
    return found[0]


def _tokens(module: str) -> list[Token]:
    """The tokens that the library sees. Raises TokenMissing, TokenRefused."""
    pkcs11 = library()
    file = _checked_module(Path(module))
    try:
        slots = pkcs11.lib(str(file)).get_slots(token_present=True)
    except pkcs11.PKCS11Error as error:
        raise TokenMissing(
            f"{module} is no PKCS #11 library, or does not start: {error or type(error).__name__}",
            "Correct module-path=, or what the library itself is configured by",
        ) from error
    found = []
    for slot in slots:
        try:
            token = slot.get_token()
        except (pkcs11.TokenNotPresent, pkcs11.TokenNotRecognised, pkcs11.DeviceError):
            continue  # an empty slot, or another maker's card: not the one we look for
        if token.flags & pkcs11.TokenFlag.TOKEN_INITIALIZED:
            found.append(token)
    return found


def _checked_module(module: Path) -> Path:
    """The library itself, links followed: it starts once in a process, under one name. It is loaded into this
    process: nobody but root and ourselves may be able to change it, or to put another in its place."""
    try:
        file = module.resolve(strict=True)
        found = file.stat()
        folders = [each for each in file.parents if _is_others(each)]
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise TokenMissing(
            f"the token's library {module} cannot be read: {getattr(error, 'strerror', error)}",
            "Install it (Debian's softhsm2 has /usr/lib/softhsm/libsofthsm2.so), or correct module-path=",
        ) from error
    if not stat.S_ISREG(found.st_mode):
        raise TokenMissing(f"the token's library {module} is no file", "Correct module-path=")
    if found.st_mode & 0o022 or found.st_uid not in (0, os.geteuid()):
        raise TokenRefused(
            f"others can change the token's library {module}, and it would run as you",
            f"Close it: chown root {module} && chmod go-w {module}",
        )
    if folders:
        raise TokenRefused(
            f"others can change what is in {folders[0]}, and the token's library there would run as you",
            "Install it where only root can write, as in /usr/lib",
        )
    return file


def _is_others(folder: Path) -> bool:
    """Can somebody else put another file in the place of one? Where the sticky bit is, only its owner."""
    found = folder.stat()
    anybody = found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX
    return bool(anybody) or found.st_uid not in (0, os.geteuid())


def objects(session: Session, uri: TokenUri, kind: ObjectClass) -> list[Any]:
    attribute = library().Attribute
    asked: dict[Any, Any] = {attribute.CLASS: kind}
    if uri.object:
        asked[attribute.LABEL] = uri.object
    if uri.id:
        asked[attribute.ID] = uri.id
    return list(session.get_objects(asked))


def attribute(key: Any, name: str, otherwise: Any) -> Any:
    """What the token tells of the key, or `otherwise` where it does not know such a thing."""
    pkcs11 = library()
    try:
        return key[pkcs11.Attribute[name]]
    except (pkcs11.AttributeTypeInvalid, KeyError):
        return otherwise


def token_name(uri: TokenUri) -> str:
    return f"the token {uri.token or uri.serial!r}"


def key_name(uri: TokenUri) -> str:
    return repr(uri.object) if uri.object else id_attribute(uri.id)
