"""The few column shapes that every slice's `tables.py` is made of: one place, one spelling."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Identity, Integer, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine
from sqlmodel import Field


def identity(big: bool = False) -> Any:
    """A primary key that the database counts (`GENERATED ALWAYS AS IDENTITY`)."""
    kind = BigInteger() if big else Integer()
    return Field(default=None, sa_column=Column("id", kind, Identity(always=True), primary_key=True))


def column(kind: type[TypeEngine[Any]] | TypeEngine[Any], *more: Any, default: str | None = None) -> Any:
    """A NOT NULL column; `default` is SQL (`"''"`, `"0"`, `"now()"`)."""
    server_default = None if default is None else text(default)
    return Field(default=None, sa_column=Column(kind, *more, nullable=False, server_default=server_default))


def nullable(kind: type[TypeEngine[Any]] | TypeEngine[Any], *more: Any) -> Any:
    """A column that may be NULL."""
    return Field(default=None, sa_column=Column(kind, *more, nullable=True))


def key(kind: type[TypeEngine[Any]] | TypeEngine[Any], *more: Any, name: str | None = None) -> Any:
    """A column of the primary key, its value given by us. `name` where the SQL name is no Python name."""
    if name is not None:
        return Field(sa_column=Column(name, kind, *more, primary_key=True, autoincrement=False))
    return Field(sa_column=Column(kind, *more, primary_key=True, autoincrement=False))


def instant(default: str | None = None) -> Any:
    """A NOT NULL `timestamptz`."""
    return column(DateTime(timezone=True), default=default)


def maybe_instant() -> Any:
    """A `timestamptz` that may be NULL."""
    return nullable(DateTime(timezone=True))


def document() -> Any:
    """A NOT NULL JSON object, `{}` by default."""
    return column(JSONB, default="'{}'")
