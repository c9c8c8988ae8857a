"""The context that services are given, over a test's own database and folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fleet_server.access.rules import Principal, Role
from fleet_server.config import DatabaseConfig, load_config
from fleet_server.context import Context

ADMIN = Principal("operator", "ada", frozenset({Role.ADMIN}))
OPERATOR = Principal("operator", "ola", frozenset({Role.OPERATOR}))
VIEWER = Principal("operator", "vic", frozenset({Role.VIEWER}))


def make_context(database_url: str, data_dir: Path) -> Context:
    """Default configuration with this database (`postgresql://`) and data directory. Close its `.db`."""
    config = load_config(None, data_dir=data_dir)
    return Context.of(replace(config, database=DatabaseConfig(database_url, False)))
