"""Where the header leads: each link for those whom the services let there. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Area:
    """`action`: who may do it is shown the link; "": everybody. `letter`: the key after "g"."""

    key: str
    at: str
    title: str
    letter: str
    action: str = ""


# On a phone these stand at the foot, under the thumb; everything else is behind "More".
MAIN = (
    Area("map", "/", "Map", "m"),
    Area("incidents", "/incidents", "Incidents", "i"),
    Area("field", "/field", "Field", "f", "sites:report"),
)
MORE = (
    Area("approvals", "/approvals", "Approvals", "a", "approvals:read"),
    Area("groups", "/groups", "Groups and settings", "o", "groups:read"),
    Area("people", "/people", "People", "p", "operators:read"),
    Area("tokens", "/tokens", "Tokens of machines", "k", "tokens:read"),
    Area("audit", "/audit", "Audit log", "l", "audit:read"),
    Area("tenants", "/tenants", "Tenants", "t", "tenants:read"),
    Area("account", "/account", "Your account", "y"),
)
May = Callable[[str], bool]


def offered(areas: tuple[Area, ...], may: May) -> list[Area]:
    return [each for each in areas if not each.action or may(each.action)]


def rows(areas: tuple[Area, ...], may: May) -> list[dict[str, str]]:
    """As the browser's header takes them."""
    return [
        {"key": each.key, "at": each.at, "title": each.title, "letter": each.letter}
        for each in offered(areas, may)
    ]
