"""The functions of $filter and $orderby: what each takes and gives, and its SQL (OGC 18-088, table 9.3.3.5).

A template's `{0}`, `{1}` are filled with compiled SQL, never with a value: values are parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fleet_server.sensorthings import geometry
from fleet_server.sensorthings.entities import Kind


@dataclass(frozen=True)
class Function:
    takes: tuple[Kind, ...]
    gives: Kind
    sql: str


_T, _N, _B, _I = Kind.TEXT, Kind.NUMBER, Kind.BOOLEAN, Kind.INSTANT
_UTC = "({0} AT TIME ZONE 'UTC')"
_INDEX = "CAST(least(greatest({1}, 0), 1000000) AS integer)"


def _part(name: str) -> Function:
    return Function((_I,), _N, f"CAST(floor(extract({name} FROM {_UTC})) AS float8)")


# By name and number of arguments. A time is UTC, whatever zone it was written in.
FUNCTIONS: Mapping[tuple[str, int], Function] = MappingProxyType(
    {
        ("substringof", 2): Function((_T, _T), _B, "(strpos({1}, {0}) > 0)"),  # OData 3: the part comes first
        ("startswith", 2): Function((_T, _T), _B, "starts_with({0}, {1})"),
        ("endswith", 2): Function((_T, _T), _B, "(right({0}, length({1})) = {1})"),
        ("length", 1): Function((_T,), _N, "CAST(length({0}) AS float8)"),
        ("indexof", 2): Function((_T, _T), _N, "CAST(strpos({0}, {1}) - 1 AS float8)"),
        ("substring", 2): Function((_T, _N), _T, f"substr({{0}}, {_INDEX} + 1)"),
        ("substring", 3): Function(
            (_T, _N, _N), _T, f"substr({{0}}, {_INDEX} + 1, {_INDEX.replace('{1}', '{2}')})"
        ),
        ("tolower", 1): Function((_T,), _T, "lower({0})"),
        ("toupper", 1): Function((_T,), _T, "upper({0})"),
        ("trim", 1): Function((_T,), _T, "btrim({0})"),
        ("concat", 2): Function((_T, _T), _T, "({0} || {1})"),
        ("year", 1): _part("year"),
        ("month", 1): _part("month"),
        ("day", 1): _part("day"),
        ("hour", 1): _part("hour"),
        ("minute", 1): _part("minute"),
        ("second", 1): _part("second"),
        ("fractionalseconds", 1): Function(
            (_I,), _N, f"CAST(extract(second FROM {_UTC}) - floor(extract(second FROM {_UTC})) AS float8)"
        ),
        ("date", 1): Function((_I,), Kind.DATE, f"CAST({_UTC} AS date)"),
        ("time", 1): Function((_I,), Kind.TIME, f"CAST({_UTC} AS time)"),
        ("totaloffsetminutes", 1): Function(
            (_I,), _N, "CASE WHEN {0} IS NOT NULL THEN CAST(0 AS float8) END"
        ),
        ("mindatetime", 0): Function((), _I, "CAST('-infinity' AS timestamptz)"),
        ("maxdatetime", 0): Function((), _I, "CAST('infinity' AS timestamptz)"),
        # half away from zero, as OData says; round() of a double is half to even
        ("round", 1): Function((_N,), _N, "CAST(round(CAST({0} AS numeric)) AS float8)"),
        ("floor", 1): Function((_N,), _N, "floor({0})"),
        ("ceiling", 1): Function((_N,), _N, "ceil({0})"),
    }
)
# Asked of places in Python: PostgreSQL knows no geometry without an extension. What each gives, and takes.
_G = Kind.GEOMETRY
SPATIAL: Mapping[str, tuple[Kind, tuple[Kind, ...]]] = MappingProxyType(
    {name: (_N if name == "geo.distance" else _B, (_G, _G)) for name in geometry.RELATIONS}
    | {geometry.RELATE: (_B, (_G, _G, _T)), geometry.LENGTH: (_N, (_G,))}
)
