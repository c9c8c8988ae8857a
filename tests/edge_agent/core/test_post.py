"""Whatever sensors and clocks do, the core goes on; what it tells can be sent, each end has a beginning."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.core.deciding import Clear, Raise, decide
from edge_agent.core.gathering import MINUTE_MS, Seen
from edge_agent.core.judging import RULE_MANIFEST, by_rule
from edge_agent.core.leaving import leave
from edge_agent.core.post import DAY_MS, Due, Kept, Post, begin, pass_time, take, window_of
from edge_agent.core.records import UnitIdentity
from edge_agent.core.watching import Signal
from firmware_bridge.kinds import SPECS, SensorKind
from models.features.window import Minute
from wire_contract.classes import Class
from wire_contract.flags import Flag, pack_flags
from wire_contract.messages import Verdict, VerdictBatch
from wire_contract.verdict_kinds import FaultCode, VerdictKind, fault_of

T0 = 1_794_960_000_000
KINDS = {1: SensorKind.PMS5003T, 2: SensorKind.SDS011, 3: SensorKind.MHZ19B}


@dataclass
class Watcher:
    """Carries out what the loop does; checks what is told."""

    post: Post

    def __post_init__(self) -> None:
        self.episodes: set[int] = set()
        self.faults: set[tuple[int, FaultCode]] = set()
        self.raised: set[tuple[str, str]] = set()

    def see(
        self, unit: int, time_ms: int, values: tuple[int | None, ...], flag: Flag, every_s: float
    ) -> None:
        kind = KINDS[unit]
        seen = Seen(unit, f"s{unit}", kind, time_ms, every_s, values, pack_flags([flag] * len(values)))
        self.post, dues = take(self.post, seen, UnitIdentity(kind.value, "", "arm"))
        self.decide(dues)

    def wait(self, now_ms: int, lost: frozenset[str]) -> None:
        self.post, dues = pass_time(self.post, now_ms, 30_000, lost)
        self.decide(dues)

    def decide(self, dues: tuple[Due, ...]) -> None:
        for due in dues:
            window = window_of(self.post, due, RULE_MANIFEST)
            judgement = by_rule(window) if window else None
            if judgement is not None and due.end_ms % 7 == 0:
                judgement = replace(judgement, signal=Signal.HIGH)
            self.post, told = decide(self.post, due, judgement)
            for each in told:
                self.check(each)

    def check(self, told: Verdict | Raise | Clear) -> None:
        match told:
            case Raise(code, subject):
                self.raised.add((code, subject))
            case Clear(code, subject):
                self.raised.remove((code, subject))
            case Verdict():
                assert leave(Class.ALARM, VerdictBatch((told,)))
                self.verdict(told)

    def verdict(self, told: Verdict) -> None:
        code = fault_of(told.reason)
        match VerdictKind(told.kind):
            case VerdictKind.EPISODE:
                assert not [each for each in self.faults if each[0] == told.unit], "no episode with a fault"
                self.episodes.add(told.unit)
            case VerdictKind.EPISODE_OVER:
                self.episodes.remove(told.unit)
            case VerdictKind.FAULT:
                assert code is not None
                assert (told.unit, code) not in self.faults
                self.faults.add((told.unit, code))
            case VerdictKind.FAULT_OVER:
                assert code is not None
                self.faults.remove((told.unit, code))


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[object, ...]]:
    """Stretches of samples: clean, high, stuck, garbage; time that passes, ports that are lost, clocks that
    are set."""
    events: list[tuple[object, ...]] = []
    for _ in range(draw(st.integers(1, 12))):
        unit = draw(st.sampled_from([1, 2, 3]))
        what = draw(st.sampled_from(["clean", "high", "stuck", "garbage", "wait", "lost", "back", "ahead"]))
        events.append(
            (what, unit, draw(st.integers(1, 90)), draw(st.sampled_from([60.0, 60.0, 20.0, 300.0])))
        )
    return events


@settings(deadline=None, max_examples=60)
@given(lives(), st.randoms(use_true_random=False))
def test_every_life_is_told_in_order(events: list[tuple[object, ...]], chance: object) -> None:
    watcher, now_ms = Watcher(Post()), T0
    for what, unit, count, every_s in events:
        assert isinstance(unit, int)
        assert isinstance(count, int)
        assert isinstance(every_s, float)
        slots = len(SPECS[KINDS[unit]].channels)
        lost: frozenset[str] = frozenset({f"s{unit}"}) if what == "lost" else frozenset()
        now_ms += {"back": -1, "ahead": 1}.get(str(what), 0) * count * 20 * MINUTE_MS
        for n in range(count):
            now_ms += round(every_s * 1000)
            if what in ("wait", "lost"):
                watcher.wait(now_ms, lost)
                continue
            base = {"clean": 120, "high": 900, "stuck": 400}.get(str(what), 0)
            step = 0 if what == "stuck" else n % 7
            values: tuple[int | None, ...] = tuple(base + slot + step for slot in range(slots))
            flag = Flag.GOOD
            if what == "garbage":
                values = tuple(chance.choice([None, -5, 0, 999_999, 2**31 - 1]) for _ in values)  # type: ignore[attr-defined]
                flag = chance.choice(list(Flag))  # type: ignore[attr-defined]
            watcher.see(unit, now_ms, values, flag, every_s)
        watcher.wait(now_ms, frozenset())


def test_a_unit_that_was_replaced_does_not_give_its_past_to_the_new_one() -> None:
    old, new = UnitIdentity("sds011", "58d9", "arm"), UnitIdentity("sds011", "546f", "arm")
    post = begin((Kept(old),))
    seen = Seen(1, "front", SensorKind.SDS011, T0, 60.0, (100, 200), 0)
    post, _ = take(post, seen, new)
    assert post.units[1].identity == new
    assert old in post.kept, "the old one may come back"


def test_what_was_taken_down_a_week_ago_is_forgotten() -> None:
    old, new = UnitIdentity("sds011", "58d9", "arm"), UnitIdentity("sds011", "546f", "arm")
    post = begin((Kept(old, minutes=(Minute(T0, 12.0),)),))
    for days, known in ((1, {old, new}), (8, {new})):
        seen = Seen(1, "front", SensorKind.SDS011, T0 + days * DAY_MS, 60.0, (100, 200), 0)
        post, _ = take(post, seen, new)
        assert {each.identity for each in post.to_keep()} == known


def test_a_key_that_another_unit_has_after_a_new_epoch_begins_anew() -> None:
    one, other = UnitIdentity("sds011", "58d9", "arm"), UnitIdentity("sds011", "546f", "arm")
    seen = Seen(1, "front", SensorKind.SDS011, T0 + 20_000, 60.0, (100, 200), pack_flags([Flag.GOOD] * 2))
    post, _ = take(Post(), seen, one)
    assert len(post.units[1].minutes) == 1
    post, _ = take(post, replace(seen, time_ms=T0 + 3 * MINUTE_MS), other)
    assert post.units[1].identity == other
    assert [each.time_ms for each in post.units[1].minutes] == []


def test_units_that_changed_keys_with_a_new_epoch_keep_what_is_known_of_them() -> None:
    who = {"a": UnitIdentity("sds011", "58d9", "a"), "b": UnitIdentity("sds011", "546f", "b")}
    post, time_ms = Post(), T0 + 20_000
    for keys in ({"a": 1, "b": 2}, {"b": 1, "a": 2}):
        for n in range(10):
            time_ms += MINUTE_MS
            for name in keys:
                flags = pack_flags([Flag.GOOD] * 2)
                seen = Seen(keys[name], name, SensorKind.SDS011, time_ms, 60.0, (100 + n, 200), flags)
                post, dues = take(post, seen, who[name])
                assert not [each for each in dues if each.replaced]
    assert {unit: state.identity for unit, state in post.units.items()} == {1: who["b"], 2: who["a"]}
    assert [len(state.minutes) for state in post.units.values()] == [20, 20]


def test_humidity_is_lent_by_another_unit_of_the_post_for_a_while() -> None:
    flags = pack_flags([Flag.GOOD] * 12)
    damp = Seen(
        1, "a", SensorKind.PMS5003T, T0 + 20_000, 60.0, (5, 9, 12, 5, 9, 12, 9, 3, 1, 1, 105, 815), flags
    )
    post, _ = take(Post(), damp, UnitIdentity("pms5003t", "", "a"))
    for minute in (0, 5, 60):
        time_ms = T0 + 25_000 + minute * MINUTE_MS
        other = Seen(2, "b", SensorKind.SDS011, time_ms, 60.0, (100, 200), flags & 0xFF)
        post, _ = take(post, other, UnitIdentity("sds011", "58d9", "b"))
    assert [each.humidity for each in post.units[2].minutes] == [81.5, 81.5, None]
