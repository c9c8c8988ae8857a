"""Two people for what does not come back: one asks, another agrees, then the first does it, once.

Which actions it takes is policy: those of policies annotated `@two_person("yes")` in policies.cedar. A
service that does such a thing calls `need` after it has authorized:

    two_person.need(ctx, principal, Action.PRIVACY_ERASE, name, two_person.digest(name=name))

The first time this raises SecondPersonNeeded with the request's number. Once another person, signed in and
never a token, has approved it, the same call by the same person with the same arguments passes, once. Its
reason is no part of what is agreed to; where none is given then, the one that the approver read counts.

Configuration, [access] two_person: "auto" holds where two accounts of the tenant that stand apart
(`apart_rules.py`) could agree, and for a week after there were two, so that a city of one administrator is
not locked out; "on" always; "off" never.
"""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import datetime
from functools import cache

import cedarpy
from sqlmodel import Session

from fleet_server.access import apart, approval_store, sessions, token_store
from fleet_server.access.apart_rules import APART_AFTER
from fleet_server.access.approval_store import Request, Wanted
from fleet_server.access.deciding import authorize
from fleet_server.access.engine import shipped_text, tenant_of
from fleet_server.access.errors import SecondPersonNeeded
from fleet_server.access.rules import Action, Principal
from fleet_server.access.two_person_rules import REQUEST_LIFE, Event, Refusal, State, step
from fleet_server.audit.recording import record
from fleet_server.audit.rules import Outcome
from fleet_server.context import Context
from fleet_server.errors import Conflict, Forbidden, NotFound
from fleet_server.masking import initials
from fleet_server.origin import REASON_MOST_CHARACTERS, agreed_to, origin

log = logging.getLogger(__name__)

__all__ = ["Request", "State", "actions", "approve", "digest", "get", "listed", "need", "refuse", "withdraw"]

TEXT_MOST_CHARACTERS = REASON_MOST_CHARACTERS
LIST_MOST = 1000
_ANOTHER = "Have a third person agree."


@cache
def actions() -> frozenset[str]:
    """Actions that take two people, as the policies say."""
    return actions_in(shipped_text()[0])


def actions_in(policies: str) -> frozenset[str]:
    found: set[str] = set()
    for policy in json.loads(cedarpy.policies_to_json_str(policies))["staticPolicies"].values():
        if policy.get("annotations", {}).get("two_person") == "yes":
            scope = policy["action"]
            found |= {each["id"] for each in scope.get("entities", [scope.get("entity")])}
    unknown = found - set(Action)
    if unknown:
        raise ValueError(f"@two_person names no single action: {', '.join(sorted(unknown))}")
    return frozenset(found)


def digest(**arguments: object) -> bytes:
    """What exactly is to be done, as 32 bytes: JSON values by name."""
    return hashlib.sha256(json.dumps(arguments, sort_keys=True, ensure_ascii=True).encode()).digest()


def need(
    ctx: Context,
    principal: Principal,
    action: Action,
    resource: str,
    arguments: bytes,
    *,
    what: str = "",
    reason: str = "",
    tenant: str | None = None,
    session: Session | None = None,
    now: datetime | None = None,
) -> None:
    """Returns where one person is enough, or another has agreed to exactly this; that agreement is then used
    up.

    arguments: `digest(...)` of what is to be done. what, reason: for who decides; reason "": the origin's.
    session: the transaction of the change, so that a change that fails leaves the agreement in force.
    Raises SecondPersonNeeded.
    """
    whose = tenant_of(principal, resource) if tenant is None else tenant
    instant = sessions.real(now)
    if str(action) not in actions() or not _holds(ctx, whose, instant):
        return
    wanted = Wanted(whose, str(action), resource, arguments, principal.name)
    if session is not None and _used(session, wanted, instant):
        return
    with ctx.db.session() as own:
        if session is None and _used(own, wanted, instant):
            return
        request = _asked(own, principal, wanted, (what, reason or origin().reason), instant)
    raise SecondPersonNeeded(
        f"Nothing was done: another person has to agree to request {request.id} first.",
        remedy=f"They do: lamppost fleet approvals approve {request.id} --as NAME. Then do the same again.",
        members={"request": request.id, "state": str(request.state)},
    )


def listed(
    ctx: Context, principal: Principal, state: State | None = None, before: int = 2**31 - 1, limit: int = 100
) -> list[Request]:
    """Those of the tenant, the newest first. Raises Forbidden."""
    authorize(principal, Action.APPROVALS_READ)
    with ctx.db.session(principal.tenant) as session:
        approval_store.expire(session, sessions.real(None))
        return approval_store.listed(session, principal.within, state, before, max(1, min(limit, LIST_MOST)))


def get(ctx: Context, principal: Principal, number: int) -> Request:
    """Raises Forbidden, NotFound. Who asked may look after their own."""
    with ctx.db.session(principal.tenant) as session:
        approval_store.expire(session, sessions.real(None))
        return _seen(session, principal, number)


def approve(ctx: Context, principal: Principal, number: int, note: str = "") -> Request:
    """Agree. Raises Forbidden (the one who asked, a token, no approver), NotFound, Conflict."""
    return _decide(ctx, principal, number, Event.APPROVE, note)


