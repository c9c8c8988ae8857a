"""What every service function is given beside the principal: the outside of the server, in one value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fleet_server.clock import StreetClock
from fleet_server.config import ServerConfig
from fleet_server.db import Database
from fleet_server.embedded_server import EmbeddedServer, answers


@dataclass(frozen=True)
class Context:
    """`authority_directory` holds the city's certificate authority (provisioning.authority)."""

    db: Database
    clock: StreetClock
    config: ServerConfig
    authority_directory: Path

    @classmethod
    def of(cls, config: ServerConfig) -> Context:
        """The context that `config` describes. Connects to nothing yet."""
        return cls(
            db=Database(config.database.url),
            clock=StreetClock(config.bench.clock_file),
            config=config,
            authority_directory=config.authority.directory,
        )


@contextmanager
def command_context(config: ServerConfig) -> Iterator[Context]:
    """A context for one command: the embedded database, where it does not run, runs as long as this lasts."""
    directory = config.database.embedded_directory
    context = Context.of(config)
    try:
        if directory is None or answers(context.db.url):
            yield context
        else:
            with EmbeddedServer(directory):
                yield context
    finally:
        context.db.close()
