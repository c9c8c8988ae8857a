"""Sections, patches, inheritance, delta, what is sent when; queries: the pure decisions of the twin."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_server.twin import query, rules
from fleet_server.twin.query import BadQuery, Compare, Field, IsSet, Not, OneOf
from fleet_server.twin.query_sql import compiled
from fleet_server.twin.rules import BadSection, Layer, Sync
from wire_contract.limits import MAX_SEQUENCE

EARLY, LATE = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)


def test_a_patch_may_be_nested_or_dotted_and_null_deletes() -> None:
    given = {"$version": 3, "a": {"b": 1, "c.d": None}, "e.f": True}
    assert rules.flattened(given, "desired") == {"a.b": 1, "a.c.d": None, "e.f": True}
    section = rules.merged({"a.b": 0, "a.c.d": 5, "x": "y"}, rules.flattened(given, "desired"))
    assert section == {"a.b": 1, "e.f": True, "x": "y"}
    assert rules.merged(section, {"a": 7}) == {"a": 7, "e.f": True, "x": "y"}, "a value where a level was"
    assert rules.merged({"a": 7}, {"a.b": 1}) == {"a.b": 1}, "and a level where a value was"
    assert rules.merged({"a.b": 1, "c": 2}, {"a": None}) == {"c": 2}, "a level goes with all beneath it"


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ([], "desired: must be"),
        (None, "desired: must be"),
        ("x", "desired: must be"),
        ({"a": [1]}, "desired.a: a list"),
        ({"a": {}}, "desired.a: an empty"),
        ({"a": {"b": 1}, "a.b": 2}, "desired.a.b: is given twice"),
        ({"": 1}, "is no key"),
        ({"a..b": 1}, "is no key"),
        ({"a": {"$lastUpdated": 1}}, "is no key"),
        ({"a.$b": 1}, "is no key"),
        ({".a": 1}, "is no key"),
        ({"a\n": 1}, "is no key"),
        ({"a" * 65: 1}, "is no key"),
        ({"a": {"b" * 63: 1}}, "is no key"),
        ({"a": 2**53 + 1}, "desired.a: is not a value"),
        ({"a": float("nan")}, "desired.a: is not a value"),
        ({"a": "x\0"}, "desired.a: is not a value"),
        ({"a": "\ud800"}, "desired.a: is not a value"),
        ({"a": "x" * 1025}, "desired.a: is not a value"),
        ({"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": 1}}}}}}}}}, "nested deeper"),
    ],
)
def test_what_is_no_section_is_told_where(given: object, where: str) -> None:
    with pytest.raises(BadSection) as told:
        rules.flattened(given, "desired")
    assert where in str(told.value)


_NAMES = st.text("abc", min_size=1, max_size=2)
_TREES = st.recursive(
    st.one_of(
        st.integers(-5, 5),
        st.booleans(),
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3),
    ),
    lambda inner: st.dictionaries(_NAMES, inner, min_size=1, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(_NAMES, _TREES, max_size=4))
def test_a_section_comes_back_as_it_was(tree: dict[str, Any]) -> None:
    flat = rules.merged({}, rules.flattened(tree, "tags"))
    assert rules.flattened(rules.nested(flat), "tags") == flat
    assert rules.nested(flat) == tree


def test_each_key_and_each_level_says_when_it_changed() -> None:
    at = rules.changed_at({}, {"a.b": 1, "a.c": 2}, {}, EARLY)
    at = rules.changed_at({"a.b": 1, "a.c": 2}, {"a.b": 1, "a.c": 3, "d": 4}, at, LATE)
    told = rules.timed(at)
    early, late = (each.isoformat(timespec="milliseconds") for each in (EARLY, LATE))
    assert told == {
        "$lastUpdated": late,
        "a": {"$lastUpdated": late, "b": {"$lastUpdated": early}, "c": {"$lastUpdated": late}},
        "d": {"$lastUpdated": late},
    }


def test_what_a_device_calls_like_ours_is_not_shown() -> None:
    """Reported keys are the device's: whatever they are, the document can be made."""
    reported = {
        "a.$lastUpdated": 1,
        "$metadata": 2,
        "a": 3,
        "a.b.c": 4,
        "a.b": 5,
        "..": 6,
        "": 7,
        "$version": 8,
    }
    assert rules.nested(reported) == {"a": 3, "a.b": 5, "a.b.c": 4}
    assert rules.timed(dict.fromkeys(reported, "t"))["a"] == {
        "$lastUpdated": "t",
        "b": {"$lastUpdated": "t", "c": {"$lastUpdated": "t"}},
    }


def layer(source: Any, name: str, priority: int = 0, **settings: Any) -> Layer:
    return Layer(source, name, settings, dict.fromkeys(settings, "t"), priority)


def test_the_device_goes_before_its_groups_by_priority_before_the_tenant_and_ties_are_told() -> None:
    found = rules.inherited(
        [
            layer("group", "b", 5, x=2, y=2, z=1),
            layer("tenant", "city", x=0, y=0, w=0),
            layer("group", "c", 5, y=3, z=1),
            layer("group", "a", 1, y=9, v=9),
            layer("device", "city/l", x=1),
        ]
    )
    assert {key: (value, origin.source, origin.name) for key, (value, origin) in found.items()} == {
        "x": (1, "device", "city/l"),
        "y": (2, "group", "b"),
        "z": (1, "group", "b"),
        "v": (9, "group", "a"),
        "w": (0, "tenant", "city"),
    }
    assert {key: origin.ties for key, (_, origin) in found.items() if origin.ties} == {"y": ("c",)}


