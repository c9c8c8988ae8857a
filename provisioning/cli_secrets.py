"""Passphrases and PINs of `lamppost ca`: from a file closed to others, the environment, a terminal."""

from __future__ import annotations

import getpass
import os
import stat
import sys
from pathlib import Path

from provisioning import pkcs11_uri, root_keys
from provisioning.errors import BadSetting
from provisioning.pkcs11_uri import TokenUri
from provisioning.root_keys import MakeRootKey, Pin

PASSPHRASE_MOST_BYTES = 1023  # OpenSSL takes no longer one for a key
FILE_MOST_BYTES = 64 * 1024  # its first line counts
GROUP_AND_OTHERS = 0o077
PIN_VARIABLE, NEW_PIN_VARIABLE = "LAMPPOST_TOKEN_PIN", "LAMPPOST_NEW_TOKEN_PIN"


def secret_in(file: Path, what: str = "the passphrase") -> str:
    """The first line of a file that only its owner can read. Raises BadSetting, OSError."""
    with file.open("rb") as opened:
        mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
        if mode & GROUP_AND_OTHERS:
            raise BadSetting(
                f"{what} in {file} can be read by others (mode {mode:04o})",
                f"Close it: chmod 600 {file}; if others had access, take another one",
            )
        line = opened.read(FILE_MOST_BYTES).partition(b"\n")[0].removesuffix(b"\r")
    try:
        given = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadSetting(f"{file} is no text") from error
    if not given:
        raise BadSetting(f"{what} in {file} is empty")
    return _short_enough(given, what)


def asked_passphrase(prompt: str, *, twice: bool = False, option: str = "--passphrase-file") -> str:
    """From the terminal. option: what gives it without one. Raises BadSetting where there is none."""
    if not sys.stdin.isatty():
        raise BadSetting(f"the {prompt[0].lower()}{prompt[1:]} is needed", f"Give {option} FILE")
    given = _typed(prompt, "the passphrase")
    if twice and given != _typed("Again", "the second one"):
        raise BadSetting("the two passphrases differ")
    return _short_enough(given, "the passphrase")


def pin_by(variable: str) -> Pin:
    """How a token's PIN is found: the file that its address names, this variable, or the terminal.

    Each token has a variable of its own: a wrong PIN counts, and locks.
    """

    def pin(uri: TokenUri) -> str:
        if uri.pin_source:
            return secret_in(Path(uri.pin_source), "the PIN")
        given = os.environ.get(variable, "")
        if given:
            return _short_enough(given, f"the PIN in {variable}")
        if not sys.stdin.isatty():
            raise BadSetting(
                f"the PIN of the token {uri.token or uri.serial!r} is needed",
                f"Set {variable}, or write pin-source=file:/path into its address",
            )
        return _typed(f"PIN of the token {uri.token or uri.serial}", "the PIN")

    return pin


def _typed(prompt: str, what: str) -> str:
    try:
        given = getpass.getpass(f"{prompt}: ")
    except EOFError:  # Ctrl-D
        given = ""
    if not given:
        raise BadSetting(f"{what} is empty")
    return given


def key_in_token(address: str, existing: bool, variable: str) -> MakeRootKey:
    """What makes (or takes) a root's key in the token of this address. Raises BadSetting."""
    uri = pkcs11_uri.parse(address)
    return lambda: root_keys.in_token(uri, pin_by(variable)(uri), existing=existing)


def _short_enough(given: str, what: str) -> str:
    if not given.isascii() and any("\ud800" <= each <= "\udfff" for each in given):  # os.fsdecode
        raise BadSetting(f"{what} is no text")
    if len(given.encode()) > PASSPHRASE_MOST_BYTES:
        raise BadSetting(f"{what} has more than {PASSPHRASE_MOST_BYTES} bytes, which is the most")
    return given
