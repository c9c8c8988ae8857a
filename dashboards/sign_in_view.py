"""What the pages of signing in say: plain HTML, every value escaped, no script."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from string import Template
from urllib.parse import quote

from fleet_server.access.service import SetUp

_BRAND = (
    '<svg class="brand" viewBox="0 0 20 20" width="28" height="28" aria-hidden="true">'
    '<path d="M9 19V5.5C9 3 11 2 13.5 2H16M6 19h6" fill="none" stroke="currentColor" stroke-width="1.7"/>'
    '<path d="M13 3.2h6L17.4 7h-2.8z" fill="currentColor"/></svg>'
)
_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title>
<meta name="viewport" content="width=device-width, initial-scale=1">$head
<link rel="icon" href="/assets/lamppost.svg"><link rel="stylesheet" href="/assets/lamppost.css"></head>
<body><div class="page sign-in"><main>$brand<h1>$heading</h1>$body</main></div></body></html>
""")
_FORM = Template("""<p class="muted">$city</p>$problem
<form method="post" action="/sign-in">
<input type="hidden" name="next" value="$next">
<label for="name">Name<input id="name" name="name" type="text" autocomplete="username" autocapitalize="none"
 spellcheck="false" required maxlength="64" value="$name"$focus_name></label>
<label for="password">Password<input id="password" name="password" type="password"
 autocomplete="current-password" required maxlength="256"$focus_password$described></label>
<button type="submit" class="primary">Sign in</button></form>$elsewhere
<p class="help muted">No account? Whoever runs the server makes one with
<code>lamppost fleet operators add NAME --role ROLE</code>.</p>""")
_ELSEWHERE = Template(
    '<p><a class="button" id="elsewhere" href="/sign-in/oidc?next=$next">Sign in with $title</a></p>'
)
_PROBLEM = Template('<p id="problem" class="problem" role="alert">$text</p>')
_CODE = Template("""<p class="muted">$told</p>$problem$set_up
<form method="post" action="/sign-in/code">
<input type="hidden" name="next" value="$next"><input type="hidden" name="ticket" value="$ticket">
<label for="code">Code<input id="code" name="code" type="text" autocomplete="one-time-code" spellcheck="false"
 autocapitalize="none" required maxlength="32" autofocus$described></label>
<button type="submit" class="primary">Go on</button></form>
<p class="help muted"><a href="/sign-in">Begin again</a></p>""")
_SET_UP = Template("""<p>A role of yours needs a second factor. Scan this with an authenticator on your
telephone, then type the code that it shows.</p><p id="picture">$picture</p>
<p class="muted">By hand: <code id="secret">$secret</code></p>""")
_CODES = Template("""<p>Each of these recovery codes lets you in once, should you lose your authenticator.
Keep them where you keep keys: they are not shown again.</p><ul id="codes">$codes</ul>
<p><a class="button primary" href="$next">I have kept them</a></p>""")


def plain_page(title: str, heading: str, body: str, head: str = "") -> str:
    """A page without script. `body` and `head` are HTML, the others text."""
    return _PAGE.substitute(title=escape(title), head=head, brand=_BRAND, heading=escape(heading), body=body)


def form(city: str, wanted: str, name: str, problem: str, elsewhere: str) -> str:
    """Name and password. wanted: a checked path; elsewhere: the OpenID provider's title, or ""."""
    offered = _ELSEWHERE.substitute(next=quote(wanted, safe=""), title=escape(elsewhere)) if elsewhere else ""
    return _FORM.substitute(
        city=escape(city),
        problem=_problem(problem),
        next=escape(wanted),
        name=escape(name),
        focus_name="" if name else " autofocus",
        focus_password=" autofocus" if name else "",
        described=' aria-describedby="problem"' if problem else "",
        elsewhere=offered,
    )


def code(wanted: str, ticket: str, problem: str, made: SetUp | None) -> str:
    """The second step. made: what an authenticator is told, where one has to be set up first."""
    told = "" if made else "The code that your authenticator shows, or a recovery code."
    set_up = _SET_UP.substitute(picture=made.picture, secret=escape(made.secret)) if made else ""
    return _CODE.substitute(
        told=told,
        problem=_problem(problem),
        set_up=set_up,
        next=escape(wanted),
        ticket=escape(ticket),
        described=' aria-describedby="problem"' if problem else "",
    )


def recovery_codes(codes: Sequence[str], wanted: str) -> str:
    listed = "".join(f"<li><code>{escape(each)}</code></li>" for each in codes)
    return _CODES.substitute(codes=listed, next=escape(wanted))


def _problem(text: str) -> str:
    return _PROBLEM.substitute(text=escape(text)) if text else ""
