"""What is done on a page leaves the same line as anywhere else, and says that it came from a page."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboards.asked_from import asked_from
from dashboards.data import Services
from fleet_server.access import service as access
from fleet_server.access.rules import CONSOLE, Principal, Role
from fleet_server.auditor import service as auditor
from fleet_server.auditor.service import Wanted
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.errors import Forbidden
from tests.support.server_context import ADMIN, make_context

PASSWORD = "nine green lamps at dusk"


@pytest.fixture
def ctx(database_url: str, tmp_path: Path) -> Iterator[Context]:
    made = make_context(database_url, tmp_path)
    yield made
    made.db.close()


def test_a_page_says_where_its_browser_is(ctx: Context) -> None:
    access.create_operator(ctx, CONSOLE, "ana", PASSWORD, (Role.OPERATOR,))
    services = Services(ctx)
    partner = Principal("operator", "pat", frozenset({Role.PARTNER}))

    async def a_visit() -> None:
        await services.at_door("192.0.2.3", access.sign_in, "ana", PASSWORD, "192.0.2.3")
        with pytest.raises(Forbidden):
            await services._call(devices.list_devices, ctx, partner)

    asyncio.run(a_visit())
    services.close()
    refused, began = auditor.lines(ctx, ADMIN, Wanted(), 2)
    assert (began.action, began.who, began.way, began.address) == (
        "session:begin",
        "ana",
        "pages",
        "192.0.2.3",
    )
    assert (refused.action, refused.who, refused.outcome, refused.way) == (
        "devices:read",
        "pat",
        "refused",
        "pages",
    )
    assert asked_from() == ""  # nobody asks here
