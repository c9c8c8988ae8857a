"""The link to the server as one table: connect, subscribe, ask what it has, drain, back off.

`python -m edge_agent.core.link` prints the table as a Mermaid diagram. Pure: times and randomness come in
with the events, what to do goes out as actions (`loops/link.py` carries them out).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from edge_agent.core.link_moves import (
    Ack,
    Action,
    AnnounceBirth,
    ApplyAck,
    Arm,
    Connect,
    Disconnect,
    Event,
    Fetch,
    Fetched,
    Publish,
    Say,
    SendAsk,
    Signal,
    Subscribe,
    Trouble,
    Unsay,
)
from edge_agent.core.machine import Rule, Table
from edge_agent.core.window import Window, acknowledge, again, due, fill, forget, restart, wants
from wire_contract.classes import Class

BACKOFF_BASE_S = 1.0  # the first retry comes within a second: most losses are short
BACKOFF_MAX_S = 120.0  # a broker that was away for an hour is found again within two minutes
BACKOFF_STEPS = 10  # 2**10 s is beyond any maximum; keeps the power finite
HANDSHAKE_S = 15.0  # connect or subscribe unanswered for this long is a dead connection, the first time
# A broker that a whole city calls at once answers late. Whoever hangs up and calls again makes it later
# still: with 5,000 lampposts nobody got through for a minute. So patience doubles with every attempt.
HANDSHAKE_MAX_S = 120.0
RESUME_S = 3.0  # wait this long for the server's state, then drain without it: it may be away
SILENT_S = 60.0  # unacknowledged for two resends: the broker lives, the server does not answer
ASK_MAX_S = (
    30.0  # a silent server is asked each 5 s, then less often up to this, half as soon to half as late
)
STEADY_S = 60.0  # a connection that lived this long was a good one: back-off starts anew
TICK_S = 5.0  # deadlines are tens of seconds; a wake-up each five seconds costs nothing


class Phase(StrEnum):
    IDLE = "idle"
    WAITING = "waiting"
    CONNECTING = "connecting"
    SUBSCRIBING = "subscribing"
    RESUMING = "resuming"
    DRAINING = "draining"
    STOPPED = "stopped"


CONNECTED_PHASES = frozenset({Phase.RESUMING, Phase.DRAINING})


@dataclass(frozen=True)
class Link:
    """`answered`: classes the server has told us about since the Ask. `heard_at_s`: the last ack, or the
    start of the present wait for one (wire clock). `held`: samples wait for a declaration's ack. `asks`: of a
    silent server, the next one due at `ask_at_s`. `paused`: classes that wait here for now."""

    phase: Phase = Phase.IDLE
    attempt: int = 0
    window: Window = field(default_factory=Window)
    answered: frozenset[Class] = frozenset()
    since_s: float = 0.0
    heard_at_s: float = 0.0
    silent: bool = False
    asks: int = 0
    ask_at_s: float = 0.0
    held: bool = False
    paused: frozenset[Class] = frozenset()
    backoff_max_s: float = BACKOFF_MAX_S


Decision = tuple[Link, tuple[Action, ...]]


def patience_s(attempt: int) -> float:
    """How long the broker may take to answer; `attempt`: connections that failed before this one."""
    return min(HANDSHAKE_MAX_S, HANDSHAKE_S * 2.0 ** min(attempt, BACKOFF_STEPS))


def _connect(link: Link, _event: Event) -> Decision:
    patient = Arm(Signal.TIMED_OUT, patience_s(link.attempt))
    return replace(link, phase=Phase.CONNECTING), (patient, Connect())


def _connected(link: Link, event: Event) -> Decision:
    fresh = replace(link, phase=Phase.SUBSCRIBING, since_s=event.now_s, heard_at_s=event.now_s)
    return fresh, (Arm(Signal.TIMED_OUT, patience_s(link.attempt)), Subscribe())


def _subscribed(link: Link, event: Event) -> Decision:
    resuming = replace(
        link, phase=Phase.RESUMING, window=restart(link.window), answered=frozenset(), heard_at_s=event.now_s
    )
    connection = (Unsay("broker_unreachable"), Unsay("broker_refused"), Unsay("broker_untrusted"))
    return resuming, (*connection, AnnounceBirth(), SendAsk(), Arm(Signal.TIMED_OUT, RESUME_S))


def _back_off(link: Link, event: Event) -> Decision:
    """Full jitter: anything from nothing to the present ceiling (fleet_semantics.md S7)."""
    steady = link.phase in CONNECTED_PHASES and event.now_s - link.since_s >= STEADY_S
    attempt = 0 if steady else link.attempt
    ceiling = min(link.backoff_max_s, BACKOFF_BASE_S * 2 ** min(attempt, BACKOFF_STEPS))
    waiting = replace(link, phase=Phase.WAITING, attempt=attempt + 1, window=restart(link.window))
    says = (Say(event.code, event.detail, event.remedy),) if isinstance(event, Trouble) else ()
    return waiting, (Disconnect(), *says, Arm(Signal.RETRY_DUE, ceiling * event.jitter))


def _handshake_timed_out(link: Link, event: Event) -> Decision:
    why = f"the broker did not answer within {patience_s(link.attempt):.0f} s ({link.phase.value})"
    remedy = "Check that server.host and server.port name the MQTT broker, and the network between."
    return _back_off(link, Trouble(Signal.LOST, event.now_s, event.jitter, "broker_unreachable", why, remedy))


def _drain(link: Link, _event: Event) -> Decision:
    draining = replace(link, phase=Phase.DRAINING)
    return draining, (Arm(Signal.TICK, TICK_S), Fetch(wants(link.window, False, link.paused)))


def _fetched(link: Link, event: Event) -> Decision:
    assert isinstance(event, Fetched)
    window, heads = fill(link.window, event.heads, event.held, event.now_s, event.jitter)
    moved = window.cursor != link.window.cursor
    heard = link.heard_at_s if link.window.in_flight else event.now_s
    actions: tuple[Action, ...] = tuple(Publish(head.cls, head.sequence) for head in heads)
    more = wants(window, event.held, link.paused) if moved else ()
    if more:
        actions += (Fetch(more),)
    return replace(link, window=window, held=event.held, heard_at_s=heard), actions


def _work(link: Link, _event: Event) -> Decision:
    wanted = wants(link.window, False, link.paused)
    return link, ((Fetch(wanted),) if wanted else ())


def _ack(link: Link, event: Event) -> Decision:
    """While draining: what the ack covers leaves, and its places are filled again. The first word of a server
    that was silent: what it does not have goes to it at once."""
    assert isinstance(event, Ack)
    window = acknowledge(link.window, event.cls, event.prefix, event.ranges)
    mark = window.mark(event.cls)
    actions: tuple[Action, ...] = (ApplyAck(event.cls, mark.prefix, mark.ranges), Unsay("server_silent"))
    if link.silent:
        missing = tuple(window.in_flight)
        window = again(window, missing, event.now_s, event.jitter)
        actions += tuple(Publish(cls, sequence) for cls, sequence in missing)
    heard = replace(
        link, window=window, heard_at_s=event.now_s, attempt=0, silent=False, asks=0, ask_at_s=0.0
    )
    if link.phase is Phase.DRAINING:
        return heard, (*actions, Fetch(wants(window, False, link.paused)))
    return heard, actions


def _ack_while_resuming(link: Link, event: Event) -> Decision:
    assert isinstance(event, Ack)
    heard, actions = _ack(link, event)
    heard = replace(heard, answered=link.answered | {event.cls})
    if heard.answered != frozenset(Class):
        return heard, actions
    draining, more = _drain(heard, event)
    return draining, actions + more


def _ask_again_in_s(asks: int, jitter: float) -> float:
    """A city that waits for one server must neither ask in chorus nor, once it is back, drain in chorus."""
    return min(ASK_MAX_S, TICK_S * 2.0 ** min(asks, BACKOFF_STEPS)) * (0.5 + jitter)


def _tick(link: Link, event: Event) -> Decision:
    window, late = due(link.window, event.now_s, event.jitter)
    actions: tuple[Action, ...] = tuple(Publish(cls, sequence) for cls, sequence in late)
    silent = bool(window.in_flight) and event.now_s - link.heard_at_s >= SILENT_S
    if silent and not link.silent:
        detail = f"the broker is connected, but nothing was acknowledged for {SILENT_S:.0f} s"
        actions += (Say("server_silent", detail, ""),)
    asks, ask_at_s = link.asks, link.ask_at_s
    if silent and event.now_s >= ask_at_s:
        actions += (SendAsk(),)
        asks, ask_at_s = asks + 1, event.now_s + _ask_again_in_s(asks, event.jitter)
    steady = 0 if event.now_s - link.since_s >= STEADY_S else link.attempt
    moved = replace(
        link, window=window, silent=link.silent or silent, attempt=steady, asks=asks, ask_at_s=ask_at_s
    )
    return moved, (*actions, Fetch(wants(window, False, link.paused)), Arm(Signal.TICK, TICK_S))


def _gone(link: Link, event: Event) -> Decision:
    """A message that was to be sent again has left the spool (acknowledged, or shed)."""
    assert isinstance(event, Fetched)
    window = link.window
    for head in event.heads:
        window = forget(window, (head.cls, head.sequence))
    return replace(link, window=window), ()


def _stop(link: Link, _event: Event) -> Decision:
    return replace(link, phase=Phase.STOPPED), (Disconnect(),)


def _power_lost(link: Link, _event: Event) -> Decision:
    """What a restart finds: the spool, and nothing of this state."""
    return Link(backoff_max_s=link.backoff_max_s), ()


def _ignore(link: Link, _event: Event) -> Decision:
    """Late news of an earlier connection, or work that waits in the spool until we are connected."""
    return link, ()


def _late_ack(link: Link, event: Event) -> Decision:
    """An ack is true whenever it comes: the server has committed what it names."""
    assert isinstance(event, Ack)
    window = acknowledge(link.window, event.cls, event.prefix, event.ranges)
    mark = window.mark(event.cls)
    return replace(link, window=window), (ApplyAck(event.cls, mark.prefix, mark.ranges),)


_UP = (Phase.RESUMING, Phase.DRAINING)
_REACHING = (Phase.CONNECTING, Phase.SUBSCRIBING)
_ALIVE = (Phase.IDLE, Phase.WAITING, *_REACHING, *_UP)

_R = Rule[Phase, Link, Event, Action]
_RULES: dict[tuple[Phase, Signal], _R] = {
    (Phase.IDLE, Signal.START): _R((Phase.CONNECTING,), _connect),
    (Phase.WAITING, Signal.RETRY_DUE): _R((Phase.CONNECTING,), _connect),
    (Phase.CONNECTING, Signal.CONNECTED): _R((Phase.SUBSCRIBING,), _connected),
    (Phase.SUBSCRIBING, Signal.SUBSCRIBED): _R((Phase.RESUMING,), _subscribed),
    (Phase.RESUMING, Signal.ACK): _R((Phase.RESUMING, Phase.DRAINING), _ack_while_resuming),
    (Phase.RESUMING, Signal.TIMED_OUT): _R((Phase.DRAINING,), _drain),
    (Phase.DRAINING, Signal.FETCHED): _R((Phase.DRAINING,), _fetched),
    (Phase.DRAINING, Signal.WORK): _R((Phase.DRAINING,), _work),
    (Phase.DRAINING, Signal.ACK): _R((Phase.DRAINING,), _ack),
    (Phase.DRAINING, Signal.TICK): _R((Phase.DRAINING,), _tick),
    (Phase.DRAINING, Signal.GONE): _R((Phase.DRAINING,), _gone),
    **{(phase, Signal.TIMED_OUT): _R((Phase.WAITING,), _handshake_timed_out) for phase in _REACHING},
    **{(phase, Signal.REFUSED): _R((Phase.WAITING,), _back_off) for phase in (*_REACHING, *_UP)},
    **{(phase, Signal.LOST): _R((Phase.WAITING,), _back_off) for phase in (*_REACHING, *_UP)},
    **{(phase, Signal.STOP): _R((Phase.STOPPED,), _stop) for phase in _ALIVE},
    **{(phase, Signal.POWER_LOST): _R((Phase.IDLE,), _power_lost) for phase in Phase},
    # Late news: a timer of a phase we left, a callback of a connection we closed.
    **{(phase, Signal.RETRY_DUE): _R((phase,), _ignore) for phase in Phase if phase is not Phase.WAITING},
    **{(phase, Signal.TICK): _R((phase,), _ignore) for phase in Phase if phase is not Phase.DRAINING},
    **{(phase, Signal.FETCHED): _R((phase,), _ignore) for phase in Phase if phase is not Phase.DRAINING},
    **{(phase, Signal.GONE): _R((phase,), _ignore) for phase in Phase if phase is not Phase.DRAINING},
    **{(phase, Signal.WORK): _R((phase,), _ignore) for phase in Phase if phase is not Phase.DRAINING},
    **{(phase, Signal.ACK): _R((phase,), _late_ack) for phase in Phase if phase not in _UP},
    **{
        (phase, signal): _R((phase,), _ignore)
        for phase in (Phase.IDLE, Phase.WAITING, Phase.STOPPED)
        for signal in (Signal.REFUSED, Signal.LOST, Signal.TIMED_OUT)
    },
    (Phase.DRAINING, Signal.TIMED_OUT): _R((Phase.DRAINING,), _ignore),
    (Phase.STOPPED, Signal.STOP): _R((Phase.STOPPED,), _ignore),
    (Phase.STOPPED, Signal.CONNECTED): _R((Phase.STOPPED,), _ignore),
    (Phase.STOPPED, Signal.SUBSCRIBED): _R((Phase.STOPPED,), _ignore),
    (Phase.WAITING, Signal.CONNECTED): _R((Phase.WAITING,), _ignore),
    (Phase.WAITING, Signal.SUBSCRIBED): _R((Phase.WAITING,), _ignore),
}

TABLE: Table[Phase, Signal, Link, Event, Action] = Table(
    name="link",
    phases=Phase,
    signals=Signal,
    rules=_RULES,
    refused=frozenset(
        {
            *((phase, Signal.START) for phase in Phase if phase is not Phase.IDLE),
            *((phase, Signal.CONNECTED) for phase in (Phase.IDLE, Phase.SUBSCRIBING, *_UP)),
            *((phase, Signal.SUBSCRIBED) for phase in (Phase.IDLE, Phase.CONNECTING, *_UP)),
        }
    ),
)


def step(link: Link, event: Event) -> Decision:
    """Decide one event. Raises RefusedEvent where the pair is refused."""
    return TABLE.step(link.phase, event.signal, link, event)


if __name__ == "__main__":
    print(TABLE.mermaid())
