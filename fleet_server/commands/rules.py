"""What may become of a command: one table of states and events. Pure; the diagram is drawn from the table.

A person or program asks for it; the server sends it while the lamppost is online, again and again until the
lamppost says that it begins; it ends in one of six ways, and stays ended. Two clocks run, as in AWS IoT Jobs:
expiry, until it begins, and the time-out, from then on. Instants are real time.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import product

from wire_contract.messages import CommandName, CommandOutcome

EXPIRY = timedelta(days=1)  # a lamppost that is away for a day's repair still gets it
EXPIRY_SHORTEST, EXPIRY_LONGEST = timedelta(minutes=1), timedelta(days=30)
TIMEOUT = timedelta(
    minutes=15
)  # a bundle over a 2G link takes one minute, and a day's backlog goes before it
TIMEOUT_SHORTEST, TIMEOUT_LONGEST = timedelta(minutes=1), timedelta(days=7)  # as AWS IoT Jobs
# Word that a command began just in time may be on its way when the time is over.
EXPIRY_GRACE = timedelta(minutes=1)
RESEND_AFTER = timedelta(seconds=30)  # as the wire's own RESEND_AFTER_S; the lamppost answers an id it knows
WAITING_MOST = (
    100  # commands of one lamppost that have not ended: beyond it somebody's program has gone wrong
)
BULK_MOST = 10_000  # lampposts in one call
RATE_LOWEST, RATE_HIGHEST = 1, 1_000  # commands a minute of a bulk
RATE = 60
LINES, LINES_MOST = 200, 2_000  # of the log; what the lamppost keeps in memory
REASON_MOST_CHARACTERS = 500
KEY_MOST_CHARACTERS = 64  # an idempotency key: a UUID and a word
KEPT = timedelta(days=365)  # ended commands, who asked for them and why
FILES_KEPT = timedelta(days=30)  # support bundles: a case is closed by then
FILES_KEPT_EACH = 10  # of one lamppost, the newest
_KEY = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class State(StrEnum):
    """Of one command; stored as these words. In progress is `received`."""

    QUEUED = "queued"
    SENT = "sent"  # given to the broker at least once
    RECEIVED = "received"  # the lamppost says that it begins
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    TIMED_OUT = "timed out"
    EXPIRED = "expired"
    CANCELED = "canceled"


class Event(StrEnum):
    """What can happen to it. The first five are the lamppost's word."""

    BEGIN = "begin"
    SUCCEED = "succeed"
    FAIL = "fail"
    REJECT = "reject"
    TOO_LATE = "came too late"  # the lamppost's clock says that it has expired
    SEND = "send"
    EXPIRE = "expire"  # the time to begin is over
    TIME_OUT = "time out"  # the time to end, since it began, is over
    CANCEL = "cancel"  # a person's
    POWER_LOSS = "power loss"  # of server or lamppost, at any instant: what is stored stands


class Refusal(StrEnum):
    """Why an event changes nothing; the words a person reads."""

    ENDED = "it has ended"
    RUNS = "the lamppost has begun with it; what runs is not stopped"


Outcome = State | Refusal

_S, _E, _R = State, Event, Refusal
ENDS = (_S.SUCCEEDED, _S.FAILED, _S.REJECTED, _S.TIMED_OUT, _S.EXPIRED, _S.CANCELED)
OPEN = tuple(state for state in State if state not in ENDS)


def _ended(state: State) -> dict[tuple[State, Event], Outcome]:
    """An end: nothing changes it. What the lamppost says after it is written down beside it."""
    stays = {_E.SEND, _E.EXPIRE, _E.TIME_OUT, _E.POWER_LOSS}
    return {(state, event): state if event in stays else _R.ENDED for event in Event}


