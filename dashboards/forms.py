"""Pages that are forms without a script: who asks, what is refused, how much is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import Request
from nicegui import app
from starlette.responses import RedirectResponse, Response

from dashboards.sessions import Sessions
from fleet_server.access.service import SignedIn
from fleet_server.errors import InvalidRequest, LamppostError, TooLarge, problem_of

Handler = Callable[[Request, SignedIn], Awaitable[Response]]
Refused = Callable[[SignedIn, LamppostError], Awaitable[Response]]


def route(method: str, path: str, handler: Handler, known: Sessions, refused: Refused) -> None:
    """Serve `handler` to who is signed in; `refused` makes the page of what people are told."""

    async def answer(request: Request) -> Response:
        who = await known.of(request.session, app.storage.user)
        if who is None:  # the session ended between the guard and here
            return RedirectResponse("/sign-in", 303)
        try:
            return await handler(request, who)
        except LamppostError as error:
            if not problem_of(error).shown:
                raise
            return await refused(who, error)

    app.add_api_route(path, answer, methods=[method], include_in_schema=False)


def check_length(request: Request, most: int) -> None:
    """`most`: bytes of the body. Raises InvalidRequest where it does not say how long it is, TooLarge."""
    length = request.headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()):
        raise InvalidRequest("A form says how long it is.")
    if int(length) > most:
        raise TooLarge(f"At most {most >> 10} KiB can be sent here.")
