"""/api/v1/claim-batches, /claim-alarms and /registered-keys: what is agreed on before a lamppost asks."""

from __future__ import annotations

from datetime import datetime, timedelta

from fastapi import APIRouter
from pydantic import BaseModel, Field

from fleet_server.access.asker import Asker, Ctx
from fleet_server.bodies import JsonBody
from fleet_server.devices.service import Place
from fleet_server.enrolment import batches, registered_keys, rules
from fleet_server.enrolment.batch_rules import BatchState
from fleet_server.enrolment.rules import State

router = APIRouter()  # within routes.py's

DAY_S = 86_400


class BatchView(BaseModel):
    """Claims issued in advance. `unused`: no lamppost has shown them yet; `used`: one has."""

    id: str
    tenant: str
    technician: str
    district: str
    size: int
    unused: int
    used: int
    state: BatchState
    reason: str
    valid_from: datetime
    valid_until: datetime
    created_by: str
    created_at: datetime


class NewBatch(JsonBody):
    """A number of claims for one technician, a district and some days. Lampposts bring their names."""

    technician: str = Field(min_length=1, max_length=64, examples=["ana"])
    number: int = Field(ge=1, le=rules.BATCH_MOST)
    district: str = Field("", max_length=64, examples=["Harbour"])
    valid_from: datetime | None = Field(None, description="with a time zone; without: now")
    valid_for_s: int = Field(DAY_S, ge=60, le=int(rules.BATCH_LONGEST.total_seconds()))


class MadeBatch(BaseModel):
    """`tokens` are told once, here."""

    batch: BatchView
    tokens: list[str] = Field(repr=False)


class Reason(JsonBody):
    reason: str = Field("", max_length=500)


class AlarmView(BaseModel):
    """A claim that one key had used was shown with another, `key_fingerprint`."""

    id: int
    tenant: str
    claim: str
    device: str
    key_fingerprint: str
    at: datetime
    seen_by: str
    seen_at: datetime | None


class NewKey(JsonBody):
    """A lamppost's name and its public key: PEM, or the fingerprint that it shows."""

    device: str = Field(min_length=1, max_length=64, examples=["lamp-01"])
    key: str = Field(min_length=1, max_length=registered_keys.MOST_CHARACTERS)
    site: str = Field("", max_length=200)
    latitude: float | None = Field(None, description="where it will stand: degrees, WGS 84")
    longitude: float | None = None
    district: str = ""


class NewKeys(JsonBody):
    keys: list[NewKey] = Field(min_length=1, max_length=registered_keys.AT_ONCE)
    expires_in_s: int = Field(
        int(rules.KEY_LIFE.total_seconds()), ge=60, le=int(registered_keys.LONGEST.total_seconds())
    )


class KeyView(BaseModel):
    """A registered key. It is taken back as a claim is: DELETE /api/v1/claims/{claim}."""

    claim: str
    tenant: str
    device: str | None
    site: str
    state: State
    key_fingerprint: str
    created_by: str
    expires_at: datetime


@router.post("/claim-batches", status_code=201)
def make_batch(ctx: Ctx, asker: Asker, body: NewBatch) -> MadeBatch:
    """Single-use claims in advance, for days without a connection."""
    made = batches.make_batch(
        ctx, asker, body.technician, body.number,
        district=body.district, valid_from=body.valid_from, life=timedelta(seconds=body.valid_for_s),
    )  # fmt: skip
    return MadeBatch(batch=_batch(made.batch), tokens=list(made.tokens))


@router.get("/claim-batches")
def list_batches(ctx: Ctx, asker: Asker) -> list[BatchView]:
    """The newest first."""
    return [_batch(each) for each in batches.batches(ctx, asker)]


@router.post("/claim-batches/{batch_id}/revoke")
def revoke_batch(ctx: Ctx, asker: Asker, batch_id: str, body: Reason | None = None) -> BatchView:
    """Take back every claim of it that is not accepted."""
    return _batch(batches.revoke(ctx, asker, batch_id, body.reason if body else ""))


@router.post("/claim-batches/{batch_id}/resume")
def resume_batch(ctx: Ctx, asker: Asker, batch_id: str, body: Reason | None = None) -> BatchView:
    """After an alarm that somebody has looked at: its unused claims may be used again."""
    return _batch(batches.resume(ctx, asker, batch_id, body.reason if body else ""))


@router.get("/claim-alarms")
def list_alarms(ctx: Ctx, asker: Asker, seen: bool = False) -> list[AlarmView]:
    """Claims that were used twice, the newest first; with `seen`, also those that somebody looked at."""
    return [_alarm(each) for each in batches.alarms(ctx, asker, seen=seen)]


@router.post("/claim-alarms/{alarm_id}/seen")
def see_alarm(ctx: Ctx, asker: Asker, alarm_id: int) -> AlarmView:
    """Say that you have looked at it."""
    return _alarm(batches.see_alarm(ctx, asker, alarm_id))


@router.post("/registered-keys", status_code=201)
def register_keys(ctx: Ctx, asker: Asker, body: NewKeys) -> list[KeyView]:
    """Public keys that may ask without a claim; all of them or none."""
    vouched = [
        registered_keys.Vouched(
            each.device, each.key, each.site, Place(each.latitude, each.longitude, each.district)
        )
        for each in body.keys
    ]
    made = registered_keys.register_keys(ctx, asker, vouched, life=timedelta(seconds=body.expires_in_s))
    return [_key(each) for each in made]


@router.get("/registered-keys")
def list_keys(ctx: Ctx, asker: Asker) -> list[KeyView]:
    """Those that no lamppost has used yet."""
    return [_key(each) for each in registered_keys.registered_keys(ctx, asker)]


def _batch(b: batches.Batch) -> BatchView:
    return BatchView(
        id=b.id, tenant=b.tenant, technician=b.technician, district=b.district, size=b.size,
        unused=b.unused, used=b.used, state=b.state, reason=b.reason, valid_from=b.valid_from,
        valid_until=b.valid_until, created_by=b.created_by, created_at=b.created_at,
    )  # fmt: skip


def _alarm(a: batches.Alarm) -> AlarmView:
    return AlarmView(
        id=a.id, tenant=a.tenant, claim=a.claim_id, device=a.device, key_fingerprint=a.key_fingerprint,
        at=a.at, seen_by=a.seen_by, seen_at=a.seen_at,
    )  # fmt: skip


def _key(found: registered_keys.Enrolment) -> KeyView:
    return KeyView(
        claim=found.claim_id, tenant=found.tenant, device=found.device, site=found.site, state=found.state,
        key_fingerprint=found.registered_key or "", created_by=found.created_by, expires_at=found.expires_at,
    )  # fmt: skip
