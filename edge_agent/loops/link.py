"""The link's loop: carries events to `core/link.py` and carries out what it decides. Owns the broker."""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import assert_never

from edge_agent.core import link_moves as moves
from edge_agent.core.link import CONNECTED_PHASES, Link, Phase, step
from edge_agent.core.link_moves import Event, Signal, Trouble
from edge_agent.core.records import Head, Stored
from edge_agent.core.sealing import LATE_S
from edge_agent.core.tracing import trace_of
from edge_agent.core.window import AckMark, Want
from edge_agent.errors import IdentityError, LinkError, LinkLost, SpoolCorrupt, SpoolError, SpoolFull
from edge_agent.loops.board import Board
from edge_agent.loops.gate import Gate
from edge_agent.loops.inbound import Inbound
from edge_agent.ports import Broker, BrokerEvents, Clock, Session, Spool
from wire_contract.classes import Class
from wire_contract.messages import Ack, Ask, Presence
from wire_contract.properties import Delivery
from wire_contract.topics import Address, Up, class_channel, down_filter, up_topic

log = logging.getLogger("lamppost")

ACK_COMMIT_S = 1.0  # acks are committed together: deleting late is safe, the server knows what it has
PRESENCE_EVERY_S = 5.0  # a flapping condition costs one small message each five seconds at most
PRESENCE_REFRESH_S = 30.0  # backlog counts on the dashboard are at most this old
MOST_FAILURES = 6  # 2**6 s: a fault of ours must not hammer the broker
IDLE_S = 30.0  # the watchdog sees a turn at least this often
DRAIN_STOP_S = 0.5  # for the last packets to leave when we stop
SUBJECT = "server"

Item = Callable[[], None]


@dataclass
class LinkView:
    """What other loops may know of the link. `delivering`: connected, and the server answers.
    `left_street_s`: when it last did (street-monotonic)."""

    connected: bool = False
    delivering: bool = False
    left_street_s: float = float("-inf")
    in_flight: int = 0

    def up_within(self, street_s: float, seconds: float) -> bool:
        return self.delivering or street_s - self.left_street_s <= seconds


