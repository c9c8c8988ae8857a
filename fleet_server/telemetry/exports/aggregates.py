"""What a download holds besides readings: means of districts, indices of lampposts and of districts.

One table each, in the order of its key, as it is stored: columns with their meaning, and the query.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleet_server.access.rules import Action
from fleet_server.telemetry.exports import rows
from fleet_server.telemetry.exports.asking import Question, Subject
from fleet_server.telemetry.rules import SECONDS_OF, Resolution
from fleet_server.telemetry.steps import floored

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Column:
    """sql: what it is; kind: `time` (Unix milliseconds), `text`, `int` or `float`."""

    name: str
    sql: str
    kind: str
    meaning: str
    unit: str = ""


@dataclass(frozen=True)
class Aggregate:
    """action: who may have it. source: FROM and WHERE; its table's row is `x`."""

    action: Action
    content: str
    columns: tuple[Column, ...]
    source: str
    order: str


_BUCKET = Column("time", "x.bucket", "time", "the bucket's begin")
_HOUR = Column("time", "x.time", "time", "the hour's begin")
_DISTRICT = (
    Column("tenant", "x.tenant", "text", "the city"),
    Column("district", "x.district", "text", "the district"),
)
_INDEX = (
    Column("index_id", "x.index_id", "text", "which index, with its version"),
    Column("value", "x.value", "int", "the index"),
    Column("level", "x.level", "int", "1 (best) to 6"),
    Column("category", "x.category", "text", "the level in the index's words"),
    Column("driver", "x.driver", "text", "the pollutant that decided"),
)
_MINE = "(%(within)s::text IS NULL OR {whose}.tenant = %(within)s)"
_SPAN = "x.{time} >= %(begins)s AND x.{time} < %(ends)s"
_IN_DISTRICTS = "(%(districts)s::text[] = '{{}}' OR {whose}.district = ANY(%(districts)s))"
_OF_INDICES = "(%(indices)s::text[] = '{}' OR x.index_id = ANY(%(indices)s))"
_OF_DISTRICTS = f"{_MINE.format(whose='x')} AND {_IN_DISTRICTS.format(whose='x')}"
AGGREGATES: Mapping[Subject, Aggregate] = {
    Subject.DISTRICTS: Aggregate(
        Action.AGGREGATES_READ,
        "means of districts, of the lampposts' own means",
        (
            _BUCKET,
            *_DISTRICT,
            Column("channel", "x.channel", "text", "what is measured"),
            Column("unit", "x.unit", "text", "of mean, min and max"),
            Column("lampposts", "x.lampposts", "int", "that measured it"),
            Column("n", "x.n", "int", "believed readings"),
            Column("mean", "x.mean", "float", "mean of the lampposts' own means"),
            Column("min", "x.low", "float", "least believed reading"),
            Column("max", "x.high", "float", "greatest believed reading"),
        ),
        f"{{table}} x WHERE {_SPAN.format(time='bucket')} AND {_OF_DISTRICTS}"
        " AND (%(channels)s::text[] = '{}' OR x.channel = ANY(%(channels)s))",
        "x.tenant, x.district, x.channel, x.unit, x.bucket",
    ),
    Subject.INDEX: Aggregate(
        Action.AIR_READ,
        "indices of lampposts by the hour",
        (
            _HOUR,
            Column("tenant", "d.tenant", "text", "the city"),
            Column("device", "d.name", "text", "the lamppost"),
            Column("district", "d.district", "text", "where the lamppost stands now"),
            *_INDEX,
            Column(
                "concentration", "x.concentration", "float", "of the driver, as the table was asked", "ug/m3"
            ),
            Column("correction", "x.correction", "text", '"calibration" or a correction\'s id'),
            Column("through", "x.through", "time", "end of the newest minute that went in"),
        ),
        f"air_index x JOIN device d ON d.id = x.device_id WHERE {_SPAN.format(time='time')}"
        f" AND {_MINE.format(whose='d')} AND {_IN_DISTRICTS.format(whose='d')} AND {_OF_INDICES}"
        " AND (%(devices)s::text[] = '{}' OR d.tenant || '/' || d.name = ANY(%(devices)s))",
        "x.device_id, x.time, x.index_id",
    ),
    Subject.DISTRICT_INDEX: Aggregate(
        Action.AGGREGATES_READ,
        "indices of districts by the hour: the median of their lampposts'",
        (
            _HOUR,
            *_DISTRICT,
            *_INDEX,
            Column("lampposts", "x.n", "int", "that have an index"),
        ),
        f"district_index x WHERE {_SPAN.format(time='time')} AND {_OF_DISTRICTS} AND {_OF_INDICES}",
        "x.tenant, x.district, x.time, x.index_id",
    ),
}
_TABLES = {Resolution.HOUR: "district_hour", Resolution.DAY: "district_day"}


def _source(question: Question) -> str:
    return AGGREGATES[question.subject].source.replace("{table}", _TABLES[question.resolution])


def values(question: Question, within: str | None) -> dict[str, Any]:
    """The query's parameters: whole buckets, as they overlap the span."""
    step_s = SECONDS_OF[question.resolution]
    return {
        "begins": floored(question.begins, step_s),
        "ends": floored(question.ends, step_s, up=True),
        "devices": [str(address) for address in question.devices],
        "districts": list(question.districts),
        "channels": list(question.channels),
        "indices": list(question.indices),
        "within": within,
    }


def more_than(connection: rows.Connection, question: Question, within: str | None, most: int) -> bool:
    """Are there more rows? Counts no further than that."""
    query = (
        f"SELECT count(*) > %(most)s FROM (SELECT FROM {_source(question)}"  # noqa: S608 - constants
        " LIMIT %(most)s + 1) counted"
    )
    row = connection.execute(query.encode(), {**values(question, within), "most": most}).fetchone()
    return row is not None and bool(row[0])


def schema_of(question: Question, about: Mapping[str, str]) -> pa.Schema:
    """Columns in order, each with its meaning and unit as metadata; `about` is the file's own."""
    import pyarrow as pa

    kinds = {
        "time": pa.timestamp("ms", tz="UTC"),
        "text": pa.string(),
        "int": pa.int64(),
        "float": pa.float64(),
    }
    return pa.schema(
        [
            pa.field(
                each.name,
                kinds[each.kind],
                metadata={"meaning": each.meaning, **({"unit": each.unit} if each.unit else {})},
            )
            for each in AGGREGATES[question.subject].columns
        ],
        metadata=dict(about),
    )


def batches(
    connection: rows.Connection, question: Question, within: str | None, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Every row, at most `rows.ROWS_A_BLOCK` at a time."""
    found = AGGREGATES[question.subject]
    columns = ", ".join(_selected(each) for each in found.columns)
    query = f"SELECT {columns} FROM {_source(question)} ORDER BY {found.order}"  # noqa: S608 - constants
    with connection.cursor(name="download", binary=True) as cursor:
        cursor.execute(query.encode(), values(question, within))
        while block := cursor.fetchmany(rows.ROWS_A_BLOCK):
            yield _batch(schema, block)


def _selected(column: Column) -> str:
    if column.kind == "time":
        return f"(extract(epoch FROM {column.sql}) * 1000)::bigint"
    return f"{column.sql}::bigint" if column.kind == "int" else column.sql


def _batch(schema: pa.Schema, block: Sequence[tuple[Any, ...]]) -> pa.RecordBatch:
    import pyarrow as pa

    columns = zip(*block, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
