"""The city's authority as the server uses it."""

from __future__ import annotations

import logging

from fleet_server.context import Context
from fleet_server.enrolment.errors import AuthorityUnavailable
from provisioning.authority import Authority
from provisioning.errors import AuthorityError

log = logging.getLogger(__name__)


def city_authority(ctx: Context) -> Authority:
    """Raises AuthorityUnavailable."""
    try:
        return Authority.load_issuing(ctx.authority_directory)
    except (AuthorityError, OSError) as error:
        raise unavailable(error) from error


def unavailable(error: Exception) -> AuthorityUnavailable:
    log.error("the certificate authority cannot be used: %s", error)
    return AuthorityUnavailable(
        "The certificate authority cannot sign now.", remedy="The server's log says why."
    )
