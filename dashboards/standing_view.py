"""How the page looks on which a lamppost is let in or shut out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape

from dashboards import times
from dashboards.forms import NOTHING_TYPED, Typed
from dashboards.parts import asked_back, choice, facts, form, link, section, table
from fleet_server.devices.service import DeviceView
from fleet_server.enrolment.service import revoking

CERTIFICATES_SHOWN = 50  # the newest: one each 60 days or so

WORDS = {
    "active": "let in: its messages are taken",
    "pending": "known, and nobody let it in yet: its messages are taken",
    "quarantined": "shut out for now: its certificates are on hold",
    "decommissioned": "shut out for good: its certificates are revoked",
}
SHUT_OUT = ("quarantined", "decommissioned")
NOT_OUT_YET = (
    "a certificate still opens the door, as the revocation list could not be written; the server tries again"
    " each minute"
)
FOR_GOOD = (
    "Its certificates are revoked; it comes back by a new claim alone. Where two people have to agree, this"
    " asks the second one: do the same again once they have."
)


REASONS = {
    "keyCompromise": "somebody else may have its key",
    "superseded": "another one takes its place",
    "affiliationChanged": "it belongs to somebody else now",
    "cessationOfOperation": "it is not used any more",
    "privilegeWithdrawn": "it may not do this any more",
    "unspecified": "no reason",
}


def page(
    device: DeviceView,
    certificates: Sequence[revoking.Known] | None,
    held_until: datetime | None,
    may_change: bool,
    may_end: bool,
    may_revoke: bool,
    typed: Typed = NOTHING_TYPED,
) -> str:
    """certificates: None where the authority's files cannot be read. held_until: it floods, and is let in
    again by itself then. may_end: shut it out for good. may_revoke: one of its certificates. typed: a form of
    this page that was refused."""
    address = str(device.record.address)
    return (
        _state(device, certificates or (), held_until, may_change, may_end, typed)
        + _certificates(address, certificates, may_revoke)
        + _back(address)
    )


def _certificates(address: str, found: Sequence[revoking.Known] | None, may_revoke: bool) -> str:
    if found is None:
        unread = "They cannot be shown: the authority's files cannot be read now. The server's log says why."
        return section("Certificates", f'<p class="muted">{escape(unread)}</p>')
    rows = [
        (
            f"<code>{escape(each.certificate.serial)}</code>",
            f"{escape(str(each.standing))} <small>{escape(each.reason)}</small>",
            times.shown(each.certificate.issued_at),
            times.shown(each.certificate.not_after),
            _revoke(address, each) if may_revoke else "",
        )
        for each in found[:CERTIFICATES_SHOWN]
    ]
    head = ("Serial number", "Good for", "From", "Until", "")
    return section("Certificates", table("Certificates", head, rows, "It was given none."))


def _revoke(address: str, of: revoking.Known) -> str:
    if str(of.standing) == "revoked":
        return ""
    serial = of.certificate.serial
    inner = "<p>For good. The broker ends its connection within seconds.</p>" + choice(
        "For the revocation list", "reason", REASONS.items()
    )
    form_ = form(f"/standing/{address}/revoke", inner, "Revoke it", hidden={"serial": serial}, kind="bad")
    return asked_back(f"Revoke {serial[:8]}", form_)


def _state(
    device: DeviceView,
    certificates: Sequence[revoking.Known],
    held_until: datetime | None,
    may_change: bool,
    may_end: bool,
    typed: Typed,
) -> str:
    record = device.record
    state, address = str(record.state), str(record.address)
    told = [
        ("State", f'<span class="state">{escape(WORDS.get(state, state))}</span>'),
        ("Site", escape(record.site) or "-"),
        ("Last heard of", times.shown(record.newest_sample_at)),
    ]
    if held_until is not None:
        told.insert(1, ("It floods", f"let in again by itself: {times.shown(held_until)}"))
    standings = [str(each.standing) for each in certificates]
    if state in SHUT_OUT and "good" in standings:
        told.insert(1, ("Not out yet", escape(NOT_OUT_YET)))
    head = section("How it stands", facts(told))
    at = f"/standing/{address}"
    if state == "decommissioned":
        new = link("/field/claim", "a new claim")
        return f"{head}<p>It comes back by {new} alone, one that replaces it.</p>"
    parts = []
    if may_change and (state != "active" or "on hold" in standings):
        words = "<p>A certificate of it is on hold.</p>" if state == "active" else ""
        parts.append(form(at, words, "Let it in", hidden={"state": "active"}, kind="primary", typed=typed))
    if may_change and (state != "quarantined" or held_until is not None):
        button = "Shut it out for now" if held_until is None else "Keep it out"
        words = "<p>A stolen or broken one: the broker refuses it until it is let in again.</p>"
        parts.append(_out(at, "quarantined", words, button, typed))
    if may_end:
        parts.append(_out(at, "decommissioned", f"<p>{FOR_GOOD}</p>", "Shut it out for good", typed))
    change = section("Change it", "".join(parts)) if parts else '<p class="muted">Others decide that.</p>'
    return head + change


def _out(at: str, state: str, words: str, button: str, typed: Typed) -> str:
    hidden = {"state": state}
    inner = form(at, words, button, hidden=hidden, kind="bad", typed=typed)
    return asked_back(button, inner, open_=typed.into(at, hidden))


def _back(address: str) -> str:
    return f"<p>{link(f'/lamppost/{address}', 'Its page')}</p>"
