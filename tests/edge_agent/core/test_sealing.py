"""When samples are sealed, as what, into which batches; and what a reading costs."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.records import Row
from edge_agent.core.sealing import HISTORY_ROWS, HISTORY_SPAN_S, Moment, due_at_s, form, plan
from wire_contract.classes import Class
from wire_contract.envelope import decode
from wire_contract.flags import good_word
from wire_contract.limits import MAX_ROWS
from wire_contract.messages import SampleBatch

NOW_MS = 1_795_000_000_000


def row(number: int, unit: int = 1, values: tuple[int | None, ...] = (5, 7)) -> Row:
    return Row(number, unit, NOW_MS + number * 1000, values, good_word([0, 1]), "b", number * 1000)


def moment(street_s: float, up: bool = True, flush_s: float = 10.0, final: bool = False) -> Moment:
    return Moment(NOW_MS + int(street_s * 1000), street_s, up, flush_s, final)


def test_live_samples_are_sealed_after_the_flush_interval() -> None:
    rows = [row(0), row(5)]
    assert plan(rows, moment(9.9)).live == ()
    assert plan(rows, moment(10.0)).live == tuple(rows)
    assert due_at_s(0.0, 2, moment(3.0)) == 10.0


def test_offline_samples_wait_for_an_hour_or_many() -> None:
    rows = [row(n) for n in range(HISTORY_ROWS)]
    assert plan(rows[:-1], moment(HISTORY_SPAN_S - 1, up=False)).history == ()
    assert plan(rows, moment(1.0, up=False)).history == tuple(rows)
    assert plan(rows[:3], moment(HISTORY_SPAN_S, up=False)).history == tuple(rows[:3])


def test_when_the_link_returns_the_old_goes_as_history() -> None:
    rows = [row(n) for n in range(0, 1800, 10)]
    planned = plan(rows, moment(1800.0))
    assert planned.history
    assert planned.live
    assert max(each.time_ms for each in planned.history) < min(each.time_ms for each in planned.live)
    assert [*planned.history, *planned.live] == rows


def test_a_stopping_agent_seals_all() -> None:
    assert plan([row(0)], moment(0.1, final=True)).live == (row(0),)
    assert plan([row(0)], moment(0.1, up=False, final=True)).history == (row(0),)


VALUE = st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1))


@given(
    st.lists(
        st.tuples(
            st.integers(1, 3), st.tuples(VALUE, VALUE, VALUE).filter(lambda v: any(x is not None for x in v))
        ),
        min_size=1,
        max_size=40,
    )
)
def test_no_value_is_lost_or_changed_by_sealing(content: list[tuple[int, tuple[int | None, ...]]]) -> None:
    rows = [row(n, unit, values) for n, (unit, values) in enumerate(content)]
    found = {}
    for sealed in form(Class.LIVE, rows):
        batch = decode(sealed.payload)
        assert isinstance(batch, SampleBatch)
        for block in batch.blocks:
            for index, time_ms in enumerate(block.times_ms):
                values: list[int | None] = [None, None, None]
                for slot, column in zip(block.slots, block.columns, strict=True):
                    values[slot] = column[index]
                found[block.unit, time_ms] = tuple(values)
        assert sealed.readings == sum(v is not None for r in rows for v in r.values) or len(rows) > 1
    assert found == {(each.unit, each.time_ms): each.values for each in rows}


def test_too_many_rows_become_several_batches() -> None:
    rows = [row(n) for n in range(MAX_ROWS + 1)]
    sealed = form(Class.HISTORY, rows)
    assert len(sealed) == 2
    assert [row_id for batch in sealed for row_id in batch.row_ids] == [each.id for each in rows]


@pytest.mark.parametrize(("every_s", "rows_count"), [(1, 60), (60, 60)])
def test_a_minute_at_one_hertz_and_an_hour_at_one_minute_cost_less_than_one_and_a_half_bytes(
    every_s: int, rows_count: int
) -> None:
    """Noise as the sensors have it: 2 % of the value plus one resolution step."""
    seeded = random.Random(7)
    true = [8, 13, 17, 8, 13, 18, 1800, 500, 81, 40, 20, 10]

    def noisy(value: int) -> int:
        return round(value + seeded.gauss(0, 0.02 * value + 1))

    rows = [
        Row(
            n,
            1,
            NOW_MS + n * every_s * 1000 + 10 * seeded.randrange(3),
            tuple(map(noisy, true)),
            good_word(range(12)),
            "b",
            0,
        )
        for n in range(rows_count)
    ]
    (sealed,) = form(Class.LIVE, rows)
    assert len(sealed.payload) / sealed.readings <= 1.5
