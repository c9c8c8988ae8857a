"""When a certificate is renewed and what is said about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

RENEW_AT = 2 / 3  # of its life: a month of a 90 days' certificate is left to get it renewed
ASK_AGAIN_S = 3600.0  # wall; the answer comes within seconds, or the server cannot give it now
LOW_DAYS = 14.0  # two weeks before the end a person should know


@dataclass(frozen=True)
class Advice:
    """`renew`: ask for a new certificate now. `code`: a condition, or "" when all is well."""

    renew: bool
    code: str
    detail: str


def advise(used: float, left_days: float, asked_s_ago: float | None) -> Advice:
    """`used`: share of the certificate's life that has passed. `asked_s_ago`: None when never asked."""
    may_ask = asked_s_ago is None or asked_s_ago >= ASK_AGAIN_S
    if left_days <= 0:
        return Advice(False, "certificate_expired", f"expired {-left_days:.0f} days ago")
    renew = used >= RENEW_AT and may_ask
    if left_days <= LOW_DAYS and used >= RENEW_AT:
        return Advice(renew, "certificate_expiring", f"valid for another {left_days:.0f} days")
    return Advice(renew, "", "")
