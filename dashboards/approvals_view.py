"""How the pages of requests for a second person look. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from dashboards import times
from dashboards.action_words import action
from dashboards.parts import asked_back, facts, field, form, further, link, table
from fleet_server.access.service import Request

STATES = {
    "waiting": "waits for a second person",
    "approved": "agreed to: who asked does the same again",
    "used": "done",
    "refused": "refused",
    "withdrawn": "withdrawn",
    "expired": "its time is over",
}
OPEN = ("waiting", "approved")


def page(
    waiting: Sequence[Request], others: Sequence[Request], before: int | None, name: str, may_decide: bool
) -> str:
    """name: the reader's own. before: where the next page of the others begins; None on the last."""
    cards = "".join(
        f'<li class="request">{_head(each, link(f"/approvals/{each.id}", action(each.action)))}'
        f"{_facts(each)}{_forms(each, name, may_decide)}</li>"
        for each in waiting
    )
    none = (
        '<p class="muted">Nothing waits just now. What takes two people stands here once somebody asks.</p>'
    )
    first = f'<section class="bare"><h2>Waiting</h2>{f"<ul>{cards}</ul>" if cards else none}</section>'
    rows = [
        (
            link(f"/approvals/{each.id}", action(each.action)),
            escape(each.resource),
            escape(each.asked_by),
            times.shown(each.asked_at),
            escape(_state(each)),
            escape(each.decided_by or "nobody"),
        )
        for each in others
    ]
    head = ("What", "On", "Asked by", "Asked", "State", "Decided by")
    body = table("Earlier requests", head, rows, "There was none before.")
    more = "" if before is None else further("/approvals", {"before": str(before)})
    return f'{first}<section class="bare"><h2>Earlier</h2>{body}{more}</section>'


def one(of: Request, name: str, may_decide: bool) -> str:
    """One request, whatever became of it."""
    told = [("State", escape(_state(of)))]
    if of.decided_by:
        told.append(("Decided by", f"{escape(of.decided_by)}, {times.shown(of.decided_at)}"))
    if of.note:
        told.append(("Note", escape(of.note)))
    again = ""
    if str(of.state) == "approved" and of.asked_by == name:
        again = (
            f'<p class="done">Somebody has agreed. Do the same again now, and it is done. {_where(of)}</p>'
        )
    body = facts(told) + again + _forms(of, name, may_decide)
    return (
        f"<section>{_facts(of)}</section><section>{body}</section><p>{link('/approvals', 'All requests')}</p>"
    )


def _where(of: Request) -> str:
    """Where who asked does it again; as far as there is a page for it."""
    if of.action == "devices:decommission":
        return link(f"/standing/{of.resource}", "Back to the lamppost")
    return ""


def _head(of: Request, words: str) -> str:
    return f"<h3>{words}</h3>" if of.id else ""


def _facts(of: Request) -> str:
    rows = [
        ("On", escape(of.resource)),
        ("Asked by", f"{escape(of.asked_by)}, {times.shown(of.asked_at)}"),
        ("Why", escape(of.reason) or '<span class="muted">no reason was given</span>'),
        ("Good until", times.shown(of.expires_at)),
    ]
    if of.what:
        rows.insert(1, ("That is", escape(of.what)))
    if str(of.state) == "approved":
        rows.append(("Agreed to by", escape(of.decided_by)))
    return facts(rows)


def _state(of: Request) -> str:
    return STATES.get(str(of.state), str(of.state))


def _forms(of: Request, name: str, may_decide: bool) -> str:
    """Who asked takes it back; another person agrees or does not. Who agreed may still refuse."""
    if str(of.state) not in OPEN:
        return ""
    at = f"/approvals/{of.id}"
    if of.asked_by == name:
        return form(f"{at}/withdraw", "", "Take it back")
    if not may_decide:
        return '<p class="muted">An approver or an administrator decides.</p>'
    note = field("Note", "note", most=500, hint="kept with your name")
    refuse = form(f"{at}/refuse", note, "Refuse", kind="bad", why=None)
    if str(of.state) == "approved":
        return asked_back("Refuse after all", refuse)
    return form(f"{at}/approve", note, "Agree", kind="primary", why=None) + asked_back("Or refuse", refuse)
