"""/api/v1/telemetry/export: readings, means of districts and indices as a file, streamed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from fleet_server.access.asker import Asker, Ctx
from fleet_server.errors import InvalidRequest, NotAcceptable
from fleet_server.etags import CACHE_CONTROL, entity_tag, headers, unchanged
from fleet_server.spans import span
from fleet_server.telemetry import service
from fleet_server.telemetry.exports.asking import (
    MEDIA_TYPES,
    RESOLUTIONS,
    Format,
    Layout,
    Question,
    Subject,
    chosen_format,
)
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
    subject: Annotated[
        Subject, Query(description="readings, means of districts, or indices")
    ] = Subject.UNITS,
    resolution: Annotated[
        Resolution | None, Query(description="default: raw; of districts and indices 1h")
    ] = None,
    format: Annotated[Format | None, Query(description="default: by the Accept header, else csv")] = None,
    layout: Annotated[Layout | None, Query(description="of units; default: wide")] = None,
    device: Words = None,
    district: Words = None,
    kind: Words = None,
    channel: Words = None,
    index: Words = None,
) -> Response:
    """Everything of the span as a file. Filters may be repeated; without one, everything is in it.

    units: readings; districts: means, by 1h or 1d; index, district_index: by the hour.

    wide: a row for each sensor unit and instant, a column a channel with its unit in the name; long: a row a
    reading. A file that is not whole ends without the connection's last chunk (curl: exit status 18).
    """
    kind_of_file = chosen_format(format, ",".join(request.headers.getlist("accept")))
    if kind_of_file is None:
        raise NotAcceptable(
            "There is no such format.",
            remedy=f"format is {', '.join(Format)}; or accept {', '.join(_FILES)}.",
        )
    if layout is not None and subject is not Subject.UNITS:
        raise InvalidRequest(f"A file of {subject} has one layout.", remedy="Leave layout out.")
    begins, to = span(ctx, begins, until(ctx, to))
    question = Question(
        begins,
        to,
        resolution or RESOLUTIONS[subject][0],
        kind_of_file,
        layout or Layout.WIDE,
        tuple(address_of(each) for each in device or ()),
        tuple(district or ()),
        tuple(kind or ()),
        tuple(channel or ()),
        tuple(index or ()),
        subject,
    )
    known = service.export_version(ctx, asker, question)
    told = {"Cache-Control": CACHE_CONTROL, "Vary": "Authorization, Cookie, Accept"}
    if known is not None:
        tag = entity_tag(request, kind_of_file, begins, to, known)
        same = unchanged(request, tag)
        if same is not None:
            return same
        told = {**headers(tag), **told}
    return DownloadResponse(service.export(ctx, asker, question), told)
