"""A city with two tenants and one of everything, and requests to it that schemathesis makes up."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import psycopg
import requests
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, GenerationMode

from fleet_server.access import service as access
from fleet_server.access.rules import CONSOLE, Role
from fleet_server.api import create_app
from fleet_server.api_role import QuietServer
from fleet_server.context import Context
from provisioning.authority import Authority
from tests.fleet_server.tenants.two_cities import LISBOA, PORTO, build
from tests.support.ports import free_port
from tests.support.postgres import _create, _drop, with_database
from tests.support.server_context import make_context
from tests.support.waiting import KEEP_ALIVE_S, wait_until

PASSWORD = "a lamp for every street"
ASKERS = {"root": "*", "pia": PORTO}  # administrators: of the installation, of one tenant
SENSORTHINGS = (
    "Datastreams", "Things", "Observations", "Locations(1)/Things", "Things(1)/Datastreams",
    "Datastreams(1)/Sensor", "Datastreams(1)/Observations", "Sensors/$ref", "ObservedProperties",
    "Datastreams(1)/name/$value",
)  # fmt: skip
Operation = APIOperation[Any, Any, Any, Any]


@dataclass
class AnyCity:
    """known: what is there, by the names that paths and bodies have for it."""

    base: str
    ctx: Context
    known: Mapping[str, Any]
    session: requests.Session = field(default_factory=requests.Session)
    sensorthings: Iterator[str] = field(default_factory=lambda: cycle(SENSORTHINGS))
    tokens: dict[str, str] = field(default_factory=dict)

    def proof(self, who: str) -> dict[str, str]:
        if who not in self.tokens:
            body = {"name": who, "password": PASSWORD}
            said = self.session.post(f"{self.base}/api/v1/session", json=body, timeout=60)
            assert said.status_code == 201, f"{who} was shut out: {said.text}"
            self.tokens[who] = said.json()["token"]
        return {"Authorization": f"Bearer {self.tokens[who]}"}

    def ask(self, case: schemathesis.Case[Any], who: str) -> schemathesis.Response:
        said = case.call(base_url=self.base, session=self.session, headers=self.proof(who), timeout=60)
        if said.status_code == 401:  # it was signed out, or has another password now
            del self.tokens[who]
        return said

    def meant(self, case: schemathesis.Case[Any]) -> None:
        """The same request, of something that is there."""
        for part in (case.path_parameters, case.query, case.body):
            if isinstance(part, dict):
                part |= {name: self.known[name] for name in part if name in self.known}
        if "path" in (case.path_parameters or {}):
            case.path_parameters["path"] = next(self.sensorthings)


@contextmanager
def city(server: str, template: str, folder: Path) -> Iterator[AnyCity]:
    name = "lamppost_any_request"
    _create(server, name, template)
    Authority.init(folder / "authority", "Testing")
    ctx = make_context(with_database(server, name), folder)
    port = free_port()
    try:
        with psycopg.connect(ctx.db.url) as connection:
            known = dict(build(connection, PORTO))
            build(connection, LISBOA)
        known |= {"device": f"{PORTO}/lamp-01", "devices": [f"{PORTO}/lamp-01"]}
        for who, tenant in ASKERS.items():
            access.create_operator(ctx, CONSOLE, who, PASSWORD, (Role.ADMIN,), tenant=tenant)
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
        made = AnyCity(f"http://127.0.0.1:{port}", ctx, known)
        made.session.trust_env = False
        yield made
        app.state.live.close()
        api.should_exit = api.force_exit = True
        thread.join(30)
    finally:
        ctx.db.close()
        _drop(server, name)


def drawn(
    operation: Operation, mode: GenerationMode, number: int, seeded: int | None
) -> list[schemathesis.Case[Any]]:
    """So many requests of an operation: as described, or wrong where there is anything to get wrong.

    seeded: None: the same at every run. Hypothesis begins with the simplest, an empty one: it is left out
    where there are others.
    """
    cases: list[schemathesis.Case[Any]] = []

    @settings(
        max_examples=number + 1,
        derandomize=seeded is None,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def draw(case: schemathesis.Case[Any]) -> None:
        cases.append(case)

    try:
        (draw if seeded is None else seed(seeded)(draw))()
    except Unsatisfiable:
        if mode is GenerationMode.POSITIVE:
            raise
    return cases[1:] or cases
