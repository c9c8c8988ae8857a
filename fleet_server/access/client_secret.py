"""This server's secret at the OpenID provider, read where the configuration says it lies, at each use."""

from __future__ import annotations

from fleet_server.secrets_by_reference import read_secret


def secret_of(reference: str) -> str:
    """Empty for a public client. Raises ConfigurationError, never with the value."""
    return read_secret("oidc.client_secret", reference) if reference else ""
