"""All sensor units of one lamppost, minute by minute: what is known of each, when it is to be judged. Pure.

`take` and `pass_time` complete minutes; `edge_agent.core.deciding` says what each of them means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from edge_agent.core import watching
from edge_agent.core.faulting import Fault
from edge_agent.core.faults import Damp, Flat, Hours, Spikes, Swell, stuck, with_mass, with_spike, with_values
from edge_agent.core.gathering import MINUTE_MS, Gathered, Gathering, Seen, finish, gather
from edge_agent.core.records import UnitIdentity
from edge_agent.core.watching import Watch
from firmware_bridge.kinds import SPECS
from models.features.context import BUCKET_MS, Context, observe
from models.features.manifest import Manifest
from models.features.window import Minute, Window, assemble
from wire_contract.verdict_kinds import FaultCode

HOUR_MINUTES = 60
BORROW_MS = 15 * MINUTE_MS  # humidity of another unit on the post: slow enough to be lent for so long
DAY_MS = 24 * 60 * MINUTE_MS
FORGET_MS = 7 * DAY_MS  # a unit that was taken down


def _none() -> Mapping[FaultCode, Fault]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Kept:
    """What of a unit outlives a restart."""

    identity: UnitIdentity
    minutes: tuple[Minute, ...] = ()
    context: Context = field(default_factory=Context)
    hours: Hours = field(default_factory=Hours)
    flat: Flat = field(default_factory=Flat)
    swell: Swell = field(default_factory=Swell)
    watch: Watch = field(default_factory=Watch)
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class UnitState:
    """One unit. `seen`: its last sample. `unsure`: minutes on end for which the model was not sure."""

    identity: UnitIdentity
    seen: Seen
    gathering: Gathering = field(default_factory=Gathering)
    minutes: tuple[Minute, ...] = ()
    context: Context = field(default_factory=Context)
    spikes: Spikes = field(default_factory=Spikes)
    flat: Flat = field(default_factory=Flat)
    swell: Swell = field(default_factory=Swell)
    hours: Hours = field(default_factory=Hours)
    watch: Watch = field(default_factory=Watch)
    faults: Mapping[FaultCode, Fault] = field(default_factory=_none)
    unsure: int = 0

    @property
    def measures_particles(self) -> bool:
        return any(channel.name == "pm2_5" for channel in SPECS[self.seen.kind].channels)

    @property
    def faulty(self) -> bool:
        return any(fault.holds for fault in self.faults.values())

    @property
    def believed(self) -> bool:
        """Whether its values say something of the air. A drift's still do, more or less."""
        return not any(each.suspected for each in self.faults.values() if each.code is not FaultCode.DRIFT)

    def to_keep(self) -> Kept:
        """What the next run should know."""
        return Kept(
            self.identity,
            self.minutes,
            self.context,
            self.hours,
            self.flat,
            self.swell,
            self.watch,
            tuple(fault for fault in self.faults.values() if fault.holds),
        )

    def damp(self) -> list[Damp]:
        """The minutes of which mass and humidity are known."""
        return [
            Damp(each.time_ms + MINUTE_MS, each.pm2_5, each.humidity)
            for each in self.minutes
            if each.pm2_5 is not None and each.humidity is not None
        ]


@dataclass(frozen=True)
class Due:
    """A unit's minute that is complete. `blind`: nothing was measured in it. `replaced`: another unit answers
    in its sensor's place, so it has no further minute."""

    unit: int
    end_ms: int
    blind: bool = False
    replaced: bool = False


