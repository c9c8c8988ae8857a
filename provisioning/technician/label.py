"""A lamppost's label: a QR code that a phone opens, the name, and who looks after it. Pure but for segno.

The code holds PAGES/c/CLAIM: the claim's id, which may be shown to anyone, and never its secret. Until the
lamppost is let in, the page there is where it is accepted; afterwards it leads to the lamppost.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from html import escape

import segno

from provisioning.errors import BadSetting

CLAIM_ID = re.compile(r"[2-9a-hj-km-np-z]{8}")  # provisioning.claims; what it is made of
# ISO/IEC 18004: "quartile" reads with a quarter of it scratched or dirty, which a street does in a winter
ERROR_CORRECTION = "q"
QUIET_ZONE = 4  # modules, as the standard asks


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
    name = label.device.rpartition("/")[2]
    words = [(9, 4.2, "bold", name[:24]), (14.5, 2.4, "normal", label.site[:34])]
    words += [(27, 2.4, "normal", "Claim"), (31, 3.4, "bold", label.claim_id)]
    text = "".join(
        f'<text x="36" y="{y}" font-size="{s}" font-weight="{w}">{escape(t)}</text>' for y, s, w, t in words
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="84mm" height="36mm" viewBox="0 0 84 36">'
        f"<title>{escape(label.device)}</title>"
        '<rect width="84" height="36" fill="#fff"/>'
        f'<g transform="translate(1 1) scale({side_mm / size:.5f})">{inner}</g>'
        f'<g font-family="DejaVu Sans, Arial, sans-serif" fill="#000">{text}</g></svg>'
    )


def html(labels: list[Label]) -> str:
    """A sheet to print: one label under the other."""
    each = "".join(f"<li>{svg(label)}</li>" for label in labels)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Labels</title><style>'
        "@page{margin:10mm}body{margin:0;font:14px sans-serif}ul{list-style:none;margin:0;padding:0;"
        "display:flex;flex-wrap:wrap;gap:4mm}li{border:1px dashed #888}svg{display:block}"
        f"</style></head><body><ul>{each}</ul></body></html>\n"
    )


def terminal(label: Label) -> str:
    """For the eye of a phone that is held before a terminal."""
    held = io.StringIO()
    _code(label).terminal(out=held, compact=True, border=QUIET_ZONE)
    return f"{held.getvalue()}\n{label.url}\n"
