"""One API for everything that attacks it over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.security.city import City, running


@pytest.fixture(scope="session")
def city(
    postgres_server: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[City]:
    with running(postgres_server, template_database, tmp_path_factory.mktemp("hostile")) as made:
        yield made
