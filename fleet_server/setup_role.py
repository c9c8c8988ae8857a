"""The role `setup`: what has to be there before the others start. Doing it again changes nothing.

The city's authority and the roles' certificates, the database's schema at its newest step, a revocation list
that is not older than our records, a first administrator.
"""

from __future__ import annotations

import logging
import os

from fleet_server import data_folder, migrations
from fleet_server.access import service
from fleet_server.access.rules import CONSOLE, Role
from fleet_server.audit import keys as audit_keys
from fleet_server.certificates import ensure_authority, ensure_certificates
from fleet_server.config import ServerConfig
from fleet_server.context import Context
from fleet_server.enrolment import relisting
from fleet_server.errors import ConfigurationError, LamppostError
from provisioning.errors import ProvisioningError

log = logging.getLogger(__name__)

PASSWORD_VARIABLE = "LAMPPOST_ADMIN_PASSWORD"  # noqa: S105 - a variable's name


def main(config: ServerConfig) -> int:
    """Raises ConfigurationError where something cannot be made, DatabaseUnreachable."""
    certify(config)
    context = Context.of(config)
    try:
        context.db.ping()
        migrations.upgrade(context.db.url, use_timescale=config.database.timescale == "auto")
        relisting.list_again(context)  # before the broker starts, which reads the list then
        _first_admin(context)
    finally:
        context.db.close()
    return 0


def list_again(config: ServerConfig) -> None:
    """While the server runs: a backup of the authority may have been put back. Raises LamppostError."""
    context = Context.of(config)
    try:
        relisting.list_again(context)
    finally:
        context.db.close()


def certify(config: ServerConfig) -> None:
    """Authority and certificates. Raises ConfigurationError."""
    try:
        authority, made = ensure_authority(config)
        if made:
            root = config.authority.directory / "root"
            log.warning(
                "an authority for %s was made; its root key lies open in %s: lock it (lamppost ca lock-root"
                " --directory %s), make a backup, and move that folder to a place offline",
                config.tenant.name,
                root,
                config.authority.directory,
            )
        ensure_certificates(config, authority)
        data_folder.mark(config)
        if audit_keys.ensure(config.data_dir):
            folder = config.data_dir / audit_keys.FOLDER
            log.info(
                "a key for the audit log's checkpoints was made in %s; keep its public part elsewhere", folder
            )
    except ProvisioningError as refused:
        raise ConfigurationError(str(refused)) from refused
    except OSError as refused:
        raise ConfigurationError(f"The certificates cannot be written: {refused}.") from refused


def _first_admin(context: Context) -> None:
    given = os.environ.get(PASSWORD_VARIABLE)
    name = service.FIRST_ADMIN_NAME
    if service.list_operators(context, CONSOLE):
        return
    if given is None:
        password = service.ensure_first_admin(context)
        if password is not None:
            print(f"\n  First operator: {name}\n  Password, shown this once: {password}\n", flush=True)
        return
    try:
        service.create_operator(context, CONSOLE, name, given, (Role.ADMIN,))
    except LamppostError as refused:
        raise ConfigurationError(f"{PASSWORD_VARIABLE}: {refused}") from refused
