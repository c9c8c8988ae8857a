"""What is wrong with a sensor unit, told from pollution by its values alone. Pure; one function a fault.

Spike: values that stand alone. Flat line: a vector of values that repeats for longer than air and
a sensor of this resolution can. Humidity swell: the mass rises with the relative humidity by what water
explains. Drift: the unit and the second one on its post part. (Unplugging is not in the values: the sensor's
own loop knows.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from air_quality.humidity import growth_factor
from edge_agent.core.gathering import MINUTE_MS, Seen
from firmware_bridge.kinds import SPECS, SensorKind

SPIKE_MEMORY_MS = 30 * MINUTE_MS
SPIKES = 3  # a lorry below the post is one; a value that fails the spike test is enough by itself
LONE, LONE_UG_M3 = 3.0, 30.0  # so far above both neighbours, in shares of them and in ug/m3

FLAT_MS = 15 * MINUTE_MS  # 15 equal samples at the usual cadence; the same air twice is already rare
FLAT_SAMPLES = 5
# A value of ten steps of its resolution or more is moved by the sensor's own noise (2 % and one step, data
# sheets). Below, as in very clean air, the same small number again and again is what a sensor rightly says.
TELLING_STEPS = 10
TELLING_CHANNELS = 2
LONE_TELLING_STEPS = 100  # one channel is enough where it is as finely resolved as this

BLOCK_MS = 10 * MINUTE_MS  # single minutes are noisy: a hygrometer's 2 % at 90 % move the growth by a third
BLOCKS = 6
BLOCK_MINUTES = 3  # fewer known minutes make no block
HUMID_PERCENT = 75.0  # below it growth is less than noise (Crilley et al. 2018, fig. 3)
SWELL = 1.4  # both the growth and the mass must have risen by this much
SWELL_UG_M3 = 4.0
EXPLAINED = (0.5, 1.6)  # mass rise over growth: kappa 0.2 to 0.6 about the 0.4 of the formula
STILL_SWOLLEN = 1.2

HOUR_MS = 60 * MINUTE_MS
HOUR_MINUTES = 30  # fewer known minutes make no hourly median
HOURS_KEPT = 168  # a week: what is usual between two units must outlive the drift that it shows
USUAL_HOURS = 12
DRIFT_HOURS = 3
DRIFT = 1.7  # from their usual ratio; two kinds in the same air differ by 1.5 for hours (standards.md 2.1)
DRIFT_UNKNOWN = 2.5  # while nobody knows what is usual
FLOOR_UG_M3 = 3.0  # added to both: near zero a ratio is noise


@dataclass(frozen=True)
class Spikes:
    """Times of the spikes of the last half hour, of the last one that failed the spike test, and the last two
    values of PM2.5."""

    times_ms: tuple[int, ...] = ()
    failed_ms: int = 0
    before: float | None = None
    last: float | None = None
    last_ms: int = 0


def with_spike(spikes: Spikes, seen: Seen) -> tuple[Spikes, int | None]:
    """Take a sample in; and the time of the sample before where it turns out to have been a spike: by the
    spike test's flag, or as it stands LONE-fold above both its neighbours."""
    value = mass_of(seen)
    spiked_ms = seen.spiked_ms
    if spikes.before is not None and spikes.last is not None and value is not None:
        around = max(spikes.before, value)
        if spikes.last - around > max(LONE_UG_M3, LONE * around):
            spiked_ms = spikes.last_ms
    times = tuple(each for each in spikes.times_ms if seen.time_ms - each < SPIKE_MEMORY_MS)
    failed_ms = spikes.failed_ms
    if spiked_ms is not None:
        times = (*times, spiked_ms)
        failed_ms = spiked_ms if seen.spike_failed else failed_ms
    return Spikes(times, failed_ms, spikes.last, value, seen.time_ms), spiked_ms


def mass_of(seen: Seen) -> float | None:
    """PM2.5 of a sample, whatever its flag; None where the kind has none, or the sample."""
    for channel, value in zip(SPECS[seen.kind].channels, seen.values, strict=False):
        if channel.name == "pm2_5" and value is not None:
            return value * 10.0**channel.exponent
    return None


def spiking(spikes: Spikes, now_ms: int) -> str:
    """The words for it, or "" where there is none."""
    recent = [each for each in spikes.times_ms if now_ms - each < SPIKE_MEMORY_MS]
    failed = spikes.failed_ms and now_ms - spikes.failed_ms < SPIKE_MEMORY_MS
    if len(recent) < SPIKES and not failed:
        return ""
    return f"{len(recent)} value{'s' if len(recent) > 1 else ''} far from both neighbours within 30 min"


@dataclass(frozen=True)
class Flat:
    """The run of samples equal to the last one."""

    values: tuple[int | None, ...] = ()
    since_ms: int = 0
    last_ms: int = 0
    samples: int = 0


def with_values(flat: Flat, seen: Seen) -> Flat:
    if seen.values != flat.values:
        return Flat(seen.values, seen.time_ms, seen.time_ms, 1)
    return replace(flat, last_ms=seen.time_ms, samples=flat.samples + 1)


def stuck(flat: Flat, kind: SensorKind) -> str:
    """Only where the kind measures particles: carbon dioxide rests at its floor for hours."""
    if flat.samples < FLAT_SAMPLES or flat.last_ms - flat.since_ms < FLAT_MS:
        return ""
    if not _is_telling(flat.values, kind):
        return ""
    minutes = (flat.last_ms - flat.since_ms) / MINUTE_MS
    return f"every value the same for {minutes:.0f} min, which air never is"


