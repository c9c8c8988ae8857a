"""PostgreSQL's own programs (pg_dump, pg_restore, pg_amcheck): which to take, and how to call it.

pg_dump refuses a server that is newer than itself; what a newer one writes, an older server may not
understand (pg_restore 17 sets `transaction_timeout`, which 16 does not know). So the oldest that is not
older than the server is taken. Debian's /usr/bin/pg_dump is a wrapper that chooses by cluster: it comes last.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from fleet_server.database.errors import NoSuitableProgram
from fleet_server.embedded_programs import programs
from fleet_server.errors import ConfigurationError
from fleet_server.processes import child_environment

PACKAGED = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")
VERSION_TIMEOUT_S = 10


@dataclass(frozen=True)
class Program:
    """`version` as it tells it, such as 18.4."""

    path: Path
    major: int
    version: str


def program(name: str, server_major: int) -> Program:
    """The one to use with a server of this major version. Raises NoSuitableProgram."""
    found = [each for path in _candidates(name) if (each := _asked(path)) is not None]
    chosen = suitable(found, server_major)
    if chosen is None:
        there = ", ".join(f"{each.path} is {each.version}" for each in found) or "none was found"
        raise NoSuitableProgram(
            f"{name} of PostgreSQL {server_major} or later is needed: {there}.",
            remedy=f"Install it (Debian: apt-get install postgresql-client-{server_major}).",
        )
    return chosen


def suitable(found: list[Program], server_major: int) -> Program | None:
    """The oldest of those that are not older than the server; of equals the first."""
    new_enough = [each for each in found if each.major >= server_major]
    return min(new_enough, key=lambda each: each.major, default=None)


def _candidates(name: str) -> Iterator[Path]:
    with suppress(ConfigurationError):  # not installed here: then the server's own programs are
        yield programs() / name
    for pattern in PACKAGED:
        yield from sorted(Path("/").glob(f"{pattern.lstrip('/')}/{name}"))
    on_path = shutil.which(name)
    if on_path is not None:
        yield Path(on_path)


def _asked(path: Path) -> Program | None:
    if not path.exists():
        return None
    try:
        answer = subprocess.run(
            [str(path), "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    said = re.search(r"(\d+)(?:\.\d+)?", answer)
    return Program(path, int(said[1]), said[0]) if said else None


def target(url: str) -> tuple[str, dict[str, str]]:
    """What a program is given: the connection string without its password, and an environment with it.

    A command line can be read by everybody on the machine. The person's own PG* variables are left out: they
    would change what the programs do.
    """
    told = conninfo_to_dict(url)
    password = told.pop("password", None)
    environment = {k: v for k, v in child_environment().items() if not k.startswith("PG")}
    if password:
        environment["PGPASSWORD"] = str(password)
    elif "PGPASSFILE" in os.environ:
        environment["PGPASSFILE"] = os.environ["PGPASSFILE"]
    return make_conninfo("", **told), environment
