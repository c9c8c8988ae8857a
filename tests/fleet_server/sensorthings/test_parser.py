"""Query options as text: what each means, and that any text gives a tree or says what is wrong where."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fleet_server.sensorthings.errors import BadQuery
from fleet_server.sensorthings.geometry import Point, Polygon
from fleet_server.sensorthings.parser import (
    MAX_DEPTH,
    parse_expand,
    parse_filter,
    parse_options,
    parse_orderby,
    parse_select,
)
from fleet_server.sensorthings.syntax import (
    Arithmetic,
    Call,
    Comparison,
    Expand,
    Literal,
    Logic,
    Negative,
    Node,
    Not,
    Options,
    Order,
    Path,
    Value,
    children,
)
from fleet_server.sensorthings.tokens import MAX_CHARACTERS, MAX_TOKENS

A, B, C = (Comparison("eq", Path((name,)), Literal(1.0)) for name in "abc")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0),
        ("1.5e-3", 0.0015),
        ("-2", -2.0),
        ("true", True),
        ("false", False),
        ("null", None),
        ("'x'", "x"),
        ("''", ""),
        ("'O''Hara''s'", "O'Hara's"),
        ("''''", "'"),
        ("'and (1) eq 2 -- ; /* %'", "and (1) eq 2 -- ; /* %"),
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.678Z", datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)),
        ("2026-01-02T03:04+01:00", datetime(2026, 1, 2, 2, 4, tzinfo=UTC)),
        ("2026-01-02T03:04:05-0130", datetime(2026, 1, 2, 4, 34, 5, tzinfo=UTC)),
        ("2026-01-02", date(2026, 1, 2)),
        ("12:30:15", time(12, 30, 15)),
        ("duration'P1DT2H3M4.5S'", timedelta(days=1, hours=2, minutes=3, seconds=4.5)),
        ("geography'POINT(-8.61 41.15)'", Point((-8.61, 41.15))),
        ("geography'SRID=4326; point (1 2)'", Point((1.0, 2.0))),
        (
            "geography'POLYGON((0 0, 1 0, 1 1, 0 0))'",
            Polygon((((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 0.0)),)),
        ),
    ],
)
def test_literals(text: str, value: Value) -> None:
    found = parse_filter(text)
    assert found == Literal(value)
    assert isinstance(found, Literal)
    assert type(found.value) is type(value)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a eq 1", A),
        ("a eq 1 and b eq 1 or c eq 1", Logic("or", (Logic("and", (A, B)), C))),
        ("a eq 1 or b eq 1 and c eq 1", Logic("or", (A, Logic("and", (B, C))))),
        ("a eq 1 and (b eq 1 or c eq 1)", Logic("and", (A, Logic("or", (B, C))))),
        ("a eq 1 and b eq 1 and c eq 1", Logic("and", (A, B, C))),
        ("not a eq 1 and b eq 1", Logic("and", (Not(A), B))),
        ("not not a eq 1", Not(Not(A))),
        (
            "1 add 2 mul 3 sub 4 gt 0",
            Comparison(
                "gt",
                Arithmetic(
                    "sub",
                    Arithmetic("add", Literal(1.0), Arithmetic("mul", Literal(2.0), Literal(3.0))),
                    Literal(4.0),
                ),
                Literal(0.0),
            ),
        ),
        (
            "(1 add 2) mul 3 lt -a",
            Comparison(
                "lt",
                Arithmetic("mul", Arithmetic("add", Literal(1.0), Literal(2.0)), Literal(3.0)),
                Negative(Path(("a",))),
            ),
        ),
        (
            "Datastream/ObservedProperty/name eq 'x'",
            Comparison("eq", Path(("Datastream", "ObservedProperty", "name")), Literal("x")),
        ),
        ("substringof('x',name)", Call("substringof", (Literal("x"), Path(("name",))))),
        ("now()", Call("now", ())),
        ("@iot.id eq 1", Comparison("eq", Path(("@iot.id",)), Literal(1.0))),
        (
            "geo.distance(location, geography'POINT(1 2)') lt 0.5",
            Comparison(
                "lt",
                Call("geo.distance", (Path(("location",)), Literal(Point((1.0, 2.0))))),
                Literal(0.5),
            ),
        ),
    ],
)
def test_expressions(text: str, tree: Node) -> None:
    assert parse_filter(text) == tree


def test_order_select_and_expand() -> None:
    assert parse_orderby("a desc, b asc,c") == (
        Order(Path(("a",)), True),
        Order(Path(("b",)), False),
        Order(Path(("c",)), False),
    )
    assert parse_select("id, name") == ("id", "name")
    nested = (
        "Datastreams($filter=a eq 1;$top=5;$select=name,id;$count=true;$expand=Sensor,Thing/Locations),Sensor"
    )
    locations = Expand("Thing", Options(expand=(Expand("Locations", Options()),)))
    inner = Options(
        filter=A,
        top=5,
        select=("name", "id"),
        count=True,
        expand=(Expand("Sensor", Options()), locations),
    )
    found = parse_expand(nested)
    assert found == (Expand("Datastreams", inner), Expand("Sensor", Options()))
    assert dict(found[0].text)["$filter"] == "a eq 1", "links repeat what was asked"
    assert dict(found[0].text)["$expand"] == "Sensor,Thing/Locations"


def test_the_options_of_a_request() -> None:
    found = parse_options(
        [("$top", "5"), ("$skip", "2"), ("$count", "true"), ("plain", "x"), ("$filter", "a eq 1")]
    )
    assert found == Options(filter=A, top=5, skip=2, count=True)


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        ("", 0, "a value, a property or a function was expected"),
        ("result gt", 9, "the end is there where a value"),
        ("a b", 2, "an operator or the end was expected"),
        ("(a eq 1", 7, "')' was expected"),
        ("f(1", 3, "')' was expected"),
        ("f(1,", 4, "a value"),
        ("a eq 'x", 5, "this quote is not closed"),
        ("a eq 1 and", 10, "a value"),
        ("and a eq 1", 0, "a value"),
        ("a eq 1; drop table sample", 6, "an operator or the end"),
        ("a eq 1 -- x", 7, "an operator or the end"),
        ('a eq "x"', 5, "has no meaning here"),
        ("a = 1", 2, "an operator or the end"),
        ("a eq 2026-01-01T00:00:00", 5, "has no time zone"),
        ("a eq 2026-01-01T00:00:00 01:00", 5, "has no time zone"),
        ("a eq 2026-13-01T00:00:00Z", 5, "no instant of any calendar"),
        ("a eq 0001-01-01T00:00:00+14:00", 5, "no instant of any calendar"),
        ("a eq 2026-02-30", 5, "no date"),
        ("a eq duration'P'", 5, "no date, time or duration"),
        ("a eq duration'P999999D'", 5, "no date, time or duration"),
        ("a eq 1e999", 5, "too large a number"),
        ("a eq geography'POINT(1)'", 5, "no position"),
        ("a eq geography'POINT(200 100)'", 5, "outside the world"),
        ("a eq geography'POLYGON((0 0,1 1,1 0,2 2))'", 5, "ends where it begins"),
        ("a eq geography'CIRCLE(1 1)'", 5, "a geometry is POINT"),
        ("a eq 'x\0y'", 5, "no text of ours has"),
        ("a eq '\ud800'", 5, "no text of ours has"),
        ("$filter eq 1", 0, "a value"),
        ("(" * (MAX_DEPTH + 1), MAX_DEPTH, "levels within one another"),
        ("not " * (MAX_DEPTH + 1) + "a", 4 * (MAX_DEPTH - 1), "levels within one another"),
        ("-" * (MAX_DEPTH + 1) + "a", MAX_DEPTH - 1, "levels within one another"),
        ("1 add " * (MAX_DEPTH + 1) + "1", 6 * (MAX_DEPTH - 1) + 2, "levels within one another"),
        ("a" * (MAX_CHARACTERS + 1), MAX_CHARACTERS, "longer than"),
        ("1 " * (MAX_TOKENS + 1), 2 * MAX_TOKENS, "more than"),
    ],
)
def test_what_is_wrong_and_where(text: str, at: int, expected: str) -> None:
    with pytest.raises(BadQuery) as refused:
        parse_filter(text)
    assert refused.value.members == {"option": "$filter", "position": at}, str(refused.value)
    assert expected in str(refused.value)


@pytest.mark.parametrize(
    "pairs",
    [
        [("$top", "-1")],
        [("$top", "1.5")],
        [("$top", "x")],
        [("$top", "9" * 16)],
        [("$skip", "٣")],
        [("$count", "yes")],
        [("$top", "1"), ("$top", "2")],
        [("$search", "x")],
        [("$", "x")],
        [("$resultFormat", "csv")],
        [("$select", "")],
        [("$select", "a,,b")],
        [("$orderby", "a up")],
        [("$orderby", "a,")],
        [("$expand", "Datastreams(")],
        [("$expand", "Datastreams()")],
        [("$expand", "Datastreams($top=)")],
        [("$expand", "Datastreams($count=")],
        [("$expand", "Datastreams($top=1,$skip=2)")],
        [("$expand", "Datastreams($top=1;$top=2)")],
        [("$expand", "Datastreams($resultFormat=dataArray)")],
        [("$expand", "Datastreams($filter=a eq 1")],
        [("$expand", "A/B/C/D/E")],
        [("$expand", "A($expand=B($expand=C($expand=D($expand=E))))")],
        [("$expand", ",".join(["A"] * 13))],
    ],
)
def test_options_that_are_refused(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(BadQuery) as refused:
        parse_options(pairs)
    assert refused.value.members["option"].startswith("$")


def depth(node: Node) -> int:
    return 1 + max(map(depth, children(node)), default=0)


# fmt: off
WORDS = st.sampled_from([
    "a", "Datastream/name", "and", "or", "not", "eq", "ne", "gt", "add", "mul", "-", "(", ")", ",",
    ";", "=", "'x'", "''", "'", "1", "1.5", "1e9", "null", "true", "desc", "$top", "$select", "f(",
    "geo.distance(", "2026-01-01", "12:00:00", "2026-01-01T00:00:00Z", "duration'PT1H'",
    "geography'POINT(1 2)'", "geography'",
])
# fmt: on
TEXTS = st.one_of(st.text(max_size=60), st.lists(WORDS, max_size=30).map(" ".join))


@settings(max_examples=120, deadline=None)
@example("a eq geography'POLYGON(())'")
@example("duration''")
@given(TEXTS)
def test_any_text_is_a_tree_or_an_error_with_its_place(text: str) -> None:
    for parse in (parse_filter, parse_orderby, parse_expand, parse_select):
        found, refused = None, None
        try:
            found = parse(text)
        except BadQuery as wrong:
            refused = wrong
        if refused is not None:
            assert 0 <= refused.members["position"] <= max(len(text), 1)
            assert str(refused).startswith("$")
        elif parse is parse_filter:
            assert depth(found) <= 4 * MAX_DEPTH  # type: ignore[arg-type]


def written(node: Node) -> str:
    """A tree as text, each part in parentheses."""
    match node:
        case Literal(str(value)):
            return "'" + value.replace("'", "''") + "'"
        case Literal(bool(value)):
            return str(value).lower()
        case Literal(value):
            return "null" if value is None else repr(value)
        case Path(names):
            return "/".join(names)
        case Call(function, arguments):
            return f"{function}({','.join(map(written, arguments))})"
        case Negative(term):
            return f"- ({written(term)})"
        case Not(term):
            return f"not ({written(term)})"
        case Arithmetic(operator, left, right) | Comparison(operator, left, right):
            return f"({written(left)}) {operator} ({written(right)})"
        case Logic(operator, terms):
            return f" {operator} ".join(f"({written(term)})" for term in terms)


_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
_leaves = st.one_of(
    st.floats(0.0, 1e12).map(Literal),
    st.booleans().map(Literal),
    st.none().map(Literal),
    _texts.map(Literal),
    st.lists(st.sampled_from(["id", "Thing", "name"]), min_size=1, max_size=3).map(tuple).map(Path),
)


def _grown(below: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.one_of(
        st.builds(Comparison, st.sampled_from(["eq", "ne", "le"]), below, below),
        st.builds(Arithmetic, st.sampled_from(["add", "mod"]), below, below),
        st.builds(Logic, st.sampled_from(["and", "or"]), st.lists(below, min_size=2, max_size=3).map(tuple)),
        st.builds(Not, below),
        st.builds(Call, st.sampled_from(["concat", "geo.distance"]), st.lists(below, max_size=2).map(tuple)),
    )


@settings(max_examples=60, deadline=None)
@given(st.recursive(_leaves, _grown, max_leaves=8))
def test_a_tree_written_and_read_is_the_tree(tree: Node) -> None:
    assert parse_filter(written(tree)) == tree
