"""How the page of machines' tokens looks. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape

from dashboards import times
from dashboards.action_words import action
from dashboards.forms import WHY, Given
from dashboards.parts import asked_back, checks, field, form, further, link, once, section, table
from fleet_server.access.service import EVERY_TENANT, ApiToken

EMPTY = Given(())
DAYS = "90"
HEAD = ("Token", "For whom", "May", "Until", "Used last", "")


def page(
    found: Sequence[ApiToken], after: int | None, now: datetime, offered: Sequence[str] | None, tenant: str,
    may_revoke: bool, typed: Given = EMPTY,
) -> str:  # fmt: skip
    """offered: scopes that can be given; None: the reader makes none. after: where the next page begins."""
    rows = [
        (
            f"<strong>{escape(each.name)}</strong> <small>number {each.id}</small>",
            escape(each.owner if each.tenant == EVERY_TENANT else f"{each.owner} in {each.tenant}"),
            escape(", ".join(action(scope) for scope in each.scopes)),
            _until(each, now),
            times.shown(each.last_used_at),
            _revoke(each, now) if may_revoke else "",
        )
        for each in found
    ]
    body = table("Tokens", HEAD, rows, "There is no token. A machine that uses the API needs one.")
    body = f'<section class="bare">{body}</section>'
    if after is not None:
        body += further("/tokens", {"after": str(after)}, "Newer ones")
    return ("" if offered is None else _new(offered, tenant, typed)) + body


def _until(each: ApiToken, now: datetime) -> str:
    if each.revoked_at is not None:
        return f"revoked by {escape(each.revoked_by)}, {times.shown(each.revoked_at)}"
    if each.expires_at <= now:
        return f"over since {times.shown(each.expires_at)}"
    return times.shown(each.expires_at)


def _revoke(each: ApiToken, now: datetime) -> str:
    if each.revoked_at is not None or each.expires_at <= now:
        return ""
    button = form(
        f"/tokens/{each.id}/revoke", "<p>From now on it is worth nothing.</p>", "Revoke it", kind="bad"
    )
    return asked_back(f"Revoke {each.name}", button)


def _new(offered: Sequence[str], tenant: str, typed: Given) -> str:
    where = field(
        "Tenant (* is the whole installation)", "tenant", typed.one("tenant") or tenant, required=True
    )
    scopes = [(each, action(each), each) for each in offered]
    inner = (
        field("What it is for", "name", typed.one("name"), required=True, hint="nightly export")
        + field("Account that it acts for (empty: you)", "owner", typed.one("owner"), hint="exporter")
        + (where if tenant == EVERY_TENANT else "")
        + field("Days until it ends", "days", typed.one("days") or DAYS, kind="number", required=True)
        + checks("It may", "scope", scopes, typed.all("scope"))
    )
    made = form("/tokens", inner, "Make the token", kind="primary", why=typed.one(WHY))
    return asked_back("Make a token", made, open_=bool(typed.fields))


def made(token: str, described: ApiToken) -> str:
    """The token is on this page and on no other."""
    words = (
        f"The token of {described.name}. It is shown on this page, once: put it where the machine finds it."
    )
    ends = times.shown(described.expires_at)
    use = f"<p>It goes into the header <code>Authorization: Bearer …</code> and ends {ends}.</p>"
    return once(words, token) + section("How it is used", use) + f"<p>{link('/tokens', 'All tokens')}</p>"
