"""How the page looks on which a lamppost is let in or shut out. Pure."""

from __future__ import annotations

from html import escape

from dashboards import times
from dashboards.parts import asked_back, facts, form, link, section
from fleet_server.devices.service import DeviceView

WORDS = {
    "active": "let in: its messages are taken",
    "pending": "known, and nobody let it in yet: its messages are taken",
    "quarantined": "shut out for now: its certificates are on hold",
    "decommissioned": "shut out for good: its certificates are revoked",
}
FOR_GOOD = (
    "Its certificates are revoked; it comes back by a new claim alone. Where two people have to agree, this"
    " asks the second one: do the same again once they have."
)


def page(device: DeviceView, may_change: bool, may_end: bool) -> str:
    """may_end: shut it out for good."""
    record = device.record
    state, address = str(record.state), str(record.address)
    head = section(
        "How it stands",
        facts(
            (
                ("State", f'<span class="state">{escape(WORDS.get(state, state))}</span>'),
                ("Site", escape(record.site) or "-"),
                ("Last heard of", times.shown(record.newest_sample_at)),
            )
        ),
    )
    parts = []
    at = f"/standing/{address}"
    if state == "decommissioned":
        new = link("/field/claim", "a new claim")
        return f"{head}<p>It comes back by {new} alone, one that replaces it.</p>{_back(address)}"
    if may_change and state != "active":
        parts.append(form(at, "", "Let it in", hidden={"state": "active"}, kind="primary"))
    if may_change and state != "quarantined":
        words = "<p>A stolen or broken one: the broker refuses it until it is let in again.</p>"
        quarantine = form(at, words, "Shut it out for now", hidden={"state": "quarantined"}, kind="bad")
        parts.append(asked_back("Shut it out for now", quarantine))
    if may_end:
        words = f"<p>{FOR_GOOD}</p>"
        end = form(at, words, "Shut it out for good", hidden={"state": "decommissioned"}, kind="bad")
        parts.append(asked_back("Shut it out for good", end))
    change = section("Change it", "".join(parts)) if parts else '<p class="muted">Others decide that.</p>'
    return head + change + _back(address)


def _back(address: str) -> str:
    return f"<p>{link(f'/lamppost/{address}', 'Its page')}</p>"
