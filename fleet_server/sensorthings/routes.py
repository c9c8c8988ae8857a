"""/sta/v1.1: the OGC SensorThings API 1.1, for reading. Below the root paths are the standard's own."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from fleet_server import etags, problems
from fleet_server.access.asker import Asker, Ctx
from fleet_server.errors import MethodNotAllowed
from fleet_server.sensorthings import service

ROOT = "/sta/v1.1"
WRITING = ["POST", "PUT", "PATCH", "DELETE"]

router = APIRouter(prefix=ROOT, tags=["sensorthings"])

Filter = Annotated[str | None, Query(alias="$filter", examples=["result gt 25 and phenomenonTime gt now()"])]
Expand = Annotated[str | None, Query(alias="$expand", examples=["Datastreams($select=name;$top=5)"])]
Select = Annotated[str | None, Query(alias="$select", examples=["name,description"])]
OrderBy = Annotated[str | None, Query(alias="$orderby", examples=["phenomenonTime desc"])]
Top = Annotated[str | None, Query(alias="$top", description="at most 1000, by default 100")]
Skip = Annotated[str | None, Query(alias="$skip")]
Count = Annotated[str | None, Query(alias="$count", examples=["true"])]
ResultFormat = Annotated[str | None, Query(alias="$resultFormat", examples=["dataArray"])]


@router.get("", response_class=JSONResponse)
def root(request: Request, ctx: Ctx, asker: Asker) -> Response:
    """The sets of entities, and the parts of the standard that are kept."""
    return _response(request, service.root(ctx, asker, _base(request)))


@router.get("/", include_in_schema=False, response_class=Response)
def root_with_slash(request: Request, ctx: Ctx, asker: Asker) -> Response:
    return _response(request, service.root(ctx, asker, _base(request)))


@router.get("/{path:path}", response_class=JSONResponse)
def read(
    request: Request,
    ctx: Ctx,
    asker: Asker,
    path: str,
    _filter: Filter = None,
    _expand: Expand = None,
    _select: Select = None,
    _orderby: OrderBy = None,
    _top: Top = None,
    _skip: Skip = None,
    _count: Count = None,
    _format: ResultFormat = None,
) -> Response:
    """What a resource path leads to: `Things`, `Things(1)/Datastreams`, `Datastreams(2)/Observations`, ..."""
    # The options are read from the request as a whole: the parameters above are for the document.
    pairs = request.query_params.multi_items()
    return _response(request, service.read(ctx, asker, path, pairs, _base(request)))


@router.api_route("", methods=WRITING, include_in_schema=False)
@router.api_route("/{path:path}", methods=WRITING, include_in_schema=False)
def write(request: Request) -> Response:
    """Nothing is made or changed here: readings come from lampposts, over MQTT with mTLS."""
    refused = MethodNotAllowed(
        f"{request.method} is not taken: this service is for reading.",
        remedy="Ask with GET. Lampposts are changed at /api/v1/devices; observations come from them alone.",
    )
    return problems.respond(request, refused, {"Allow": "GET"})


def _base(request: Request) -> str:
    """The root as the asker wrote it; behind a proxy that tells it, as the proxy was asked."""
    return str(request.base_url).rstrip("/") + ROOT


def _response(request: Request, answer: service.Answer) -> Response:
    if answer.text is not None:
        return Response(answer.text, media_type="text/plain; charset=utf-8")
    if answer.json is None:
        return Response(status_code=204)
    body = json.dumps(answer.json, ensure_ascii=False, separators=(",", ":")).encode()
    tag = etags.entity_tag(request, body)
    return etags.unchanged(request, tag) or Response(
        body, media_type="application/json", headers=etags.headers(tag)
    )
