"""Whose fault a failure is: a database that is slow, full, old or being mended costs no message its place."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from fleet_server.telemetry.ingest.failures import passes

THE_DATABASES = {
    "08003": "connection does not exist",
    "08006": "connection failure",
    "25006": "read-only transaction: a replica",
    "25P03": "idle in transaction for too long",
    "25P04": "transaction for too long",
    "28P01": "its password was changed",
    "3F000": "its schema is being restored",
    "40001": "serialization failure",
    "40P01": "deadlock",
    "42501": "its grants are being restored",
    "42703": "a column of another version",
    "42P01": "its table is being restored",
    "53100": "disk full",
    "53200": "out of memory",
    "53300": "too many connections",
    "55006": "object in use",
    "55P03": "lock time-out",
    "57014": "statement time-out",
    "57P01": "admin shutdown",
    "57P02": "crash shutdown",
    "57P03": "starting up",
    "58030": "I/O error",
}
THE_MESSAGES = {
    "08P01": "a parameter that is packed wrongly",
    "22003": "a number out of range",
    "22021": "a NUL in a text",
    "22P02": "a text that is no number",
    "23502": "NULL",
    "23505": "there already",
    "23514": "a check",
    "53400": "TimescaleDB's limit on rows to decompress",
    "54000": "an index row too long",
    "54001": "a statement too complex",
    "54011": "too many columns",
    "54023": "too many arguments",
}


@pytest.mark.parametrize("code", THE_DATABASES)
def test_what_is_the_databases_passes(code: str) -> None:
    assert passes(errors.lookup(code)())


@pytest.mark.parametrize("code", THE_MESSAGES)
def test_what_is_the_messages_stays(code: str) -> None:
    assert not passes(errors.lookup(code)())


def test_a_lost_connection_passes_whatever_was_said_last() -> None:
    assert passes(psycopg.OperationalError("no connection"))
    for error in (errors.ProtocolViolation(), errors.InternalError_(), psycopg.InterfaceError()):
        assert passes(error, broken=True)
        assert not passes(error)
    assert not passes(ZeroDivisionError())
