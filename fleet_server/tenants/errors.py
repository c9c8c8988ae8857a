"""Errors of the tenants slice.

TooManyRequests
└── OverRate       429   come again in `retry_after_s`
Conflict
└── QuotaReached   409   what is there already is as much as there may be
"""

from __future__ import annotations

from fleet_server.errors import Conflict, TooManyRequests


class OverRate(TooManyRequests):
    """More requests a minute than the asker or its tenant may send."""


class QuotaReached(Conflict):
    """The tenant has as much of it as it may have."""
