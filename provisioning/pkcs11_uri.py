"""PKCS #11 URIs (RFC 7512): which key of which token, and where its library and its PIN's file lie. Pure.

    pkcs11:token=lamppost-root;object=root?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/pin

Stricter than the RFC where a mistake would name another key: every attribute must be known, and stand once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote, unquote_to_bytes

from provisioning.errors import BadSetting

SCHEME = "pkcs11:"
EXAMPLE = "pkcs11:token=lamppost-root;object=root?module-path=/usr/lib/softhsm/libsofthsm2.so"
MOST_CHARACTERS = 1000
# section 2.3: unreserved, or percent-encoded, or one of the signs that need no encoding there
_VALUE = re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=&/?|]|%[0-9A-Fa-f]{2})*")
_PATH = ("token", "serial", "manufacturer", "model", "object", "id", "type")
_QUERY = ("module-path", "pin-source")
_HINTS = {
    "slot-id": "Slots change their numbers; name the token or its serial number",
    "module-name": "Give the library's file: module-path=/usr/lib/...",
}


@dataclass(frozen=True)
class TokenUri:
    """A key in a token. What is empty was not told and matches anything; `object` or `id` is told."""

    token: str = ""
    serial: str = ""
    manufacturer: str = ""
    model: str = ""
    object: str = ""
    id: bytes = b""
    module_path: str = ""
    pin_source: str = ""  # the path of a file whose first line is the PIN

    def __str__(self) -> str:
        named = [
            f"{name}={quote(getattr(self, name), safe='')}"
            for name in ("token", "serial", "manufacturer", "model", "object")
            if getattr(self, name)
        ]
        if self.id:
            named.append(id_attribute(self.id))
        asked = [f"module-path={quote(self.module_path)}"]
        if self.pin_source:
            asked.append(f"pin-source=file:{quote(self.pin_source)}")
        return f"{SCHEME}{';'.join(named)}?{'&'.join(asked)}"


def parse(text: str) -> TokenUri:
    """Raises BadSetting, which never repeats a PIN."""
    if "pin-value" in text.lower():
        raise BadSetting(
            "a PIN does not belong in a URI: every account sees it in the list of processes",
            "Give pin-source=file:/path, set LAMPPOST_TOKEN_PIN, or be asked at the terminal",
        )
    if not text.startswith(SCHEME):
        raise BadSetting(f"{text!r:.80} is no PKCS #11 URI", f"Write it like {EXAMPLE}")
    if len(text) > MOST_CHARACTERS:
        raise BadSetting(f"a PKCS #11 URI has at most {MOST_CHARACTERS} characters")
    path, _, query = text.removeprefix(SCHEME).partition("?")
    told = _attributes(path, ";", _PATH) | _attributes(query, "&", _QUERY)
    if told.get("type", b"private") != b"private":
        raise BadSetting("a root's key is a private one", "Leave out type=, or write type=private")
    words = {name: _text(name, value) for name, value in told.items() if name != "id"}
    if not (told.get("token") or told.get("serial")):
        raise BadSetting("the PKCS #11 URI names no token", f"Write token= or serial=, as in {EXAMPLE}")
    if not (told.get("object") or told.get("id")):
        raise BadSetting("the PKCS #11 URI names no key", f"Write object= or id=, as in {EXAMPLE}")
    module = words.get("module-path", "")
    if not PurePosixPath(module).is_absolute():
        raise BadSetting(
            "the PKCS #11 URI does not name the token's library",
            f"Write module-path= with the whole path, as in {EXAMPLE}",
        )
    return TokenUri(
        words.get("token", ""), words.get("serial", ""), words.get("manufacturer", ""),
        words.get("model", ""), words.get("object", ""), told.get("id", b""), module,
        _pin_file(words.get("pin-source", "")),
    )  # fmt: skip


def id_attribute(value: bytes) -> str:
    """A key's number as a URI says it."""
    return "id=" + "".join(f"%{each:02X}" for each in value)


def _attributes(part: str, between: str, known: tuple[str, ...]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for each in part.split(between) if part else ():
        name, equals, value = each.partition("=")
        if name not in known:
            what = f"the PKCS #11 URI has {name!r:.40}, which is not understood here"
            raise BadSetting(what, _HINTS.get(name, f"Known are {', '.join(known)}"))
        if name in found:
            raise BadSetting(f"the PKCS #11 URI says {name}= twice")
        if not equals or not _VALUE.fullmatch(value):
            raise BadSetting(
                f"the PKCS #11 URI's {name}= is garbled", "Write signs and spaces percent-encoded, as in %20"
            )
        found[name] = unquote_to_bytes(value)
    return found


def _text(name: str, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise BadSetting(f"the PKCS #11 URI's {name}= is no text in UTF-8") from error
    if not text.isprintable():
        raise BadSetting(f"the PKCS #11 URI's {name}= holds a sign that cannot be printed")
    return text


def _pin_file(source: str) -> str:
    """`file:/path`, `file:///path` or a path."""
    path = source.removeprefix("file:")
    if path.startswith("///"):
        path = path[2:]
    if source and (path.startswith("//") or not PurePosixPath(path).is_absolute()):
        raise BadSetting(
            "pin-source= is no file", "Write pin-source=file:/path, with the PIN in the file's first line"
        )
    return path
