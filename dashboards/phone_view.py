"""How the pages for a phone look on which lampposts are let in: claims and who asks with them. Plain HTML and
forms, for a thumb and a weak connection. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import urlencode

from dashboards import times
from dashboards.forms import WHY
from dashboards.phone_data import Claimed, Standing
from dashboards.phone_parts import entry, lives, reason
from fleet_server.enrolment.service import batches

NOTHING: Mapping[str, str] = {}
CLAIMS_SHOWN = 100  # of each kind: whoever decides has the newest before them
STATES = {
    "claimed": "waits for the lamppost to ask",
    "suspended": "rests: another claim of its batch was used twice",
    "pending": "asks to be let in: compare its key",
    "accepted": "accepted, its certificate is being made",
    "issued": "let in",
    "rejected": "refused",
    "expired": "its time is over",
    "withdrawn": "withdrawn",
}
ENDS_ANOTHER = (
    "There is a lamppost of this name already, with another key. Let this one in only where it takes that "
    "one's place: that one's certificates are over then."
)


def home(
    pending: Sequence[Standing],
    waiting: Sequence[Standing],
    may_claim: bool,
    alarms: Sequence[batches.Alarm] = (),
) -> str:
    """alarms: claims that were used twice, for who decides."""
    new = '<p><a class="button primary" href="/field/claim">Set up a lamppost</a></p>' if may_claim else ""
    return (
        f"{_used_twice(alarms)}{new}"
        f"<section><h2>Ask to be let in</h2>{_claims(pending, 'Nobody asks just now.')}</section>"
        f"<section><h2>Claims that wait</h2>{_claims(waiting, 'None is open.')}</section>"
        '<section><h2>At a lamppost</h2><form method="get" action="/field/at">'
        f"{entry('Its name', 'name', required=True, hint='lamp-07')}"
        '<button type="submit">Open</button></form></section>'
        '<p><a href="/batches">Claims in advance</a>, <a href="/keys">registered keys</a></p>'
    )


def _claims(claims: Sequence[Standing], none: str) -> str:
    more = len(claims) - CLAIMS_SHOWN
    rows = "".join(
        f'<li><a href="/c/{escape(each.claim)}"><strong>{escape(each.device or "any name")}</strong>'
        f" <span>{escape(each.site)}{_ends(each)}</span><code>{escape(each.claim)}</code></a></li>"
        for each in claims[:CLAIMS_SHOWN]
    )
    rest = f'<p class="muted">And {more} older ones: lamppost fleet enrolments list.</p>' if more > 0 else ""
    return f'<ul class="rows">{rows}</ul>{rest}' if rows else f'<p class="muted">{none}</p>'


def _ends(of: Standing) -> str:
    if of.state != "claimed" or of.expires_at is None:
        return ""
    return f"{' ' if of.site else ''}until {times.shown(of.expires_at)}"


def _used_twice(alarms: Sequence[batches.Alarm]) -> str:
    """A line each, above everything else."""
    return "".join(
        '<p class="problem alarm" role="alert"><strong>This claim was used twice.</strong> '
        f"Claim <code>{escape(each.claim_id)}</code>"
        f"{f' for {escape(each.device)}' if each.device else ''}: a second key has asked with it, "
        f"{times.shown(each.at)}. Let nobody in with it before you know whose keys these are. "
        f'<a href="/batches#alarm-{each.id}">Look at the alarm</a></p>'
        for each in alarms
    )


def claim_form(given: Mapping[str, str]) -> str:
    def one(label: str, name: str, **more: Any) -> str:
        return entry(label, name, given.get(name, ""), **more)

    ticked = " checked" if given.get("replaces") else ""
    return (
        '<form method="post" action="/field/claim">'
        f"{one('Name (empty: it proposes one)', 'device', hint='lamp-07')}"
        f"{one('Site', 'site', hint='Market Square 3')}{one('District', 'district')}"
        f"{one('Latitude', 'latitude')}{one('Longitude', 'longitude')}"
        f'<label class="check"><input type="checkbox" name="replaces" value="1"{ticked}> It replaces the '
        f"lamppost of this name</label>{lives(given.get('life', ''))}{reason(given.get(WHY, ''))}"
        '<button type="submit" class="primary">Make the claim</button></form>'
    )


def claimed(made: Claimed, more: str = "", now: datetime | None = None) -> str:
    """The token is on this page and on no other. more: HTML."""
    of = made.standing
    return (
        f"<p>Good until <strong>{until(of.expires_at, now or datetime.now(UTC))}</strong>. Write this into "
        "<code>agent.toml</code>, or type it at the lamppost. It is shown once.</p>"
        f'<p class="token"><code>{escape(made.token)}</code></p>{more}{_qr(of)}'
        f'<p><a class="button primary" href="/c/{escape(of.claim)}">Wait for the lamppost</a></p>'
    )


def _qr(standing: Standing) -> str:
    return (
        f'<figure class="label" role="img" aria-label="Label with a QR code for {escape(standing.url)}">'
        f"{standing.label}</figure>"
    )


def claim(
    found: Standing,
    may_decide: bool,
    may_withdraw: bool = False,
    may_claim: bool = False,
    now: datetime | None = None,
    typed: Mapping[str, str] = NOTHING,
) -> str:
    """typed: what stood in the form that was refused."""
    name = f"{found.tenant}/{found.device}" if found.device else "a lamppost that proposes its name"
    ends = f"<dt>Good until</dt><dd>{until(found.expires_at, now or datetime.now(UTC))}</dd>"
    head = (
        f"{_used_twice(found.alarms)}"
        f"<dl><dt>Lamppost</dt><dd>{escape(name)}</dd><dt>Site</dt><dd>{escape(found.site) or '-'}</dd>"
        f"<dt>Claim</dt><dd><code>{escape(found.claim)}</code>, made by {escape(found.made_by)}</dd>"
        f'<dt>State</dt><dd class="state">{escape(STATES.get(found.state, found.state))}</dd>'
        f"{ends if found.state in ('claimed', 'expired') else ''}</dl>"
    )
    withdraw = _withdraw(found) if found.state in ("claimed", "pending") and may_withdraw else ""
    if found.state == "pending":
        return head + _compare(found, may_decide, typed) + withdraw
    if found.state == "issued":
        at = f"/field/{escape(found.tenant)}/{escape(found.device)}"
        return f'{head}<p><a class="button primary" href="{at}">Site test and hand-over</a></p>'
    why = f"<p>{escape(found.reason)}</p>" if found.reason else ""
    anew = _anew(found) if found.state in ("expired", "withdrawn", "rejected") and may_claim else ""
    return head + why + (_qr(found) if found.state == "claimed" else "") + anew + withdraw


def _anew(found: Standing) -> str:
    """The same wish, once more."""
    wish = {"device": found.device, "site": found.site, "replaces": "1" if found.replaces else ""}
    query = urlencode({name: value for name, value in wish.items() if value})
    return f'<p><a class="button primary" href="/field/claim?{escape(query)}">Make a new claim</a></p>'


def _withdraw(found: Standing) -> str:
    return (
        "<details><summary>Withdraw the claim</summary>"
        f'<form method="post" action="/c/{escape(found.claim)}/withdraw">'
        f"<p>Nobody can use it from now on.</p>{reason()}"
        '<button type="submit" class="bad">Withdraw it</button></form></details>'
    )


def _compare(found: Standing, may_decide: bool, typed: Mapping[str, str]) -> str:
    groups = "".join(f"<li>{escape(group)}</li>" for group in found.fingerprint.split("-"))
    shown = (
        "<h2>Compare all eight groups with the lamppost's</h2>"
        f'<ol class="finger-groups" aria-label="Fingerprint of its key">{groups}</ol>'
    )
    if not may_decide:
        return f'{shown}<p class="muted">Somebody else decides.</p>'
    to = f"/c/{escape(found.claim)}"
    why = {typed.get("decision", ""): typed.get(WHY, "")}
    ends = f'<p class="problem">{ENDS_ANOTHER}</p>' if found.ends_another else ""
    return (
        f'{shown}{ends}<form method="post" action="{to}">'
        f"{entry('Its last four characters, as the lamppost shows them', 'last', required=True, most=4)}"
        f"{reason(why.get('accept', ''))}"
        '<button type="submit" class="primary" name="decision" value="accept">All the same: let it in'
        "</button>"
        f'</form><form method="post" action="{to}">'
        f"{reason(why.get('reject', ''), 'Or why not (optional)')}"
        '<button type="submit" class="bad" name="decision" value="reject">Refuse it</button></form>'
    )


def until(expires_at: datetime | None, now: datetime) -> str:
    """When a claim ends, and how long that is. HTML."""
    if expires_at is None:
        return "-"
    left_s = (expires_at - now).total_seconds()
    if left_s <= 0:
        return f"it was {times.shown(expires_at)}"
    minutes = round(left_s / 60)
    left = f"{minutes} min" if minutes < 120 else f"{round(minutes / 60)} h"
    return f"{times.shown(expires_at)} (in {left if minutes else 'less than a minute'})"