def refuse(ctx: Context, principal: Principal, number: int, note: str = "") -> Request:
    """Raises as `approve`; also possible after somebody agreed, until it is done."""
    return _decide(ctx, principal, number, Event.REFUSE, note)


def withdraw(ctx: Context, principal: Principal, number: int) -> Request:
    """Who asked does not want it any more. Raises Forbidden, NotFound, Conflict."""
    with ctx.db.session(principal.tenant) as session:
        found = _seen(session, principal, number, lock=True)
        if not _asker(principal, found):
            raise Forbidden("Only who asked withdraws a request.", remedy="Refuse it.")
        return _move(session, principal, found, Event.WITHDRAW, "")


def _holds(ctx: Context, tenant: str, now: datetime) -> bool:
    with ctx.db.session() as session:
        return apart.takes_two(session, ctx.config.access.two_person, tenant, now)


def _used(session: Session, wanted: Wanted, now: datetime) -> bool:
    """Was there an agreement? It is used up by this. Locks nothing else: `_asked` comes beside it."""
    after = step(State.APPROVED, Event.USE)
    assert isinstance(after, State)
    found = approval_store.use(session, wanted, after, now)
    if found is None:
        return False
    log.info(
        "request %d: agreed to by %s, done by %s",
        found.id,
        initials(found.decided_by),
        initials(wanted.asked_by),
    )
    agreed_to(wanted.action, wanted.resource, found.reason)
    return True


def _asked(
    session: Session, principal: Principal, wanted: Wanted, told: tuple[str, str], now: datetime
) -> Request:
    """The request: the open one for exactly this, or a new one."""
    approval_store.expire(session, now)
    what, reason = (text[:TEXT_MOST_CHARACTERS] for text in told)
    made = approval_store.same(session, wanted)
    if made is None:
        made = approval_store.insert(session, wanted, what, reason, now, now + REQUEST_LIFE)
    elif reason and not made.reason and made.state is State.WAITING:  # nobody has read it without
        approval_store.explain(session, made.id, reason)
    else:
        return made
    record(
        session, principal, wanted.action, wanted.resource,
        after={"request": made.id}, reason=reason, tenant=wanted.tenant, outcome=Outcome.REFUSED,
    )  # fmt: skip
    return made


def _decide(ctx: Context, principal: Principal, number: int, event: Event, note: str) -> Request:
    note = note or origin().reason
    with ctx.db.session(principal.tenant) as session:
        approval_store.expire(session, sessions.real(None))
        found = _seen(session, principal, number, lock=True)
        authorize(principal, Action.APPROVALS_DECIDE, tenant=found.tenant)
        if principal.kind != "operator" or principal.via != "session":
            raise Forbidden("A person who has signed in decides, no token and no command of the machine's.")
        if principal.name == found.asked_by:
            raise Forbidden("The second person is another one than who asked.")
        if event is Event.APPROVE:
            _check_apart(ctx, principal, found)
        return _move(session, principal, found, event, note[:TEXT_MOST_CHARACTERS])


def _check_apart(ctx: Context, principal: Principal, found: Request) -> None:
    """Raises Forbidden. Accounts are nobody's within a tenant: asked in a transaction of its own."""
    with ctx.db.session() as session:
        makers = token_store.makers(session, found)
        if principal.name in makers:
            raise Forbidden(f"A token that you made for {found.asked_by} may have asked.", remedy=_ANOTHER)
        asked = {found.asked_by, *makers}
        if not apart.stands_apart(session, principal.name, asked, sessions.real(None)):
            raise Forbidden(
                f"You and {found.asked_by} may be one person: within {APART_AFTER.days} days one of you, or a"
                " third for both, made an account, set a password, took a second factor or gave the role.",
                remedy=_ANOTHER,
            )


def _move(session: Session, principal: Principal, found: Request, event: Event, note: str) -> Request:
    wanted = step(found.state, event)
    if isinstance(wanted, Refusal):
        raise Conflict(f"Nothing was changed: {wanted}.")
    approval_store.move(session, found.id, wanted, principal.name, sessions.real(None), note)
    record(
        session, principal, Action.APPROVALS_DECIDE, f"request {found.id}",
        before={"state": str(found.state)}, after={"state": str(wanted), "action": found.action},
        reason=note, tenant=found.tenant,
    )  # fmt: skip
    moved = approval_store.get(session, found.id)
    assert moved is not None
    return moved


def _seen(session: Session, principal: Principal, number: int, *, lock: bool = False) -> Request:
    found = approval_store.get(session, number, lock=lock)
    if found is None or principal.within not in {None, found.tenant}:
        raise NotFound(f"There is no request {number}.")
    if not _asker(principal, found):
        authorize(principal, Action.APPROVALS_READ, tenant=found.tenant)
    return found


def _asker(principal: Principal, found: Request) -> bool:
    """Who asked; of their tokens those that may do what was asked for."""
    within = principal.scopes is None or found.action in principal.scopes
    return within and found.asked_by == principal.name
