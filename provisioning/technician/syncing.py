"""Sends what waits in the journal: in its order, each thing once however often it is tried."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from provisioning.technician.errors import NotSignedIn, ServerRefused, ServerUnreachable
from provisioning.technician.journal import Journal, Work
from provisioning.technician.rules import Event, State, event_of, sendable
from provisioning.technician.server import Server, path_of

REPORT, PHOTO = "handover", "photo"


@dataclass(frozen=True)
class Synced:
    """What became of it. `stopped`: why not everything was tried; "" where it was."""

    sent: tuple[Work, ...]
    conflicts: tuple[Work, ...]
    waiting: tuple[Work, ...]
    stopped: str = ""
    elsewhere: tuple[Work, ...] = ()  # done for another city: they wait for a sign-in there
    held: tuple[str, ...] = ()  # ids: a second person has to agree


class Sender(Protocol):
    """Raises NotSignedIn, ServerRefused, ServerUnreachable."""

    def __call__(self, work: Work) -> object: ...


def sync(
    journal: Journal,
    send: Sender,
    tell: Callable[[str], None] = lambda _line: None,
    outbox: Path | None = None,
    cities: Collection[str] = (),
) -> Synced:
    """Send what can be sent. A power cut between the server's answer and its line in the journal sends it
    again, which the server answers as before: what goes with it leaves the outbox only after that line.
    cities: the server's (Settings.cities); what is known to have been done for another is not sent."""
    sent: list[Work] = []
    held: list[str] = []
    stopped = ""
    while not stopped:
        work = _of(cities, journal.open())
        following = sendable([each.waiting for each in work], held)
        if following is None:
            break
        mine = next(each for each in work if each.id == following.id)
        event, detail = _try(mine, send)
        now = journal.became(mine, event, detail)
        match event:
            case Event.TAKEN:
                sent.append(now)
                _tidy(journal, now, outbox)
                tell(f"{now.device}: {now.kind} sent")
            case Event.REFUSED:
                tell(f"{now.device}: {now.kind} was refused: {detail}")
            case Event.SECOND:
                held.append(now.id)
                tell(f"{now.device}: {now.kind} waits for a second person")
            case _:
                stopped = detail
    everything = journal.open()
    left = _of(cities, everything)
    return Synced(
        tuple(sent),
        tuple(each for each in left if each.state is State.CONFLICT),
        tuple(each for each in left if each.state is State.WAITING),
        stopped,
        tuple(each for each in everything if each not in left),
        tuple(held),
    )


def _of(cities: Collection[str], work: list[Work]) -> list[Work]:
    return [each for each in work if not (cities and each.city) or each.city in cities]


def _tidy(journal: Journal, sent: Work, outbox: Path | None) -> None:
    """The same picture may still have to go to another post."""
    if outbox is not None and sent.blob and all(each.blob != sent.blob for each in journal.open()):
        (outbox / sent.blob).unlink(missing_ok=True)


def _try(work: Work, send: Sender) -> tuple[Event, str]:
    try:
        send(work)
    except ServerUnreachable as away:
        return Event.LATER, away.what
    except NotSignedIn as unknown:
        return Event.STOP, unknown.what
    except ServerRefused as refused:
        return event_of(refused.status, refused.kind), refused.what
    return Event.TAKEN, ""


def sender(server: Server, outbox: Path) -> Sender:
    """Sends over HTTP, a document or a picture from the outbox."""

    def send(work: Work) -> object:
        if not work.blob:
            told = {"kind": work.kind, "device": work.device, "done_at": work.done_at, "body": work.body}
            return server.put(path_of("field", "work", work.id), told)
        file = outbox / work.blob
        try:
            content = file.read_bytes()
        except OSError as gone:
            raise ServerRefused(410, "gone", f"{file} is not there any more") from gone
        if work.kind == REPORT:
            return server.put_bytes(path_of("field", "reports", work.id), content, "text/html")
        query = {"caption": str(work.body["caption"])}
        if work.body["keep_metadata"]:
            query["keep_metadata"] = "true"
        where = path_of("devices", *work.device.split("/"), "photos")
        return server.put_bytes(where, content, str(work.body["media_type"]), **query)

    return send
