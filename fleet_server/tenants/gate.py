"""How many requests pass: counted in this process, for each asker and for each tenant.

Several api processes count each for itself. A tenant's quotas are read at most every `KEPT_S`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Annotated, cast

from fastapi import Depends, Request

from fleet_server.access.asker import signed_in
from fleet_server.access.rules import EVERY_TENANT, Principal
from fleet_server.access.service import SignedIn
from fleet_server.context import Context
from fleet_server.tenants import rules, service
from fleet_server.tenants.errors import OverRate
from fleet_server.tenants.rules import USUAL, Bucket, Quotas

KEPT_S = 10.0  # a quota that was changed holds within this
MOST_BUCKETS = 10_000  # then those that are full again are let go

Key = tuple[str, ...]


class Gate:
    """`read`: a tenant's quotas, from the database."""

    def __init__(
        self, read: Callable[[str], Quotas], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._buckets: dict[Key, tuple[Bucket, int]] = {}
        self._quotas: dict[str, tuple[Quotas, float]] = {}

    def pass_one(self, principal: Principal) -> None:
        """Count one request. Raises OverRate."""
        quotas = self.quotas_of(principal.tenant)
        now_s = self._monotonic()
        asked: list[tuple[Key, int, str]] = []
        if quotas.requests_a_minute_each is not None:
            who: Key = (principal.tenant, principal.kind, principal.via, principal.name)
            asked.append((who, quotas.requests_a_minute_each, principal.name))
        if quotas.requests_a_minute is not None and principal.within is not None:
            asked.append(((principal.tenant,), quotas.requests_a_minute, principal.tenant))
        with self._lock:
            found = [(key, most, name, self._now(key, most, now_s)) for key, most, name in asked]
            waits = [(rules.wait_s(bucket, most), most, name) for _, most, name, bucket in found]
            wait_s, most, name = max(waits, default=(0, 0, ""))
            if wait_s:
                raise OverRate(
                    f"{name} may send {most} requests a minute.",
                    remedy=f"Come again in {wait_s} s.",
                    members={"retry_after_s": wait_s},
                )
            for key, most, _, bucket in found:
                self._buckets[key] = (Bucket(bucket.tokens - 1.0, now_s), most)
            if len(self._buckets) > MOST_BUCKETS:
                self._let_go(now_s)

    def quotas_of(self, tenant: str) -> Quotas:
        """As they were at most KEPT_S ago."""
        if tenant == EVERY_TENANT:
            return USUAL
        now_s = self._monotonic()
        known = self._quotas.get(tenant)
        if known is None or now_s - known[1] > KEPT_S:
            known = self._quotas[tenant] = (self._read(tenant), now_s)
        return known[0]

    def _now(self, key: Key, most: int, now_s: float) -> Bucket:
        bucket, former = self._buckets.get(key, (None, most))
        return rules.filled(bucket if former == most else None, most, now_s)

    def _let_go(self, now_s: float) -> None:
        self._buckets = {
            key: (bucket, most)
            for key, (bucket, most) in self._buckets.items()
            if rules.filled(bucket, most, now_s).tokens < most
        }


def gate_of(context: Context) -> Gate:
    return Gate(lambda tenant: service.quotas_of(context, tenant))


def within_quota(request: Request, session: Annotated[SignedIn, Depends(signed_in)]) -> None:
    """For every route that needs a session. Raises OverRate. Blocks: FastAPI runs it in a thread."""
    cast(Gate, request.app.state.gate).pass_one(session.principal)
