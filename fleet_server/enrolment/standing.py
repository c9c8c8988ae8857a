"""Whether a lamppost may come in: its state as people decide it, and what follows for its certificates.

    active          its certificates are taken off hold
    quarantined     on hold: refused by the broker, let in again once it is active
    decommissioned  revoked for good: it comes back by a new claim only; what it was told to do and has not
                    begun is canceled (of a quarantined one it waits, until it is active or the time is over)

The state is written first. What follows goes by the state as it is then, and can be repeated: where the list
could not be written when a lamppost was shut out, the worker makes up for it (`relisting.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import assert_never

from sqlmodel import Session

from fleet_server.access import two_person
from fleet_server.access.rules import Action, Principal
from fleet_server.access.service import authorize
from fleet_server.commands import service as commands
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.rules import DeviceState
from fleet_server.devices.service import DeviceView
from fleet_server.enrolment import shutting, store
from fleet_server.enrolment.certificate_rules import ENDED
from fleet_server.enrolment.errors import AuthorityUnavailable, NotNow
from fleet_server.errors import InvalidRequest, SecondPersonNeeded
from fleet_server.limits import service as floods
from fleet_server.masking import in_log
from wire_contract.topics import Address

log = logging.getLogger(__name__)

# What a person may choose. `pending` is none of them: a lamppost in it is renewed no more, and dies of that.
CHOICES = (DeviceState.ACTIVE, DeviceState.QUARANTINED, DeviceState.DECOMMISSIONED)


def change_state(
    ctx: Context, principal: Principal, address: Address, state: DeviceState, now: datetime | None = None
) -> DeviceView:
    """Activate, quarantine or decommission. Raises Forbidden, NotFound, NotNow, InvalidRequest,
    AuthorityUnavailable (the state is changed, its certificates are not yet); SecondPersonNeeded before a
    lamppost is shut out for good."""
    [changed] = change_states(ctx, principal, [address], state, now)
    return changed


def change_states(
    ctx: Context,
    principal: Principal,
    addresses: Sequence[Address],
    state: DeviceState,
    now: datetime | None = None,
) -> list[DeviceView]:
    """As `change_state`, for all of them or, where one cannot be changed, for none. The revocation list is
    written once, and the broker reads it once."""
    if state not in CHOICES:
        raise InvalidRequest(
            f"A lamppost is not made {state}.", remedy=f"Choose one of {', '.join(CHOICES)}."
        )
    formers: dict[Address, DeviceState] = {}

    def check(session: Session, found: Mapping[Address, DeviceState]) -> None:
        formers.update(found)
        _check(ctx, principal, session, found, state)

    def also(session: Session, address: Address) -> Mapping[str, object]:
        told = floods.decided(ctx, session, principal, address, state)
        if state is DeviceState.DECOMMISSIONED:
            canceled = commands.end_all(session, principal, address, "the lamppost was decommissioned")
            told |= {"commands_canceled": canceled} if canceled else {}
        return told

    changed = devices.change_states(ctx, principal, addresses, state, check, also)
    for address, former in formers.items():
        if former is not state:
            log.info("%s: %s instead of %s, by %s", address, state, former, in_log(principal))
    try:
        _follow(ctx, sorted(formers, key=str), now or datetime.now(UTC))
    except AuthorityUnavailable as failed:
        raise _not_listed(sorted(formers, key=str), state) from failed
    return changed


def _check(
    ctx: Context,
    principal: Principal,
    session: Session,
    found: Mapping[Address, DeviceState],
    state: DeviceState,
) -> None:
    """Raises Forbidden, NotNow, SecondPersonNeeded."""
    for address, former in found.items():
        if former is DeviceState.DECOMMISSIONED and state is not former:
            raise NotNow(
                f"Nothing was changed: {address} is decommissioned, its certificates are revoked for good.",
                remedy=f"Make a claim: lamppost fleet claim new --device {address.device} --replaces",
            )
    if state is not DeviceState.DECOMMISSIONED:
        return
    ending = [address for address, former in found.items() if former is not state]
    for address in ending:
        authorize(principal, Action.DEVICES_DECOMMISSION, str(address))
    _need_second_person(ctx, principal, session, ending)


def _need_second_person(
    ctx: Context, principal: Principal, session: Session, ending: Sequence[Address]
) -> None:
    """Asks for each of them at once. An agreement to one is used up only where all are agreed to."""
    instant = datetime.now(UTC)  # one for all: what is used up here must not expire for the next one
    missing = []
    for address in ending:
        try:
            two_person.need(
                ctx, principal, Action.DEVICES_DECOMMISSION, str(address),
                two_person.digest(device=str(address)), what=f"revoke the certificates of {address} for good",
                session=session, now=instant,
            )  # fmt: skip
        except SecondPersonNeeded as needed:
            missing.append(needed)
    if len(missing) == 1:
        raise missing[0]
    if missing:
        numbers = [each.members["request"] for each in missing]
        named = ", ".join(map(str, numbers))
        raise SecondPersonNeeded(
            f"Nothing was done: another person has to agree to requests {named} first.",
            remedy="They do, to each: lamppost fleet approvals approve N --as NAME. Then do the same again.",
            members={**missing[0].members, "requests": numbers},
        )


def _follow(ctx: Context, addresses: Sequence[Address], now: datetime) -> None:
    """What the states as they are now mean for the certificates. Raises AuthorityUnavailable."""
    with ctx.db.session() as session:
        for address in addresses:  # in one order: two people do not wait for each other
            store.lock_certificates(session, address.tenant, address.device)
        by_state: dict[DeviceState, list[Address]] = {}
        for address in addresses:  # under the lock: whoever changed it since waits for us
            state = devices.state_within(session, address)
            assert state is not None, "a lamppost is never deleted"
            by_state.setdefault(state, []).append(address)
        for state, those in by_state.items():
            match state:
                case DeviceState.ACTIVE:
                    shutting.let_in_again(ctx, session, those, now)
                case DeviceState.QUARANTINED:
                    shutting.shut_out(ctx, session, those, now, hold=True)
                case DeviceState.DECOMMISSIONED:
                    shutting.shut_out(ctx, session, those, now, hold=False, reason=ENDED)
                case DeviceState.PENDING:
                    pass
                case _:
                    assert_never(state)


def _not_listed(addresses: Sequence[Address], state: DeviceState) -> AuthorityUnavailable:
    named = str(addresses[0]) if len(addresses) == 1 else f"{len(addresses)} lampposts"
    verb = "is" if len(addresses) == 1 else "are"
    if state is DeviceState.ACTIVE:
        return AuthorityUnavailable(
            f"{named} {verb} active now, but the revocation list cannot be written: it stays on hold.",
            remedy="The server's log says why. Then activate again.",
        )
    return AuthorityUnavailable(
        f"{named} {verb} {state} now, but not out yet: the revocation list cannot be written.",
        remedy="The server's log says why. The worker tries again each minute, until it is out.",
    )
