"""How the page of a post looks on a phone: its site test, what is done there, the hand-over. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from html import escape
from typing import Any

from dashboards import standing_view, times
from dashboards.phone_data import Site
from dashboards.phone_parts import NOTHING, Again, area, entry, fold
from dashboards.phone_work_view import changed_here, done_here, shown, taken_down

KINDS = {
    "place": "where it stands",
    "calibrate": "calibration",
    "replace-unit": "another sensor",
    "replace-device": "another computer",
    "decommission": "shut out for good",
    "note": "note",
    "handover": "handed over",
}


def site(found: Site, may_report: bool, picture: str, again: Again = NOTHING) -> str:
    """picture: an SVG of the readings. While the first ack is measured the page loads again by itself, and
    has no forms that would lose what is typed."""
    at = f"/field/{escape(found.tenant)}/{escape(found.name)}"
    since = "" if found.since is None else str(round(found.since.timestamp() * 1000))
    again = replace(again, since=since)
    body = _head(found) + _test(found, at, picture)
    if found.waits:
        return body
    if may_report:
        body += done_here(found, at, again) + changed_here(found, at, again) + _handover(found, at, again)
    body += _photos(found, at) + _reports(found) + _history(found)
    return body + (taken_down(found, at, again) if may_report else "")


def _head(found: Site) -> str:
    address = f"{escape(found.tenant)}/{escape(found.name)}"
    state = (
        f'<p class="problem">It is {escape(standing_view.WORDS.get(found.state, found.state))}.</p>'
        if found.state != "active"
        else ""
    )
    where = ", ".join(escape(each) for each in (found.site, found.district) if each)
    return (
        f"{state}<p>{where}</p>"
        f'<p class="pair"><a class="button" href="/lamppost/{address}">Its page</a>'
        f'<a class="button" href="/standing/{address}">Let in, shut out</a></p>'
    )


def _test(found: Site, at: str, picture: str) -> str:
    check = found.check
    verdict = "All is well" if check.passed else "Something is wrong"
    verdict = "The first ack is measured" if found.waits else verdict
    lines = "".join(_line(each, waits=found.waits and each.name == "first ack") for each in check.lines)
    again = (
        f'<p><a class="button" href="{at}">Do not wait for it</a></p>'
        if found.waits
        else f'<p><a class="button" href="{at}/test">Test again, and measure the first ack</a></p>'
    )
    return (
        f'<section class="deeds"><h2>Site test</h2><p class="verdict" role="status">{verdict}</p>'
        f'<ul class="lines">{lines}</ul><details><summary>Readings of five minutes</summary>'
        f"<figure>{picture}</figure></details>{again}</section>"
    )


def _line(line: Any, *, waits: bool) -> str:
    word = "WAIT" if waits else line.verdict
    tone = {"ok": "tone-ok", "PROBLEM": "tone-bad"}.get(word, "tone-quiet")
    remedy = f"<br><em>{escape(line.remedy)}</em>" if line.remedy else ""
    told = f"{escape(line.name)}: {escape(line.detail)}{remedy}"
    return f'<li class="{tone}"><strong>{word}</strong> {told}</li>'


def _photos(found: Site, at: str) -> str:
    shown_ = "".join(
        f'<figure><img loading="lazy" src="{at}/photo/{escape(each.sha256)}" '
        f'alt="{escape(each.caption or "The post")}"><figcaption>{escape(each.caption)}</figcaption></figure>'
        for each in found.photos
    )
    return f'<section><h2>Pictures</h2><div class="photos">{shown_}</div></section>' if shown_ else ""


def _handover(found: Site, at: str, again: Again) -> str:
    def one(label: str, name: str, value: str = "", **more: Any) -> str:
        told = again.told.get(name, value) if again.form == "handover" else value
        return entry(label, name, told, **more)

    inner = (
        one("Handed over by (empty: you)", "technician", most=100)
        + one("Received by", "received_by", most=100)
        + one("Height of the sensors, metres", "height", shown(found.height_m), number=True)
        + area("Note", "note", again.told.get("note", "") if again.form == "handover" else "")
        + "<p>The report has the site test as it is when you sign.</p>"
    )
    form = fold(at, "handover", "Sign the site report", inner, "Sign it", kind="primary", again=again)
    return f'<section class="deeds"><h2>Hand over</h2>{form}</section>'


def _reports(found: Site) -> str:
    rows = "".join(
        f'<li><a href="/field/report/{escape(each.id)}">{times.shown(each.made_at)}, '
        f"{escape(each.technician)}</a> {'site test passed' if each.passed else 'site test not passed'}</li>"
        for each in found.reports
    )
    return f'<section><h2>Site reports</h2><ul class="lines">{rows}</ul></section>' if rows else ""


def _history(found: Site) -> str:
    rows = "".join(
        f"<li>{times.shown(each.done_at)}: {escape(KINDS.get(str(each.kind), str(each.kind)))}, "
        f"{escape(each.done_by)}{_more(str(each.kind), each.body)}</li>"
        for each in found.history
    )
    return f'<section><h2>History</h2><ul class="lines">{rows}</ul></section>' if rows else ""


def _more(kind: str, body: Mapping[str, Any]) -> str:
    """What was told of it, in a line."""
    match kind:
        case "replace-unit":
            told = f"{body.get('sensor', '')}: {body.get('old_serial') or '?'} → {body.get('new_serial', '')}"
        case "calibrate":
            told = f"{body.get('channel', '')}: slope {body.get('slope')}, offset {body.get('offset')}, "
            told += f"humidity {body.get('humidity')}; {body.get('source', '')}"
        case "replace-device":
            told = f"claim {body['claim']}" if body.get("claim") else ""
        case "note":
            told = str(body.get("text", ""))
        case _:
            told = ""
    told = "; ".join(each for each in (told, str(body.get("reason") or "")) if each)
    return f"<br><em>{escape(told)}</em>" if told else ""
