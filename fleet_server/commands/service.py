"""Tell lampposts what to do, see what came of it, take it back, fetch what it brought.

Every function takes the context and the acting principal, and authorizes. Instants are real time.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from sqlmodel import Session

from fleet_server.access.deciding import authorize, permitted
from fleet_server.access.rules import EVERY_TENANT, Action, Principal
from fleet_server.audit.recording import record
from fleet_server.commands import rules, store
from fleet_server.commands.errors import AskedDifferently, NotNow, TooManyWaiting
from fleet_server.commands.rules import EXPIRY, RATE, TIMEOUT, WAITING_MOST, Event, Refusal, State
from fleet_server.commands.store import (
    Before,
    CommandRecord,
    FileRecord,
    NewCommand,
    NewOrder,
    Target,
    Wanted,
)
from fleet_server.context import Context
from fleet_server.errors import InvalidRequest, NotFound
from fleet_server.masking import masked
from fleet_server.twin import groups
from wire_contract.messages import CommandName
from wire_contract.topics import Address

__all__ = ["Ask", "Bulk", "CommandName", "CommandRecord", "FileRecord", "State", "Wanted", "groups"]

MEMBERS_AT_ONCE = 1_000
TOLD = ("active", "pending")  # devices.rules.DeviceState: those whose data is taken, too
TOKEN_BYTES = 16  # 128 random bits: nobody guesses another's id


@dataclass(frozen=True)
class Ask:
    """What is to be done. key: the caller's own; asking again with it gives the same command.

    expiry: it must have begun by then. timeout: it must have ended by then, from when it began.
    """

    name: CommandName
    arguments: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    expiry: timedelta = EXPIRY
    timeout: timedelta = TIMEOUT
    key: str = ""


@dataclass(frozen=True)
class Bulk:
    """Commands that were asked for in one call. counts: how many are in which state."""

    id: str
    counts: Mapping[State, int]

    @property
    def commands(self) -> int:
        return sum(self.counts.values())


def ask(ctx: Context, principal: Principal, address: Address, wanted: Ask) -> CommandRecord:
    """Tell one lamppost. Raises NotFound, InvalidRequest, NotNow, TooManyWaiting, AskedDifferently."""
    _within(principal, address)
    authorize(principal, Action.DEVICES_COMMAND, str(address))
    _check(wanted)
    now, digest = datetime.now(UTC), _digest(wanted, [str(address)])
    with ctx.db.session(principal.tenant) as session:
        before = _asked_before(session, principal, wanted, digest, address)
        if before is not None:
            return _need(session, principal, before.id)
        target = _reachable(session, [address])[0]
        order = _order(principal, wanted, digest, None, now)
        ids = store.add(session, order, [NewCommand(target, _token(), now)])
        _note(session, principal, str(address), wanted, {})
        return _need(session, principal, ids[0])


def ask_many(
    ctx: Context, principal: Principal, addresses: Sequence[Address], wanted: Ask, rate: int = RATE
) -> Bulk:
    """Tell many lampposts the same: all of them or, where one cannot be told, none.

    rate: so many a minute are sent. Raises NotFound, InvalidRequest, NotNow, TooManyWaiting,
    AskedDifferently.
    """
    digest = _digest(wanted, map(str, addresses), rate)
    return _ask_many(ctx, principal, addresses, wanted, rate, digest, all_or_none=True)


def ask_group(
    ctx: Context, principal: Principal, group: str, wanted: Ask, rate: int = RATE, tenant: str | None = None
) -> Bulk:
    """Tell those who are in a group now, without who is shut out or has too much to do already.

    tenant: the group's; None: the principal's own. Asking again under the same key tells nobody who came into
    it meanwhile. Raises NotFound, InvalidRequest, AskedDifferently.
    """
    digest = _digest(wanted, [f"@{group}", tenant or principal.tenant], rate)
    with ctx.db.session(principal.tenant) as session:
        before = _bulk_before(session, principal, wanted, digest)
    if before is not None:
        return before
    members: list[Address] = []
    after: int | None = 0
    while after is not None and len(members) <= rules.BULK_MOST:
        page = groups.members(ctx, principal, group, after=after, limit=MEMBERS_AT_ONCE, tenant=tenant)
        members += page.devices
        after = page.next_after
    if not members:
        raise InvalidRequest(f"Nobody is in the group {group}.")
    return _ask_many(ctx, principal, members, wanted, rate, digest, all_or_none=False)


def _ask_many(
    ctx: Context,
    principal: Principal,
    addresses: Sequence[Address],
    wanted: Ask,
    rate: int,
    digest: str,
    *,
    all_or_none: bool,
) -> Bulk:
    unique = list(dict.fromkeys(addresses))
    if not 1 <= len(unique) <= rules.BULK_MOST:
        raise InvalidRequest(f"A bulk is of 1 to {rules.BULK_MOST} lampposts.")
    _authorize_all(principal, unique)
    _check(wanted, rate)
    now = datetime.now(UTC)
    span = timedelta(seconds=60 * len(unique) / rate)
    if span >= wanted.expiry:
        raise InvalidRequest(
            f"At {rate} a minute the last of {len(unique)} would expire before it may be sent.",
            remedy="Give a longer expiry, or a higher rate.",
        )
    bulk = secrets.token_hex(8)
    with ctx.db.session(principal.tenant) as session:
        before = _bulk_before(session, principal, wanted, digest)
        if before is not None:
            return before
        found = _reachable(session, unique, all_or_none=all_or_none)
        if not found:
            raise InvalidRequest("Nobody in the group can be told anything now.")
        made = [
            NewCommand(target, _token(), rules.not_before(now, place, rate))
            for place, target in enumerate(found)
        ]
        store.add(session, _order(principal, wanted, digest, bulk, now), made)
        _note(session, principal, bulk, wanted, {"bulk": bulk, "lampposts": len(made), "rate": rate})
        return Bulk(bulk, store.counts(session, principal.tenant, bulk))


def list_commands(ctx: Context, principal: Principal, wanted: Wanted) -> list[CommandRecord]:
    """Newest first, of the principal's tenant only."""
    authorize(principal, Action.COMMANDS_READ, str(wanted.address) if wanted.address else "*")
    with ctx.db.session(principal.tenant) as session:
        found = store.listed(session, replace(wanted, tenant=principal.tenant))
    return [masked(principal, each, "asked_by", "canceled_by") for each in found]


