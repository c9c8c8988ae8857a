"""A body with a field that it does not have is refused, of every route."""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from fastapi.params import Form
from fastapi.routing import APIRoute, APIRouter
from fastapi.testclient import TestClient
from pydantic import BaseModel, ValidationError

from fleet_server.access import routes as access_routes
from fleet_server.access import service
from fleet_server.access.rules import CONSOLE, Role
from fleet_server.api import GUARDED
from fleet_server.bodies import unknown_field
from fleet_server.context import Context
from fleet_server.twin.routes import Document
from tests.support.api import app_of
from tests.support.server_context import make_context

PASSWORD = "correct horse battery"
OWN_LANGUAGE = Document  # settings, read and refused by `wire_contract`'s schema


@pytest.fixture
def context(database_url: str, tmp_path: Path) -> Iterator[Context]:
    made = make_context(database_url, tmp_path)
    yield made
    made.db.close()


@pytest.fixture
def ada(context: Context) -> Iterator[TestClient]:
    service.create_operator(context, CONSOLE, "ada", PASSWORD, (Role.ADMIN,))
    with TestClient(app_of(context)) as made:
        told = made.post("/api/v1/session", json={"name": "ada", "password": PASSWORD}).json()
        made.headers["Authorization"] = f"Bearer {told['token']}"
        yield made


def models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every model that a body of this type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for each in annotation.model_fields.values():
            yield from models_of(each.annotation)
    elif get_origin(annotation) in {Union, types.UnionType, Annotated, list, tuple, dict}:
        for part in get_args(annotation):
            yield from models_of(part)


def bodies() -> list[tuple[str, Any]]:
    routers: tuple[APIRouter, ...] = (*GUARDED, access_routes.router)
    return [
        (f"{min(each.methods or ())} {each.path}", each.body_field.field_info.annotation)
        for router in routers
        for each in router.routes
        if isinstance(each, APIRoute)
        and each.body_field is not None
        and not isinstance(each.body_field.field_info, Form)  # a browser's, of another server's making
    ]


def test_every_body_refuses_what_it_does_not_have() -> None:
    seen = bodies()
    assert len(seen) > 40
    for where, annotation in seen:
        models = list(models_of(annotation))
        assert models or annotation == OWN_LANGUAGE, f"{where}: {annotation} takes anything"
        for model in models:
            with pytest.raises(ValidationError) as refused:
                model.model_validate({"no_such_field": 1})
            found = [unknown_field(each) for each in refused.value.errors()]
            assert found[0] is not None, f"{where}: derive {model.__name__} from JsonBody"


MISSPELT: list[tuple[str, str, dict[str, Any], str]] = [
    (
        "POST", "/operators", {"name": "pim", "rolls": ["viewer"], "tenant": "porto"},
        "There is no field 'rolls' here. Did you mean roles?",
    ),
    (
        "PUT", "/tenants/oops", {"devices": 5},
        "There is no field 'devices' here. There are: quotas, title.",
    ),
    (
        "POST", "/devices/porto/lamp-01/commands", {"command": "ping", "reson": "x"},
        "There is no field 'reson' here. Did you mean reason?",
    ),
    (
        "PUT", "/field/work/" + "0" * 32, {"kind": "note", "device": "porto/lamp-01", "done": "now"},
        "There is no field 'done' here. Did you mean done_at?",
    ),
    (
        "POST", "/registered-keys", {"keys": [{"serial_no": "x"}]},
        "There is no field 'serial_no' here.",
    ),
    (
        "POST", "/session", {"nam": "ada", "password": PASSWORD},
        "There is no field 'nam' here. Did you mean name?",
    ),
    (
        "POST", "/enrolments/1/accept", {"reason": "x"},
        "There is nothing to tell in a body here.",
    ),
]  # fmt: skip


def test_a_misspelt_field_is_told(ada: TestClient) -> None:
    for method, path, body, detail in MISSPELT:
        answer = ada.request(method, f"/api/v1{path}", json=body)
        assert answer.status_code == 422, f"{path}: {answer.text}"
        assert answer.json()["detail"].startswith(detail)
    assert ada.get("/api/v1/operators/pim").status_code == 404
    assert ada.get("/api/v1/tenants/oops").status_code == 404
