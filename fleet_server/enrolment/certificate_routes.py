"""/api/v1/devices/{tenant}/{name}/certificates: what each is good for, and revoking one."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from fleet_server.access.asker import Asker, Ctx
from fleet_server.bodies import JsonBody
from fleet_server.devices.routes import DeviceAddress
from fleet_server.enrolment import revoking
from fleet_server.enrolment.revoking import Known, Reason, Standing

router = APIRouter()  # within routes.py's


class CertificateView(BaseModel):
    """`key_fingerprint`: of its key, as the lamppost shows it. `reason`: RFC 5280's word, or empty."""

    serial: str
    key_fingerprint: str
    valid_from: datetime
    valid_until: datetime
    state: Standing
    reason: str
    revoked_at: datetime | None


class Revocation(JsonBody):
    """`reason`: RFC 5280, section 5.3.1. On hold: quarantine the lamppost instead."""

    reason: Reason = Field(examples=["keyCompromise"])


class RevokedView(BaseModel):
    """`changed`: false where it was revoked before. `follows`: what it means for the lamppost."""

    certificate: CertificateView
    changed: bool
    follows: str


@router.get("/devices/{tenant}/{name}/certificates", tags=["devices"])
def certificates(ctx: Ctx, asker: Asker, address: DeviceAddress) -> list[CertificateView]:
    """Every certificate that the lamppost was given, the newest first."""
    return [view(each) for each in revoking.certificates(ctx, asker, address)]


@router.post("/devices/{tenant}/{name}/certificates/{serial}/revoke", tags=["devices"])
def revoke_certificate(
    ctx: Ctx, asker: Asker, address: DeviceAddress, serial: str, body: Revocation
) -> RevokedView:
    """Revoke one for good; its connection ends within seconds. The answer says what is left of the lamppost.

    A lamppost without a good certificate comes back by a new claim only, which a person accepts.
    """
    done = revoking.revoke(ctx, asker, address, serial, body.reason)
    return RevokedView(certificate=view(done.known), changed=done.changed, follows=done.follows)


def view(known: Known) -> CertificateView:
    made = known.certificate
    return CertificateView(
        serial=made.serial,
        key_fingerprint=made.key_fingerprint,
        valid_from=made.issued_at,
        valid_until=made.not_after,
        state=known.standing,
        reason=known.reason,
        revoked_at=made.revoked_at,
    )
