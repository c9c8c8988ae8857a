"""A download read back by pyarrow or csv equals its rows, whatever these are: no database here."""

from __future__ import annotations

import csv
import io
import math
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from fleet_server.errors import InvalidRequest
from fleet_server.telemetry.exports import asking
from fleet_server.telemetry.exports.asking import Channel, Format, Layout, Question, Source, channels_of
from fleet_server.telemetry.exports.encoding import encoded
from fleet_server.telemetry.exports.rows import Block, Cells
from fleet_server.telemetry.rules import Resolution
from wire_contract.topics import Address

BEGINS = datetime(2026, 11, 19, 12, tzinfo=UTC)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
CHANNELS = (Channel("pm2_5", "ug/m3"), Channel("co2", "ppm"), Channel("pm2_5", "ug/m3", 1))
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=64)


@st.composite
def blocks(draw: st.DrawFn) -> list[Block]:
    found = []
    for unit in range(draw(st.integers(0, 3))):
        channels = draw(st.lists(st.sampled_from(CHANNELS), min_size=1, unique=True))
        slots = {channel: (i, i, -1) for i, channel in enumerate(channels)}
        district, site, kind, serial = draw(st.tuples(WORDS, WORDS, WORDS, WORDS))
        source = Source(unit, Address("city", f"lamp-{unit}"), district, site, kind, serial, slots)
        times = draw(st.lists(st.integers(0, 4_102_444_799_999), min_size=1, max_size=4, unique=True))
        cells = {channel: draw(cells_of(len(times))) for channel in channels}
        found.append(Block(source, np.array(sorted(times), np.int64), cells))
    return found


@st.composite
def cells_of(draw: st.DrawFn, rows: int) -> Cells:
    def column(of: st.SearchStrategy[Any], kind: Any) -> Any:
        return np.array(draw(st.lists(of, min_size=rows, max_size=rows)), kind)

    floats = st.one_of(FLOATS, st.just(math.nan))
    counts = st.integers(0, 2**31 - 1)
    return Cells(
        column(st.booleans(), bool),
        column(floats, float),
        flag=column(st.integers(0, 15), np.int64),
        low=column(floats, float),
        high=column(floats, float),
        n=column(counts, np.int64),
        flagged=column(counts, np.int64),
    )


def read_back(question: Question, raw: bytes) -> list[dict[str, Any]]:
    """Rows by column name, None for what is not there."""
    if question.format is Format.PARQUET:
        return parquet.read_table(io.BytesIO(raw)).to_pylist()
    if question.format is Format.ARROW:
        return pa.ipc.open_stream(raw).read_all().to_pylist()
    lines = csv.reader(io.StringIO(raw.decode(), newline=""))
    names = next(lines)
    return [dict(zip(names, line, strict=True)) for line in lines]


def value(found: Any, text: bool) -> Any:
    """As the format has it: CSV has words, and an empty one for nothing."""
    if not text:
        return found
    return "" if found is None else found


def expected(question: Question, given: list[Block]) -> Iterator[dict[str, Any]]:
    """The rows, written down in the dullest way."""
    channels = channels_of(block.source for block in given)
    names = asking.column_names(channels)
    parts = {"": "value", "_flag": "flag"}
    if question.resolution is not Resolution.RAW:
        parts = {"": "value", "_min": "low", "_max": "high", "_n": "n", "_flagged": "flagged"}
    for block in given:
        source = block.source
        for i, ms in enumerate(block.times_ms):
            row: dict[str, Any] = {
                "time": datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(ms)),
                "tenant": source.address.tenant,
                "device": source.address.device,
                "district": source.district,
                "site": source.site,
                "kind": source.kind,
                "serial": source.serial,
                "sensor_unit": source.unit,
            }

            def cell(channel: Channel, part: str, block: Block = block, i: int = i) -> Any:
                cells = block.cells.get(channel)
                if cells is None or not cells.present[i]:
                    return None
                found = getattr(cells, part)[i].item()
                return None if isinstance(found, float) and math.isnan(found) else found

            if question.layout is Layout.WIDE:
                for channel in channels:
                    row |= {names[channel] + suffix: cell(channel, part) for suffix, part in parts.items()}
                yield row
                continue
            first = "value" if question.resolution is Resolution.RAW else "mean"
            for channel in block.cells:
                if block.cells[channel].present[i]:
                    yield {
                        **row,
                        "channel": channel.channel,
                        "unit": channel.unit,
                        **{s.lstrip("_") or first: cell(channel, part) for s, part in parts.items()},
                    }


def same(got: Any, wanted: Any, text: bool) -> bool:
    if not text or not isinstance(got, str):
        return bool(got == wanted)
    if isinstance(wanted, datetime):
        return got == f"{wanted:%Y-%m-%dT%H:%M:%S}.{wanted.microsecond // 1000:03}Z"
    if isinstance(wanted, str):
        return got == asking.defended(wanted)
    return got == "" if wanted is None else float(got) == wanted


