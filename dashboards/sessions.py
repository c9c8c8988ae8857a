"""Who is behind a request: the session token lies in NiceGUI's user storage, on the server.

The browser holds a signed cookie with the storage's id and a proof made at sign-in. A cookie planted
before the sign-in has the id and not the proof, so it is worth nothing afterwards.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol

from fleet_server.access.service import SignedIn
from fleet_server.errors import LinkError

CHECK_AGAIN_S = 10.0  # a session that was ended elsewhere is noticed this late
GRACE_S = (
    900.0  # while the database is away, who was signed in stays so this long, to see the page's last state
)
TOKEN = "session_token"  # noqa: S105 - names a field, is no secret
PROOF = "sign_in_proof"

Store = MutableMapping[str, Any]


class Resolver(Protocol):
    async def resolve(self, token: str) -> SignedIn | None: ...


@dataclass(frozen=True)
class Known:
    who: SignedIn
    checked_s: float


class Sessions:
    """Remembers for a few seconds what a token resolved to, so that forty assets cost one query."""

    def __init__(self, resolver: Resolver, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._resolver = resolver
        self._monotonic = monotonic
        self._known: dict[str, Known] = {}

    async def of(self, cookie: Store, storage: Store) -> SignedIn | None:
        """The session of this pair of signed cookie and user storage; None when nobody is signed in.

        Raises LinkError when it is not known and the database does not answer.
        """
        token, proof = storage.get(TOKEN), storage.get(PROOF)
        if not isinstance(token, str) or not isinstance(proof, str):
            return None
        if not hmac.compare_digest(proof, str(cookie.get(PROOF, ""))):
            return None
        return await self.of_token(token)

    async def of_token(self, token: str) -> SignedIn | None:
        now = self._monotonic()
        known = self._known.get(token)
        if known is not None and now - known.checked_s < CHECK_AGAIN_S:
            return known.who
        try:
            who = await self._resolver.resolve(token)
        except LinkError:
            if known is not None and now - known.checked_s < GRACE_S:
                return known.who
            raise
        if who is None:
            self.forget(token)
            return None
        self._known = {t: k for t, k in self._known.items() if now - k.checked_s < GRACE_S}
        self._known[token] = Known(who, now)
        return who

    def forget(self, token: str) -> None:
        self._known.pop(token, None)


def begin(cookie: Store, storage: Store, token: str) -> None:
    """Bind a new session to this browser."""
    proof = secrets.token_urlsafe(24)
    storage[TOKEN], storage[PROOF] = token, proof
    cookie[PROOF] = proof


def end(cookie: Store, storage: Store) -> str | None:
    """Unbind; returns the token that was bound, for the server to end."""
    cookie.pop(PROOF, None)
    storage.pop(PROOF, None)
    token = storage.pop(TOKEN, None)
    return token if isinstance(token, str) else None
