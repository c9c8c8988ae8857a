"""/api/v1/privacy: what a person may ask about their data."""

from __future__ import annotations

from itertools import chain
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from fleet_server.access.asker import Asker, Ctx
from fleet_server.bodies import JsonBody
from fleet_server.privacy import service
from fleet_server.privacy.rules import NAMES_MOST

router = APIRouter(prefix="/api/v1/privacy", tags=["privacy"])


class Person(JsonBody):
    """In a body, so that no name is in an address that proxies keep."""

    names: list[str] = Field(min_length=1, max_length=NAMES_MOST, examples=[["ana", "Ana Silva"]])


class Erasure(Person):
    reason: str = Field("", max_length=500, description="the request's own number; no name")


class PlaceView(BaseModel):
    """Where personal data may lie. kept: its class; the figures are the configuration's."""

    place: str = Field(examples=["incident_event.by"])
    how: str
    whose: str
    kept: str


class Inventory(BaseModel):
    places: list[PlaceView]


class FoundView(BaseModel):
    place: str = Field(examples=["incident_event.by"])
    whose: str
    rows: int


class FindView(BaseModel):
    """spelled: how else the name is written here (without accents, in another order), for `names` of an
    export or an erasure, which take a name as it is given."""

    places: list[FoundView]
    spelled: list[str] = []


class CopyView(BaseModel):
    """Rows by `table.column`, as they lie, without secrets."""

    copy_: dict[str, list[dict[str, Any]]] = Field(alias="copy")


class ErasedView(BaseModel):
    """tombstone: what stands in the person's place everywhere."""

    places: list[FoundView]
    tombstone: str
    account_shut: bool


@router.get("/inventory")
def inventory(ctx: Ctx, asker: Asker) -> Inventory:
    """Every place where personal data may lie: the record of processing (GDPR, article 30)."""
    places = service.inventory(ctx, asker)
    return Inventory(places=[_place(each) for each in places])


@router.post("/find")
def find(ctx: Ctx, asker: Asker, body: Person) -> FindView:
    """Where somebody lies. The question leaves a line in the audit log."""
    found = service.find(ctx, asker, body.names)
    return FindView(places=_found(found), spelled=service.spelled(found))


@router.post("/export", response_model=CopyView)
def export(ctx: Ctx, asker: Asker, body: Person) -> StreamingResponse:
    """A copy for the person (GDPR, articles 15 and 20): every row. Cut off, it is no JSON."""
    rows = service.as_json(service.export(ctx, asker, body.names))
    return StreamingResponse(chain(('{"copy":',), rows, ("}",)), media_type="application/json")


@router.post("/erase")
def erase(ctx: Ctx, asker: Asker, body: Erasure) -> ErasedView:
    """A tombstone in the person's place. 409 `second-person-needed` until another person has agreed."""
    done = service.erase(ctx, asker, body.names, body.reason)
    return ErasedView(tombstone=done.tombstone, account_shut=done.account_shut, places=_found(done.places))


def _found(found: Any) -> list[FoundView]:
    return [
        FoundView(place=f"{each.place.table}.{each.place.column}", whose=each.place.whose, rows=each.rows)
        for each in found
    ]


def _place(place: service.Place) -> PlaceView:
    name = f"{place.table}.{place.column}"
    return PlaceView(place=name, how=str(place.how), whose=place.whose, kept=str(place.kept))