TABLE: Mapping[tuple[State, Event], Outcome] = {
    # word of a command that the server has not sent: a server restored from a backup of before
    (_S.QUEUED, _E.BEGIN): _S.RECEIVED,
    (_S.QUEUED, _E.SUCCEED): _S.SUCCEEDED,
    (_S.QUEUED, _E.FAIL): _S.FAILED,
    (_S.QUEUED, _E.REJECT): _S.REJECTED,
    (_S.QUEUED, _E.TOO_LATE): _S.EXPIRED,
    (_S.QUEUED, _E.SEND): _S.SENT,
    (_S.QUEUED, _E.EXPIRE): _S.EXPIRED,
    (_S.QUEUED, _E.TIME_OUT): _S.QUEUED,  # it has not begun
    (_S.QUEUED, _E.CANCEL): _S.CANCELED,
    (_S.QUEUED, _E.POWER_LOSS): _S.QUEUED,
    (_S.SENT, _E.BEGIN): _S.RECEIVED,
    (_S.SENT, _E.SUCCEED): _S.SUCCEEDED,  # the word that it began was lost, or comes later
    (_S.SENT, _E.FAIL): _S.FAILED,
    (_S.SENT, _E.REJECT): _S.REJECTED,
    (_S.SENT, _E.TOO_LATE): _S.EXPIRED,
    (_S.SENT, _E.SEND): _S.SENT,
    (_S.SENT, _E.EXPIRE): _S.EXPIRED,
    (_S.SENT, _E.TIME_OUT): _S.SENT,
    (_S.SENT, _E.CANCEL): _S.CANCELED,  # it may be on its way: then its answer is written down beside it
    (_S.SENT, _E.POWER_LOSS): _S.SENT,
    (_S.RECEIVED, _E.BEGIN): _S.RECEIVED,
    (_S.RECEIVED, _E.SUCCEED): _S.SUCCEEDED,
    (_S.RECEIVED, _E.FAIL): _S.FAILED,
    (_S.RECEIVED, _E.REJECT): _S.REJECTED,
    (_S.RECEIVED, _E.TOO_LATE): _S.FAILED,  # it began, and knows nothing of it now: its storage is another
    (_S.RECEIVED, _E.SEND): _S.RECEIVED,  # asked again for its word
    (_S.RECEIVED, _E.EXPIRE): _S.RECEIVED,  # it began in time
    (_S.RECEIVED, _E.TIME_OUT): _S.TIMED_OUT,
    (_S.RECEIVED, _E.CANCEL): _R.RUNS,
    (_S.RECEIVED, _E.POWER_LOSS): _S.RECEIVED,
    **_ended(_S.SUCCEEDED),
    **_ended(_S.FAILED),
    **_ended(_S.REJECTED),
    **_ended(_S.TIMED_OUT),
    **_ended(_S.EXPIRED),
    **_ended(_S.CANCELED),
}


def step(state: State, event: Event) -> Outcome:
    """The next state, or why not. Every pair is in the table (a test counts them)."""
    return TABLE[state, event]


_EVENT_OF = {
    CommandOutcome.RECEIVED: _E.BEGIN,
    CommandOutcome.SUCCEEDED: _E.SUCCEED,
    CommandOutcome.FAILED: _E.FAIL,
    CommandOutcome.REJECTED: _E.REJECT,
    CommandOutcome.EXPIRED: _E.TOO_LATE,
}


def event_of(outcome: CommandOutcome, *, ok: bool) -> Event:
    """What a lamppost's word means. An older agent says only whether it went well."""
    return _EVENT_OF.get(outcome, _E.SUCCEED if ok else _E.FAIL)


@dataclass(frozen=True)
class Clocks:
    """What the two clocks of a command depend on. began_at: None until it begins."""

    state: State
    expires_at: datetime
    began_at: datetime | None
    timeout: timedelta


def due(clocks: Clocks, now: datetime) -> Event | None:
    """The clock that has run out, if one has. One that was sent has a minute's grace for its word."""
    match clocks.state:
        case State.QUEUED:
            return _E.EXPIRE if now >= clocks.expires_at else None
        case State.SENT:
            return _E.EXPIRE if now >= clocks.expires_at + EXPIRY_GRACE else None
        case State.RECEIVED if clocks.began_at is not None:
            return _E.TIME_OUT if now >= clocks.began_at + clocks.timeout else None
        case _:
            return None


