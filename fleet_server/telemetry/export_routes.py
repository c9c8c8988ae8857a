"""/api/v1/telemetry/export: readings as a file, streamed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from fleet_server.access.asker import Asker, Ctx
from fleet_server.errors import NotAcceptable
from fleet_server.etags import entity_tag, headers, unchanged
from fleet_server.spans import span
from fleet_server.telemetry import service
from fleet_server.telemetry.exports.asking import MEDIA_TYPES, Format, Layout, Question, chosen_format
from fleet_server.telemetry.exports.response import DownloadResponse
from fleet_server.telemetry.query_routes import From, To, address_of, until
from fleet_server.telemetry.rules import Resolution

router = APIRouter(prefix="/telemetry")

MOST_WORDS = 100  # of one filter; whoever wants more wants all
_FILES = {
    MEDIA_TYPES[each].split(";")[0]: {"schema": {"type": "string", "format": "binary"}} for each in Format
}

Words = Annotated[list[Annotated[str, Query(max_length=128)]] | None, Query(max_length=MOST_WORDS)]


@router.get("/export", response_class=Response, responses={200: {"content": _FILES}})
def export(
    request: Request,
    ctx: Ctx,
    asker: Asker,
    begins: From = None,
    to: To = None,
    resolution: Resolution = Resolution.RAW,
    format: Annotated[Format | None, Query(description="default: by the Accept header, else csv")] = None,
    layout: Layout = Layout.WIDE,
    device: Words = None,
    district: Words = None,
    kind: Words = None,
    channel: Words = None,
) -> Response:
    """Every reading of the span as a file. Filters may be repeated; without one, everything is in it.

    wide: a row for each sensor unit and instant, a column a channel with its unit in the name; long: a row a
    reading. A file that is not whole ends without the connection's last chunk (curl: exit status 18).
    """
    kind_of_file = chosen_format(format, ",".join(request.headers.getlist("accept")))
    if kind_of_file is None:
        raise NotAcceptable(
            "There is no such format.",
            remedy=f"format is {', '.join(Format)}; or accept {', '.join(_FILES)}.",
        )
    begins, to = span(ctx, begins, until(ctx, to))
    question = Question(
        begins,
        to,
        resolution,
        kind_of_file,
        layout,
        tuple(address_of(each) for each in device or ()),
        tuple(district or ()),
        tuple(kind or ()),
        tuple(channel or ()),
    )
    tag = entity_tag(request, kind_of_file, begins, to, service.version(ctx, asker))
    same = unchanged(request, tag)
    if same is not None:
        return same
    told = {**headers(tag), "Vary": "Authorization, Cookie, Accept"}
    return DownloadResponse(service.export(ctx, asker, question), told)
