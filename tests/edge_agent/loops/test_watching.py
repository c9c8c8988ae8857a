"""The watching loop with a fake model and a stepped clock: who decides, what is said, what survives."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.core import post
from edge_agent.core.gathering import Seen
from edge_agent.core.records import UnitIdentity
from edge_agent.errors import ModelMissing, ModelRefused
from edge_agent.io.clocks import SteppedClock
from edge_agent.io.model_folder import model_directory, read_manifest
from edge_agent.io.watch_file import WatchFile
from edge_agent.loops import watching as module
from edge_agent.loops.board import Board
from edge_agent.loops.watching import WatchingLoop
from edge_agent.ports import Model, ModelShape
from firmware_bridge.kinds import SensorKind
from tests.support.fakes_edge import FakeRunner
from tests.support.waiting import wait_until
from wire_contract.flags import Flag, pack_flags
from wire_contract.messages import Verdict
from wire_contract.verdict_kinds import RULE, FaultCode, VerdictKind, fault_of

MANIFEST = read_manifest(model_directory(""))
SHAPE = ModelShape(MANIFEST.steps, len(MANIFEST.channels), len(MANIFEST.outputs))
HIGH, LOW, UNSURE = (1.0, 0.0, 0.0, 0.0), (0.01, 0.0, 0.0, 0.0), (0.5, 0.0, 0.0, 0.5)
WHO = UnitIdentity("sds011", "58d9", "arm")
T0 = 1_794_960_000_000


def fake_model(answer: tuple[float, ...]) -> Model:
    runner = FakeRunner(answer)
    runner.load(FakeRunner.model(SHAPE), SHAPE)
    return Model(MANIFEST, runner)


class Watcher:
    """The loop on a thread, its samples given by hand."""

    def __init__(self, folder: Path, load: Callable[[], Model | None]) -> None:
        self.clock = SteppedClock(T0, real_wire=True)
        self.board = Board(self.clock)
        self.said: list[Verdict] = []
        self.decides: list[str] = []
        file = WatchFile(folder / "watching.json")
        self.loop = WatchingLoop(self.clock, self.board, file, load, self.said.extend, self.decides.append)
        self.thread = threading.Thread(target=self.loop.run, daemon=True)
        self.thread.start()
        self.minute = 0
        wait_until(lambda: self.decides, 10, "somebody to decide")

    def minutes(self, count: int, mass: Callable[[int], float] = lambda _n: 12.0) -> None:
        """One sample each minute, at once; returns when all are taken in."""
        for _ in range(count):
            self.minute += 1
            time_ms = T0 + self.minute * 60_000 + 20_000
            tenths = round(mass(self.minute) * 10) + self.minute % 3
            self.see(time_ms, (tenths, 2 * tenths))
        self.clock.step_to(T0 + self.minute * 60_000 + 21_000)
        wait_until(lambda: self.loop._inbox.empty(), 20, "the samples to be taken in")

    def see(self, time_ms: int, values: tuple[int | None, ...]) -> None:
        flags = pack_flags([Flag.GOOD, Flag.GOOD])
        self.loop.see(Seen(1, "front", SensorKind.SDS011, time_ms, 60.0, values, flags), WHO)

    def codes(self) -> set[str]:
        return {each.code for each in self.board.conditions()}

    def stop(self) -> None:
        self.loop.stop()
        self.thread.join(30)
        assert not self.thread.is_alive()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[Callable[[], Model | None]], Watcher]]:
    made: list[Watcher] = []

    def one(load: Callable[[], Model | None]) -> Watcher:
        made.append(Watcher(tmp_path, load))
        return made[-1]

    yield one
    for each in made:
        each.loop.stop()


Make = Callable[[Callable[[], Model | None]], Watcher]


def raising(error: Exception) -> Callable[[], Model | None]:
    def load() -> Model | None:
        raise error

    return load


def test_a_sure_model_decides(make: Make) -> None:
    watcher = make(lambda: fake_model(HIGH))
    watcher.minutes(60)
    wait_until(lambda: len(watcher.said) >= 2, 10, "an episode, and again")
    first = watcher.said[0]
    assert first.kind == VerdictKind.EPISODE
    assert first.model == watcher.decides[0] == f"{MANIFEST.title}/litert"
    assert first.score == 1.0
    assert watcher.codes() == set()
    assert watcher.loop.figures()["judged"] > 20


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ModelMissing("it is not there", "put it there"), "model_missing"),
        (ModelRefused("it is not what it should be", "put it there again"), "model_refused"),
        (ZeroDivisionError("nobody foresaw this"), "model_refused"),
    ],
)
def test_without_a_model_the_rule_decides_and_says_why(make: Make, error: Exception, code: str) -> None:
    watcher = make(raising(error))
    assert watcher.decides[0].startswith(f"{RULE}: {code}: ")
    assert watcher.codes() == {code}
    watcher.minutes(180)
    assert watcher.said == []
    watcher.minutes(10, lambda _n: 90.0)
    wait_until(lambda: watcher.said, 10, "an episode")
    assert watcher.said[0].model == RULE
    assert "by rule" in watcher.said[0].reason


def test_a_configuration_that_wants_the_rule_is_no_trouble(make: Make) -> None:
    watcher = make(lambda: None)
    assert watcher.decides == [f"{RULE}: as configured"]
    assert watcher.codes() == set()


@pytest.mark.parametrize("answer", [(math.nan, 0.0, 0.0, 0.0), (0.9, math.inf, 0.0, 0.0), (0.9,)])
def test_a_model_that_gives_no_numbers_is_dropped_for_good(make: Make, answer: tuple[float, ...]) -> None:
    model = fake_model(answer)
    watcher = make(lambda: model)
    watcher.minutes(60)
    wait_until(lambda: len(watcher.decides) > 1, 10, "the rule to decide")
    assert "model_refused" in watcher.codes()
    assert watcher.decides[-1].startswith(f"{RULE}: model_refused: ")
    assert isinstance(model.runner, FakeRunner)
    assert model.runner.scored == 1
    assert model.runner.closed


def test_a_model_that_is_not_sure_leaves_it_to_the_rule_and_that_is_told(make: Make) -> None:
    model = fake_model(UNSURE)
    watcher = make(lambda: model)
    watcher.minutes(90)
    wait_until(lambda: "model_unsure" in watcher.codes(), 10, "the condition")
    assert watcher.said == [], "by rule nothing is there"
    assert isinstance(model.runner, FakeRunner)
    model.runner.answer = LOW
    watcher.minutes(2)
    wait_until(lambda: watcher.codes() == set(), 10, "a model that is sure again")


def test_a_failure_nobody_foresaw_is_told_and_the_loop_goes_on(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = make(lambda: fake_model(LOW))
    real = post.take

    def failing(*_args: object) -> object:
        raise ZeroDivisionError

    monkeypatch.setattr(module, "take", failing)
    watcher.minutes(1)
    wait_until(lambda: "agent_error" in watcher.codes(), 10, "the condition")
    monkeypatch.setattr(module, "take", real)
    watcher.minutes(2)
    wait_until(lambda: watcher.codes() == set(), 10, "the loop to go on")


def test_a_port_that_is_lost_is_a_fault_when_it_stays_so(make: Make) -> None:
    watcher = make(lambda: fake_model(LOW))
    watcher.minutes(5)
    watcher.board.raise_("sensor_gone", "front", "the port is gone")
    for minute in range(1, 8):
        watcher.clock.step_to(T0 + (5 + minute) * 60_000)
        watcher.loop._tick()
    wait_until(lambda: watcher.said, 10, "the fault")
    assert [fault_of(each.reason) for each in watcher.said] == [FaultCode.UNPLUGGED]
    assert watcher.said[0].time_ms <= T0 + 10 * 60_000
    watcher.board.clear("sensor_gone", "front")
    watcher.minute = 13
    watcher.minutes(1)
    watcher.loop._tick()
    watcher.minutes(1)
    wait_until(lambda: watcher.said[-1].kind == VerdictKind.FAULT_OVER, 10, "the end of it")


def test_a_clock_that_was_never_set_judges_nothing_by_passing_time(make: Make) -> None:
    watcher = make(lambda: fake_model(HIGH))
    watcher.clock.jump_to(0)
    watcher.loop._tick()
    assert watcher.said == []


def test_what_it_knows_survives_a_restart(make: Make) -> None:
    first = make(lambda: fake_model(LOW))
    first.minutes(120)
    first.stop()
    second = make(lambda: fake_model(LOW))
    second.minute = 120
    second.minutes(2)
    wait_until(lambda: second.loop.judged == 2, 10, "the first minutes to be judged at once")


def test_an_episode_that_was_told_ends_after_the_power_was_cut_within_it(make: Make, tmp_path: Path) -> None:
    cut = make(lambda: fake_model(HIGH))
    cut.minutes(60)
    wait_until(lambda: cut.said, 10, "the episode")
    kept = WatchFile(tmp_path / "watching.json")

    def told() -> bool:
        cut.loop._tick()
        return any(each.watch.open for each in kept.load())

    wait_until(told, 10, "it to be kept, though nothing was stopped in order")
    after = make(lambda: fake_model(LOW))
    after.minute = 60
    after.minutes(10)
    wait_until(lambda: VerdictKind.EPISODE_OVER in {each.kind for each in after.said}, 10, "the end of it")


def test_samples_that_wait_for_a_loop_that_hangs_are_bounded(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = threading.Event()

    def load() -> Model | None:
        hangs.wait(60)
        return None

    monkeypatch.setattr(module, "HELD_SAMPLES", 50)
    clock = SteppedClock(T0, real_wire=True)
    loop = WatchingLoop(clock, Board(clock), WatchFile(Path("/nonexistent/x")), load, print, print)
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    flags = pack_flags([Flag.GOOD, Flag.GOOD])
    for n in range(200):
        loop.see(Seen(1, "x", SensorKind.SDS011, T0 + n * 1000, 1.0, (100, 200), flags), WHO)
    assert loop._inbox.qsize() == 50
    hangs.set()
    loop.stop()
    thread.join(30)
    assert not thread.is_alive(), "a disk that refuses its file does not matter"
