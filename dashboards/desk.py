"""What every page without a script needs: its header, its refusals, its fields."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import Request
from nicegui import app
from starlette.responses import HTMLResponse, Response

from dashboards import forms, sessions
from dashboards.data import Services
from dashboards.desk_view import NOTHING, Shell, Told, page
from dashboards.sessions import Sessions
from fleet_server.access.service import SignedIn
from fleet_server.errors import LamppostError, problem_of

Handler = Callable[[Request, SignedIn], Awaitable[Response]]
NOT_KEPT = {"Cache-Control": "no-store"}


class Desk:
    """Registers pages and answers with them. The guard has let through signed-in people only."""

    def __init__(self, city: str, services: Services, known: Sessions) -> None:
        self._city, self.services, self.known = city, services, known

    def register(self, area: str, routes: list[tuple[str, str, Handler]]) -> None:
        async def refused(who: SignedIn, error: LamppostError) -> Response:
            return await self.answer(who, "This cannot be done", "", area=area, problem=error)

        for method, path, handler in routes:
            forms.route(method, path, handler, self.known, refused)

    async def answer(
        self,
        who: SignedIn,
        title: str,
        body: str,
        *,
        area: str,
        done: str = "",
        problem: LamppostError | None = None,
        wide: bool = False,
        refresh: bool = False,
    ) -> Response:
        """body: HTML. problem: the status is its own."""
        waiting = await self.services.waiting(who)
        alarms = len(await self.services.alarms(who))
        told = Told(done) if done else NOTHING
        if problem is not None:
            told = Told(done, str(problem), int(problem.members.get("request", 0)))
        shell = Shell(self._city, who, waiting, alarms)
        text = page(shell, title, body, area=area, told=told, wide=wide, refresh=refresh)
        status = 200 if problem is None else problem_of(problem).status
        return HTMLResponse(text, status, headers=NOT_KEPT)


def token_of_session() -> str:
    """Of the session that asks."""
    return str(app.storage.user[sessions.TOKEN])


def address_of(request: Request) -> str:
    """Where the browser is: its IP address, or ""."""
    return request.client.host if request.client else ""
