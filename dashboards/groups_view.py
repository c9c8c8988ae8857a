"""How the pages of groups look, and of what many lampposts were told at once. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from dashboards import settings_view, times
from dashboards.forms import WHY, Given
from dashboards.lamppost_orders import OFFERED
from dashboards.parts import asked_back, choice, facts, field, form, further, link, section, table
from fleet_server.commands.service import Bulk, CommandRecord, groups
from fleet_server.twin.service import Setting

EMPTY = Given(())
RATE = "60"  # a minute
OPEN = {"queued", "sent"}


def listing(found: Sequence[groups.Group], may_change: bool, typed: Given = EMPTY) -> str:
    rows = [
        (
            link(f"/groups/{each.name}", each.name),
            escape(each.title) or "-",
            f"<code>{escape(each.query)}</code>" if each.query else "listed by name",
            str(each.members),
            str(each.priority),
        )
        for each in found
    ]
    head = ("Group", "Title", "Who is in it", "Members", "Priority")
    none = "There is none. A group gives settings to some lampposts, and is told something at once."
    inner = (
        field("Name", "name", typed.one("name"), required=True, hint="harbour")
        + field("Title", "title", typed.one("title"), most=100)
        + field(
            "Query (empty: its members are listed)",
            "query",
            typed.one("query"),
            most=1000,
            hint='district in ("Harbour")',
        )
        + field(
            "Priority: of two groups the higher decides",
            "priority",
            typed.one("priority") or "0",
            kind="number",
        )
    )
    new = form("/groups", inner, "Make it", kind="primary", why=typed.one(WHY))
    asked = asked_back("Make a group", new, open_=bool(typed.fields)) if may_change else ""
    listed = table("Groups", head, rows, none)
    return (
        f'{asked}<section class="bare">{listed}</section>'
        f"<p>{link('/settings', 'What all lampposts are to do')}</p>"
    )


def one(
    of: groups.Group,
    members: groups.Members,
    registry: Sequence[Setting],
    may: Mapping[str, bool],
    typed: Given = EMPTY,
) -> str:
    """may: "change" the group, its "settings", "tell" its members something."""
    at = f"/groups/{of.name}"
    head = section(
        "What it is",
        facts(
            (
                ("Title", escape(of.title) or "-"),
                ("Who is in it", f"<code>{escape(of.query)}</code>" if of.query else "listed by name"),
                ("Priority", str(of.priority)),
                ("Made", times.shown(of.created_at)),
            )
        ),
    )
    shared = settings_view.there(of.settings, registry)
    if may["settings"]:
        shared += settings_view.change(f"{at}/settings", registry, typed if typed.one("key") else EMPTY)
    parts = [head, section("Settings that its members inherit", shared), _members(of, members, may["change"])]
    if may["tell"] and of.members:
        parts.append(_tell(at, of.members))
    if may["change"]:
        words = "<p>Its members no longer inherit from it.</p>"
        gone = form(f"{at}/delete", words, "Remove it", kind="bad")
        parts.append(asked_back("Remove the group", gone))
    return "".join(parts) + f"<p>{link('/groups', 'All groups')}</p>"


def _members(of: groups.Group, found: groups.Members, may_change: bool) -> str:
    listed = "".join(f"<li>{link(f'/lamppost/{each}', str(each))}</li>" for each in found.devices)
    body = f'<ul class="lines">{listed}</ul>' if listed else '<p class="muted">Nobody is in it.</p>'
    if found.next_after is not None:
        body += further(f"/groups/{of.name}", {"after": str(found.next_after)}, "Further members")
    if may_change and of.query is None:
        area = '<label>Names, one a line<textarea name="names" rows="4" maxlength="8000"></textarea></label>'
        body += asked_back("Add members", form(f"/groups/{of.name}/add", area, "Add them"))
        body += asked_back("Take members out", form(f"/groups/{of.name}/remove", area, "Take them out"))
    return section(f"Members: {of.members}", body)


def _tell(at: str, members: int) -> str:
    inner = choice("Tell them to", "command", OFFERED.items()) + field(
        "So many a minute", "rate", RATE, kind="number", required=True
    )
    words = f"<p>{members} lampposts, without who is shut out or has too much to do already.</p>"
    return section("Tell all of them", words + form(f"{at}/tell", inner, "Tell them", kind="primary"))


def bulk(of: Bulk, commands: Sequence[CommandRecord], may_cancel: bool) -> str:
    """commands: the newest of them."""
    counted = facts((str(state), str(number)) for state, number in of.counts.items())
    rows = [
        (
            link(f"/lamppost/{each.address}", str(each.address)),
            escape(OFFERED.get(each.name, each.name)),
            escape(str(each.state)),
            escape(each.detail) or "-",
        )
        for each in commands
    ]
    listed = table("Commands", ("Lamppost", "Command", "State", "What came of it"), rows, "None.")
    waits = any(str(state) in OPEN and number for state, number in of.counts.items())
    cancel = ""
    if may_cancel and waits:
        words = "<p>Those that no lamppost has begun with.</p>"
        cancel = asked_back(
            "Take them back", form(f"/bulk/{of.id}/cancel", words, "Take them back", kind="bad")
        )
    return section("How many are how far", counted) + cancel + f'<section class="bare">{listed}</section>'
