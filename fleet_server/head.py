"""HEAD (RFC 9110, section 9.3.2): what GET would answer, without the body. FastAPI's routes know GET alone.

An ASGI middleware. A download is told after its headers that nobody listens, and stops.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Head:
    """Asks the application with GET and passes the headers on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        started = False

        async def receive_until_started() -> Message:
            return {"type": "http.disconnect"} if started else await receive()

        async def send_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body"})
                started = True

        await self._app({**scope, "method": "GET"}, receive_until_started, send_headers)
