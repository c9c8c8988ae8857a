"""Many lampposts at once, for whose keys somebody vouches: claimed, asked and accepted in one.

For a workshop that sets up a whole delivery, and for simulated lampposts. Claims, enrolments and certificates
stand there as when people take the steps one by one. The audit log has one line for each: the decision, by
whoever vouches, with the key's fingerprint. Names that exist, or are claimed, do take the steps one by one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session

from fleet_server.access.rules import ENROLMENT, Action, Principal
from fleet_server.access.service import authorize
from fleet_server.audit.recording import record
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.service import NOWHERE, Newcomer, Place
from fleet_server.enrolment import issuing, rules, service, store
from fleet_server.enrolment.errors import BadRequest, NameTaken
from fleet_server.enrolment.rules import State
from fleet_server.enrolment.service import Issued, MadeClaim
from fleet_server.enrolment.whose import check_site
from fleet_server.errors import InvalidRequest
from provisioning import claims, requests
from provisioning.errors import RequestRefused
from wire_contract.errors import InvalidName
from wire_contract.limits import MAX_CSR_BYTES
from wire_contract.topics import Address

AT_ONCE = 100  # in one transaction: two tenths of a second of signing
MOST_CHARACTERS = 4 * MAX_CSR_BYTES  # of a line: the request in hex takes two for one, and the rest
_TEXTS = ("device", "csr", "site", "district")
_NUMBERS = ("latitude", "longitude")


@dataclass(frozen=True)
class Wish:
    """One lamppost to let in: its name, its certificate request (PKCS#10, DER), where it will stand."""

    device: str
    csr_der: bytes = field(repr=False)
    site: str = ""
    place: Place = NOWHERE


def read_wishes(lines: Iterable[str]) -> Iterator[Wish]:
    """One JSON object a line: {"device", "csr" (DER in hex), "site", "latitude", "longitude", "district"}.

    Empty lines are skipped. Raises InvalidRequest, which names the line.
    """
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _wish(number, line)


def _wish(number: int, line: str) -> Wish:
    if len(line) > MOST_CHARACTERS:
        raise InvalidRequest(f"Line {number} is longer than {MOST_CHARACTERS} characters.")
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        raise InvalidRequest(f"Line {number} is not JSON.") from None
    if not isinstance(told, dict) or told.keys() - {*_TEXTS, *_NUMBERS}:
        raise InvalidRequest(
            f"Line {number} is not a JSON object with {', '.join((*_TEXTS, *_NUMBERS))} and nothing else."
        )
    for name in _TEXTS:
        if not isinstance(told.get(name, ""), str):
            raise InvalidRequest(f"Line {number}: {name} is not text.")
    for name in _NUMBERS:
        if not _is_number(told.get(name)):
            raise InvalidRequest(f"Line {number}: {name} is not a number.")
    try:
        csr_der = bytes.fromhex(told.get("csr", ""))
    except ValueError:
        raise InvalidRequest(f"Line {number}: csr is not the request's DER in hex.") from None
    place = Place(told.get("latitude"), told.get("longitude"), told.get("district", ""))
    if not told.get("device") or not csr_der:
        raise InvalidRequest(f"Line {number} lacks device or csr.")
    return Wish(told["device"], csr_der, told.get("site", ""), place)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return value is None or (isinstance(value, int | float) and math.isfinite(value))


def admit_all(
    ctx: Context, principal: Principal, wishes: Sequence[Wish], *, replace: bool = False
) -> Iterator[tuple[Wish, str]]:
    """Let them in, AT_ONCE at a time. Yields each with its certificate's chain (PEM) once that is on record.

    `replace`: also where the name exists, whose certificates are then revoked, or where a claim for it is
    open, which is withdrawn. Raises Forbidden, InvalidRequest, NameTaken, BadRequest, AuthorityUnavailable;
    who was yielded before stays in.
    """
    if len({wish.device for wish in wishes}) < len(wishes):
        raise InvalidRequest("A name is asked for twice.")
    for first in range(0, len(wishes), AT_ONCE):
        some = wishes[first : first + AT_ONCE]
        yield from _admit_new(ctx, principal, some, replace)


def _admit_new(
    ctx: Context, principal: Principal, wishes: Sequence[Wish], replace: bool
) -> Iterator[tuple[Wish, str]]:
    """Those whose name is free at once, the others one by one."""
    authorize(principal, Action.CLAIMS_CREATE)
    authorize(principal, Action.ENROLMENTS_DECIDE)
    tenant, now = ctx.config.tenant.name, datetime.now(UTC)
    by_address = {_checked(tenant, wish): wish for wish in wishes}
    with ctx.db.session() as session:
        store.expire_due(session, now)
        claimed = store.open_names(session, tenant, [address.device for address in by_address])
    free = [
        Newcomer(address, wish.site, wish.place)
        for address, wish in by_address.items()
        if address.device not in claimed
    ]
    new = devices.register_new(ctx, ENROLMENT, free) if free else set()
    asked = [(wish.csr_der, address) for address, wish in by_address.items() if address in new]
    chains = dict(zip((address for _, address in asked), issuing.issue_all(ctx, asked), strict=True))
    if chains:
        done = [_finished(principal, each, by_address[each], chain, now) for each, chain in chains.items()]
        with ctx.db.session() as session:
            store.insert_finished(session, done)
            for each in done:
                _record(session, principal, each)
    for address, wish in by_address.items():
        yield wish, chains.get(address) or admit(ctx, principal, wish, replace=replace)


def _checked(tenant: str, wish: Wish) -> Address:
    """Before anybody of the lot is let in. Raises InvalidRequest, BadRequest."""
    devices.checked_place(wish.place)
    check_site(wish.site)
    try:
        address = Address(tenant, wish.device)
        requests.check_name_fits(address)
        requests.check_asks_only_for(requests.read_request(wish.csr_der), address)
    except InvalidName as wrong:
        raise InvalidRequest(f"{wrong}.") from wrong
    except RequestRefused as refused:
        raise BadRequest(f"{wish.device}: {refused.what}.", remedy=refused.remedy) from refused
    return address


def _finished(
    principal: Principal, address: Address, wish: Wish, chain_pem: str, now: datetime
) -> store.Finished:
    token = claims.new_token()
    claim = store.NewClaim(
        id=token.id,
        secret_hash=claims.secret_hash(token.secret),
        tenant=address.tenant,
        device=address.device,
        site=wish.site,
        replaces=False,
        created_by=principal.name,
        created_at=now,
        expires_at=now + rules.CLAIM_LIFE,
        place=wish.place,
    )
    return store.Finished(claim, wish.csr_der, chain_pem, issuing.certificate(address, chain_pem, now))


def _record(session: Session, principal: Principal, done: store.Finished) -> None:
    """Who vouched for which key, under which name."""
    claim, made = done.claim, done.certificate
    told = {
        "state": str(State.ISSUED),
        "claim": claim.id,
        "key": made.key_fingerprint,
        "serial": made.serial,
    }
    record(session, principal, Action.ENROLMENTS_DECIDE, f"{claim.tenant}/{claim.device}", after=told)


def admit(ctx: Context, principal: Principal, wish: Wish, *, replace: bool = False) -> str:
    """Let one in, step by step. Returns its certificate's chain, PEM. Raises as `admit_all`."""
    made = _claim(ctx, principal, wish, replace)
    token = claims.parse_token_text(made.token)
    assert token is not None, "a claim whose token cannot be read"
    service.request_certificate(ctx, token.id, token.secret, wish.csr_der)
    service.accept(ctx, principal, made.enrolment.id)
    answer = service.request_certificate(ctx, token.id, token.secret, wish.csr_der)
    assert isinstance(answer, Issued), "accepted, and not issued"
    return answer.chain_pem


def _claim(ctx: Context, principal: Principal, wish: Wish, replace: bool) -> MadeClaim:
    def make() -> MadeClaim:
        return service.make_claim(ctx, principal, wish.device, wish.site, place=wish.place, replaces=replace)

    try:
        return make()
    except NameTaken:
        if not replace:
            raise
    for found in service.list_enrolments(ctx, principal, (State.CLAIMED, State.PENDING)):
        if found.device == wish.device:
            service.withdraw(ctx, principal, found.claim_id)
    return make()
