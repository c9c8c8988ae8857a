"""A lamppost's label: a QR code that a phone opens, the name, and who looks after it. Pure but for segno.

The code holds PAGES/c/CLAIM: the claim's id, which may be shown to anyone, and never its secret. Until the
lamppost is let in, the page there is where it is accepted; afterwards it leads to the lamppost.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from provisioning.errors import BadSetting

if TYPE_CHECKING:  # a lamppost itself has none, and `lamppost provision test` runs there
    import segno

CLAIM_ID = re.compile(r"[2-9a-hj-km-np-z]{8}")  # provisioning.claims; what it is made of
# ISO/IEC 18004: "quartile" reads with a quarter of it scratched or dirty, which a street does in a winter
ERROR_CORRECTION = "q"
QUIET_ZONE = 4  # modules, as the standard asks
# On a 62 mm tape, cut at 36 mm; on 100 by 62 mm and larger labels; two beside each other on A4.
WIDTH_MM, HEIGHT_MM = 84, 36
TEXT_MM = 46.0  # what is left beside the code
NAME_SIZES = ((4.2, 1), (3.0, 3), (2.2, 4))  # height in mm, lines of it at most
SITE_SIZES = ((2.4, 2), (1.8, 4))


@dataclass(frozen=True)
class Label:
    """`device` as people see it, "tenant/name" or a name; `site` in words."""

    pages_url: str
    claim_id: str
    device: str
    site: str = ""

    @property
    def url(self) -> str:
        return f"{self.pages_url.rstrip('/')}/c/{self.claim_id}"


def checked(label: Label) -> Label:
    """Raises BadSetting for what cannot be a label."""
    if not CLAIM_ID.fullmatch(label.claim_id):
        raise BadSetting(
            f"{label.claim_id!r:.40} is no claim's id", "Give the part before the dot, and not the secret"
        )
    if not re.fullmatch(r"https?://[^\s\"'<>]{1,200}", label.pages_url):
        raise BadSetting("the address of the pages is not known", "Give --pages https://HOST")
    return label


def _code(label: Label) -> segno.QRCode:
    import segno

    return segno.make(checked(label).url, error=ERROR_CORRECTION, micro=False)


def svg(label: Label) -> str:
    """A label of 84 by 36 mm, for a label printer: everything in it, no font and no picture from outside."""
    code = _code(label)
    size = code.symbol_size(border=QUIET_ZONE)[0]
    side_mm = 34.0
    held = io.BytesIO()
    code.save(held, kind="svg", border=QUIET_ZONE, xmldecl=False, svgns=False, nl=False, light="#fff")
    inner = held.getvalue().decode()
    inner = re.sub(r"^<svg[^>]*>|</svg>$", "", inner)
    height_mm, name = _fitted(label.device.rpartition("/")[2], NAME_SIZES, bold=True)
    words = [(6 + 1.35 * height_mm * n, height_mm, "bold", line) for n, line in enumerate(name)]
    height_mm, site = _fitted(label.site, SITE_SIZES)
    below = max((y for y, *_ in words), default=6.0) + 4.2
    words += [(below + 1.25 * height_mm * n, height_mm, "normal", line) for n, line in enumerate(site)]
    words += [(30, 2.4, "normal", "Claim"), (34, 3.4, "bold", label.claim_id)]
    text = "".join(
        f'<text x="36" y="{y:g}" font-size="{s}" font-weight="{w}">{escape(t)}</text>' for y, s, w, t in words
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH_MM}mm" height="{HEIGHT_MM}mm"'
        f' viewBox="0 0 {WIDTH_MM} {HEIGHT_MM}">'
        f"<title>{escape(label.device)}</title>"
        f'<rect width="{WIDTH_MM}" height="{HEIGHT_MM}" fill="#fff"/>'
        f'<g transform="translate(1 1) scale({side_mm / size:.5f})">{inner}</g>'
        f'<g font-family="DejaVu Sans, Arial, sans-serif" fill="#000">{text}</g></svg>'
    )


def _fitted(text: str, sizes: Sequence[tuple[float, int]], *, bold: bool = False) -> tuple[float, list[str]]:
    """(height in mm, lines) of the first size in whose lines it fits; else what fits, and an ellipsis."""
    text = " ".join(text.split())
    for height_mm, most in sizes:
        lines = _wrapped(text, height_mm, bold)
        if len(lines) <= most:
            return height_mm, lines
    while len(lines := _wrapped(text + "\u2026", height_mm, bold)) > most:
        text = text[:-1]
    return height_mm, lines


def _wrapped(text: str, height_mm: float, bold: bool) -> list[str]:
    """In lines that fit beside the code, broken at spaces and hyphens where there are any."""
    lines = [""]
    for word in re.findall(r"[^\s-]*-+|[^\s-]+|\s+", text):
        for part in [word] if _width_mm(word, height_mm, bold) <= TEXT_MM else list(word):
            if _width_mm((lines[-1] + part).strip(), height_mm, bold) > TEXT_MM:
                lines.append("")
            lines[-1] += part if lines[-1] else part.lstrip()
    return [line.strip() for line in lines if line.strip()]


def _width_mm(text: str, size_mm: float, bold: bool) -> float:
    """At most; as DejaVu Sans has it, which is wider than what else a printer's computer may have."""
    return sum(_em(letter) for letter in text) * size_mm * (1.12 if bold else 1.0)


