"""Speaks with the OpenID provider: its description, its keys, a code for a token. Bounded in time and size.

Nothing is followed: a redirect from one of its addresses is an error. Blocks: call it in a thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from urllib.parse import quote

import httpx
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jwt import Token

from fleet_server.access.errors import ProviderUnreachable
from fleet_server.access.oidc_rules import Metadata, NotBelieved, metadata_of

log = logging.getLogger(__name__)

TIMEOUT_S = 5.0  # somebody waits for the page; a provider that needs longer is down
ANSWER_MOST_BYTES = 262_144  # descriptions and key sets have some kilobytes
DESCRIPTION_LIFE_S = 3600.0
KEYS_AGAIN_S = 60.0  # an unknown key makes them be fetched anew, this often at most: anybody can send one
KEYS_LIFE_S = 3600.0  # a key that the provider took away is believed this long at most


class Provider:
    """One issuer. Remembers its description and keys; safe for threads."""

    def __init__(
        self, issuer: str, ca_file: str = "", *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.issuer = issuer
        self._verify: Any = ca_file or True
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._metadata: tuple[Metadata, float] | None = None
        self._keys: tuple[KeySet, float] | None = None
        self._keys_asked_s = float("-inf")  # when they were asked for last, whatever came of it

    def metadata(self) -> Metadata:
        """Raises ProviderUnreachable, NotBelieved."""
        with self._lock:
            if self._metadata is None or self._monotonic() - self._metadata[1] > DESCRIPTION_LIFE_S:
                address = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
                self._metadata = metadata_of(self._ask("GET", address), self.issuer), self._monotonic()
            return self._metadata[0]

    def token(
        self, code: str, verifier: str, redirect: str, client_id: str, secret: str
    ) -> Mapping[str, Any]:
        """The answer to a code. Raises ProviderUnreachable, NotBelieved."""
        metadata = self.metadata()
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect}
        form["code_verifier"] = verifier
        headers: dict[str, str] = {}
        auth: httpx.BasicAuth | None = None
        if not secret:
            form["client_id"] = client_id
        elif metadata.posts_secret:
            form |= {"client_id": client_id, "client_secret": secret}
        else:  # RFC 6749, section 2.3.1: both form-encoded first
            auth = httpx.BasicAuth(quote(client_id, safe=""), quote(secret, safe=""))
        return self._ask("POST", metadata.token_endpoint, form, headers, auth)

    def userinfo(self, access_token: str) -> Mapping[str, Any]:
        """What it tells of a person besides. Raises ProviderUnreachable, NotBelieved."""
        headers = {"Authorization": f"Bearer {access_token}"}
        return self._ask("GET", self.metadata().userinfo_endpoint, None, headers)

    def claims(self, id_token: str) -> Mapping[str, Any]:
        """The claims of an ID token that one of its keys signed. Raises ProviderUnreachable, NotBelieved."""
        return self._decoded("ID token", id_token).claims

    def logout(self, logout_token: str) -> tuple[str, Mapping[str, Any]]:
        """What a logout token says that it is (`typ`, "" for nothing), and its claims. Raises as `claims`."""
        decoded = self._decoded("logout token", logout_token)
        return str(decoded.header.get("typ", "")), decoded.claims

    def _decoded(self, what: str, token: str) -> Token:
        algorithms = list(self.metadata().algorithms)
        for oldest_s in (KEYS_LIFE_S, KEYS_AGAIN_S):
            try:
                return jwt.decode(token, self._key_set(oldest_s), algorithms)
            except InvalidKeyIdError:
                continue  # a new key of the provider's, or anybody's
            except (JoseError, ValueError, TypeError) as wrong:
                raise NotBelieved(f"the {what}'s signature: {wrong}") from None
        raise NotBelieved(f"the {what} is signed with a key that is not the provider's")

    def _key_set(self, oldest_s: float) -> KeySet:
        """The keys, fetched anew where they are older. While some are at hand, once in KEYS_AGAIN_S."""
        address = self.metadata().jwks_uri
        with self._lock:
            now_s = self._monotonic()
            age_s = float("inf") if self._keys is None else now_s - self._keys[1]
            too_soon = age_s < KEYS_LIFE_S and now_s - self._keys_asked_s < KEYS_AGAIN_S
            if self._keys is None or (age_s >= oldest_s and not too_soon):
                self._keys_asked_s = now_s
                document: Any = self._ask("GET", address)
                try:
                    self._keys = KeySet.import_key_set(document), now_s
                except (JoseError, ValueError, TypeError, KeyError) as wrong:
                    raise NotBelieved(f"its keys cannot be read: {wrong}") from None
            return self._keys[0]

    def _ask(
        self,
        method: str,
        address: str,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: httpx.BasicAuth | None = None,
    ) -> Mapping[str, Any]:
        """A JSON object. Raises ProviderUnreachable, NotBelieved."""
        try:
            with (
                httpx.Client(verify=self._verify, timeout=TIMEOUT_S, follow_redirects=False) as client,
                client.stream(
                    method, address, data=form, headers={"Accept": "application/json", **(headers or {})},
                    auth=auth,
                ) as answer,
            ):  # fmt: skip
                body = b""
                for piece in answer.iter_bytes():
                    body += piece
                    if len(body) > ANSWER_MOST_BYTES:
                        raise NotBelieved("its answer is too long")
                status = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as lost:
            log.warning("the OpenID provider %s does not answer: %s", self.issuer, lost)
            raise ProviderUnreachable("The provider of the city's accounts does not answer.") from lost
        if status >= 500:
            log.warning("the OpenID provider %s answers %d", self.issuer, status)
            raise ProviderUnreachable("The provider of the city's accounts does not work just now.")
        try:
            document = httpx.Response(status, content=body).json()
        except ValueError:
            raise NotBelieved(f"it answered {status} and no JSON") from None
        if status != 200 or not isinstance(document, dict):
            why = document.get("error") if isinstance(document, dict) else None
            raise NotBelieved(f"it answered {status} {str(why)[:100]!r}")
        return document


@cache
def provider_of(issuer: str, ca_file: str) -> Provider:
    """The one of this process."""
    return Provider(issuer, ca_file)
