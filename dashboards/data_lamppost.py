"""What the page of one lamppost asks the services, as the pages' own values."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from dashboards import words
from dashboards.data import STEPS_S, Services
from dashboards.data_incidents import incident, verdict
from dashboards.incident_model import Incident, Verdict
from dashboards.lamppost_model import Certificate, Facts, Series, Setting, Wishes
from dashboards.model import Detail, Lamppost
from fleet_server.access.service import SignedIn, permitted
from fleet_server.decisions import service as decisions
from fleet_server.devices import service as devices
from fleet_server.enrolment import service as enrolment
from fleet_server.errors import NotFound
from fleet_server.telemetry import service as telemetry
from fleet_server.twin import service as twin
from fleet_server.twin.service import delta_of

VERDICTS_MAX = 200  # of one range: the newest
INCIDENTS_MAX = 12  # that the newest verdicts belong to


class Posts:
    """What a lamppost's page needs of the server. Raises what the services raise."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._ask = services.ask

    async def lamppost(self, by: SignedIn, tenant: str, name: str) -> Lamppost:
        return await self._services.lamppost(by, tenant, name)

    async def detail(self, by: SignedIn, lamppost: Lamppost) -> Detail:
        return await self._services.detail(by, lamppost)

    async def facts(self, by: SignedIn, lamppost: Lamppost) -> Facts:
        """Certificate, model, place. Raises NotFound."""
        device = (await self._ask(devices.get_device, by.principal, lamppost.handle)).record
        found = await self._ask(enrolment.certificate_of, by.principal, lamppost.handle)
        return Facts(
            certificate=None
            if found is None
            else Certificate(
                subject=f"{found.tenant}/{found.device}",
                serial=found.serial,
                fingerprint=found.key_fingerprint,
                issued_ms=_ms(found.issued_at),
                expires_ms=_ms(found.not_after),
                revoked_ms=_maybe_ms(found.revoked_at),
            ),
            model=device.settings.get("model", ""),
            cell=device.cell,
            latitude=device.latitude,
            longitude=device.longitude,
            registered_ms=_ms(device.created_at),
            seen_ms=_maybe_ms(device.last_seen_at),
            now_real_ms=round(time.time() * 1000),
            wishes=await self._wishes(by, lamppost),
        )

    async def _wishes(self, by: SignedIn, lamppost: Lamppost) -> Wishes | None:
        if not permitted(by.principal, "twin:read", str(lamppost.handle)):
            return None
        found = await self._ask(twin.twin, by.principal, lamppost.handle)
        desired, delta = found.sync.desired, delta_of(found)
        settings = []
        for key in sorted({*desired, *found.reported}):
            origin, ack = found.origin.get(key), found.acks.get(key, {})
            settings.append(
                Setting(
                    key=key,
                    desired=_said(desired[key]) if key in desired else "",
                    source="" if origin is None else f"{origin.source} {origin.name}",
                    ties=() if origin is None else origin.ties,
                    reported=_said(found.reported[key]) if key in found.reported else "",
                    ac=int(ack.get("ac", 0)),
                    ad=str(ack.get("ad", "")),
                    differs=key in delta,
                )
            )
        tags = tuple((key, _said(value)) for key, value in sorted(found.tags.items()))
        return Wishes(tuple(settings), found.sync.version, found.sync.acknowledged, tags)

    async def series(self, by: SignedIn, series: int, begins_ms: int, ends_ms: int) -> Series:
        """One channel, as finely as a chart can show. Raises NotFound."""
        begins, ends = _at(begins_ms), _at(ends_ms)
        found = await self._ask(telemetry.series, by.principal, series, begins, ends)
        points = found.points
        return Series(
            series=series,
            begins_ms=begins_ms,
            ends_ms=ends_ms,
            step_s=STEPS_S[str(found.resolution)],
            time_ms=tuple(_ms(p.time) for p in points),
            mean=tuple(p.value for p in points),
            low=tuple(p.low for p in points),
            high=tuple(p.high for p in points),
            flag=tuple(words.doubt(p.flag, p.n, p.flagged) for p in points),
        )

    async def verdicts(
        self, by: SignedIn, lamppost: Lamppost, begins_ms: int, ends_ms: int
    ) -> tuple[Sequence[Verdict], Sequence[Incident]]:
        """What it decided in the range, newest first, and the incidents that this is evidence of."""
        found = await self._ask(
            decisions.verdicts,
            by.principal,
            lamppost.handle,
            _at(begins_ms),
            _at(ends_ms),
            limit=VERDICTS_MAX,
        )
        numbers = dict.fromkeys(v.incident_id for v in found if v.incident_id is not None)
        incidents = [await self._incident(by, number) for number in list(numbers)[:INCIDENTS_MAX]]
        return [verdict(v) for v in found], [i for i in incidents if i is not None]

    async def _incident(self, by: SignedIn, number: int) -> Incident | None:
        try:
            found = await self._ask(decisions.incident, by.principal, number, verdicts_limit=1)
        except NotFound:  # another tenant's
            return None
        return incident(found.record)


def _said(value: object) -> str:
    return "nothing" if value in ("", None) else str(value).lower() if isinstance(value, bool) else str(value)


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _maybe_ms(at: datetime | None) -> int | None:
    return None if at is None else _ms(at)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
