"""From the operator's plan (JSON) to units. A mistake is one line: which unit, which key, what is allowed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from firmware_bridge.emulator.air import BadPlan, Scene
from firmware_bridge.emulator.devices import DeviceOptions
from firmware_bridge.emulator.events import EventfulScene, Plume
from firmware_bridge.emulator.faults import Fault, FaultType
from firmware_bridge.emulator.ledger import Ledger
from firmware_bridge.emulator.plan_events import is_street_fault, parse_events, parse_street_fault
from firmware_bridge.emulator.plan_fields import NUMBER, get, known, point
from firmware_bridge.emulator.replay import replay_scene
from firmware_bridge.emulator.street_faults import StreetFault
from firmware_bridge.emulator.synthetic import SyntheticScene
from firmware_bridge.emulator.timeline import History, StreetClock, Timeline, parse_clock
from firmware_bridge.emulator.unit import Unit
from firmware_bridge.kinds import SensorKind

PLAN_KEYS = frozenset({"clock", "clock_file", "events", "units"})
UNIT_KEYS = frozenset(
    {"name", "kind", "link", "ledger", "seed", "scene", "position", "history", "serial", "faults"}
    | {"warm_up_s", "streaming", "clock_file"}
)
SCENE_KEYS = {
    "synthetic": frozenset({"type", "city_seed", "utc_offset_h"}),
    "replay": frozenset({"type", "file", "station", "offset"}),
}
Units = dict[str, tuple[Unit, Path | None]]


def load_plan(path: Path) -> Units:
    """The units of a plan file. Raises BadPlan."""
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise BadPlan(f"plan {path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise BadPlan(f"plan {path}: is no JSON ({error})") from error
    return build_units(data)


def build_units(plan: Any) -> Units:
    """name -> (unit, link) of a plan that has been read. Raises BadPlan."""
    if not isinstance(plan, dict):
        raise BadPlan('plan: must be an object {"clock": …, "units": […]}')
    known("plan", plan, PLAN_KEYS)
    clock = plan.get("clock")
    street = StreetClock() if clock is None else parse_clock("plan: clock", clock)
    events = parse_events("plan", plan.get("events"))
    clock_file = plan.get("clock_file")
    described = plan.get("units")
    if not isinstance(described, list) or not described:
        raise BadPlan("plan: units must be a list of at least one unit")
    units: Units = {}
    for number, entry in enumerate(described):
        if not isinstance(entry, dict):
            raise BadPlan(f"plan: unit {number} must be an object")
        name = str(entry.get("name", f"unit{number}"))
        if name in units:
            raise BadPlan(f"plan: two units are called {name!r}")
        link = get(f"unit {name!r}", entry, "link", (str,), None)
        unit = _unit(f"unit {name!r}", {"clock_file": clock_file, "seed": number, **entry}, street, events)
        units[name] = (unit, None if link is None else Path(link))
    return units


def default_serial(kind: SensorKind, seed: int) -> str:
    """A serial number of the kind's form: four hex digits (Nova), sixteen (SPS30)."""
    if kind in (SensorKind.SDS011, SensorKind.SDS021):
        return f"{(seed * 40503 + 0x5801) % 0xFFFE + 1:04x}"
    return f"{seed * 0x9E3779B97F4A7C15 + 0x5350533330 & (1 << 64) - 1:016X}"


def _unit(where: str, entry: Mapping[str, Any], street: StreetClock, events: list[Plume]) -> Unit:
    known(where, entry, UNIT_KEYS)
    kind = _kind(where, entry.get("kind"))
    seed = int(get(where, entry, "seed", (int,), 0))
    clock_file = get(where, entry, "clock_file", (str,), None)
    history = _history(where, entry.get("history"))
    ledger = get(where, entry, "ledger", (str,), None)
    serial = get(where, entry, "serial", (str,), None)
    faults, street_faults = _faults(where, entry.get("faults") or [])
    position = point(where, entry, "position")
    scene = _scene(where, entry, history, position)
    return Unit(
        kind,
        EventfulScene(scene, position, events) if events else scene,
        Timeline(history, street, None if clock_file is None else Path(clock_file)),
        DeviceOptions(
            _serial(where, kind, serial) if serial is not None else default_serial(kind, seed),
            float(get(where, entry, "warm_up_s", NUMBER, 0.0)),
            bool(get(where, entry, "streaming", (bool,), True)),
        ),
        seed=seed,
        faults=faults,
        street_faults=street_faults,
        ledger=None if ledger is None else _ledger(where, Path(ledger)),
    )