class LinkLoop:
    """Runs in a thread of its own (`run`); everything else puts work into its inbox."""

    def __init__(
        self,
        address: Address,
        clock: Clock,
        broker: Broker,
        spool: Spool,
        board: Board,
        inbound: Inbound,
        presence: Callable[[bool, int], Presence],
        corrupt: Callable[[], None],
        born: Callable[[], None],
        backoff_max_s: float,
        paused: Callable[[], frozenset[Class]] = frozenset,
    ) -> None:
        self._address, self._clock, self._broker, self._spool = address, clock, broker, spool
        self._board, self._inbound, self._presence, self._corrupt = board, inbound, presence, corrupt
        self._born, self._paused, self._refresh_s = born, paused, PRESENCE_REFRESH_S
        self._inbox: SimpleQueue[Item] = SimpleQueue()
        self._events: deque[Event] = deque()
        self._timers: dict[str, tuple[float, Item]] = {}
        self._link = Link(backoff_max_s=backoff_max_s)
        self._epoch, self._gate = spool.epoch, Gate(board)
        self._acks: dict[Class, AckMark] = {}
        self._connection = 0
        self._session = 0
        self._presence_sent: tuple[float, Presence | None] = (0.0, None)
        self._running = True
        self._ever_connected = False
        self._failures = 0  # of this loop, since the server last answered
        self.view = LinkView()
        self.beat_s = clock.wire_s()  # the watchdog's: when the loop last turned

    # -- what other threads may call ---------------------------------------------------------------------

    def work(self) -> None:
        """Something new is in the spool."""
        self._inbox.put(self._work)

    def conditions_changed(self) -> None:
        self._inbox.put(self._refresh_presence)

    def refresh_each(self, seconds: float) -> None:
        """Tell state and backlog again so often, when they changed (wire clock)."""

        def change() -> None:
            self._refresh_s = seconds
            self._refresh_presence()

        self._inbox.put(change)

    def epoch_changed(self) -> None:
        """The spool began anew: so does the link."""
        self._inbox.put(self._start_over)

    def publish_now(self, channel: Up, payload: bytes) -> None:
        """Publish something that is not spooled; silently nothing while not connected."""
        self._inbox.put(lambda: self._publish_unspooled(channel, payload))

    def reconnect(self) -> None:
        """Use the identity that is in the files now."""
        self._inbox.put(self._start_over)

    def stop(self) -> None:
        self._inbox.put(self._stop)

    # -- the loop ----------------------------------------------------------------------------------------

    def run(self) -> None:
        self._signal(Signal.START)
        while self._running:
            self.turn()

    def turn(self) -> None:
        """Once round: do what is due or has come, else wait for it."""
        try:
            self._turn()
        except SpoolCorrupt as error:
            self._board.raise_error(error, "spool")
            self._abandon()
            self._corrupt()
        except SpoolError as error:
            self._board.raise_error(error, "spool")
            self._arm("pause", 1.0, lambda: self._signal(Signal.WORK))
        except Exception as error:  # the loop's top
            if self._board.loop_failed("link", error):
                log.exception("the link's loop failed; it starts over")
            self._failures = min(self._failures + 1, MOST_FAILURES)
            self._start_over()

    def _turn(self) -> None:
        now_s = self.beat_s = self._clock.wire_s()
        due = [name for name, (at_s, _) in self._timers.items() if at_s <= now_s]
        for name in due:
            self._timers.pop(name)[1]()
        self._drain_events()
        wait_s = min((at_s for at_s, _ in self._timers.values()), default=now_s + IDLE_S) - now_s
        try:
            item = self._inbox.get(timeout=max(wait_s, 0.001)) if not due else self._inbox.get_nowait()
        except Empty:
            return
        item()
        self._drain_events()

    def _drain_events(self) -> None:
        while self._events:
            event = self._events.popleft()
            self._link, actions = step(replace(self._link, paused=self._paused()), event)
            for action in actions:
                self._carry_out(action)
            self._note_view()

    def _work(self) -> None:
        self._signal(Signal.WORK)
        self._note_backlog()

    def _note_backlog(self) -> None:
        """The dashboard says whether history is to come: tell it soon when that begins, and when it ends."""
        told = self._presence_sent[1]
        waits = self._spool.counters()[Class.HISTORY].waiting_messages > 0
        if told is not None and waits != bool(told.backlog.get("history")):
            self._refresh_presence()

    def _note_view(self) -> None:
        connected = self._link.phase in CONNECTED_PHASES
        delivering = connected and not self._link.silent
        if self.view.delivering and not delivering:
            self.view.left_street_s = self._clock.street_s()
        self.view.connected, self.view.delivering = connected, delivering
        self.view.in_flight = len(self._link.window.in_flight)

    def _signal(self, signal: Signal) -> None:
        self._events.append(Event(signal, self._clock.wire_s(), random.random()))  # noqa: S311 jitter

    def _trouble(self, signal: Signal, error: LinkError | IdentityError) -> None:
        now_s, jitter = self._clock.wire_s(), random.random()  # noqa: S311 jitter
        self._events.append(Trouble(signal, now_s, jitter, error.code, error.detail, error.remedy))

    def _arm(self, name: str, delay_s: float, item: Item) -> None:
        self._timers[name] = (self._clock.wire_s() + delay_s, item)

    # -- actions -----------------------------------------------------------------------------------------

    def _carry_out(self, action: moves.Action) -> None:
        match action:
            case moves.Connect():
                self._connect()
            case moves.Subscribe():
                self._attempt(self._broker.subscribe)
            case moves.AnnounceBirth():
                self._announce()
                self._born()
            case moves.SendAsk():
                ask = Ask(self._epoch, tuple(int(cls) for cls in Class))
                self._publish_unspooled(Up.ASK, self._gate.leave(Up.ASK, ask))
            case moves.Disconnect():
                self._connection += 1
                self._broker.disconnect()
            case moves.Arm(signal, delay_s):
                self._arm(signal.value, delay_s, lambda: self._signal(signal))
            case moves.Fetch(wants):
                self._fetch(wants)
            case moves.Publish(cls, sequence):
                self._publish(cls, sequence)
            case moves.ApplyAck(cls, prefix, ranges):
                self._apply_ack(cls, prefix, ranges)
            case moves.Say(code, detail, remedy):
                self._board.raise_(code, SUBJECT, detail, remedy)
            case moves.Unsay(code):
                self._board.clear(code, SUBJECT)
            case _:
                assert_never(action)

    def _connect(self) -> None:
        self._connection += 1
        mine = self._connection
        try:
            self._session = self._spool.next_session(self._clock.now_ms())
        except SpoolFull:
            self._session = max(self._session + 1, self._clock.now_ms())

        def put(item: Item) -> None:
            self._inbox.put(lambda: item() if mine == self._connection else None)

        events = BrokerEvents(
            subscribed=lambda: put(lambda: self._signal(Signal.SUBSCRIBED)),
            received=lambda topic, payload, handled: put(lambda: self._received(topic, payload, handled)),
            lost=lambda detail: put(lambda: self._trouble(Signal.LOST, LinkLost(detail))),
            publish_refused=lambda detail: put(lambda: self._publish_refused(detail)),
        )
        will = self._gate.leave(Up.PRESENCE, self._presence(False, self._session)) or b""
        session = Session(up_topic(self._address, Up.PRESENCE), will, down_filter(self._address))
        try:
            self._broker.connect(session, events)
        except (LinkError, IdentityError) as error:
            self._trouble(Signal.REFUSED, error)
        else:
            if not self._ever_connected:
                log.info("connected to the broker as %s", self._address)
            self._ever_connected = True
            self._board.clear_subject(SUBJECT, "not_enrolled", "link_lost")
            self._signal(Signal.CONNECTED)

    def _received(self, topic: str, payload: bytes, handled: Callable[[], None]) -> None:
        ack = self._inbound.take(topic, payload, self._epoch)
        if ack is not None:
            if self._link.phase is Phase.RESUMING:
                self._check_spool_against(ack)
            now_s, jitter = self._clock.wire_s(), random.random()  # noqa: S311 jitter
            self._events.append(
                moves.Ack(Signal.ACK, now_s, jitter, Class(ack.cls), ack.prefix, tuple(ack.ranges))
            )
        handled()

    def _check_spool_against(self, ack: Ack) -> None:
        """Raises SpoolCorrupt when the server has committed what this spool has not sealed yet: then it is an
        older copy of itself, and its next sequences would be taken for what the server has."""
        furthest = max((ack.prefix, *(last for _, last in ack.ranges)))
        if furthest > self._spool.counters()[Class(ack.cls)].messages:
            raise SpoolCorrupt(
                f"the server has message {furthest} of a class in which the spool has fewer: the spool is an"
                " older copy of itself, or the card lost what it said it wrote"
            )

    def _publish_refused(self, detail: str) -> None:
        self._board.raise_("publish_refused", SUBJECT, detail)

    def _fetch(self, wants: tuple[Want, ...]) -> None:
        heads: list[Head] = []
        for want in wants:
            heads += self._spool.heads(want.cls, want.after, want.limit)
        if heads:
            held = self._spool.declarations_waiting()
            now_s, jitter = self._clock.wire_s(), random.random()  # noqa: S311 jitter
            self._events.append(moves.Fetched(Signal.FETCHED, now_s, jitter, tuple(heads), held))

    def _publish(self, cls: Class, sequence: int) -> None:
        stored = self._spool.load(cls, sequence)
        if stored is None or stored.epoch != self._epoch:
            gone = (Head(cls, sequence, sequence),)
            self._events.append(moves.Fetched(Signal.GONE, self._clock.wire_s(), 0.0, gone))
            return
        self._spool.will_publish(cls, sequence)
        topic = up_topic(self._address, class_channel(cls))
        properties = self._delivery(stored).to_user_properties()
        self._attempt(lambda: self._broker.publish(topic, stored.payload, properties))

    def _delivery(self, stored: Stored) -> Delivery:
        cls, sequence = stored.head.cls, stored.head.sequence
        age_ms = max(self._clock.now_ms() - stored.to_ms, stored.age_ms)
        history = cls is Class.HISTORY or (cls is Class.LIVE and age_ms > LATE_S * 1000)
        return Delivery(stored.epoch, cls, sequence, history, trace_of(stored.epoch, cls, sequence))

    def _apply_ack(self, cls: Class, prefix: int, ranges: tuple[tuple[int, int], ...]) -> None:
        self._board.clear("publish_refused", SUBJECT)
        self._board.clear("agent_error", "link")
        self._failures = 0
        self._acks[cls] = AckMark(prefix, ranges)
        if self._link.phase is Phase.RESUMING:
            self._commit_acks()
        elif self._link.held and cls is Class.REPLY:
            # Samples wait for the declaration that this acknowledges: commit it now, then look again.
            self._commit_acks()
            self._signal(Signal.WORK)
        elif "acks" not in self._timers:
            self._arm("acks", ACK_COMMIT_S, self._commit_acks)

    def _commit_acks(self) -> None:
        acks, self._acks = self._acks, {}
        if acks and self._spool.epoch == self._epoch:
            self._spool.acknowledge(acks)
            self._note_backlog()

    def _announce(self) -> None:
        presence = self._presence(True, self._session)
        topic = up_topic(self._address, Up.PRESENCE)
        self._presence_sent = (self._clock.wire_s(), presence)
        payload = self._gate.leave(Up.PRESENCE, presence)
        if payload is not None:
            self._attempt(lambda: self._broker.publish(topic, payload, retain=True))
        self._arm("presence", self._refresh_s, self._refresh_presence)

    def _refresh_presence(self) -> None:
        """Publish the presence again when it says something new, at most each PRESENCE_EVERY_S."""
        if self._link.phase not in CONNECTED_PHASES:
            return
        sent_s, before = self._presence_sent
        wait_s = sent_s + PRESENCE_EVERY_S - self._clock.wire_s()
        if wait_s > 0:
            self._arm("presence", wait_s, self._refresh_presence)
            return
        now = self._presence(True, self._session)
        if before is None or _content(now) != _content(before):
            self._announce()
        else:
            self._arm("presence", self._refresh_s, self._refresh_presence)

    def _publish_unspooled(self, channel: Up, payload: bytes | None) -> None:
        if payload is not None and self._link.phase in CONNECTED_PHASES:
            self._attempt(lambda: self._broker.publish(up_topic(self._address, channel), payload))

    def _attempt(self, call: Callable[[], None]) -> None:
        try:
            call()
        except LinkLost as error:
            self._trouble(Signal.LOST, error)

    # -- starting over, stopping -------------------------------------------------------------------------

    def _abandon(self) -> None:
        """Forget the connection as a power cut would; what is on the disk is all that counts."""
        self._connection += 1
        self._broker.disconnect()
        self._events.clear()
        self._timers.clear()
        self._acks.clear()
        self._signal(Signal.POWER_LOST)
        self._drain_events()

    def _start_over(self) -> None:
        self._abandon()
        self._epoch = self._spool.epoch
        wait_s = random.random() * 2**self._failures  # noqa: S311 jitter
        self._arm("start", wait_s, lambda: self._signal(Signal.START))

    def _stop(self) -> None:
        self._commit_acks()
        if self._link.phase in CONNECTED_PHASES:
            offline = self._gate.leave(Up.PRESENCE, self._presence(False, self._session)) or b""
            topic = up_topic(self._address, Up.PRESENCE)
            self._attempt(lambda: self._broker.publish(topic, offline, retain=True))
            self._broker.disconnect(DRAIN_STOP_S)
        self._signal(Signal.STOP)
        self._drain_events()
        self._running = False


def _content(presence: Presence) -> tuple[object, ...]:
    return (presence.clock_ok, presence.conditions, presence.settings, presence.backlog, presence.epoch)
