"""Expressions as parametrized SQL, through the vocabulary of `entities.py` and `functions.py`.

No value of a request becomes SQL text: each is a bound parameter with a cast to its kind. A path over
navigation properties makes its comparison an EXISTS: over one to many it asks for any. Every comparison asks
for itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

from fleet_server.sensorthings.entities import BY_NAME, Entity, Kind, Property
from fleet_server.sensorthings.errors import bad
from fleet_server.sensorthings.functions import FUNCTIONS, SPATIAL
from fleet_server.sensorthings.geometry import LENGTH, Geometry, Line, Point, Polygon, answers, length
from fleet_server.sensorthings.relations import observations, observations_of_feature
from fleet_server.sensorthings.syntax import (
    Arithmetic,
    Call,
    Comparison,
    Literal,
    Logic,
    Negative,
    Node,
    Not,
    Order,
    Path,
    Value,
    children,
)

_SYMBOLS = {"eq": "=", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_SQL_TYPES = {
    Kind.NUMBER: "float8",
    Kind.TEXT: "text",
    Kind.BOOLEAN: "boolean",
    Kind.INSTANT: "timestamptz",
    Kind.DATE: "date",
    Kind.TIME: "time",
    Kind.DURATION: "interval",
}
_ARITHMETIC = {
    "add": "({0} + {1})",
    "sub": "({0} - {1})",
    "mul": "({0} * {1})",
    "div": "({0} / nullif({1}, 0))",  # nothing is the quotient of nothing: no row, no error
    "mod": "CAST(mod(CAST({0} AS numeric), nullif(CAST({1} AS numeric), 0)) AS float8)",
}


@dataclass(frozen=True)
class Sql:
    text: str
    kind: Kind
    geometry: Geometry | None = None  # of a literal


@dataclass
class Scope:
    """Where names are looked up: an entity, the alias of its row, and what paths have joined so far."""

    entity: Entity
    alias: str
    joined: dict[tuple[str, ...], str] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)

    def wrapped(self, select: str, condition: str = "") -> str:
        where = " AND ".join([*self.conditions, *([condition] if condition else [])])
        return f"(SELECT {select} FROM {' CROSS JOIN '.join(self.tables)} WHERE {where})"  # noqa: S608


class Compiler:
    """Of one request: `parameters` grows with each value.

    places: as the asker sees them, by their id or by what a relation calls several, as PostgreSQL writes it.
    """

    def __init__(self, option: str, now: datetime, places: Mapping[str, Geometry], prefix: str = "v") -> None:
        self.parameters: dict[str, Any] = {}
        self._option, self._now, self._places, self._prefix = option, now, places, prefix
        self._aliases = 0

    def condition(self, entity: Entity, alias: str, node: Node) -> str:
        """`node` as a condition on the row `alias` of `entity`. Raises BadQuery."""
        match node:
            case Logic(operator, terms):
                joined = f" {operator.upper()} ".join(self.condition(entity, alias, term) for term in terms)
                return f"({joined})"
            case Not(term):
                return f"(NOT {self.condition(entity, alias, term)})"
        scope = Scope(entity, alias)
        made = self._value(node, scope)
        if made.kind is not Kind.BOOLEAN:
            raise bad(self._option, node.at, f"this is {made.kind}, where a condition was expected")
        return f"EXISTS {scope.wrapped('1', made.text)}" if scope.tables else made.text

    def order(self, entity: Entity, alias: str, order: Order) -> str:
        """What to sort by, without its direction."""
        scope = Scope(entity, alias)
        made = self._value(order.node, scope, single=True)
        if made.kind in (Kind.GEOMETRY, Kind.NULL):
            raise bad(self._option, order.node.at, f"{made.kind} has no order")
        return scope.wrapped(made.text) if scope.tables else made.text

    def bind(self, value: object, sql_type: str) -> str:
        name = f"{self._prefix}{len(self.parameters)}"
        self.parameters[name] = value
        return f"CAST(:{name} AS {sql_type})"

    def _value(self, node: Node, scope: Scope, *, single: bool = False) -> Sql:
        match node:
            case Literal(value):
                return self._literal(value)
            case Path():
                return self._path(node, scope, single=single)
            case Negative(term):
                inner = self._need(term, scope, Kind.NUMBER, single)
                return Sql(f"(- {inner.text})", Kind.NUMBER)
            case Arithmetic():
                return self._arithmetic(node, scope, single)
            case Comparison():
                return self._comparison(node, scope, single)
            case Call():
                return self._call(node, scope, single)
            case Not() | Logic():
                raise bad(self._option, node.at, "a condition stands where a value was expected")

    def _need(self, node: Node, scope: Scope, kind: Kind, single: bool) -> Sql:
        return self._as(kind, self._value(node, scope, single=single), node)

    def _as(self, kind: Kind, made: Sql, node: Node) -> Sql:
        """`made` as what is needed. Raises BadQuery."""
        if made.kind is kind:
            return made
        if made.kind is Kind.NULL and kind in _SQL_TYPES:
            return Sql(f"CAST(NULL AS {_SQL_TYPES[kind]})", kind)
        if made.kind is Kind.DATE and kind is Kind.INSTANT:
            return Sql(f"(CAST({made.text} AS timestamp) AT TIME ZONE 'UTC')", kind)
        raise bad(self._option, node.at, f"this is {made.kind}, where {kind} was expected")

    def _literal(self, value: Value) -> Sql:
        kinds: list[tuple[type | tuple[type, ...], Kind]] = [
            (bool, Kind.BOOLEAN),
            (float, Kind.NUMBER),
            (str, Kind.TEXT),
            (datetime, Kind.INSTANT),
            (date, Kind.DATE),
            (time, Kind.TIME),
            (timedelta, Kind.DURATION),
        ]
        if value is None:
            return Sql("NULL", Kind.NULL)
        if isinstance(value, Point | Line | Polygon):
            return Sql("", Kind.GEOMETRY, value)
        kind = next(kind for type_, kind in kinds if isinstance(value, type_))
        return Sql(self.bind(value, _SQL_TYPES[kind]), kind)

    # names

    def _path(self, path: Path, scope: Scope, *, single: bool) -> Sql:
        entity, alias, walked = scope.entity, scope.alias, 0
        while walked < len(path.names) and path.names[walked] in entity.navigations:
            navigation = entity.navigations[path.names[walked]]
            if navigation.many and single:
                raise bad(self._option, path.at, f"{path} is of many: nothing is sorted by that")
            walked += 1
            alias = self._join(path.names[:walked], entity, alias, scope)
            entity = BY_NAME[navigation.target]
        name = "/".join(path.names[walked:])
        found = entity.properties.get(name)
        if found is None:
            raise self._unknown(path, entity, name)
        return _column(alias, found)

    def _join(self, names: tuple[str, ...], entity: Entity, alias: str, scope: Scope) -> str:
        if names in scope.joined:
            return scope.joined[names]
        navigation = entity.navigations[names[-1]]
        target = BY_NAME[navigation.target]
        self._aliases += 1
        made = f"{self._prefix}t{self._aliases}"
        if target.relation:
            scope.tables.append(f"({target.relation}) {made}")
        else:
            of_one = observations if entity.name == "Datastream" else observations_of_feature
            scope.tables.append(f"LATERAL ({of_one(alias)}) {made}")
        scope.conditions.append(f"{made}.{navigation.theirs} = {alias}.{navigation.ours}")
        scope.joined[names] = made
        return made

    def _unknown(self, path: Path, entity: Entity, name: str) -> Exception:
        known = [*(key for key in entity.properties if not key.startswith("@")), *entity.navigations]
        what = f"{entity.name} has no {name!r:.60} that can be asked for" if name else f"{path} is no value"
        return bad(self._option, path.at, what, f"There are {', '.join(known)}.")

    # operators and functions

    def _arithmetic(self, node: Arithmetic, scope: Scope, single: bool) -> Sql:
        left = self._value(node.left, scope, single=single)
        right = self._value(node.right, scope, single=single)
        kind, other = Kind.NUMBER, Kind.NUMBER
        if left.kind in (Kind.INSTANT, Kind.DATE) and node.operator in ("add", "sub"):
            kind, other = Kind.INSTANT, Kind.DURATION
        left, right = self._as(kind, left, node.left), self._as(other, right, node.right)
        return Sql(_ARITHMETIC[node.operator].format(left.text, right.text), kind)

    def _comparison(self, node: Comparison, scope: Scope, single: bool) -> Sql:
        left = self._value(node.left, scope, single=single)
        right = self._value(node.right, scope, single=single)
        if {left.kind, right.kind} == {Kind.INSTANT, Kind.DATE}:
            left = self._as(Kind.INSTANT, left, node.left)
            right = self._as(Kind.INSTANT, right, node.right)
        if Kind.NULL in (left.kind, right.kind):
            return self._with_null(node, left, right)
        if left.kind is not right.kind or left.kind is Kind.GEOMETRY:
            detail = f"{left.kind} is compared with {right.kind}"
            raise bad(self._option, node.at, detail, "Texts are in single quotes, numbers and times are not.")
        if node.operator == "ne":
            return Sql(f"({left.text} IS DISTINCT FROM {right.text})", Kind.BOOLEAN)
        return Sql(f"({left.text} {_SYMBOLS[node.operator]} {right.text})", Kind.BOOLEAN)

    def _with_null(self, node: Comparison, left: Sql, right: Sql) -> Sql:
        if node.operator not in ("eq", "ne"):
            raise bad(self._option, node.at, "null is neither more nor less than anything: use eq or ne")
        if Kind.GEOMETRY in (left.kind, right.kind):
            raise bad(self._option, node.at, "a geometry is not compared with null")
        value = left if right.kind is Kind.NULL else right
        return Sql(f"({value.text} IS {'' if node.operator == 'eq' else 'NOT '}NULL)", Kind.BOOLEAN)

    def _call(self, node: Call, scope: Scope, single: bool) -> Sql:
        name = node.function
        if name in SPATIAL:
            return self._spatial(node, scope, single)
        if (name, len(node.arguments)) == ("now", 0):
            return Sql(self.bind(self._now, "timestamptz"), Kind.INSTANT)
        function = FUNCTIONS.get((name, len(node.arguments)))
        if function is None:
            raise bad(self._option, node.at, self._no_function(node))
        made = [
            self._need(argument, scope, kind, single).text
            for argument, kind in zip(node.arguments, function.takes, strict=True)
        ]
        return Sql(function.sql.format(*made), function.gives)

    def _no_function(self, node: Call) -> str:
        takes = sorted({n for name, n in FUNCTIONS if name == node.function})
        if takes:
            words = " or ".join(map(str, takes))
            return f"{node.function} takes {words} arguments, not {len(node.arguments)}"
        names = sorted({name for name, _ in FUNCTIONS} | set(SPATIAL) | {"now"})
        return f"there is no function {node.function!r:.60}; there are {', '.join(names)}"

    def _spatial(self, node: Call, scope: Scope, single: bool) -> Sql:
        """Asked of every place beforehand, of equal ones once; the row looks its place's answer up."""
        kind, takes = SPATIAL[node.function]
        if len(node.arguments) != len(takes):
            detail = f"{node.function} takes {len(takes)} arguments, not {len(node.arguments)}"
            raise bad(self._option, node.at, detail)
        pattern = self._pattern(node.arguments[2]) if len(takes) == 3 else ""
        given = [self._need(each, scope, Kind.GEOMETRY, single) for each in node.arguments[:2]]
        rows = [each for each in given if each.geometry is None]
        if len(rows) > 1:
            detail = f"{node.function} takes a place and a geometry such as geography'POINT(-8.61 41.15)'"
            raise bad(self._option, node.at, detail)
        others = [each.geometry for each in given if each.geometry is not None]
        if not rows:
            answer = _answers(node.function, others[:1], others[1:], True, pattern)[0]
            return Sql(self.bind(answer, _SQL_TYPES[kind]), kind)
        places = list(set(self._places.values()))
        first = given[0].geometry is None
        told = dict(zip(places, _answers(node.function, places, others, first, pattern), strict=True))
        table = self.bind(json.dumps({key: told[place] for key, place in self._places.items()}), "jsonb")
        return Sql(f"CAST({table} ->> CAST({rows[0].text} AS text) AS {_SQL_TYPES[kind]})", kind)

    def _pattern(self, node: Node) -> str:
        """Of st_relate: the nine cells of the DE-9IM matrix."""
        value = node.value if isinstance(node, Literal) else None
        if not isinstance(value, str) or not re.fullmatch("[TF*012]{9}", value):
            detail = "a pattern of st_relate is nine of T, F, *, 0, 1, 2"
            raise bad(self._option, node.at, detail, "Write it as a text: 'T*F**F***'.")
        return value


def _answers(
    function: str, places: Sequence[Geometry], others: Sequence[Geometry], first: bool, pattern: str
) -> list[bool | float]:
    if function == LENGTH:
        return [length(place) for place in places]
    return answers(function, places, others[0], places_first=first, pattern=pattern)


def _column(alias: str, found: Property) -> Sql:
    text = f"{alias}.{found.column}"
    return Sql(
        f"CAST({text} AS float8)" if found.kind is Kind.NUMBER and found.column != "result" else text,
        found.kind,
    )


def asks_for_places(node: Node) -> bool:
    """Does it hold a function of places?"""
    own = isinstance(node, Call) and node.function in SPATIAL
    return own or any(asks_for_places(child) for child in children(node))
