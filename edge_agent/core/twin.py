"""The settings that the server may change while the agent runs (down/twin), and what is said of them. Pure.

fleet_semantics.md S6: a version not above the one taken in is old news; after a gap only the whole state
counts, and the report, which names the version we have, asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edge_agent.core.words import fitting_name
from wire_contract.limits import MAX_MAP_ITEMS, MAX_SEQUENCE
from wire_contract.messages import TwinDesired, TwinReported

FLUSH = "telemetry.flush_interval_s"
FLUSH_LOW_S, FLUSH_HIGH_S = 1.0, 60.0  # as in the configuration

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Twin:
    """`acknowledged`: the desired version taken in last. `version`: of our report; grows with each change.
    `flush_s`: None is as configured. `refused`: key -> why, of the last desired state."""

    acknowledged: int = 0
    version: int = 0
    flush_s: float | None = None
    refused: Mapping[str, str] = field(default_factory=dict)


def take_in(twin: Twin, desired: TwinDesired) -> Twin:
    """The twin after this message; the same object when it changes nothing."""
    gap = not desired.full and desired.version != twin.acknowledged + 1
    if desired.version <= twin.acknowledged or gap:
        return twin
    flush_s = None if desired.full else twin.flush_s
    refused = {}
    for key, value in desired.patch.items():
        why = _why_not(key, value)
        if why:
            refused[key] = why
        elif key == FLUSH:
            flush_s = float(value) if isinstance(value, int | float) else None
    if FLUSH in refused:
        flush_s = twin.flush_s
    return replace(
        twin, acknowledged=desired.version, version=twin.version + 1, flush_s=flush_s, refused=refused
    )


def _why_not(key: str, value: Value) -> str:
    if key != FLUSH:
        return "there is no such setting here"
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number"
    return "" if FLUSH_LOW_S <= value <= FLUSH_HIGH_S else f"must be {FLUSH_LOW_S:g} to {FLUSH_HIGH_S:g}"


def report(twin: Twin, configured_flush_s: float) -> TwinReported:
    """What holds now, and for each refused key why."""
    document: dict[str, Value] = {FLUSH: configured_flush_s if twin.flush_s is None else twin.flush_s}
    for key, why in list(twin.refused.items())[: MAX_MAP_ITEMS - 1]:
        document[fitting_name(f"refused.{key}")] = why
    return TwinReported(min(twin.version, MAX_SEQUENCE), twin.acknowledged, document)
