"""/api/v1/audit: who did what, on what, from where and why; exports and their verification."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from fleet_server.access.asker import Asker, Ctx
from fleet_server.auditor import service
from fleet_server.auditor.service import FaultKind, LineView, Wanted
from fleet_server.paging import MOST_CHARACTERS, Pages

router = APIRouter(prefix="/api/v1/audit", tags=["audit"])

FORMATS = {"jsonl": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}


class LineModel(BaseModel):
    """One line. Where who, address, reason or one of `more` was erased, a tombstone stands."""

    number: int
    at: datetime
    tenant: str
    who: str
    kind: str = Field(examples=["operator"])
    via: str = Field(examples=["session"])
    roles: list[str]
    action: str = Field(examples=["devices:change"])
    resource: str = Field(examples=["city/lamp-01"])
    outcome: str = Field(examples=["done"])
    way: str = Field(description="api, pages, command, broker or server")
    address: str
    request: str = Field(description="the X-Request-Id of the answer")
    reason: str
    before: Any
    after: Any
    more: dict[str, str]
    hash: str = Field(description="hexadecimal; of this line and the one before")


class LinePage(BaseModel):
    """Newest first. `next`: give it as `cursor` for the next page; null on the last one."""

    lines: list[LineModel]
    next: str | None


class FaultView(BaseModel):
    line: int
    kind: FaultKind
    means: str


class VerifiedView(BaseModel):
    """fault null: the log is the one that was written. signed_to: the newest line that a signature covers.

    at: when it was looked at last; whole_at: when every line was walked last, and not only those since."""

    sound: bool
    lines: int
    first: int
    last: int
    checkpoints: int
    erased: int
    signed_to: int
    fault: FaultView | None
    at: datetime
    whole_at: datetime


class KeysView(BaseModel):
    """Public keys (PEM) of checkpoints, by the key's id."""

    keys: dict[str, str]


Since = Annotated[datetime | None, Query(alias="from", description="real time, with a zone")]
Until = Annotated[datetime | None, Query(alias="to")]
Word = Annotated[str, Query(max_length=300)]


@router.get("")
def listed(
    ctx: Ctx,
    asker: Asker,
    request: Request,
    response: Response,
    action: Annotated[
        str, Query(max_length=64, description="with a colon at its end: all that begin so")
    ] = "",
    who: Word = "",
    resource: Word = "",
    begins: Since = None,
    ends: Until = None,
    outcome: Literal["", "done", "refused", "locked"] = "",
    limit: Annotated[int, Query(ge=1, le=service.MOST)] = 100,
    cursor: Annotated[str | None, Query(max_length=MOST_CHARACTERS)] = None,
) -> LinePage:
    """Lines of the asker's tenant, the newest first."""
    pages = Pages(request, cursor, int)
    before = None if pages.key is None else pages.key[0]
    wanted = Wanted(before, action, who, resource, begins, ends, outcome)
    found = service.lines(ctx, asker, wanted, limit)
    following = pages.next([found[-1].number] if len(found) == limit else None)
    response.headers.update(pages.headers)
    return LinePage(lines=[_model(each) for each in found], next=following)


@router.get("/verification")
def verification(
    ctx: Ctx,
    asker: Asker,
    full: Annotated[
        bool, Query(description="every line now; for those who act in the whole installation")
    ] = False,
) -> VerifiedView:
    """Is the log the one that was written, or which is the first line that is not?

    Every line is walked at most once an hour, between those only what is new; one walk at a time.
    """
    verdict = service.verdict(ctx, asker, full=full)
    found = verdict.found
    fault = found.fault and FaultView(**vars(found.fault))
    told = {"sound": fault is None, "fault": fault, "at": verdict.at, "whole_at": verdict.whole_at}
    return VerifiedView(**{**vars(found), **told})


@router.get("/keys")
def public_keys(ctx: Ctx, asker: Asker) -> KeysView:
    """What an auditor verifies an export with; better taken once and kept elsewhere."""
    return KeysView(keys=service.public_keys(ctx, asker))


@router.get("/export", response_class=StreamingResponse)
def export(
    ctx: Ctx,
    asker: Asker,
    begins: Since = None,
    ends: Until = None,
    form: Annotated[Literal["jsonl", "csv"], Query(alias="format")] = "jsonl",
    names: bool = True,
    action: Annotated[str, Query(max_length=64, description="of CSV alone, as the three that follow")] = "",
    who: Word = "",
    resource: Word = "",
    outcome: Literal["", "done", "refused", "locked"] = "",
) -> StreamingResponse:
    """The log as a file: JSON lines, which `lamppost audit verify FILE` checks anywhere, or CSV."""
    chosen = Wanted(action=action, who=who, resource=resource, outcome=outcome)
    rows = service.export(ctx, asker, form, replace(chosen, begins=begins, ends=ends), names=names)
    headers = {"Content-Disposition": f'attachment; filename="audit.{form}"'}
    return StreamingResponse(rows, media_type=FORMATS[form], headers=headers)


@router.get("/{number}")
def line(ctx: Ctx, asker: Asker, number: Annotated[int, Field(ge=1, le=2**63 - 1)]) -> LineModel:
    return _model(service.line(ctx, asker, number))


def _model(view: LineView) -> LineModel:
    return LineModel.model_validate(vars(view))
