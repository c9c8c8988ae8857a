"""Query options as trees: $filter, $orderby, $expand with its own options, $select (OGC 18-088, 9.3).

A recursive descent, one method a level of precedence: or, and, not, comparison, add and sub, mul div and mod,
minus. Any text gives a tree or BadQuery with the place and what was expected there; nesting and length are
bounded, and so is the recursion of everything that walks a tree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from fleet_server.sensorthings.errors import BadQuery, bad
from fleet_server.sensorthings.syntax import (
    Arithmetic,
    ArithmeticOperator,
    Call,
    Comparison,
    ComparisonOperator,
    Expand,
    Literal,
    Logic,
    LogicOperator,
    Negative,
    Node,
    Not,
    Options,
    Order,
    Path,
)
from fleet_server.sensorthings.tokens import Kind, Token, tokens

MAX_DEPTH = 30  # parentheses, calls and chains of arithmetic within one another; people need five
MAX_EXPANSIONS = 12  # each is a query of the database
MAX_EXPAND_DEPTH = 4
MAX_SKIP = 10_000_000
COMPARISONS = ("eq", "ne", "gt", "ge", "lt", "le")
_SUMS, _PRODUCTS = ("add", "sub"), ("mul", "div", "mod")
Found = TypeVar("Found")
_RESERVED = {*COMPARISONS, *_SUMS, *_PRODUCTS, "and", "or", "not", "asc", "desc"}


def parse_filter(text: str) -> Node:
    """The expression of a $filter. Raises BadQuery."""
    return _whole("$filter", text, _Parser.expression)


def parse_orderby(text: str) -> tuple[Order, ...]:
    return _whole("$orderby", text, _Parser.orders)


def parse_expand(text: str) -> tuple[Expand, ...]:
    return _whole("$expand", text, _Parser.expansions)


def parse_select(text: str) -> tuple[str, ...]:
    return _whole("$select", text, _Parser.names)


def _whole(option: str, text: str, rule: Callable[[_Parser], Found]) -> Found:
    parser = _Parser(option, text)
    found = rule(parser)
    parser.end()
    return found


def whole_number(option: str, text: str, most: int = MAX_SKIP) -> int:
    """Of $top and $skip. Raises BadQuery."""
    if not (text.isascii() and text.isdigit()) or len(text) > 15 or int(text) > most:
        raise bad(option, 0, f"{text!r:.40} is no whole number from 0 to {most}")
    return int(text)


def truth(option: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise bad(option, 0, f"{text!r:.40} is neither true nor false")
    return text == "true"


def parse_options(pairs: Sequence[tuple[str, str]]) -> Options:
    """A request's options; what does not begin with $ is not ours. Raises BadQuery."""
    given: dict[str, str] = {}
    for option, text in pairs:
        if option in given:
            raise bad(option, 0, "it is given twice")
        if option.startswith("$"):
            given[option] = text
    options = _options(given)
    if "$resultFormat" in given and given["$resultFormat"] != "dataArray":
        raise bad("$resultFormat", 0, "the one format besides JSON is dataArray")
    after = given.get("$skiptoken", "")
    unknown = given.keys() - _TEXTS - {"$resultFormat", "$skiptoken"}
    if unknown:
        raise bad(min(unknown), 0, "there is no such option", f"There are {', '.join(sorted(_TEXTS))}.")
    return Options(
        options.filter,
        options.orderby,
        options.select,
        options.expand,
        options.top,
        options.skip,
        options.count,
        "$resultFormat" in given,
        after,
    )


_TEXTS = {"$filter", "$orderby", "$select", "$expand", "$top", "$skip", "$count"}


def _options(given: dict[str, str]) -> Options:
    expand = parse_expand(given["$expand"]) if "$expand" in given else ()
    return Options(
        filter=parse_filter(given["$filter"]) if "$filter" in given else None,
        orderby=parse_orderby(given["$orderby"]) if "$orderby" in given else (),
        select=parse_select(given["$select"]) if "$select" in given else (),
        expand=expand,
        top=whole_number("$top", given["$top"]) if "$top" in given else None,
        skip=whole_number("$skip", given.get("$skip", "0")),
        count=truth("$count", given.get("$count", "false")),
    )


