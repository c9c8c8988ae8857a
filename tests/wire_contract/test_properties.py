"""The user properties that name a delivery."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire_contract.classes import Class
from wire_contract.errors import BadProperties
from wire_contract.properties import Delivery

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EPOCH = bytes(range(16))
LIVE = [("e", "AAECAwQFBgcICQoLDA0ODw"), ("c", "2"), ("s", "7")]


@given(
    st.builds(
        Delivery,
        st.binary(min_size=16, max_size=16),
        st.sampled_from(Class),
        st.integers(1, 2**63 - 1),
        st.booleans(),
        st.sampled_from([None, TRACE]),
    )
)
def test_deliveries_come_back(delivery: Delivery) -> None:
    assert Delivery.from_user_properties(delivery.to_user_properties()) == delivery


def test_live_data_carries_three_short_properties() -> None:
    assert Delivery(EPOCH, Class.LIVE, 7).to_user_properties() == LIVE
    assert Delivery(EPOCH, Class.HISTORY, 7, True).to_user_properties()[-1] == ("h", "1")


def test_properties_of_others_are_left_alone_and_order_does_not_matter() -> None:
    pairs = [("x-bridge", "7"), *reversed(LIVE), ("x-bridge", "8")]
    assert Delivery.from_user_properties(pairs) == Delivery(EPOCH, Class.LIVE, 7)


@pytest.mark.parametrize(
    "trace", ["", "00-0-0-0", TRACE.upper(), "ff" + TRACE[2:], f"00-{'0' * 32}-{'0' * 16}-01"]
)
def test_a_traceparent_that_cannot_be_read_never_costs_a_reading(trace: str) -> None:
    assert Delivery.from_user_properties([*LIVE, ("traceparent", trace)]).traceparent is None
    with pytest.raises(BadProperties):
        Delivery(EPOCH, Class.LIVE, 7, traceparent=trace)


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        LIVE[:2],
        LIVE[1:],
        [*LIVE, ("s", "8")],
        [*LIVE, ("h", "0")],
        [*LIVE, ("h", "")],
        [LIVE[0], LIVE[1], ("s", "0")],
        [LIVE[0], LIVE[1], ("s", "-1")],
        [LIVE[0], LIVE[1], ("s", "07")],
        [LIVE[0], LIVE[1], ("s", " 7")],
        [LIVE[0], LIVE[1], ("s", "٧")],
        [LIVE[0], LIVE[1], ("s", str(2**63))],
        [LIVE[0], LIVE[1], ("s", "9" * 400)],
        [LIVE[0], ("c", "5"), LIVE[2]],
        [LIVE[0], ("c", "02"), LIVE[2]],
        [("e", ""), *LIVE[1:]],
        [("e", "A" * 21), *LIVE[1:]],
        [("e", "A" * 21 + "+"), *LIVE[1:]],
        [("e", "A" * 24), *LIVE[1:]],
    ],
    ids=str,
)
def test_other_properties_are_bad(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(BadProperties):
        Delivery.from_user_properties(pairs)


def test_a_delivery_of_anything_else_cannot_be_built() -> None:
    for epoch, sequence in ((bytes(15), 1), (EPOCH, 0), (EPOCH, 2**63)):
        with pytest.raises(BadProperties):
            Delivery(epoch, Class.LIVE, sequence)
