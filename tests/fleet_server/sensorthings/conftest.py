"""One small city for all tests of a process: they only read it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi.testclient import TestClient

from fleet_server.api import create_app
from fleet_server.clock import StreetClock
from fleet_server.context import Context
from tests.fleet_server.sensorthings.city import NAME, PASSWORD, Street, build
from tests.fleet_server.telemetry.support import NOW_MS, Desk
from tests.support.ports import free_port
from tests.support.postgres import _create, _drop, with_database
from tests.support.server_context import make_context
from tests.support.waiting import KEEP_ALIVE_S, wait_until

ROOT = "/sta/v1.1"
Get = Callable[..., Any]


@pytest.fixture(scope="session")
def sta_context(
    postgres_server: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Context]:
    _create(postgres_server, "lamppost_sta", template_database)
    made = make_context(with_database(postgres_server, "lamppost_sta"), tmp_path_factory.mktemp("sta"))
    context = replace(made, clock=StreetClock(wall_ms=lambda: float(NOW_MS)))
    yield context
    context.db.close()
    _drop(postgres_server, "lamppost_sta")


@pytest.fixture(scope="session")
def street(sta_context: Context) -> Street:
    desk = Desk(sta_context.db.url)
    made = build(sta_context, desk)
    desk.close()
    return made


@pytest.fixture(scope="session")
def http(sta_context: Context, street: Street) -> Iterator[TestClient]:
    with TestClient(create_app(sta_context), raise_server_exceptions=False) as client:
        answer = client.post("/api/v1/session", json={"name": NAME, "password": PASSWORD})
        client.cookies.clear()
        client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        yield client


@pytest.fixture(scope="session")
def get(http: TestClient) -> Get:
    """`get("Things", filter="id eq 1")`: the JSON of an answer that has to be 200."""

    def ask(path: str, **options: str | int) -> Any:
        answer = http.get(f"{ROOT}/{path}", params={f"${name}": value for name, value in options.items()})
        assert answer.status_code == 200, answer.text
        return answer.json()

    return ask


@pytest.fixture(scope="session")
def served(sta_context: Context, street: Street) -> Iterator[tuple[str, str]]:
    """A real server on a port, and a token: (address, token)."""
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(sta_context),
            port=port,
            log_config=None,
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
    )
    thread = threading.Thread(target=server.run, name="uvicorn of a test")
    thread.start()
    wait_until(lambda: server.started, 20.0, "uvicorn to listen")
    address = f"http://127.0.0.1:{port}"
    answer = httpx.post(f"{address}/api/v1/session", json={"name": NAME, "password": PASSWORD})
    yield address, answer.json()["token"]
    server.should_exit = True
    thread.join(60)
    assert not thread.is_alive()
