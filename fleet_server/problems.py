"""Every error as problem+json (RFC 9457): the handlers that an application is given."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy import exc
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from fleet_server import errors
from fleet_server.auditor import refusals
from fleet_server.bodies import unknown_field
from fleet_server.envelope import PROBLEM_TYPE, problem_body, request_id_of
from fleet_server.errors import InternalError, InvalidRequest, LamppostError, LinkError, problem_of
from fleet_server.nearest import told as nearest

log = logging.getLogger("lamppost.http")

RETRY_AFTER_S = 2  # PostgreSQL is back from a kill within a second or two
NAME_SHOWN = 64  # characters of a name that somebody made up
# what the framework raises itself, by status
_FRAMEWORK: dict[int, type[LamppostError]] = {
    400: InvalidRequest,
    401: errors.NotAuthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    409: errors.Conflict,
    413: errors.TooLarge,
    415: errors.UnsupportedMedia,
    422: InvalidRequest,
    429: errors.TooManyRequests,
    503: LinkError,
}


def install(app: FastAPI) -> None:
    """Give `app` a handler for every error; what has none ends in `Envelope` as `internal`."""
    app.add_exception_handler(LamppostError, _ours)
    app.add_exception_handler(HTTPException, _framework)
    app.add_exception_handler(RequestValidationError, _invalid)
    for database_error in (psycopg.OperationalError, exc.OperationalError, exc.InterfaceError):
        app.add_exception_handler(database_error, _unreachable)
    for value_error in (psycopg.DataError, exc.DataError):
        app.add_exception_handler(value_error, _unstorable)


def respond(request: Request, error: LamppostError, headers: dict[str, str] | None = None) -> Response:
    """`error` as an answer. `members["retry_after_s"]` becomes the header of that name as well."""
    request_id = request_id_of(request.scope)
    problem = problem_of(error)
    if not problem.shown:
        log.error("request %s: %s", request_id, error, extra={"request_id": request_id})
    sent = dict(headers or {})
    wait_s = error.members.get("retry_after_s", RETRY_AFTER_S if isinstance(error, LinkError) else None)
    if wait_s is not None:
        sent["Retry-After"] = str(wait_s)
    if problem.status == 401:
        sent.setdefault("WWW-Authenticate", 'Bearer realm="lamppost"')  # RFC 9110, section 11.6.1
    return Response(problem_body(error, request_id), problem.status, sent, media_type=PROBLEM_TYPE)


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, LamppostError)
    if isinstance(error, errors.Forbidden):
        await run_in_threadpool(refusals.note, request.app.state.context, error)
    return respond(request, error)


async def _framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = _FRAMEWORK.get(error.status_code, errors.InputError if error.status_code < 500 else InternalError)
    told = {
        404: f"There is nothing at {request.url.path}.",
        405: f"{request.url.path} does not take {request.method}.",
        413: "The body is larger than this server takes.",
    }.get(error.status_code, str(error.detail))
    headers = dict(error.headers or {})
    return respond(request, kind(told), headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    wrong = [_fault(each) for each in error.errors()]
    unknown = next(filter(None, map(unknown_field, error.errors())), None)
    if unknown is not None:
        detail = f"There is no field {unknown.name[:NAME_SHOWN]!r} here."
        remedy = nearest(unknown.name, unknown.known)
        return respond(request, InvalidRequest(detail, remedy=remedy, members={"errors": wrong}))
    where = ", ".join(dict.fromkeys(each["where"] for each in wrong)) or "the request"
    return respond(request, InvalidRequest(f"Not valid: {where}.", members={"errors": wrong}))


def _fault(told: Any) -> dict[str, str]:
    """Where and what, without the value: it may be a password."""
    location: Sequence[Any] = told.get("loc", ())
    if told.get("type") == "json_invalid":  # its location is a place in the text
        return {"where": "body", "what": f"not JSON at character {location[-1]}"}
    unknown = unknown_field(told)
    if unknown is not None:
        location = (*location, unknown.name[:NAME_SHOWN])
    return {"where": ".".join(str(part) for part in location), "what": str(told.get("msg", ""))}


async def _unreachable(request: Request, error: Exception) -> Response:
    return respond(request, errors.DatabaseUnreachable(f"The database does not answer: {error}"))


async def _unstorable(request: Request, _error: Exception) -> Response:
    return respond(request, InvalidRequest("A value is not one that can be stored or looked for."))
