"""Run by test_edge_extra_alone.py in an environment that holds the `edge` extra and nothing else.

One sample's way through the device, with its own parts: an emulated PMS5003 on a pseudo-terminal, the
serial port, the codec, the quality flags, the spool on disk, the sealed batch, and its bytes read back.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from edge_agent.core.declaring import declaration
from edge_agent.core.quality import UnitQuality
from edge_agent.core.records import Row, Unit, UnitIdentity
from edge_agent.core.sealing import form
from edge_agent.io.sqlite_spool import SqliteSpool
from firmware_bridge.kinds import SPECS, SensorKind
from firmware_bridge.ports import Reading
from firmware_bridge.serial_sensor import open_sensor
from wire_contract.classes import Class
from wire_contract.envelope import decode
from wire_contract.flags import Flag, unpack_flags
from wire_contract.messages import SampleBatch

KIND = SensorKind.PMS5003
UNIT = 1
TIME_MS = 1_790_000_000_000
READ_TIMEOUT_S = 20.0


def read_one(link: Path) -> Reading:
    """A reading of an emulated sensor that is a process of its own."""
    command = [sys.executable, "-m", "lamppost", "sensors", "emulate", "--kind", KIND, "--link", str(link)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as emulator:
        try:
            assert emulator.stdout is not None
            ready = json.loads(emulator.stdout.readline())
            assert ready["ready"] is True, ready
            sensor = open_sensor(KIND, str(link))
            sensor.open()
            reading = sensor.read(READ_TIMEOUT_S)
            sensor.close()
        finally:
            emulator.terminate()
    return reading


def through_the_spool(folder: Path, row: Row) -> bytes:
    """The sealed batch's bytes, written, closed, and read from the disk again."""
    unit = Unit(UNIT, UnitIdentity(KIND, "", ""))
    spool = SqliteSpool(folder, declaration)
    spool.declare(unit, declaration(unit, TIME_MS), TIME_MS)
    spool.commit(rows=[row])
    spool.commit(sealed=form(Class.LIVE, spool.waiting(synced=True, limit=10)))
    spool.close()
    spool = SqliteSpool(folder, declaration)
    assert spool.waiting(synced=True, limit=10) == []
    stored = spool.load(Class.LIVE, 1)
    spool.close()
    assert stored is not None
    return stored.payload


def main(folder: Path) -> None:
    """Exit status 0 and one line when what comes out is what the sensor sent."""
    reading = read_one(folder / "sensor")
    channels = [(c.name, c.unit, c.exponent) for c in SPECS[KIND].channels]
    flags = UnitQuality(channels, every_s=60.0).judge(reading.values, 0.0).flags
    row = Row(0, UNIT, TIME_MS, reading.values, flags, boot="one", mono_ms=0)
    payload = through_the_spool(folder / "spool", row)
    batch = decode(payload)
    assert isinstance(batch, SampleBatch), batch
    (block,) = batch.blocks
    assert (block.unit, list(block.times_ms)) == (UNIT, [TIME_MS])
    assert tuple(column[0] for column in block.columns) == reading.values
    assert Flag.MISSING not in unpack_flags(block.flags[0])
    loaded = {"fastapi", "sqlmodel", "torch", "polars", "numpy"} & set(sys.modules)
    assert not loaded, loaded
    print(f"one sample through: {len(reading.values)} readings in {len(payload)} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
