"""When a certificate is renewed and what is said about it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

RENEW_AT = 2 / 3  # of its life: a month of a 90 days' certificate is left to get it renewed
ASK_AGAIN_S = 3600.0  # wall; the answer comes within seconds, or the server cannot give it now
LOW_DAYS = 14.0  # two weeks before the end a person should know


@dataclass(frozen=True)
class Validity:
    """From when until when a certificate is valid, seconds since 1970."""

    from_s: float
    until_s: float

    def left_days(self, now_s: float) -> float:
        return (self.until_s - now_s) / 86_400

    def used(self, now_s: float) -> float:
        """The share of its life that has passed: 0 to 1, more when expired."""
        return (now_s - self.from_s) / max(self.until_s - self.from_s, 1.0)


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
