"""Events and faults in street time, as the operator's plan writes them. A mistake is one line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulator.air import BadPlan
from firmware_bridge.emulator.events import Plume, Side
from firmware_bridge.emulator.plan_fields import get, known, number, point
from firmware_bridge.emulator.street_faults import StreetFault, StreetFaultType

PLUME_KEYS = frozenset(
    {"type", "starts_ms", "side", "wind_m_s", "at", "width_km", "peak", "rise_s", "duration_s"}
    | {"pm1_share", "pm10_ratio"}
)
_WINDOW = frozenset({"type", "from_ms", "until_ms"})
FAULT_KEYS = {
    StreetFaultType.STUCK: _WINDOW,
    StreetFaultType.SWELL: _WINDOW | {"humidity", "ramp_s"},
    StreetFaultType.DRIFT: _WINDOW | {"per_hour"},
    StreetFaultType.SPIKE: _WINDOW | {"factor", "every_s"},
}
LONGEST_S = 7 * 86_400.0


def parse_events(where: str, data: Any) -> list[Plume]:
    """The plan's events. Raises BadPlan."""
    if data is None:
        return []
    if not isinstance(data, list):
        raise BadPlan(f"{where}: events must be a list")
    return [_plume(f"{where}: event {count}", item) for count, item in enumerate(data)]


def _plume(where: str, data: Any) -> Plume:
    if not isinstance(data, dict) or data.get("type") != "plume":
        raise BadPlan(f'{where}: must be {{"type": "plume", "starts_ms": …}}')
    known(where, data, PLUME_KEYS)
    starts_ms = number(where, data, "starts_ms", None, 0, math.inf)
    try:
        side = Side(get(where, data, "side", (str,), Side.WEST))
    except ValueError:
        raise BadPlan(f"{where}: side is {data['side']!r}; allowed is {', '.join(Side)}") from None
    rise_s = number(where, data, "rise_s", Plume.rise_s, 1, LONGEST_S)
    return Plume(
        int(starts_ms),
        side,
        wind_m_s=number(where, data, "wind_m_s", Plume.wind_m_s, 0.1, 60),
        at=point(where, data, "at"),
        width_km=number(where, data, "width_km", Plume.width_km, 0.01, 1000),
        peak=number(where, data, "peak", Plume.peak, 0, 5000),
        rise_s=rise_s,
        duration_s=number(
            where, data, "duration_s", max(Plume.duration_s, 2 * rise_s), 2 * rise_s, LONGEST_S
        ),
        pm1_share=number(where, data, "pm1_share", Plume.pm1_share, 0, 1),
        pm10_ratio=number(where, data, "pm10_ratio", Plume.pm10_ratio, 1, 20),
    )


def is_street_fault(item: Any) -> bool:
    """Whether this fault is one between two instants, and not one counted in measurements."""
    if not isinstance(item, dict):
        return False
    return bool(item.keys() & {"from_ms", "until_ms"}) or item.get("type") in {"swell", "drift", "spike"}


def parse_street_fault(where: str, data: Mapping[str, Any]) -> StreetFault:
    """One fault in street time. Raises BadPlan."""
    try:
        kind = StreetFaultType(str(data.get("type")))
    except ValueError:
        raise BadPlan(
            f"{where}: a fault with from_ms and until_ms has type {', '.join(StreetFaultType)}"
        ) from None
    known(where, data, FAULT_KEYS[kind])
    from_ms = number(where, data, "from_ms", None, 0, math.inf)
    until_ms = number(where, data, "until_ms", None, 0, math.inf)
    if until_ms <= from_ms:
        raise BadPlan(f"{where}: until_ms must come after from_ms")
    return StreetFault(
        kind,
        int(from_ms),
        int(until_ms),
        humidity=number(where, data, "humidity", StreetFault.humidity, 0, 100),
        ramp_s=number(where, data, "ramp_s", StreetFault.ramp_s, 1, LONGEST_S),
        per_hour=number(where, data, "per_hour", StreetFault.per_hour, -1, 10),
        factor=number(where, data, "factor", StreetFault.factor, 0, 1000),
        every_s=number(where, data, "every_s", StreetFault.every_s, 1, LONGEST_S),
    )
