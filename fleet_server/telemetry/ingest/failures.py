"""Whose fault is a failure: PostgreSQL's, which passes, or the message's, which stays. Pure."""

from __future__ import annotations

import psycopg
from psycopg.errors import (
    ConfigurationLimitExceeded,
    IdleInTransactionSessionTimeout,
    InsufficientPrivilege,
    InvalidSchemaName,
    ProgramLimitExceeded,
    ProtocolViolation,
    ReadOnlySqlTransaction,
    StatementTooComplex,
    TooManyArguments,
    TooManyColumns,
    TransactionTimeout,
    UndefinedColumn,
    UndefinedTable,
)

# Operational by their class, and yet the same rows meet them again: an index row that is too long;
# TimescaleDB's limit on rows that one statement may decompress; a value that is packed wrongly.
STAYING = (
    ConfigurationLimitExceeded,
    ProgramLimitExceeded,
    ProtocolViolation,
    StatementTooComplex,
    TooManyArguments,
    TooManyColumns,
)

# Not operational by their class, and yet no message's fault: a replica refuses to write until it is promoted;
# a session is ended for its slowness; a schema is being restored or upgraded, or its grants are.
PASSING = (
    psycopg.OperationalError,
    IdleInTransactionSessionTimeout,
    InsufficientPrivilege,
    InvalidSchemaName,
    ReadOnlySqlTransaction,
    TransactionTimeout,
    UndefinedColumn,
    UndefinedTable,
)


def passes(error: BaseException, *, broken: bool = False) -> bool:
    """Will the same rows be taken once PostgreSQL is well again? broken: the connection is lost."""
    if isinstance(error, ProtocolViolation):  # a pooler says so, too, when it hangs up
        return broken
    return not isinstance(error, STAYING) and (broken or isinstance(error, PASSING))
