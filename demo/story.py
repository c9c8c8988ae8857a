"""What happens in the demo's city, and when: an episode that crosses lampposts, and faults that are none.

Planned before anything runs, in street time; the report holds what the city found against this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from demo.layout import Post
from firmware_bridge.emulator.events import Plume, Side
from wire_contract.verdict_kinds import FaultCode

# Street seconds after the link is back. The agents judge an hour of minutes, so that the city is in sight of
# its lampposts for one before anything happens.
STUCK_S = 50 * 60.0
SWELL_S = 55 * 60.0
ONSET_S = 60 * 60.0
FAULTS_LAST_S = 70 * 60.0
SWELL_RAMP_S = 600.0  # fog comes within minutes, not at once
ENDS_S = 88 * 60.0  # by then the plume has crossed its lampposts and each fault has lasted half an hour

CROSSED = 3  # lampposts that the plume meets, if there are so many
PLUME_PEAK_UG_M3 = 120.0  # a burning roof a few streets away
PLUME_RISE_S = 240.0
PLUME_LASTS_S = 1_800.0
PLUME_WIDTH_KM = 0.1  # the next row, 400 m beside it, has nothing of it
WIND_M_S = 2.0  # 200 s from one lamppost to the next
SETTLES_S = 1_800.0  # what a window of an hour still says of a plume after it has gone


@dataclass(frozen=True)
class Crossing:
    """The plume at one lamppost, street time."""

    post: str
    street: str
    from_ms: int
    until_ms: int


@dataclass(frozen=True)
class PlantedFault:
    """A sensor that does not show the air from `from_ms` on. `code`: what the city should call it."""

    post: str
    street: str
    type: str
    code: FaultCode
    from_ms: int
    until_ms: int

    def plan(self) -> dict[str, Any]:
        """As the emulator's plan has it."""
        ramp = {"ramp_s": SWELL_RAMP_S} if self.type == "swell" else {}
        return {"type": self.type, "from_ms": self.from_ms, "until_ms": self.until_ms, **ramp}


@dataclass(frozen=True)
class Story:
    """`crossings` in the order in which the plume meets them; its onset is at the first."""

    crossings: tuple[Crossing, ...]
    faults: tuple[PlantedFault, ...]
    plume: Plume

    @property
    def onset_ms(self) -> int:
        return self.crossings[0].from_ms

    @property
    def over_ms(self) -> int:
        """After this nothing is said of the plume that was of the plume."""
        return self.crossings[-1].until_ms + round(SETTLES_S * 1000)

    @property
    def crossed(self) -> frozenset[str]:
        return frozenset(crossing.post for crossing in self.crossings)

    def events(self) -> list[dict[str, Any]]:
        """As the emulator's plan has them."""
        plume = self.plume
        return [
            {
                "type": "plume",
                "starts_ms": plume.starts_ms,
                "side": plume.side.value,
                "wind_m_s": plume.wind_m_s,
                "at": list(plume.at),
                "width_km": plume.width_km,
                "peak": plume.peak,
                "rise_s": plume.rise_s,
                "duration_s": plume.duration_s,
            }
        ]

    def faults_of(self, post: str) -> list[dict[str, Any]]:
        return [fault.plan() for fault in self.faults if fault.post == post]

    def lines(self, street_ms: float, speed: float) -> tuple[str, ...]:
        """What goes on and what comes next, for people who watch; seconds are wall seconds."""
        told = []
        for crossing in self.crossings:
            if crossing.from_ms <= street_ms < crossing.until_ms:
                told.append(f"a plume is over {crossing.street}")
        for fault in self.faults:
            if fault.from_ms <= street_ms < fault.until_ms:
                told.append(f"{fault.street}: {_HAPPENS[fault.code]}")
        comes = [(c.from_ms, f"a plume enters at {c.street}") for c in self.crossings]
        comes += [(f.from_ms, f"at {f.street} {_BEGINS[f.code]}") for f in self.faults]
        ahead = [(at_ms, what) for at_ms, what in comes if at_ms > street_ms]
        if ahead:
            at_ms, what = min(ahead)
            told.append(f"in {(at_ms - street_ms) / 1000 / speed:.0f} s {what}")
        return tuple(told)


_HAPPENS = {
    FaultCode.FLAT_LINE: "a stuck sensor says the same again and again",
    FaultCode.HUMIDITY_SWELL: "fog, and a sensor that takes water for dust",
}
_BEGINS = {FaultCode.FLAT_LINE: "a sensor gets stuck", FaultCode.HUMIDITY_SWELL: "fog comes up"}


def tell(posts: Sequence[Post], street_zero_ms: int) -> Story:
    """The story of these lampposts. With fewer than five some of it has no place to happen."""
    crossed, rest = posts[:CROSSED], posts[CROSSED:]

    def at_ms(seconds: float) -> int:
        return street_zero_ms + round(seconds * 1000)

    plume = Plume(
        at_ms(ONSET_S),
        Side.WEST,
        wind_m_s=WIND_M_S,
        at=crossed[0].place.position,
        width_km=PLUME_WIDTH_KM,
        peak=PLUME_PEAK_UG_M3,
        rise_s=PLUME_RISE_S,
        duration_s=PLUME_LASTS_S,
    )
    crossings = []
    for post in crossed:
        from_ms = plume.arrives_ms(post.place.position)
        crossings.append(
            Crossing(post.name, post.place.street, from_ms, from_ms + round(PLUME_LASTS_S * 1000))
        )
    faults = []
    foggy = next((post for post in rest if post.kind == "pms5003t"), None)
    stuck = next((post for post in rest if post is not foggy), None)
    for found, kind, code, begins_s in (
        (stuck, "stuck", FaultCode.FLAT_LINE, STUCK_S),
        (foggy, "swell", FaultCode.HUMIDITY_SWELL, SWELL_S),
    ):
        if found is not None:
            until_ms = at_ms(begins_s + FAULTS_LAST_S)
            faults.append(PlantedFault(found.name, found.place.street, kind, code, at_ms(begins_s), until_ms))
    return Story(tuple(crossings), tuple(faults), plume)
