"""How the pages for a phone look: plain HTML and forms, for a thumb and a weak connection. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from html import escape
from typing import Any

from dashboards import times
from dashboards.phone_data import Claimed, Site, Standing

CLAIMS_SHOWN = 100  # of each kind: whoever decides has the newest before them
STATES = {
    "claimed": "waits for the lamppost to ask",
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


def home(pending: Sequence[Standing], waiting: Sequence[Standing], may_claim: bool) -> str:
    new = '<p><a class="button primary" href="/field/claim">Set up a lamppost</a></p>' if may_claim else ""
    return (
        f"{new}<section><h2>Ask to be let in</h2>{_claims(pending, 'Nobody asks just now.')}</section>"
        f"<section><h2>Claims that wait</h2>{_claims(waiting, 'None is open.')}</section>"
        '<section><h2>At a lamppost</h2><form method="get" action="/field/at">'
        f"{_field('Its name', 'name', required=True, hint='lamp-07')}"
        '<button type="submit">Open</button></form></section>'
        '<p><a href="/batches">Claims in advance</a>, <a href="/keys">registered keys</a></p>'
    )


def _claims(claims: Sequence[Standing], none: str) -> str:
    more = len(claims) - CLAIMS_SHOWN
    rows = "".join(
        f'<li><a href="/c/{escape(each.claim)}"><strong>{escape(each.device or "any name")}</strong>'
        f" <span>{escape(each.site)}</span><code>{escape(each.claim)}</code></a></li>"
        for each in claims[:CLAIMS_SHOWN]
    )
    rest = f'<p class="muted">And {more} older ones: lamppost fleet enrolments list.</p>' if more > 0 else ""
    return f'<ul class="rows">{rows}</ul>{rest}' if rows else f'<p class="muted">{none}</p>'


def claim_form(given: dict[str, str]) -> str:
    def field(label: str, name: str, **more: Any) -> str:
        return _field(label, name, given.get(name, ""), **more)

    return (
        '<form method="post" action="/field/claim">'
        f"{field('Name (empty: it proposes one)', 'device', hint='lamp-07')}"
        f"{field('Site', 'site', hint='Market Square 3')}{field('District', 'district')}"
        f"{field('Latitude', 'latitude', number=True)}{field('Longitude', 'longitude', number=True)}"
        '<label class="check"><input type="checkbox" name="replaces" value="1"> It replaces the lamppost of '
        'this name</label><button type="submit" class="primary">Make the claim</button></form>'
    )


def claimed(made: Claimed) -> str:
    """The token is on this page and on no other."""
    return (
        "<p>Write this into <code>agent.toml</code>, or type it at the lamppost. It is shown once.</p>"
        f'<p class="token"><code>{escape(made.token)}</code></p>{_qr(made.standing)}'
        f'<p><a class="button primary" href="/c/{escape(made.standing.claim)}">Wait for the lamppost</a></p>'
    )


def _qr(standing: Standing) -> str:
    return (
        f'<figure class="label" role="img" aria-label="Label with a QR code for {escape(standing.url)}">'
        f"{standing.label}</figure>"
    )


def claim(found: Standing, may_decide: bool, may_withdraw: bool = False) -> str:
    name = f"{found.tenant}/{found.device}" if found.device else "a lamppost that proposes its name"
    head = (
        f"<dl><dt>Lamppost</dt><dd>{escape(name)}</dd><dt>Site</dt><dd>{escape(found.site) or '-'}</dd>"
        f"<dt>Claim</dt><dd><code>{escape(found.claim)}</code>, made by {escape(found.made_by)}</dd>"
        f'<dt>State</dt><dd class="state">{escape(STATES.get(found.state, found.state))}</dd></dl>'
    )
    withdraw = _withdraw(found) if found.state in ("claimed", "pending") and may_withdraw else ""
    if found.state == "pending":
        return head + _compare(found, may_decide) + withdraw
    if found.state == "issued":
        at = f"/field/{escape(found.tenant)}/{escape(found.device)}"
        return f'{head}<p><a class="button primary" href="{at}">Site test and hand-over</a></p>'
    why = f"<p>{escape(found.reason)}</p>" if found.reason else ""
    return head + why + (_qr(found) if found.state == "claimed" else "") + withdraw


def _withdraw(found: Standing) -> str:
    return (
        "<details><summary>Withdraw the claim</summary>"
        f'<form method="post" action="/c/{escape(found.claim)}/withdraw">'
        "<p>Nobody can use it from now on.</p>"
        '<button type="submit" class="bad">Withdraw it</button></form></details>'
    )


def _compare(found: Standing, may_decide: bool) -> str:
    groups = "".join(f"<li>{escape(group)}</li>" for group in found.fingerprint.split("-"))
    shown = (
        "<h2>Compare all eight groups with the lamppost's</h2>"
        f'<ol class="finger-groups" aria-label="Fingerprint of its key">{groups}</ol>'
    )
    if not may_decide:
        return f'{shown}<p class="muted">Somebody else decides.</p>'
    to = f"/c/{escape(found.claim)}"
    ends = f'<p class="problem">{ENDS_ANOTHER}</p>' if found.ends_another else ""
    return (
        f'{shown}{ends}<form method="post" action="{to}">'
        f"{_field('Its last four characters, as the lamppost shows them', 'last', required=True, most=4)}"
        '<button type="submit" class="primary" name="decision" value="accept">All the same: let it in'
        "</button>"
        f'</form><form method="post" action="{to}">{_field("Or why not", "reason", most=200)}'
        '<button type="submit" class="bad" name="decision" value="reject">Refuse it</button></form>'
    )


def site(found: Site, may_report: bool, picture: str) -> str:
    """picture: an SVG of the readings."""
    check = found.check
    verdict = "All is well" if check.passed else "Something is wrong"
    lines = "".join(
        f'<li class="{"tone-ok" if line.ok else "tone-bad"}">'
        f"<strong>{'ok' if line.ok else 'PROBLEM'}</strong> "
        f"{escape(line.name)}: {escape(line.detail)}"
        f"{f'<br><em>{escape(line.remedy)}</em>' if line.remedy else ''}</li>"
        for line in check.lines
    )
    at = f"/field/{escape(found.tenant)}/{escape(found.name)}"
    body = (
        f"<p>{escape(found.site)}</p><section><h2>Site test</h2>"
        f'<p class="verdict" role="status">{verdict}</p>'
        f'<ul class="lines">{lines}</ul><figure>{picture}</figure>'
        f'<p><a class="button" href="{at}">Test again</a></p></section>'
    )
    if may_report:
        body += _place(found, at) + _photo_form(at)
    body += _photos(found, at)
    if may_report:
        body += _handover(found, at)
    return body + _reports(found) + _history(found)


def _place(found: Site, at: str) -> str:
    return (
        f'<section><h2>Where it stands</h2><form method="post" action="{at}/place">'
        f'<input type="hidden" name="id" value="{secrets.token_hex(16)}">'
        f"{_field('Latitude', 'latitude', _shown(found.latitude), number=True)}"
        f"{_field('Longitude', 'longitude', _shown(found.longitude), number=True)}"
        f"{_field('District', 'district', found.district)}"
        f"{_field('Height of the sensors, metres', 'height', _shown(found.height_m), number=True)}"
        '<button type="submit">Keep the place</button></form></section>'
    )


def _photo_form(at: str) -> str:
    return (
        f'<section><h2>A picture</h2><form method="post" action="{at}/photo" enctype="multipart/form-data">'
        '<label>Picture (at most 6 MB)<input type="file" name="photo" capture="environment" required'
        f' accept="image/jpeg,image/png,image/webp"></label>{_field("What it shows", "caption", most=100)}'
        '<label class="check"><input type="checkbox" name="keep" value="1"> Keep what the camera wrote into '
        'it: place, time, its number</label><button type="submit">Send it</button></form></section>'
    )


def _photos(found: Site, at: str) -> str:
    shown = "".join(
        f'<figure><img loading="lazy" src="{at}/photo/{escape(each.sha256)}" '
        f'alt="{escape(each.caption or "The post")}"><figcaption>{escape(each.caption)}</figcaption></figure>'
        for each in found.photos
    )
    return f'<section><h2>Pictures</h2><div class="photos">{shown}</div></section>' if shown else ""


def _handover(found: Site, at: str) -> str:
    return (
        f'<section><h2>Hand over</h2><form method="post" action="{at}/handover">'
        f"{_field('Handed over by (empty: you)', 'technician', most=100)}"
        f"{_field('Received by', 'received_by', most=100)}"
        f"{_field('Height of the sensors, metres', 'height', _shown(found.height_m), number=True)}"
        '<label>Note<textarea name="note" rows="3" maxlength="2000"></textarea></label>'
        '<button type="submit" class="primary">Sign the site report</button></form></section>'
    )


def _reports(found: Site) -> str:
    rows = "".join(
        f'<li><a href="/field/report/{escape(each.id)}">{times.shown(each.made_at)}, '
        f"{escape(each.technician)}</a> {'site test passed' if each.passed else 'site test not passed'}</li>"
        for each in found.reports
    )
    return f'<section><h2>Site reports</h2><ul class="lines">{rows}</ul></section>' if rows else ""


def _history(found: Site) -> str:
    rows = "".join(
        f"<li>{times.shown(each.done_at)}: {escape(str(each.kind))}, {escape(each.done_by)}</li>"
        for each in found.history
    )
    return f'<section><h2>History</h2><ul class="lines">{rows}</ul></section>' if rows else ""


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}".rstrip("0").rstrip(".")


def _field(
    label: str,
    name: str,
    value: str = "",
    *,
    required: bool = False,
    number: bool = False,
    most: int = 64,
    hint: str = "",
) -> str:
    more = ' inputmode="decimal"' if number else ""
    more += " required" if required else ""
    more += f' placeholder="{escape(hint)}"' if hint else ""
    return (
        f'<label>{escape(label)}<input type="text" name="{name}" value="{escape(value)}" maxlength="{most}"'
        f' autocomplete="off" autocapitalize="none" spellcheck="false"{more}></label>'
    )
