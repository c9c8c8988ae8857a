"""Where simulated lampposts stand, what they measure, and the air they measure it in."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_agent.core.records import UnitIdentity
from firmware_bridge.emulator.air import BadPlan, Scene
from firmware_bridge.emulator.instrument import Instrument
from firmware_bridge.emulator.replay import replay_scene
from firmware_bridge.emulator.synthetic import SyntheticScene
from firmware_bridge.kinds import SensorKind
from firmware_bridge.ports import Reading
from simulator.settings import Source, WrongArgument

CENTRE = (41.1496, -8.6109)  # degrees north and east: Porto, as in the demo
SPACING_KM = 0.1  # between lampposts of a street; 5,000 fill 7 km by 7 km
KM_A_DEGREE = 111.195  # of latitude, on a sphere of the earth's mean radius
DISTRICT_POSTS = 10  # districts are squares of so many lampposts a side


@dataclass(frozen=True)
class Stand:
    """`position`: km east and north of the centre."""

    position: tuple[float, float]
    latitude: float
    longitude: float
    district: str


def stand(index: int, of: int) -> Stand:
    """Of the lamppost of this index, from 0, among so many: a square grid."""
    side = max(1, math.ceil(math.sqrt(of)))
    row, column = divmod(index, side)
    east, north = round(SPACING_KM * column, 3), round(SPACING_KM * row, 3)
    latitude = CENTRE[0] + north / KM_A_DEGREE
    longitude = CENTRE[1] + east / (KM_A_DEGREE * math.cos(math.radians(CENTRE[0])))
    district = f"Simulated {chr(ord('A') + row // DISTRICT_POSTS % 26)}{column // DISTRICT_POSTS + 1}"
    return Stand((east, north), round(latitude, 6), round(longitude, 6), district)


class Sensors:
    """The sensors of one lamppost: the same seed and instants give the same values."""

    def __init__(self, kinds: tuple[SensorKind, ...], scene: Scene, seed: int) -> None:
        self._scene = scene
        self._units = [
            (UnitIdentity(kind.value, f"sim-{seed}-{number}", "arm"), kind, Instrument(kind, seed + number))
            for number, kind in enumerate(kinds)
        ]

    def read(self, street_ms: int) -> list[tuple[UnitIdentity, Reading]]:
        """One reading of each, at this instant of the street's clock."""
        air = self._scene.at(street_ms)
        return [
            (identity, Reading(kind, instrument.measure(air), None, ()))
            for identity, kind, instrument in self._units
        ]


def scene(source: Source, index: int, position: tuple[float, float], origin_ms: int) -> Scene:
    """The air at one lamppost. Recordings begin at `origin_ms` of the street's clock."""
    if source.file is None:
        return SyntheticScene(source.seed, position)
    station = source.stations[index % len(source.stations)] if source.stations else None
    return replay_scene(str(source.file), station, origin_ms, None)


def check_source(source: Source) -> None:
    """Raises WrongArgument where a recording cannot be read, or lacks a station."""
    if source.file is None:
        return
    if source.file.suffix not in {".parquet", ".csv"}:
        raise WrongArgument(f"--source {source.file}: give city, a .parquet or a .csv recording")
    try:
        for station in source.stations or (None,):
            replay_scene(str(source.file), station, 0, None)
    except BadPlan as bad:
        raise WrongArgument(f"--source {bad}") from None
