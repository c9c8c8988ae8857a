"""Finds what must not be found: the secrets of a running city, in its files and processes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_PEM = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+([A-Za-z0-9+/=\s]+?)-----END")
# Of a P-256 key in PKCS #8 the second line begins within the secret number, and goes on in it for 26 letters;
# an Ed25519 key has one line, whose last 42 letters are the secret.
_HEX = re.compile(rb"\s*([0-9A-Fa-f]{32,})\s*")  # the whole file, such as people.key
_CLAIM = re.compile(rb"^claim\s*=\s*\"[^.\"]+\.([^\"]+)\"", re.M)


def secrets_below(root: Path) -> dict[str, bytes]:
    """What private files tell: keys, claims, the key of the pages' cookies. "file kind" -> the secret."""
    found: dict[str, bytes] = {}
    for path in root.rglob("*"):
        if path.suffix == ".key" and path.is_file():
            content = path.read_bytes()
            for body in _PEM.findall(content):
                lines = body.split()
                secret = lines[1][:26] if len(lines) > 1 else lines[0][-34:-8]
                found[f"{path.name} {len(found)} key"] = secret
            if whole := _HEX.fullmatch(content):
                found[f"{path.name} hex key"] = whole[1]
        elif path.name == "agent.toml":
            for secret in _CLAIM.findall(path.read_bytes()):
                found[f"{path.parent.name} claim"] = secret
        elif path.name.endswith(".secret") and path.is_file():
            found[f"{path.name} secret"] = path.read_bytes().strip()
    return {name: secret for name, secret in found.items() if len(secret) >= 16}


def found_in_files(root: Path, secrets: Mapping[str, bytes]) -> list[str]:
    """Every file but those that are a secret's home: logs, status files, the database, the broker's state."""
    wanted = {secret: name for name, secret in secrets.items()}
    pattern = re.compile(b"|".join(re.escape(secret) for secret in wanted))
    seen = []
    for path in root.rglob("*"):
        if not path.is_file() or path.is_symlink() or path.name == "agent.toml" or _is_home(path):
            continue
        try:
            content = path.read_bytes()
        except OSError:  # it went away
            continue
        seen += [f"{path.relative_to(root)}: {wanted[hit]}" for hit in set(pattern.findall(content))]
    return seen


def found_in_processes(root: Path, secrets: Mapping[str, bytes]) -> list[str]:
    """Command lines and environments of whatever runs out of this folder, the supervisor's own left out."""
    seen = []
    for folder in Path("/proc").iterdir():
        try:
            command = (folder / "cmdline").read_bytes()
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        if str(root).encode() not in command:
            continue
        told = command if b"--role" not in command else command + environment
        seen += [f"{command!r}: {name}" for name, secret in secrets.items() if secret in told]
    return seen


def _is_home(path: Path) -> bool:
    return path.suffix == ".key" or path.name.endswith(".secret")