def get_command(ctx: Context, principal: Principal, command_id: int) -> CommandRecord:
    """Raises NotFound."""
    authorize(principal, Action.COMMANDS_READ)
    with ctx.db.session(principal.tenant) as session:
        return masked(principal, _need(session, principal, command_id), "asked_by", "canceled_by")


def cancel(ctx: Context, principal: Principal, command_id: int, reason: str = "") -> CommandRecord:
    """Take it back while no lamppost has begun with it. Raises NotFound, NotNow."""
    authorize(principal, Action.DEVICES_COMMAND)
    with ctx.db.session(principal.tenant) as session:
        found = _need(session, principal, command_id, locked=True)
        authorize(principal, Action.DEVICES_COMMAND, str(found.address))
        after = rules.step(found.state, Event.CANCEL)
        if isinstance(after, Refusal):
            raise NotNow(f"Command {command_id} is not canceled: {after}.", members={"state": found.state})
        store.cancel(session, [command_id], principal.name, datetime.now(UTC))
        record(
            session, principal, Action.DEVICES_COMMAND, str(found.address),
            before={"command": command_id, "state": found.state}, after={"state": after}, reason=reason,
        )  # fmt: skip
        return _need(session, principal, command_id)


def get_bulk(ctx: Context, principal: Principal, bulk: str) -> Bulk:
    """Raises NotFound."""
    authorize(principal, Action.COMMANDS_READ)
    with ctx.db.session(principal.tenant) as session:
        return _need_bulk(session, principal, bulk)


def cancel_bulk(ctx: Context, principal: Principal, bulk: str, reason: str = "") -> Bulk:
    """Take back those of a bulk with which no lamppost has begun. Raises NotFound."""
    authorize(principal, Action.DEVICES_COMMAND)
    with ctx.db.session(principal.tenant) as session:
        _need_bulk(session, principal, bulk)
        locked = store.lock_bulk(session, principal.tenant, bulk)
        ids = [id_ for id_, state in locked if rules.step(state, Event.CANCEL) is State.CANCELED]
        store.cancel(session, ids, principal.name, datetime.now(UTC))
        after = {"bulk": bulk, "canceled": len(ids)}
        record(session, principal, Action.DEVICES_COMMAND, bulk, after=after, reason=reason)
        return _need_bulk(session, principal, bulk)


def end_all(session: Session, principal: Principal, address: Address, why: str) -> int:
    """Take back whatever a lamppost has not begun: it is shut out for good, or another stands in its place.

    Within the transaction of whoever does that, who authorizes it and writes it down. Returns how many.
    """
    locked = store.lock_device(session, address)
    ids = [id_ for id_, state in locked if rules.step(state, Event.CANCEL) is State.CANCELED]
    store.cancel(session, ids, principal.name, datetime.now(UTC), why)
    return len(ids)


def fetch_file(ctx: Context, principal: Principal, command_id: int) -> tuple[FileRecord, bytes]:
    """What a command brought: a tar archive, compressed with zstd. Raises NotFound, NotNow."""
    authorize(principal, Action.COMMANDS_READ)
    with ctx.db.session(principal.tenant) as session:
        found = _need(session, principal, command_id)
        if found.file is None:
            raise NotFound(f"Command {command_id} has brought no file, or it was kept long enough.")
        if not found.file.complete:
            raise NotNow(f"{found.file.pieces} of {found.file.of} pieces of the file are here.")
        content = store.content(session, command_id)
    if len(content) != found.file.size or hashlib.sha256(content).digest() != found.file.sha256:
        raise NotNow("The file is not what the lamppost said that it is.", remedy="Ask for another one.")
    return found.file, content


