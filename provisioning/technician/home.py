"""The technician's own folder: key, token, journal, reports, and what the server said when it was last asked.

HOME/
  token            what is shown to the server, 0600
  settings.json    the server's address and what a bundle needs of it, for work without a connection
  claims-CITY      claims fetched in advance, one token a line, 0600
  technician.key   Ed25519, PKCS#8 PEM, 0600: signs site reports
  journal.jsonl    what was done and when, until the server has it and afterwards
  outbox/          documents and pictures that wait, by their SHA-256
  tests/ reports/  the newest site test of each lamppost; reports that were handed over
    posts/           site, district and place of each lamppost that a bundle was made for
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from provisioning.errors import BadSetting
from provisioning.storage import private_directory, write_atomically
from provisioning.technician.errors import WrongInput

TOKEN_VARIABLE = "LAMPPOST_TOKEN"  # noqa: S105 - names a variable
HOME_VARIABLE = "LAMPPOST_PROVISION_HOME"
TOKEN_MAX_CHARACTERS = 512


@dataclass(frozen=True)
class Settings:
    """What the server tells technicians (GET /api/v1/field/settings), and where it was asked."""

    server: str = ""  # the API's address
    tenant: str = "city"
    pages_url: str = ""  # what a label's QR code begins with
    enrolment_url: str = ""
    broker_host: str = ""
    broker_port: int = 8883
    trust_pem: str = ""

    @property
    def cities(self) -> tuple[str, ...]:
        """What tells one city from another, whatever its address: each certificate that it trusts, the root
        first. While a root is exchanged there are the old one and the new one."""
        found = re.findall(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END", self.trust_pem)
        return tuple(hashlib.sha256("".join(each.split()).encode()).hexdigest()[:16] for each in found)

    @property
    def city(self) -> str:
        """Its root; "" unknown."""
        return next(iter(self.cities), "")


def default_home() -> Path:
    """$LAMPPOST_PROVISION_HOME, else the user's own data folder (XDG base directories)."""
    given = os.environ.get(HOME_VARIABLE)
    if given:
        return Path(given)
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "lamppost-technician"


@dataclass(frozen=True)
class Home:
    directory: Path

    @property
    def token_file(self) -> Path:
        return self.directory / "token"

    @property
    def key_file(self) -> Path:
        return self.directory / "technician.key"

    @property
    def journal_file(self) -> Path:
        return self.directory / "journal.jsonl"

    def folder(self, name: str) -> Path:
        """A folder inside, made private. Raises OSError."""
        made = self.directory / name
        private_directory(self.directory)
        private_directory(made)
        return made

    def settings(self) -> Settings:
        """What is known; defaults where nothing is. Raises WrongInput for a damaged file, OSError."""
        path = self.directory / "settings.json"
        try:
            return read_settings(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return Settings()
        except (ValueError, BadSetting) as damaged:
            raise WrongInput(f"{path} is damaged: {damaged}", "Delete it, and sign in again") from damaged

    def keep_settings(self, settings: Settings) -> None:
        private_directory(self.directory)
        write_atomically(self.directory / "settings.json", json.dumps(asdict(settings), indent=1).encode())

    def post(self, device: str) -> dict[str, Any]:
        """What was told of a lamppost when its bundle was made; {} where nothing is known or readable."""
        try:
            told = json.loads((self.directory / "posts" / f"{_plain(device)}.json").read_text())
        except (OSError, ValueError):
            return {}
        return told if isinstance(told, dict) else {}

    def keep_post(self, device: str, told: dict[str, Any]) -> None:
        write_atomically(self.folder("posts") / f"{_plain(device)}.json", json.dumps(told).encode())

    def keep_token(self, token: str) -> None:
        private_directory(self.directory)
        write_atomically(self.token_file, token.encode())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One command at a time for what lies in this folder. Raises OSError where there is none."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _plain(device: str) -> str:
    return device.replace("/", "_")


def read_settings(told: Any) -> Settings:
    """From the server's JSON or our own. Raises BadSetting; keys that are unknown here are left out."""
    if not isinstance(told, dict):
        raise BadSetting("settings are not a JSON object")
    known: dict[str, Any] = {}
    for name, default in asdict(Settings()).items():
        value = told.get(name, default)
        if type(value) is not type(default):
            raise BadSetting(f"{name} is not as it should be")
        known[name] = value
    return Settings(**known)


def read_token(file: Path | None, home: Home) -> str:
    """The token from --token-file, the variable, or the sign-in; "" where there is none.

    Raises WrongInput for a file that is not there, that others can read, or that holds no token.
    """
    if file is None and TOKEN_VARIABLE in os.environ:
        return _checked(os.environ[TOKEN_VARIABLE], TOKEN_VARIABLE)
    path = file or home.token_file
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        if file is None:
            return ""
        raise WrongInput(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise WrongInput(f"{path}: cannot be read as a token") from error
    if mode & 0o077:
        raise WrongInput(f"{path} can be read by others (mode {mode:04o})", f"Close it: chmod 600 {path}")
    return _checked(text, str(path))


def _checked(text: str, where: str) -> str:
    token = text.strip()
    if not token or len(token) > TOKEN_MAX_CHARACTERS or not token.isascii() or not token.isprintable():
        raise WrongInput(f"{where} holds no token")
    return token
