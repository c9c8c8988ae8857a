"""Ten minutes from minutes."""

from __future__ import annotations

from dashboards.fold import Bucket, fold

MINUTE_MS = 60_000


def test_the_mean_counts_readings_and_not_minutes() -> None:
    found = list(fold([Bucket(0, 10.0, 9.0, 11.0, 3, 0), Bucket(MINUTE_MS, 20.0, 18.0, 25.0, 1, 2)], 600))
    assert found == [Bucket(0, 12.5, 9.0, 25.0, 4, 2)]


def test_buckets_begin_at_whole_multiples_and_gaps_stay() -> None:
    minutes = [Bucket(m * MINUTE_MS, 1.0, 1.0, 1.0, 1, 0) for m in (9, 10, 19, 40)]
    assert [b.time_ms // MINUTE_MS for b in fold(minutes, 600)] == [0, 10, 40]


def test_nothing_but_failures_has_no_mean() -> None:
    assert list(fold([Bucket(0, None, None, None, 0, 5)], 600)) == [Bucket(0, None, None, None, 0, 5)]
    assert list(fold([], 600)) == []
