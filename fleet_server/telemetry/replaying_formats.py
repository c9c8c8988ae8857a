"""A replayed stream as lines: JSON, CSV, or the very messages that devices send. Declarations come first."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from fleet_server.telemetry.replaying import Sample, Stretch, Unit
from fleet_server.telemetry.rules import scaled
from wire_contract.classes import Class
from wire_contract.envelope import encode
from wire_contract.flags import Flag, unpack_flags
from wire_contract.messages import (
    Message,
    SampleBatch,
    SampleBlock,
    SensorDeclaration,
    SlotDeclaration,
)
from wire_contract.properties import Delivery
from wire_contract.topics import Address, class_channel, up_topic

FLUSH_S = 10.0  # the agent's default
_JSON = msgspec.json.Encoder()
ROWS_A_BATCH = 1_000  # of a device that measures each 10 ms; far below what a message may hold

Corrected = Mapping[str, tuple[float | None, str]]
"""channel -> (value in its unit, what corrected it)."""
Correct = Callable[[Unit, Sample], Corrected]


@dataclass(frozen=True, slots=True)
class Line:
    """Text for the output, when it is due, and how many samples it tells of. time_ms: None: at once."""

    text: str
    time_ms: int | None
    samples: int = 0


def _line(told: Mapping[str, object]) -> str:
    return _JSON.encode(told).decode() + "\n"


def iso(time_ms: int) -> str:
    """`2026-11-20T12:00:00.000Z`."""
    at = datetime.fromtimestamp(time_ms / 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"


def _readings(unit: Unit, sample: Sample) -> Iterator[tuple[str, str, float | None, int]]:
    """(channel, unit, value, flag) of each slot that was filled; a missing reading has no value."""
    flags = unpack_flags(sample.flags)
    for slot in unit.slots:
        stored, flag = sample.values[slot.slot], flags[slot.slot]
        if stored is not None:
            value = None if flag == Flag.MISSING else scaled(stored, slot.exponent)
            yield slot.channel, slot.unit, value, flag


def ndjson(of: Stretch, stream: Iterable[Sample], correct: Correct | None = None) -> Iterator[Line]:
    """One object a line: `declaration`s, then `sample`s."""
    units = {unit.id: unit for unit in of.units}
    for unit in of.units:
        yield Line(_declared(unit), None)
    for sample in stream:
        unit = units[sample.unit]
        values: dict[str, float | None] = {}
        flags: dict[str, int] = {}
        for channel, _, value, flag in _readings(unit, sample):
            values[channel], flags[channel] = value, flag
        told: dict[str, object] = {
            "type": "sample",
            "time": iso(sample.time_ms),
            "device": str(unit.address),
            "unit": unit.id,
            "values": values,
            "flags": flags,
        }
        if correct is not None:
            corrected = correct(unit, sample)
            values.update({channel: value for channel, (value, _) in corrected.items()})
            told["corrections"] = {channel: by for channel, (_, by) in corrected.items()}
        yield Line(_line(told), sample.time_ms, 1)


def _declared(unit: Unit) -> str:
    channels = [
        {"slot": s.slot, "channel": s.channel, "unit": s.unit, "exponent": s.exponent} for s in unit.slots
    ]
    told = {
        "type": "declaration",
        "device": str(unit.address),
        "unit": unit.id,
        "kind": unit.kind,
        "serial": unit.serial,
        "site": unit.site,
        "cadence_s": unit.cadence_s,
        "channels": channels,
    }
    return _line(told)


CSV_COLUMNS = ("time", "device", "sensor_unit", "kind", "site", "channel", "value", "unit", "flag")


def comma_separated(of: Stretch, stream: Iterable[Sample], correct: Correct | None = None) -> Iterator[Line]:
    """One reading a line, after a line with the columns' names; what was declared stands in each."""
    units = {unit.id: unit for unit in of.units}
    columns = (*CSV_COLUMNS, "correction") if correct is not None else CSV_COLUMNS
    yield Line(_row(columns), None)
    for sample in stream:
        unit = units[sample.unit]
        corrected = correct(unit, sample) if correct is not None else {}
        fixed = (iso(sample.time_ms), str(unit.address), unit.id, unit.kind, unit.site)
        rows = []
        for channel, measured_in, value, flag in _readings(unit, sample):
            best, by = corrected.get(channel, (value, ""))
            row = (*fixed, channel, best, measured_in, flag)
            rows.append(_row((*row, by) if correct is not None else row))
        yield Line("".join(rows), sample.time_ms, 1)


