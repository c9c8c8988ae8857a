"""Blocks of rows as CSV, Parquet or an Arrow stream: bytes as they are made. pyarrow comes with the first.

Times are UTC, to the millisecond; values are floats in their unit. A reading that the sensor did not give is
null (an empty cell), and its flag says so.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from fleet_server.telemetry.exports.asking import (
    Channel,
    Format,
    Layout,
    Question,
    column_names,
    defended,
)
from fleet_server.telemetry.exports.rows import Block, Cells
from fleet_server.telemetry.rules import Resolution

if TYPE_CHECKING:
    import pyarrow as pa

VALUES_A_GROUP = 2_000_000  # of a Parquet row group, in memory until it is written: 16 MB
MOST_ROWS_A_GROUP = 65_536
ISO_UTC = "%Y-%m-%dT%H:%M:%SZ"  # %S has the milliseconds
# name -> (what it is taken from, what it means)
WORDS: dict[str, tuple[Callable[[Block], str | int], str]] = {
    "tenant": (lambda block: block.source.address.tenant, "the city"),
    "device": (lambda block: block.source.address.device, "the lamppost"),
    "district": (lambda block: block.source.district, "where the lamppost stands now"),
    "site": (lambda block: block.source.site, "where on the lamppost the sensor is"),
    "kind": (lambda block: block.source.kind, "the sensor's model"),
    "serial": (lambda block: block.source.serial, "the sensor's serial number, where it tells one"),
    "sensor_unit": (lambda block: block.source.unit, "the sensor's number in this server"),
}
RAW_PARTS = (("", "value", "reading"), ("_flag", "flag", "quality flag, 0 to 15"))
BUCKET_PARTS = (
    ("", "value", "mean of the n believed readings"),
    ("_min", "low", "least believed reading"),
    ("_max", "high", "greatest believed reading"),
    ("_n", "n", "believed readings"),
    ("_flagged", "flagged", "readings that are suspect, failed or missing"),
)


def parts_of(resolution: Resolution) -> tuple[tuple[str, str, str], ...]:
    """Suffix of the column's name, attribute of Cells, meaning; of each channel."""
    return RAW_PARTS if resolution is Resolution.RAW else BUCKET_PARTS


def schema_of(question: Question, channels: Sequence[Channel], about: Mapping[str, str]) -> pa.Schema:
    """Columns in order, each with its meaning and unit as metadata; `about` is the file's own."""
    import pyarrow as pa

    def field(name: str, kind: pa.DataType, meaning: str, unit: str = "") -> pa.Field:
        told = {"meaning": meaning, **({"unit": unit} if unit else {})}
        return pa.field(name, kind, metadata=told)

    whose = "the sample's instant" if question.resolution is Resolution.RAW else "the bucket's begin"
    fields = [field("time", pa.timestamp("ms", tz="UTC"), whose)]
    for name, (_, meaning) in WORDS.items():
        fields.append(field(name, pa.int32() if name == "sensor_unit" else pa.string(), meaning))
    parts = parts_of(question.resolution)
    if question.layout is Layout.LONG:
        fields += [
            field("channel", pa.string(), "what is measured"),
            field("unit", pa.string(), "of the value"),
        ]
        names = {"": "value" if question.resolution is Resolution.RAW else "mean"}
        fields += [
            field(names.get(suffix, suffix.lstrip("_")), _type(part), meaning)
            for suffix, part, meaning in parts
        ]
    else:
        for channel, name in column_names(channels).items():
            fields += [
                field(name + suffix, _type(part), f"{channel.channel}: {meaning}", _unit(part, channel))
                for suffix, part, meaning in parts
            ]
    return pa.schema(fields, metadata=dict(about))


def _unit(part: str, channel: Channel) -> str:
    return channel.unit if part in ("value", "low", "high") else ""


def _type(part: str) -> pa.DataType:
    import pyarrow as pa

    return {"flag": pa.int8(), "n": pa.int32(), "flagged": pa.int32()}.get(part, pa.float64())


def batch_of(
    question: Question, channels: Sequence[Channel], schema: pa.Schema, block: Block
) -> pa.RecordBatch:
    """The block's rows in the schema's columns."""
    made = _long(question, block) if question.layout is Layout.LONG else _wide(question, channels, block)
    return _batch(schema, block, *made)


