"""What a download is asked to hold, and in which format: decisions without a database.

Wide is the layout unless the other is asked for: a row for each sensor unit and instant, a column a channel.
It is how samples are stored, needs no unit column (units stand in the names), and is a fifth of the size; a
spreadsheet and a data frame take it as it is. Long has one row a reading, for what groups by channel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from air_quality.index import INDICES
from fleet_server.errors import InvalidRequest
from fleet_server.telemetry.rules import Resolution
from fleet_server.telemetry.upkeep.views import column_name
from wire_contract.topics import Address

MOST_CHANNELS = 200  # of a wide file: beyond it long is the better layout


class Format(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


class Subject(StrEnum):
    """What a file is of. Who may have units or indices sees lampposts; the others are of districts."""

    UNITS = "units"  # readings of sensor units
    DISTRICTS = "districts"  # means
    INDEX = "index"  # of lampposts, by the hour
    DISTRICT_INDEX = "district_index"


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
    """What, from `begins` up to `ends`, and in which shape. An empty filter lets everything in."""

    begins: datetime
    ends: datetime
    resolution: Resolution = Resolution.RAW
    format: Format = Format.CSV
    layout: Layout = Layout.WIDE
    devices: tuple[Address, ...] = ()
    districts: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    indices: tuple[str, ...] = ()
    subject: Subject = Subject.UNITS

    @property
    def filters(self) -> dict[str, tuple[object, ...]]:
        """By the parameter's name, what is given."""
        every: dict[str, tuple[object, ...]] = {
            "device": self.devices,
            "district": self.districts,
            "kind": self.kinds,
            "channel": self.channels,
            "index": self.indices,
        }
        return {name: words for name, words in every.items() if words}


# The resolutions that a file of it can have, its usual one first; and the filters.
RESOLUTIONS: Mapping[Subject, tuple[Resolution, ...]] = {
    Subject.UNITS: (Resolution.RAW, Resolution.MINUTE, Resolution.HOUR, Resolution.DAY),
    Subject.DISTRICTS: (Resolution.HOUR, Resolution.DAY),
    Subject.INDEX: (Resolution.HOUR,),
    Subject.DISTRICT_INDEX: (Resolution.HOUR,),
}
FILTERS: Mapping[Subject, tuple[str, ...]] = {
    Subject.UNITS: ("device", "district", "kind", "channel"),
    Subject.DISTRICTS: ("district", "channel"),
    Subject.INDEX: ("device", "district", "index"),
    Subject.DISTRICT_INDEX: ("district", "index"),
}


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
    what = "" if question.subject is Subject.UNITS else f"{question.subject}_"
    span = "_".join(f"{at:%Y%m%dT%H%M%SZ}" for at in (question.begins, question.ends))
    return f"lamppost_{whose}{what}{question.resolution}_{span}.{SUFFIXES[question.format]}"


def check(question: Question) -> None:
    """Raises InvalidRequest."""
    subject, offered = question.subject, RESOLUTIONS[question.subject]
    if question.resolution is Resolution.AUTO:
        raise InvalidRequest("A download has one resolution.", remedy=f"Choose {_or(offered)}.")
    if question.resolution not in offered:
        raise InvalidRequest(
            f"There is no file of {subject} by {question.resolution}.", remedy=f"Choose {_or(offered)}."
        )
    for name in question.filters:
        if name not in FILTERS[subject]:
            raise InvalidRequest(
                f"A file of {subject} is not chosen by {name}.", remedy=f"Choose by {_or(FILTERS[subject])}."
            )
    for index in question.indices:
        if index not in INDICES:
            raise InvalidRequest(
                f"There is no index {index[:64]!r}.", remedy=f"Choose {_or(tuple(INDICES))}."
            )


def _or(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


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