@dataclass(frozen=True)
class Post:
    """`kept`: what an earlier run knew of units that have not been seen yet. `lost`: sensors whose port is
    gone. `humidity`: the last minute's, and when it ended."""

    units: Mapping[int, UnitState] = field(default_factory=lambda: MappingProxyType({}))
    kept: Mapping[UnitIdentity, Kept] = field(default_factory=lambda: MappingProxyType({}))
    lost: frozenset[str] = frozenset()
    humidity: tuple[float, int] | None = None

    def with_unit(self, unit: int, state: UnitState) -> Post:
        return replace(self, units={**self.units, unit: state})

    def to_keep(self) -> tuple[Kept, ...]:
        """What the next run should know."""
        newest_ms = max((state.seen.time_ms for state in self.units.values()), default=0)
        now = {
            state.identity: state.to_keep()
            for state in self.units.values()
            if state.seen.time_ms > newest_ms - FORGET_MS
        }
        before = {
            identity: each
            for identity, each in self.kept.items()
            if not each.minutes or each.minutes[-1].time_ms > newest_ms - FORGET_MS
        }
        return tuple({**before, **now}.values())

    def without(self, unit: int) -> Post:
        """Another unit took its place: its past is kept for the day it comes back, its troubles are not."""
        state = self.units[unit]
        rest = {key: each for key, each in self.units.items() if key != unit}
        kept = replace(state, watch=Watch(), faults=_none(), flat=Flat(), swell=Swell()).to_keep()
        return replace(self, units=rest, kept={**self.kept, state.identity: kept})


def begin(kept: tuple[Kept, ...]) -> Post:
    """After a restart."""
    return Post(kept={each.identity: each for each in kept})


def take(post: Post, seen: Seen, identity: UnitIdentity) -> tuple[Post, tuple[Due, ...]]:
    """Take one sample in; the minutes that it completes."""
    post = _renumbered(post, seen.unit, identity)
    dues = _replaced(post, seen)
    post, state = _unit(post, seen, identity)
    step = gather(state.gathering, seen)
    if step.set_back:
        state = _set_back(state, seen.time_ms)
    spikes, spiked_ms = with_spike(state.spikes, seen)
    state = replace(
        state,
        seen=seen,
        gathering=step.state,
        flat=with_values(state.flat, seen),
        spikes=spikes,
        minutes=_without_spike(state.minutes, seen.every_s, spiked_ms),
    )
    for gathered in step.complete:
        post, state = _complete(post, state, gathered)
        dues.append(Due(seen.unit, gathered.start_ms + MINUTE_MS))
    return post.with_unit(seen.unit, state), tuple(dues)


def pass_time(
    post: Post, now_ms: int, grace_ms: int, lost: frozenset[str] = frozenset()
) -> tuple[Post, tuple[Due, ...]]:
    """Complete what no further sample will; a unit that says nothing has a blind minute now and then.
    `lost`: the sensors whose port is gone now."""
    post = replace(post, lost=lost)
    dues = []
    for unit, state in post.units.items():
        gathering = state.gathering
        if now_ms - state.seen.time_ms > DAY_MS:
            continue  # taken down, or replaced by another unit
        if gathering.start_ms is not None and now_ms >= gathering.start_ms + MINUTE_MS + grace_ms:
            after, gathered = finish(gathering)
            post, state = _complete(post, replace(state, gathering=after), gathered)
            dues.append(Due(unit, gathered.start_ms + MINUTE_MS))
        elif gathering.start_ms is None and now_ms >= gathering.done_ms + MINUTE_MS + grace_ms:
            late_ms = now_ms - grace_ms
            end_ms = late_ms - late_ms % MINUTE_MS
            state = replace(state, gathering=Gathering(done_ms=end_ms))
            dues.append(Due(unit, end_ms, blind=True))
        else:
            continue
        post = post.with_unit(unit, state)
    return post, tuple(dues)


def window_of(post: Post, due: Due, manifest: Manifest) -> Window | None:
    """What is to be judged; None where there is too little of it, or nothing to judge by."""
    state = post.units[due.unit]
    if due.blind or not state.measures_particles:
        return None
    return assemble(state.minutes, due.end_ms, state.context, manifest)


def _renumbered(post: Post, unit: int, identity: UnitIdentity) -> Post:
    """A new epoch may give the units other keys: what is known of each stays its own."""
    here = post.units.get(unit)
    if here is not None and here.identity == identity:
        return post
    units = dict(post.units)
    if here is not None:  # its own new key comes with its next sample
        del units[unit]
        post = replace(post, kept={**post.kept, here.identity: here.to_keep()})
    before = next((key for key, state in units.items() if state.identity == identity), None)
    if before is not None:
        units[unit] = units.pop(before)
    return replace(post, units=units)


