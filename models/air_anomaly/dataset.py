"""Windows with answers, drawn from segments: what is learned from, and what is measured on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.air_anomaly.air import DAY_MIN, MINUTES
from models.air_anomaly.batch import windows
from models.air_anomaly.events import Event
from models.air_anomaly.recipe import Segment, Source
from models.features.channels import STEPS

# What the model says, "episode" first. Drift is not told in one hour: it takes a second sensor.
OUTPUTS = ("episode", "spike", "flat_line", "humidity_swell")
MIN_COVERAGE = 0.5
# A spike is told while it is recent, a flat line when it has lasted.
SPIKE_REMEMBERED_MIN, FLAT_LINE_MIN = 10, 20
WINDOWS_PER_SEGMENT = 14

Floats32 = NDArray[np.float32]


@dataclass(frozen=True)
class Dataset:
    """`x` [n, steps, channels]; `y` [n, outputs]: 1, 0, or -1 where it is not asked. `station` and `event`
    index `stations` and list(Event); `since`: minutes since the onset, -1 outside an episode; `unsure`: near
    a fast rise of the reference. `segment` and `last`: of which segment, and which minute the window ends
    with."""

    x: Floats32
    y: NDArray[np.int8]
    station: NDArray[np.int16]
    event: NDArray[np.int8]
    since: NDArray[np.int16]
    unsure: NDArray[np.bool_]
    segment: NDArray[np.int32]
    last: NDArray[np.int16]
    stations: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.x)


Progress = Callable[[str], None]


def draw(source: Source, seed: int, segments: int, progress: Progress) -> Dataset:
    """Windows of `segments` segments, in a fixed order."""
    names = source.stations
    parts: list[tuple[NDArray[Any], ...]] = []
    for index in range(segments):
        if index and index % 1000 == 0:
            progress(f"  {source.part}: {index} of {segments} segments")
        segment = source.segment(seed, index)
        rng = np.random.default_rng([seed, 77, index])
        last = ends(segment, rng)
        x, usable = windows(segment.readings, last, MIN_COVERAGE)
        y = answers(segment, last)
        count = len(last)
        columns = (
            x,
            y,
            np.full(count, names.index(segment.station), np.int16),
            np.full(count, list(Event).index(segment.event), np.int8),
            since_onset(segment, last),
            segment.unsure[last],
            np.full(count, index, np.int32),
            last.astype(np.int16),
        )
        parts.append(tuple(column[usable] for column in columns))
    x, y, station, event, since, unsure, of, ending = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    return Dataset(x, y, station, event, since, unsure, of, ending, tuple(names))


def ends(segment: Segment, rng: np.random.Generator) -> NDArray[np.int64]:
    """Last minutes of the windows: half anywhere in the eight hours, half about what happens."""
    half = WINDOWS_PER_SEGMENT // 2
    anywhere = rng.integers(DAY_MIN, MINUTES, WINDOWS_PER_SEGMENT)
    faulty = np.flatnonzero(segment.readings.faulty[DAY_MIN:]) + DAY_MIN
    if segment.onset is not None:
        about = segment.onset + rng.integers(-5, 40, half)
    elif len(faulty):
        about = faulty[rng.integers(len(faulty), size=half)] + rng.integers(0, 10, half)
    else:
        return anywhere
    return np.concatenate((anywhere[half:], np.clip(about, DAY_MIN - 60, MINUTES - 1)))


def answers(segment: Segment, last: NDArray[np.int64]) -> NDArray[np.int8]:
    """[n, outputs]: 1, 0, -1."""
    y = np.zeros((len(last), len(OUTPUTS)), dtype=np.int8)
    y[:, 0] = segment.label[last]
    y[(y[:, 0] == 0) & segment.unsure[last], 0] = -1
    faulty = segment.readings.faulty
    back = last[:, None] - np.arange(STEPS)[None, :]
    if segment.fault is Event.SPIKE:
        y[:, 1] = faulty[back[:, :SPIKE_REMEMBERED_MIN]].any(axis=1)
        y[(y[:, 1] == 0) & faulty[back].any(axis=1), 1] = -1
    if segment.fault is Event.FLAT_LINE:
        y[:, 2] = faulty[back[:, :FLAT_LINE_MIN]].all(axis=1)
        y[(y[:, 2] == 0) & faulty[back].any(axis=1), 2] = -1
    if segment.fault is Event.SWELL:
        y[:, 3] = faulty[last]
        # Without a humidity nobody can tell; just after, the window still holds it.
        blind = ~np.isfinite(segment.readings.humidity[back]).any(axis=1)
        y[blind | ((y[:, 3] == 0) & faulty[back].any(axis=1)), 3] = -1
    return y


def since_onset(segment: Segment, last: NDArray[np.int64]) -> NDArray[np.int16]:
    since = np.full(len(last), -1, dtype=np.int16)
    if segment.onset is not None:
        inside = segment.label[last] == 1
        since[inside] = (last - segment.onset)[inside]
    return since
