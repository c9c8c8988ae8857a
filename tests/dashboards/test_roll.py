"""The roll of lampposts: a browser that takes every step, or the whole, has what there is."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dashboards import view
from dashboards.model import IndexNow, Lamppost, Place
from dashboards.roll import Ready, Roll, encoded
from tests.dashboards.test_view import POST


def posts() -> st.SearchStrategy[list[Lamppost]]:
    index = st.builds(IndexNow, st.integers(0, 500), st.integers(1, 6), st.just("pm2_5"))
    one = st.builds(
        lambda i, value, name, place, now, backlog: replace(
            POST,
            id=i,
            value=value,
            name=name,
            place=place,
            index=() if now is None else (("us", now),),
            backlog=(("history", backlog),),
        ),
        st.integers(1, 5),
        st.sampled_from(["1", "2", None]),
        st.sampled_from(["a", "</script>", 'b"\u2028']),
        st.sampled_from([None, Place(41.0, -8.0, True)]),
        st.none() | index,
        st.integers(0, 9),
    )
    return st.lists(one, max_size=5, unique_by=lambda post: post.id)


class Browser:
    """What static/city.js does with the messages."""

    def __init__(self) -> None:
        self.rows: dict[int, view.Row] = {}
        self.has: int | None = None

    def take(self, roll: Roll) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(encoded(roll.told(self.has)))
        self.has = roll.revision
        if "roll" in message:
            self.rows = {row["id"]: row for row in message["roll"]}
        for row in message.get("rows", []):
            self.rows[row["id"]] = row
        for i in message.get("gone", []):
            del self.rows[i]
        for name, (ids, values) in message.get("cells", {}).items():
            for i, value in zip(ids, values, strict=True):
                self.rows[i][name] = value
        return message


@given(st.lists(st.tuples(posts(), st.booleans()), min_size=1, max_size=8))
def test_whoever_takes_every_step_has_what_one_who_just_came_has(
    looks: list[tuple[list[Lamppost], bool]],
) -> None:
    roll, steady, sleepy = Roll(), Browser(), Browser()
    for found, awake in looks:
        roll.take(found)
        steady.take(roll)
        if awake:
            sleepy.take(roll)
        fresh = Browser()
        fresh.take(roll)
        assert steady.rows == fresh.rows
        assert set(steady.rows) == {post.id for post in found}
        if awake:
            assert sleepy.rows == fresh.rows


def test_nothing_new_is_nothing_to_send() -> None:
    roll, browser = Roll(), Browser()
    roll.take([POST])
    browser.take(roll)
    roll.take([POST])
    assert browser.take(roll) == {}


def test_an_empty_city_is_told_as_such() -> None:
    roll = Roll()
    roll.take([])
    assert Browser().take(roll) == {"roll": []}


def test_five_hundred_that_speak_send_their_values_and_not_their_names() -> None:
    roll, browser = Roll(), Browser()
    city = [replace(POST, id=i, name=f"post-{i}", site="A long address in the city") for i in range(500)]
    roll.take(city)
    browser.take(roll)
    roll.take([replace(post, value="37.5", newest_ms=post.id) for post in city])
    text = encoded(roll.told(1))
    assert "post-" not in text
    assert len(text) < 500 * 30


def test_a_message_is_json_whether_its_parts_are_or_not() -> None:
    assert json.loads(encoded({"a": Ready("[1,2]"), 'b"': None, "c": "</script>"})) == {
        "a": [1, 2],
        'b"': None,
        "c": "</script>",
    }
