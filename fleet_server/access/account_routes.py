"""/api/v1/account: the own account. Sessions, password, second factor. For people, never for a machine's
token."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from fleet_server.access import service
from fleet_server.access.asker import Asker, Ctx, Session, Token
from fleet_server.access.routes import SetUpView, set_cookie
from fleet_server.bodies import JsonBody
from fleet_server.context import Context

router = APIRouter(prefix="/api/v1/account", tags=["account"])


class SessionLine(BaseModel):
    """Where somebody is signed in. this: the one that asks."""

    number: int
    this: bool
    tenant: str
    via: str
    address: str
    agent: str
    began_at: datetime
    expires_at: datetime


class Ended(BaseModel):
    ended: int


class PasswordChange(JsonBody):
    old: str = Field(max_length=1024, repr=False)
    new: str = Field(max_length=1024, repr=False)


class Password(JsonBody):
    password: str = Field(max_length=1024, repr=False)


class Code(JsonBody):
    """Of the authenticator, or a recovery code."""

    code: str = Field(max_length=64, repr=False)


class NewToken(BaseModel):
    """The session goes on under this token; every other one has ended. recovery_codes: told once, here."""

    token: str = Field(repr=False)
    recovery_codes: list[str] = Field([], repr=False)


@router.get("/sessions")
def sessions(ctx: Ctx, asker: Asker, session: Session) -> list[SessionLine]:
    """Where one is signed in, the newest first."""
    return [line(each, session.number) for each in service.own_sessions(ctx, asker)]


@router.delete("/sessions")
def end_others(ctx: Ctx, asker: Asker, token: Token) -> Ended:
    """End every session but this one."""
    return Ended(ended=service.end_others(ctx, asker, token))


@router.delete("/sessions/{number}", status_code=204)
def end_session(ctx: Ctx, asker: Asker, number: int) -> Response:
    """End one of them."""
    service.end_own(ctx, asker, number)
    return Response(status_code=204)


@router.put("/password")
def change_password(
    ctx: Ctx, asker: Asker, token: Token, response: Response, body: PasswordChange
) -> NewToken:
    """Another password, by the old one."""
    fresh = service.change_own_password(ctx, asker, token, body.old, body.new)
    return _renewed(ctx, response, service.Changed(fresh))


@router.post("/second-factor", status_code=201)
def set_up(ctx: Ctx, asker: Asker, body: Password) -> SetUpView:
    """Begin to set up an authenticator; the password is asked again."""
    made = service.set_up(ctx, asker, body.password)
    return SetUpView(secret=made.secret, address=made.address, picture=made.picture)


@router.post("/second-factor/confirm")
def confirm(ctx: Ctx, asker: Asker, token: Token, response: Response, body: Code) -> NewToken:
    """Its first code: from now on it is asked for. The answer has the recovery codes."""
    return _renewed(ctx, response, service.confirm_own(ctx, asker, token, body.code))


@router.post("/second-factor/recovery-codes")
def recovery_codes(ctx: Ctx, asker: Asker, token: Token, response: Response, body: Code) -> NewToken:
    """New recovery codes in place of the old."""
    return _renewed(ctx, response, service.new_recovery_codes(ctx, asker, token, body.code))


@router.post("/second-factor/remove")
def remove(ctx: Ctx, asker: Asker, token: Token, response: Response, body: Code) -> NewToken:
    """Take it away, by a code of it."""
    return _renewed(ctx, response, service.remove_own(ctx, asker, token, body.code))


def line(found: service.ListedSession, this: int = 0) -> SessionLine:
    return SessionLine(
        number=found.number,
        this=found.number == this,
        tenant=found.tenant,
        via=found.via,
        address=found.address,
        agent=found.agent,
        began_at=found.began_at,
        expires_at=found.expires_at,
    )


def _renewed(ctx: Context, response: Response, made: service.Changed) -> NewToken:
    set_cookie(ctx, response, made.token)
    return NewToken(token=made.token, recovery_codes=list(made.recovery_codes))