def _row(cells: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def wire(of: Stretch, stream: Iterable[Sample], flush_s: float = FLUSH_S) -> Iterator[Line]:
    """MQTT messages, one JSON object each (topic, user properties, payload in base64): declarations, then a
    batch a device and flush interval, with an epoch of this replay's own and sequences from 1 on.
    """
    post = _Post(of)
    yield from post.declarations()
    held: dict[int, list[Sample]] = defaultdict(list)
    interval: int | None = None
    for sample in stream:
        now = int(sample.time_ms // (flush_s * 1000))
        if interval is not None and now != interval:
            yield from post.batches(held)
            held.clear()
        interval = now
        device = post.units[sample.unit].device_id
        held[device].append(sample)
        if len(held[device]) >= ROWS_A_BATCH:
            yield from post.batches({device: held.pop(device)})
    yield from post.batches(held)


class _Post:
    """Keys, epochs and sequences of a replay's devices."""

    def __init__(self, of: Stretch) -> None:
        self._of = of
        self.units = {unit.id: unit for unit in of.units}
        self._keys: dict[int, int] = {}
        of_device: dict[int, int] = defaultdict(int)
        for unit in of.units:
            of_device[unit.device_id] += 1
            self._keys[unit.id] = of_device[unit.device_id]
        self._sequences: dict[tuple[Address, Class], int] = defaultdict(int)

    def declarations(self) -> Iterator[Line]:
        begins_ms = int(self._of.begins.timestamp() * 1000)
        for unit in self._of.units:
            slots = tuple(SlotDeclaration(s.channel, s.unit, s.exponent) for s in unit.slots)
            said = SensorDeclaration(self._keys[unit.id], unit.kind, unit.serial, unit.site, slots, begins_ms)
            yield Line(self._message(unit.address, Class.REPLY, said), None)

    def batches(self, held: Mapping[int, list[Sample]]) -> Iterator[Line]:
        for device in sorted(held):
            rows = held[device]
            address = self.units[rows[0].unit].address
            text = self._message(address, Class.LIVE, SampleBatch(tuple(self._blocks(rows))))
            yield Line(text, rows[-1].time_ms, len(rows))

    def _blocks(self, rows: Iterable[Sample]) -> Iterator[SampleBlock]:
        groups: dict[tuple[int, tuple[int, ...]], list[Sample]] = defaultdict(list)
        for row in rows:
            filled = tuple(slot for slot, value in enumerate(row.values) if value is not None)
            groups[row.unit, filled].append(row)
        for (unit, filled), alike in sorted(groups.items()):
            columns = tuple([_filled(row.values[slot]) for row in alike] for slot in filled)
            times = [row.time_ms for row in alike]
            yield SampleBlock(self._keys[unit], filled, times, columns, [row.flags for row in alike])

    def _message(self, address: Address, cls: Class, message: Message) -> str:
        self._sequences[address, cls] += 1
        delivery = Delivery(self._epoch(address), cls, self._sequences[address, cls])
        told = {
            "topic": up_topic(address, class_channel(cls)),
            "properties": delivery.to_user_properties(),
            "payload": base64.b64encode(encode(message)).decode(),
        }
        return _line(told)

    def _epoch(self, address: Address) -> bytes:
        """The same stretch has the same epoch: published twice, it is stored once."""
        named = f"replay {address} {self._of.begins.isoformat()} {self._of.ends.isoformat()}"
        return hashlib.sha256(named.encode()).digest()[:16]


def _filled(value: int | None) -> int:
    assert value is not None, "the slots are those that are filled"
    return value
