"""A context with a database and an authority of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fleet_server.context import Context
from provisioning.authority import Authority
from tests.support.server_context import make_context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.init(tmp_path / "authority", "Testing")


@pytest.fixture
def ctx(database_url: str, tmp_path: Path, authority: Authority) -> Iterator[Context]:
    made = make_context(database_url, tmp_path)
    yield replace(made, authority_directory=authority.files.directory)
    made.db.close()