class _Parser:
    def __init__(self, option: str, text: str) -> None:
        self._option = option
        self._text = text
        self._tokens = tokens(option, text)
        self._at = 0
        self._depth = 0
        self._expansions = 0

    # tokens

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._next
        if token.kind is not Kind.END:
            self._at += 1
        return token

    def _word(self, *words: str) -> Token | None:
        """The next token where it is one of these, taken."""
        token = self._next
        if token.kind in (Kind.NAME, Kind.MARK) and token.text in words:
            return self._take()
        return None

    def _need(self, word: str) -> Token:
        return self._word(word) or self._refuse(f"{word!r}")

    def _refuse(self, expected: str) -> Token:
        raise bad(self._option, self._next.at, f"{self._next} is there where {expected} was expected")

    def end(self) -> None:
        if self._next.kind is not Kind.END:
            self._refuse("an operator or the end")

    def _deeper(self, at: int) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise bad(self._option, at, f"more than {MAX_DEPTH} levels within one another")

    # expressions

    def expression(self) -> Node:
        self._deeper(self._next.at)
        found = self._logic("or", lambda: self._logic("and", self._not))
        self._depth -= 1
        return found

    def _logic(self, operator: LogicOperator, below: Callable[[], Node]) -> Node:
        at = self._next.at
        terms = [below()]
        while self._word(operator):
            terms.append(below())
        return terms[0] if len(terms) == 1 else Logic(operator, tuple(terms), at)

    def _not(self) -> Node:
        token = self._word("not")
        if token is None:
            return self._comparison()
        self._deeper(token.at)
        found = Not(self._not(), token.at)
        self._depth -= 1
        return found

    def _comparison(self) -> Node:
        at = self._next.at
        left = self._sum()
        token = self._word(*COMPARISONS)
        if token is None:
            return left
        return Comparison(cast(ComparisonOperator, token.text), left, self._sum(), at)

    def _sum(self) -> Node:
        return self._chain(_SUMS, lambda: self._chain(_PRODUCTS, self._minus))

    def _chain(self, operators: tuple[str, ...], below: Callable[[], Node]) -> Node:
        """Left to right; a chain of n is n levels deep."""
        at, depth = self._next.at, self._depth
        found = below()
        while (token := self._word(*operators)) is not None:
            self._deeper(token.at)
            found = Arithmetic(cast(ArithmeticOperator, token.text), found, below(), at)
        self._depth = depth
        return found

    def _minus(self) -> Node:
        token = self._word("-")
        if token is None:
            return self._primary()
        self._deeper(token.at)
        term = self._minus()
        self._depth -= 1
        if isinstance(term, Literal) and isinstance(term.value, float):
            return Literal(-term.value, token.at)
        return Negative(term, token.at)

    def _primary(self) -> Node:
        token = self._next
        if token.kind is Kind.VALUE:
            self._take()
            return Literal(token.value, token.at)
        if self._word("("):
            found = self.expression()
            self._need(")")
            return found
        if token.kind is not Kind.NAME or token.text in _RESERVED or token.text.startswith("$"):
            self._refuse("a value, a property or a function")
        self._take()
        if self._word("(") is None:
            return Path(tuple(token.text.split("/")), token.at)
        return Call(token.text, self._arguments(), token.at)

    def _arguments(self) -> tuple[Node, ...]:
        if self._word(")"):
            return ()
        found = [self.expression()]
        while self._word(","):
            found.append(self.expression())
        self._need(")")
        return tuple(found)

    # the other options

    def orders(self) -> tuple[Order, ...]:
        found = []
        while True:
            node = self.expression()
            direction = self._word("asc", "desc")
            found.append(Order(node, direction is not None and direction.text == "desc"))
            if self._word(",") is None:
                return tuple(found)

    def names(self) -> tuple[str, ...]:
        found = []
        while True:
            token = (
                self._take() if self._next.kind is Kind.NAME else self._word("*") or self._refuse("a name")
            )
            found.append(token.text)
            if self._word(",") is None:
                return tuple(found)

    def expansions(self, depth: int = 1) -> tuple[Expand, ...]:
        found: list[Expand] = []
        while True:
            found.append(self._expansion(depth))
            if self._word(",") is None:
                return tuple(found)

    def _expansion(self, depth: int) -> Expand:
        token = self._next
        if token.kind is not Kind.NAME or token.text.startswith("$"):
            self._refuse("a navigation property")
        self._take()
        names = token.text.split("/")
        self._expansions += len(names)
        if self._expansions > MAX_EXPANSIONS or depth + len(names) - 1 > MAX_EXPAND_DEPTH:
            raise bad(
                self._option,
                token.at,
                f"more than {MAX_EXPANSIONS} expansions, or more than {MAX_EXPAND_DEPTH} within one another",
                "Ask in pieces: every entity has its navigation links.",
            )
        options = Options()
        text: tuple[tuple[str, str], ...] = ()
        if self._word("("):
            options, text = self._nested(depth + len(names))
        expand = Expand(names[-1], options, text, token.at)
        for name in reversed(names[:-1]):
            expand = Expand(name, Options(expand=(expand,)), (), token.at)
        return expand

    def _nested(self, depth: int) -> tuple[Options, tuple[tuple[str, str], ...]]:
        """`$select=name;$top=5)`: the options, and each as it was written."""
        found: dict[str, object] = {}
        text: list[tuple[str, str]] = []
        while True:
            token = self._next
            if token.kind is not Kind.NAME or token.text not in _TEXTS or token.text in found:
                self._refuse(f"one of {', '.join(sorted(_TEXTS - found.keys()))}")
            self._take()
            self._need("=")
            begins = self._next.at
            found[token.text] = self._nested_value(token.text, depth)
            text.append((token.text, self._text[begins : self._tokens[self._at - 1].end]))
            if self._word(";") is None:
                self._need(")")
                break
        names = {key.removeprefix("$"): value for key, value in found.items()}
        return Options(**names), tuple(text)  # type: ignore[arg-type]

    def _nested_value(self, option: str, depth: int) -> object:
        match option:
            case "$filter":
                return self.expression()
            case "$orderby":
                return self.orders()
            case "$select":
                return self.names()
            case "$expand":
                return self.expansions(depth)
            case "$count":
                token = self._take()
                return truth(option, token.text)
            case _:
                token = self._take()
                return whole_number(option, token.text)


__all__ = [
    "BadQuery",
    "parse_expand",
    "parse_filter",
    "parse_options",
    "parse_orderby",
    "parse_select",
]
