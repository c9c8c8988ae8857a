"""One database for the module: the log only grows, and each test looks at the lines that it added."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_server.context import Context
from tests.support.postgres import _create, _drop, with_database
from tests.support.server_context import make_context


@pytest.fixture(scope="module")
def ctx(
    postgres_server: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Context]:
    name = f"lamppost_audit_{os.getpid()}"
    _create(postgres_server, name, template_database)
    data: Path = tmp_path_factory.mktemp("data")
    context = make_context(with_database(postgres_server, name), data)
    yield context
    context.db.close()
    _drop(postgres_server, name)
