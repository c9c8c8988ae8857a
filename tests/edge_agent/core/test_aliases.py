"""Topic aliases: a receiver that follows the standard reads the right topic, whatever the broker allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.core.aliases import NUMBERS, Aliases, Naming
from wire_contract.topics import Address, Down, Up, down_topic, up_topic

MINE, OTHER = Address("city", "lamp-01"), Address("city", "lamp-02")
LIVE = up_topic(MINE, Up.LIVE)
TOPICS = [
    *(up_topic(address, channel) for address in (MINE, OTHER) for channel in Up),
    down_topic(MINE, Down.TWIN),
    "somewhere/else",
    "",
]
OF_ONE_NUMBER = [up_topic(address, Up.LIVE) for address in (MINE, OTHER)]


class Receiver:
    """The broker's end of one connection, by MQTT 5 section 3.3.2.3.4."""

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._topics: dict[int, str] = {}

    def read(self, naming: Naming) -> str:
        if naming.alias is None:
            return naming.topic
        assert 1 <= naming.alias <= self._maximum  # else 0x94, and the connection ends
        if naming.topic:
            self._topics[naming.alias] = naming.topic
        return self._topics[naming.alias]  # KeyError: 0x82


@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(0, 12), st.sampled_from([10, 65_535])),  # what a connection's broker allows
            # topic, whether it arrives, whether we know that it does
            st.lists(
                st.tuples(
                    st.sampled_from(OF_ONE_NUMBER) | st.sampled_from(TOPICS), st.booleans(), st.booleans()
                ),
                max_size=40,
            ),
        ),
        max_size=4,
    )
)
def test_the_receiver_reads_the_right_topic(
    connections: list[tuple[int, list[tuple[str, bool, bool]]]],
) -> None:
    for maximum, messages in connections:
        aliases, receiver = Aliases(maximum), Receiver(maximum)
        for topic, arrives, known in messages:
            naming = aliases.naming(topic)
            if arrives:
                assert receiver.read(naming) == topic
                if known:
                    aliases.sent(naming)


def test_every_channel_has_a_number_of_its_own_and_live_the_first() -> None:
    assert set(NUMBERS) == set(Up)
    assert sorted(NUMBERS.values()) == list(range(1, len(Up) + 1))
    assert NUMBERS[Up.LIVE] == 1


@pytest.mark.parametrize(("maximum", "short"), [(0, 0), (1, 1), (3, 3), (10, 9), (65_535, 9)])
def test_as_many_topics_are_left_out_as_the_broker_allows(maximum: int, short: int) -> None:
    aliases = Aliases(maximum)
    for channel in Up:
        naming = aliases.naming(up_topic(MINE, channel))
        assert naming.topic, "the first one names it"
        aliases.sent(naming)
    again = [aliases.naming(up_topic(MINE, channel)) for channel in Up]
    assert sum(not naming.topic for naming in again) == short
    assert (aliases.naming(LIVE) == ("", 1)) == (maximum > 0)


def test_a_topic_that_may_not_have_arrived_is_said_again() -> None:
    aliases = Aliases(10)
    assert aliases.naming(LIVE) == aliases.naming(LIVE) == (LIVE, 1)
    aliases.sent(aliases.naming(LIVE))
    assert aliases.naming(LIVE) == ("", 1)
    other = up_topic(OTHER, Up.LIVE)
    assert aliases.naming(other) == (other, 1)  # and nobody says whether it left
    assert aliases.naming(LIVE) == (LIVE, 1)


def test_a_new_connection_knows_nothing() -> None:
    aliases = Aliases(10)
    aliases.sent(aliases.naming(LIVE))
    assert Aliases(10).naming(LIVE) == (LIVE, 1)
