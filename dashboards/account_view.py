"""How the page of one's own account looks: plain HTML and forms, every value escaped. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from string import Template

from dashboards import times
from dashboards.forms import NOTHING_TYPED, WHY, Typed
from dashboards.parts import asked_back, reason
from fleet_server.access.service import ListedSession, SetUp, SignedIn

_SECTION = Template("<section><h2>$title</h2>$body</section>")
_TENANT = Template("<p>You act in <strong>$tenant</strong> as $roles.</p>$form")
_OVER = Template("""<form method="post" action="/account/tenant"><label for="tenant">Act in
$field</label>$why<button type="submit">Change over</button></form>""")
_ANY = Template('<input id="tenant" name="tenant" type="text" required maxlength="63" value="$tenant">')
_CHANGE = Template("""<form method="post" action="/account/password">
<label for="old">Password now<input id="old" name="old" type="password" required maxlength="256"
 autocomplete="current-password"></label>
<label for="new">New password<input id="new" name="new" type="password" required minlength="12"
 maxlength="256" autocomplete="new-password"></label>
$why<button type="submit">Change it</button></form><p class="muted">Every other session of yours ends.</p>
""")
_MUST_CHANGE = """<p class="problem" role="alert">Somebody else chose your password. Choose one that only you
know; then everything else is here.</p>"""
_BEGIN = """<p>None is set up.</p>
<form method="post" action="/account/factor"><label for="password">Your password
<input id="password" name="password" type="password" required maxlength="256"
 autocomplete="current-password"></label><button type="submit">Set one up</button></form>"""
_CONFIRM = Template("""<p>Scan this with an authenticator on your telephone, then type the code that it
shows.</p><p id="picture">$picture</p><p class="muted">By hand: <code id="secret">$secret</code></p>
<form method="post" action="/account/factor/confirm"><label for="code">Code
<input id="code" name="code" type="text" autocomplete="one-time-code" required maxlength="32"></label>
<button type="submit">Confirm</button></form>""")
_CODES = Template("""<p>Each of these recovery codes lets you in once, should you lose your authenticator.
Keep them where you keep keys: they are not shown again.</p><ul id="codes">$codes</ul>""")
_TAKE_AWAY = Template("""<p>It is set up.</p><form method="post" action="/account/factor/remove">
<label for="gone">A code of it, or a recovery code<input id="gone" name="code" type="text"
 autocomplete="one-time-code" required maxlength="32"></label>$why
<button type="submit">Take it away</button></form>""")
_SESSION = Template("""<li><strong>$what</strong> <span>$address, since $began</span>$end</li>""")
_END = Template("""<form method="post" action="/account/session">
<input type="hidden" name="number" value="$number">$why<button type="submit">$end</button></form>""")


def overview(
    who: SignedIn,
    listed: Sequence[ListedSession],
    has_password: bool,
    has_factor: bool,
    typed: Typed = NOTHING_TYPED,
) -> str:
    """Where one acts, the second factor, the password, where one is signed in.

    Without a password both are the provider's affair, whose account one signs in with. Where somebody else
    chose the password, there is nothing to do before another is chosen. typed: a form of this page that
    was refused; no password and no code of it stands here again.
    """
    if who.must_change:  # why is known
        return _MUST_CHANGE + _section("Password", _CHANGE.substitute(why=""))
    parts = [_section("Where you act", _acting(who, typed))]
    if has_password:
        take_away = _TAKE_AWAY.substitute(why=_why("/account/factor/remove", typed))
        parts.append(_section("Second factor", take_away if has_factor else _BEGIN))
        parts.append(_section("Password", _CHANGE.substitute(why=_why("/account/password", typed))))
    rows = "".join(_session(each, who.number, typed) for each in listed)
    parts.append(_section("Where you are signed in", f'<ul class="rows">{rows}</ul>'))
    return "".join(parts)


def _why(at: str, typed: Typed, hidden: Mapping[str, str] | None = None) -> str:
    """The field for the reason, which stands there again where this form was refused."""
    return reason(typed.given.one(WHY) if typed.into(at, hidden) else "")


def _acting(who: SignedIn, typed: Typed) -> str:
    """Whoever has a role everywhere may act in any tenant, and types its name; others choose."""
    acting, at = who.principal.tenant, "/account/tenant"
    field = ""
    if "*" in who.tenants:
        field = _ANY.substitute(tenant=escape(typed.given.one("tenant") if typed.into(at) else acting))
    elif len(who.tenants) > 1:
        options = "".join(
            f"<option{' selected' if each == acting else ''}>{escape(each)}</option>" for each in who.tenants
        )
        field = f'<select id="tenant" name="tenant">{options}</select>'
    return _TENANT.substitute(
        tenant=escape(acting),
        roles=escape(", ".join(sorted(who.principal.roles)) or "nobody"),
        form=_OVER.substitute(field=field, why=_why(at, typed)) if field else "",
    )


def confirming(made: SetUp) -> str:
    return _section("Second factor", _CONFIRM.substitute(picture=made.picture, secret=escape(made.secret)))


def recovery_codes(codes: Sequence[str]) -> str:
    listed = "".join(f"<li><code>{escape(each)}</code></li>" for each in codes)
    body = _CODES.substitute(codes=listed) + '<p><a href="/account">Go on</a></p>'
    return _section("Recovery codes", body)


def _session(found: ListedSession, this: int, typed: Typed) -> str:
    here, at, hidden = found.number == this, "/account/session", {"number": str(found.number)}
    why = "" if here else _why(at, typed, hidden)
    end = _END.substitute(number=found.number, why=why, end="Sign out" if here else "End this session")
    return _SESSION.substitute(
        what="This browser" if here else escape(found.agent[:80] or "A program"),
        address=escape(found.address or "somewhere"),
        began=times.shown(found.began_at),
        end=end if here else asked_back("End it", end, open_=typed.into(at, hidden)),
    )


def _section(title: str, body: str) -> str:
    return _SECTION.substitute(title=escape(title), body=body)
