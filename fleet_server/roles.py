"""What `lamppost serve` consists of: one table of roles, and how each becomes a process.

Every role is `lamppost serve --role NAME`, alone on a machine or as a child of the supervisor.
"""

from __future__ import annotations

import http.client
import logging
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from fleet_server.config import Listen, ServerConfig
from fleet_server.db import plain_url
from fleet_server.embedded_server import answers
from fleet_server.errors import ConfigurationError, HardwareError, LamppostError
from fleet_server.logs import set_up_logging
from fleet_server.processes import end_after_parent
from fleet_server.ready import notify_refused

log = logging.getLogger("lamppost.serve")

PROBE_TIMEOUT_S = 1.0  # loopback answers in a millisecond
REFUSED = 2  # exit status: the configuration or the machine does not allow a start; trying again is no use
ORPHAN_PATIENCE_S = 10.0  # an ingest role needs a moment for its last transaction

# A probe tells whether a role works; None: the role tells itself (fleet_server.ready)
Probe = Callable[[ServerConfig], bool] | None


@dataclass(frozen=True)
class Role:
    """`module` has `main(config) -> int | None`, imported in the role's own process only."""

    name: str
    module: str
    probe: Probe
    stage: int  # a stage starts when the one before works, and stops before it
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within_s: float = 10.0
    own_log: bool = False  # a program that is not ours, whose lines are not ours either
    replaced: bool = False  # becomes another program by exec, which sees to its own end


def database_works(config: ServerConfig) -> bool:
    return answers(plain_url(config.database.url))


def broker_works(config: ServerConfig) -> bool:
    """Its own socket is asked first, which it opens last: at its port another program may answer."""
    own = config.broker.server_socket
    return (own is None or answers_at(own)) and connects(config.broker.host, config.broker.port)


def api_works(config: ServerConfig) -> bool:
    device = config.api.device_listen
    return responds(config.api.listen, "/healthz") and (
        device is None or connects(reachable(device.host), device.port)
    )


DATABASE = Role("database", "fleet_server.database_role", database_works, 0, signal.SIGINT, 20.0, True, True)
SETUP = Role("setup", "fleet_server.setup_role", None, 1)
BROKER = Role("broker", "fleet_server.broker_role", broker_works, 2, own_log=True, replaced=True)
API = Role("api", "fleet_server.api_role", api_works, 3)
INGEST = Role("ingest", "fleet_server.telemetry.ingest_role", None, 3)
WORKER = Role("worker", "fleet_server.telemetry.worker_role", None, 3)
UI = Role("ui", "dashboards.app", None, 3)
ROLES = {role.name: role for role in (DATABASE, SETUP, BROKER, API, INGEST, WORKER, UI)}


def run_role(role: Role, config: ServerConfig, *, log_json: bool) -> int:
    """Be `role` until it ends. Returns the exit status: REFUSED where trying again is no use."""
    if not role.replaced:
        end_after_parent(ORPHAN_PATIENCE_S)
    set_up_logging(role.name, as_json=log_json)
    try:
        return import_module(role.module).main(config) or 0
    except (ConfigurationError, HardwareError) as refused:
        log.error("%s", refused)
        notify_refused(str(refused))
        return REFUSED
    except (LamppostError, OSError) as failed:
        log.error("%s", failed)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception:  # the role's top: the supervisor starts it again
        log.exception("the role %s made a mistake and ends", role.name)
        return 1


def role_command(role: Role, arguments: list[str]) -> list[str]:
    """The command line that runs `role` in this very environment; `arguments` as given to `serve`."""
    return [sys.executable, "-m", "lamppost", "serve", "--role", role.name, *arguments]


def reachable(host: str) -> str:
    """Where a listener on `host` is reached from this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def connects(host: str, port: int) -> bool:
    """Does anybody take a TCP connection there?"""
    try:
        socket.create_connection((host, port), timeout=PROBE_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def answers_at(path: Path) -> bool:
    """Does anybody take a connection at this socket?"""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.settimeout(PROBE_TIMEOUT_S)
        return asked.connect_ex(str(path)) == 0


def responds(listen: Listen, path: str) -> bool:
    """Does an HTTP server answer 200 there?"""
    connection = http.client.HTTPConnection(reachable(listen.host), listen.port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
