"""The window: gaps, masks, order, hash; the background; and the rule that decides without a model."""

from __future__ import annotations

import hashlib
import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.features.baseline_rule import rule_score
from models.features.channels import CHANNELS, STEPS, Channel
from models.features.context import BUCKET_MS, DAY_BUCKETS, LEAST_BUCKETS, Context, observe, quantile
from models.features.manifest import rule_manifest
from models.features.window import MINUTE_MS, Minute, Window, assemble

MANIFEST = rule_manifest()
END_MS = 1_790_000_000_000 // BUCKET_MS * BUCKET_MS
COLUMNS = {name: index for index, name in enumerate(CHANNELS)}

masses = st.none() | st.floats(0, 2000) | st.sampled_from([math.nan, math.inf, -1.0])
minutes = st.builds(
    Minute,
    time_ms=st.integers(END_MS - 70 * MINUTE_MS, END_MS + 5 * MINUTE_MS),
    pm2_5=masses,
    pm10=masses,
    pm1=masses,
    humidity=st.none() | st.floats(-10, 120) | st.just(math.nan),
)


def day(level: float = 10.0, minutes_back: int = 1440) -> Context:
    context = Context()
    for back in range(minutes_back, 0, -1):
        context = observe(context, END_MS - back * MINUTE_MS, level)
    return context


def hour(*values: float | None, **rest: float) -> list[Minute]:
    """Minutes that end at END_MS, the last value in the last one."""
    start = END_MS - len(values) * MINUTE_MS
    return [Minute(start + i * MINUTE_MS, value, **rest) for i, value in enumerate(values)]


def column(window: Window, name: str) -> list[float]:
    return list(window.values[COLUMNS[name] :: len(CHANNELS)])


def made(minutes: list[Minute], context: Context | None = None) -> Window:
    window = assemble(minutes, END_MS, context or day(), MANIFEST)
    assert window is not None
    return window


def test_a_full_hour_at_the_days_level_is_level_zero() -> None:
    window = made(hour(*[10.0] * 60, pm10=20.0, pm1=7.0, humidity=60.0))
    assert window.coverage == 1.0
    assert column(window, Channel.LEVEL) == [0.0] * STEPS
    assert column(window, Channel.HAS_PM2_5) == [1.0] * STEPS
    assert column(window, Channel.HUMIDITY) == [0.0] * STEPS
    assert window.background.median == 10.0
    assert window.recent == window.before == 10.0


def test_a_plume_lifts_level_and_recent() -> None:
    window = made(hour(*[10.0] * 50, *[100.0] * 10))
    assert column(window, Channel.LEVEL)[-1] == pytest.approx(1.5 * math.log(105 / 15), rel=1e-6)
    assert column(window, Channel.RECENT)[-1] == 4.0  # clipped
    assert column(window, Channel.LEVEL)[0] == 0.0


@given(st.lists(minutes, max_size=90))
@settings(max_examples=200)
def test_any_minutes_make_a_finite_window_or_none(given_minutes: list[Minute]) -> None:
    window = assemble(given_minutes, END_MS, day(), MANIFEST)
    inside = {
        (END_MS - 1 - m.time_ms) // MINUTE_MS: m
        for m in given_minutes
        if 0 <= (END_MS - 1 - m.time_ms) // MINUTE_MS < STEPS
    }
    usable = [m for m in inside.values() if m.pm2_5 is not None and math.isfinite(m.pm2_5) and m.pm2_5 >= 0]
    if len(usable) / STEPS < MANIFEST.thresholds.min_coverage:
        assert window is None
        return
    assert window is not None
    assert window.coverage == len(usable) / STEPS
    assert len(window.values) == STEPS * len(CHANNELS)
    assert all(math.isfinite(v) and -4.0 <= v <= 4.0 for v in window.values)
    assert sum(column(window, Channel.HAS_PM2_5)) == len(usable)


@given(st.lists(st.none() | st.floats(0, 500), min_size=60, max_size=60))
def test_a_missing_step_is_masked_and_zero(values: list[float | None]) -> None:
    window = assemble(hour(*values, pm10=50.0, pm1=5.0), END_MS, day(), MANIFEST)
    if window is None:
        return
    for name in (Channel.LEVEL, Channel.RECENT, Channel.COARSE, Channel.FINE):
        for value, number in zip(values, column(window, name), strict=True):
            assert value is not None or number == 0.0
    wanted = [0.0 if v is None else 1.0 for v in values]
    for name in (Channel.HAS_PM2_5, Channel.HAS_PM10, Channel.HAS_PM1):
        assert column(window, name) == wanted
    assert column(window, Channel.HAS_HUMIDITY) == [0.0] * STEPS


