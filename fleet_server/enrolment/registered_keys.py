"""Public keys that are known before the lamppost asks: its request's own signature is its claim.

For posts whose keys were made in a workshop or a factory. A key is told as PEM, or as the fingerprint that
the lamppost shows (128 bits of SHA-256 over the SubjectPublicKeyInfo).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives import serialization
from sqlmodel import Session

from fleet_server.accept_policy import Way
from fleet_server.access.rules import Action, Principal
from fleet_server.access.service import authorize, need_there
from fleet_server.audit.recording import record
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.service import NOWHERE, Place
from fleet_server.enrolment import rules, store
from fleet_server.enrolment.asking import checked_address
from fleet_server.enrolment.errors import NameTaken
from fleet_server.enrolment.rules import State
from fleet_server.enrolment.store import Enrolment
from fleet_server.enrolment.whose import check_site, only_of, tenant_of
from fleet_server.errors import InvalidRequest
from fleet_server.masking import in_log, masked
from provisioning import claims, requests
from provisioning.errors import RequestRefused

__all__ = ["Enrolment", "Vouched", "fingerprint_of", "register_keys", "registered_keys"]

log = logging.getLogger(__name__)

AT_ONCE = 500  # in one transaction
LIST_LIMIT = 500
LONGEST = timedelta(days=3650)
MOST_CHARACTERS = 4096  # of a key: RSA of 8192 bits in PEM takes 1400
_DIGITS = re.compile(r"[0-9a-f]{32}(?:[0-9a-f]{32})?")


@dataclass(frozen=True)
class Vouched:
    """A lamppost's name and its public key, PEM or fingerprint."""

    device: str
    key: str
    site: str = ""
    place: Place = NOWHERE


def fingerprint_of(key: str) -> str:
    """As lampposts show it, of a key in PEM or of a fingerprint in any spelling. Raises InvalidRequest."""
    if len(key) > MOST_CHARACTERS:
        raise InvalidRequest(f"A public key has at most {MOST_CHARACTERS} characters.")
    digits = re.sub(r"[\s:-]", "", key).lower()
    if _DIGITS.fullmatch(digits):
        return "-".join(digits[4 * i : 4 * i + 4] for i in range(requests.FINGERPRINT_GROUPS))
    try:
        return requests.fingerprint(
            requests.checked_key(serialization.load_pem_public_key(key.strip().encode()))
        )
    except RequestRefused as refused:
        raise InvalidRequest(f"{refused.what}.", remedy=refused.remedy) from refused
    except (ValueError, TypeError):
        raise InvalidRequest("This is neither a public key in PEM nor a fingerprint.") from None


def register_keys(
    ctx: Context,
    principal: Principal,
    vouched: Sequence[Vouched],
    *,
    life: timedelta = rules.KEY_LIFE,
    now: datetime | None = None,
) -> list[Enrolment]:
    """All or none of them. Raises Forbidden, InvalidRequest, NameTaken, NotFound (no such tenant)."""
    tenant, instant = tenant_of(ctx, principal), now or datetime.now(UTC)
    authorize(principal, Action.KEYS_PREREGISTER, tenant=tenant)
    keys = _checked(tenant, vouched, life)
    need_there(ctx, principal, tenant)
    made = []
    with ctx.db.session(principal.tenant) as session:
        store.expire_due(session, instant)
        for each, key in zip(vouched, keys, strict=True):
            _check_key_is_free(session, each, key)
            token = claims.new_token()  # its secret is told to nobody
            claim = store.NewClaim(
                token.id, claims.secret_hash(token.secret), tenant, each.device, each.site, False,
                principal.name, instant, instant + life, each.place, Way.KEY, None, key,
            )  # fmt: skip
            stored = store.insert_claim(session, claim)
            if stored is None:
                raise NameTaken(f"There is an open claim for {tenant}/{each.device}.", remedy="Withdraw it.")
            record(
                session, principal, Action.KEYS_PREREGISTER, f"{tenant}/{each.device}",
                after={"key": key, "claim": token.id, "until": claim.expires_at.isoformat()},
            )  # fmt: skip
            made.append(stored)
    log.info("%d keys registered by %s", len(made), in_log(principal))
    return made


def _checked(tenant: str, vouched: Sequence[Vouched], life: timedelta) -> list[str]:
    """The fingerprints, in order. Raises InvalidRequest."""
    if not 1 <= len(vouched) <= AT_ONCE:
        raise InvalidRequest(f"Give 1 to {AT_ONCE} keys at once.")
    if not timedelta(0) < life <= LONGEST:
        raise InvalidRequest(f"A key is registered for at most {LONGEST.days} days.")
    keys = [fingerprint_of(each.key) for each in vouched]
    if len(set(keys)) < len(keys) or len({each.device for each in vouched}) < len(vouched):
        raise InvalidRequest("A name or a key is there twice.")
    for each in vouched:
        checked_address(tenant, each.device)
        check_site(each.site)
        devices.checked_place(each.place)
    return keys


def _check_key_is_free(session: Session, vouched: Vouched, key: str) -> None:
    other = store.claim_of_key(session, key)
    found = None if other is None else store.find_by_claim(session, other)
    if found is not None and found.state in (State.CLAIMED, State.PENDING, State.ACCEPTED):
        raise NameTaken(f"The key of {vouched.device} is registered for {found.tenant}/{found.device}.")


def registered_keys(ctx: Context, principal: Principal) -> list[Enrolment]:
    """Those that no lamppost has used yet, the newest first, at most LIST_LIMIT. Raises Forbidden."""
    authorize(principal, Action.ENROLMENTS_READ)
    with ctx.db.session(principal.tenant) as session:
        store.expire_due(session, datetime.now(UTC))
        states, ways = (State.CLAIMED,), (Way.KEY,)
        found = store.listed(session, states, LIST_LIMIT, tenant=only_of(principal), ways=ways)
    return [masked(principal, each, "created_by", "decided_by") for each in found]
