"""Parts of the pages for a phone: fields for a thumb, forms that unfold. Pure.

What is called `inner` is HTML already; every other argument is text and escaped here.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape

from dashboards.forms import WHY
from fleet_server.auditor.service import REASON_MOST_CHARACTERS

# As phone_work.LIVES; the first is chosen where nobody chose.
LIVES = (("now", "5 minutes: I stand at the lamppost"), ("day", "Today: 24 hours"))


@dataclass(frozen=True)
class Again:
    """A form that was refused: which one, and what was typed. It comes back open and filled in.

    since: as `phone_data.Site` has it, in milliseconds; the forms' addresses carry it along.
    """

    form: str = ""
    told: Mapping[str, str] = field(default_factory=dict)
    since: str = ""

    @property
    def query(self) -> str:
        """Behind a form's address."""
        return f"?since={self.since}" if self.since else ""


NOTHING = Again()


def entry(
    label: str,
    name: str,
    value: str = "",
    *,
    required: bool = False,
    number: bool = False,
    most: int = 64,
    hint: str = "",
    kind: str = "text",
) -> str:
    """number: a keyboard of digits; not for what may be negative: an iPhone's has no minus."""
    more = ' inputmode="decimal"' if number else ""
    more += f' maxlength="{most}"' if kind == "text" else ""
    more += " required" if required else ""
    more += f' placeholder="{escape(hint)}"' if hint else ""
    return (
        f'<label>{escape(label)}<input type="{kind}" name="{name}" value="{escape(value)}"'
        f' autocomplete="off" autocapitalize="none" spellcheck="false"{more}></label>'
    )


def reason(typed: str = "", label: str = "Why (optional)", *, required: bool = False) -> str:
    """The field for why something is done: after everything that is needed, before the button."""
    hint = "" if required else "kept with your name"
    return entry(label, WHY, typed, most=REASON_MOST_CHARACTERS, hint=hint, required=required)


def area(label: str, name: str, value: str = "", *, most: int = 2000, required: bool = False) -> str:
    more = " required" if required else ""
    return (
        f'<label>{escape(label)}<textarea name="{name}" rows="3" maxlength="{most}"{more}>{escape(value)}'
        "</textarea></label>"
    )


def choice(label: str, name: str, options: Iterable[tuple[str, str]], value: str = "") -> str:
    """options: values and their words."""
    listed = "".join(
        f'<option value="{escape(each)}"{" selected" if each == value else ""}>{escape(words)}</option>'
        for each, words in options
    )
    return f'<label>{escape(label)}<select name="{name}">{listed}</select></label>'


def lives(chosen: str = "") -> str:
    """How long a claim is good."""
    listed = "".join(
        f'<label class="check"><input type="radio" name="life" value="{value}"'
        f"{' checked' if value == (chosen or LIVES[0][0]) else ''}> {words}</label>"
        for value, words in LIVES
    )
    return f"<fieldset><legend>The claim is good for</legend>{listed}</fieldset>"


def hidden(fields: Mapping[str, str]) -> str:
    return "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in fields.items()
    )


def work_id() -> str:
    """A form's own: what is sent twice is done once."""
    return secrets.token_hex(16)


def fold(
    at: str, name: str, title: str, inner: str, button: str, *, kind: str = "", again: Again = NOTHING
) -> str:
    """A form to AT/NAME behind its title. kind: "primary", "bad"."""
    open_ = " open" if again.form == name else ""
    action = escape(f"{at}/{name}{again.query}")
    return (
        f"<details{open_}><summary>{escape(title)}</summary>"
        f'<form method="post" action="{action}">{hidden({"id": work_id()})}{inner}'
        f'<button type="submit" class="{kind or "plain"}">{escape(button)}</button></form></details>'
    )
