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
LIVE = [("e", "AAECAwQFBgcICQoLDA0ODw"), ("s", "7")]
SAID = [LIVE[0], ("c", "2"), LIVE[1]]


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
    assert Delivery.from_user_properties(delivery.to_user_properties(), delivery.cls) == delivery


@pytest.mark.parametrize(
    ("said", "meant"), [(LIVE, Class.HISTORY), (SAID, Class.LIVE)], ids=["not said", "said"]
)
def test_the_class_is_the_topic_s_unless_it_is_said(said: list[tuple[str, str]], meant: Class) -> None:
    assert Delivery.from_user_properties(said, Class.HISTORY) == Delivery(EPOCH, meant, 7)


def test_live_data_carries_two_short_properties() -> None:
    assert Delivery(EPOCH, Class.LIVE, 7).to_user_properties() == LIVE
    assert Delivery(EPOCH, Class.HISTORY, 7, True).to_user_properties()[-1] == ("h", "1")


def test_properties_of_others_are_left_alone_and_order_does_not_matter() -> None:
    pairs = [("x-bridge", "7"), *reversed(LIVE), ("x-bridge", "8")]
    assert Delivery.from_user_properties(pairs, Class.LIVE) == Delivery(EPOCH, Class.LIVE, 7)


@pytest.mark.parametrize(
    "trace", ["", "00-0-0-0", TRACE.upper(), "ff" + TRACE[2:], f"00-{'0' * 32}-{'0' * 16}-01"]
)
def test_a_traceparent_that_cannot_be_read_never_costs_a_reading(trace: str) -> None:
    assert Delivery.from_user_properties([*LIVE, ("traceparent", trace)], Class.LIVE).traceparent is None
    with pytest.raises(BadProperties):
        Delivery(EPOCH, Class.LIVE, 7, traceparent=trace)


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        LIVE[:1],
        LIVE[1:],
        SAID[:2],
        [*LIVE, ("s", "8")],
        [*LIVE, ("h", "0")],
        [*LIVE, ("h", "")],
        [LIVE[0], ("s", "0")],
        [LIVE[0], ("s", "-1")],
        [LIVE[0], ("s", "07")],
        [LIVE[0], ("s", " 7")],
        [LIVE[0], ("s", "٧")],
        [LIVE[0], ("s", str(2**63))],
        [LIVE[0], ("s", "9" * 400)],
        [*SAID, ("c", "2")],
        [SAID[0], ("c", "5"), SAID[2]],
        [SAID[0], ("c", "02"), SAID[2]],
        [SAID[0], ("c", ""), SAID[2]],
        [("e", ""), *LIVE[1:]],
        [("e", "A" * 21), *LIVE[1:]],
        [("e", "A" * 21 + "+"), *LIVE[1:]],
        [("e", "A" * 24), *LIVE[1:]],
    ],
    ids=str,
)
def test_other_properties_are_bad(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(BadProperties):
        Delivery.from_user_properties(pairs, Class.LIVE)


def test_a_delivery_of_anything_else_cannot_be_built() -> None:
    for epoch, sequence in ((bytes(15), 1), (EPOCH, 0), (EPOCH, 2**63)):
        with pytest.raises(BadProperties):
            Delivery(epoch, Class.LIVE, sequence)
