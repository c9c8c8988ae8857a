"""The ledger against a model: sets of sequences, in any order, from several connections."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet_server.telemetry.ingest import ledger
from fleet_server.telemetry.ingest.ledger import Entry, Stream
from fleet_server.telemetry.rules import Range, contiguous
from fleet_server.telemetry.upkeep.fold import fold
from tests.fleet_server.telemetry.support import Desk

small_ranges = st.tuples(st.integers(1, 30), st.integers(0, 6)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def as_ranges(numbers: set[int]) -> tuple[int, tuple[Range, ...]]:
    """The model's answer: prefix, and the islands above it."""
    prefix = 0
    while prefix + 1 in numbers:
        prefix += 1
    islands: list[list[int]] = []
    for number in sorted(n for n in numbers if n > prefix):
        if islands and islands[-1][1] == number - 1:
            islands[-1][1] = number
        else:
            islands.append([number, number])
    return prefix, tuple((first, last) for first, last in islands)


@given(st.integers(0, 10), st.lists(small_ranges))
def test_contiguous_is_what_sets_say(floor: int, ranges: list[Range]) -> None:
    numbers = set(range(1, floor + 1)).union(*(range(first, last + 1) for first, last in ranges))
    assert contiguous(floor, ranges) == as_ranges(numbers)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.one_of(st.lists(st.integers(1, 30), max_size=8), small_ranges, st.just("fold")), max_size=12)
)
def test_claims_tombstones_and_folding_agree_with_a_set(
    desk: Desk, steps: list[list[int] | Range | str]
) -> None:
    """Each number is given out once for ever; what is acked is exactly what was claimed."""
    stream, other = Stream(1, b"m" * 16, 2), Stream(1, b"n" * 16, 2)
    for table in ("batch", "batch_cursor"):
        desk.connection.execute(f"TRUNCATE {table}")  # type: ignore[arg-type]
    accounted: set[int] = set()
    given_out: list[int] = []
    known: dict[Stream, int] = {}
    for step in steps:
        with desk.connection.transaction(), desk.connection.cursor() as cursor:
            match step:
                case "fold":
                    pass
                case tuple((first, last)):
                    ledger.claim_range(cursor, Entry(stream, first, last))
                    accounted |= set(range(first, last + 1))
                case list():
                    entries = [Entry(each, n, n) for n in set(step) for each in (stream, other)]
                    new = {n for owner, n in ledger.claim(cursor, entries) if owner == stream}
                    assert new.isdisjoint(given_out)
                    given_out += new
                    accounted |= set(step)
        if step == "fold":
            fold(desk.connection, timedelta(0))
        for hints in ({}, known):
            reached = ledger.progress(desk.connection, [stream], hints)[0]
            assert (reached.prefix, reached.ranges) == as_ranges(accounted)
        known[stream] = reached.prefix


def test_an_ack_holds_a_bounded_number_of_ranges(desk: Desk) -> None:
    stream = Stream(1, b"m" * 16, 2)
    with desk.connection.transaction(), desk.connection.cursor() as cursor:
        ledger.claim(cursor, [Entry(stream, n, n) for n in range(2, 400, 2)])
    reached = ledger.progress(desk.connection, [stream], {})[0]
    assert (reached.prefix, len(reached.ranges)) == (0, ledger.MAX_ACK_RANGES)
    assert reached.ranges[0] == (2, 2)


def test_a_tombstone_that_begins_below_what_was_read_before_still_counts(desk: Desk) -> None:
    stream = Stream(1, b"m" * 16, 2)
    with desk.connection.transaction(), desk.connection.cursor() as cursor:
        ledger.claim(cursor, [Entry(stream, n, n) for n in (1, 2, 3)])
    reached = ledger.progress(desk.connection, [stream], {})[0]
    assert reached.prefix == 3
    with desk.connection.transaction(), desk.connection.cursor() as cursor:
        ledger.claim_range(cursor, Entry(stream, 2, 8))
    assert ledger.progress(desk.connection, [stream], {stream: 3})[0].prefix == 8
