"""What the technician's tool decides, as data: names, cards, and what becomes of work that waits. Pure.

What was done waits in the journal until the server has it. One table says what an answer makes of it:

    (waiting, TAKEN)   -> sent       the server has it; it may be asked again, and answers the same
    (waiting, LATER)   -> waiting    no connection, or the server is busy: nothing after it is tried now
    (waiting, SECOND)  -> waiting    another person has to agree; what follows for other lampposts goes on
    (waiting, STOP)    -> waiting    the token is not taken: nothing can be sent before the next sign-in
    (waiting, REFUSED) -> conflict   told, and left to the technician: `sync --retry` or `sync --drop`; what
                                     follows for this lamppost waits, but for its decommissioning
    (conflict, RETRY)  -> waiting
    (conflict, DROP)   -> dropped
    (waiting, DROP)    -> dropped

Every other pair is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from wire_contract.errors import InvalidName
from wire_contract.topics import Address

SSH_HOST = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}@)?[A-Za-z0-9][A-Za-z0-9.:-]{0,252}")
SECOND_PERSON = "second-person-needed"  # the type of the problem that the server answers with


class State(StrEnum):
    """Of a piece of work in the journal."""

    WAITING = "waiting"
    SENT = "sent"
    CONFLICT = "conflict"
    DROPPED = "dropped"


class Event(StrEnum):
    """What the server answered, or the technician decided."""

    TAKEN = "taken"
    LATER = "later"
    SECOND = "second"
    STOP = "stop"
    REFUSED = "refused"
    RETRY = "retry"
    DROP = "drop"


TABLE: Mapping[tuple[State, Event], State] = {
    (State.WAITING, Event.TAKEN): State.SENT,
    (State.WAITING, Event.LATER): State.WAITING,
    (State.WAITING, Event.SECOND): State.WAITING,
    (State.WAITING, Event.STOP): State.WAITING,
    (State.WAITING, Event.REFUSED): State.CONFLICT,
    (State.WAITING, Event.DROP): State.DROPPED,
    (State.CONFLICT, Event.RETRY): State.WAITING,
    (State.CONFLICT, Event.DROP): State.DROPPED,
}


def step(state: State, event: Event) -> State | None:
    """What the work is afterwards; None: the event does not fit."""
    return TABLE.get((state, event))


def diagram() -> str:
    """The table as a Mermaid state diagram; events that keep the state are left out."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.WAITING}"]
    lines += [f"    {a} --> {b}: {event}" for (a, event), b in TABLE.items() if a is not b]
    return "\n".join([*lines, f"    {State.SENT} --> [*]", f"    {State.DROPPED} --> [*]"])


def event_of(status: int, kind: str = "") -> Event:
    """What an HTTP answer (its status, its problem's type) means for a piece of work."""
    if kind == SECOND_PERSON:
        return Event.SECOND
    if 200 <= status < 300:
        return Event.TAKEN
    if status in (408, 425, 429) or status >= 500:
        return Event.LATER
    return Event.STOP if status == 401 else Event.REFUSED


@dataclass(frozen=True)
class Waiting:
    """As much of a piece of work as the order needs. `device`: "tenant/name".

    ends: nothing that was done before it matters after it.
    """

    id: str
    device: str
    state: State
    ends: bool = False


def sendable(work: Sequence[Waiting], held: Iterable[str] = ()) -> Waiting | None:
    """The first that may be sent now: what was done at one lamppost is sent in its order, so that a conflict
    there, or one that is held back (`held`: ids), holds what was done to it afterwards.

    What ends a lamppost does not wait for a conflict: a stolen one is shut out whatever was refused before.
    For one that is held back it does: a second person looks at them in their order.
    """
    back = set(held)
    for each in work:
        if each.state is State.WAITING and each.id not in back and in_the_way(work, each.id, back) is None:
            return each
    return None


def in_the_way(work: Sequence[Waiting], id_: str, held: Iterable[str] = ()) -> Waiting | None:
    """What has to be decided on before the work of this id is sent; None: nothing."""
    back = set(held)
    ahead: list[Waiting] = []
    for each in work:
        if each.id == id_:
            stops = [one for one in ahead if one.device == each.device and (one.id in back or not each.ends)]
            return next(iter(stops), None)
        if each.state is State.CONFLICT or each.id in back:
            ahead.append(each)
    return None


def address_of(name: str, tenant: str) -> Address:
    """From "name" or "tenant/name". Raises InvalidName."""
    own, slash, device = name.partition("/")
    address = Address(own, device) if slash else Address(tenant, name)
    if len(str(address)) > 64:
        raise InvalidName(f"{address} is longer than a certificate's common name may be: 64 characters")
    return address


