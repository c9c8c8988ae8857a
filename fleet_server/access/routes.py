"""/api/v1/session: sign in, who am I, sign out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from fleet_server.access import service
from fleet_server.access.asker import COOKIE, Asker, Ctx, signed_in, token_of
from fleet_server.access.rules import SESSION_IDLE, Action

router = APIRouter(prefix="/api/v1/session", tags=["session"])


class SignIn(BaseModel):
    """A local account's name and password."""

    name: str = Field(max_length=256, examples=["ana"])
    password: str = Field(max_length=1024, repr=False)


class SessionView(BaseModel):
    """Who is signed in, and until when if nothing is done meanwhile."""

    name: str
    roles: list[str]
    expires_at: datetime


class NewSession(SessionView):
    """`token` goes into `Authorization: Bearer`; browsers have it in a cookie as well."""

    token: str = Field(repr=False)


@router.post("", status_code=201)
def sign_in(ctx: Ctx, request: Request, response: Response, body: SignIn) -> NewSession:
    """Sign in. 401 for a wrong name or password, 429 after too many."""
    address = request.client.host if request.client is not None else ""
    made = service.sign_in(ctx, body.name, body.password, address)
    response.set_cookie(
        COOKIE,
        made.token,
        max_age=int(SESSION_IDLE.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=ctx.config.api.behind_tls,
    )
    response.headers["Cache-Control"] = "no-store"
    who = made.principal
    return NewSession(name=who.name, roles=sorted(who.roles), expires_at=made.expires_at, token=made.token)


@router.get("")
def who_am_i(principal: Asker, session: Annotated[service.SignedIn, Depends(signed_in)]) -> SessionView:
    """The session that this call was made with."""
    service.authorize(principal, Action.SESSION_READ)
    return SessionView(name=principal.name, roles=sorted(principal.roles), expires_at=session.expires_at)


@router.delete("", status_code=204)
def sign_out(ctx: Ctx, request: Request) -> Response:
    """End the session. 204 even when there was none: afterwards there is none."""
    token = token_of(request)
    if token:
        service.sign_out(ctx, token)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response
