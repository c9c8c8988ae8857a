"""What is around every HTTP answer: a request id, security headers, a limit on the body, a form for errors.

An ASGI middleware (asgi.readthedocs.io), outside of everything else.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
from collections.abc import Mapping
from types import MappingProxyType

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fleet_server.errors import InternalError, LamppostError, TooLarge, document_of, problem_of
from fleet_server.origin import coming_from

log = logging.getLogger("lamppost.http")

PROBLEM_TYPE = "application/problem+json"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
SLOW_S = 5.0  # a request over this is worth a line
# The API answers with data only: a browser that is made to show an answer as a page may do nothing with it.
HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
HSTS = "max-age=31536000"  # a year, as the preload rules ask at least


class Envelope:
    """`max_body_bytes` of a request; `behind_tls`: people come over https, and should for ever.

    larger: for addresses that begin and end so, more bytes; they read the body after they know who asks.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body_bytes: int,
        behind_tls: bool,
        larger: Mapping[tuple[str, str], int] = MappingProxyType({}),
    ) -> None:
        self._app = app
        self._larger = larger
        self._max_body_bytes = max_body_bytes
        self._headers = HEADERS | ({"strict-transport-security": HSTS} if behind_tls else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        started, started_s = False, time.monotonic()

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
                _tell(scope, message["status"], request_id, time.monotonic() - started_s)
            await send(message)

        try:
            self._check_announced(scope)
            with coming_from("api", address_of(scope), request_id):
                await self._app(scope, self._counted(receive, self._most(scope)), send_with_headers)
        except Exception as error:  # the top of every request
            if not isinstance(error, LamppostError):
                log.exception("request %s failed", request_id, extra={"request_id": request_id})
            if started:
                raise
            await send_problem(error, request_id, send_with_headers)

    def _check_announced(self, scope: Scope) -> None:
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isascii() and announced.isdigit() and int(announced) > self._most(scope):
            raise too_large(self._most(scope))

    def _most(self, scope: Scope) -> int:
        path = scope["path"]
        fitting = [most for (start, end), most in self._larger.items() if _is_at(path, start, end)]
        return max(self._max_body_bytes, *fitting) if fitting else self._max_body_bytes

    def _counted(self, receive: Receive, most: int) -> Receive:
        """For bodies that do not say how long they are."""
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                # FastAPI lets this one pass while it reads a body, and turns every other into a 400
                raise HTTPException(413)
            return message

        return counted


def address_of(scope: Scope) -> str:
    """The peer's IP address, or what a trusted proxy said it was; "" where there is none (a Unix socket)."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def _is_at(path: str, start: str, end: str) -> bool:
    return path.startswith(start) and path.endswith(end)


def request_id_of(scope: Scope) -> str:
    """The caller's X-Request-Id where it is harmless, else a new one. The same one throughout a request."""
    known = scope.get("state", {}).get("request_id")
    if isinstance(known, str):
        return known
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"A body may have {limit_bytes} bytes here.")


def problem_body(error: BaseException, request_id: str) -> bytes:
    return json.dumps(document_of(error, request_id)).encode()


async def send_problem(error: BaseException, request_id: str, send: Send) -> None:
    shown = error if isinstance(error, LamppostError) else InternalError("")
    body = problem_body(shown, request_id)
    headers = [(b"content-type", PROBLEM_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": problem_of(shown).status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _tell(scope: Scope, status: int, request_id: str, took_s: float) -> None:
    level = logging.WARNING if status >= 500 or took_s > SLOW_S else logging.DEBUG
    log.log(
        level,
        "%s %r %d in %.0f ms, request %s",
        scope["method"],
        scope["path"],
        status,
        took_s * 1000,
        request_id,
        extra={"request_id": request_id, "status": status},
    )
