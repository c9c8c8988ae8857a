"""What a query's text means: the tree of an expression, an order, an expansion, all of a request's options.

Values only: `parser.py` makes them, `compiling.py` turns them into SQL. `at` is the character in the text
that a node begins at, for messages; it does not count when trees are compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Literal as Choice

from fleet_server.sensorthings.geometry import Geometry

Value = str | float | bool | datetime | date | time | timedelta | Geometry | None
ComparisonOperator = Choice["eq", "ne", "gt", "ge", "lt", "le"]
ArithmeticOperator = Choice["add", "sub", "mul", "div", "mod"]
LogicOperator = Choice["and", "or"]


@dataclass(frozen=True)
class Literal:
    value: Value
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Path:
    """`Datastream/ObservedProperty/name` as its names."""

    names: tuple[str, ...]
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return "/".join(self.names)


@dataclass(frozen=True)
class Call:
    function: str
    arguments: tuple[Node, ...]
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Negative:
    term: Node
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Arithmetic:
    operator: ArithmeticOperator
    left: Node
    right: Node
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Comparison:
    operator: ComparisonOperator
    left: Node
    right: Node
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Not:
    term: Node
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Logic:
    """Two terms or more: `a and b and c` is one node."""

    operator: LogicOperator
    terms: tuple[Node, ...]
    at: int = field(default=0, compare=False)


Node = Literal | Path | Call | Negative | Arithmetic | Comparison | Not | Logic


@dataclass(frozen=True)
class Order:
    node: Node
    descending: bool


@dataclass(frozen=True)
class Expand:
    """A navigation property to be shown within; `text`: its own options as they were written, for links."""

    name: str
    options: Options
    text: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    at: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Options:
    """A request's, or an expansion's, query options. None or empty: not given."""

    filter: Node | None = None
    orderby: tuple[Order, ...] = ()
    select: tuple[str, ...] = ()
    expand: tuple[Expand, ...] = ()
    top: int | None = None
    skip: int = 0
    count: bool = False
    data_array: bool = False
    after: str = ""  # our own $skiptoken: the last key of the page before


def children(node: Node) -> tuple[Node, ...]:
    """The nodes right below."""
    match node:
        case Literal() | Path():
            return ()
        case Call(_, arguments):
            return arguments
        case Negative(term) | Not(term):
            return (term,)
        case Arithmetic(_, left, right) | Comparison(_, left, right):
            return left, right
        case Logic(_, terms):
            return terms


def paths(node: Node) -> list[Path]:
    """Every path in it."""
    own = [node] if isinstance(node, Path) else []
    return own + [path for child in children(node) for path in paths(child)]
