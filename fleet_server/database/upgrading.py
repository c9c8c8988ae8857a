"""The schema at its newest step: what is pending, and doing it."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
import sqlalchemy.exc

from fleet_server import migrations
from fleet_server.database.state import Step, connected, first_line, knows, newest_step, schema_of, steps_from
from fleet_server.errors import ConfigurationError, DatabaseUnreachable

NEWER = "Install the version of Lamppost that the database is of, or restore a backup made before it."


@dataclass(frozen=True)
class Plan:
    """`at`: where it stands, None for an empty one. `pending`: oldest first."""

    at: str | None
    newest: str
    pending: tuple[Step, ...]


def plan(url: str) -> Plan:
    """Raises ConfigurationError where the database is newer than this program, DatabaseUnreachable."""
    with connected(url) as connection:
        at = schema_of(connection)
    if at is not None and not knows(at):
        raise ConfigurationError(
            f"The database is at step {at}, and this program knows {newest_step()} at most.", remedy=NEWER
        )
    return Plan(at, newest_step(), tuple(steps_from(at)))


def upgrade(url: str, *, use_timescale: bool) -> None:
    """All pending steps or none, under the migrations' lock: another that upgrades is waited for.

    Raises ConfigurationError (a step is refused, with PostgreSQL's reason), DatabaseUnreachable.
    """
    try:
        migrations.upgrade(url, use_timescale=use_timescale)
    except sqlalchemy.exc.OperationalError as lost:
        raise DatabaseUnreachable(f"The database does not answer: {first_line(lost)}.") from lost
    except (sqlalchemy.exc.DBAPIError, psycopg.Error) as refused:
        raise ConfigurationError(
            f"The schema could not be brought to {newest_step()}, and is as it was: {first_line(refused)}.",
            remedy="Its account must own the tables; the reason above is PostgreSQL's.",
        ) from refused