def _em(letter: str) -> float:
    if unicodedata.east_asian_width(letter) in "WF" or letter in "mwMW@%\u2026":
        return 1.02
    if unicodedata.combining(letter):
        return 0.0
    if letter in "ijltfrI.,:;'|! ()[]-/":
        return 0.42
    return 0.8 if letter.isupper() or not letter.isascii() else 0.65


def html(labels: list[Label]) -> str:
    """To print from a browser: one label is a page of its size, for a label printer; several go on A4."""
    each = "".join(f"<li>{svg(label)}</li>" for label in labels)
    page = f"size:{WIDTH_MM}mm {HEIGHT_MM}mm;margin:0" if len(labels) == 1 else "size:A4;margin:10mm"
    line = "@media screen{li{outline:1px dashed #888}}" if len(labels) == 1 else "li{outline:1px dashed #888}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Labels</title><style>'
        f"@page{{{page}}}body{{margin:0;font:14px sans-serif}}ul{{list-style:none;margin:0;padding:0;"
        f"display:flex;flex-wrap:wrap;gap:4mm}}li{{break-inside:avoid}}svg{{display:block}}{line}"
        f"</style></head><body><ul>{each}</ul></body></html>\n"
    )


def file_bytes(label: Label, suffix: str) -> bytes:
    """What a file with this suffix holds: the label (.svg, .html), or its code alone, for the label printer's
    own program (.png, .pdf). Raises BadSetting."""
    held = io.BytesIO()
    match suffix.lower():
        case ".svg":
            return svg(label).encode()
        case ".html":
            return html([label]).encode()
        case ".png":  # eight dots a module: a millimetre on a printer of 203 dpi, and no dot is split
            _code(label).save(held, kind="png", scale=8, border=QUIET_ZONE, dpi=203)
        case ".pdf":
            _code(label).save(held, kind="pdf", scale=72 / 25.4, border=QUIET_ZONE)
        case _:
            raise BadSetting(
                f"a label is no {suffix or 'file without an ending'}",
                "Give .svg or .html (the label), .png or .pdf (its QR code alone)",
            )
    return held.getvalue()


def terminal(label: Label, *, coloured: bool = False) -> str:
    """For the eye of a phone that is held before a terminal. coloured: black on white, whatever the
    terminal's colours are; without, it takes a dark one."""
    held = io.StringIO()
    _code(label).terminal(out=held, compact=True, border=QUIET_ZONE)
    rows = held.getvalue().splitlines()
    if coloured:  # the blocks are what is light (ECMA-48: bright white on black)
        rows = [f"\033[97;40m{row}\033[0m" for row in rows]
    return "\n".join([*rows, "", label.url, ""])
