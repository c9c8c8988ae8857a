"""The role `database`: becomes the embedded PostgreSQL (exec), so its pid is the postmaster's."""

from __future__ import annotations

from fleet_server.config import ServerConfig
from fleet_server.embedded import become_postgres
from fleet_server.errors import ConfigurationError


def main(config: ServerConfig) -> int:
    """Returns only by raising ConfigurationError or HardwareError."""
    directory = config.database.embedded_directory
    if directory is None:
        raise ConfigurationError(
            "The database stands elsewhere (database.url), so there is no role `database` to run here."
        )
    become_postgres(
        directory, {"track_commit_timestamp": "on" if config.database.commit_timestamps else "off"}
    )
    return 1
