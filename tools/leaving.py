"""The table of docs/privacy_on_the_device.md, written from edge_agent/core/allow_list.py."""

from __future__ import annotations

from collections.abc import Iterator

from edge_agent.core.allow_list import FIELDS, FINEST_CELL, LEAVES, Cell, Each, Keys, OneOf, Rule, Words
from tools.imports import ROOT

PAGE = ROOT / "docs/privacy_on_the_device.md"
BEGIN = "<!-- written by `make docs` from edge_agent/core/allow_list.py -->"
END = "<!-- end of what is written -->"


def render() -> str:
    """The page as it must be: the words of people, and between the marks the table."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n{END}{after}"


def table() -> str:
    """Channels with their messages, then every message with its fields."""
    lines = ["| channel | what may travel on it |", "|---|---|"]
    for channel, kinds in LEAVES.items():
        lines.append(f"| `up/{channel}` | {', '.join(sorted(kind.__name__ for kind in kinds))} |")
    for kind, rules in FIELDS.items():
        lines += [
            "",
            f"**{kind.__name__}**",
            "",
            "| field | what it is for | what is done with it |",
            "|---|---|---|",
        ]
        lines += [line for name, rule in rules.items() for line in _rows(name, rule)]
    return "\n".join(lines) + "\n"


def _rows(name: str, rule: Rule) -> Iterator[str]:
    yield f"| `{name}` | {rule.why} | {_done(rule)} |"
    if isinstance(rule, Keys):
        for key, each in rule.rules.items():
            yield f"| `{name}[{key}]` | {each.why} | {_done(each)} |"
        if rule.prefix:
            yield f"| `{name}[{rule.prefix}…]` | keys that begin so | coordinates cut |"


def _done(rule: Rule) -> str:
    match rule:
        case Words():
            return "coordinates cut"
        case Cell():
            return f"only a geohash of at most {FINEST_CELL} characters"
        case OneOf(values=values):
            return f"only {', '.join(sorted(values))}"
        case Each(of=kind):
            return f"each by {kind.__name__}"
        case Keys():
            return "only the keys below"
        case _:
            return "as it is"
