"""Topics, names and classes."""

from __future__ import annotations

import pytest

from wire_contract.channels import ON_DOWN, ON_UP, RETAINED
from wire_contract.classes import NEVER_DROP, Class
from wire_contract.errors import InvalidName, UnknownTopic
from wire_contract.messages import Tombstone
from wire_contract.topics import (
    Address,
    Down,
    Up,
    channel_class,
    class_channel,
    down_filter,
    down_topic,
    parse_topic,
    up_topic,
)

HERE = Address("lyon", "post-0017")


@pytest.mark.parametrize("channel", [*Up, *Down], ids=lambda c: f"{type(c).__name__}.{c.name}")
def test_topics_come_back(channel: Up | Down) -> None:
    topic = up_topic(HERE, channel) if isinstance(channel, Up) else down_topic(HERE, channel)
    assert topic == f"lp/1/lyon/post-0017/{'up' if isinstance(channel, Up) else 'down'}/{channel}"
    address, parsed = parse_topic(topic)
    assert address == HERE
    assert type(parsed) is type(channel)
    assert parsed is channel


def test_a_device_listens_to_itself_only() -> None:
    assert down_filter(HERE) == "lp/1/lyon/post-0017/down/#"


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "lp/1/lyon/post",
        "lp/2/lyon/post/up/live",
        "xx/1/lyon/post/up/live",
        "lp/1/lyon/post/up/ack",
        "lp/1/lyon/post/down/live",
        "lp/1/lyon/post/side/live",
        "lp/1/lyon/post/up/LIVE",
        "lp/1/lyon/post/up/live/",
        "/lp/1/lyon/post/up/live",
        "lp/1/Lyon/post/up/live",
        "lp/1/+/post/up/live",
        "lp/1/lyon//up/live",
        "lp/1/lyon/post/up/live\n",
    ],
)
def test_other_topics_are_unknown(topic: str) -> None:
    with pytest.raises(UnknownTopic):
        parse_topic(topic)


@pytest.mark.parametrize("name", ["a", "0", "lyon", "post-0017", "a--b", "x" * 63])
def test_names_that_are_allowed(name: str) -> None:
    assert Address.parse(f"{name}/{name}") == Address(name, name)
    assert str(Address(name, name)) == f"{name}/{name}"


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", "A", "a_b", "a b", "a.b", "a/b", "+", "#", "$SYS", "é", "a\n", "x" * 64]
)
def test_names_that_are_not(name: str) -> None:
    with pytest.raises(InvalidName):
        Address("lyon", name)
    with pytest.raises(InvalidName):
        Address(name, "post")


def test_an_address_has_two_parts() -> None:
    for text in ("", "lyon", "lyon/post/x", "/post", "lyon/"):
        with pytest.raises(InvalidName):
            Address.parse(text)


def test_each_class_has_a_channel_and_each_spooled_channel_a_class() -> None:
    assert [class_channel(cls) for cls in Class] == [Up.ALARM, Up.REPLY, Up.LIVE, Up.HISTORY, Up.DIAGNOSTIC]
    assert all(channel_class(class_channel(cls)) is cls for cls in Class)
    assert [c for c in Up if channel_class(c) is None] == [Up.PRESENCE, Up.ASK, Up.TWIN, Up.CERTIFICATE]


def test_alarms_drain_first_and_never_drop() -> None:
    assert sorted(Class) == [Class.ALARM, Class.REPLY, Class.LIVE, Class.HISTORY, Class.DIAGNOSTIC]
    assert {Class.ALARM, Class.REPLY} == NEVER_DROP


def test_every_channel_has_its_messages_and_a_tombstone_travels_in_every_class() -> None:
    assert set(ON_UP) == set(Up)
    assert set(ON_DOWN) == set(Down)
    assert all(Tombstone in ON_UP[class_channel(cls)] for cls in Class)
    assert {Up.PRESENCE} == RETAINED
