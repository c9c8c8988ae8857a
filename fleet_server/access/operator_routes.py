"""/api/v1/operators: accounts of others, as whoever administers the tenant sees and changes them."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from fleet_server.access import service
from fleet_server.access.account_routes import Ended, SessionLine, line
from fleet_server.access.asker import Asker, Ctx
from fleet_server.access.errors import UnfitCredential
from fleet_server.access.grants import roles_problem
from fleet_server.access.known_tenants import need_known
from fleet_server.access.rules import HUMAN_ROLES
from fleet_server.access.store import Operator
from fleet_server.bodies import JsonBody
from fleet_server.errors import InvalidRequest

router = APIRouter(prefix="/api/v1/operators", tags=["operators"])
_ROLES = f"at least one of {', '.join(HUMAN_ROLES)}"


class GrantView(BaseModel):
    """source: "local", given here; "oidc", by the provider's groups."""

    tenant: str
    roles: list[str]
    source: str


class OperatorView(BaseModel):
    """An account, with what it is in the tenant that the asker acts in."""

    name: str
    grants: list[GrantView]
    disabled: bool
    has_password: bool
    has_second_factor: bool
    created_at: datetime


class NewOperator(JsonBody):
    """Without a password it is a machine's: it acts by tokens alone.

    tenant: who acts in one may leave it out, and means that one; who acts in the whole installation says
    which, or "*" for everywhere.

    The password is good for the first sign-in, where its owner chooses another.
    """

    name: str = Field(max_length=64, examples=["ana"])
    password: str | None = Field(None, max_length=1024, repr=False)
    roles: list[str] = Field([], max_length=16, description=_ROLES, examples=[["viewer"]])
    tenant: str = Field("", max_length=64)


class Roles(JsonBody):
    roles: list[str] = Field(max_length=16, examples=[["operator", "approver"]])


class NewPassword(JsonBody):
    password: str = Field(max_length=1024, repr=False)


class Standing(JsonBody):
    disabled: bool


@router.get("")
def operators(ctx: Ctx, asker: Asker) -> list[OperatorView]:
    """Every account of the tenant, by name."""
    return [view(each) for each in service.list_operators(ctx, asker)]


@router.post("", status_code=201)
def create(ctx: Ctx, asker: Asker, body: NewOperator) -> OperatorView:
    """A new account."""
    roles = tuple(dict.fromkeys(body.roles))
    problem = roles_problem(roles)
    if problem is not None:
        raise UnfitCredential(f"The operator cannot be made: {problem}.")
    if not body.tenant and asker.within is None:
        raise InvalidRequest(
            "Say in which tenant the roles count.", remedy='"tenant": "*" is the whole installation.'
        )
    need_known(ctx, asker, body.tenant or asker.tenant)
    return view(service.create_operator(ctx, asker, body.name, body.password, roles, tenant=body.tenant))


@router.get("/{name}")
def operator(ctx: Ctx, asker: Asker, name: str) -> OperatorView:
    """One account of the tenant."""
    return view(service.get_operator(ctx, asker, name))


@router.put("/{name}/grants/{tenant}")
def grant(ctx: Ctx, asker: Asker, name: str, tenant: str, body: Roles) -> OperatorView:
    """Its roles in a tenant ("*": everywhere) become these; an empty list takes them away. Its sessions
    there end."""
    if body.roles:  # what was given in one that is gone, or never was, can still be taken away
        need_known(ctx, asker, tenant)
    return view(service.grant(ctx, asker, name, tenant, body.roles))


@router.put("/{name}/state")
def state(ctx: Ctx, asker: Asker, name: str, body: Standing) -> OperatorView:
    """Keep it out, from every open session too, or let it in again."""
    return view(service.set_disabled(ctx, asker, name, disabled=body.disabled))


@router.put("/{name}/password", status_code=204)
def password(ctx: Ctx, asker: Asker, name: str, body: NewPassword) -> Response:
    """Another password, good for the next sign-in, where its owner chooses one. Its sessions end."""
    service.set_password(ctx, asker, name, body.password)
    return Response(status_code=204)


@router.delete("/{name}/second-factor", status_code=204)
def reset_second_factor(ctx: Ctx, asker: Asker, name: str) -> Response:
    """For whom telephone and recovery codes are lost. Its sessions end."""
    service.reset_second_factor(ctx, asker, name)
    return Response(status_code=204)


@router.get("/{name}/sessions")
def sessions(ctx: Ctx, asker: Asker, name: str) -> list[SessionLine]:
    """Where it is signed in, the newest first."""
    return [line(each) for each in service.sessions_of(ctx, asker, name)]


@router.delete("/{name}/sessions")
def end_sessions(ctx: Ctx, asker: Asker, name: str) -> Ended:
    """Sign it out everywhere."""
    return Ended(ended=service.end_sessions(ctx, asker, name))


def view(found: Operator) -> OperatorView:
    return OperatorView(
        name=found.name,
        grants=[
            GrantView(tenant=each.tenant, roles=list(each.roles), source=each.source) for each in found.grants
        ],
        disabled=found.disabled,
        has_password=found.has_password,
        has_second_factor=found.has_factor,
        created_at=found.created_at,
    )
