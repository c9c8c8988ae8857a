"""What the decisions tests are written in: lampposts in a street grid, and what they say."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fleet_server.decisions.city import City, Verdict
from fleet_server.decisions.members import Incident
from fleet_server.decisions.rules import Place, State
from wire_contract.verdict_kinds import VerdictKind

T0_MS = 1_790_000_000_000  # an instant like any other
MINUTE_MS = 60_000
MODEL = "air_anomaly@1.0.0/litert"
METRES_A_DEGREE = 111_195.0


@dataclass(frozen=True)
class Lamp:
    """`east` and `north` in metres of a city's middle at 52° N; None: nobody knows where it stands."""

    device: int
    east: float | None = 0.0
    north: float = 0.0
    district: str = ""
    tenant: str = "city"

    @property
    def place(self) -> Place:
        if self.east is None:
            return Place(self.tenant, None, None, self.district)
        lat = 52.0 + self.north / METRES_A_DEGREE
        return Place(self.tenant, lat, 5.0 + self.east / (METRES_A_DEGREE * 0.6157), self.district)


_ids = iter(range(1, 10**9))


def says(
    lamp: Lamp,
    minute: float,
    kind: str = VerdictKind.EPISODE,
    *,
    delay_min: float = 0.0,
    model: str = MODEL,
    confidence: float = 0.9,
    score: float = 0.95,
    reason: str = "",
    history: bool = False,
    level: int = 0,
    unit: int = 1,
) -> Verdict:
    at = T0_MS + round(minute * MINUTE_MS)
    received = at + round(delay_min * MINUTE_MS)
    return Verdict(
        next(_ids),
        lamp.device,
        unit,
        f"lamp-{lamp.device:03}",
        lamp.place,
        kind,
        at,
        received,
        score,
        confidence,
        reason,
        model,
        history,
        level,
    )


def again(verdict: Verdict) -> Verdict:
    """The same, delivered once more."""
    return replace(verdict, id=next(_ids))


def over(lamp: Lamp, minute: float, **more: float) -> Verdict:
    return says(lamp, minute, VerdictKind.EPISODE_OVER, **more)  # type: ignore[arg-type]


def fault(lamp: Lamp, minute: float, reason: str = "humidity_swell: 97 % humidity", unit: int = 1) -> Verdict:
    return says(lamp, minute, VerdictKind.FAULT, reason=reason, unit=unit)


def told(*verdicts: Verdict, city: City | None = None) -> City:
    """A city that has heard these, in this order."""
    city = city or City()
    for verdict in verdicts:
        city.hear(verdict)
    return city


def alive(city: City) -> list[Incident]:
    """Incidents but for merged ones, oldest first."""
    found = (i for i in city.incidents.values() if i.state is not State.MERGED)
    return sorted(found, key=lambda i: (i.first_ms, abs(i.id)))


def opened(city: City) -> list[Incident]:
    return [i for i in alive(city) if i.state is State.OPEN]


def picture(city: City) -> set[object]:
    """What a city looks like, whatever its incidents are called and whoever came first."""
    return {
        (
            i.state,
            i.severity,
            i.late,
            i.closed_ms,
            frozenset((unit, replace(member, name="")) for unit, member in i.members.items()),
        )
        for i in alive(city)
    }
