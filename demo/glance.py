"""What the city's API tells of air and incidents, for the terminal's picture. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from demo.api import Api, ApiRefused


@dataclass(frozen=True)
class Glance:
    """`index`: by lamppost's name, value and category; `incidents`: a line each, of those that are open."""

    index: Mapping[str, str] = field(default_factory=dict)
    incidents: tuple[str, ...] = ()


def look(api: Api, before: Glance) -> Glance:
    """What the city says now; what it does not answer stands as it was."""
    try:
        indices = api.call("GET", "/api/v1/indices?limit=100")["indices"]
        incidents = api.call("GET", "/api/v1/incidents?state=open")["incidents"]
        return Glance(
            {each["device"].partition("/")[2]: f"{each['value']} {each['category']}" for each in indices},
            tuple(_line(each) for each in incidents),
        )
    except (ApiRefused, OSError, ValueError, KeyError, TypeError):
        return before


def _line(incident: Mapping[str, Any]) -> str:
    posts = incident["devices"]
    return f"{incident['title']} ({incident['severity']}, {posts} lamppost{'s' * (posts != 1)})"
