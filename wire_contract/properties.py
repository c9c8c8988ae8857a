"""The MQTT 5 user properties of everything that is spooled: which delivery this is.

Keys are one letter because they travel with every message: `e` epoch (base64url without padding,
22 characters), `s` sequence, `h` the history mark ("1"; absent when live), and `traceparent` (W3C Trace
Context) where a trace is sampled. The class is the topic's; whoever says it, too (`c`), must say the same.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from wire_contract.classes import Class
from wire_contract.errors import BadProperties
from wire_contract.limits import EPOCH_BYTES, MAX_SEQUENCE

# https://www.w3.org/TR/trace-context/#traceparent-header, version 00
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_DECIMAL = re.compile(r"[1-9][0-9]{0,18}")
_EPOCH = re.compile(r"[A-Za-z0-9_-]{22}")
_OURS = frozenset({"e", "c", "s", "h", "traceparent"})


@dataclass(frozen=True, slots=True)
class Delivery:
    """Identity of one spooled message: the server stores it once per (device, epoch, class, sequence).

    epoch: the spool's random id, 16 bytes. sequence: 1 to 2**63-1, of its class. history: drained
    after an outage; raises no live alarm. Raises BadProperties when built of anything else.
    """

    epoch: bytes
    cls: Class
    sequence: int
    history: bool = False
    traceparent: str | None = None

    def __post_init__(self) -> None:
        if len(self.epoch) != EPOCH_BYTES:
            raise BadProperties(f"epoch of {len(self.epoch)} bytes: expected {EPOCH_BYTES}")
        if not 1 <= self.sequence <= MAX_SEQUENCE:
            raise BadProperties(f"sequence {self.sequence}: expected 1 to {MAX_SEQUENCE}")
        if self.traceparent is not None and not _TRACEPARENT.fullmatch(self.traceparent):
            raise BadProperties(f"traceparent {self.traceparent!r:.80}: not W3C Trace Context version 00")

    def to_user_properties(self) -> list[tuple[str, str]]:
        pairs = [
            ("e", base64.urlsafe_b64encode(self.epoch).decode().rstrip("=")),
            ("s", str(self.sequence)),
        ]
        if self.history:
            pairs.append(("h", "1"))
        if self.traceparent is not None:
            pairs.append(("traceparent", self.traceparent))
        return pairs

    @classmethod
    def from_user_properties(cls, pairs: Sequence[tuple[str, str]], of_topic: Class) -> Delivery:
        """Keys that are not ours are left alone; ours may stand once. Raises BadProperties.

        of_topic: the class that travels on the topic. Where `c` says another, the result says that one.
        A traceparent this program cannot read is dropped, as W3C Trace Context asks: it must never
        cost a reading.
        """
        found: dict[str, str] = {}
        for key, value in pairs:
            if key in _OURS:
                if key in found:
                    raise BadProperties(f"user property {key!r} stands twice")
                found[key] = value
        missing = {"e", "s"} - found.keys()
        if missing:
            raise BadProperties(f"user properties {sorted(missing)} are missing")
        if found.get("h", "1") != "1":
            raise BadProperties(f"h = {found['h']!r:.40}: '1', or absent")
        trace = found.get("traceparent")
        return cls(
            epoch=_epoch(found["e"]),
            cls=_class(found["c"]) if "c" in found else of_topic,
            sequence=_sequence(found["s"]),
            history="h" in found,
            traceparent=trace if trace is not None and _TRACEPARENT.fullmatch(trace) else None,
        )


def packed_bytes(pairs: Sequence[tuple[str, str]]) -> int:
    """Of user properties in a packet: a byte and two strings, two bytes of length each (MQTT 5, 2.2.2)."""
    return sum(1 + 2 + len(key.encode()) + 2 + len(value.encode()) for key, value in pairs)


def _epoch(text: str) -> bytes:
    if not _EPOCH.fullmatch(text):
        raise BadProperties(f"e = {text!r:.40}: expected 22 characters of base64url")
    return base64.urlsafe_b64decode(text + "==")


def _class(text: str) -> Class:
    if text not in {"0", "1", "2", "3", "4"}:
        raise BadProperties(f"c = {text!r:.40}: expected a class, 0 to 4")
    return Class(int(text))


def _sequence(text: str) -> int:
    if not _DECIMAL.fullmatch(text):
        raise BadProperties(f"s = {text!r:.40}: expected a sequence in decimal")
    return int(text)
