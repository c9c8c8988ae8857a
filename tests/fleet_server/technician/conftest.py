"""One city for the slice's tests: a database, an authority, the API over real HTTP, three people."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psycopg
import pytest
import uvicorn

from fleet_server.access import service as access
from fleet_server.access.rules import CONSOLE, Principal, Role
from fleet_server.api import create_app
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.service import Place
from provisioning.authority import Authority
from tests.support.ports import free_port
from tests.support.postgres import with_database
from tests.support.server_context import make_context
from tests.support.waiting import KEEP_ALIVE_S, wait_until
from wire_contract.topics import Address

PASSWORD = "a long and quiet street"
ANA = Principal("operator", "ana", frozenset({Role.TECHNICIAN}), "city")
VIC = Principal("operator", "vic", frozenset({Role.VIEWER}), "city")
FAR = Principal("operator", "far", frozenset({Role.ADMIN}), "gaia")
LAMP = Address("city", "lamp-07")


@dataclass(frozen=True)
class Town:
    ctx: Context
    url: str
    home: Path

    def token(self, name: str = "ana") -> str:
        answer = httpx.post(f"{self.url}/api/v1/session", json={"name": name, "password": PASSWORD})
        return str(answer.json()["token"])


@pytest.fixture(scope="module")
def town(
    postgres_server: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Town]:
    name = f"lamppost_field_{os.getpid()}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template_database}"')  # type: ignore[arg-type]
    home = tmp_path_factory.mktemp("town")
    authority = Authority.init(home / "authority", "Testing")
    made = make_context(with_database(postgres_server, name), home)
    ctx = replace(made, authority_directory=authority.files.directory)
    access.create_operator(ctx, CONSOLE, "ana", PASSWORD, (Role.TECHNICIAN,))
    access.create_operator(ctx, CONSOLE, "eva", PASSWORD, (Role.ADMIN,))
    for number in (7, 8, 9):
        devices.register(ctx, CONSOLE, Address("city", f"lamp-{number:02}"), "", Place())
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(create_app(ctx), port=port, log_level="critical", timeout_keep_alive=KEEP_ALIVE_S)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started, 20, "the API to answer")
        yield Town(ctx, f"http://127.0.0.1:{port}", home)
    finally:
        server.should_exit = True
        thread.join(30)
        ctx.db.close()
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def tokens(town: Town) -> dict[str, str]:
    """Of a technician and of an admin: a sign-in takes a fifth of a second."""
    return {name: town.token(name) for name in ("ana", "eva")}