@pytest.mark.parametrize("format", Format)
@pytest.mark.parametrize("layout", Layout)
@settings(max_examples=40, deadline=None)
@given(given_blocks=blocks(), resolution=st.sampled_from([Resolution.RAW, Resolution.HOUR]))
def test_what_is_written_is_read_back(
    format: Format, layout: Layout, given_blocks: list[Block], resolution: Resolution
) -> None:
    question = Question(BEGINS, BEGINS + timedelta(days=1), resolution, format, layout)
    channels = channels_of(block.source for block in given_blocks)
    raw = b"".join(encoded(question, channels, {"lamppost.licence": "CC0"}, given_blocks))
    found = read_back(question, raw)
    wanted = list(expected(question, given_blocks))
    assert len(found) == len(wanted)
    for got, want in zip(found, wanted, strict=True):
        assert set(got) == set(want)
        wrong = {k: (got[k], want[k]) for k in want if not same(got[k], want[k], format is Format.CSV)}
        assert wrong == {}


def sample_block(rows: int, unit: int = 1) -> Block:
    source = Source(
        unit, Address("city", "lamp"), "Harbour", "top", "pms5003", "7", {CHANNELS[0]: (0, 1, -1)}
    )
    values = np.arange(rows) / 10
    cells = Cells(np.ones(rows, bool), values, flag=np.ones(rows, np.int64))
    return Block(source, np.arange(rows, dtype=np.int64) * 1000, {CHANNELS[0]: cells})


def test_parquet_says_what_it_is() -> None:
    question = Question(BEGINS, BEGINS + timedelta(days=1), format=Format.PARQUET)
    given_blocks = [sample_block(40_000, unit) for unit in range(4)]
    raw = b"".join(encoded(question, [CHANNELS[0]], {"lamppost.licence": "CC0"}, given_blocks))
    file = parquet.ParquetFile(io.BytesIO(raw))
    assert file.schema_arrow.metadata[b"lamppost.licence"] == b"CC0"
    assert file.schema_arrow.field("pm2_5_ug_m3").metadata[b"unit"] == b"ug/m3"
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [
        65536,
        14464,
        65536,
        14464,
    ]
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize("format", [Format.PARQUET, Format.ARROW])
def test_a_file_that_was_broken_off_is_no_file(format: Format) -> None:
    """Whatever a database error leaves of it, nobody takes it for the whole."""

    class Broken(Exception):
        pass

    def broken() -> Iterator[Block]:
        yield sample_block(70_000)
        raise Broken

    question = Question(BEGINS, BEGINS + timedelta(days=1), format=format)
    taken: list[bytes] = []
    with pytest.raises(Broken):
        taken.extend(encoded(question, [CHANNELS[0]], {}, broken()))
    raw = b"".join(taken)
    assert len(raw) > 1_000
    if format is Format.PARQUET:
        with pytest.raises(pa.ArrowInvalid):
            parquet.read_table(io.BytesIO(raw))
    else:
        assert not raw.endswith(b"\xff\xff\xff\xff\0\0\0\0")  # the stream's end mark


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\uff1d1", "'\uff1d1"),
        ("north side", "north side"),
        ("", ""),
        ("a=b", "a=b"),
    ],
)
def test_no_cell_is_a_formula(cell: str, shown: str) -> None:
    assert asking.defended(cell) == shown


@pytest.mark.parametrize(
    ("given_format", "accept", "chosen"),
    [
        (Format.ARROW, "text/csv", Format.ARROW),
        (None, "", Format.CSV),
        (None, "*/*", Format.CSV),
        (None, "text/*", Format.CSV),
        (None, "application/vnd.apache.parquet", Format.PARQUET),
        (None, "text/csv;q=0.1, application/vnd.apache.arrow.stream", Format.ARROW),
        (None, "TEXT/CSV ; header=present", Format.CSV),
        (None, "application/json", None),
        (None, "text/csv;q=0", None),
        (None, ";;;,,,=q=", None),
        (None, "text/csv;q=nonsense", Format.CSV),
        (None, "text/csv;q=1e999", Format.CSV),
    ],
)
def test_the_format_is_negotiated(given_format: Format | None, accept: str, chosen: Format | None) -> None:
    assert asking.chosen_format(given_format, accept) is chosen


def test_names_stay_apart() -> None:
    given_channels = [Channel("a", "x/y"), Channel("a", "x y"), Channel("a", "x y", 1), Channel("a", "")]
    names = asking.column_names(given_channels)
    assert list(names.values()) == ["a_x_y", "a_x_y_2", "a_x_y_3", "a"]


def test_a_file_has_bounds() -> None:
    many = [Channel(f"c{i}", "") for i in range(asking.MOST_CHANNELS + 1)]
    with pytest.raises(InvalidRequest, match="layout=long"):
        asking.check_width(Question(BEGINS, BEGINS), many)
    asking.check_width(Question(BEGINS, BEGINS, layout=Layout.LONG), many)
    with pytest.raises(InvalidRequest):
        asking.check(Question(BEGINS, BEGINS, Resolution.AUTO))


def test_the_server_starts_without_pyarrow() -> None:
    program = "import sys, fleet_server.api; assert 'pyarrow' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
