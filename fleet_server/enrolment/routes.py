"""/api/v1/claims and /api/v1/enrolments, for people. The device's side is `est.py`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from fleet_server.accept_policy import Way
from fleet_server.access.asker import Asker, Ctx
from fleet_server.bodies import JsonBody
from fleet_server.devices.routes import DeviceAddress, DeviceView
from fleet_server.devices.routes import view as device_view
from fleet_server.devices.rules import DeviceState
from fleet_server.devices.service import Place
from fleet_server.enrolment import advance_routes, certificate_routes, service, standing
from fleet_server.enrolment.est import est_router
from fleet_server.enrolment.rules import CLAIM_LIFE, CLAIM_LIFE_LONGEST, State
from fleet_server.enrolment.service import Enrolment

__all__ = ["est_router", "router"]

router = APIRouter(prefix="/api/v1", tags=["enrolment"])
router.include_router(advance_routes.router)
router.include_router(certificate_routes.router)


class EnrolmentView(BaseModel):
    """A claim and what became of it. `key_fingerprint`: compare it with the one the lamppost shows.

    `known`: there is a lamppost of this name, with another key; accepting revokes that one's certificates.
    """

    id: int
    claim: str
    state: State
    tenant: str
    device: str | None
    site: str
    replaces: bool
    key_fingerprint: str
    created_by: str
    created_at: datetime
    requested_at: datetime | None
    expires_at: datetime
    decided_by: str
    decided_at: datetime | None
    reason: str
    latitude: float | None
    longitude: float | None
    district: str
    way: Way
    batch: str | None
    known: bool


class NewClaim(JsonBody):
    """What a claim is for. Without `device` the lamppost proposes a free name itself."""

    device: str | None = Field(None, max_length=64, examples=["lamp-01"])
    site: str = Field("", max_length=200, examples=["Market Square 3"])
    expires_in_s: int = Field(
        int(CLAIM_LIFE.total_seconds()), ge=60, le=int(CLAIM_LIFE_LONGEST.total_seconds())
    )
    replaces: bool = False
    latitude: float | None = Field(None, description="where it will stand: degrees, WGS 84")
    longitude: float | None = None
    district: str = Field("", examples=["Harbour"])


class MadeClaim(BaseModel):
    """`token` is told once, here."""

    token: str = Field(repr=False)
    enrolment: EnrolmentView


class StateChange(JsonBody):
    """`quarantined`: out until it is active again. `decommissioned`: for good; a new claim brings it back."""

    state: Literal["active", "quarantined", "decommissioned"]


class Rejection(JsonBody):
    reason: str = Field("", max_length=500)


@router.post("/claims", status_code=201)
def make_claim(ctx: Ctx, asker: Asker, body: NewClaim) -> MadeClaim:
    """A single-use claim for one lamppost."""
    life = timedelta(seconds=body.expires_in_s)
    place = Place(body.latitude, body.longitude, body.district)
    made = service.make_claim(
        ctx, asker, body.device, body.site, place=place, life=life, replaces=body.replaces
    )
    return MadeClaim(token=made.token, enrolment=view(made.enrolment))


@router.get("/claims")
def list_claims(ctx: Ctx, asker: Asker) -> list[EnrolmentView]:
    """Claims that no lamppost has used yet."""
    return [view(each) for each in service.list_enrolments(ctx, asker, (State.CLAIMED,))]


@router.delete("/claims/{claim_id}")
def withdraw_claim(ctx: Ctx, asker: Asker, claim_id: str) -> EnrolmentView:
    """Take a claim back."""
    return view(service.withdraw(ctx, asker, claim_id))


@router.get("/enrolments")
def list_enrolments(ctx: Ctx, asker: Asker, state: State | None = None) -> list[EnrolmentView]:
    """The newest first; with `state`, those in it (`pending`: waiting for a person)."""
    return [view(each) for each in service.list_enrolments(ctx, asker, (state,) if state else ())]


@router.get("/enrolments/{enrolment_id}")
def get_enrolment(ctx: Ctx, asker: Asker, enrolment_id: int) -> EnrolmentView:
    return view(service.get_enrolment(ctx, asker, enrolment_id))


@router.post("/enrolments/{enrolment_id}/accept")
def accept(ctx: Ctx, asker: Asker, enrolment_id: int) -> EnrolmentView:
    """The fingerprints agree: register the lamppost and issue its certificate."""
    return view(service.accept(ctx, asker, enrolment_id))


@router.post("/enrolments/{enrolment_id}/reject")
def reject(ctx: Ctx, asker: Asker, enrolment_id: int, body: Rejection | None = None) -> EnrolmentView:
    """Refuse it for good."""
    return view(service.reject(ctx, asker, enrolment_id, body.reason if body else ""))


@router.put("/devices/{tenant}/{name}/state", tags=["devices"])
def change_state(ctx: Ctx, asker: Asker, address: DeviceAddress, body: StateChange) -> DeviceView:
    """Activate, quarantine or decommission it; the broker lets it in or not accordingly, within seconds.

    What it sent while it was quarantined is replayed once it is active. A decommissioned lamppost stays out.
    """
    return device_view(standing.change_state(ctx, asker, address, DeviceState(body.state)))


def view(found: Enrolment) -> EnrolmentView:
    return EnrolmentView(
        id=found.id,
        claim=found.claim_id,
        state=found.state,
        tenant=found.tenant,
        device=found.device,
        site=found.site,
        replaces=found.replaces,
        key_fingerprint=found.key_fingerprint,
        created_by=found.created_by,
        created_at=found.created_at,
        requested_at=found.requested_at,
        expires_at=found.expires_at,
        decided_by=found.decided_by,
        decided_at=found.decided_at,
        reason=found.reason,
        latitude=found.place.latitude,
        longitude=found.place.longitude,
        district=found.place.district,
        way=found.way,
        batch=found.batch,
        known=found.known,
    )