def test_delta_is_what_is_desired_and_missing_or_different() -> None:
    assert rules.delta({"a": 1, "b": 2.0, "c": True, "d": "x"}, {"a": 1, "b": 2, "c": 1, "e": 5}) == {
        "c": True,
        "d": "x",
    }


def test_the_first_message_is_the_difference_and_the_second_the_whole() -> None:
    sync = rules.wished(Sync({"a": 1, "b": 2}, 4, 4, {"a": 1, "b": 2}), {"a": 1, "b": 3, "c": 4})
    first = rules.message(sync)
    assert (first.version, first.patch, first.full, first.base) == (5, {"b": 3, "c": 4}, False, 4)
    second = rules.message(rules.sent(sync))
    assert (second.version, second.patch, second.full) == (5, {"a": 1, "b": 3, "c": 4}, True)
    fresh = rules.message(rules.wished(Sync(), {"a": 1}))
    assert (fresh.version, fresh.full) == (1, True), "nobody knows what a new device has"


def test_pauses_grow_and_end() -> None:
    pauses = [rules.resend_after_s(n) for n in range(1, 15)]
    assert pauses[:4] == [5.0, 10.0, 20.0, 40.0]
    assert max(pauses) == rules.LONGEST_RESEND_S
    assert rules.asked_again_after_s(0) == 0.0
    assert rules.asked_again_after_s(10_000) == rules.LONGEST_RESEND_S


# -- queries ---------------------------------------------------------------------------------------------


def test_a_query_as_a_tree() -> None:
    tree = query.parsed(
        'tag.model = "pi5" and not (reported.a.b < 3 or district in ("A \\"x\\"", "B")) and name is set'
    )
    assert tree == query.All(
        (
            Compare(Field("tag", "model"), "=", "pi5"),
            Not(
                query.Any(
                    (
                        Compare(Field("reported", "a.b"), "<", 3),
                        OneOf(Field("device", "district"), ('A "x"', "B")),
                    )
                )
            ),
            IsSet(Field("device", "name")),
        )
    )


@pytest.mark.parametrize(
    ("text", "at", "why"),
    [
        ("", 1, "a field"),
        ("tag.a", 6, "a test"),
        ("tag.a =", 8, "a value"),
        ("tag.a = x", 9, "a value"),
        ('tag.a = "x', 9, "nothing"),
        ("tag.a = 1 tag.b = 2", 11, "and, or"),
        ("tag.a in 1", 10, "a list"),
        ("tag.a in (1", 12, "a comma"),
        ("(tag.a = 1", 11, "closing"),
        ("colour = 1", 1, "no field; there are tag."),
        ("desired.a = 1", 1, "no field"),
        ("tag = 1", 1, "no field"),
        ("tag.a < true", 9, "neither less"),
        ('tag.a = "\ud800"', None, "text"),
        ("tag.a like 1", 7, "a text"),
        ("tag.a = 1; DROP TABLE device", 10, "nothing"),
        ("not " * 30 + "tag.a = 1", 85, "deeper"),
        ("(" * 30 + "tag.a = 1" + ")" * 30, 22, "deeper"),
        (" or ".join(["tag.a = 1"] * 78), None, "at most 1000"),
    ],
)
def test_what_is_no_query_is_told_where(text: str, at: int | None, why: str) -> None:
    with pytest.raises(BadQuery) as told:
        query.parsed(text)
    assert why in str(told.value)
    assert told.value.members.get("at") == at


@given(st.text("tagn.mode=\"<>() ,1.0orndisetlk\\'", max_size=60))
def test_any_text_is_a_tree_or_refused(text: str) -> None:
    try:
        condition, parameters = compiled(query.parsed(text))
    except BadQuery:
        return
    assert "'" not in "".join(part for part in condition.split("'")[::2]) or parameters


def test_no_value_of_a_query_is_in_the_sql() -> None:
    condition, parameters = compiled(
        query.parsed('tag.a = "x\' OR 1=1 --" and name like "%\';*" and reported.b > 5')
    )
    assert "OR 1=1" not in condition
    assert sorted(map(str, parameters.values())) == sorted(["a", '"x\' OR 1=1 --"', "\\%';%", "b", "5"])


@pytest.mark.parametrize("claimed", [rules.FURTHEST + 1, MAX_SEQUENCE])
def test_a_version_that_was_never_given_leaves_room_above(claimed: int) -> None:
    """Else one hostile lamppost's next version would be too large to store, and stop everybody's."""
    sync = rules.wished(Sync(), {"log.level": "debug"})
    assert rules.heard(sync, claimed, None) == sync
    ahead = rules.heard(sync, rules.FURTHEST, None)
    assert rules.wished(ahead, {}).version == rules.FURTHEST + 2 <= MAX_SEQUENCE