def _authorize_all(principal: Principal, addresses: Sequence[Address]) -> None:
    """Who may tell everything of a tenant is asked once for it: a policy takes a tenth of a millisecond."""
    for address in addresses:
        _within(principal, address)
    whole = {
        tenant
        for tenant in {address.tenant for address in addresses}
        if permitted(principal, Action.DEVICES_COMMAND, tenant=tenant)
    }
    for address in addresses:
        if address.tenant not in whole:
            authorize(principal, Action.DEVICES_COMMAND, str(address))


def _within(principal: Principal, address: Address) -> None:
    """Another tenant's lampposts are not there: their names are not told. Raises NotFound."""
    if principal.tenant not in (EVERY_TENANT, address.tenant):
        raise NotFound(f"There is no device {address}.")


def _check(wanted: Ask, rate: int = RATE) -> None:
    """Raises InvalidRequest."""
    problem = rules.arguments_problem(wanted.name, wanted.arguments)
    problem = problem or rules.ask_problem(wanted.expiry, wanted.timeout, wanted.key, rate)
    if len(wanted.reason) > rules.REASON_MOST_CHARACTERS or "\0" in wanted.reason:
        problem = f"a reason has at most {rules.REASON_MOST_CHARACTERS} characters"
    if problem is not None:
        raise InvalidRequest(f"{problem[0].upper()}{problem[1:]}.")


def _reachable(session: Session, addresses: Sequence[Address], *, all_or_none: bool = True) -> list[Target]:
    """In the order of `addresses`. Raises NotFound, NotNow, TooManyWaiting."""
    found = store.targets(session, addresses)
    if not all_or_none:
        return [found[each] for each in addresses if each in found and _listens(found[each])]
    missing = [str(address) for address in addresses if address not in found]
    if missing:
        more = f" nor {len(missing) - 1} others" if len(missing) > 1 else ""
        raise NotFound(f"There is no device {missing[0]}{more}.")
    for address in addresses:
        target = found[address]
        if target.state not in TOLD:
            raise NotNow(f"{address} is {target.state}: it is told nothing.")
        if target.waiting >= WAITING_MOST:
            raise TooManyWaiting(
                f"{target.waiting} commands of {address} have not ended.", members={"retry_after_s": 60}
            )
    return [found[address] for address in addresses]


def _listens(target: Target) -> bool:
    return target.state in TOLD and target.waiting < WAITING_MOST


def _digest(wanted: Ask, whom: Iterable[str], rate: int = 0) -> str:
    return rules.digest(wanted.name, wanted.arguments, whom, wanted.expiry, wanted.timeout, rate)


def _order(principal: Principal, wanted: Ask, digest: str, bulk: str | None, now: datetime) -> NewOrder:
    return NewOrder(
        name=wanted.name,
        arguments=dict(wanted.arguments),
        asked_by=principal.name,
        asked_at=now,
        reason=wanted.reason,
        key=wanted.key,
        digest=digest,
        bulk=bulk,
        expires_at=now + wanted.expiry,
        timeout=wanted.timeout,
    )


def _token() -> str:
    return secrets.token_hex(TOKEN_BYTES)


def _asked_before(
    session: Session, principal: Principal, wanted: Ask, digest: str, address: Address | None = None
) -> Before | None:
    """What was asked for under the same key: nobody else asks under it until the transaction ends.

    Of this lamppost (None: of many). Raises AskedDifferently.
    """
    if not wanted.key:
        return None
    store.lock_key(session, principal.name, wanted.key)
    before = store.keyed(session, principal.tenant, principal.name, wanted.key, address)
    if before is None or (before.digest in ("", digest) and (before.bulk is None) == (address is not None)):
        return before
    raise AskedDifferently(
        f"The idempotency key {wanted.key!r} was used for something else.",
        remedy="Take another key; or ask for exactly the same again.",
    )


def _bulk_before(session: Session, principal: Principal, wanted: Ask, digest: str) -> Bulk | None:
    before = _asked_before(session, principal, wanted, digest)
    if before is None or before.bulk is None:
        return None
    return Bulk(before.bulk, store.counts(session, principal.tenant, before.bulk))


def _note(
    session: Session, principal: Principal, resource: str, wanted: Ask, more: Mapping[str, object]
) -> None:
    after = {"command": str(wanted.name), "arguments": dict(wanted.arguments), **more}
    record(session, principal, Action.DEVICES_COMMAND, resource, after=after, reason=wanted.reason)


def _need(session: Session, principal: Principal, command_id: int, *, locked: bool = False) -> CommandRecord:
    found = store.get(session, principal.tenant, command_id, locked=locked)
    if found is None:
        raise NotFound(f"There is no command {command_id}.")
    return found


def _need_bulk(session: Session, principal: Principal, bulk: str) -> Bulk:
    counts = store.counts(session, principal.tenant, bulk)
    if not counts:
        raise NotFound("There is no such bulk of commands.")
    return Bulk(bulk, counts)