def _replaced(post: Post, seen: Seen) -> list[Due]:
    """The units that answered in this sensor's place before."""
    others = [unit for unit, state in post.units.items() if state.seen.sensor == seen.sensor]
    return [Due(unit, seen.time_ms, blind=True, replaced=True) for unit in others if unit != seen.unit]


def _unit(post: Post, seen: Seen, identity: UnitIdentity) -> tuple[Post, UnitState]:
    state = post.units.get(seen.unit)
    if state is not None and state.identity == identity:
        return post, state
    kept = post.kept.get(identity)
    if kept is None:
        return post, UnitState(identity, seen)
    watch, _ = watching.step(kept.watch, watching.Signal.POWER_LOST, seen.time_ms)
    state = UnitState(
        identity,
        seen,
        minutes=kept.minutes,
        context=kept.context,
        hours=kept.hours,
        flat=kept.flat,
        swell=kept.swell,
        watch=watch,
        faults={fault.code: fault for fault in kept.faults},
    )
    if kept.context.open_index > seen.time_ms // BUCKET_MS:
        state = _set_back(state, seen.time_ms)
    rest = {key: value for key, value in post.kept.items() if key != identity}
    return replace(post, kept=rest), state


def _set_back(state: UnitState, now_ms: int) -> UnitState:
    """The clock was set back: what has a later time than now is of no use."""
    bucket, hour = now_ms // BUCKET_MS, now_ms // (60 * MINUTE_MS)
    watch = replace(state.watch, since_ms=now_ms, said_ms=now_ms, known_ms=now_ms)
    return replace(
        state,
        minutes=tuple(each for each in state.minutes if each.time_ms < now_ms),
        context=Context(tuple(each for each in state.context.buckets if each[0] < bucket)),
        hours=Hours(tuple(each for each in state.hours.medians if each[0] < hour)),
        spikes=Spikes(),
        flat=Flat(),
        watch=watch if state.watch.open else Watch(),
    )


def _without_spike(minutes: tuple[Minute, ...], every_s: float, spiked_ms: int | None) -> tuple[Minute, ...]:
    """A minute that was one sample, which turned out to be a spike, is a gap after all."""
    if spiked_ms is None or every_s * 1000 < MINUTE_MS / 2:
        return minutes
    start_ms = spiked_ms - spiked_ms % MINUTE_MS
    return tuple(each for each in minutes if each.time_ms != start_ms)


def _without_flat(minutes: tuple[Minute, ...], state: UnitState) -> tuple[Minute, ...]:
    """The minutes of a flat line are gaps after all: what the sensor says once it is well again is not to be
    held against what it said while it was stuck."""
    if not stuck(state.flat, state.seen.kind):
        return minutes
    return tuple(each for each in minutes if each.time_ms + MINUTE_MS <= state.flat.since_ms)


def _complete(post: Post, state: UnitState, gathered: Gathered) -> tuple[Post, UnitState]:
    means, end_ms = gathered.means, gathered.start_ms + MINUTE_MS
    humidity = means.get("humidity")
    if humidity is not None:
        post = replace(post, humidity=(humidity, end_ms))
    elif post.humidity is not None and abs(end_ms - post.humidity[1]) <= BORROW_MS:
        humidity = post.humidity[0]
    mass = means.get("pm2_5")
    minute = Minute(
        gathered.start_ms, mass, means.get("pm10"), means.get("pm1"), humidity, means.get("temperature")
    )
    believed = mass if state.believed else None
    minutes = _without_flat((*state.minutes, minute)[-HOUR_MINUTES:], state)
    return post, replace(
        state,
        minutes=minutes,
        context=observe(state.context, gathered.start_ms, believed),
        hours=with_mass(state.hours, gathered.start_ms, believed),
    )
