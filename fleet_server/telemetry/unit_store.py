"""One sensor unit's channels together: who it is, its raw rows, its buckets; session in, plain values out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import text
from sqlmodel import Session

from fleet_server.telemetry.bucket_store import Bucket, Stretch, buckets
from fleet_server.telemetry.rules import scaled
from fleet_server.telemetry.store import FROM, SERIES_COLUMNS, WITHIN, SeriesInfo, series_of
from wire_contract.flags import Flag
from wire_contract.topics import Address

Value = float | None


@dataclass(frozen=True)
class UnitInfo:
    """A sensor unit and its series, by slot."""

    id: int
    device_id: int
    address: Address
    kind: str
    site: str
    serial: str
    series: tuple[SeriesInfo, ...]


@dataclass
class Columns:
    """A channel's values, one a point of the unit's times: None (and n 0) where it has nothing there."""

    series: SeriesInfo
    mean: list[Value] = field(default_factory=list)
    low: list[Value] = field(default_factory=list)
    high: list[Value] = field(default_factory=list)
    n: list[int] = field(default_factory=list)
    flagged: list[int] = field(default_factory=list)

    def add(self, mean: Value, low: Value, high: Value, n: int, flagged: int) -> None:
        self.mean.append(mean)
        self.low.append(low)
        self.high.append(high)
        self.n.append(n)
        self.flagged.append(flagged)

    def fill(self, points: int) -> None:
        """Nothing, up to `points` points in all."""
        while len(self.n) < points:
            self.add(None, None, None, 0, 0)


@dataclass(frozen=True)
class Chart:
    """Ascending times, and every channel's values at them."""

    times: Sequence[datetime]
    channels: Sequence[Columns]


_OF_UNIT = f"u.id = :unit AND {WITHIN}"
_OF_DEVICE = "d.tenant = :tenant AND d.name = :name"


def find_unit(session: Session, unit: int, within: str | None) -> UnitInfo | None:
    """None where there is no such unit in the tenant `within` (None: in any)."""
    found = _units(session, _OF_UNIT, {"unit": unit, "within": within})
    return found[0] if found else None


def units_of(session: Session, address: Address) -> list[UnitInfo]:
    """The lamppost's sensor units, those that were replaced included, by id."""
    return _units(session, _OF_DEVICE, {"tenant": address.tenant, "name": address.device})


def _units(session: Session, condition: str, values: Mapping[str, object]) -> list[UnitInfo]:
    query = text(
        f"SELECT d.id, {SERIES_COLUMNS} FROM {FROM} WHERE {condition}"  # noqa: S608 - constants
        " ORDER BY u.id, s.slot"
    )
    by_unit: dict[int, list[tuple[int, SeriesInfo]]] = {}
    for device_id, *columns in session.execute(query, values):
        one = series_of(*columns)
        by_unit.setdefault(one.sensor_unit, []).append((device_id, one))
    found = []
    for unit, members in by_unit.items():
        device_id, first = members[0]
        series = tuple(each for _, each in members)
        found.append(UnitInfo(unit, device_id, first.address, first.kind, first.site, first.serial, series))
    return found


def raw_chart(session: Session, unit: UnitInfo, begins: datetime, ends: datetime, most: int) -> Chart | None:
    """Its samples from `begins` up to `ends`; None where there are more than `most`."""
    names = ", ".join(f"s{int(series.slot)}" for series in unit.series)
    query = text(
        f"SELECT time, flags, {names} FROM sample"  # noqa: S608 - slots are integers
        " WHERE sensor_unit = :unit AND time >= :begins AND time < :ends ORDER BY time LIMIT :limit"
    )
    values = {"unit": unit.id, "begins": begins, "ends": ends, "limit": most + 1}
    rows = session.execute(query, values).all()
    if len(rows) > most:
        return None
    channels = []
    for place, series in enumerate(unit.series, start=2):
        column = Columns(series)
        for row in rows:
            _add_raw(column, row[place], (row[1] >> (4 * series.slot)) & 15)
        channels.append(column)
    return Chart([row[0] for row in rows], channels)


def _add_raw(column: Columns, stored: int | None, flag: int) -> None:
    if stored is None:
        column.add(None, None, None, 0, 0)
        return
    flagged = Flag(flag).qartod in (3, 4, 9)
    value = None if flag == Flag.MISSING else scaled(stored, column.series.exponent)
    column.add(value, value, value, int(not flagged), int(flagged))


def bucket_chart(session: Session, unit: UnitInfo, stretch: Stretch) -> Chart:
    """Its buckets, put together in the stretch's steps."""
    ids = [series.id for series in unit.series]
    return chart_of(unit.series, buckets(session, unit.id, ids, stretch))


def chart_of(series: Sequence[SeriesInfo], found: Iterable[Bucket]) -> Chart:
    """Buckets by time, as columns over one list of times."""
    times: list[datetime] = []
    columns = {each.id: Columns(each) for each in series}
    adders: dict[int, Callable[[Bucket], None]] = {key: _adder(column) for key, column in columns.items()}
    for bucket in found:
        if not times or times[-1] != bucket.begins:
            times.append(bucket.begins)
        columns[bucket.series_id].fill(len(times) - 1)
        adders[bucket.series_id](bucket)
    for column in columns.values():
        column.fill(len(times))
    return Chart(times, list(columns.values()))


def _adder(column: Columns) -> Callable[[Bucket], None]:
    exponent = column.series.exponent

    def add(bucket: Bucket) -> None:
        mean = bucket.total / bucket.n if bucket.n else None
        column.add(
            scaled(mean, exponent),
            scaled(bucket.low, exponent),
            scaled(bucket.high, exponent),
            bucket.n,
            bucket.flagged,
        )

    return add