def _batch(schema: pa.Schema, block: Block, times: Any, columns: Sequence[tuple[Any, Any]]) -> pa.RecordBatch:
    """columns: values with what of them is null (None: nothing), after the words of the source."""
    import numpy as np
    import pyarrow as pa

    rows = len(times)
    arrays = [pa.array(times, pa.timestamp("ms", tz="UTC"))]
    for name, (said, _) in WORDS.items():
        value = pa.scalar(said(block), schema.field(name).type)
        arrays.append(pa.repeat(value, rows))
    for at, (values, null) in enumerate(columns, start=len(arrays)):
        kind = schema.field(at).type
        if values is None:
            arrays.append(pa.nulls(rows, kind))
        elif values.dtype == np.float64:
            arrays.append(pa.array(values, kind, mask=np.isnan(values) | null))
        else:
            arrays.append(pa.array(values, kind, mask=null))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _wide(question: Question, channels: Sequence[Channel], block: Block) -> tuple[Any, list[tuple[Any, Any]]]:
    columns: list[tuple[Any, Any]] = []
    for channel in channels:
        cells = block.cells.get(channel)
        for _, part, _ in parts_of(question.resolution):
            columns.append((None, None) if cells is None else (getattr(cells, part), ~cells.present))
    return block.times_ms, columns


def _long(question: Question, block: Block) -> tuple[Any, list[tuple[Any, Any]]]:
    """A row a reading that is there, by time, then slot."""
    import numpy as np

    def side_by_side(of: Callable[[Cells], Any]) -> Any:
        return np.stack([of(cells) for cells in block.cells.values()], axis=1).ravel()

    kept = side_by_side(attrgetter("present"))
    rows = len(block.times_ms)
    times = np.repeat(block.times_ms, len(block.cells))[kept]
    nothing = np.zeros(len(times), bool)
    columns = [
        (np.tile(np.array([getattr(each, word) for each in block.cells], object), rows)[kept], nothing)
        for word in ("channel", "unit")
    ]
    for _, part, _ in parts_of(question.resolution):
        columns.append((side_by_side(attrgetter(part))[kept], nothing))
    return times, columns


class _Tap(io.RawIOBase):
    """What a writer writes, to be taken as it comes."""

    def __init__(self) -> None:
        self._taken: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        chunk = bytes(data)
        self._taken.append(chunk)
        self._written += len(chunk)
        return len(chunk)

    def tell(self) -> int:
        return self._written

    def take(self) -> bytes:
        found, self._taken = b"".join(self._taken), []
        return found


def encoded(
    question: Question, channels: Sequence[Channel], about: Mapping[str, str], blocks: Iterable[Block]
) -> Iterator[bytes]:
    """The whole file of readings, in pieces."""
    schema = schema_of(question, channels, about)
    batches = (batch_of(question, channels, schema, block) for block in blocks)
    return written(question.format, schema, batches)


def written(format: Format, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    """The whole file, in pieces. Nothing is kept but a Parquet row group and the index of those before it."""
    writers = {Format.CSV: _csv, Format.PARQUET: _parquet, Format.ARROW: _arrow}
    return (chunk for chunk in writers[format](schema, batches) if chunk)


def _csv(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    import pyarrow as pa
    from pyarrow import csv

    plain = pa.schema([(f.name, pa.string() if _is_time(f.type) else f.type) for f in schema])
    tap = _Tap()
    with csv.CSVWriter(tap, plain) as writer:
        yield tap.take()
        for batch in batches:
            columns = [_plain(column) for column in batch.columns]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=plain))
            yield tap.take()
    yield tap.take()


def _is_time(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_timestamp(kind))


def _plain(column: pa.Array) -> pa.Array:
    """Times as text; text that no spreadsheet takes for a formula: each different word is looked at once."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if _is_time(column.type):
        return pc.strftime(column, format=ISO_UTC)
    if not pa.types.is_string(column.type):
        return column
    words = column.dictionary_encode()
    safe = pa.array([defended(word) for word in words.dictionary.to_pylist()], pa.string())
    return pa.DictionaryArray.from_arrays(words.indices, safe).cast(pa.string())


def _parquet(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    import pyarrow as pa
    from pyarrow import parquet

    most = max(1, min(MOST_ROWS_A_GROUP, VALUES_A_GROUP // len(schema)))
    tap = _Tap()
    held: list[pa.RecordBatch] = []
    with parquet.ParquetWriter(tap, schema, compression="zstd") as writer:
        for batch in batches:
            held.append(batch)
            if sum(each.num_rows for each in held) >= most:
                writer.write_table(pa.Table.from_batches(held, schema), row_group_size=most)
                held.clear()
                yield tap.take()
        if held:
            writer.write_table(pa.Table.from_batches(held, schema), row_group_size=most)
    yield tap.take()


def _arrow(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    import pyarrow as pa

    tap = _Tap()
    with pa.ipc.new_stream(tap, schema) as writer:
        yield tap.take()
        for batch in batches:
            writer.write_batch(batch)
            yield tap.take()
    yield tap.take()
