"""The role `broker`: writes Mosquitto's configuration and becomes Mosquitto (exec), pid and all."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from fleet_server.certificates import broker_files
from fleet_server.config import Listen, ServerConfig
from fleet_server.errors import ConfigurationError
from fleet_server.listening import listening
from fleet_server.processes import allow_connections, die_with_parent
from provisioning.authority_files import AuthorityFiles
from provisioning.broker import BrokerSettings, render_mosquitto
from provisioning.storage import PUBLIC_FILE_MODE, write_atomically

log = logging.getLogger(__name__)

PROGRAM = "mosquitto"
# sbin is not on everybody's PATH; .tools is where `make` unpacks the Debian package without root
PLACES = (Path("/usr/sbin"), Path("/usr/local/sbin"), Path("/opt/homebrew/sbin"))
UNPACKED = ("usr/sbin", "sbin", "bin")


def mosquitto_program() -> Path:
    """Where Mosquitto is. Raises ConfigurationError, which says how to get it."""
    if found := shutil.which(PROGRAM):
        return Path(found)
    tools = Path(__file__).resolve().parents[1] / ".tools"
    for folder in (*PLACES, *(tools / each for each in UNPACKED)):
        if os.access(folder / PROGRAM, os.X_OK):
            return folder / PROGRAM
    raise ConfigurationError(
        "Mosquitto, the MQTT broker, is not on this machine.",
        remedy="Install it (Debian and Ubuntu: apt-get install mosquitto; macOS: brew install mosquitto), "
        "or set broker.managed = false and name a broker that stands elsewhere.",
    )


def broker_directory(config: ServerConfig) -> Path:
    return config.data_dir / "broker"


def write_configuration(config: ServerConfig) -> Path:
    """mosquitto.conf and what it names, in DATA_DIR/broker. Returns mosquitto.conf. Raises OSError."""
    directory = broker_directory(config).absolute()
    certificate, key = broker_files(config)
    authority = AuthorityFiles(config.authority.directory.absolute())
    settings = BrokerSettings(
        directory=directory,
        host=config.broker.listen,
        port=config.broker.port,
        trust_file=authority.trust,
        certificate_file=certificate.absolute(),
        key_file=key.absolute(),
        crl_file=authority.crl,
        server_socket=config.broker.server_socket,
        most_connections=config.broker.most_connections,
    )
    if settings.server_socket is None:
        log.warning(
            "the path of %s is too long for a socket: devices and the server's roles share one port, and a"
            " certificate may be used by many connections; a data_dir with a shorter path is better",
            directory,
        )
    settings.state_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, text in render_mosquitto(settings).items():
        write_atomically(directory / name, text.encode(), PUBLIC_FILE_MODE)
    return directory / "mosquitto.conf"


def main(config: ServerConfig) -> int:
    """Become Mosquitto; returns only by raising ConfigurationError or OSError."""
    program = mosquitto_program()
    listen = Listen(config.broker.listen, config.broker.port)
    listening("broker.listen and broker.port", listen).close()  # Mosquitto would not say which port it was
    file = write_configuration(config)
    allow_connections()
    die_with_parent()
    os.execv(program, [str(program), "-c", str(file)])  # noqa: S606
