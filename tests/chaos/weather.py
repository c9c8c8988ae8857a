"""What is wrong with a line at a moment, and how several things that are wrong at once add up. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Weather:
    """A quiet line by default. Of connections: `cut` (ended and refused), `hole` (nothing is carried, nothing
    ends), `delay_s` each way, `rate` bytes a second each way (0: any), `piece` bytes at a time (0: as they
    come). Of packets, as shares of 1: `loss`, `overtaken`, `twice`, `damaged`.
    """

    cut: bool = False
    hole: bool = False
    delay_s: float = 0.0
    rate: float = 0.0
    piece: int = 0
    loss: float = 0.0
    overtaken: float = 0.0
    twice: float = 0.0
    damaged: float = 0.0

    @property
    def of_packets(self) -> bool:
        return any((self.loss, self.overtaken, self.twice, self.damaged))


PACKET_FIELDS = ("loss", "overtaken", "twice", "damaged")
QUIET = Weather()


def together(weathers: Iterable[Weather]) -> Weather:
    """Delays add up; of all else the worst holds."""
    found = list(weathers)
    rates = [each.rate for each in found if each.rate]
    pieces = [each.piece for each in found if each.piece]
    return Weather(
        cut=any(each.cut for each in found),
        hole=any(each.hole for each in found),
        delay_s=sum(each.delay_s for each in found),
        rate=min(rates, default=0.0),
        piece=min(pieces, default=0),
        **{name: max((getattr(each, name) for each in found), default=0.0) for name in PACKET_FIELDS},
    )


assert {each.name for each in fields(Weather)} >= set(PACKET_FIELDS)
