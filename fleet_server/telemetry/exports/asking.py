"""What a download is asked to hold, and in which format: decisions without a database.

Wide is the layout unless the other is asked for: a row for each sensor unit and instant, a column a channel.
It is how samples are stored, needs no unit column (units stand in the names), and is a fifth of the size; a
spreadsheet and a data frame take it as it is. Long has one row a reading, for what groups by channel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from fleet_server.errors import InvalidRequest
from fleet_server.telemetry.rules import Resolution
from fleet_server.telemetry.upkeep.views import column_name
from wire_contract.topics import Address

MOST_CHANNELS = 200  # of a wide file: beyond it long is the better layout


class Format(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


class Layout(StrEnum):
    WIDE = "wide"
    LONG = "long"


MEDIA_TYPES = {
    Format.CSV: "text/csv; charset=utf-8; header=present",  # RFC 4180, section 3
    Format.PARQUET: "application/vnd.apache.parquet",
    Format.ARROW: "application/vnd.apache.arrow.stream",
}
SUFFIXES = {Format.CSV: "csv", Format.PARQUET: "parquet", Format.ARROW: "arrows"}


@dataclass(frozen=True)
class Question:
    """Which readings, from `begins` up to `ends`, and in which shape. An empty filter lets everything in."""

    begins: datetime
    ends: datetime
    resolution: Resolution = Resolution.RAW
    format: Format = Format.CSV
    layout: Layout = Layout.WIDE
    devices: tuple[Address, ...] = ()
    districts: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, order=True)
class Channel:
    """A column of a wide file. `nth`: 0, unless a sensor unit has the same channel in the same unit twice."""

    channel: str
    unit: str
    nth: int = 0


@dataclass(frozen=True)
class Source:
    """A sensor unit that the download reads: its words, and where each channel lies in it.

    slots: channel -> (slot, series id, exponent).
    """

    unit: int
    address: Address
    district: str
    site: str
    kind: str
    serial: str
    slots: dict[Channel, tuple[int, int, int]]


def channels_of(sources: Iterable[Source]) -> list[Channel]:
    """Every channel of any source, in order."""
    return sorted({channel for source in sources for channel in source.slots})


def column_names(channels: Sequence[Channel]) -> dict[Channel, str]:
    """A name of its own for each channel, with its unit: pm2_5 in ug/m3 -> pm2_5_ug_m3."""
    names: dict[Channel, str] = {}
    taken: set[str] = set()
    for channel in channels:
        plain = column_name(channel.channel, channel.unit)
        name, number = plain, 1
        while name in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name)
        names[channel] = name
    return names


def chosen_format(given: Format | None, accept: str) -> Format | None:
    """By the parameter, else by the Accept header (RFC 9110, section 12.5.1); None where it allows none."""
    if given is not None:
        return given
    if not accept.strip():
        return Format.CSV
    best: tuple[float, int, Format] | None = None
    for order, part in enumerate(accept.split(",")[:32]):
        words = [word.strip().lower() for word in part.split(";")]
        weight = _weight(words[1:])
        for offered in Format:
            kind = MEDIA_TYPES[offered].split(";")[0]
            if words[0] in (kind, "*/*", f"{kind.split('/')[0]}/*") and weight > 0:
                candidate = (weight, -order, offered)
                if best is None or candidate[:2] > best[:2]:
                    best = candidate
    return None if best is None else best[2]


def _weight(parameters: Iterable[str]) -> float:
    """A media range's q, 1 where it has none or a broken one."""
    for parameter in parameters:
        if re.fullmatch(r"q=(0(\.\d{0,3})?|1(\.0{0,3})?)", parameter):
            return float(parameter[2:])
    return 1.0


def file_name(question: Question) -> str:
    """ASCII without a blank: which lamppost where it is one, which resolution, from when to when."""
    whose = f"{str(question.devices[0]).replace('/', '-')}_" if len(question.devices) == 1 else ""
    span = "_".join(f"{at:%Y%m%dT%H%M%SZ}" for at in (question.begins, question.ends))
    return f"lamppost_{whose}{question.resolution}_{span}.{SUFFIXES[question.format]}"


def check(question: Question) -> None:
    """Raises InvalidRequest."""
    if question.resolution is Resolution.AUTO:
        raise InvalidRequest("A download has one resolution.", remedy="Choose raw, 1m, 1h or 1d.")


def check_width(question: Question, channels: Sequence[Channel]) -> None:
    """Raises InvalidRequest for a file that would be too wide."""
    if question.layout is Layout.WIDE and len(channels) > MOST_CHANNELS:
        raise InvalidRequest(
            f"{len(channels)} channels do not fit side by side.",
            remedy=f"Ask for layout=long, or for at most {MOST_CHANNELS} channels.",
        )


_FORMULA = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def defended(cell: str) -> str:
    """Text that no spreadsheet takes for a formula (OWASP, CSV Injection): an apostrophe goes before it."""
    return f"'{cell}" if _FORMULA.match(cell) else cell
