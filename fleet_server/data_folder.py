"""Whose a data directory is: `DATA/tenant` names the city, and `--data` alone acts for no other."""

from __future__ import annotations

from fleet_server.config import ServerConfig
from fleet_server.errors import ConfigurationError
from provisioning.storage import PUBLIC_FILE_MODE, write_atomically

NAME = "tenant"
MOST_CHARACTERS = 64  # a tenant's name has fewer; what is longer is not ours


def mark(config: ServerConfig) -> None:
    """Write down whose it is, where nobody has. Raises OSError."""
    file = config.data_dir / NAME
    if not file.exists():
        write_atomically(file, f"{config.tenant.name}\n".encode(), PUBLIC_FILE_MODE)


def check(config: ServerConfig) -> None:
    """Raises ConfigurationError where the data directory belongs to another city than the configuration's."""
    try:
        owner = (config.data_dir / NAME).read_text(encoding="utf-8")[: MOST_CHARACTERS + 1].strip()
    except (OSError, UnicodeDecodeError):
        return  # not there yet, or not to be read: then neither is the data beside it
    if owner in ("", config.tenant.name):
        return
    remedy = (
        "Give --config as well: the server.toml that `lamppost serve` has."
        if config.file is None
        else f"Name the data directory of {config.tenant.name}, or correct tenant.name in {config.file}."
    )
    raise ConfigurationError(
        f"{config.data_dir} holds the data of {owner!r}, and this would act for {config.tenant.name!r}.",
        remedy=remedy,
    )
