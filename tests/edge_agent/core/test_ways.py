"""Which way to the broker: the table, and that whatever way is open is found and kept."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.ways import DIRECT_AGAIN_AFTER, PATIENCE, TABLE, Outcome, Way, Ways, begin, step


def test_every_pair_is_in_the_table() -> None:
    assert set(TABLE) == set(product(Way, Outcome))


@pytest.mark.parametrize("way", Way)
def test_a_way_that_is_configured_is_kept(way: Way) -> None:
    ways = begin(way.value)
    for outcome in Outcome:
        assert step(ways, outcome) == ways


def attempts(ways: Ways, open_ways: set[Way], count: int) -> tuple[Ways, list[Way]]:
    tried = []
    for _ in range(count):
        tried.append(ways.way)
        ways = step(ways, Outcome.REACHED if ways.way in open_ways else Outcome.BLOCKED)
    return ways, tried


@given(st.lists(st.sets(st.sampled_from(Way)), max_size=30))
def test_whatever_happened_before_an_open_way_is_found_within_three_attempts(before: list[set[Way]]) -> None:
    ways = begin("auto")
    for open_ways in before:
        ways, _ = attempts(ways, open_ways, 1)
    for way in Way:
        _, tried = attempts(ways, {way}, PATIENCE + 1)
        assert way in tried


def test_the_direct_way_is_kept_while_it_is_open_and_tried_again_now_and_then() -> None:
    ways, tried = attempts(begin("auto"), set(Way), 50)
    assert set(tried) == {Way.DIRECT}
    _, tried = attempts(ways, {Way.WEBSOCKET}, 3 * DIRECT_AGAIN_AFTER)
    assert tried[:PATIENCE] == [Way.DIRECT] * PATIENCE
    assert tried.count(Way.DIRECT) == PATIENCE + 2
    _, tried = attempts(begin("auto"), set(), 6)
    assert tried[PATIENCE:] == [Way.WEBSOCKET, Way.DIRECT, Way.WEBSOCKET, Way.DIRECT]
