"""The link's loop on a real spool in the middle of a drain: what is urgent does not wait for what is old."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.core.declaring import declaration
from edge_agent.core.sealing import form
from edge_agent.io.clocks import SteppedClock
from edge_agent.io.sqlite_spool import SqliteSpool
from edge_agent.loops.board import Board
from edge_agent.loops.inbound import Inbound
from edge_agent.loops.link import LinkLoop
from tests.edge_agent.io.test_spools import NOW_MS, REPLY, row
from tests.support.deliveries import delivery_of
from tests.support.fakes_edge import MemoryBroker
from wire_contract.classes import Class
from wire_contract.messages import Ack, Presence
from wire_contract.topics import Address, Down, down_topic

ADDRESS = Address("city", "post-1")
BACKLOG = 200


class Drain:
    """A link whose server acks when the test says so."""

    def __init__(self, folder: Path) -> None:
        self.clock = SteppedClock(NOW_MS)
        self.spool = SqliteSpool(folder, declaration, street_s=self.clock.street_s)
        self.sent: list[tuple[Class, int]] = []
        self.broker = MemoryBroker(self._hear)
        board = Board(self.clock)

        def nothing(*_: object) -> None:
            """Nobody else is here."""

        inbound = Inbound(nothing, nothing, nothing)
        self.link = LinkLoop(
            *(ADDRESS, self.clock, self.broker, self.spool, board, inbound),
            lambda online, session: Presence(online, session, NOW_MS, self.spool.epoch, "1", True),
            nothing,
            nothing,
            120.0,
        )

    def _hear(self, topic: str, _payload: bytes, properties: object) -> None:
        if properties:
            delivery = delivery_of(topic, properties)  # type: ignore[arg-type]
            self.sent.append((delivery.cls, delivery.sequence))

    def turns(self, count: int = 12) -> None:
        for _ in range(count):
            self.clock.step_to(self.clock.now_ms() + 1)
            self.link.conditions_changed()  # something to do, so that no turn waits
            self.link.turn()

    def ack(self, cls: Class, prefix: int) -> None:
        self.broker.say(down_topic(ADDRESS, Down.ACK), Ack(self.spool.epoch, int(cls), prefix, ()))


@pytest.fixture
def drain(tmp_path: Path) -> Iterator[Drain]:
    """Connected, and as much history on its way as may be."""
    made = Drain(tmp_path)
    for number in range(1, BACKLOG + 1):
        made.spool.commit(sealed=form(Class.HISTORY, [row(number)]))
    from edge_agent.core.link_moves import Signal

    made.link._signal(Signal.START)
    made.turns()
    for cls in Class:
        made.ack(cls, 0)
    made.turns()
    assert made.sent == [(Class.HISTORY, n) for n in range(1, 17)], "sixteen, and four places are kept free"
    yield made
    made.spool.close()


def test_an_alarm_leaves_before_the_next_batch_of_history(drain: Drain) -> None:
    drain.spool.put(Class.ALARM, REPLY, NOW_MS)
    drain.link.work()
    drain.turns()
    assert drain.sent[16:] == [(Class.ALARM, 1)], "at once: no ack of history is needed for its place"


def test_an_alarm_goes_before_history_that_acks_have_made_room_for(drain: Drain) -> None:
    drain.spool.put(Class.ALARM, REPLY, NOW_MS)
    drain.spool.commit(sealed=form(Class.LIVE, [row(1000)]))
    drain.ack(Class.HISTORY, 10)  # it comes before the link hears of the alarm
    drain.link.work()
    drain.turns()
    assert drain.sent[16:18] == [(Class.ALARM, 1), (Class.LIVE, 1)]
    assert drain.sent[18:] == [(Class.HISTORY, n) for n in range(17, 27)]


def test_a_storm_of_live_data_leaves_an_alarm_its_place(drain: Drain) -> None:
    for number in range(2000, 2010):
        drain.spool.commit(sealed=form(Class.LIVE, [row(number)]))
    drain.link.work()
    drain.turns()
    assert drain.sent[16:] == [(Class.LIVE, n) for n in (1, 2, 3)]
    drain.spool.put(Class.ALARM, REPLY, NOW_MS)
    drain.link.work()
    drain.turns()
    assert drain.sent[19:] == [(Class.ALARM, 1)]
