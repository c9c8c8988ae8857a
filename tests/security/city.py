"""A real API on a real port over a real database, two cities and some people, for whoever attacks it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from fleet_server.access import service as access
from fleet_server.access.rules import CONSOLE, Role
from fleet_server.api import create_app
from fleet_server.api_role import QuietServer
from fleet_server.context import Context
from provisioning.authority import Authority
from tests.support.ports import free_port
from tests.support.postgres import _create, _drop, with_database
from tests.support.server_context import make_context
from tests.support.waiting import KEEP_ALIVE_S, wait_until

PASSWORD = "a lamp for every street"
PEOPLE = (Role.ADMIN, Role.TECHNICIAN, Role.PARTNER)
CANARY = "canary-of-the-other-city"


@dataclass
class City:
    """`http(role)`: a client that is signed in as somebody of the tenant "mine" with that role."""

    base: str
    port: int
    ctx: Context
    tokens: dict[Role, str] = field(default_factory=dict)

    def http(self, role: Role | None = None) -> httpx.Client:
        made = httpx.Client(base_url=self.base, timeout=30)
        if role is not None:
            if role not in self.tokens:
                self.tokens[role] = self.token(role)
            made.headers["Authorization"] = f"Bearer {self.tokens[role]}"
        return made

    def token(self, role: Role) -> str:
        said = httpx.post(f"{self.base}/api/v1/session", json={"name": role.value, "password": PASSWORD})
        assert said.status_code == 201, said.text
        return str(said.json()["token"])

    @property
    def paths(self) -> dict[str, dict[str, Any]]:
        with self.http(Role.ADMIN) as http:
            found: dict[str, dict[str, Any]] = http.get("/api/v1/openapi.json").json()["paths"]
        return found


@contextmanager
def running(server: str, template: str, folder: Path) -> Iterator[City]:
    name = "lamppost_hostile"
    _create(server, name, template)
    Authority.init(folder / "authority", "Testing")
    ctx = make_context(with_database(server, name), folder)
    port = free_port()
    try:
        for role in PEOPLE:
            access.create_operator(ctx, CONSOLE, role.value, PASSWORD, (role,), tenant="mine")
        with ctx.db.raw(autocommit=True) as connection:
            connection.execute(
                "INSERT INTO device (tenant, name, state, site, district) VALUES"
                " ('mine', 'lamp-01', 'active', 'Here', 'Harbour'), ('other', 'lamp-01', 'active', %s, %s)",
                (CANARY, CANARY),
            )
        app = create_app(ctx)
        api = QuietServer(
            uvicorn.Config(
                app,
                host="127.0.0.1",
                port=port,
                log_config=None,
                access_log=False,
                timeout_keep_alive=KEEP_ALIVE_S,
            )
        )
        thread = threading.Thread(target=api.run, daemon=True)
        thread.start()
        wait_until(lambda: api.started, 20, "the API")
        yield City(f"http://127.0.0.1:{port}", port, ctx)
        app.state.live.close()
        api.should_exit = api.force_exit = True
        thread.join(30)
    finally:
        ctx.db.close()
        _drop(server, name)
