"""Whose fault is a failure: PostgreSQL's, which passes, or the message's, which stays. Pure."""

from __future__ import annotations

import psycopg
from psycopg.errors import (
    ConfigurationLimitExceeded,
    ProgramLimitExceeded,
    ReadOnlySqlTransaction,
    StatementTooComplex,
)

# Operational by their class, and yet the same rows meet them again: an index row that is too long;
# TimescaleDB's limit on rows that one statement may decompress.
STAYING = (ConfigurationLimitExceeded, ProgramLimitExceeded, StatementTooComplex)


def passes(error: BaseException, *, broken: bool = False) -> bool:
    """Will the same rows be taken once PostgreSQL is well again? broken: the connection is lost.

    A replica refuses to write until it is promoted.
    """
    if isinstance(error, STAYING):
        return False
    return broken or isinstance(error, psycopg.OperationalError | ReadOnlySqlTransaction)
