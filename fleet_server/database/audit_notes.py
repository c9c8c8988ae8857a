"""Lines of the audit log for what is done to the database as a whole, by the system user who does it."""

from __future__ import annotations

import getpass

import psycopg

from fleet_server.access.rules import CONSOLE, Principal
from fleet_server.audit.recording import record_by
from fleet_server.audit.rules import Happening
from fleet_server.audit.verifying import Place
from fleet_server.database.restore import Restored
from fleet_server.database.state import connected
from fleet_server.errors import LamppostError


def head_of(url: str) -> Place | None:
    """How far the log goes of the database that is there; None where there is none, or no log in it."""
    try:
        with connected(url) as connection:
            found = connection.execute("SELECT number, hash FROM audit_head").fetchone()
    except (LamppostError, psycopg.Error):
        return None
    return None if found is None else Place(found[0], bytes(found[1]))


def restored(url: str, former: Place | None, done: Restored) -> None:
    """In the restored log: it goes on from the backup's end, and what the former one had besides is told."""
    before = None if former is None else {"lines": former.number, "hash": former.hash.hex()}
    after = {"saved": done.manifest.started, "rows": done.manifest.rows, "put_aside": done.put_aside}
    _note(url, Happening.DATABASE_RESTORED, done.database, before, after)


def upgraded(url: str, at: str | None, newest: str) -> None:
    _note(url, Happening.DATABASE_UPGRADED, "schema", {"step": at}, {"step": newest})


def _note(
    url: str, what: Happening, resource: str, before: dict[str, object] | None, after: dict[str, object]
) -> None:
    who = Principal("service", f"console:{getpass.getuser()}", CONSOLE.roles, via="command")
    with connected(url) as connection:
        record_by(connection, who, what, resource, before=before, after=after)
        connection.commit()
