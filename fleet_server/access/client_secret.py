"""This server's secret at the OpenID provider, read where the configuration says it lies, at each use."""

from __future__ import annotations

import os
from pathlib import Path

from fleet_server.errors import ConfigurationError


def secret_of(reference: str) -> str:
    """`env:NAME`, `file:/path`; "" for a public client. Raises ConfigurationError, never with the value."""
    kind, _, place = reference.partition(":")
    if not reference:
        return ""
    if kind == "env" and (value := os.environ.get(place)):
        return value
    if kind == "file":
        try:
            if Path(place).stat().st_mode & 0o007:
                raise ConfigurationError(f"{place}: everybody may read it.", remedy=f"chmod 600 {place}")
            return Path(place).read_text(encoding="utf-8").strip()
        except OSError as refused:
            raise ConfigurationError(f"{place}: cannot be read: {refused.strerror}.") from None
    raise ConfigurationError(f"oidc.client_secret: there is nothing at {reference}.")