@given(st.permutations(range(60)))
@settings(max_examples=30)
def test_the_order_of_minutes_does_not_matter(order: list[int]) -> None:
    whole = hour(*[10.0 + i for i in range(60)])
    assert made([whole[i] for i in order]).values == made(whole).values


def test_minutes_outside_the_hour_are_left_out_and_the_later_given_counts() -> None:
    whole = hour(*[10.0] * 61)  # one too old
    future = Minute(END_MS, 900.0)
    again = Minute(END_MS - 30_000, 50.0)
    window = made([*whole, future, again])
    assert column(window, Channel.LEVEL)[:-1] == [0.0] * 59
    assert column(window, Channel.LEVEL)[-1] > 1.0


def test_too_few_minutes_or_no_background_make_no_window() -> None:
    assert assemble(hour(*[10.0] * 23), END_MS, day(), MANIFEST) is None
    assert assemble(hour(*[10.0] * 24), END_MS, day(), MANIFEST) is not None
    assert assemble(hour(*[10.0] * 60), END_MS, Context(), MANIFEST) is None


def test_the_hash_is_of_the_little_endian_floats_and_stable() -> None:
    whole = hour(*[10.0 + 0.1 * i for i in range(60)], pm10=30.0)
    window, again = made(whole), made(list(reversed(whole)))
    assert window.hash() == again.hash()
    assert len(window.hash()) == 32
    other = made([*whole[:-1], Minute(whole[-1].time_ms, 16.0, pm10=30.0)])
    assert other.hash() != window.hash()
    packed = struct.pack(f"<{len(window.values)}f", *window.values)
    assert window.hash() == hashlib.sha256(packed).digest()


def test_the_background_is_the_day_before_and_nothing_older() -> None:
    context = Context()
    for back in range(3 * 1440, 0, -1):
        level = 90.0 if back > 1440 else 10.0
        context = observe(context, END_MS - back * MINUTE_MS, level)
    background = context.background(END_MS)
    assert background is not None
    assert (background.low, background.median, background.high, background.fill) == (10.0, 10.0, 10.0, 1.0)
    assert len(context.buckets) <= DAY_BUCKETS


def test_a_background_takes_half_an_hour() -> None:
    assert day(minutes_back=10 * LEAST_BUCKETS - 10).background(END_MS + MINUTE_MS) is None
    background = day(minutes_back=10 * LEAST_BUCKETS).background(END_MS + MINUTE_MS)
    assert background is not None
    assert background.fill == LEAST_BUCKETS / DAY_BUCKETS


def test_an_hours_plume_hardly_moves_a_full_days_background() -> None:
    context = day(10.0)
    for minute in range(60):
        context = observe(context, END_MS + minute * MINUTE_MS, 300.0)
    background = context.background(END_MS + 60 * MINUTE_MS)
    assert background is not None
    assert background.median == 10.0


@given(st.lists(st.tuples(st.integers(0, 5_000), masses), max_size=80))
def test_observing_anything_keeps_the_buckets_ordered_finite_and_few(
    seen: list[tuple[int, float | None]],
) -> None:
    context = Context()
    for minute, value in seen:
        context = observe(context, END_MS + minute * MINUTE_MS, value)
    indices = [index for index, _ in context.buckets]
    assert indices == sorted(set(indices))
    assert all(math.isfinite(mean) and mean >= 0 for _, mean in context.buckets)
    assert len(indices) <= DAY_BUCKETS


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=50), st.floats(0, 1))
def test_a_quantile_lies_between_the_ends(values: list[float], share: float) -> None:
    ordered = sorted(values)
    assert ordered[0] <= quantile(ordered, share) <= ordered[-1] * (1 + 1e-12)


def test_the_rule_opens_on_a_plume_and_not_on_a_slow_rise() -> None:
    plume, _ = rule_score(made(hour(*[10.0] * 50, *[80.0] * 10)))
    calm, confidence = rule_score(made(hour(*[11.0] * 60)))
    slow, _ = rule_score(made(hour(*[22.0 + 0.05 * i for i in range(60)])))
    assert plume > 0.9
    assert calm < 0.1
    assert slow < 0.5
    assert 0.7 < confidence <= 0.8


def test_the_rule_says_nothing_without_the_last_minutes() -> None:
    assert rule_score(made(hour(*[10.0] * 54, *[None] * 6))) == (0.0, 0.0)


@given(st.lists(st.none() | st.floats(0, 1000), min_size=60, max_size=60), st.floats(0, 300))
def test_the_rules_score_and_confidence_are_shares(values: list[float | None], level: float) -> None:
    window = assemble(hour(*values), END_MS, day(level, 120), MANIFEST)
    if window is not None:
        score, confidence = rule_score(window)
        assert 0.0 <= score <= 1.0
        assert 0.0 <= confidence <= 1.0
