"""What a person may ask about their data: where it lies, a copy, its erasure (GDPR, articles 15, 17, 20).

Every function takes the context and the acting principal, and authorizes. Somebody who acts in one tenant
reaches what is marked as that tenant's; accounts belong to the whole installation. Measurements stay: a
person's name beside them gives way to a tombstone, and the audit log keeps its lines.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session

from fleet_server.access import apart, two_person
from fleet_server.access.rules import Action, Principal
from fleet_server.access.service import authorize
from fleet_server.audit.recording import record
from fleet_server.context import Context
from fleet_server.errors import InvalidRequest, NotFound
from fleet_server.masking import in_log
from fleet_server.origin import origin
from fleet_server.privacy import finding, rules, store
from fleet_server.privacy.inventory import PLACES, How, Kept, Place

__all__ = [
    "PLACES",
    "Erased",
    "Found",
    "How",
    "Kept",
    "Place",
    "as_json",
    "erase",
    "export",
    "find",
    "inventory",
    "spelled",
]

log = logging.getLogger(__name__)

SPELLED_MOST = 20  # of one place: more is no list for people


@dataclass(frozen=True)
class Found:
    """`rows` of a place speak of the person. spelled: how else their name is written there, to be looked at;
    who is meant by it is given to `export` and `erase` as a name of its own."""

    place: Place
    rows: int
    spelled: tuple[str, ...] = ()


@dataclass(frozen=True)
class Erased:
    """tombstone: what stands everywhere in the person's place."""

    tombstone: str
    account_shut: bool
    places: Sequence[Found]


def inventory(_: Context, principal: Principal) -> Sequence[Place]:
    """Where personal data may lie, and how long: the record of processing."""
    authorize(principal, Action.PRIVACY_READ)
    return PLACES


def find(ctx: Context, principal: Principal, names: Sequence[str]) -> list[Found]:
    """Where the person lies who goes by these names (of an account, in full, an address), also without their
    accents and in another order (`spellings`). Leaves a line.

    Raises InvalidRequest.
    """
    given = _begin(principal, Action.PRIVACY_READ, names)
    with ctx.db.session() as session:
        found = _find_alike(session, given)
        told = {"asked": "find", "places": len(found)}
        record(session, principal, Action.PRIVACY_READ, names[0], after=told, tenant=principal.tenant)
    return found


def spelled(found: Sequence[Found]) -> list[str]:
    """How else the name is written, in whatever place."""
    return sorted({each for place in found for each in place.spelled})


