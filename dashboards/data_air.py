"""What is in the air by a lamppost, as the services give it, as the pages' own values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from dashboards import air_view
from dashboards.air_model import IndexStep, IndexTrace, Trace
from dashboards.data import Services
from dashboards.lamppost_calibrating import Entry
from dashboards.lamppost_model import Calibration
from dashboards.model import Lamppost
from fleet_server.access.service import SignedIn
from fleet_server.air import service as air


class Air:
    """PM2.5, indices, calibrations. Raises what the services raise."""

    def __init__(self, services: Services) -> None:
        self._ask = services.ask

    async def trace(self, by: SignedIn, address: str, begins_ms: int, ends_ms: int) -> Trace:
        """PM2.5 raw and corrected. Raises NotFound."""
        found = await self._ask(
            air.corrected_series, by.principal, _address(address), _at(begins_ms), _at(ends_ms)
        )
        points = [p for p in found.points if p.pollutant == "pm2_5"]
        return Trace(
            address=address,
            step_s=found.step_s,
            time_ms=tuple(_ms(p.time) for p in points),
            raw=tuple(p.raw for p in points),
            corrected=tuple(p.value for p in points),
            corrections=tuple(dict.fromkeys(p.correction for p in points)),
        )

    async def index(
        self,
        by: SignedIn,
        address: str,
        begins_ms: int,
        ends_ms: int,
        kind: str = air_view.DEFAULT_KIND,
    ) -> IndexTrace:
        """The index of the table that `kind` stands for. Raises NotFound."""
        table = air_view.KINDS[kind]
        found = await self._ask(
            air.index_series, by.principal, _address(address), table, _at(begins_ms), _at(ends_ms)
        )
        steps = (
            IndexStep(_ms(i.time), i.value, i.level, i.category, i.driver, i.concentration, i.correction)
            for i in sorted(found, key=lambda i: i.time)
        )
        return IndexTrace(address, table, tuple(steps))

    async def calibrations(self, by: SignedIn, lamppost: Lamppost) -> Sequence[Calibration]:
        """Of all its sensor units."""
        found = await self._ask(air.calibrations, by.principal, lamppost.handle)
        return [
            Calibration(
                id=c.id,
                unit=c.sensor_unit,
                channel=c.calibration.channel,
                slope=c.calibration.slope,
                offset=c.calibration.offset,
                humidity=c.calibration.humidity,
                valid_ms=_ms(c.valid_from),
                source=c.calibration.source,
                by=c.created_by,
                made_ms=_ms(c.created_at),
            )
            for c in found
        ]

    async def calibrate(self, by: SignedIn, lamppost: Lamppost, entry: Entry) -> None:
        """Enter one. Raises Forbidden, NotFound, InvalidRequest."""
        made = air.Calibration(
            slope=entry.slope,
            offset=entry.offset,
            humidity=entry.humidity,
            source=entry.source,
            channel=entry.channel,
        )
        await self._ask(
            air.set_calibration, by.principal, lamppost.handle, made, _at(entry.valid_ms), entry.unit
        )


def _address(text: str) -> air.Address:
    tenant, _, name = text.partition("/")
    return air.Address(tenant, name)


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