def last_instant(expires_at: datetime, timeout: timedelta) -> datetime:
    """When it has ended at the latest, whatever is lost."""
    return expires_at + EXPIRY_GRACE + timeout


@dataclass(frozen=True)
class Rule:
    """What a command takes. arguments: name -> allowed values' words; brings: the name of its file, or ""."""

    what: str
    arguments: Mapping[str, str]
    brings: str = ""


RULES: Mapping[CommandName, Rule] = {
    CommandName.DECLARE: Rule("declare its sensor units again", {}),
    CommandName.PING: Rule("answer", {}),
    CommandName.SENSORS: Rule("read each sensor once, and say what came of it", {}),
    CommandName.LOGS: Rule("send the last lines of its log", {"lines": f"1 to {LINES_MOST}"}, "log.tar.zst"),
    CommandName.BUNDLE: Rule("send a support bundle", {}, "bundle.tar.zst"),
    CommandName.RESTART: Rule("restart the agent", {}),
    CommandName.REBOOT: Rule("restart the computer, where its configuration allows it", {}),
}


def arguments_problem(name: CommandName, arguments: Mapping[str, str]) -> str | None:
    """What is wrong with a command's arguments, or None."""
    unknown = sorted(arguments.keys() - RULES[name].arguments.keys())
    if unknown:
        return f"{name} takes no {unknown[0][:40]!r}"
    lines = arguments.get("lines")
    if lines is not None and not (
        lines.isascii() and lines.isdigit() and len(lines) < 6 and 1 <= int(lines) <= LINES_MOST
    ):
        return f"lines = {lines[:40]!r}: allowed is 1 to {LINES_MOST}"
    return None


def ask_problem(expiry: timedelta, timeout: timedelta, key: str, rate: int = RATE) -> str | None:
    """What is wrong with how a command is asked for, or None. key: the caller's own, "" for none."""
    if not EXPIRY_SHORTEST <= expiry <= EXPIRY_LONGEST:
        return "expiry is from a minute to 30 days"
    if not TIMEOUT_SHORTEST <= timeout <= TIMEOUT_LONGEST:
        return "the time-out is from a minute to 7 days"
    if key and not _KEY.fullmatch(key):
        return "an idempotency key is 1 to 64 of A-Z a-z 0-9 . _ : -"
    if not RATE_LOWEST <= rate <= RATE_HIGHEST:
        return f"the rate is {RATE_LOWEST} to {RATE_HIGHEST} a minute"
    return None


def digest(
    name: CommandName,
    arguments: Mapping[str, str],
    whom: Iterable[str],
    expiry: timedelta,
    timeout: timedelta,
    rate: int = 0,
) -> str:
    """Of all that makes two demands the same, hexadecimal. The reason is no part of it: it may name somebody,
    and be told in other words the second time. rate: of a bulk; 0: of one lamppost."""
    clocks = [expiry.total_seconds(), timeout.total_seconds()]
    told = [str(name), dict(arguments), sorted(set(whom)), clocks, rate]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def not_before(asked_at: datetime, place: int, rate: int) -> datetime:
    """When the command at this place (from 0) of a bulk may be sent: `rate` a minute, evenly."""
    return asked_at + timedelta(seconds=60 * place / rate)


def diagram() -> str:
    """The table as a Mermaid state diagram; events that keep the state are left out."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.QUEUED}: asked for"]
    for state, event in product(State, Event):
        outcome = step(state, event)
        if isinstance(outcome, State) and outcome is not state:
            lines.append(f"    {_word(state)} --> {_word(outcome)}: {event}")
    lines.extend(f"    {_word(state)} --> [*]" for state in ENDS)
    return "\n".join(lines) + "\n"


def _word(state: State) -> str:
    return state.replace(" ", "_")


if __name__ == "__main__":
    print(diagram(), end="")
