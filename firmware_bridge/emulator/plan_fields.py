"""Reading the fields of an operator's plan: a mistake is one line that says where, and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulator.air import BadPlan

NUMBER = (int, float)


def known(where: str, data: Mapping[str, Any], allowed: frozenset[str]) -> None:
    """Raises BadPlan for a key that nobody reads."""
    unknown = sorted(data.keys() - allowed)
    if unknown:
        raise BadPlan(f"{where}: unknown key {unknown[0]!r}; allowed: {', '.join(sorted(allowed))}")


def get(where: str, data: Mapping[str, Any], key: str, types: tuple[type, ...], default: Any) -> Any:
    """The value of a key that may be left out. Raises BadPlan for one of another type."""
    value = data.get(key)
    if value is None:
        return default
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise BadPlan(f"{where}: {key} is {value!r}; it must be a {' or '.join(t.__name__ for t in types)}")
    return value


def number(
    where: str, data: Mapping[str, Any], key: str, default: float | None, low: float, high: float
) -> float:
    """A number within bounds; one without default must be given. Raises BadPlan."""
    value = get(where, data, key, NUMBER, default)
    if value is None:
        raise BadPlan(f"{where}: {key} is needed, a number from {low:g} to {high:g}")
    if not low <= value <= high:
        raise BadPlan(f"{where}: {key} is {value!r}; it must be from {low:g} to {high:g}")
    return float(value)


def point(where: str, data: Mapping[str, Any], key: str) -> tuple[float, float]:
    """A place in km, east and north; (0, 0) where it is left out. Raises BadPlan."""
    value = data.get(key) or (0.0, 0.0)
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(_is_number(v) for v in value):
        raise BadPlan(f"{where}: {key} must be two numbers (km)")
    return float(value[0]), float(value[1])


def _is_number(value: object) -> bool:
    return isinstance(value, NUMBER) and not isinstance(value, bool)
