"""`lamppost sensors probe`: the ports, what is on them, and their readings live."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from firmware_bridge.errors import SensorError
from firmware_bridge.kinds import SPECS, SensorKind
from firmware_bridge.ports import Reading, Sensor
from firmware_bridge.probe import Found, probe_port
from firmware_bridge.serial_link import SerialLink, existing_ports
from firmware_bridge.serial_sensor import open_sensor

READ_TIMEOUT_S = 5.0
EVERY_S = 1.0
NOTHING_FOUND = 1  # exit status
UNITS = {"ug/m3": "µg/m³", "1/dL": "/0.1 L", "1/cm3": "/cm³", "um": "µm", "Cel": "°C"}


def run_probe(ports: Sequence[str] | None, kind: SensorKind | None, *, once: bool, as_json: bool) -> int:
    """Print what is found, then readings until Ctrl-C, or one each. Returns the exit status."""
    chosen = list(ports) if ports else existing_ports()
    if not chosen:
        print("no serial port on this machine: plug a sensor or a USB adapter in", file=sys.stderr)
        return NOTHING_FOUND
    found: list[Found] = []
    if not as_json:
        print(f"asking {', '.join(chosen)} …", flush=True)
    with ThreadPoolExecutor(len(chosen)) as pool:  # a silent port takes seconds; they do not add up
        outcomes = pool.map(lambda port: _try(port, kind), chosen)
        for port, outcome in zip(chosen, outcomes, strict=True):
            _tell(port, outcome, kind, as_json)
            if isinstance(outcome, Found):
                found.append(outcome)
    if not found:
        return NOTHING_FOUND
    return _readings(found, once=once, as_json=as_json)


def describe(found: Found) -> str:
    """One line for a person."""
    serial = f" {found.serial}" if found.serial else ""
    alike = f" (or {', '.join(found.alike)}: same bytes, see its label)" if found.alike else ""
    return f"{found.port}: {found.kind}{serial}{alike}, {found.was}"


def show(reading: Reading) -> str:
    """Values with their decimals and units."""
    parts = []
    for channel, value in zip(SPECS[reading.kind].channels, reading.values, strict=True):
        unit = UNITS.get(channel.unit, channel.unit)
        number = "–" if value is None else f"{value * 10.0**channel.exponent:.{-channel.exponent}f}"
        parts.append(f"{channel.name} {number} {unit}")
    return "  ".join(parts) + "".join(f"  [{warning}]" for warning in reading.status)


def _try(port: str, kind: SensorKind | None) -> Found | SensorError | None:
    try:
        return probe_port(port, kind)
    except SensorError as error:
        return error


def _tell(port: str, outcome: Found | SensorError | None, kind: SensorKind | None, as_json: bool) -> None:
    if isinstance(outcome, SensorError):
        _tell_error(outcome, as_json)
    elif as_json:
        print(json.dumps({"port": port, "kind": None} if outcome is None else _record(outcome)), flush=True)
    elif outcome is None:
        advice = "check power, and that TX and RX are crossed"
        if kind is not None:
            advice += f"; without --kind it is asked for every kind, not for a {kind} alone"
        print(f"{port}: nothing that answers: {advice}", flush=True)
    else:
        print(describe(outcome), flush=True)


def _record(found: Found) -> dict[str, object]:
    return {
        "port": found.port,
        "kind": found.kind,
        "alike": found.alike,
        "serial": found.serial,
        "was": found.was,
    }


def _readings(found: Sequence[Found], *, once: bool, as_json: bool) -> int:
    """Read all in turn, once a second. Leaves each sensor in the mode in which it was."""
    sensors = {one.port: open_sensor(one.kind, one.port) for one in found}
    opened: set[str] = set()
    try:
        while True:
            started = time.monotonic()
            for port, sensor in sensors.items():
                _read(port, sensor, opened, as_json)
            if once:
                return 0
            time.sleep(max(0.0, EVERY_S - (time.monotonic() - started)))
    finally:
        for one in found:
            _leave(one, sensors[one.port], one.port in opened)


def _read(port: str, sensor: Sensor, opened: set[str], as_json: bool) -> None:
    try:
        if port not in opened:
            sensor.open()
            opened.add(port)
        reading = sensor.read(READ_TIMEOUT_S)
    except SensorError as error:
        _tell_error(error, as_json)
        if error.code in ("sensor_gone", "sensor_absent"):
            sensor.close()
            opened.discard(port)
        return
    if as_json:
        channels = SPECS[reading.kind].channels
        values = {
            c.name: None if v is None else round(v * 10.0**c.exponent, -c.exponent)
            for c, v in zip(channels, reading.values, strict=True)
        }
        record: dict[str, object] = {
            "port": port,
            "kind": reading.kind,
            "serial": reading.serial,
            "values": values,
        }
        print(
            json.dumps({**record, "status": reading.status, "time_ms": int(time.time() * 1000)}), flush=True
        )
    else:
        print(f"{port}: {show(reading)}", flush=True)


def _leave(found: Found, sensor: Sensor, opened: bool) -> None:
    sensor.close()
    if not opened or not found.restore:
        return
    link = SerialLink(found.port, SPECS[found.kind].baud)
    try:
        link.open()
        for step in found.restore:
            link.write(step.data)
            link.wait(step.timeout_s)
    except SensorError:
        return  # it is gone: nothing to leave in order
    finally:
        link.close()


def _tell_error(error: SensorError, as_json: bool) -> None:
    if as_json:
        record = {"port": error.port, "error": error.code, "detail": error.detail, "remedy": error.remedy}
        print(json.dumps(record), flush=True)
    else:
        print(f"{error}. {error.remedy}", file=sys.stderr, flush=True)
