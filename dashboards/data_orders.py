"""What a lamppost is told from its page, as the pages' own values."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.data import Services
from dashboards.lamppost_orders import SHOWN, Order
from dashboards.model import Lamppost
from fleet_server.access.service import SignedIn
from fleet_server.commands import service as commands
from fleet_server.commands.service import Ask, CommandName, CommandRecord, Wanted


class Orders:
    """Raises what the service raises: Forbidden, NotFound, NotNow, TooManyWaiting, LinkError."""

    def __init__(self, services: Services) -> None:
        self._ask = services.ask

    async def orders(self, by: SignedIn, lamppost: Lamppost) -> Sequence[Order]:
        """The newest first."""
        wanted = Wanted(address=lamppost.handle, limit=SHOWN)
        found = await self._ask(commands.list_commands, by.principal, wanted)
        return [_order(each) for each in found]

    async def tell(self, by: SignedIn, lamppost: Lamppost, command: str, reason: str) -> None:
        wanted = Ask(CommandName(command), reason=reason)
        await self._ask(commands.ask, by.principal, lamppost.handle, wanted)

    async def cancel(self, by: SignedIn, number: int) -> None:
        await self._ask(commands.cancel, by.principal, number)

    async def file(self, by: SignedIn, number: int) -> tuple[str, bytes]:
        """Its name and content."""
        found, content = await self._ask(commands.fetch_file, by.principal, number)
        return f"{number}-{found.name}", content


def _order(found: CommandRecord) -> Order:
    whole = found.file is not None and found.file.complete
    return Order(
        id=found.id,
        command=found.name,
        state=str(found.state),
        asked_ms=round(found.asked_at.timestamp() * 1000),
        asked_by=found.asked_by,
        reason=found.reason,
        detail=found.detail,
        result=tuple(found.result.items()),
        late=found.late,
        file=found.file.size if found.file is not None and whole else 0,
    )
