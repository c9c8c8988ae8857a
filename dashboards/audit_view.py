"""How the pages of the audit log look: lines, one line with what it changed, its place in the chain. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import urlencode

from dashboards import times
from dashboards.action_words import ACTIONS, action, role
from dashboards.parts import choice, facts, field, form, further, link, section, table
from fleet_server.auditor.service import Checkpoint, LineView, Verdict
from fleet_server.errors import InvalidRequest

OUTCOMES = (("", "any"), ("done", "done"), ("refused", "refused"), ("locked", "locked out"))
WAYS = {
    "api": "the API",
    "pages": "these pages",
    "command": "the command line",
    "broker": "the broker",
    "server": "the server itself",
}
FILTERS = ("who", "action", "resource", "outcome", "from", "to")
NONE = '<span class="muted">-</span>'


@dataclass(frozen=True)
class Listing:
    """A page of lines. asked: the filter as it was typed. before: where the next page begins, None on the
    last."""

    lines: Sequence[LineView]
    asked: Mapping[str, str]
    before: int | None
    may_export: bool


def listing(found: Listing) -> str:
    rows = [
        (
            link(f"/audit/{each.number}", str(each.number)),
            at(each.at),
            escape(each.who) or NONE,
            f"{escape(action(each.action))} <small>{escape(each.action)}</small>",
            escape(each.resource),
            _outcome(each.outcome),
            escape(each.reason[:120]) or NONE,
        )
        for each in found.lines
    ]
    head = ("Line", "When", "Who", "Did what", "On", "Outcome", "Why")
    lines = table(
        "Lines, the newest first", head, rows, "No line is like that. Ask for less above, or for other days."
    )
    more = ""
    if found.before is not None:
        more = further("/audit", {**found.asked, "before": str(found.before)}, "Older lines")
    verify = form("/audit/verify", "", "Verify the log", why=None)
    return (
        f'{_filter(found.asked)}<section class="bare">{lines}{more}</section>'
        + (_downloads(found.asked) if found.may_export else "")
        + section(
            "Is it the log that was written?",
            f"<p>The server walks the lines, their hashes and the signatures.</p>{verify}",
        )
    )


def _filter(asked: Mapping[str, str]) -> str:
    of = {name: asked.get(name, "") for name in FILTERS}
    inner = (
        field("Who", "who", of["who"], hint="ana")
        + field("Did what", "action", of["action"], hint="devices:", among=ACTIONS)
        + field("On", "resource", of["resource"], most=300, hint="porto/lamp-01")
        + choice("Outcome", "outcome", OUTCOMES, of["outcome"])
        + field("From", "from", of["from"], kind="datetime-local")
        + field("To", "to", of["to"], kind="datetime-local")
    )
    all_ = f"<p>{link('/audit', 'All lines')}</p>" if any(of.values()) else ""
    return (
        '<form method="get" action="/audit" class="filter" role="search" aria-label="Which lines">'
        f'{inner}<button type="submit" class="primary">Show</button>{all_}</form>'
    )


def _downloads(asked: Mapping[str, str]) -> str:
    span = {name: asked.get(name, "") for name in ("from", "to") if asked.get(name)}
    whole = urlencode({**span, "format": "jsonl"})
    chosen = urlencode({**{k: v for k, v in asked.items() if v and k in FILTERS}, "format": "csv"})
    verifiable = link(f"/audit/export?{whole}", "JSON lines, to be verified anywhere")
    table_of = link(f"/audit/export?{chosen}", "A table (CSV) of the lines above")
    return section(
        "Take it out",
        f"<p>{verifiable}: every line of the days above, whoever did it; a chain has no gaps.</p>"
        f"<p>{table_of}: for people; nothing in it can be verified.</p>"
        '<p class="muted">That it was taken is a line of the log itself.</p>',
    )


def _outcome(outcome: str) -> str:
    tone = {"refused": "tone-bad", "locked": "tone-bad"}.get(outcome, "")
    return f'<span class="{tone}">{escape(dict(OUTCOMES).get(outcome, outcome))}</span>'


def at(text: str) -> str:
    """An instant of a line; one that was damaged is shown as it is."""
    try:
        return times.shown(times.told(text), escape(text))
    except InvalidRequest:
        return escape(text)


def one(line: LineView, checkpoint: Checkpoint | None, around: Sequence[tuple[str, int]]) -> str:
    """around: words and numbers of the lines beside it."""
    who = f"{escape(line.who)} <small>{escape(', '.join(role(each) for each in line.roles))}</small>"
    rows = [
        ("When", at(line.at)),
        ("Who", who),
        ("Did what", f"{escape(action(line.action))} <small>{escape(line.action)}</small>"),
        ("On", escape(line.resource) or NONE),
        ("Outcome", _outcome(line.outcome)),
        ("Why", escape(line.reason) or '<span class="muted">no reason was given</span>'),
        ("By way of", f"{escape(WAYS.get(line.way, line.way))}{_from(line.address)}"),
        ("Signed in by", escape(line.via) or NONE),
        ("Tenant", escape(line.tenant)),
    ]
    if line.request:
        rows.append(("Request", f"<code>{escape(line.request)}</code>"))
    rows += [(name, escape(value)) for name, value in line.more.items()]
    steps = ", ".join(link(f"/audit/{number}", words) for words, number in around)
    steps = ", ".join(filter(None, (steps, link("/audit", "all lines"))))
    return (
        section("What happened", facts(rows))
        + section("What it changed", changed(line.before, line.after))
        + section("Its place in the chain", _place(line, checkpoint))
        + f"<p>{steps}</p>"
    )


def _from(address: str) -> str:
    return f", from {escape(address)}" if address else ""


def _place(line: LineView, checkpoint: Checkpoint | None) -> str:
    signed = "not yet: the server signs every hour and on demand"
    if checkpoint is not None:
        signed = (
            f"by the checkpoint at line {checkpoint.number}, {times.shown(checkpoint.at)},"
            f" key <code>{escape(checkpoint.key_id)}</code>"
        )
    rows = [
        ("Number", str(line.number)),
        ("Hash", f"<code>{escape(line.hash)}</code>"),
        ("Signed", signed),
    ]
    return facts(rows) + (
        '<p class="muted">The hash is of this line and the one before. Note number and hash down elsewhere,'
        f" and later: <code>lamppost audit verify --seen {line.number}:{escape(line.hash)}</code></p>"
    )


def changed(before: Any, after: Any) -> str:
    """A table of what was and is; words where there is nothing of both."""
    was, now = flat(before), flat(after)
    if not was and not now:
        return '<p class="muted">It says nothing of a state before or after.</p>'
    rows = []
    for key in sorted(was.keys() | now.keys()):
        if key not in was:
            sign, kind = "new", "added"
        elif key not in now:
            # a line tells what changed: what it does not name again was taken away or stayed as it was
            sign, kind = ("before", "removed") if now else ("was", "removed")
        else:
            sign, kind = ("same", "same") if was[key] == now[key] else ("changed", "changed")
        rows.append(
            (
                f'<span class="diff-{kind}">{escape(key)}</span> <small>{sign}</small>',
                _value(was, key, "del" if kind in ("removed", "changed") else "span"),
                _value(now, key, "ins" if kind in ("added", "changed") else "span"),
            )
        )
    return table("Before and after", ("What", "Before", "After"), rows, "")


def _value(state: Mapping[str, Any], key: str, element: str) -> str:
    if key not in state:
        return NONE
    value = state[key]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"<{element}>{escape(text) or '(empty)'}</{element}>"


def flat(state: Any) -> dict[str, Any]:
    """{"a": {"b": 1}} as {"a.b": 1}; lists stay whole. What is no object stands under "all of it"."""
    if state is None or state == {}:
        return {}
    if not isinstance(state, dict):
        return {"all of it": state}
    found: dict[str, Any] = {}
    for key, value in state.items():
        if isinstance(value, dict) and value:
            found |= {f"{key}.{inner}": each for inner, each in flat(value).items()}
        else:
            found[str(key)] = value
    return found


def verified(verdict: Verdict, may_walk: bool) -> str:
    """What the walk found, and when. may_walk: every line anew."""
    found = verdict.found
    rows = [
        ("Lines", f"{found.lines}, from {found.first} to {found.last}"),
        ("Checkpoints", f"{found.checkpoints}, signed up to line {found.signed_to}"),
        ("Erased personal values", str(found.erased)),
        ("Looked at", times.shown(verdict.at)),
        ("Every line walked", times.shown(verdict.whole_at)),
    ]
    if found.fault is None:
        when = (
            "now"
            if verdict.whole_at == verdict.at
            else f"at {times.shown(verdict.whole_at)}, what came since now"
        )
        words = (
            '<p class="done" role="status"><strong>Sound.</strong> The log is the one that was written:'
            f" every line was walked {when}.</p>"
        )
    else:
        words = (
            f'<p class="problem" role="alert"><strong>Not sound.</strong> {escape(found.fault.means)}'
            f" Nothing from line {found.fault.line} on can be trusted. Keep the database as it is, take an"
            " export, and compare with a backup and with the hashes that you noted down.</p>"
        )
    again = ""
    if may_walk:
        again = form("/audit/verify", "", "Walk every line again", hidden={"full": "yes"}, why=None)
    return (
        words + section("What was looked at", facts(rows) + again) + f"<p>{link('/audit', 'All lines')}</p>"
    )
