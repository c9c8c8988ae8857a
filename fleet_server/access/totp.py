"""The second factor's arithmetic: time-based codes (RFC 6238 over pyotp), recovery codes, the QR code. Pure.

SHA-1, six digits, thirty seconds: what every authenticator takes. A code is good one step before and after
its own, for clocks that differ, and never again once it, or a later one, was used (RFC 6238, section 5.2).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import re
from datetime import datetime

import pyotp

STEP_S = 30
DIGITS = 6
STEPS_EITHER_WAY = 1  # RFC 6238, section 5.2, recommends at most one for the network's delay
SECRET_BYTES = 20  # RFC 4226, section 4, R6: 160 bits, SHA-1's own length
RECOVERY_CODES = 10
RECOVERY_BYTES = 10  # 80 bits: 16 characters of base 32, too many to guess, so a plain hash keeps them
ISSUER = "Lamppost"
_CODE = re.compile(r"[0-9]{6}")
_RECOVERY = re.compile(r"[a-z2-7]{16}")


def base32(secret: bytes) -> str:
    """As authenticators take it by hand."""
    return base64.b32encode(secret).decode().rstrip("=")


def address(secret: bytes, account: str, city: str) -> str:
    """The `otpauth:` address that the QR code holds."""
    return pyotp.TOTP(base32(secret)).provisioning_uri(name=f"{account}@{city}", issuer_name=ISSUER)


def picture(otpauth: str) -> str:
    """The QR code as SVG, for a page or a file."""
    import segno  # only who sets one up needs it

    out = io.BytesIO()
    segno.make(otpauth, error="m").save(out, kind="svg", scale=5, border=4, xmldecl=False, light="#fff")
    return out.getvalue().decode()


def step_at(now: datetime) -> int:
    return int(now.timestamp()) // STEP_S


def code_at(secret: bytes, step: int) -> str:
    return pyotp.HOTP(base32(secret), digits=DIGITS).at(step)


def matching_step(secret: bytes, code: str, now: datetime, last_step: int) -> int | None:
    """The step that `code` is right for, of those that are near and newer than `last_step`; None: no such."""
    given = without_spaces(code)
    if not _CODE.fullmatch(given):
        return None
    here = step_at(now)
    for step in range(here - STEPS_EITHER_WAY, here + STEPS_EITHER_WAY + 1):
        if step > last_step and hmac.compare_digest(code_at(secret, step), given):
            return step
    return None


def recovery_code(random: bytes) -> str:
    """RECOVERY_BYTES as four groups of four: `abcd-efgh-ijkl-mnop`."""
    text = base64.b32encode(random).decode().lower()
    return "-".join(text[i : i + 4] for i in range(0, 16, 4))


def recovery_hash(code: str) -> bytes | None:
    """What is kept of a recovery code; None for what is none."""
    given = without_spaces(code).lower().replace("-", "")
    return hashlib.sha256(given.encode()).digest() if _RECOVERY.fullmatch(given) else None


def without_spaces(code: str) -> str:
    """Authenticators show `123 456`, and people type it."""
    return "".join(code.split())
