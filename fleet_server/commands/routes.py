"""/api/v1/commands: what lampposts are told to do, what came of it, and the files that it brought."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response
from pydantic import BaseModel, Field

from fleet_server.access.asker import Asker, Ctx
from fleet_server.bodies import JsonBody
from fleet_server.commands import service
from fleet_server.commands.rules import KEY_MOST_CHARACTERS
from fleet_server.commands.service import Ask, Bulk, CommandName, CommandRecord, FileRecord, State, Wanted
from fleet_server.devices.routes import DeviceAddress
from fleet_server.errors import InvalidRequest
from wire_contract.errors import InvalidName
from wire_contract.topics import Address

router = APIRouter(prefix="/api/v1", tags=["commands"])

PAGE_MOST = 1_000
LINES_MOST = 2_000
BULK_MOST = 10_000
ARCHIVE = "application/zstd"  # RFC 8878, section 7.2


class Order(JsonBody):
    """What is to be done. Times are seconds: it must begin within expiry_s of now, and end within timeout_s
    of when it began."""

    command: CommandName
    lines: int | None = Field(None, ge=1, le=LINES_MOST, description="of `logs`: how many; 200 without")
    reason: str = Field("", max_length=500, description="kept with it, and in the audit log")
    expiry_s: int = Field(86_400, ge=60, le=2_592_000)
    timeout_s: int = Field(900, ge=60, le=604_800)


class BulkOrder(Order):
    """The same for many: those listed, or who is in a group now.

    rate: so many a minute are sent, whether their lampposts are online or not.
    """

    devices: list[str] = Field([], max_length=BULK_MOST, examples=[["city/lamp-01", "city/lamp-02"]])
    group: str | None = Field(None, max_length=64, description="in place of `devices`")
    tenant: str | None = Field(None, max_length=64, description="the group's; your own without")
    rate: int = Field(60, ge=1, le=1_000, description="a minute")


class CancelOrder(JsonBody):
    reason: str = Field("", max_length=500)


class FileView(BaseModel):
    """What it brought; fetch it from /api/v1/commands/{id}/file once it is complete."""

    name: str
    size: int = Field(description="bytes")
    sha256: str
    pieces: int = Field(description="that are here")
    of: int
    complete: bool


class CommandView(BaseModel):
    """Times are real time. late: what the lamppost said after it had ended."""

    id: int
    device: str = Field(examples=["city/lamp-01"])
    command: str = Field(examples=["ping"])
    arguments: dict[str, str]
    state: State
    asked_by: str
    asked_at: datetime
    reason: str
    bulk: str | None
    not_before: datetime
    expires_at: datetime
    timeout_s: int
    sent_at: datetime | None
    sendings: int
    began_at: datetime | None
    ended_at: datetime | None
    detail: str
    result: dict[str, str] = Field(description="more of what came of it, such as a line for each sensor")
    late: str
    canceled_by: str
    file: FileView | None


class CommandPage(BaseModel):
    """Newest first. `next_before`: give it as `before` for the next page; null on the last one."""

    commands: list[CommandView]
    next_before: int | None


class BulkView(BaseModel):
    """How many of its commands are in which state."""

    id: str
    commands: int
    states: dict[State, int]


def idempotency_key(
    given: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="asking again with it gives the same command",
            max_length=KEY_MOST_CHARACTERS,
        ),
    ] = None,
) -> str:
    return given or ""


Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
Before = Annotated[int | None, Query(ge=1, le=2**63 - 1)]
Limit = Annotated[int, Query(ge=1, le=PAGE_MOST)]
Key = Annotated[str, Depends(idempotency_key)]
BulkId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


@router.post("/devices/{tenant}/{name}/commands", status_code=201)
def ask(
    ctx: Ctx, asker: Asker, address: DeviceAddress, body: Order, key: Key, response: Response
) -> CommandView:
    """Tell a lamppost. It is sent when the lamppost is online, after what was asked for before."""
    made = service.ask(ctx, asker, address, _ask(body, key))
    response.headers["Location"] = f"/api/v1/commands/{made.id}"
    return view(made)


@router.get("/devices/{tenant}/{name}/commands")
def of_device(
    ctx: Ctx,
    asker: Asker,
    address: DeviceAddress,
    state: Annotated[list[State] | None, Query()] = None,
    before: Before = None,
    limit: Limit = 100,
) -> CommandPage:
    """What a lamppost was told, newest first."""
    return _page(ctx, asker, Wanted("", address, state or (), None, before, limit))


@router.get("/commands")
def listed(
    ctx: Ctx,
    asker: Asker,
    state: Annotated[list[State] | None, Query()] = None,
    bulk: Annotated[str | None, Query(pattern=r"^[0-9a-f]{16}$")] = None,
    before: Before = None,
    limit: Limit = 100,
) -> CommandPage:
    """What lampposts were told, newest first."""
    return _page(ctx, asker, Wanted("", None, state or (), bulk, before, limit))


@router.post("/commands/bulk", status_code=202)
def ask_many(ctx: Ctx, asker: Asker, body: BulkOrder, key: Key) -> BulkView:
    """Tell many lampposts the same: all of those listed or none; of a group, those who can be told."""
    if (body.group is None) == (not body.devices):
        raise InvalidRequest("Give devices or a group: one of the two.")
    if body.group is not None:
        told = service.ask_group(ctx, asker, body.group, _ask(body, key), body.rate, body.tenant)
        return _bulk(told)
    addresses = [_address(each) for each in body.devices]
    return _bulk(service.ask_many(ctx, asker, addresses, _ask(body, key), body.rate))


@router.get("/commands/bulk/{bulk}")
def get_bulk(ctx: Ctx, asker: Asker, bulk: BulkId) -> BulkView:
    """How far it has come."""
    return _bulk(service.get_bulk(ctx, asker, bulk))


@router.post("/commands/bulk/{bulk}/cancel")
def cancel_bulk(ctx: Ctx, asker: Asker, bulk: BulkId, body: CancelOrder) -> BulkView:
    """Take back those with which no lamppost has begun."""
    return _bulk(service.cancel_bulk(ctx, asker, bulk, body.reason))


@router.get("/commands/{command_id}")
def get(ctx: Ctx, asker: Asker, command_id: Id) -> CommandView:
    """One command, with what came of it."""
    return view(service.get_command(ctx, asker, command_id))


@router.post("/commands/{command_id}/cancel")
def cancel(ctx: Ctx, asker: Asker, command_id: Id, body: CancelOrder) -> CommandView:
    """Take it back, while the lamppost has not begun with it."""
    return view(service.cancel(ctx, asker, command_id, body.reason))


@router.get("/commands/{command_id}/file", response_class=Response)
def file(ctx: Ctx, asker: Asker, command_id: Id) -> Response:
    """What it brought: a tar archive, compressed with zstd."""
    found, content = service.fetch_file(ctx, asker, command_id)
    headers = {"Content-Disposition": f'attachment; filename="{command_id}-{found.name}"'}
    return Response(content, media_type=ARCHIVE, headers=headers)


def _ask(body: Order, key: str) -> Ask:
    arguments = {} if body.lines is None else {"lines": str(body.lines)}
    return Ask(
        body.command,
        arguments,
        body.reason,
        timedelta(seconds=body.expiry_s),
        timedelta(seconds=body.timeout_s),
        key,
    )


def _address(text: str) -> Address:
    """Raises InvalidRequest."""
    try:
        return Address.parse(text)
    except InvalidName as error:
        raise InvalidRequest(f"devices: {error}.") from None


def _page(ctx: Ctx, asker: Asker, wanted: Wanted) -> CommandPage:
    found = service.list_commands(ctx, asker, wanted)
    full = len(found) == wanted.limit
    return CommandPage(commands=[view(each) for each in found], next_before=found[-1].id if full else None)


def _bulk(found: Bulk) -> BulkView:
    return BulkView(id=found.id, commands=found.commands, states=dict(found.counts))


def view(found: CommandRecord) -> CommandView:
    shown = {name: getattr(found, name) for name in CommandView.model_fields if hasattr(found, name)}
    return CommandView(
        **shown | {"device": str(found.address), "command": found.name, "file": _file(found.file)}
    )


def _file(found: FileRecord | None) -> FileView | None:
    if found is None:
        return None
    return FileView(
        name=found.name,
        size=found.size,
        sha256=found.sha256.hex(),
        pieces=found.pieces,
        of=found.of,
        complete=found.complete,
    )
