"""What can be found out before anything is started, each with one line that says what to do."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from fleet_server.broker_role import mosquitto_program
from fleet_server.config import Listen, ServerConfig
from fleet_server.errors import ConfigurationError

DATABASE_TIMEOUT_S = 10
MIN_FREE_BYTES = 256 * 1024 * 1024  # a new PostgreSQL takes 40 MB and its first write-ahead log 80 MB


def check(config: ServerConfig) -> None:
    """Raises ConfigurationError for the first thing that is in the way."""
    if config.broker.managed:
        mosquitto_program()
    for key, listen in listeners(config):
        _check_port(key, listen)
    if config.database.embedded_directory is None:
        check_database(config.database.url)


def listeners(config: ServerConfig) -> Iterator[tuple[str, Listen]]:
    """What this server listens on, with the key that says so."""
    yield "api.listen", config.api.listen
    if config.api.device_listen is not None:
        yield "api.device_listen", config.api.device_listen
    yield "ui.listen", config.ui.listen
    if config.broker.managed:
        yield "broker.listen and broker.port", Listen(config.broker.listen, config.broker.port)


def check_folder(folder: Path) -> None:
    """Make it where it is missing, closed to others. Raises ConfigurationError where it cannot be used."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = folder / f".lamppost-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
        free = os.statvfs(folder)
    except OSError as refused:
        raise ConfigurationError(
            f"data_dir = {folder} cannot be written: {refused.strerror}.",
            remedy="Give a folder that this account may write: --data DIR, or data_dir in the configuration.",
        ) from None
    if free.f_bavail * free.f_frsize < MIN_FREE_BYTES:
        raise ConfigurationError(
            f"data_dir = {folder} has less than {MIN_FREE_BYTES // 2**20} MiB free.",
            remedy="Make room, or give a folder on another disk: --data DIR.",
        )


def _check_port(key: str, listen: Listen) -> None:
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listen.host, listen.port))
        except socket.gaierror:
            raise ConfigurationError(f"{key} = {listen}: there is no such host.") from None
        except OSError as refused:
            raise ConfigurationError(
                f"{key} = {listen} cannot be listened on: {_why(refused)}.",
                remedy=f"Set {key} to an address of this machine, or 0.0.0.0 for all of them."
                if refused.errno == errno.EADDRNOTAVAIL
                else f"Stop what listens there, or set {key} to another port.",
            ) from None


def _why(refused: OSError) -> str:
    match refused.errno:
        case errno.EADDRINUSE:
            return "another program listens there"
        case errno.EADDRNOTAVAIL:
            return "this machine has no such address"
        case errno.EACCES:
            return "this account may not use that port"
        case _:
            return str(refused.strerror)


def check_database(url: str) -> None:
    """A PostgreSQL that stands elsewhere. Raises ConfigurationError, without the password."""
    parts = urlsplit(url)
    told = url.replace(f":{parts.password}@", ":***@") if parts.password else url
    try:
        psycopg.connect(url, connect_timeout=DATABASE_TIMEOUT_S).close()
    except psycopg.Error as refused:
        raise ConfigurationError(
            f"database.url = {told} does not take a connection: {' '.join(str(refused).split())}.",
            remedy='Start that PostgreSQL, correct the URL, or use "embedded:".',
        ) from None
