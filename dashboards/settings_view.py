"""How settings look that many lampposts share: the tenant's, a group's. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape

from dashboards.forms import WHY, Given
from dashboards.parts import asked_back, field, form, table
from fleet_server.errors import InvalidRequest
from fleet_server.twin.service import Setting

EMPTY = Given(())
Value = str | int | float | bool


def there(settings: Mapping[str, Value], registry: Sequence[Setting]) -> str:
    """What is wished here, and what it changes."""
    rows = [
        (f"<code>{escape(key)}</code>", escape(told(value)), escape(_of(key, registry)))
        for key, value in sorted(settings.items())
    ]
    return table("Settings", ("Setting", "Value", "What it changes"), rows, "Nothing is wished here.")


def change(at: str, registry: Sequence[Setting], typed: Given = EMPTY) -> str:
    """Set one, or with an empty value take it away."""
    inner = field(
        "Setting", "key", typed.one("key"), most=128, required=True, among=[each.key for each in registry]
    ) + field("Value (empty: take it away)", "value", typed.one("value"), most=200)
    rows = [
        (f"<code>{escape(each.key)}</code>", escape(each.changes), escape(each.allows)) for each in registry
    ]
    known = table("What can be set", ("Setting", "What it changes", "Allowed"), rows, "")
    set_it = form(at, inner, "Set it", kind="primary", why=typed.one(WHY))
    return asked_back("Change a setting", set_it, open_=bool(typed.fields)) + asked_back(
        "What can be set", known
    )


def told(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def value_of(typed: str, key: str, registry: Sequence[Setting]) -> Value | None:
    """None for nothing. What the registry calls text stays text. Raises InvalidRequest."""
    if not typed:
        return None
    found = _find(key, registry)
    if found is None or found.kind == "text":
        return typed
    try:
        value = json.loads(typed)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, bool | int | float):
        raise InvalidRequest(f"{key}: {typed[:40]!r} is not {found.allows}.")
    return value


def _find(key: str, registry: Sequence[Setting]) -> Setting | None:
    """`*` in a registered key stands for one name."""
    for each in registry:
        if re.fullmatch(re.escape(each.key).replace(r"\*", "[^.]+"), key):
            return each
    return None


def _of(key: str, registry: Sequence[Setting]) -> str:
    found = _find(key, registry)
    return "nothing that is known here" if found is None else found.changes
