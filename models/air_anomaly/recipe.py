"""The recipe: from reference hours to labelled minutes of low-cost sensors. Written, versioned, seeded.

A segment is one unit over 24 + 8 hours: reference hours of one station (`split`), made into a street's
minutes (`air`), with one thing that happens (`events`), seen by one sensor (`sensor`). The same (seed, part,
index) gives the same segment on every machine with the same numpy.

How the reference's own fast rises are labelled: not at all. Where an hour is over its predecessor by
max(20 ug/m3, 50 %), nobody wrote down whether that was an episode (New Year's fireworks, a dust front) or
weather; those minutes and the three hours after are asked neither in training nor in the test, and the card
counts separately how often the model calls them. A slower rise of the reference is regional: no episode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.air_anomaly.air import DAY_MIN, MINUTES, street_air
from models.air_anomaly.events import EPISODES, FAULTS, Event, episode, labels, no_excess, regional
from models.air_anomaly.reference import Station
from models.air_anomaly.sensor import SENSORS, Readings, read
from models.air_anomaly.split import Part, Stretch, part_of_station, stretches

RECIPE = "air_anomaly-recipe@2"
# What the eight hours hold, and how often. Not the frequencies of a street, which would be nearly all "none".
MIX: Mapping[Event, float] = {
    Event.PLUME: 0.14,
    Event.SMOKE: 0.11,
    Event.CONSTRUCTION: 0.08,
    Event.JAM: 0.08,
    Event.FIREWORKS: 0.06,
    Event.REGIONAL: 0.08,
    Event.SPIKE: 0.08,
    Event.FLAT_LINE: 0.06,
    Event.SWELL: 0.10,
    Event.DRIFT: 0.05,
    Event.NONE: 0.16,
}
# An episode can meet a unit that spikes.
SPIKES_TOO = 0.1
_PARTS = {Part.TRAIN: 1, Part.VALIDATION: 2, Part.TEST: 3}


@dataclass(frozen=True)
class Segment:
    """`label` per minute as `events.labels`; `onset`: the first minute of a material episode, or None."""

    station: str
    group: str
    sensor: str
    event: Event
    fault: Event | None
    readings: Readings
    label: NDArray[np.int8]
    unsure: NDArray[np.bool_]
    onset: int | None
    excess: NDArray[np.float64]


class Source:
    """The stretches of one part, its stations equally often."""

    def __init__(self, stations: Sequence[Station], part: Part) -> None:
        """Raises ValueError where no station of the part has a whole stretch."""
        self.part = part
        own = [stretches(s) for s in stations if part_of_station(s) is part]
        self._stretches: list[list[Stretch]] = [found for found in own if found]
        if not self._stretches:
            raise ValueError(f"no station has a stretch for {part}")

    @property
    def stations(self) -> list[str]:
        return [found[0].station.name for found in self._stretches]

    def any_stretch(self, rng: np.random.Generator) -> Stretch:
        """One of them: first a station, then a stretch of it."""
        own = self._stretches[rng.integers(len(self._stretches))]
        return own[rng.integers(len(own))]

    def segment(self, seed: int, index: int, event: Event | None = None) -> Segment:
        """The `index`-th segment; `event` instead of a drawn one."""
        rng = np.random.default_rng([seed, _PARTS[self.part], index])
        own = self._stretches[rng.integers(len(self._stretches))]
        drawn = list(MIX)[rng.choice(len(MIX), p=list(MIX.values()))]
        return make(own[rng.integers(len(own))], event or drawn, rng)


def make(stretch: Stretch, event: Event, rng: np.random.Generator) -> Segment:
    """One segment of this stretch with this event."""
    air = street_air(stretch, rng)
    onset = int(rng.integers(DAY_MIN - 30, MINUTES - 60))
    excess = no_excess()
    if event in EPISODES:
        excess = episode(event, onset, rng)
    elif event is Event.REGIONAL:
        excess = regional(onset - 240, air.pm2_5, rng)
    sensor = SENSORS[rng.integers(len(SENSORS))]
    pm1 = rng.uniform(0.55, 0.8) * air.pm2_5 + excess.pm1_share * excess.pm2_5
    pm2_5 = air.pm2_5 + excess.pm2_5
    pm10 = air.pm10 + excess.pm2_5 + excess.coarse
    fault = event if event in FAULTS else None
    if event in EPISODES and rng.uniform() < SPIKES_TOO:
        fault = Event.SPIKE
    readings = read(sensor, pm1, pm2_5, pm10, air.humidity, fault, rng)
    label = labels(excess.pm2_5 if event in EPISODES else np.zeros(MINUTES), air.pm2_5)
    began = np.flatnonzero(label == 1)
    return Segment(
        station=stretch.station.name,
        group=stretch.station.group,
        sensor=sensor.name,
        event=event,
        fault=fault,
        readings=readings,
        label=label,
        unsure=air.unsure,
        onset=int(began[0]) - 2 if len(began) else None,
        excess=excess.pm2_5,
    )
