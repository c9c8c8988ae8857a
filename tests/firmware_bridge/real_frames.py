"""The recorded frames of the shared data, and how their `expected` values map to our channels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from firmware_bridge.kinds import SensorKind
from tests.support.shared import shared_data

SENSORS = {
    "Plantower PMS1003/5003/7003/A003": SensorKind.PMS5003,
    "Plantower PMS5003/7003 family": SensorKind.PMS7003,
    "Plantower PMS5003T": SensorKind.PMS5003T,
    "Plantower PMSx003": SensorKind.PMSA003,
    # other models, whose frames must be told apart
    "Plantower PMS3003": SensorKind.PMS5003,
    "DFRobot SEN0177 (Plantower 24-byte frame)": SensorKind.PMS5003,
    "Nova SDS011": SensorKind.SDS011,
    "Nova SDS011/018/021": SensorKind.SDS021,
    "Sensirion SPS30": SensorKind.SPS30,
    "Winsen MH-Z19B": SensorKind.MHZ19B,
    "Winsen MH-Z19(B)": SensorKind.MHZ19B,
}
OTHER_MODELS = ("Plantower PMS3003", "DFRobot SEN0177 (Plantower 24-byte frame)")
REASONS = {  # how the collection words a reason -> ours
    "wrong_header": "wrong_header",
    "bad header": "wrong_header",
    "wrong_tail": "wrong_tail",
    "bad tail": "wrong_tail",
    "wrong_checksum": "wrong_checksum",
    "bad checksum": "wrong_checksum",
    "bad_checksum": "wrong_checksum",
    "short_message": "wrong_length",
    "empty: warming up": "empty",
    "start-measurement ACK, not a measurement": "not_a_measurement",
}


@dataclass(frozen=True)
class RealFrame:
    id: int
    sensor: str
    what: str
    kind: SensorKind
    raw: bytes
    expected: dict[str, Any]
    expected_floats: tuple[float, ...] | None


@cache
def real_frames() -> tuple[RealFrame, ...]:
    """All frames of the sensors we read; none where the shared data is not there."""
    folder = shared_data()
    if folder is None:
        return ()
    return tuple(
        RealFrame(
            entry["id"],
            entry["sensor"],
            entry["kind"],
            SENSORS[entry["sensor"]],
            bytes.fromhex(entry["hex"]),
            entry["expected"],
            tuple(entry["expected_float32"]) if "expected_float32" in entry else None,
        )
        for entry in json.loads((folder / "serial_frames" / "frames.json").read_text())
        if entry["sensor"] in SENSORS
    )


def chosen(*whats: str, other_models: bool = False) -> list[RealFrame]:
    """The frames of these sorts ("measurement", "command", "reply", "invalid")."""
    return [
        frame
        for frame in real_frames()
        if any(what in frame.what for what in whats) and (frame.sensor in OTHER_MODELS) == other_models
    ]
