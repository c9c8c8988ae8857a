"""What is in the air by a lamppost, as the services give it, as the pages' own values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from dashboards import air_view
from dashboards.air_model import IndexTrace, Trace
from dashboards.data import STEPS_S, Services
from dashboards.lamppost_calibrating import Entry
from dashboards.lamppost_model import Calibration
from dashboards.model import Lamppost
from fleet_server.access.service import SignedIn
from fleet_server.devices import service as devices
from fleet_server.errors import NotFound
from fleet_server.telemetry import service as telemetry


class Air:
    """PM2.5, indices, calibrations. Raises what the services raise."""

    def __init__(self, services: Services) -> None:
        self._ask = services.ask

    async def trace(self, by: SignedIn, address: str, begins_ms: int, ends_ms: int) -> Trace:
        """PM2.5 raw and corrected. Raises NotFound."""
        found = await self._ask(devices.sensors, by.principal, _address(address))
        series = next((s.id for unit in found for s in unit.series if s.channel == "pm2_5"), None)
        if series is None:
            return Trace(address, 60, (), (), (), ())
        points = await self._ask(
            telemetry.series, by.principal, series, _at(begins_ms), _at(ends_ms), telemetry.Resolution.MINUTE
        )
        values = tuple(p.value for p in points.points)
        return Trace(
            address,
            STEPS_S[str(points.resolution)],
            tuple(_ms(p.time) for p in points.points),
            values,
            values,
            (),
        )

    async def index(
        self,
        by: SignedIn,  # noqa: ARG002
        address: str,
        begins_ms: int,  # noqa: ARG002
        ends_ms: int,  # noqa: ARG002
        kind: str = air_view.DEFAULT_KIND,
    ) -> IndexTrace:
        """The index of the table that `kind` stands for. Raises NotFound."""
        return IndexTrace(address, air_view.KINDS[kind], ())

    async def calibrations(self, by: SignedIn, lamppost: Lamppost) -> Sequence[Calibration]:  # noqa: ARG002
        """Of all its sensor units."""
        return []

    async def calibrate(self, by: SignedIn, lamppost: Lamppost, entry: Entry) -> None:  # noqa: ARG002
        """Enter one. Raises Forbidden, NotFound, InvalidRequest."""
        raise NotFound("This server takes no calibrations.")


def _address(text: str) -> devices.Address:
    tenant, _, name = text.partition("/")
    return devices.Address(tenant, name)


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
