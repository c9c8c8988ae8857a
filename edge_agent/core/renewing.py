"""When a certificate is renewed and what is said about it. Pure."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import StrEnum

RENEW_AT = 2 / 3  # of its life: a month of a 90 days' certificate is left to get it renewed
# Certificates of one day's delivery are renewed within this, one after another instead of all at once.
JITTER_S = 3600.0
JITTER_SHARE = 0.05  # of a certificate's life at most, where that is short
ASK_AGAIN_S = 3600.0  # wall; the answer comes within seconds, or the server cannot give it now
ASK_EXPIRED_AGAIN_S = 60.0  # a person may have to decide: as often as a new device asks
MQTT_TRIES = 2  # over MQTT without an answer, before EST is tried
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
        return (now_s - self.from_s) / max(self.life_s, 1.0)

    @property
    def life_s(self) -> float:
        return self.until_s - self.from_s


class Way(StrEnum):
    """How to ask for the next certificate."""

    NOT = ""
    MQTT = "mqtt"
    EST = "est"


@dataclass(frozen=True)
class Ways:
    """What can be used now. mqtt_tries: asked over MQTT since the last certificate came."""

    connected: bool
    est: bool
    mqtt_tries: int = 0


def renew_at(dates: Validity, name: str) -> float:
    """The share of its life at which this device's certificate is renewed: two thirds, and up to an hour.

    The same at each start: it depends on the device and the certificate alone.
    """
    draw = zlib.crc32(f"{name} {dates.from_s:.0f}".encode()) / 2**32
    return RENEW_AT + draw * min(JITTER_S / max(dates.life_s, 1.0), JITTER_SHARE)


@dataclass(frozen=True)
class Advice:
    """`renew`: how to ask for a new certificate now. `code`: a condition, or "" when all is well."""

    renew: Way
    code: str
    detail: str


def advise(
    used: float, left_days: float, asked_s_ago: float | None, ways: Ways, due_at: float = RENEW_AT
) -> Advice:
    """`used`: share of the certificate's life that has passed. `asked_s_ago`: None when never asked.

    An expired certificate opens no connection to the broker: its key signs a request over EST.
    """
    if left_days <= 0:
        may_ask = asked_s_ago is None or asked_s_ago >= ASK_EXPIRED_AGAIN_S
        way = Way.EST if ways.est and may_ask else Way.NOT
        return Advice(way, "certificate_expired", f"expired {-left_days:.0f} days ago")
    may_ask = asked_s_ago is None or asked_s_ago >= ASK_AGAIN_S
    way = _way(ways) if used >= due_at and may_ask else Way.NOT
    if left_days <= LOW_DAYS and used >= RENEW_AT:
        return Advice(way, "certificate_expiring", f"valid for another {left_days:.0f} days")
    return Advice(way, "", "")


def _way(ways: Ways) -> Way:
    """MQTT first; EST where that is not there or gives no answer."""
    if ways.connected and (ways.mqtt_tries < MQTT_TRIES or not ways.est):
        return Way.MQTT
    return Way.EST if ways.est else Way.NOT
