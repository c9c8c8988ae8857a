"""What may become of a claim: one table of states and events. Pure; the diagram is drawn from the table.

A claim is made by a person, used once by a device that sends its certificate request, decided by a person or
by a rule that people wrote (`fleet_server/accept_policy.py`), and ends in a certificate or in none. A public
key that was registered before, and an expired certificate's key, open a request as a claim does.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import product

# How long each opens a request, while nobody has used it. Whoever needs longer says so, up to the longest.
CLAIM_LIFE = timedelta(minutes=5)  # the technician stands there; a card that is carried asks for 24 hours
CLAIM_LIFE_LONGEST = timedelta(days=30)
BATCH_LIFE = timedelta(days=1)  # a round without a connection
BATCH_LONGEST = timedelta(days=14)
BATCH_MOST = 200  # claims: what a crew sets up in some days; a lost list opens no more doors than that
KEY_LIFE = timedelta(days=365)  # of a registered key: posts lie in a store
# How long a request that was opened waits to be decided, whatever the claim's life was.
PENDING_LIFE = timedelta(days=7)  # long enough for a weekend and a holiday, short enough not to be forgotten
ALARMS_OF_A_CLAIM = 20  # each key that tries it is one; a thief's thousand would tell nothing more
# A renewal is due every sixty days; more are retries after lost answers, or a device gone wrong or bad: each
# costs the ingest a signature and the city a certificate to revoke.
ISSUED_A_DAY = 10
POLL_SOONEST_S = 2  # the technician stands there and waits
POLL_LATEST_S = 300
POLL_AGE_SHARE = 0.25  # ask again after a quarter of the time waited so far


class State(StrEnum):
    """Of one enrolment; stored as these words."""

    CLAIMED = "claimed"  # the claim is made, no device has used it
    SUSPENDED = "suspended"  # its batch is in doubt: nobody can use it until a person says so
    PENDING = "pending"  # a device asked; a person has to decide
    ACCEPTED = "accepted"  # decided; the certificate is being made
    ISSUED = "issued"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class Event(StrEnum):
    """What can happen to it."""

    ASK = "ask"  # the device's request; the first, or again with the same key
    ASK_OTHER_KEY = "ask with another key"
    ACCEPT = "accept"
    REJECT = "reject"
    ISSUE = "issue"  # the authority signed
    WITHDRAW = "withdraw"
    SUSPEND = "suspend"  # another claim of its batch was used twice
    RESUME = "resume"  # a person has looked at the batch
    TIME_OUT = "time out"
    POWER_LOSS = "power loss"  # of server or device, at any instant: what is stored stands


class Refusal(StrEnum):
    """Why an event changes nothing; the words a person reads."""

    NOT_ASKED = "no lamppost has asked with this claim yet"
    NOT_DECIDED = "nobody has accepted it yet"
    SUSPENDED = "the claim's batch is suspended; a person has to look at it"
    CLAIM_USED = "this claim was used with another key; a new key needs a new claim"
    DECIDED = "it has been accepted already"
    REJECTED = "it was rejected; a new claim is needed"
    EXPIRED = "the claim has expired; a new claim is needed"
    WITHDRAWN = "the claim was withdrawn; a new claim is needed"


Outcome = State | Refusal

_S, _E, _R = State, Event, Refusal


def _ended(state: State, why: Refusal) -> dict[tuple[State, Event], Outcome]:
    """An end: time and power change nothing, everything else is refused."""
    stays = {_E.TIME_OUT, _E.POWER_LOSS, _E.SUSPEND, _E.RESUME}
    return {(state, event): state if event in stays else why for event in Event}


TABLE: Mapping[tuple[State, Event], Outcome] = {
    (_S.CLAIMED, _E.ASK): _S.PENDING,
    (_S.CLAIMED, _E.ASK_OTHER_KEY): _R.NOT_ASKED,  # there is no first key to differ from
    (_S.CLAIMED, _E.ACCEPT): _R.NOT_ASKED,
    (_S.CLAIMED, _E.REJECT): _R.NOT_ASKED,
    (_S.CLAIMED, _E.ISSUE): _R.NOT_ASKED,
    (_S.CLAIMED, _E.WITHDRAW): _S.WITHDRAWN,
    (_S.CLAIMED, _E.TIME_OUT): _S.EXPIRED,
    (_S.CLAIMED, _E.POWER_LOSS): _S.CLAIMED,
    (_S.CLAIMED, _E.SUSPEND): _S.SUSPENDED,
    (_S.CLAIMED, _E.RESUME): _S.CLAIMED,
    (_S.SUSPENDED, _E.ASK): _R.SUSPENDED,
    (_S.SUSPENDED, _E.ASK_OTHER_KEY): _R.SUSPENDED,
    (_S.SUSPENDED, _E.ACCEPT): _R.NOT_ASKED,
    (_S.SUSPENDED, _E.REJECT): _R.NOT_ASKED,
    (_S.SUSPENDED, _E.ISSUE): _R.NOT_ASKED,
    (_S.SUSPENDED, _E.WITHDRAW): _S.WITHDRAWN,
    (_S.SUSPENDED, _E.TIME_OUT): _S.EXPIRED,
    (_S.SUSPENDED, _E.POWER_LOSS): _S.SUSPENDED,
    (_S.SUSPENDED, _E.SUSPEND): _S.SUSPENDED,
    (_S.SUSPENDED, _E.RESUME): _S.CLAIMED,
    (_S.PENDING, _E.ASK): _S.PENDING,
    (_S.PENDING, _E.ASK_OTHER_KEY): _R.CLAIM_USED,
    (_S.PENDING, _E.ACCEPT): _S.ACCEPTED,
    (_S.PENDING, _E.REJECT): _S.REJECTED,
    (_S.PENDING, _E.ISSUE): _R.NOT_DECIDED,
    (_S.PENDING, _E.WITHDRAW): _S.WITHDRAWN,
    (_S.PENDING, _E.TIME_OUT): _S.EXPIRED,
    (_S.PENDING, _E.POWER_LOSS): _S.PENDING,
    (_S.PENDING, _E.SUSPEND): _S.PENDING,  # it waits for a person; no rule lets it in any more
    (_S.PENDING, _E.RESUME): _S.PENDING,
    (_S.ACCEPTED, _E.ASK): _S.ACCEPTED,
    (_S.ACCEPTED, _E.ASK_OTHER_KEY): _R.CLAIM_USED,
    (_S.ACCEPTED, _E.ACCEPT): _R.DECIDED,
    (_S.ACCEPTED, _E.REJECT): _R.DECIDED,
    (_S.ACCEPTED, _E.ISSUE): _S.ISSUED,
    (_S.ACCEPTED, _E.WITHDRAW): _R.DECIDED,
    (_S.ACCEPTED, _E.TIME_OUT): _S.ACCEPTED,  # a person has decided: it waits for the authority, however long
    (_S.ACCEPTED, _E.POWER_LOSS): _S.ACCEPTED,  # the next request has it issued
    (_S.ACCEPTED, _E.SUSPEND): _S.ACCEPTED,
    (_S.ACCEPTED, _E.RESUME): _S.ACCEPTED,
    (_S.ISSUED, _E.ASK): _S.ISSUED,  # the device lost power before it stored the answer
    (_S.ISSUED, _E.ASK_OTHER_KEY): _R.CLAIM_USED,
    (_S.ISSUED, _E.ACCEPT): _R.DECIDED,
    (_S.ISSUED, _E.REJECT): _R.DECIDED,
    (_S.ISSUED, _E.ISSUE): _R.DECIDED,
    (_S.ISSUED, _E.WITHDRAW): _R.DECIDED,
    (_S.ISSUED, _E.TIME_OUT): _S.ISSUED,
    (_S.ISSUED, _E.POWER_LOSS): _S.ISSUED,
    (_S.ISSUED, _E.SUSPEND): _S.ISSUED,
    (_S.ISSUED, _E.RESUME): _S.ISSUED,
    **_ended(_S.REJECTED, _R.REJECTED),
    **_ended(_S.EXPIRED, _R.EXPIRED),
    **_ended(_S.WITHDRAWN, _R.WITHDRAWN),
}


def step(state: State, event: Event) -> Outcome:
    """The next state, or why not. Every pair is in the table (a test counts them)."""
    return TABLE[state, event]


# what `store.expire_due` looks for
TIMING_OUT = tuple(s for s in State if step(s, Event.TIME_OUT) is State.EXPIRED and s is not State.EXPIRED)


def poll_after_s(requested_at: datetime, now: datetime) -> int:
    """When the device asks again, in whole seconds: soon at first, seldom later."""
    waited_s = max(0.0, (now - requested_at).total_seconds())
    return int(min(max(POLL_SOONEST_S, waited_s * POLL_AGE_SHARE), POLL_LATEST_S))


def diagram() -> str:
    """The table as a Mermaid state diagram; events that keep the state are left out."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.CLAIMED}: a person makes a claim"]
    for state, event in product(State, Event):
        outcome = step(state, event)
        if isinstance(outcome, State) and outcome is not state:
            lines.append(f"    {state} --> {outcome}: {event}")
    ends = (state for state in State if all(step(state, event) in (state, *Refusal) for event in Event))
    lines.extend(f"    {state} --> [*]" for state in ends)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(diagram(), end="")
