"""Claims: the technician's single-use permission for one lamppost to ask for its certificate. Pure rules.

A claim's token is "<id>.<secret>". The id may be shown, logged and printed on a label; the secret is shown
once, to the technician, and kept as a hash alone.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime

ID_CHARACTERS = 8
SECRET_BYTES = (
    20  # 160 bits: guessing is hopeless, so a plain hash at rest is enough (RFC 6749 10.10 asks 128)
)
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # no 0 o, 1 l i: read out over the telephone
_ID = re.compile(f"[{_ALPHABET}]{{{ID_CHARACTERS}}}")
_SECRET = re.compile(r"[A-Za-z0-9_-]{16,64}")


@dataclass(frozen=True)
class ClaimToken:
    """Both halves. The secret never shows in a repr, and so in no log."""

    id: str
    secret: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.id}.{self.secret}"


def new_token() -> ClaimToken:
    claim_id = "".join(secrets.choice(_ALPHABET) for _ in range(ID_CHARACTERS))
    return ClaimToken(claim_id, secrets.token_urlsafe(SECRET_BYTES))


def parse_token(claim_id: str, secret: str) -> ClaimToken | None:
    """The token of these halves, or None where they cannot be one (so that no garbage reaches a query)."""
    if _ID.fullmatch(claim_id) and _SECRET.fullmatch(secret):
        return ClaimToken(claim_id, secret)
    return None


def parse_token_text(text: str) -> ClaimToken | None:
    claim_id, dot, secret = text.strip().partition(".")
    return parse_token(claim_id, secret) if dot else None


def secret_hash(secret: str) -> bytes:
    """What is stored: SHA-256 of a secret of 160 random bits."""
    return hashlib.sha256(secret.encode()).digest()


def secret_matches(secret: str, stored_hash: bytes) -> bool:
    """In time that does not depend on where the two differ."""
    return hmac.compare_digest(secret_hash(secret), stored_hash)


def expired(expires_at: datetime, now: datetime) -> bool:
    return now >= expires_at
