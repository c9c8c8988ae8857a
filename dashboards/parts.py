"""Parts of pages that are forms without a script. Pure: text in, HTML out.

What is called `body`, `inner` or `cells` is HTML already; every other argument is text and escaped here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import TypeVar
from urllib.parse import urlencode

from dashboards.forms import NOTHING_TYPED, WHY, Typed
from fleet_server.auditor.service import REASON_MOST_CHARACTERS

T = TypeVar("T")


def section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """rows: a word and a body."""
    return "<dl>" + "".join(f"<dt>{escape(word)}</dt><dd>{body}</dd>" for word, body in rows) + "</dl>"


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], none: str) -> str:
    """rows: cells. On a phone each row is a card. `none`: what an empty one says."""
    lines = "".join(
        "<tr>"
        + "".join(
            f'<td data-of="{escape(word)}"><div>{cell}</div></td>'
            for word, cell in zip(head, cells, strict=True)
        )
        + "</tr>"
        for cells in rows
    )
    if not lines:
        return f'<p class="muted none">{escape(none)}</p>'
    words = "".join(f'<th scope="col">{escape(word)}</th>' for word in head)
    return (
        f'<table class="cards"><caption class="sr">{escape(caption)}</caption>'
        f"<thead><tr>{words}</tr></thead><tbody>{lines}</tbody></table>"
    )


def link(href: str, words: str) -> str:
    return f'<a href="{escape(href)}">{escape(words)}</a>'


def form(
    action: str,
    inner: str,
    button: str,
    *,
    hidden: Mapping[str, str] | None = None,
    kind: str = "",
    why: str | None = "",
    typed: Typed = NOTHING_TYPED,
) -> str:
    """One that changes something. kind: "primary", "bad". why: what stands in the field of that name, by
    which the audit log and the second person learn the reason; None: it has none. typed: a form that was
    refused; was it this one, its reason stands here again."""
    if why is not None:
        mine = typed.into(action, hidden)
        inner += reason(typed.given.one(WHY) if mine else why)
    kept = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in (hidden or {}).items()
    )
    return (
        f'<form method="post" action="{escape(action)}">{kept}{inner}'
        f'<button type="submit" class="{kind or "plain"}">{escape(button)}</button></form>'
    )


def reason(typed: str = "") -> str:
    """The field for why something is done: never needed, and after everything that is."""
    return field("Why (optional)", WHY, typed, most=REASON_MOST_CHARACTERS, hint="kept with your name")


def field(
    label: str,
    name: str,
    value: str = "",
    *,
    kind: str = "text",
    required: bool = False,
    most: int = 64,
    hint: str = "",
    among: Iterable[str] = (),
) -> str:
    """kind: an input's type. among: values that it proposes."""
    more = " required" if required else ""
    more += f' placeholder="{escape(hint)}"' if hint else ""
    more += f' maxlength="{most}"' if kind == "text" else ""
    options = "".join(f'<option value="{escape(each)}">' for each in among)
    proposed = f'<datalist id="of-{escape(name)}">{options}</datalist>' if options else ""
    more += f' list="of-{escape(name)}"' if options else ""
    return (
        f'<label>{escape(label)}<input type="{kind}" name="{escape(name)}" value="{escape(value)}"'
        f' autocomplete="off" autocapitalize="none" spellcheck="false"{more}></label>{proposed}'
    )


def choice(label: str, name: str, options: Iterable[tuple[str, str]], value: str = "") -> str:
    """options: values and their words."""
    listed = "".join(
        f'<option value="{escape(each)}"{" selected" if each == value else ""}>{escape(words)}</option>'
        for each, words in options
    )
    return f'<label>{escape(label)}<select name="{escape(name)}">{listed}</select></label>'


def checks(legend: str, name: str, options: Iterable[tuple[str, str, str]], chosen: Iterable[str]) -> str:
    """options: values, their words, and what they mean in small letters."""
    on = set(chosen)
    listed = "".join(
        f'<label class="check"><input type="checkbox" name="{escape(name)}" value="{escape(each)}"'
        f"{' checked' if each in on else ''}><span>{escape(words)}"
        f"{f' <small>{escape(more)}</small>' if more else ''}</span></label>"
        for each, words, more in options
    )
    return f"<fieldset><legend>{escape(legend)}</legend>{listed}</fieldset>"


def asked_back(words: str, inner: str, *, open_: bool = False) -> str:
    """What takes a second click: `words` open it."""
    return f"<details{' open' if open_ else ''}><summary>{escape(words)}</summary>{inner}</details>"


def once(words: str, secret: str) -> str:
    """A secret that is on this page and on no other."""
    return (
        f'<section class="once"><p>{escape(words)}</p>'
        f'<p class="token"><code>{escape(secret)}</code></p></section>'
    )


def cut(found: Sequence[T], key: Callable[[T], str], after: str, most: int) -> tuple[Sequence[T], str]:
    """A page of what is listed whole, behind the one with the key `after`; and the last one's key where more
    come, else "". A key that is gone begins anew."""
    start = next((place + 1 for place, each in enumerate(found) if key(each) == after), 0)
    shown = found[start : start + most]
    return shown, key(shown[-1]) if len(found) > start + most else ""


def further(at: str, query: Mapping[str, str], words: str = "Older ones") -> str:
    """The link to the next page."""
    kept = {name: value for name, value in query.items() if value}
    return f'<p class="further">{link(f"{at}?{urlencode(kept)}", words)}</p>'
