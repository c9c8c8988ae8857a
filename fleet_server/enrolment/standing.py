"""Whether a lamppost may come in: its state as people decide it, and what follows for its certificates.

    active          its certificates are taken off hold
    quarantined     on hold: refused by the broker, let in again once it is active
    decommissioned  revoked for good: it comes back by a new claim only; what it was told to do and has not
                    begun is canceled (of a quarantined one it waits, until it is active or the time is over)

The state is written first. What follows can be repeated: after a failure, give the same state again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
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
from fleet_server.enrolment import issuing, store
from fleet_server.enrolment.errors import NotNow
from fleet_server.masking import in_log
from wire_contract.topics import Address

log = logging.getLogger(__name__)


def change_state(
    ctx: Context, principal: Principal, address: Address, state: DeviceState, now: datetime | None = None
) -> DeviceView:
    """Activate, quarantine or decommission. Raises Forbidden, NotFound, NotNow, AuthorityUnavailable;
    SecondPersonNeeded before a lamppost is shut out for good."""
    [changed] = change_states(ctx, principal, [address], state, now)
    return changed


def change_states(
    ctx: Context,
    principal: Principal,
    addresses: Sequence[Address],
    state: DeviceState,
    now: datetime | None = None,
) -> list[DeviceView]:
    """As `change_state`, for many at once: the revocation list is written once, and the broker reads it once.

    The first that cannot be changed ends it; those before stay changed.
    """
    changed = [_write(ctx, principal, address, state) for address in addresses]
    with ctx.db.session() as session:
        for address in sorted(addresses, key=str):  # in one order: two people do not wait for each other
            store.lock_certificates(session, address.tenant, address.device)
        instant = now or datetime.now(UTC)
        match state:
            case DeviceState.ACTIVE:
                issuing.let_in_again(ctx, session, addresses, instant)
            case DeviceState.QUARANTINED:
                issuing.shut_out(ctx, session, addresses, instant, hold=True)
            case DeviceState.DECOMMISSIONED:
                issuing.shut_out(ctx, session, addresses, instant, hold=False)
            case DeviceState.PENDING:
                pass
            case _:
                assert_never(state)
    return changed


def _write(ctx: Context, principal: Principal, address: Address, state: DeviceState) -> DeviceView:
    authorize(principal, Action.DEVICES_CHANGE, str(address))
    former = devices.get_device(ctx, principal, address).record.state
    if former is DeviceState.DECOMMISSIONED and state is not former:
        raise NotNow(
            f"Nothing was changed: {address} is decommissioned, its certificates are revoked for good.",
            remedy=f"Make a claim: lamppost fleet claim new --device {address.device} --replaces",
        )
    if state is DeviceState.DECOMMISSIONED and former is not state:
        authorize(principal, Action.DEVICES_DECOMMISSION, str(address))
        two_person.need(
            ctx, principal, Action.DEVICES_DECOMMISSION, str(address),
            two_person.digest(device=str(address)), what=f"revoke the certificates of {address} for good",
        )  # fmt: skip

    def also(session: Session) -> dict[str, object]:
        if state is not DeviceState.DECOMMISSIONED:
            return {}
        canceled = commands.end_all(session, principal, address, "the lamppost was decommissioned")
        return {"commands_canceled": canceled} if canceled else {}

    changed = devices.change_state(ctx, principal, address, state, also)
    if former is not state:
        log.info("%s: %s instead of %s, by %s", address, state, former, in_log(principal))
    return changed
