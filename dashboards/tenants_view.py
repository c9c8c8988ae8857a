"""How the pages of tenants look. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from dashboards import times
from dashboards.forms import WHY, Given
from dashboards.parts import asked_back, facts, field, form, further, link, section, table
from fleet_server.tenants.service import NAMES, Quotas, TenantRecord

EMPTY = Given(())
WORDS = {
    "requests_a_minute": "Requests a minute, all together",
    "requests_a_minute_each": "Requests a minute of one person or program",
    "devices": "Lampposts",
    "downloads": "Downloads at once",
    "download_rows": "Rows of one download",
    "groups": "Groups of lampposts",
    "files_mb": "Megabytes of files that commands brought",
    "device_messages": "Messages of one lamppost in a minute",
    "device_mb": "Megabytes of one lamppost in a minute",
}
USUAL = Quotas()
NOTE = "Requests and downloads are counted by each api process; what comes beyond is answered with 429."


def words(quota: str) -> str:
    return WORDS.get(quota, quota.replace("_", " "))


def listing(found: Sequence[TenantRecord], after: str, may_change: bool, typed: Given = EMPTY) -> str:
    """after: where the next page begins; "" on the last one."""
    rows = [
        (
            link(f"/tenants/{each.name}", each.name),
            escape(each.title) or '<span class="muted">none</span>',
            _used(each),
            escape(
                ", ".join(words(name).lower() for name, own in each.own.items() if own is not None)
                or "the usual"
            ),
        )
        for each in found
    ]
    body = table(
        "Tenants", ("Name", "Title", "Lampposts", "Quotas of its own"), rows, "There is no tenant yet."
    )
    new = form(
        "/tenants",
        field("Name", "name", typed.one("name"), required=True, hint="porto")
        + field("Title", "title", typed.one("title"), most=100, hint="Câmara Municipal do Porto"),
        "Name it",
        kind="primary",
        why=typed.one(WHY),
    )
    asked = asked_back("Name a tenant", new, open_=bool(typed.fields)) if may_change else ""
    body += further("/tenants", {"after": after}, "Further tenants") if after else ""
    return f'{asked}<section class="bare">{body}</section>'


def _used(of: TenantRecord) -> str:
    most = of.own.get("devices") or USUAL.devices
    if most is None:
        return f"{of.active}, without a limit"
    full = ' class="tone-bad"' if of.active >= most else ""
    return (
        f"<span{full}>{of.active} of {most}</span> "
        f'<meter min="0" max="{most}" value="{min(of.active, most)}"'
        ' aria-label="Lampposts used of the quota"></meter>'
    )


def one(of: TenantRecord, may_change: bool, typed: Given = EMPTY) -> str:
    """Its title, what holds for it, and the form to change it."""
    head = section(
        "What there is",
        facts(
            (
                ("Title", escape(of.title) or "-"),
                ("Named", times.shown(of.created_at, "not yet: it is known by its lampposts")),
                ("Lampposts", _used(of)),
            )
        ),
    )
    rows = [
        (escape(words(name)), _limit(of.own.get(name)), _limit(getattr(USUAL, name, None), "without a limit"))
        for name in NAMES
    ]
    quotas = table("Quotas", ("Quota", "Its own", "The usual"), rows, "")
    if not may_change:
        who = "Who acts in one tenant does not change its quotas: whoever runs the installation does."
        return head + section("Quotas", f'{quotas}<p class="muted">{NOTE}</p><p class="muted">{who}</p>')
    given = typed.fields or [(name, str(own)) for name, own in of.own.items() if own is not None]
    kept = Given(tuple(given))
    inner = field("Title", "title", kept.one("title") if typed.fields else of.title, most=100)
    inner += "".join(
        field(f"{words(name)} (empty: the usual)", name, kept.one(name), kind="number") for name in NAMES
    )
    change = form(f"/tenants/{of.name}", inner, "Change it", kind="primary", why=typed.one(WHY))
    return head + section("Quotas", f'{quotas}<p class="muted">{NOTE}</p>') + section("Change", change)


def _limit(value: int | None, none: str = "the usual") -> str:
    return escape(none) if value is None else f"{value}"
