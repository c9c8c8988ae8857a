"""The OpenAPI document: what FastAPI knows, with the errors as they really are and the way to sign in."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from fleet_server.envelope import PROBLEM_TYPE
from fleet_server.parameters import REASON_SCHEMA, takes_reason

VERSION = "1"
DESCRIPTION = (
    "The city's server of Lamppost. Sign in with POST /api/v1/session; then show its token as "
    "`Authorization: Bearer TOKEN`. Every error is a problem document (RFC 9457)."
)
PROBLEM: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["where", "what"],
                "properties": {"where": {"type": "string"}, "what": {"type": "string"}},
            },
        },
    },
}
# FastAPI documents its own validation error, which nobody gets to see here
_FOREIGN = ("HTTPValidationError", "ValidationError")


def describe(app: FastAPI, without_login: set[tuple[str, str]]) -> dict[str, Any]:
    """The document of `app`, made once. `without_login`: (method, path) of what needs no session."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=VERSION, description=DESCRIPTION, routes=app.routes)
        components = document.setdefault("components", {})
        schemas = components.setdefault("schemas", {})
        for name in _FOREIGN:
            schemas.pop(name, None)
        schemas["Problem"] = PROBLEM
        components["securitySchemes"] = {
            "session": {"type": "http", "scheme": "bearer"},
            "cookie": {"type": "apiKey", "in": "cookie", "name": "lamppost_session"},
        }
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                _complete(operation, (method.upper(), path) not in without_login)
                if takes_reason(method.upper(), path):
                    operation.setdefault("parameters", []).append(REASON_SCHEMA)
        app.openapi_schema = document
    return app.openapi_schema


def _complete(operation: dict[str, Any], needs_session: bool) -> None:
    responses = operation.setdefault("responses", {})
    responses.pop("422", None)
    responses["default"] = {
        "description": "An error",
        "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if needs_session:
        operation["security"] = [{"session": []}, {"cookie": []}]
