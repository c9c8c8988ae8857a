"""How the pages look of what is agreed on before a lamppost asks: batches of claims, alarms, registered keys.
Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from dashboards import times
from dashboards.forms import WHY, Given
from dashboards.parts import asked_back, field, form, further, link, section, table
from fleet_server.enrolment.service import Enrolment, batches

EMPTY = Given(())
DAYS = "1"
KEY_DAYS = "365"


def in_advance(
    found: Sequence[batches.Batch],
    alarms: Sequence[batches.Alarm],
    may_make: bool,
    may_see: bool,
    typed: Given = EMPTY,
) -> str:
    """may_make: batches, and end them; may_see: say that an alarm was looked at."""
    rows = [
        (
            f"{escape(each.technician)} <small>{escape(each.id)}</small>",
            escape(each.district) or "any",
            f"{each.unused} of {each.size} unused, {each.used} used",
            f"{times.shown(each.valid_from)} to {times.shown(each.valid_until)}",
            _state(each),
            _change(each) if may_make else "",
        )
        for each in found
    ]
    head = ("For whom", "District", "Claims", "Good", "State", "")
    none = "There is none. Somebody who sets lampposts up for a day without a connection needs one."
    listed = f'<section class="bare"><h2>Batches</h2>{table("Batches of claims", head, rows, none)}</section>'
    return (_new(typed) if may_make else "") + _alarms(alarms, may_see) + listed


def _state(of: batches.Batch) -> str:
    words = {"open": "open", "suspended": "suspended: one of its claims was used twice", "revoked": "revoked"}
    tone = ' class="tone-bad"' if str(of.state) == "suspended" else ""
    why = f" <small>{escape(of.reason)}</small>" if of.reason else ""
    return f"<span{tone}>{words[str(of.state)]}</span>{why}"


def _change(of: batches.Batch) -> str:
    if str(of.state) == "revoked":
        return ""
    end = form(f"/batches/{of.id}/revoke", "", "Revoke it", kind="bad")
    body = asked_back(f"Revoke {of.technician}'s", end)
    if str(of.state) == "suspended":
        again = form(f"/batches/{of.id}/resume", "", "Resume it")
        body += asked_back(f"Resume {of.technician}'s", again)
    return body


def _alarms(found: Sequence[batches.Alarm], may_see: bool) -> str:
    if not found:
        return ""
    rows = [
        (
            f'<code id="alarm-{each.id}">{escape(each.claim_id)}</code>',
            escape(each.device),
            f"<code>{escape(each.key_fingerprint)}</code>",
            times.shown(each.at),
            form(f"/batches/alarm/{each.id}", "", "I have looked at it") if may_see else "",
        )
        for each in found
    ]
    head = ("Claim", "Lamppost", "The second key", "When", "")
    body = table("Claims that were used twice", head, rows, "")
    words = "<p>Somebody showed a claim that another key had used. Its batch rests until it is resumed.</p>"
    return f'<div id="alarms">{section("Claims that were used twice", words + body)}</div>'


def _new(typed: Given) -> str:
    inner = (
        field("For whom", "technician", typed.one("technician"), required=True, hint="ana")
        + field("How many claims", "number", typed.one("number"), kind="number", required=True)
        + field("District", "district", typed.one("district"), hint="Harbour")
        + field("Good from (empty: now)", "from", typed.one("from"), kind="datetime-local")
        + field("Days", "days", typed.one("days") or DAYS, kind="number", required=True)
    )
    made = form("/batches", inner, "Make the claims", kind="primary", why=typed.one(WHY))
    return asked_back("Make claims in advance", made, open_=bool(typed.fields))


def made(batch: batches.Batch, tokens: Sequence[str]) -> str:
    """The tokens are on this page and on no other."""
    listed = "".join(f"<li><code>{escape(each)}</code></li>" for each in tokens)
    return (
        f'<section class="once"><p>{len(tokens)} claims for {escape(batch.technician)}, good until'
        f' {times.shown(batch.valid_until)}. They are shown on this page, once.</p><ul class="token">{listed}'
        f"</ul></section><p>{link('/batches', 'All batches')}</p>"
    )


def keys(
    found: Sequence[Enrolment], after: str, may_add: bool, may_withdraw: bool, typed: Given = EMPTY
) -> str:
    """after: where the next page begins; "" on the last one."""
    rows = [
        (
            escape(f"{each.tenant}/{each.device}"),
            escape(each.site) or "-",
            f"<code>{escape(each.registered_key or '')}</code>",
            escape(each.created_by),
            times.shown(each.expires_at),
            _withdraw(each) if may_withdraw else "",
        )
        for each in found
    ]
    head = ("Lamppost", "Site", "Key", "By", "Until", "")
    listed = table("Registered keys", head, rows, "None waits to be used.")
    listed += further("/keys", {"after": after}) if after else ""
    return (_add(typed) if may_add else "") + f'<section class="bare">{listed}</section>'


def _withdraw(of: Enrolment) -> str:
    words = "<p>Its lamppost then needs a claim.</p>"
    gone = form("/keys/withdraw", words, "Take it back", hidden={"claim": of.claim_id}, kind="bad")
    return asked_back(f"Take back {of.device}", gone)


def _add(typed: Given) -> str:
    inner = (
        field("Lamppost", "device", typed.one("device"), required=True, hint="lamp-07")
        + field("Site", "site", typed.one("site"), most=200)
        + '<label>Its public key (PEM), or the fingerprint that it shows<textarea name="key" rows="5"'
        f' maxlength="4096" required spellcheck="false">{escape(typed.one("key"))}</textarea></label>'
        + field("Days", "days", typed.one("days") or KEY_DAYS, kind="number", required=True)
    )
    added = form("/keys", inner, "Register it", kind="primary", why=typed.one(WHY))
    return asked_back("Register a key", added, open_=bool(typed.fields))
