"""OpenID Connect's decisions, pure: what is asked for, which ID token is believed, whom it makes of somebody.

OpenID Connect Core 1.0 (sections 3.1.2.1, 3.1.3.7), Back-Channel Logout 1.0, PKCE (RFC 7636), the issuer in
the answer (RFC 9207), OAuth's security best practice (RFC 9700).
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard
from urllib.parse import urlencode, urlsplit

from fleet_server.access.grants import Grant
from fleet_server.people_rules import LOOPBACK, GroupGrant

SKEW_S = 60  # two clocks that are kept by NTP, with a margin; the token lives minutes
OLDEST_S = 600  # an ID token is used at once; one from this long ago was kept by somebody
# Signatures by a key that only the provider has. "none" has no signature; HS256 would be signed with a
# secret of ours.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
REPLAYABLE_S = OLDEST_S + 2 * SKEW_S  # after which a token that was seen is too old anyway
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
GROUPS_MOST = 2000  # of one person, in one claim
SUBJECT_MOST_CHARACTERS = 255  # OpenID Connect Core, section 2
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
_FORBIDDEN_IN_NAMES = re.compile(r"[^a-z0-9._-]+")


class NotBelieved(Exception):
    """The words say why; they are for the log, not for whoever signs in."""


@dataclass(frozen=True)
class Metadata:
    """Of the provider, as it describes itself (OpenID Connect Discovery 1.0, section 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str
    tells_issuer: bool  # RFC 9207: its answers carry `iss`
    posts_secret: bool  # it takes a client's secret in the body only
    algorithms: tuple[str, ...]


@dataclass(frozen=True)
class Person:
    """Whom the provider means: the pair of issuer and subject, and nothing else, is who somebody is."""

    issuer: str
    subject: str
    name: str
    groups: frozenset[str]
    groups_told: bool
    session: str = ""  # what the provider calls the session over there, if it says


@dataclass(frozen=True)
class Logout:
    """Who has gone: a subject, one session over there, or both; "" for what is not told."""

    subject: str
    session: str
    token_id: str


def metadata_of(document: object, issuer: str) -> Metadata:
    """The provider's description, checked. Raises NotBelieved."""
    if not isinstance(document, dict) or document.get("issuer") != issuer:
        raise NotBelieved("its description names another issuer")
    addresses = {name: document.get(name) for name in ENDPOINTS}
    userinfo = document.get("userinfo_endpoint", "")
    for name, value in addresses.items():
        if not isinstance(value, str) or not safe_address(value):
            raise NotBelieved(f"its {name} is no https address")
    if not isinstance(userinfo, str) or (userinfo and not safe_address(userinfo)):
        raise NotBelieved("its userinfo_endpoint is no https address")
    told = document.get("id_token_signing_alg_values_supported", ["RS256"])
    usable = tuple(each for each in ALGORITHMS if isinstance(told, list) and each in told)
    if not usable:
        raise NotBelieved("it signs with nothing that is believed here")
    methods = document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    posts = isinstance(methods, list) and set(methods) & {"client_secret_basic", "client_secret_post"} == {
        "client_secret_post"
    }
    return Metadata(
        issuer=issuer,
        authorization_endpoint=str(addresses["authorization_endpoint"]),
        token_endpoint=str(addresses["token_endpoint"]),
        jwks_uri=str(addresses["jwks_uri"]),
        userinfo_endpoint=userinfo,
        tells_issuer=document.get("authorization_response_iss_parameter_supported") is True,
        posts_secret=posts,
        algorithms=usable,
    )


def safe_address(address: str) -> bool:
    """https; plain http for this very machine alone."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    )


def challenge(verifier: str) -> str:
    """RFC 7636, section 4.2: S256."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def authorization_address(endpoint: str, asked: Mapping[str, str]) -> str:
    """Where the browser is sent: the provider's address with what is asked in its query."""
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"


def check_answer(metadata: Metadata, iss: str, error: str, code: str) -> None:
    """The answer that the browser brings back. Raises NotBelieved. RFC 9207, section 2.4."""
    if iss and iss != metadata.issuer:
        raise NotBelieved(f"the answer is another issuer's: {iss[:200]!r}")
    if not iss and metadata.tells_issuer:
        raise NotBelieved("the answer does not tell its issuer, and this provider always does")
    if error:
        raise NotBelieved(f"it answered {error[:100]!r}")
    if not code:
        raise NotBelieved("the answer has no code")


def check_claims(claims: Mapping[str, Any], issuer: str, client_id: str, nonce: str, now_s: float) -> str:
    """An ID token whose signature was right. Returns the subject. Raises NotBelieved.

    OpenID Connect Core, section 3.1.3.7, numbers 2 to 11.
    """
    _check_whose(claims, "ID token", issuer, client_id)
    _check_time(claims, "ID token", now_s)
    if not nonce or claims.get("nonce") != nonce:
        raise NotBelieved("the ID token answers another question")
    if not _is_id(claims.get("sub")):
        raise NotBelieved("the ID token has no subject")
    return str(claims["sub"])


def check_logout(kind: str, claims: Mapping[str, Any], issuer: str, client_id: str, now_s: float) -> Logout:
    """A logout token whose signature was right. Raises NotBelieved.

    Back-Channel Logout 1.0, sections 2.4 and 2.6. kind: `typ` of its header, which a provider need not tell.
    """
    if kind.lower().removeprefix("application/") not in {"", "jwt", "logout+jwt"}:
        raise NotBelieved(f"it is no logout token but {kind[:40]!r}")
    _check_whose(claims, "logout token", issuer, client_id)
    _check_time(claims, "logout token", now_s)
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        raise NotBelieved("the token tells of no logout")
    if "nonce" in claims:
        raise NotBelieved("a logout token has no nonce: this was an ID token")
    subject, session, token_id = claims.get("sub"), claims.get("sid"), claims.get("jti")
    told = [each for each in (subject, session) if each is not None]
    if not told or not all(map(_is_id, told)):
        raise NotBelieved("the logout token does not say who has gone")
    if not _is_id(token_id):
        raise NotBelieved("the logout token has no identifier")
    return Logout(subject or "", session or "", str(token_id))


def _check_whose(claims: Mapping[str, Any], what: str, issuer: str, client_id: str) -> None:
    if claims.get("iss") != issuer:
        raise NotBelieved(f"the {what} is another issuer's")
    audience = claims.get("aud")
    listed = [audience] if isinstance(audience, str) else audience
    if not isinstance(listed, list) or client_id not in listed:
        raise NotBelieved(f"the {what} is for another client")
    if (len(listed) > 1 or "azp" in claims) and claims.get("azp") != client_id:
        raise NotBelieved(f"the {what} was made for another client")


def _check_time(claims: Mapping[str, Any], what: str, now_s: float) -> None:
    expires, issued = claims.get("exp"), claims.get("iat")
    if not _is_time(expires) or not _is_time(issued):
        raise NotBelieved(f"the {what} does not tell its time")
    if now_s >= expires + SKEW_S:
        raise NotBelieved(f"the {what} has expired")
    if not now_s - OLDEST_S - SKEW_S <= issued <= now_s + SKEW_S:
        raise NotBelieved(f"the {what} is not of now: look at both clocks")
    if "nbf" in claims and not (_is_time(claims["nbf"]) and claims["nbf"] <= now_s + SKEW_S):
        raise NotBelieved(f"the {what} is of a later time")


def session_of(claims: Mapping[str, Any]) -> str:
    """`sid` (OpenID Connect Back-Channel Logout 1.0, section 2.1), "" where there is none."""
    return str(claims["sid"]) if _is_id(claims.get("sid")) else ""


def groups_of(claims: Mapping[str, Any], claim: str) -> frozenset[str] | None:
    """The groups in a claim: a list, or one text. None: it does not tell. What is no text is left out."""
    told = claims.get(claim)
    if told is None:
        return None
    listed = [told] if isinstance(told, str) else told
    if not isinstance(listed, list):
        return frozenset()
    return frozenset(each for each in listed[:GROUPS_MOST] if isinstance(each, str))


def grants_of(groups: Iterable[str], mapping: Sequence[GroupGrant]) -> tuple[Grant, ...]:
    """What somebody in these groups has: one grant a tenant."""
    mine = set(groups)
    roles: dict[str, set[str]] = {}
    for each in mapping:
        if each.group in mine:
            roles.setdefault(each.tenant, set()).update(each.roles)
    return tuple(Grant(tenant, tuple(sorted(roles[tenant])), "oidc") for tenant in sorted(roles))


def account_name(told: object, issuer: str, subject: str) -> str:
    """A name for a new account: what the provider tells, as an account's name is written; else one made up.

    It only names the account. Who somebody is, issuer and subject say: a name that is taken gets a number.
    """
    text = told if isinstance(told, str) else ""
    plain = unicodedata.normalize("NFKD", text.partition("@")[0]).encode("ascii", "ignore").decode().lower()
    name = _FORBIDDEN_IN_NAMES.sub("-", plain).strip("._-")[:48].strip("._-")
    return name or f"person-{hashlib.sha256(f'{issuer} {subject}'.encode()).hexdigest()[:8]}"


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= SUBJECT_MOST_CHARACTERS and "\0" not in value


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**40
