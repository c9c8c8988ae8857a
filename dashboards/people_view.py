"""How the pages of accounts look: who there is, one person, a person who was added. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from dashboards import times
from dashboards.action_words import ROLES, role
from dashboards.forms import NOTHING_TYPED, WHY, Given, Typed
from dashboards.parts import asked_back, checks, facts, field, form, further, link, once, section, table
from fleet_server.access.service import EVERY_TENANT, HUMAN_ROLES, ListedSession, Operator

EMPTY = Given(())
SESSIONS_SHOWN = 50  # the newest
EVERYWHERE = "the whole installation"
_ROLES = [(each, *ROLES.get(each, (each, ""))) for each in map(str, HUMAN_ROLES)]
ONCE = (
    "Hand this password over. It is shown on this page, once; its owner chooses another at the first sign-in."
)
NO_FACTOR_WORDS = "Their telephone is lost: take the second factor away"


@dataclass(frozen=True)
class Listing:
    """A page of accounts. `last`: when somebody signed in last, of those that the audit log still tells.
    `after`: where the next page begins; "" on the last one."""

    people: Sequence[Operator]
    last: Mapping[str, datetime]
    find: str
    after: str


def listing(found: Listing, tenant: str, may_change: bool, typed: Given = EMPTY) -> str:
    """typed: what stood in the form of a person who could not be added."""
    rows = [
        (
            link(f"/people/{each.name}", each.name),
            _grants(each),
            "yes" if each.has_factor else "no",
            times.shown(found.last.get(each.name), "not of late"),
            standing(each),
        )
        for each in found.people
    ]
    head = ("Name", "Roles", "Second factor", "Last sign-in", "Account")
    search = (
        '<form method="get" action="/people" class="line" role="search">'
        f"{field('Name begins with', 'find', found.find)}"
        '<button type="submit" class="plain">Find</button></form>'
    )
    body = search + table("Accounts", head, rows, "Nobody of that name.")
    if found.after:
        body += further("/people", {"find": found.find, "after": found.after}, "Further names")
    body = f'<section class="bare">{body}</section>'
    return (_adding(tenant, typed) if may_change else "") + body


def _adding(tenant: str, typed: Given) -> str:
    where = typed.one("tenant") or tenant
    named = field("Tenant (* is the whole installation)", "tenant", where, required=True)
    inner = (
        field("Name", "name", typed.one("name"), required=True, hint="ana.silva")
        + (named if tenant == EVERY_TENANT else "")
        + checks("Roles", "role", _ROLES, typed.all("role"))
        + '<label class="check"><input type="checkbox" name="machine" value="1"><span>A machine: no password,'
        " it acts by tokens alone</span></label>"
    )
    made = form("/people", inner, "Add", kind="primary", why=typed.one(WHY))
    return asked_back("Add a person", made, open_=bool(typed.fields))


def _grants(of: Operator) -> str:
    told = [
        f"{', '.join(role(each) for each in grant.roles)}"
        f"{'' if grant.tenant == EVERY_TENANT else f' in {grant.tenant}'}"
        f"{', by the provider' if grant.source == 'oidc' else ''}"
        for grant in of.grants
    ]
    return escape("; ".join(told) or "none")


def standing(of: Operator) -> str:
    """Words, and a tone that only repeats them."""
    if of.disabled:
        return '<span class="tone-bad"><strong>kept out</strong></span>'
    elsewhere = any(grant.source == "oidc" for grant in of.grants)
    return "open" if of.has_password else "signs in with the provider" if elsewhere else "a machine's"


def person(
    of: Operator,
    tenant: str,
    sessions: Sequence[ListedSession] | None,
    last: datetime | None,
    own: bool,
    typed: Typed = NOTHING_TYPED,
) -> str:
    """sessions None: the reader may not change this account. own: it is the reader's. typed: a form of this
    page that was refused."""
    head = section(
        "Account",
        facts(
            (
                ("Roles", _grants(of)),
                ("Account", standing(of)),
                ("Second factor", "yes" if of.has_factor else "no"),
                ("Last sign-in", times.shown(last, "not of late")),
                ("Made", times.shown(of.created_at)),
            )
        ),
    )
    if sessions is None:
        return head
    parts = [head, _roles(of, tenant, typed), _sessions(of, sessions, typed), _entry(of, typed)]
    if own:
        parts.insert(
            1, '<p class="muted">This is your own account. See also <a href="/account">your page</a>.</p>'
        )
    return "".join(parts)


def _roles(of: Operator, tenant: str, typed: Typed) -> str:
    """A form for each tenant that it has roles in; for who acts everywhere, one for another."""
    at = f"/people/{of.name}/roles"
    local = {grant.tenant: grant.roles for grant in of.grants if grant.source == "local"}
    local.setdefault(tenant, ())
    body = ""
    for where, given in sorted(local.items()):
        words, hidden = f"In {EVERYWHERE if where == EVERY_TENANT else where}", {"tenant": where}
        chosen = typed.given.all("role") if typed.into(at, hidden) else given
        inner = checks(words, "role", _ROLES, chosen)
        body += form(at, inner, "Give these roles", hidden=hidden, typed=typed)
    if tenant == EVERY_TENANT:
        body += _elsewhere(at, NOTHING_TYPED if typed.given.one("tenant") in local else typed)
    body += '<p class="muted">Without any role there it has nothing to do there. Its sessions there end.</p>'
    return section("Roles", body)


def _elsewhere(at: str, typed: Typed) -> str:
    """Roles in a tenant that is typed."""
    again = typed.into(at)
    named = typed.given.one("tenant") if again else ""
    inner = field("Tenant", "tenant", named, required=True, hint="porto")
    inner += checks("Roles there", "role", _ROLES, typed.given.all("role") if again else ())
    return asked_back("In another tenant", form(at, inner, "Give these roles", typed=typed), open_=again)


def _sessions(of: Operator, sessions: Sequence[ListedSession], typed: Typed) -> str:
    rows = [
        (
            escape(each.agent[:60] or "a program"),
            escape(each.address or "somewhere"),
            escape(EVERYWHERE if each.tenant == EVERY_TENANT else each.tenant),
            times.shown(each.began_at),
            times.shown(each.expires_at),
        )
        for each in sessions[:SESSIONS_SHOWN]
    ]
    body = table("Sessions", ("With", "From", "Acts in", "Began", "Ends"), rows, "Nowhere just now.")
    if sessions:
        body += form(f"/people/{of.name}/sessions", "", "Sign out everywhere", typed=typed)
    return section("Where this account is signed in", body)


def _entry(of: Operator, typed: Typed) -> str:
    at = f"/people/{of.name}"
    parts = []
    if of.has_password or not of.grants:
        words = "<p>Every session ends. The new password is shown once.</p>"
        parts.append(_asked("Give another password", f"{at}/password", words, "Make a new password", typed))
    if of.has_factor:
        words = "<p>Every session ends.</p>"
        parts.append(_asked(NO_FACTOR_WORDS, f"{at}/factor", words, "Take it away", typed, kind="bad"))
    state = f"{at}/state"
    if of.disabled:
        parts.append(form(state, "", "Let in again", hidden={"disabled": "no"}, typed=typed))
    else:
        words, hidden = "<p>From now on, and from every open session.</p>", {"disabled": "yes"}
        parts.append(_asked("Keep this account out", state, words, "Keep out", typed, hidden, kind="bad"))
    return section("Way in", "".join(parts))


def _asked(
    opened: str,
    at: str,
    words: str,
    button: str,
    typed: Typed,
    hidden: Mapping[str, str] | None = None,
    *,
    kind: str = "",
) -> str:
    """A form behind the words that open it; open where it was refused."""
    inner = form(at, words, button, hidden=hidden, kind=kind, typed=typed)
    return asked_back(opened, inner, open_=typed.into(at, hidden))


def made(of: Operator, password: str | None) -> str:
    """What whoever added the account hands over."""
    words = f"{of.name} may sign in now."
    body = (
        f"<p>{escape(words)}</p>" + once(ONCE, password)
        if password
        else (f"<p>{escape(of.name)} acts by tokens alone: {link('/tokens', 'make one')}.</p>")
    )
    return body + f"<p>{link(f'/people/{of.name}', 'The account')}, {link('/people', 'all of them')}</p>"


def renewed(name: str, password: str) -> str:
    return once(ONCE, password) + f"<p>{link(f'/people/{name}', 'Back to the account')}</p>"