def _kind(where: str, value: Any) -> SensorKind:
    try:
        return SensorKind(value)
    except ValueError:
        raise BadPlan(f"{where}: kind {value!r}: allowed is {', '.join(SensorKind)}") from None


def _serial(where: str, kind: SensorKind, serial: str) -> str:
    if kind in (SensorKind.SDS011, SensorKind.SDS021):
        digits = serial.lower()
        if len(digits) != 4 or any(d not in "0123456789abcdef" for d in digits) or digits == "ffff":
            raise BadPlan(f"{where}: serial {serial!r}: a Nova id is four hex digits, not ffff")
        return digits
    if not serial.isascii() or not 0 < len(serial) <= 31:
        raise BadPlan(f"{where}: serial {serial!r}: 1 to 31 ASCII characters")
    return serial


def _ledger(where: str, path: Path) -> Ledger:
    try:
        return Ledger(path)
    except OSError as error:
        raise BadPlan(f"{where}: ledger {path} cannot be written ({error.strerror})") from error


def _history(where: str, data: Any) -> History | None:
    if data is None:
        return None
    where = f"{where}: history"
    if not isinstance(data, dict) or data.keys() != {"start_ms", "step_s", "count"}:
        raise BadPlan(f"{where}: must be {{start_ms, step_s, count}}")
    start_ms, step_s, count = (get(where, data, key, NUMBER, 0) for key in ("start_ms", "step_s", "count"))
    if step_s < 1 or count < 0:
        raise BadPlan(f"{where}: step_s is at least 1, count at least 0")
    return History(int(start_ms), float(step_s), int(count))


def _scene(
    where: str, entry: Mapping[str, Any], history: History | None, position: tuple[float, float]
) -> Scene:
    data = entry.get("scene") or {"type": "synthetic"}
    where = f"{where}: scene"
    if not isinstance(data, dict) or data.get("type") not in SCENE_KEYS:
        raise BadPlan(f"{where}: type is one of {', '.join(SCENE_KEYS)}")
    known(where, data, SCENE_KEYS[data["type"]])
    if data["type"] == "synthetic":
        offset_h = get(where, data, "utc_offset_h", NUMBER, 1.0)
        city_seed = get(where, data, "city_seed", (int,), 1)
        return SyntheticScene(int(city_seed), position, float(offset_h))
    file = get(where, data, "file", (str,), None)
    if file is None:
        raise BadPlan(f"{where}: a replay needs a file")
    station = get(where, data, "station", (str,), None)
    offset = get(where, data, "offset", (str, *NUMBER), None)
    return replay_scene(file, station, history.start_ms if history is not None else None, offset)


def _faults(where: str, data: Any) -> tuple[list[Fault], list[StreetFault]]:
    """Those counted in measurements, those between two instants of the street."""
    if not isinstance(data, list):
        raise BadPlan(f"{where}: faults must be a list")
    faults, street_faults = [], []
    for item in data:
        if is_street_fault(item):
            street_faults.append(parse_street_fault(f"{where}: fault", item))
            continue
        if not isinstance(item, dict) or item.get("type") not in set(FaultType):
            raise BadPlan(f"{where}: a fault is {{type, after, count}} with type {', '.join(FaultType)}")
        known(f"{where}: fault", item, frozenset({"type", "after", "count"}))
        after = get(f"{where}: fault", item, "after", (int,), 10)
        count = get(f"{where}: fault", item, "count", (int,), 1)
        faults.append(Fault(FaultType(item["type"]), after, count))
    return faults, street_faults
