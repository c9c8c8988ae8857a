"""Who was refused what: noted where an answer is made of the refusal, bounded for those who insist."""

from __future__ import annotations

import logging

from fleet_server.audit.recording import record_often
from fleet_server.audit.rules import Outcome
from fleet_server.context import Context
from fleet_server.errors import Forbidden, LamppostError
from fleet_server.masking import in_log

log = logging.getLogger(__name__)


def note(ctx: Context, error: BaseException) -> None:
    """A line for a refusal by policy; nothing for any other error. Blocks; never raises for a database away.

    It is the line of whoever asked: a tenant's people find attempts of their own, also those on another's.
    """
    if not isinstance(error, Forbidden) or error.attempt is None:
        return
    principal, action, resource = error.attempt
    try:
        with ctx.db.session() as session:
            record_often(
                session, principal, action, resource, outcome=Outcome.REFUSED, tenant=principal.tenant
            )
    except LamppostError as lost:
        log.warning("%s was refused %s, which could not be written down: %s", in_log(principal), action, lost)
