"""What a request should hold, as EST tells it (RFC 7030, section 4.5.2; RFC 9908): a DER sequence.

A P-256 key, ECDSA with SHA-256, and, for a request signed by an expired certificate's key, the challenge as
its challengePassword (RFC 2985, section 5.4.1).
"""

from __future__ import annotations

_EC_PUBLIC_KEY = bytes.fromhex("06072a8648ce3d0201")
_P256 = bytes.fromhex("06082a8648ce3d030107")
_ECDSA_SHA256 = bytes.fromhex("06082a8648ce3d040302")
_CHALLENGE_PASSWORD = bytes.fromhex("06092a864886f70d010907")
_SEQUENCE, _SET, _PRINTABLE = 0x30, 0x31, 0x13


def attributes(challenge: str) -> bytes:
    """DER of CsrAttrs. `challenge`: ASCII letters, digits and "-", at most 100 characters."""
    password = _CHALLENGE_PASSWORD + _element(_SET, _element(_PRINTABLE, challenge.encode("ascii")))
    key = _element(_SEQUENCE, _EC_PUBLIC_KEY + _element(_SET, _P256))
    return _element(_SEQUENCE, key + _ECDSA_SHA256 + _element(_SEQUENCE, password))


def _element(tag: int, content: bytes) -> bytes:
    length = len(content)
    head = bytes([length]) if length < 0x80 else bytes([0x81, length])
    return bytes([tag]) + head + content
