"""Security headers on every answer, and a nonce for NiceGUI's own inline scripts.

NiceGUI compiles Vue templates and runs the server's commands with `new Function`, so script-src needs
'unsafe-eval'; inline scripts and inline handlers that are not of the page stay forbidden by the nonce.
"""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

FIXED = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",  # "no-referrer" would blank the Origin of our own forms
    b"permissions-policy": b"camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}
YEAR_S = 31_536_000
PAGE_MARK = (b"x-nicegui-content", b"page")


def origin_of(tiles: str) -> str:
    """What the policy allows pictures from, for a tile address: `https://{s}.x.org/{z}/...` -> https://*.x.org."""
    address = urlsplit(tiles)
    return f"{address.scheme}://{address.netloc.replace('{s}', '*')}" if tiles else ""


def policy(script: str, images: str = "") -> bytes:
    """The content security policy: everything from this origin, nothing in frames, nothing from outside.

    images: one more origin for pictures, the map's tiles.
    """
    pictures = f"'self' data: {images}".rstrip()
    return (
        f"default-src 'none'; script-src {script}; style-src 'self' 'unsafe-inline'; img-src {pictures}; "
        "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ).encode()


class SecurityHeaders:
    """Outermost: nothing leaves without these headers. `https` adds strict transport security."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self._app = app
        self._https = https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                extra = dict(FIXED)
                extra[b"content-security-policy"] = policy("'none'")  # a page with scripts sets its own
                if self._https:
                    extra[b"strict-transport-security"] = f"max-age={YEAR_S}".encode()
                if b"cache-control" not in present:
                    extra[b"cache-control"] = b"no-store"
                added = [(name, value) for name, value in extra.items() if name not in present]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        await self._app(scope, receive, secured)


class ScriptNonce:
    """Marks the script tags of NiceGUI's page template with a nonce, new for every answer.

    What people typed reaches the template only inside a JSON string with `<` escaped, so every literal
    `<script` in the document is the template's or ours. Must stand inside any compression.
    """

    def __init__(self, app: ASGIApp, *, images: str = "") -> None:
        self._app = app
        self._images = images

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        start: Message | None = None
        body = b""

        async def marked(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and PAGE_MARK in message["headers"]:
                start = message
                return
            if start is None or message["type"] != "http.response.body":
                await send(message)
                return
            body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(start, body, send)

        await self._app(scope, receive, marked)

    async def _finish(self, start: Message, body: bytes, send: Send) -> None:
        nonce = secrets.token_urlsafe(16)
        body = body.replace(b"<script", f'<script nonce="{nonce}"'.encode())
        kept = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
        start["headers"] = [
            *kept,
            (b"content-length", str(len(body)).encode()),
            (b"content-security-policy", policy(f"'self' 'nonce-{nonce}' 'unsafe-eval'", self._images)),
        ]
        await send(start)
        await send({"type": "http.response.body", "body": body})
