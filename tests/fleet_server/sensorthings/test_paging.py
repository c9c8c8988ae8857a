"""Pages: every row once, in a stable order, whatever the order and the size; counts; data arrays."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.testclient import TestClient

from tests.fleet_server.sensorthings.city import MINUTES
from tests.fleet_server.sensorthings.conftest import ROOT, Get


def pages(http: TestClient, path: str, options: dict[str, str]) -> list[dict[str, Any]]:
    """Every page by its nextLink."""
    found = [http.get(f"{ROOT}/{path}", params=options).json()]
    while "@iot.nextLink" in found[-1]:
        assert len(found) < 200
        link = urlsplit(found[-1]["@iot.nextLink"])._replace(scheme="", netloc="").geturl()
        found.append(http.get(link).json())
    return found


def ids(answers: list[dict[str, Any]]) -> list[Any]:
    return [row["@iot.id"] for answer in answers for row in answer["value"]]


def place(key: str) -> tuple[int, int]:
    datastream, ms = key.split(":")
    return int(datastream), int(ms)


@pytest.mark.parametrize("name", ["Things", "Datastreams", "ObservedProperties", "Sensors", "Locations"])
@pytest.mark.parametrize("order", [None, "name desc", "id desc"])
def test_sets_in_pages(http: TestClient, get: Get, name: str, order: str | None) -> None:
    options = {"$top": "2", "$count": "true"} | ({"$orderby": order} if order else {})
    found = pages(http, name, options)
    whole = get(name, **({"orderby": order} if order else {}))["value"]
    assert ids(found) == [row["@iot.id"] for row in whole]
    assert {answer["@iot.count"] for answer in found} == {len(whole)}
    assert all(len(answer["value"]) == 2 for answer in found[:-1])
    for answer in found[:-1]:
        asked = parse_qs(urlsplit(answer["@iot.nextLink"]).query)
        assert ("$skip" in asked) == bool(order), "by key where the order is that of keys"


@pytest.mark.parametrize(
    ("order", "key"),
    [
        (None, place),
        ("phenomenonTime", lambda key: (place(key)[1], place(key)[0])),
        ("phenomenonTime desc", lambda key: (-place(key)[1], place(key)[0])),
    ],
)
@pytest.mark.parametrize(
    "path", ["Observations", "Datastreams(4)/Observations", "Things(1)/Datastreams(5)/Observations"]
)
def test_observations_in_pages_by_their_key(http: TestClient, path: str, order: str | None, key: Any) -> None:
    options = {"$top": "37", "$count": "true", "$select": "id"} | ({"$orderby": order} if order else {})
    found = pages(http, path, options)
    got = ids(found)
    assert got == sorted(set(got), key=key)
    assert {answer["@iot.count"] for answer in found} == {len(got)}
    assert len(got) == {"O": 807, "D": MINUTES - 1, "T": 3}[path[0]]
    for answer in found[:-1]:
        assert "$skiptoken" in parse_qs(urlsplit(answer["@iot.nextLink"]).query)


def test_observations_in_any_other_order(http: TestClient, get: Get) -> None:
    for order in ("result desc,phenomenonTime", "Datastream/name desc,result", "resultTime"):
        found = pages(http, "Observations", {"$orderby": order, "$top": "300", "$select": "id"})
        whole = get("Observations", orderby=order, top=1000, select="id")["value"]
        assert ids(found) == [row["@iot.id"] for row in whole]
        assert len(set(ids(found))) == 807
    ascending = get("Datastreams(4)/Observations", orderby="result,phenomenonTime desc", top=4)["value"]
    assert [(row["result"], row["phenomenonTime"][11:16]) for row in ascending] == [
        (10.0, "11:00"),
        (10.0, "10:00"),
        (10.0, "09:00"),
        (10.1, "11:01"),
    ]


def test_skip_and_top(get: Get, http: TestClient) -> None:
    whole = [row["@iot.id"] for row in get("Observations", top=1000, select="id")["value"]]
    assert [row["@iot.id"] for row in get("Observations", skip=170, top=30)["value"]] == whole[170:200]
    backwards = get("Observations", orderby="phenomenonTime desc", skip=3, top=5)["value"]
    first = get("Observations", orderby="phenomenonTime desc", top=8)["value"]
    assert backwards == first[3:]
    assert (
        get("Datastreams(4)/Observations", skip=178)["value"][0]["phenomenonTime"]
        == "2026-11-20T11:59:00.000Z"
    )
    assert get("Observations", skip=5000) == {"value": []}
    assert get("Things", top=0, count="true") == {"@iot.count": 4, "value": []}
    assert get("Observations", top=0, count="true") == {"@iot.count": 807, "value": []}
    assert len(get("Observations")["value"]) == 100
    large = get("Observations", top=100_000, count="true")
    assert len(large["value"]) == 807
    both = pages(http, "Observations", {"$skip": "800", "$top": "3", "$select": "id"})
    assert ids(both) == whole[800:], "a link goes on where the page ended, not where $skip began"


def test_a_data_array(http: TestClient, get: Get) -> None:
    found = pages(http, "Observations", {"$resultFormat": "dataArray", "$top": "500", "$count": "true"})
    assert found[0]["@iot.count"] == 807
    groups = [group for answer in found for group in answer["value"]]
    assert sum(group["dataArray@iot.count"] for group in groups) == 807
    plain = get("Observations", top=1)["value"][0]
    first = dict(zip(groups[0]["components"], groups[0]["dataArray"][0], strict=True))
    assert first.pop("id") == plain["@iot.id"]
    assert first == {name: plain[name] for name in first}
    assert groups[0]["Datastream@iot.navigationLink"].endswith("/Datastreams(2)")
    chosen = get(
        "Datastreams(14)/Observations", resultFormat="dataArray", select="result,phenomenonTime", top=1
    )
    assert chosen["value"][0]["components"] == ["result", "phenomenonTime"]
    assert chosen["value"][0]["dataArray"] == [[400.0, "2026-11-20T09:00:00.250Z"]]
