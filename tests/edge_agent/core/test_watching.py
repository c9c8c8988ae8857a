"""Hysteresis: an episode opens and closes by minutes on end, is told again, and a fault ends it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.gathering import MINUTE_MS
from edge_agent.core.watching import (
    BLIND_MS,
    CLOSE_MINUTES,
    OPEN_MINUTES,
    Phase,
    Say,
    Signal,
    Watch,
    step,
)
from wire_contract.verdict_kinds import EPISODE_REPEAT_S

T0 = 1_794_960_000_000


def run(signals: list[Signal], watch: Watch | None = None) -> tuple[Watch, list[tuple[int, Say]]]:
    """One signal a minute; what was said in which minute."""
    watch, said = watch or Watch(), []
    for minute, signal in enumerate(signals, 1):
        watch, says = step(watch, signal, T0 + minute * MINUTE_MS)
        said += [(minute, say) for say in says]
    return watch, said


def test_it_opens_after_minutes_on_end_and_closes_after_minutes_on_end() -> None:
    watch, said = run([Signal.HIGH] * OPEN_MINUTES + [Signal.LOW] * CLOSE_MINUTES)
    assert said == [(OPEN_MINUTES, Say.EPISODE), (OPEN_MINUTES + CLOSE_MINUTES, Say.OVER)]
    assert watch.phase is Phase.CALM


def test_one_minute_less_opens_nothing() -> None:
    assert run([*[Signal.HIGH] * (OPEN_MINUTES - 1), Signal.BETWEEN] * 5)[1] == []


def test_between_the_thresholds_an_episode_goes_on_and_none_opens() -> None:
    watch, said = run([Signal.BETWEEN] * 30)
    assert said == []
    watch, said = run([Signal.HIGH] * OPEN_MINUTES + [Signal.BETWEEN] * 8)
    assert watch.phase is Phase.EPISODE


def test_an_episode_is_told_again_each_ten_minutes() -> None:
    _, said = run([Signal.HIGH] * 40)
    assert [minute - OPEN_MINUTES for minute, _ in said] == [0, 10, 20, 30]


def test_a_lull_shorter_than_closing_takes_is_none() -> None:
    lull = [Signal.LOW] * (CLOSE_MINUTES - 1)
    _, said = run([*[Signal.HIGH] * OPEN_MINUTES, *lull, Signal.BETWEEN, *lull])
    assert Say.OVER not in [say for _, say in said]


def test_a_fault_ends_it_at_once_and_lets_none_open() -> None:
    _, said = run([Signal.HIGH] * OPEN_MINUTES + [Signal.FAULTY] * 3)
    assert [say for _, say in said] == [Say.EPISODE, Say.OVER]
    assert run([Signal.FAULTY, Signal.HIGH, Signal.HIGH] * 4)[1] == []


def test_a_gap_neither_opens_nor_closes_until_it_is_too_long() -> None:
    opened = [Signal.HIGH] * OPEN_MINUTES
    short = [Signal.TIMED_OUT] * (BLIND_MS // MINUTE_MS - 1)
    watch, _ = run([*opened, *short])
    assert watch.phase is Phase.EPISODE
    watch, said = run([*opened, *short, Signal.TIMED_OUT])
    assert said[-1][1] is Say.OVER
    assert watch.phase is Phase.CALM


def test_after_a_power_cut_an_episode_goes_on_and_a_rise_begins_anew() -> None:
    opened, _ = run([Signal.HIGH] * OPEN_MINUTES)
    assert step(opened, Signal.POWER_LOST, T0)[0].phase is Phase.EPISODE
    rising, _ = run([Signal.HIGH])
    assert step(rising, Signal.POWER_LOST, T0)[0] == Watch()


@given(st.lists(st.sampled_from(list(Signal)), max_size=120))
def test_what_is_said_makes_sense_whatever_comes(signals: list[Signal]) -> None:
    watch, open_ms, told_ms = Watch(), None, 0
    highs = 0
    for minute, signal in enumerate(signals, 1):
        time_ms = T0 + minute * MINUTE_MS
        highs = highs + 1 if signal is Signal.HIGH else highs if signal is Signal.TIMED_OUT else 0
        watch, says = step(watch, signal, time_ms)
        assert len(says) <= 1
        for say in says:
            if say is Say.OVER:
                assert open_ms is not None, "over only what was told"
                open_ms = None
            elif open_ms is None:
                assert highs >= OPEN_MINUTES, "opened by minutes on end"
                open_ms = told_ms = time_ms
            else:
                assert time_ms - told_ms >= EPISODE_REPEAT_S * 1000, "never told more often"
                told_ms = time_ms
        assert watch.open == (open_ms is not None)
