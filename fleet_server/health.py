"""Is this server alive, and is it ready? What load balancers, supervisors and people ask without a login."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import cache

from alembic.script import ScriptDirectory
from sqlalchemy import exc

from fleet_server.context import Context
from fleet_server.errors import LamppostError
from fleet_server.migrations import configuration
from fleet_server.roles import connects

KEPT_S = 1.0  # anybody may ask, and a question costs a query and a connection


@dataclass(frozen=True)
class PartHealth:
    """`detail` says what is wrong, without addresses or names: anybody may read it."""

    ok: bool
    detail: str = ""


@dataclass(frozen=True)
class Readiness:
    ready: bool
    parts: dict[str, PartHealth]


@cache
def newest_step() -> str:
    """The newest migration of this program."""
    return ScriptDirectory.from_config(configuration()).get_current_head() or ""


def database_parts(context: Context) -> dict[str, PartHealth]:
    """`database` and `migrations`."""
    try:
        with context.db.session() as session:
            found = session.connection().exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    except exc.ProgrammingError:  # no such table
        found = None
    except LamppostError:
        unknown = PartHealth(False, "unknown while the database does not answer")
        return {"database": PartHealth(False, "does not answer"), "migrations": unknown}
    at_head = found == newest_step()
    told = (
        ""
        if at_head
        else f"at {found or 'nothing'}, this program needs {newest_step()}: run `lamppost db upgrade`"
    )
    return {"database": PartHealth(True), "migrations": PartHealth(at_head, told)}


def broker_part(context: Context) -> PartHealth:
    broker = context.config.broker
    return (
        PartHealth(True) if connects(broker.host, broker.port) else PartHealth(False, "takes no connection")
    )


class HealthDesk:
    """Answers from what it found out at most `KEPT_S` ago; one asks, the others wait for the answer."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._known: Readiness | None = None
        self._known_s = 0.0

    def readiness(self) -> Readiness:
        """Blocks for as long as a database or broker takes to answer, time-outs included."""
        with self._lock:
            if self._known is None or time.monotonic() - self._known_s > KEPT_S:
                parts = database_parts(self._context) | {"broker": broker_part(self._context)}
                self._known = Readiness(all(part.ok for part in parts.values()), parts)
                self._known_s = time.monotonic()
            return self._known
