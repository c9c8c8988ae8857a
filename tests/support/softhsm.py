"""Tokens (PKCS #11) in software: SoftHSM 2, with a folder of its own, for one run of the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

_MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",  # Debian, Ubuntu, Arch (there: /usr/lib/pkcs11)
    "/usr/lib/pkcs11/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",  # Fedora
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)
SECURITY_OFFICER_PIN = "so-pin-0000"


def module() -> str:
    """The library's path, or "" where SoftHSM is not installed."""
    return next((each for each in _MODULES if Path(each).exists() and shutil.which("softhsm2-util")), "")


@dataclass(frozen=True)
class SoftToken:
    label: str
    pin: str
    module: str

    def uri(self, key: str, more: str = "") -> str:
        return f"pkcs11:token={quote(self.label)};object={quote(key)}?module-path={self.module}{more}"


def make_token(label: str, pin: str, configuration: Path) -> SoftToken:
    """A token in the folder that this configuration file names."""
    command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", pin]
    subprocess.run(
        [*command, "--so-pin", SECURITY_OFFICER_PIN],
        check=True,
        capture_output=True,
        env=os.environ | {"SOFTHSM2_CONF": str(configuration)},
    )
    return SoftToken(label, pin, module())


def configure(folder: Path) -> Path:
    """A folder for tokens. Returns the file for SOFTHSM2_CONF."""
    tokens = folder / "tokens"
    tokens.mkdir(parents=True)
    file = folder / "softhsm2.conf"
    file.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    return file
