"""The OpenID provider says that somebody has gone: their sessions that began there end.

OpenID Connect Back-Channel Logout 1.0. The provider posts a logout token; it is believed as an ID token is,
once.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime, timedelta
from threading import BoundedSemaphore

from fleet_server.access import oidc_rules, oidc_store, session_store, store
from fleet_server.access.errors import LogoutRefused, SignInBusy
from fleet_server.access.oidc import configured_provider
from fleet_server.access.oidc_rules import NotBelieved
from fleet_server.access.rules import Principal
from fleet_server.access.sessions import real
from fleet_server.audit.recording import record
from fleet_server.audit.rules import Happening
from fleet_server.context import Context
from fleet_server.masking import initials

log = logging.getLogger(__name__)

# Anybody may ask, and a provider that is away, or a key that it does not have, costs seconds each time.
AT_ONCE = 4
BUSY_RETRY_S = 5
_places = BoundedSemaphore(AT_ONCE)


def gone(ctx: Context, token: str, now: datetime | None = None) -> int:
    """How many sessions ended.

    Raises LogoutRefused, NotFound (no provider here), ProviderUnreachable, SignInBusy.
    """
    if not _places.acquire(blocking=False):
        raise SignInBusy("Too many at once.", members={"retry_after_s": BUSY_RETRY_S})
    try:
        return _gone(ctx, token, real(now))
    finally:
        _places.release()


def _gone(ctx: Context, token: str, instant: datetime) -> int:
    oidc, provider = ctx.config.oidc, configured_provider(ctx)
    try:
        kind, claims = provider.logout(token)
        told = oidc_rules.check_logout(kind, claims, oidc.issuer, oidc.client_id, instant.timestamp())
    except NotBelieved as why:
        raise _refused(why) from None
    used = hashlib.sha256(f"{oidc.issuer} {told.token_id}".encode()).digest()
    with ctx.db.session() as session:
        oidc_store.forget_logouts(session, instant)
        if not oidc_store.use_logout(session, used, instant + timedelta(seconds=oidc_rules.REPLAYABLE_S)):
            raise _refused(NotBelieved("this logout token was used before"))
        operator = oidc_store.find(session, oidc.issuer, told.subject) if told.subject else None
        if told.subject and operator is None:
            return 0  # nobody who was ever here
        ended = session_store.delete_by_provider(session, operator.id if operator else None, told.session)
        for each in sorted(set(ended)):
            name = store.operator_by_id(session, each).name
            record(
                session, Principal("operator", name, frozenset(), via="none"), Happening.SIGNED_OUT, name,
                after={"sessions": ended.count(each)}, reason="the provider says so",
            )  # fmt: skip
            log.info("%s was signed out by the OpenID provider", initials(name))
    return len(ended)


def _refused(why: NotBelieved) -> LogoutRefused:
    log.warning("a logout of the OpenID provider was refused: %s", why)
    return LogoutRefused("This logout token is not believed.", remedy="The server's log has the reason.")
