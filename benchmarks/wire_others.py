"""The same batch as others send it: JSON rows, SenML in CBOR (RFC 8428), protobuf as Sparkplug B lays it out.

Values are integers at the sensor's resolution, as in ours, and every reading has its time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import cbor2
import msgspec
import zstandard
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from wire_contract.messages import SampleBatch

ZSTD_LEVEL = 3
# RFC 8428 section 6: base name -2, base time -3; name 0, value 2, time 6.
SENML_BASE_NAME, SENML_BASE_TIME, SENML_NAME, SENML_VALUE, SENML_TIME = -2, -3, 0, 2, 6
_FIELD = descriptor_pb2.FieldDescriptorProto


def json_rows(batch: SampleBatch) -> bytes:
    """An object a row, each channel by its name."""
    rows = []
    for block in batch.blocks:
        names = [f"slot_{slot}" for slot in block.slots]
        for time_ms, *values in zip(block.times_ms, *block.columns, strict=True):
            rows.append({"unit": block.unit, "time": time_ms, **dict(zip(names, values, strict=True))})
    return msgspec.json.encode(rows)


def senml_cbor(batch: SampleBatch) -> bytes:
    """A record a reading; the base name and the base time stand in the first."""
    records: list[dict[int, Any]] = []
    for block in batch.blocks:
        base_ms = block.times_ms[0]
        for time_ms, *values in zip(block.times_ms, *block.columns, strict=True):
            for slot, value in zip(block.slots, values, strict=True):
                record: dict[int, Any] = {SENML_NAME: f"s{slot}", SENML_VALUE: value}
                if time_ms != base_ms:
                    record[SENML_TIME] = (time_ms - base_ms) / 1000
                records.append(record)
        first = records[-len(block.times_ms) * len(block.slots)]
        first |= {SENML_BASE_NAME: f"urn:dev:{block.unit}:", SENML_BASE_TIME: base_ms / 1000}
    return cbor2.dumps(records)


def protobuf(batch: SampleBatch) -> bytes:
    """A metric a reading: alias, time, value; no names, as after a Sparkplug birth certificate."""
    payload = _payload()()
    for block in batch.blocks:
        for time_ms, *values in zip(block.times_ms, *block.columns, strict=True):
            for slot, value in zip(block.slots, values, strict=True):
                payload.metrics.add(alias=16 * block.unit + slot, timestamp=time_ms, int_value=value)
    encoded: bytes = payload.SerializeToString()
    return encoded


def smaller(encoded: bytes) -> bytes:
    """With zstd, as ours."""
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(encoded)


OTHERS: dict[str, Callable[[SampleBatch], bytes]] = {
    "JSON rows": json_rows,
    "SenML-CBOR": senml_cbor,
    "protobuf (Sparkplug)": protobuf,
}


@cache
def _payload() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="bench.proto", package="bench", syntax="proto3")
    metric = file.message_type.add(name="Metric")
    for number, (name, kind) in enumerate(
        {
            "alias": _FIELD.TYPE_UINT64,
            "timestamp": _FIELD.TYPE_UINT64,
            "int_value": _FIELD.TYPE_UINT32,
        }.items()
    ):
        metric.field.add(name=name, number=number + 2, type=kind, label=_FIELD.LABEL_OPTIONAL)
    payload = file.message_type.add(name="Payload")
    payload.field.add(
        name="metrics",
        number=2,
        type=_FIELD.TYPE_MESSAGE,
        type_name=".bench.Metric",
        label=_FIELD.LABEL_REPEATED,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("bench.Payload"))