def export(ctx: Context, principal: Principal, names: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A copy for the person: (`table.column`, a row as it lies, without secrets), place by place.

    Every row, however many, and few of them in memory. That it was taken leaves a line before the first.
    Raises InvalidRequest at once.
    """
    given = _begin(principal, Action.PRIVACY_READ, names)
    with ctx.db.session() as session:
        told = {"asked": "export", "rows": sum(each.rows for each in _find(session, given))}
        record(session, principal, Action.PRIVACY_READ, names[0], after=told, tenant=principal.tenant)
    return _rows(ctx, given)


def _rows(ctx: Context, given: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    with ctx.db.session() as session:
        store.one_snapshot(session)
        scoped = _scoped(session, given)
        for place in _reached(session, given):
            for row in store.copies(session, place, given, place.table in scoped):
                yield f"{place.table}.{place.column}", row


def as_json(rows: Iterator[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    """The copy as one JSON object, in pieces: by place a list of its rows."""
    yield "{"
    last = None
    for place, row in rows:
        if place != last:
            yield f"{'' if last is None else '],'}{json.dumps(place)}:[\n"
        else:
            yield ",\n"
        yield json.dumps(row, ensure_ascii=False)
        last = place
    yield "}" if last is None else "]}"


def erase(ctx: Context, principal: Principal, names: Sequence[str], reason: str = "") -> Erased:
    """Put a tombstone in the person's place, everywhere; an account of the name is shut for good.

    It cannot be taken back, so policy asks for a second person. Raises Forbidden, SecondPersonNeeded,
    NotFound (nothing speaks of them), InvalidRequest.
    """
    given = _begin(principal, Action.PRIVACY_ERASE, names)
    names = given["names"]
    if principal.name in names:
        raise InvalidRequest("Nobody erases themselves: what is done has to be somebody's.")
    tombstone = rules.TOMBSTONE + secrets.token_hex(4)
    with ctx.db.session() as session:
        found = _find(session, given)
        if not found:
            raise NotFound(
                "Nothing here speaks of anybody of this name.",
                remedy="lamppost privacy find tells how else it is written.",
            )
        if any(each.place.table == "operator" and each.rows > 1 for each in found):
            raise InvalidRequest("These are names of two accounts.", remedy="Erase each by itself.")
        arguments = two_person.digest(names=sorted(names))
        two_person.need(
            ctx, principal, Action.PRIVACY_ERASE, names[0], arguments,
            what=_what(names), reason=reason, tenant=principal.tenant, session=session,
        )  # fmt: skip
        scoped = _scoped(session, given)
        if given["within"] is None:
            apart.before_a_change(session, datetime.now(UTC))
        shut = store.end_account(session, names) if given["within"] is None else 0
        done = [
            Found(place, rows)
            for place in _reached(session, given)
            if (rows := store.erase(session, place, given | {"tombstone": tombstone}, place.table in scoped))
        ]
        told = {f"{each.place.table}.{each.place.column}": each.rows for each in done}
        why = reason or origin().why(Action.PRIVACY_ERASE, names[0], principal.tenant)
        record(
            session, principal, Action.PRIVACY_ERASE, tombstone, tenant=principal.tenant,
            after={"rows": told, "account_shut": bool(shut)},
            reason=rules.replaced(why, re.compile(given["pattern"]), tombstone),  # it may name the person
        )  # fmt: skip
    log.info("personal data erased by %s: %s, %d places", in_log(principal), tombstone, len(done))
    return Erased(tombstone, bool(shut), done)


def _what(names: Sequence[str]) -> str:
    """What the second person reads: every name, for an account of each is shut. Raises InvalidRequest."""
    told = f"erase the data of {', '.join(names)}"
    if len(told) > two_person.TEXT_MOST_CHARACTERS:
        raise InvalidRequest(
            "So many names do not fit one request to a second person.", remedy="Erase some, then the others."
        )
    return told


def _begin(principal: Principal, action: Action, names: Sequence[str]) -> dict[str, Any]:
    authorize(principal, action)
    problem = rules.name_problem(names)
    if problem is not None:
        raise InvalidRequest(f"{problem[0].upper()}{problem[1:]}.")
    cleaned = [name.strip() for name in names]
    return finding.parameters(cleaned) | {"within": principal.within}


def _find(session: Session, given: dict[str, Any]) -> list[Found]:
    scoped = _scoped(session, given)
    counted = (
        Found(place, store.count(session, place, given, place.table in scoped))
        for place in _reached(session, given)
    )
    return [found for found in counted if found.rows]


def _find_alike(session: Session, given: dict[str, Any]) -> list[Found]:
    """As `_find`, and in other spellings."""
    scoped, found = _scoped(session, given), []
    for place in _reached(session, given):
        within = place.table in scoped
        alike = store.alike(session, place, given, within)
        rows = store.count(session, place, given, within) + alike.rows
        found.append(Found(place, rows, tuple(sorted(alike.spelled)[:SPELLED_MOST])))
    return [each for each in found if each.rows]


def _scoped(session: Session, given: dict[str, Any]) -> set[str]:
    """Tables of which only the tenant's rows are meant."""
    return set() if given["within"] is None else store.has_tenant(session)


def _reached(session: Session, given: dict[str, Any]) -> list[Place]:
    """For one tenant: places that are marked as a tenant's. The account's name comes last."""
    if given["within"] is not None:
        marked = store.has_tenant(session)
        return [place for place in PLACES if place.table in marked]
    return sorted(PLACES, key=lambda place: place.table == "operator")
