"""The Grafana files hold together and hold no secret; queries are expanded as Grafana expands them."""

from __future__ import annotations

import itertools
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from air_quality.colours import PALETTE
from air_quality.index import INDICES
from tests.dashboards.grafana import BOARDS, FOLDER, board, expand, interpolate, queries

BEGINS, ENDS = datetime(2026, 11, 20, 12, tzinfo=UTC), datetime(2026, 11, 20, 18, tzinfo=UTC)
SOURCE = {"type": "grafana-postgresql-datasource", "uid": "lamppost"}
PANEL_KINDS = {"geomap", "stat", "table", "timeseries"}
WIDTH = 24
BUILT_IN = re.compile(r"\$\{?__\w+")
VARIABLE = re.compile(r"\$\{?([a-zA-Z]\w*)\}?")


def nested(value: Any, key: str) -> list[Any]:
    """Every value of `key`, however deep."""
    if isinstance(value, dict):
        own = [value[key]] if key in value else []
        return own + [each for v in value.values() for each in nested(v, key)]
    return [each for v in value for each in nested(v, key)] if isinstance(value, list) else []


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_is_one_that_grafana_takes(name: str) -> None:
    document = board(name)
    assert document["uid"] == f"lamppost-{name}"
    assert document["schemaVersion"] >= 39
    assert "id" not in document, "that number is the installation's own"
    assert set(document) >= {"title", "tags", "time", "templating", "annotations", "panels", "refresh"}
    numbers = [panel["id"] for panel in document["panels"]]
    assert len(set(numbers)) == len(numbers)
    for panel in document["panels"]:
        assert panel["type"] in PANEL_KINDS
        assert panel["title"]
        refs = [target["refId"] for target in panel["targets"]]
        assert refs
        assert len(set(refs)) == len(refs)
        assert all(t["format"] in ("table", "time_series") and t["rawSql"].strip() for t in panel["targets"])
        assert (panel["type"] == "timeseries") == (panel["targets"][0]["format"] == "time_series")


@pytest.mark.parametrize("name", BOARDS)
def test_every_question_goes_to_the_provisioned_source(name: str) -> None:
    asked = nested(board(name), "datasource")
    assert len(asked) > 10
    assert all(each == SOURCE for each in asked)


@pytest.mark.parametrize("name", BOARDS)
def test_no_panel_lies_on_another(name: str) -> None:
    boxes = [panel["gridPos"] for panel in board(name)["panels"]]
    assert all(box["x"] + box["w"] <= WIDTH and box["w"] > 0 and box["h"] > 0 for box in boxes)
    for one, other in itertools.combinations(boxes, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)


@pytest.mark.parametrize("name", BOARDS)
def test_every_variable_that_is_used_is_there_and_every_one_there_is_used(name: str) -> None:
    document = board(name)
    declared = {each["name"] for each in document["templating"]["list"]}
    asked = [query.sql for query in queries(name)]
    asked += [each["query"] for each in document["templating"]["list"] if each["type"] == "query"]
    used = {found for sql in asked for found in VARIABLE.findall(BUILT_IN.sub("", sql))}
    assert used == declared


@pytest.mark.parametrize("name", BOARDS)
def test_the_indices_to_choose_from_are_those_that_are_computed(name: str) -> None:
    [index] = [each for each in board(name)["templating"]["list"] if each["name"] == "index"]
    assert {each["value"]: each["text"] for each in index["options"]} == {
        table.id: table.title for table in INDICES.values()
    }
    assert index["query"] == ",".join(f"{table.title} : {table.id}" for table in INDICES.values())


@pytest.mark.parametrize("name", BOARDS)
def test_levels_have_the_palettes_colours(name: str) -> None:
    steps = [each for each in nested(board(name), "steps") if len(each) == len(PALETTE) + 1]
    assert steps
    for each in steps:
        assert [(s["value"], s["color"]) for s in each[1:]] == list(enumerate(PALETTE, 1))


def test_the_two_lead_to_each_other() -> None:
    for name, other in (BOARDS, BOARDS[::-1]):
        assert f"/d/lamppost-{other}" in json.dumps(board(name)["links"])


def test_the_sources_password_comes_from_the_environment_and_no_secret_is_in_a_file() -> None:
    document = yaml.safe_load((FOLDER / "provisioning/datasources/lamppost.yaml").read_text())
    [source] = document["datasources"]
    assert {"type": source["type"], "uid": source["uid"]} == SOURCE
    assert source["secureJsonData"] == {"password": "$LAMPPOST_GRAFANA_PASSWORD"}
    assert source["user"] == "lamppost_grafana"
    assert source["editable"] is False
    written = [path.read_text() for path in FOLDER.rglob("*") if path.is_file()]
    assert not any(re.search(r"(?i)password['\"]?\s*[:=]?\s*['\"][^$'\"]+['\"]", text) for text in written)


def test_the_dashboards_folder_is_provisioned() -> None:
    document = yaml.safe_load((FOLDER / "provisioning/dashboards/lamppost.yaml").read_text())
    [provider] = document["providers"]
    assert (provider["type"], provider["options"]["path"]) == ("file", "$LAMPPOST_DASHBOARDS")
    assert sorted(path.stem for path in (FOLDER / "dashboards").iterdir()) == sorted(BOARDS)


def test_the_documentation_names_what_has_to_be_set() -> None:
    told = (FOLDER.parents[1] / "docs" / "grafana.md").read_text()
    files = [path.read_text() for path in (FOLDER / "provisioning").rglob("*.yaml")]
    wanted = {found for text in files for found in re.findall(r"\$(LAMPPOST_\w+)", text)}
    assert len(wanted) == 5
    assert [name for name in wanted if name not in told] == []


@pytest.mark.parametrize(
    ("sql", "expanded"),
    [
        (
            "$__timeFilter(t.time)",
            "t.time BETWEEN '2026-11-20T12:00:00.000Z' AND '2026-11-20T18:00:00.000Z'",
        ),
        (
            "$__timeTo()::timestamptz - $__timeFrom()",
            "'2026-11-20T18:00:00.000Z'::timestamptz - '2026-11-20T12:00:00.000Z'",
        ),
        ("$__timeGroup(x, '5m')", "floor(extract(epoch from x)/300)*300"),
        ("$__timeGroupAlias(x, '$__interval')", 'floor(extract(epoch from x)/60)*60 AS "time"'),
        ("$__interval_ms >= 3600000", "60000 >= 3600000"),
        ("a IN ($several)", "a IN ('x','it''s')"),
        ("a = '$one'", "a = 'it''s $5'"),
        ("a = '${one}'", "a = 'it''s $5'"),
    ],
)
def test_a_query_is_expanded_as_grafana_does(sql: str, expanded: str) -> None:
    assert expand(sql, {"one": "it's $5", "several": ["x", "it's"]}, BEGINS, ENDS) == expanded


@pytest.mark.parametrize("sql", ["$unknown", "$__timeFliter(x)", "$__timeGroup(x, '5 minutes')"])
def test_what_grafana_does_not_know_is_an_error(sql: str) -> None:
    with pytest.raises((KeyError, ValueError)):
        expand(sql, {}, BEGINS, ENDS)


def test_a_value_cannot_leave_its_quotes() -> None:
    assert interpolate("'; DROP TABLE device; --") == "''; DROP TABLE device; --"
    assert interpolate(["a", "'"]) == "'a',''''"
