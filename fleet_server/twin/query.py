"""The query of a dynamic group as a tree: `tag.model = "pi5" and reported.agent.version < "0.3"`.

    query      = term { "or" term }            term = factor { "and" factor }
    factor     = "not" factor | "(" query ")" | field test
    test       = ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value | "like" text
               | "in" "(" value { "," value } ")" | "is" "set"
    field      = "tag." key | "reported." key | "name" | "site" | "district" | "state" | "version"
    value      = text in double quotes | number | true | false

A device that has no such field fits no test but `!=`, and what `not` makes of the others. What is desired is
no field: a group decides it. Pure; any text gives a tree or BadQuery with the place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NoReturn, cast

from fleet_server.errors import InvalidRequest
from fleet_server.twin.rules import storable
from wire_contract.limits import MAX_NAME_CHARACTERS
from wire_contract.settings import Value

MAX_CHARACTERS = 1000
MAX_DEPTH = 20
MAX_VALUES = 100  # of one list, and tests of one query

Operator = Literal["=", "!=", "<", "<=", ">", ">="]
Section = Literal["tag", "reported", "device"]
COLUMNS = ("name", "site", "district", "state", "version")
SECTIONS = ("tag", "reported")
_WORDS = frozenset({"and", "or", "not", "in", "is", "set", "like", "true", "false"})
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\["\\])*")|(?P<number>-?\d+(?:\.\d+)?(?![\w.]))
    |(?P<sign><=|>=|!=|[=<>(),])|(?P<word>[A-Za-z_][\w-]*(?:\.[\w-]+)*))""",
    re.VERBOSE,
)


class BadQuery(InvalidRequest):
    """The text is no query; says at which character, and what was expected there."""


@dataclass(frozen=True)
class Field:
    section: Section
    key: str


@dataclass(frozen=True)
class Compare:
    field: Field
    operator: Operator
    value: Value


@dataclass(frozen=True)
class Like:
    """`*` stands for any characters."""

    field: Field
    pattern: str


@dataclass(frozen=True)
class OneOf:
    field: Field
    values: tuple[Value, ...]


@dataclass(frozen=True)
class IsSet:
    field: Field


@dataclass(frozen=True)
class Not:
    term: Node


@dataclass(frozen=True)
class All:
    terms: tuple[Node, ...]


@dataclass(frozen=True)
class Any:
    terms: tuple[Node, ...]


Node = Compare | Like | OneOf | IsSet | Not | All | Any


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: int


def parsed(text: str) -> Node:
    """Raises BadQuery."""
    if len(text) > MAX_CHARACTERS:
        raise BadQuery(f"A query has at most {MAX_CHARACTERS} characters.")
    if not storable(text):
        raise BadQuery("A query is text, without NUL.")
    parser = _Parser(list(_tokens(text)))
    tree = parser.either(0)
    parser.expect("end", "and, or, or the end")
    return tree


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            _refuse(at, f"{text[at : at + 20]!r} is nothing that a query has")
        yield _Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup))
        at = found.end()
    yield _Token("end", "", len(text))


def _refuse(at: int, why: str) -> NoReturn:
    raise BadQuery(f"The query, at character {at + 1}: {why}.", members={"at": at + 1})


class _Parser:
    """A recursive descent, one method a level."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens, self._next, self._tests = tokens, 0, 0

    def either(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            _refuse(self._here.at, f"nested deeper than {MAX_DEPTH}")
        terms = [self._both(depth)]
        while self._takes("or"):
            terms.append(self._both(depth))
        return terms[0] if len(terms) == 1 else Any(tuple(terms))

    def _both(self, depth: int) -> Node:
        terms = [self._factor(depth)]
        while self._takes("and"):
            terms.append(self._factor(depth))
        return terms[0] if len(terms) == 1 else All(tuple(terms))

    def _factor(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            _refuse(self._here.at, f"nested deeper than {MAX_DEPTH}")
        if self._takes("not"):
            return Not(self._factor(depth + 1))
        if self._takes("("):
            inner = self.either(depth + 1)
            self.expect(")", "and, or, or a closing parenthesis")
            return inner
        return self._test(self._field())

    def _field(self) -> Field:
        self._tests += 1
        token = self._here
        if self._tests > MAX_VALUES:
            _refuse(token.at, f"more than {MAX_VALUES} tests")
        if token.kind != "word" or token.text in _WORDS:
            _refuse(token.at, "a field is expected, such as tag.model, reported.log.level or district")
        self._next += 1
        section, _, key = token.text.partition(".")
        if section in SECTIONS and key and len(key) <= MAX_NAME_CHARACTERS:
            return Field(cast(Section, section), key)
        if token.text in COLUMNS:
            return Field("device", token.text)
        known = ", ".join([*(f"{each}.…" for each in SECTIONS), *COLUMNS])
        _refuse(token.at, f"{token.text[:40]!r} is no field; there are {known}")

    def _test(self, field: Field) -> Node:
        token = self._here
        if token.text in {"=", "!=", "<", "<=", ">", ">="} and token.kind == "sign":
            self._next += 1
            return self._compared(field, cast(Operator, token.text))
        if self._takes("in"):
            self.expect("(", "a list in parentheses")
            values = [self._value()]
            while self._takes(","):
                values.append(self._value())
            self.expect(")", "a comma or a closing parenthesis")
            if len(values) > MAX_VALUES:
                _refuse(token.at, f"more than {MAX_VALUES} values")
            return OneOf(field, tuple(values))
        if self._takes("is"):
            self.expect("set", "set")
            return IsSet(field)
        if self._takes("like"):
            pattern = self._value()
            if not isinstance(pattern, str):
                _refuse(token.at, "like takes a text in double quotes")
            return Like(field, pattern)
        _refuse(token.at, "a test is expected: = != < <= > >= in like, or is set")

    def _compared(self, field: Field, operator: Operator) -> Node:
        at = self._here.at
        value = self._value()
        if isinstance(value, bool) and operator not in {"=", "!="}:
            _refuse(at, "true and false are neither less nor greater")
        return Compare(field, operator, value)

    def _value(self) -> Value:
        token = self._here
        self._next += 1
        match token.kind, token.text:
            case "text", text:
                return re.sub(r"\\(.)", r"\1", text[1:-1])
            case "number", text:
                return float(text) if "." in text else int(text)
            case "word", "true" | "false" as word:
                return word == "true"
        _refuse(token.at, "a value is expected: text in double quotes, a number, true or false")

    @property
    def _here(self) -> _Token:
        return self._tokens[min(self._next, len(self._tokens) - 1)]

    def _takes(self, text: str) -> bool:
        here = self._here
        found = here.text == text and here.kind in {"word", "sign"}
        self._next += found
        return found

    def expect(self, text: str, what: str) -> None:
        """The next token is this one, or the `end`. Raises BadQuery."""
        if text == "end" and self._here.kind == "end":
            return
        if text == "end" or not self._takes(text):
            _refuse(self._here.at, f"{what} is expected")
