"""Writing the audit log: `record` inside the transaction of the change, so that both are there or neither is.

    with ctx.db.session(principal.tenant) as session:
        ...                                   # the change
        record(session, principal, Action.DEVICES_CHANGE, str(address), before={...}, after={...})

The line is kept until the transaction is about to commit, and chained then: the log's lock is the last that
is taken, so whoever holds it waits for nobody, and the order of numbers is the order of commits.
`before` and `after` are small and hold neither secrets nor names of people; what tells of a person goes into
`personal`, which is stored beside the line and can be erased (`rules.py`). Who acts, from where and why are
taken care of here.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from sqlalchemy import event
from sqlalchemy.orm import Session as AnySession
from sqlmodel import Session

from fleet_server.audit import rules, store
from fleet_server.audit.bounding import Bounded
from fleet_server.audit.rules import Actor, Draft, Outcome
from fleet_server.origin import Way, coming_from, origin

_PENDING = "lamppost_audit"


def record(
    session: Session,
    principal: Actor,
    action: str,
    resource: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
    personal: Mapping[str, str] | None = None,
    tenant: str | None = None,
    outcome: Outcome = Outcome.DONE,
) -> None:
    """Write one line when `session` commits; nothing where it does not.

    tenant: whose line it is; None: the resource's, where that is a "tenant/device", else the principal's.
    reason: why; "": what the request says (`origin.py`), so most callers give none.
    personal: values by name; "resource" among them stands for the resource itself.
    """
    made = _draft(principal, action, resource, before, after, reason, personal, tenant, outcome)
    session.info.setdefault(_PENDING, []).append(made)


def record_by(
    connection: psycopg.Connection[Any],
    principal: Actor,
    action: str,
    resource: str,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
    personal: Mapping[str, str] | None = None,
    tenant: str | None = None,
    outcome: Outcome = Outcome.DONE,
) -> int:
    """As `record`, over a raw connection and at once: the last statement before the commit. The number."""
    made = _draft(principal, action, resource, before, after, reason, personal, tenant, outcome)
    return store.append_by(connection, [made])


def _draft(
    principal: Actor,
    action: str,
    resource: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    reason: str,
    personal: Mapping[str, str] | None,
    tenant: str | None,
    outcome: Outcome,
) -> Draft:
    here = origin()
    whose = _tenant(principal, resource) if tenant is None else tenant
    why = reason or here.why(action, resource, whose)
    values = rules.personal_values(principal, action, resource, here.address, why, personal or {})
    entry = rules.Entry(principal, action, resource, whose, before, after, outcome, here.way, here.request_id)
    salts = [secrets.token_bytes(rules.SALT_BYTES) for _ in values]
    return rules.draft(entry, datetime.now(UTC), values, salts)


def _tenant(principal: Actor, resource: str) -> str:
    tenant, slash, _ = resource.partition("/")
    return tenant if slash and tenant else principal.tenant


@event.listens_for(AnySession, "before_commit")
def _chain(session: AnySession) -> None:
    """What was recorded becomes lines; everything else is written before, so that the lock is the last."""
    if session.in_nested_transaction() or not (drafts := session.info.pop(_PENDING, [])):
        return
    session.flush()
    assert isinstance(session, Session)
    store.append(session, drafts)


@dataclass(frozen=True)
class _Often:
    """What is told once a minute at most: who, from where, what, on what, in which tenant, how it ended."""

    way: Way
    address: str
    actor: Actor
    action: str
    resource: str
    tenant: str
    outcome: Outcome


@dataclass(frozen=True)
class _Many:
    kind: str = "nobody"
    name: str = "many"
    roles: frozenset[str] = frozenset()
    tenant: str = "*"
    via: str = "none"


_often: Bounded[_Often] = Bounded(
    _Often("server", "", _Many(), "access:refused", "many", "*", Outcome.REFUSED)
)
_often_lock = threading.Lock()


def record_often(
    session: Session,
    principal: Actor,
    action: str,
    resource: str,
    *,
    outcome: Outcome,
    tenant: str | None = None,
) -> None:
    """As `record`, for what somebody can make happen as often as they like: refusals.

    One line a minute at most for the same thing by this process, with how often it happened (`times`).
    """
    whose, here = _tenant(principal, resource) if tenant is None else tenant, origin()
    this = _Often(here.way, here.address, principal, action, resource, whose, outcome)
    with _often_lock:
        told = _often.happened(this, time.monotonic())
    for each, times in told:
        after = {"times": times} if times > 1 else None
        with coming_from(each.way, each.address, here.request_id if each == this else ""):
            record(
                session, each.actor, each.action, each.resource,
                after=after, tenant=each.tenant, outcome=each.outcome,
            )  # fmt: skip
