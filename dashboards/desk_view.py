"""The frame of the pages without a script: header, navigation, what came of the last form. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from string import Template

from dashboards.areas import MAIN, MORE, Area, offered
from fleet_server.access.service import SignedIn, permitted

BRAND = (
    '<svg class="brand" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">'
    '<path d="M9 19V5.5C9 3 11 2 13.5 2H16M6 19h6" fill="none" stroke="currentColor" stroke-width="1.7"/>'
    '<path d="M13 3.2h6L17.4 7h-2.8z" fill="currentColor"/></svg>'
)
_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$title - Lamppost $city</title>
<meta name="viewport" content="width=device-width, initial-scale=1">$refresh
<link rel="icon" href="/assets/lamppost.svg"><link rel="stylesheet" href="/assets/lamppost.css">
<link rel="stylesheet" href="/assets/phone.css"></head>
<body><div class="page"><div class="head"><a class="skip" href="#main">Skip to content</a>
<header class="bar"><a class="home" href="/">$brand<span class="product">Lamppost</span>
 <span class="city">$city</span></a>
<nav class="areas" aria-label="Main">$main<details class="more"><summary$within>More$badge</summary>
<ul>$more</ul></details></nav>
<a class="quiet wide operator" href="/account" title="Your account: $who">$who</a>
<form method="post" action="/sign-out"><button type="submit" class="quiet">Sign out</button></form>
</header></div>
<div class="$kind"><main id="main" tabindex="-1"><h1>$title</h1>$told$body</main></div></div></body></html>
""")
REQUESTS = ("1 request waits for you", "requests wait for you")
ALARMS = ("1 claim was used twice", "claims were used twice")
REFRESH_S = 5  # of a page that waits for a lamppost


@dataclass(frozen=True)
class Shell:
    """Of one request. `waiting`: requests that this person may decide; None: they decide none, or nobody
    knows just now. alarms: claims that were used twice, for who decides about them."""

    city: str
    who: SignedIn
    waiting: int | None = None
    alarms: int = 0


@dataclass(frozen=True)
class Told:
    """What came of the last form. request: of the second person that it takes; 0: none."""

    done: str = ""
    problem: str = ""
    request: int = 0


NOTHING = Told()


def page(
    shell: Shell,
    title: str,
    body: str,
    *,
    area: str,
    told: Told = NOTHING,
    wide: bool = False,
    refresh: bool = False,
) -> str:
    """body: HTML. wide: for a desk; else one column, for a phone. refresh: it loads again by itself."""

    def may(action: str) -> bool:
        return permitted(shell.who.principal, action)

    more = offered(MORE, may)
    asked = f' <a href="/approvals/{told.request}">Request {told.request}</a>'
    asked = asked if told.request and may("approvals:read") else ""
    said = f'<p class="problem" role="alert">{escape(told.problem)}{asked}</p>' if told.problem else ""
    said += f'<p class="done" role="status">{escape(told.done)}</p>' if told.done else ""
    return _PAGE.substitute(
        title=escape(title),
        city=escape(shell.city),
        refresh=f'<meta http-equiv="refresh" content="{REFRESH_S}">' if refresh else "",
        brand=BRAND,
        main="".join(_link(each, area, shell) for each in offered(MAIN, may)),
        more="".join(f"<li>{_link(each, area, shell)}</li>" for each in more),
        within=' class="within"' if any(each.key == area for each in more) else "",
        badge=_badge(shell.waiting, *REQUESTS),
        who=escape(shell.who.principal.name),
        kind="phone desk" if wide else "phone",
        told=said,
        body=body,
    )


def _link(to: Area, area: str, shell: Shell) -> str:
    here = ' aria-current="page"' if to.key == area else ""
    match to.key:
        case "approvals":
            count = _badge(shell.waiting, *REQUESTS)
        case "field":
            count = _badge(shell.alarms, *ALARMS)
        case _:
            count = ""
    return f'<a href="{to.at}"{here}>{escape(to.title)}{count}</a>'


def _badge(number: int | None, one: str, many: str) -> str:
    if not number:
        return ""
    return (
        f' <span class="count num"><span aria-hidden="true">{number}</span>'
        f'<span class="sr">{one if number == 1 else f"{number} {many}"}</span></span>'
    )
