from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from demo.ledger import Frame, Stored, compare, latencies_ms, percentile, read_ledger, skipped

VALUES = st.tuples(st.integers(0, 3), st.none() | st.integers(0, 2))


def frame(values: tuple[int | None, ...], at: float = 0.0) -> Frame:
    return Frame(at, at, values)


def row(values: tuple[int | None, ...], at: float = 0.0, committed: float | None = None) -> Stored:
    return Stored(at, committed, values)


@given(st.lists(VALUES), st.sets(st.integers(0, 40)), st.lists(VALUES))
def test_each_lost_and_each_surplus_row_is_counted(
    sent: list[tuple[int, int | None]], drop: set[int], extra: list[tuple[int, int | None]]
) -> None:
    kept = [values for i, values in enumerate(sent) if i not in drop]
    found = compare([frame(v) for v in sent], [row(v) for v in kept])
    assert (found.missing, found.surplus) == (len(sent) - len(kept), 0)
    doubled = compare([frame(v) for v in sent], [row(v) for v in [*sent, *sent]])
    assert (doubled.missing, doubled.surplus) == (0, len(sent))
    both = compare([frame(v) for v in sent], [row(v) for v in [*kept, *extra]])
    assert both.missing - both.surplus == len(sent) - len(kept) - len(extra)


def test_latency_is_from_the_frame_with_the_rows_values_and_live_only() -> None:
    frames = [Frame(1000, 60_000, (1,)), Frame(2000, 120_000, (1,)), Frame(3000, 180_000, (2,))]
    rows = [row((1,), 120_100, 2400.0), row((2,), 180_000, 3900.0), row((1,), 60_000, 9999.0)]
    assert latencies_ms(frames, rows, live_from_street_ms=100_000) == [400.0, 900.0]


def test_readings_that_never_happened_are_counted_by_the_gaps() -> None:
    frames = [frame((1,), minute * 60_000.0) for minute in (0, 1, 2, 5, 6, 8)]
    assert skipped(frames, 60, 0) == 3
    assert skipped(frames, 60, 5 * 60_000) == 1
    jittered = [frame((1,), minute * 60_000.0 + 20_000 * (minute % 2)) for minute in range(9)]
    assert skipped(jittered, 60, 0) == 0


def test_percentiles_by_nearest_rank() -> None:
    assert percentile([], 0.5) is None
    assert percentile([1.0], 0.99) == 1.0
    assert percentile([float(i) for i in range(1, 101)], 0.99) == 99.0
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.0


def test_a_line_cut_off_by_a_power_cut_was_never_sent(tmp_path: Path) -> None:
    ledger = tmp_path / "unit.jsonl"
    ledger.write_text('{"n":1,"wall_ms":5,"street_ms":6,"hex":"","values":[1,null]}\n{"n":2,"wall_m')
    assert read_ledger(ledger) == [Frame(5, 6, (1, None))]
    assert read_ledger(tmp_path / "absent.jsonl") == []
