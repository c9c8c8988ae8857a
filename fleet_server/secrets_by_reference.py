"""Secrets by reference: the configuration says where one lies, and it is read there when it is needed.

    env:NAME           the environment variable NAME
    file:/path         the file's text, without the line's end; nobody but its owner and group may read it
    vault:MOUNT/PATH#KEY   one value of HashiCorp Vault's key-value engine, version 2

Vault is found as its own command finds it: VAULT_ADDR (https, or http on this machine), VAULT_TOKEN or a file
with it (VAULT_TOKEN_FILE), VAULT_NAMESPACE and VAULT_CACERT where there are such. No value is in any message.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from fleet_server.errors import ConfigurationError

FORM = '"env:NAME", "file:/path" or "vault:mount/path#key"'
MOST_BYTES = 65_536  # of a secret: a long private key has 13 kB
VAULT_TIMEOUT_S = 5.0
OTHERS = 0o007
_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:/[^\0\n]{0,4000}|vault:[^\s#]{1,500}#[^\s#]{1,200}")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def is_reference(text: str) -> bool:
    """Has it the form of one?"""
    return _REFERENCE.fullmatch(text) is not None


def read_secret(key: str, reference: str, environment: Mapping[str, str] | None = None) -> str:
    """What the reference of the configuration's `key` stands for. Blocks: a file, or a request of Vault.

    Raises ConfigurationError, with the place and never with the value.
    """
    if not is_reference(reference):
        raise ConfigurationError(f"{key}: this is no reference.", remedy=f"Write {FORM}.")
    known = os.environ if environment is None else environment
    kind, _, place = reference.partition(":")
    match kind:
        case "env":
            found = known.get(place, "")
            missing = f"The environment variable {place} is not set, or empty."
        case "file":
            found = _of_file(key, Path(place))
            missing = f"{place} is empty."
        case _:
            path, _, name = place.partition("#")
            found = _of_vault(key, path.strip("/"), name, known)
            missing = f"The value {name} at {path} is empty."
    if not found:
        raise ConfigurationError(f"{key}: {missing}")
    return found


def _of_file(key: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & OTHERS:
                raise ConfigurationError(
                    f"{key}: everybody on this machine may read {path}.", remedy=f"Run chmod 600 {path}."
                )
            content = file.read(MOST_BYTES + 1)
        text = content.decode()
    except OSError as refused:
        raise ConfigurationError(f"{key}: {path} cannot be read: {refused.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{key}: {path} is not text.") from None
    if len(content) > MOST_BYTES:
        raise ConfigurationError(f"{key}: {path} is longer than {MOST_BYTES} bytes.")
    return text.removesuffix("\n").removesuffix("\r")


def _of_vault(key: str, path: str, name: str, known: Mapping[str, str]) -> str:
    import httpx

    address = known.get("VAULT_ADDR", "")
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ConfigurationError(
            f"{key}: VAULT_ADDR is not set to an https address.", remedy="Set it where the server runs."
        )
    mount, _, rest = path.partition("/")
    url = f"{address.rstrip('/')}/v1/{quote(mount)}/data/{quote(rest)}"
    headers = {"X-Vault-Token": _vault_token(key, known), "X-Vault-Request": "true"}
    if known.get("VAULT_NAMESPACE"):
        headers["X-Vault-Namespace"] = known["VAULT_NAMESPACE"]
    trust = ssl.create_default_context(cafile=known.get("VAULT_CACERT") or None)
    try:
        with httpx.Client(verify=trust, timeout=VAULT_TIMEOUT_S, trust_env=False) as client:
            answer = client.get(url, headers=headers)
    except httpx.HTTPError as lost:
        raise ConfigurationError(f"{key}: Vault does not answer: {type(lost).__name__}.") from None
    if answer.status_code != 200:
        why = {403: "Vault refuses the token", 404: "Vault has nothing there"}.get(
            answer.status_code, f"Vault answers {answer.status_code}"
        )
        raise ConfigurationError(f"{key}: {why} ({path}).")
    return _value(key, answer, path, name)


def _value(key: str, answer: Any, path: str, name: str) -> str:
    try:
        found = answer.json()["data"]["data"][name]
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(f"{key}: Vault has no value {name} at {path}.") from None
    if not isinstance(found, str):
        raise ConfigurationError(f"{key}: Vault's value {name} at {path} is not text.")
    return found


def _vault_token(key: str, known: Mapping[str, str]) -> str:
    if known.get("VAULT_TOKEN"):
        return known["VAULT_TOKEN"]
    if known.get("VAULT_TOKEN_FILE"):
        return _of_file(key, Path(known["VAULT_TOKEN_FILE"])).strip()
    raise ConfigurationError(f"{key}: there is neither VAULT_TOKEN nor VAULT_TOKEN_FILE.")
