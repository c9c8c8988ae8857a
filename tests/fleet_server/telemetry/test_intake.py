"""What a message is, for any bytes; and the dead letters that come of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet_server.telemetry.ingest.intake import Incoming, Refused, Spooled, Told, classify
from tests.fleet_server.telemetry.support import MINUTE_MS, NOW_MS, Desk, Post
from wire_contract.classes import Class
from wire_contract.messages import Ask, Command, CommandName, Tombstone, TombstoneReason
from wire_contract.topics import Up

POST = Post()
DAY_MS = 86_400_000
SAMPLES = POST.samples([NOW_MS])


def _of_class(incoming: Incoming, said: Class) -> Incoming:
    return replace(incoming, properties=(*incoming.properties, ("c", str(int(said)))))


REFUSED = {
    "not a topic": (Incoming("lp/2/city/lamp-01/up/live", b""), "unknown_topic"),
    "no properties": (Incoming("lp/1/city/lamp-01/up/live", b"x"), "bad_properties"),
    "class of another topic": (
        _of_class(POST.publish(Class.LIVE, b"x"), Class.HISTORY),
        "class_mismatch",
    ),
    "no message": (POST.publish(Class.LIVE, b""), "truncated"),
    "cut short": (POST.publish(Class.LIVE, POST.publish(Class.LIVE, SAMPLES).payload[:-1]), "truncated"),
    "a bit turned": (
        POST.publish(Class.LIVE, POST.publish(Class.LIVE, SAMPLES).payload[:-1] + b"\0"),
        "malformed",
    ),
    "from the future": (POST.publish(Class.LIVE, b"\x02" + b"\0" * 20), "future_version"),
    "too large": (POST.publish(Class.LIVE, bytes(300_000)), "oversized"),
    "samples as alarm": (POST.publish(Class.ALARM, SAMPLES), "wrong_kind"),
    "a command upwards": (
        POST.publish(Class.REPLY, Command("a", CommandName.PING, {}, NOW_MS)),
        "wrong_kind",
    ),
    "before 2020": (POST.publish(Class.LIVE, POST.samples([NOW_MS, 1_000_000])), "implausible_time"),
    "two days ahead": (
        POST.publish(Class.HISTORY, POST.samples([NOW_MS + 2 * DAY_MS])),
        "implausible_time",
    ),
    "a tombstone elsewhere": (
        POST.publish(Class.LIVE, Tombstone(3, 4, TombstoneReason.EXPIRED, 1, 0, 0), 2),
        "tombstone_range",
    ),
    "a tombstone for ever": (
        POST.publish(Class.LIVE, Tombstone(3, 2**62, TombstoneReason.EXPIRED, 1, 0, 0), 3),
        "tombstone_range",
    ),
    "an ask as presence": (POST.tell(Up.PRESENCE, Ask(POST.epoch, ())), "wrong_kind"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_told_apart(case: str) -> None:
    incoming, reason = REFUSED[case]
    item = classify(incoming, NOW_MS)
    assert isinstance(item, Refused)
    assert item.reason == reason, item.detail


def test_everything_refused_is_kept_and_acked_where_it_can_be(desk: Desk, post: Post) -> None:
    """All of them at once, with good ones in between; a bad message costs the others nothing."""
    good = [post.declare(), post.publish(Class.DIAGNOSTIC, post.samples([NOW_MS]), 9)]
    wrong = [Incoming(i.topic, i.payload, _renumbered(i, n)) for n, (i, _) in enumerate(REFUSED.values())]
    live = [
        post.publish(Class.LIVE, post.samples([NOW_MS - MINUTE_MS * (i + 1)]), 1000 + i) for i in range(5)
    ]
    for _ in range(2):
        outcome = desk.take(*good, *wrong[:7], *live, *wrong[7:])
    assert desk.one("SELECT count(*) FROM sample") == 5
    assert desk.one("SELECT count(*) FROM dead_letter") == len(REFUSED) + 1
    keyed = desk.rows("SELECT class, sequence FROM dead_letter WHERE sequence IS NOT NULL")
    for cls, sequence in keyed:
        prefix, ranges = desk.progress(outcome)[cls]
        assert sequence <= prefix or any(first <= sequence <= last for first, last in ranges)


def _renumbered(incoming: Incoming, n: int) -> tuple[tuple[str, str], ...]:
    return tuple((key, str(100 + 2 * n) if key == "s" else value) for key, value in incoming.properties)


def test_who_says_the_class_of_the_topic_says_nothing_new() -> None:
    unsaid = POST.publish(Class.LIVE, SAMPLES)
    item, same = classify(unsaid, NOW_MS), classify(_of_class(unsaid, Class.LIVE), NOW_MS)
    assert isinstance(item, Spooled)
    assert isinstance(same, Spooled)
    assert same.delivery == item.delivery


def test_a_cleared_presence_says_nothing() -> None:
    assert classify(Incoming("lp/1/city/lamp-01/up/presence", b""), NOW_MS) is None


topics = st.sampled_from([f"lp/1/city/lamp-01/up/{channel}" for channel in Up]) | st.text(max_size=60)
payloads = st.binary(max_size=200) | st.sampled_from([POST.tell(Up.ASK, Ask(POST.epoch, (1,))).payload])
words = st.text(max_size=30)
pairs = st.lists(st.tuples(st.sampled_from(["e", "c", "s", "h", "traceparent"]) | words, words), max_size=6)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(topics, payloads, pairs)
def test_no_bytes_stop_the_ingest(
    desk: Desk, topic: str, payload: bytes, properties: list[tuple[str, str]]
) -> None:
    incoming = Incoming(topic, payload, tuple(properties))
    item = classify(incoming, NOW_MS)
    assert item is None or isinstance(item, Spooled | Told | Refused)
    desk.take(incoming)
