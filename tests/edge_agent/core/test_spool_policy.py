"""What is shed and what never is, on any spool; the room's table driven by any order of signs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edge_agent.core.declaring import declaration
from edge_agent.core.records import Head, Usage, Weight
from edge_agent.core.spool_policy import Caps, Order, Room, RoomState, Sign, excess_bytes, step, to_free
from edge_agent.errors import SpoolFull
from edge_agent.io.clocks import SteppedClock
from edge_agent.loops.board import Board
from edge_agent.loops.room import RoomKeeper
from tests.support.fakes_edge import MemorySpool
from wire_contract.classes import NEVER_DROP, Class
from wire_contract.envelope import decode, encode
from wire_contract.messages import CommandReply, Tombstone

CAPS = Caps(10_000, 1000, 10, 30, 7)
NOW_MS = 1_795_000_000_000
WEIGHTS = st.lists(
    st.tuples(st.sampled_from(list(Class)), st.integers(1, 200), st.integers(1, 5000), st.booleans()),
    max_size=40,
    unique_by=lambda entry: entry[:2],
)


def weigh(entries: list[tuple[Class, int, int, bool]]) -> list[Weight]:
    return [
        Weight(Head(cls, sequence, sequence), size, 3, sequence, sequence + 1, sequence, maybe)
        for cls, sequence, size, maybe in entries
    ]


@given(WEIGHTS, st.integers(1, 100_000))
def test_lowest_class_first_oldest_first_and_never_a_never_drop(
    entries: list[tuple[Class, int, int, bool]], need: int
) -> None:
    weights = weigh(entries)
    runs = to_free(weights, need)
    gone = {(run.cls, n) for run in runs for n in range(run.first, run.last + 1)}
    assert not {cls for cls, _ in gone} & NEVER_DROP
    shed = [w for w in weights if (w.head.cls, w.head.sequence) in gone]
    kept = [w for w in weights if w not in shed and w.head.cls not in NEVER_DROP]
    assert sum(w.size_bytes for w in shed) >= need or not kept, "enough, or all there is"
    for left in kept:
        for lost in shed:
            worse = lost.head.cls > left.head.cls
            older = lost.head.cls == left.head.cls and lost.head.sequence < left.head.sequence
            assert worse or older
    assert sum(run.samples for run in runs) == 3 * len(shed)
    assert len(gone) == len(shed), "a run spans only what was chosen"


@given(WEIGHTS)
def test_what_may_have_left_is_never_joined(entries: list[tuple[Class, int, int, bool]]) -> None:
    weights = weigh(entries)
    left = {(w.head.cls, w.head.sequence) for w in weights if w.maybe_published}
    for run in to_free(weights, 1 << 40):
        if run.last > run.first:
            assert not left & {(run.cls, n) for n in range(run.first, run.last + 1)}


def test_excess_is_what_the_worse_cap_asks_for_and_a_margin() -> None:
    assert excess_bytes(Usage(10_000, 1000, 0), CAPS) == 0
    assert excess_bytes(Usage(10_100, 5000, 0), CAPS) == 100 + 200
    assert excess_bytes(Usage(10_100, 400, 0), CAPS) == 600 + 200
    assert excess_bytes(Usage(5_000, 400, 0, spare_bytes=600), CAPS) == 0, "on its way back to the disk"


@given(st.lists(st.sampled_from([Sign.FITS, Sign.OVER, Sign.WRITTEN, Sign.WRITE_REFUSED, Sign.POWER_LOST])))
def test_conditions_are_raised_and_cleared_in_pairs(signs: list[Sign]) -> None:
    state = RoomState()
    active: set[str] = set()
    for sign in signs:
        if sign is Sign.POWER_LOST:
            active.clear()
        state, orders = step(state, sign)
        for order in orders:
            if order is Order.RAISE_FULL:
                active.add("full")
            elif order is Order.RAISE_SHEDDING:
                active.add("shedding")
            elif order is Order.CLEAR_FULL:
                active.discard("full")
            elif order is Order.CLEAR_SHEDDING:
                active.discard("shedding")
        assert ("full" in active) == (state.room is Room.REFUSED)
        if state.room is Room.ROOMY:
            assert not active


class FullSpool(RuleBasedStateMachine):
    """Any order of messages, acks and shedding: each sequence stays accounted for, never-drop stays."""

    @initialize()
    def begin(self) -> None:
        self.spool = MemorySpool(declaration)
        clock = SteppedClock(NOW_MS)
        self.board = Board(clock)
        self.clock = clock
        self.keeper = RoomKeeper(clock, self.spool, self.board, Caps(3_000, 0, 0, 30, 7))
        self.put: dict[Class, int] = dict.fromkeys(Class, 0)

    @rule(cls=st.sampled_from(list(Class)), length=st.integers(1, 800))
    def write(self, cls: Class, length: int) -> None:
        payload = encode(CommandReply("c", True, "x" * length, NOW_MS))
        try:
            self.put[cls] = self.spool.put(cls, payload, NOW_MS)
        except SpoolFull as error:
            self.keeper.write_refused(error)
        else:
            self.keeper.written()

    @rule(full=st.booleans())
    def disk(self, full: bool) -> None:
        self.spool.full = full

    @rule()
    def keep(self) -> None:
        self.clock.step_to(self.clock.now_ms() + 20_000)
        if self.keeper.refused:
            self.keeper.retry()
        elif self.keeper.due():
            self.keeper.keep()

    @rule(cls=st.sampled_from(list(Class)))
    def publish(self, cls: Class) -> None:
        if self.put[cls] and not self.spool.full:
            self.spool.will_publish(cls, self.put[cls])

    @invariant()
    def every_sequence_is_data_or_in_a_tombstone(self) -> None:
        if not hasattr(self, "spool"):
            return
        for cls in Class:
            accounted = set()
            for head in self.spool.heads(cls, 0, 10_000):
                stored = self.spool.load(cls, head.sequence)
                assert stored is not None
                message = decode(stored.payload)
                if isinstance(message, Tombstone):
                    assert cls not in NEVER_DROP
                    assert (message.first, message.last) == (head.sequence, head.last)
                accounted |= set(range(head.sequence, head.last + 1))
            assert accounted == set(range(1, self.put[cls] + 1))


TestFullSpool = FullSpool.TestCase
