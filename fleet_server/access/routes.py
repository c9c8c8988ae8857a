"""/api/v1/session: sign in, in one step or two, who am I, in which tenant, sign out.

The own account is in `account_routes.py`, others' in `operator_routes.py`, machines' tokens in
`token_routes.py`, requests for a second person in `approval_routes.py`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from pydantic import BaseModel, Field

from fleet_server.access import service
from fleet_server.access.asker import Asker, Ctx, Session, Token, cookie_name, from_where, token_of
from fleet_server.access.rules import SESSION_IDLE, Action
from fleet_server.bodies import JsonBody
from fleet_server.context import Context

router = APIRouter(prefix="/api/v1/session", tags=["session"])


class SignIn(JsonBody):
    """A local account's name and password. tenant: where to act; without it, the first that there is."""

    name: str = Field(max_length=256, examples=["ana"])
    password: str = Field(max_length=1024, repr=False)
    tenant: str = Field("", max_length=64)


class SecondFactor(JsonBody):
    """ticket: from the answer `second-factor-needed`. code: of the authenticator, or a recovery code."""

    ticket: str = Field(max_length=128, repr=False)
    code: str = Field(max_length=64, repr=False)


class Ticket(JsonBody):
    ticket: str = Field(max_length=128, repr=False)


class SetUpView(BaseModel):
    """What an authenticator is told, once: by hand, as an address, as a QR code (SVG)."""

    secret: str = Field(repr=False)
    address: str = Field(repr=False)
    picture: str = Field(repr=False)


class Acting(JsonBody):
    tenant: str = Field(max_length=64, examples=["porto"])


class SessionView(BaseModel):
    """Who is signed in, acting where, and until when if nothing is done meanwhile.

    tenants: where the account may act; "*" stands for everywhere. must_change_password: somebody else chose
    it; until `PUT /api/v1/account/password` everything else answers 403 `password-change-needed`.
    """

    name: str
    roles: list[str]
    tenant: str
    tenants: list[str]
    expires_at: datetime
    must_change_password: bool = False


class NewSession(BaseModel):
    """`token` goes into `Authorization: Bearer`; browsers have it in a cookie as well.

    recovery_codes: told once, to whom has just set a second factor up. must_change_password: as of the
    session.
    """

    name: str
    roles: list[str]
    tenant: str
    expires_at: datetime
    token: str = Field(repr=False)
    recovery_codes: list[str] = Field([], repr=False)
    must_change_password: bool = False


class Gone(BaseModel):
    """How many sessions ended."""

    ended: int


@router.post("", status_code=201)
def sign_in(ctx: Ctx, request: Request, response: Response, body: SignIn) -> NewSession:
    """Sign in. 401 for a wrong name or password; 401 with the type `second-factor-needed` and a ticket where
    the password was right and a code is still to come; 429 after too many."""
    address, agent = from_where(request)
    made = service.sign_in(ctx, body.name, body.password, address, tenant=body.tenant, agent=agent)
    return _begun(ctx, response, made)


@router.post("/second-factor", status_code=201)
def second_factor(ctx: Ctx, request: Request, response: Response, body: SecondFactor) -> NewSession:
    """The second step of signing in. 401 for a wrong or used code, or a ticket that has ended."""
    address, agent = from_where(request)
    return _begun(
        ctx, response, service.with_second_factor(ctx, body.ticket, body.code, address, agent=agent)
    )


@router.post("/second-factor/set-up")
def prepare_second_factor(ctx: Ctx, body: Ticket) -> SetUpView:
    """For whom `second-factor-needed` told `set_up`: what the authenticator is told. Then give its first
    code."""
    made = service.prepare_by_ticket(ctx, body.ticket)
    return SetUpView(secret=made.secret, address=made.address, picture=made.picture)


@router.get("")
def who_am_i(principal: Asker, session: Session) -> SessionView:
    """The session that this call was made with."""
    service.authorize(principal, Action.SESSION_READ)
    return view(session)


@router.put("/tenant")
def act_in(ctx: Ctx, principal: Asker, token: Token, body: Acting) -> SessionView:
    """Act in another tenant from now on. 403 where the account has no role there."""
    return view(service.act_in(ctx, principal, token, body.tenant))


@router.delete("", status_code=204)
def sign_out(ctx: Ctx, request: Request) -> Response:
    """End the session. 204 even when there was none: afterwards there is none."""
    token = token_of(request)
    if token:
        service.sign_out(ctx, token)
    response = Response(status_code=204)
    secure = ctx.config.api.behind_tls
    response.delete_cookie(cookie_name(ctx), httponly=True, samesite="strict", secure=secure)
    return response


@router.post("/oidc-logout")
def gone_elsewhere(
    ctx: Ctx, response: Response, logout_token: Annotated[str, Form(max_length=16_384)]
) -> Gone:
    """For the OpenID provider (Back-Channel Logout 1.0): the sessions of whoever has signed out, or was
    removed, over there end. 400 for a token that is not believed."""
    response.headers["Cache-Control"] = "no-store"
    return Gone(ended=service.gone_elsewhere(ctx, logout_token))


def set_cookie(ctx: Context, response: Response, token: str) -> None:
    """The session's cookie, and an answer that nobody stores."""
    response.set_cookie(
        cookie_name(ctx),
        token,
        max_age=int(SESSION_IDLE.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=ctx.config.api.behind_tls,
    )
    response.headers["Cache-Control"] = "no-store"


def view(session: service.SignedIn) -> SessionView:
    who = session.principal
    return SessionView(
        name=who.name,
        roles=sorted(who.roles),
        tenant=who.tenant,
        tenants=list(session.tenants),
        expires_at=session.expires_at,
        must_change_password=session.must_change,
    )


def _begun(ctx: Context, response: Response, made: service.SessionToken) -> NewSession:
    set_cookie(ctx, response, made.token)
    who = made.principal
    return NewSession(
        name=who.name,
        roles=sorted(who.roles),
        tenant=who.tenant,
        expires_at=made.expires_at,
        token=made.token,
        recovery_codes=list(made.recovery_codes),
        must_change_password=made.must_change,
    )