@dataclass(frozen=True)
class CardFacts:
    """What was seen at the path that is said to be a card."""

    is_mount_point: bool
    filesystem: str  # as /proc/mounts tells it
    names: frozenset[str]  # of the files in it, lower case
    writable: bool
    of_this_system: bool  # it is what this very machine boots from
    free_bytes: int
    bundle_of: str | None = None  # whose bundle is on it: "tenant/name", "?" where that cannot be read


BOOT_FILES = ("config.txt", "cmdline.txt")  # every Raspberry Pi OS has both on its boot partition
BOOT_FILESYSTEMS = ("vfat", "msdos", "exfat")


def card_problem(facts: CardFacts, needed_bytes: int, *, replace: bool = False) -> tuple[str, str] | None:
    """What is wrong with it as a Raspberry Pi's boot partition, and what to do; None where nothing is.

    replace: a bundle that is there may be written over.
    """
    if not facts.is_mount_point:
        return "nothing is mounted there", "Put the card in, and give the folder of its boot partition"
    if facts.of_this_system:
        return "this is the partition that this computer boots from", "Give the card's own folder"
    if facts.filesystem not in BOOT_FILESYSTEMS:
        return f"it is {facts.filesystem}, a boot partition is FAT", "Give bootfs, not rootfs"
    missing = [name for name in BOOT_FILES if name not in facts.names]
    if missing:
        return f"it has no {' and no '.join(missing)}", "Write Raspberry Pi OS to the card first"
    if not facts.writable:
        return "it cannot be written", "Unlock the card's switch; mount it for your user"
    if facts.free_bytes < needed_bytes:
        return f"it has {facts.free_bytes} bytes left, {needed_bytes} are needed", "Make room"
    if facts.bundle_of is not None and not replace:
        return (
            f"it holds a bundle of {facts.bundle_of} already, whose claim was not used",
            "Another card; or --force, and withdraw that claim",
        )
    return None


def host_problem(host: str) -> str | None:
    """What is wrong with a host for ssh; one that begins with "-" would be an option of it."""
    return None if SSH_HOST.fullmatch(host) else "write HOST or USER@HOST"


# what OpenSSH's client says -> what it means, and what to do about it; the first that is found counts
_HOST_KEY = "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
SSH_SAYS: tuple[tuple[str, str, str], ...] = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key is another one than the last time",
        f"A card that was written anew has a new one: compare it on the lamppost ({_HOST_KEY}), then here: "
        "ssh-keygen -R {host}. Not yours: go no further",
    ),
    (
        "Host key verification failed",
        "its host key is not known here",
        f"Once by hand: ssh {{host}}; it shows a fingerprint: compare it on the lamppost ({_HOST_KEY})",
    ),
    (
        "Permission denied",
        "it does not let you in",
        "Give it your key: ssh-copy-id {host}; or run this in a terminal, where a password can be asked for",
    ),
)


def ssh_problem(said: str, host: str) -> tuple[str, str]:
    """What a failed ssh wrote -> what is wrong, and what to do."""
    for words, what, remedy in SSH_SAYS:
        if words in said:
            return f"{host}: {what}", remedy.format(host=host)
    return f"{host} cannot be reached: {reason(said)}", f"Try it: ssh {host}"


def plain(text: str) -> str:
    """One line that a terminal only shows: a lamppost or a server that is not ours may have said it."""
    other = "\N{REPLACEMENT CHARACTER}"
    return "".join(each if each.isprintable() else " " if each.isspace() else other for each in text)


_SAYS_NOTHING = ("Exiting with failure status", "Exiting with previous", "Warning: Permanently added")


def reason(said: str) -> str:
    """The line of a program's complaints that says why: the last one that says something."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    told = [line for line in lines if not any(words in line for words in _SAYS_NOTHING)]
    return (told or lines or ["no reason given"])[-1][:200]


def file_remedy(said: str, *, sudo: bool) -> str:
    """What to do where a program there could not use a file, by what it said (strerror(3), or sudo(8))."""
    if "No such file" in said or "Is a directory" in said or "Not a directory" in said:
        return "Look where its agent.toml is, and give that: --config FILE"
    if "password" in said:
        return "sudo asks for a password there: log in as root, or let this user use sudo without one"
    denied = "denied" in said or "not permitted" in said
    return "Give --sudo" if denied and not sudo else ""


CLOCK_LEAST = datetime(2026, 1, 1, tzinfo=UTC)  # a clock before it was never set
CLOCK_BACK_MOST = timedelta(hours=24)  # what a wrong zone or a late NTP takes back; more was a wrong date


def done_at(now: datetime, before: Iterable[datetime]) -> datetime:
    """When something was done, by a clock that may have been put back since what was done `before` at this
    lamppost: later than that, so that the order stays. What a wrong date told is left: the server says so."""
    ahead = [each for each in before if now <= each <= now + CLOCK_BACK_MOST]
    return max(ahead) + timedelta(milliseconds=1) if ahead else now
