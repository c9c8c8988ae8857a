"""Many lampposts at once, for whose keys somebody vouches: each is claimed, asks and is accepted in turn.

For a workshop that sets up a whole delivery, and for simulated lampposts. Nothing is skipped: every step is
the one that people take one by one, and is written down as such.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from fleet_server.access.rules import Principal
from fleet_server.context import Context
from fleet_server.devices.service import NOWHERE, Place
from fleet_server.enrolment import service
from fleet_server.enrolment.errors import NameTaken
from fleet_server.enrolment.rules import State
from fleet_server.enrolment.service import Issued, MadeClaim
from fleet_server.errors import InvalidRequest
from provisioning import claims
from wire_contract.limits import MAX_CSR_BYTES

CLAIM_LIFE = timedelta(minutes=5)  # used at once; what an interruption leaves open is soon over
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


def admit(ctx: Context, principal: Principal, wish: Wish, *, replace: bool = False) -> str:
    """Let one in. Returns its certificate's chain, PEM. `replace`: also where the name exists, whose
    certificates are then revoked, or where a claim for it is open, which is withdrawn.

    Raises Forbidden, InvalidRequest, NameTaken, BadRequest, AuthorityUnavailable.
    """
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
        return service.make_claim(
            ctx, principal, wish.device, wish.site, place=wish.place, life=CLAIM_LIFE, replaces=replace
        )

    try:
        return make()
    except NameTaken:
        if not replace:
            raise
    for found in service.list_enrolments(ctx, principal, (State.CLAIMED, State.PENDING)):
        if found.device == wish.device:
            service.withdraw(ctx, principal, found.claim_id)
    return make()
