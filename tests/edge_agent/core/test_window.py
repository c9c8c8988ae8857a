"""The window: never more than 20 on their way, history never in the way of live, nothing lost."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge_agent.core.records import Head
from edge_agent.core.window import (
    SAMPLE_CLASSES,
    AckMark,
    Window,
    acknowledge,
    due,
    fill,
    restart,
    room,
    wants,
)
from wire_contract.classes import Class
from wire_contract.limits import MAX_IN_FLIGHT, RESEND_AFTER_S

CLASSES = st.sampled_from(list(Class))


def heads(cls: Class, count: int, first: int = 1) -> list[Head]:
    return [Head(cls, n, n) for n in range(first, first + count)]


def test_history_leaves_places_for_live_and_live_for_alarms() -> None:
    window, sent = fill(Window(), heads(Class.HISTORY, 100), False, 0.0, 0.0)
    assert len(sent) == 16
    window, sent = fill(window, heads(Class.LIVE, 100), False, 0.0, 0.0)
    assert len(sent) == 3
    window, sent = fill(window, heads(Class.ALARM, 100), False, 0.0, 0.0)
    assert len(sent) == 1
    assert len(window.in_flight) == MAX_IN_FLIGHT
    assert wants(window, False) == ()


def test_the_best_class_goes_first_and_in_order() -> None:
    mixed = [*heads(Class.HISTORY, 2), *heads(Class.LIVE, 2), *heads(Class.ALARM, 1), *heads(Class.REPLY, 1)]
    _, sent = fill(Window(), mixed, False, 0.0, 0.0)
    assert [(head.cls, head.sequence) for head in sent] == [
        (Class.ALARM, 1),
        (Class.REPLY, 1),
        (Class.LIVE, 1),
        (Class.LIVE, 2),
        (Class.HISTORY, 1),
        (Class.HISTORY, 2),
    ]


def test_samples_wait_for_the_declaration() -> None:
    everything = [*heads(Class.REPLY, 1), *heads(Class.LIVE, 2), *heads(Class.HISTORY, 2)]
    window, sent = fill(Window(), everything, True, 0.0, 0.0)
    assert [head.cls for head in sent] == [Class.REPLY]
    assert {want.cls for want in wants(window, held=True)} & SAMPLE_CLASSES == set()
    _, sent = fill(window, everything, False, 0.0, 0.0)
    assert len(sent) == 4


def test_an_overdue_message_is_sent_again_once() -> None:
    window, _ = fill(Window(), heads(Class.LIVE, 1), False, 0.0, 0.0)
    assert due(window, RESEND_AFTER_S - 0.1, 0.0)[1] == ()
    window, late = due(window, RESEND_AFTER_S, 0.5)
    assert late == ((Class.LIVE, 1),)
    assert due(window, RESEND_AFTER_S + 1, 0.0)[1] == ()


def test_a_tombstone_leaves_only_when_its_whole_range_is_acknowledged() -> None:
    window, _ = fill(Window(), [Head(Class.HISTORY, 3, 9)], False, 0.0, 0.0)
    window = acknowledge(window, Class.HISTORY, 5, ())
    assert window.in_flight
    window = acknowledge(window, Class.HISTORY, 2, ((3, 9),))
    assert not window.in_flight


def test_an_older_ack_takes_nothing_back() -> None:
    window = acknowledge(Window(), Class.LIVE, 10, ((12, 13),))
    window = acknowledge(window, Class.LIVE, 4, ((6, 7),))
    assert window.mark(Class.LIVE) == AckMark(10, ((12, 13),))
    window = acknowledge(window, Class.LIVE, 11, ())
    assert window.mark(Class.LIVE) == AckMark(13, ())


RANGES = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)).map(sorted).map(tuple), max_size=5)


@given(st.integers(0, 40), RANGES, st.integers(0, 40), RANGES)
def test_joined_marks_cover_exactly_what_either_covers(
    prefix_a: int, ranges_a: Any, prefix_b: int, ranges_b: Any
) -> None:
    mark = AckMark().joined(prefix_a, ranges_a).joined(prefix_b, ranges_b)

    def either(n: int) -> bool:
        return (
            n <= max(prefix_a, prefix_b)
            or any(a <= n <= b for a, b in ranges_a)
            or any(a <= n <= b for a, b in ranges_b)
        )

    assert all(mark.covers(n, n) == either(n) for n in range(1, 45))


class Draining(RuleBasedStateMachine):
    """A spool, a window, a server that hears some and acks what it heard, a line that drops."""

    def __init__(self) -> None:
        super().__init__()
        self.window = Window()
        self.now_s = 0.0
        self.next = dict.fromkeys(Class, 1)
        self.spool: dict[tuple[Class, int], Head] = {}
        self.server: dict[Class, set[int]] = {cls: set() for cls in Class}
        self.held = False

    @rule(cls=CLASSES, count=st.integers(1, 30))
    def seal(self, cls: Class, count: int) -> None:
        for head in heads(cls, count, self.next[cls]):
            self.spool[cls, head.sequence] = head
        self.next[cls] += count

    @rule(jitter=st.floats(0, 1), heard=st.floats(0, 1), held=st.booleans())
    def drain(self, jitter: float, heard: float, held: bool) -> None:
        found = []
        for want in wants(self.window, held):
            waiting = sorted(s for c, s in self.spool if c is want.cls and s > want.after)
            found += [self.spool[want.cls, s] for s in waiting[: want.limit]]
        self.window, sent = fill(self.window, found, held, self.now_s, jitter)
        if held:
            assert not any(head.cls in SAMPLE_CLASSES for head in sent)
        for index, head in enumerate(sent):
            if (index + 1) / len(sent) <= heard:
                self.server[head.cls] |= set(range(head.sequence, head.last + 1))

    @rule(seconds=st.floats(0, 100), jitter=st.floats(0, 1))
    def wait(self, seconds: float, jitter: float) -> None:
        self.now_s += seconds
        self.window, late = due(self.window, self.now_s, jitter)
        for cls, sequence in late:
            self.server[cls].add(sequence)

    @rule(cls=CLASSES)
    def ack(self, cls: Class) -> None:
        have = self.server[cls]
        prefix = 0
        while prefix + 1 in have:
            prefix += 1
        ranges = tuple((n, n) for n in sorted(have) if n > prefix)
        self.window = acknowledge(self.window, cls, prefix, ranges)
        mark = self.window.mark(cls)
        for key in [k for k, h in self.spool.items() if k[0] is cls and mark.covers(h.sequence, h.last)]:
            del self.spool[key]

    @rule()
    def lose_the_line(self) -> None:
        self.window = restart(self.window)

    @invariant()
    def never_more_than_allowed(self) -> None:
        on_the_way = [cls for cls, _ in self.window.in_flight]
        assert len(on_the_way) <= MAX_IN_FLIGHT
        assert sum(cls >= Class.HISTORY for cls in on_the_way) <= 16
        assert sum(cls >= Class.LIVE for cls in on_the_way) <= 19

    @invariant()
    def live_always_finds_a_place_beside_history(self) -> None:
        if not any(cls is not Class.HISTORY for cls, _ in self.window.in_flight):
            assert room(self.window, Class.LIVE) >= 3

    @invariant()
    def nothing_is_lost(self) -> None:
        """Whatever was sealed is in the spool or at the server."""
        for cls in Class:
            for sequence in range(1, self.next[cls]):
                assert (cls, sequence) in self.spool or sequence in self.server[cls]

    def teardown(self) -> None:
        """With a line that holds and a server that answers, everything arrives."""
        for _ in range(400):
            if not self.spool:
                break
            self.drain(0.0, 1.0, False)
            self.wait(100.0, 0.0)
            for cls in Class:
                self.ack(cls)
        assert not self.spool


TestDraining = Draining.TestCase
