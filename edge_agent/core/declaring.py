"""Which unit a reading belongs to, and how a unit is declared to the server. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from edge_agent.core.leaving import leave
from edge_agent.core.records import Unit, UnitIdentity
from firmware_bridge.kinds import SPECS, SensorKind
from wire_contract.classes import Class
from wire_contract.limits import MAX_UNITS
from wire_contract.messages import SensorDeclaration, SlotDeclaration


def unit_for(identity: UnitIdentity, known: Iterable[Unit]) -> tuple[Unit, bool] | None:
    """The unit of this identity and whether it is new; None when the epoch has no key left for a new one."""
    units = list(known)
    for unit in units:
        if unit.identity == identity:
            return unit, False
    if len(units) >= MAX_UNITS:
        return None
    return Unit(max((unit.key for unit in units), default=0) + 1, identity), True


def declaration(unit: Unit, now_ms: int) -> bytes:
    """The unit's SensorDeclaration, encoded."""
    who = unit.identity
    spec = SPECS[SensorKind(who.kind)]
    slots = tuple(SlotDeclaration(each.name, each.unit, each.exponent) for each in spec.channels)
    told = SensorDeclaration(unit.key, who.kind, who.serial, who.site, slots, max(now_ms, 0))
    return leave(Class.REPLY, told)