def _is_telling(values: Sequence[int | None], kind: SensorKind) -> bool:
    channels = SPECS[kind].channels
    if not any(channel.unit == "ug/m3" for channel in channels):
        return False
    steps = [abs(value) for value in values if value is not None]
    lone = max(steps, default=0) >= LONE_TELLING_STEPS
    return lone or sum(each >= TELLING_STEPS for each in steps) >= TELLING_CHANNELS


@dataclass(frozen=True)
class Damp:
    """A minute's mass and the humidity beside it."""

    time_ms: int
    mass: float
    humidity: float


@dataclass(frozen=True)
class Swell:
    """What mass and growth were before it swelled; mass 0 while it does not."""

    mass: float = 0.0
    growth: float = 1.0


def swelling(before: Swell, damp: Sequence[Damp], now_ms: int) -> tuple[Swell, str]:
    """`damp`: the known minutes of the last hour, oldest first. A swell that has begun is measured against
    what was before it, for as long as it lasts: after an hour the window shows no rise any more."""
    blocks = _blocks(damp, now_ms)
    if not blocks or blocks[-1][0] != 0:
        return before, ""
    _, mass, growth, humidity = blocks[-1]
    if before.mass > 0.0:
        still = humidity >= HUMID_PERCENT - 5.0 and mass >= STILL_SWOLLEN * before.mass
        if still and mass <= EXPLAINED[1] * before.mass * growth / before.growth:
            return before, _swell_words(humidity, mass / before.mass, growth / before.growth)
        before = Swell()
    if humidity < HUMID_PERCENT:
        return before, ""
    _, low_mass, low_growth, _ = min(blocks, key=lambda block: block[2])
    grown, risen = growth / low_growth, (mass + 0.1) / (low_mass + 0.1)
    if min(grown, risen) < SWELL or mass - low_mass < SWELL_UG_M3:
        return before, ""
    if not EXPLAINED[0] <= risen / grown <= EXPLAINED[1]:
        return before, ""
    return Swell(low_mass, low_growth), _swell_words(humidity, risen, grown)


def _swell_words(humidity: float, risen: float, grown: float) -> str:
    return f"{humidity:.0f} % humidity; the mass rose {risen:.1f}-fold, water alone explains {grown:.1f}-fold"


def _blocks(damp: Sequence[Damp], now_ms: int) -> list[tuple[int, float, float, float]]:
    """(how many blocks ago, mass, growth, humidity), oldest first; medians, so that one minute moves none."""
    found = []
    for ago in range(BLOCKS - 1, -1, -1):
        end_ms = now_ms - ago * BLOCK_MS
        mine = [each for each in damp if end_ms - BLOCK_MS < each.time_ms <= end_ms]
        if len(mine) >= BLOCK_MINUTES:
            humidity = median(each.humidity for each in mine)
            found.append((ago, median(each.mass for each in mine), growth_factor(humidity), humidity))
    return found


@dataclass(frozen=True)
class Hours:
    """Hourly medians of a unit, oldest first: (hour since 1970, ug/m3); and the hour that is being filled."""

    medians: tuple[tuple[int, float], ...] = ()
    hour: int = 0
    filling: tuple[float, ...] = field(default=())


def with_mass(hours: Hours, time_ms: int, mass: float | None) -> Hours:
    """Take a minute in."""
    hour = time_ms // HOUR_MS
    if hour != hours.hour:
        done = hours.medians
        if len(hours.filling) >= HOUR_MINUTES:
            done = (*done, (hours.hour, round(median(hours.filling), 2)))[-HOURS_KEPT:]
        hours = Hours(done, hour)
    return hours if mass is None else replace(hours, filling=(*hours.filling, round(mass, 2)))


def drifting(all_hours: Mapping[int, Hours], now_ms: int) -> dict[int, str]:
    """Unit -> words, for those of a post's particle sensors that left the others for DRIFT_HOURS on end.

    Of two, the one that moved further from its own past: which of them is right no one can know here.
    """
    found: dict[int, str] = {}
    keys = sorted(all_hours)
    for at, one in enumerate(keys):
        for other in keys[at + 1 :]:
            off = _off(all_hours[one], all_hours[other], now_ms)
            if off is None:
                continue
            guilty = max((one, other), key=lambda key: _moved(all_hours[key]))
            words = f"{off:.1f}-fold off from the second sensor of this post for {DRIFT_HOURS} h"
            found.setdefault(guilty, words)
    return found


def _off(one: Hours, other: Hours, now_ms: int) -> float | None:
    """By what factor two units have parted; None where they have not, or it is not known."""
    mine, theirs = dict(one.medians), dict(other.medians)
    shared = sorted(mine.keys() & theirs.keys())
    recent = [hour for hour in shared if hour >= now_ms // HOUR_MS - DRIFT_HOURS]
    if len(recent) < DRIFT_HOURS:
        return None
    ratios = {hour: (mine[hour] + FLOOR_UG_M3) / (theirs[hour] + FLOOR_UG_M3) for hour in shared}
    past = [ratios[hour] for hour in shared if hour not in recent]
    known = len(past) >= USUAL_HOURS
    usual = median(past[: 2 * USUAL_HOURS]) if known else 1.0
    now = [ratios[hour] / usual for hour in recent]
    limit = DRIFT if known else DRIFT_UNKNOWN
    if min(now) > limit or max(now) < 1 / limit:
        middle = median(now)
        return max(middle, 1 / middle)
    return None


def _moved(hours: Hours) -> float:
    """How far its last hours are from its own past, as a factor of at least 1."""
    values = [value + FLOOR_UG_M3 for _, value in hours.medians]
    past = values[:-DRIFT_HOURS] or values
    ratio = median(values[-DRIFT_HOURS:]) / median(past)
    return max(ratio, 1 / ratio)
