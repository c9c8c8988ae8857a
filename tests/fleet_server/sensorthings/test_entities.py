"""What the standard demands of each entity: what must be there, links that resolve, paths, expansions."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from fleet_server.context import Context
from fleet_server.sensorthings.entities import BY_NAME, BY_SET
from fleet_server.sensorthings.relations import MISSING, SCALED, quality_word
from fleet_server.sensorthings.service import CONFORMANCE
from fleet_server.telemetry.rules import scaled
from tests.fleet_server.sensorthings.city import MINUTES, Street
from tests.fleet_server.sensorthings.conftest import ROOT, Get
from wire_contract.flags import Flag

# OGC 18-088, tables 2 to 24: what must be there, and where it leads (False: to one).
MANDATORY = {
    "Things": {"name", "description"},
    "Locations": {"name", "description", "encodingType", "location"},
    "HistoricalLocations": {"time"},
    "Datastreams": {"name", "description", "unitOfMeasurement", "observationType"},
    "Sensors": {"name", "description", "encodingType", "metadata"},
    "ObservedProperties": {"name", "definition", "description"},
    "Observations": {"phenomenonTime", "result", "resultTime"},
    "FeaturesOfInterest": {"name", "description", "encodingType", "feature"},
}
LINKS = {
    "Things": {"Locations": True, "HistoricalLocations": True, "Datastreams": True},
    "Locations": {"Things": True, "HistoricalLocations": True},
    "HistoricalLocations": {"Thing": False, "Locations": True},
    "Datastreams": {"Thing": False, "Sensor": False, "ObservedProperty": False, "Observations": True},
    "Sensors": {"Datastreams": True},
    "ObservedProperties": {"Datastreams": True},
    "Observations": {"Datastream": False, "FeatureOfInterest": False},
    "FeaturesOfInterest": {"Observations": True},
}


def follow(http: TestClient, link: str) -> Any:
    """The JSON behind a link of ours."""
    answer = http.get(urlsplit(link)._replace(scheme="", netloc="").geturl())
    assert answer.status_code == 200, (link, answer.text)
    return answer.json()


def test_the_root_lists_every_set_and_claims_only_what_is_there(http: TestClient) -> None:
    for path in (ROOT, f"{ROOT}/"):
        document = http.get(path).json()
        assert {each["name"] for each in document["value"]} == set(BY_SET) == set(MANDATORY)
        for each in document["value"]:
            assert "value" in follow(http, each["url"])
        claimed = document["serverSettings"]["conformance"]
        assert claimed == list(CONFORMANCE)
        for word in ("mqtt", "create-update-delete", "batch", "multidatastream", "built-in-query-functions"):
            assert not any(word in each for each in claimed)


@pytest.mark.parametrize("name", MANDATORY)
def test_every_entity_has_what_it_must_have_and_its_links_resolve(
    http: TestClient, get: Get, name: str
) -> None:
    entity = BY_SET[name]
    found = get(name, top=4)["value"]
    assert found
    for each in found:
        missing = {key for key in MANDATORY[name] if each.get(key) in (None, "", {})}
        assert missing == set()
        assert follow(http, each["@iot.selfLink"]) == each
        assert {k.removesuffix("@iot.navigationLink") for k in each if "@iot.nav" in k} == set(LINKS[name])
        for link, many in LINKS[name].items():
            target = BY_NAME[entity.navigations[link].target]
            there = follow(http, each[f"{link}@iot.navigationLink"])
            rows = there["value"] if many else [there]
            assert all(set(row) >= {"@iot.id", "@iot.selfLink"} for row in rows)
            assert all(MANDATORY[target.set] <= set(row) for row in rows)
            if not many:
                assert follow(http, there["@iot.selfLink"]) == there
            references = follow(http, each[f"{link}@iot.navigationLink"] + "/$ref")
            assert [row["@iot.selfLink"] for row in rows] == [
                row["@iot.selfLink"] for row in (references["value"] if many else [references])
            ]


@pytest.mark.parametrize("name", MANDATORY)
def test_what_is_expanded_is_what_the_link_leads_to(http: TestClient, get: Get, name: str) -> None:
    for link, many in LINKS[name].items():
        options = "($top=3;$count=true)" if many else ""
        for each in get(name, expand=f"{link}{options}", top=4)["value"]:
            there = follow(http, each[f"{link}@iot.navigationLink"] + ("?$top=3&$count=true" if many else ""))
            assert each[link] == (there["value"] if many else there)
            if many:
                assert each[f"{link}@iot.count"] == there["@iot.count"]
                assert (f"{link}@iot.nextLink" in each) == (there["@iot.count"] > 3)
                if f"{link}@iot.nextLink" in each:
                    more = follow(http, each[f"{link}@iot.nextLink"])["value"]
                    assert more == follow(http, there["@iot.nextLink"])["value"]


def test_readings_are_what_the_lamppost_sent(get: Get, street: Street) -> None:
    stream = get("Datastreams", filter="properties/channel eq 'pm2_5' and Thing/name eq 'city/lamp-01'")[
        "value"
    ]
    raw, corrected = stream
    assert raw["unitOfMeasurement"]["symbol"] == "µg/m³"
    assert raw["phenomenonTime"] == "2026-11-20T09:00:00.000Z/2026-11-20T11:59:00.000Z"
    assert (raw["properties"]["processing"], corrected["properties"]["processing"]) == ("raw", "corrected")
    found = get(f"Datastreams({raw['@iot.id']})/Observations", top=1000)["value"]
    assert {datetime.fromisoformat(each["phenomenonTime"]): each["result"] for each in found} == street.pm2_5
    assert len(found) == MINUTES - 1, "a missing reading is no observation"
    assert {each["resultQuality"] for each in found} == {"good", "suspect"}
    hours = get(f"Datastreams({corrected['@iot.id']})/Observations")["value"]
    assert [each["phenomenonTime"] for each in hours] == [
        f"2026-11-20T{n:02}:00:00.000Z/2026-11-20T{n + 1:02}:00:00.000Z" for n in (9, 10, 11)
    ]
    assert hours[1]["result"] == pytest.approx(0.524 * 12.95 - 0.0862 * 50 + 5.75, abs=0.01)  # Barkjohn
    assert hours[1]["parameters"]["correction"].startswith("barkjohn2022")
    assert hours[1]["parameters"]["raw"] == 12.95


def test_every_flag_has_its_word(sta_context: Context) -> None:
    """What SQL says of the wire's flags is what the wire's vocabulary says."""
    words = {1: "good", 2: "not evaluated", 3: "suspect", 4: "fail"}
    with sta_context.db.session() as session:
        query = text(f"SELECT f, {quality_word('f')} AS word FROM generate_series(0, 15) f")
        told = {row.f: row.word for row in session.execute(query)}
    assert {flag: told[flag] for flag in Flag if flag != MISSING} == {
        flag: words[flag.qartod] for flag in Flag if flag != MISSING
    }
    assert MISSING == Flag.MISSING


def test_values_are_scaled_as_everywhere_else(sta_context: Context) -> None:
    """The same double as /api/v1/telemetry gives, to the last bit."""
    query = f"SELECT {SCALED.format(d='d', stored='d.stored')} FROM (SELECT CAST(:e AS integer) AS exponent,"
    query += " CAST(:v AS float8) AS stored) d"
    with sta_context.db.session() as session:
        for exponent in range(-9, 5):
            for value in (0, 1, 7, -13, 12_345, 2**31 - 1):
                found = session.execute(text(query), {"e": exponent, "v": value}).scalar_one()
                assert found == scaled(value, exponent), (value, exponent)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("Things(1)/name", {"name": "city/lamp-01"}),
        ("Things(1)/id", {"@iot.id": 1}),
        ("Things(1)/properties", {"properties": {"tenant": "city", "device": "lamp-01", "district": "Harbour",
                                                 "state": "active", "site": "Harbour Street 1"}}),
        ("Things(1)/properties/district", {"district": "Harbour"}),
        ("Datastreams(4)/Thing/name", {"name": "city/lamp-01"}),
        ("Datastreams(4)/unitOfMeasurement/symbol", {"symbol": "µg/m³"}),
        ("ObservedProperties('co2')/name", {"name": "CO2"}),
        ("Things(1)/Datastreams(4)/ObservedProperty/name", {"name": "PM2.5"}),
        ("Observations('4:1795165260000')/result", {"result": 10.1}),
        ("Datastreams(4)/Observations('4:1795165260000')/Datastream/Sensor/name", {"name": "pms5003"}),
        ("Observations('4:1795165260000')/FeatureOfInterest/@iot.id", {"@iot.id": 1}),
    ],
)  # fmt: skip
def test_paths_to_properties(http: TestClient, path: str, found: dict[str, Any]) -> None:
    assert http.get(f"{ROOT}/{path}").json() == found
    bare = http.get(f"{ROOT}/{path}/$value")
    value = next(iter(found.values()))
    assert bare.headers["content-type"] == "text/plain; charset=utf-8"
    assert bare.text == value if isinstance(value, str) else bare.json() == value


def test_a_property_without_a_value_is_no_content(http: TestClient) -> None:
    assert http.get(f"{ROOT}/Datastreams(5)/resultTime").status_code == 204


@pytest.mark.parametrize(
    "path",
    [
        "Nothing",
        "things",
        "Things(99)",
        "Things(999999999999999999)",
        "Things('1')",
        "Things()",
        "Things(-1)",
        "Things(1",
        "Things(1)(2)",
        "Things(1)/Nothing",
        "Things(1)/name/more",
        "Things(1)/$value",
        "Things(1)/properties/nothing",
        "Things/Datastreams",
        "Things/name",
        "Things/$count",
        "Things(1)/Datastreams/Observations",
        "Things(1)/Datastreams(14)",
        "Things(4)/Datastreams(2)",
        "Datastreams(4)/Thing(1)",
        "Datastreams(3)",
        "Things(1)/$ref/name",
        "ObservedProperties(1)",
        "ObservedProperties('nothing')",
        "ObservedProperties('')",
        "Observations(1)",
        "Observations('4')",
        "Observations('4:1')",
        "Observations('4:1795165260001')",
        "Observations('14:1795165260000')",
        "Observations('4:99999999999999')",
        "Datastreams(2)/Observations('4:1795165260000')",
        "Locations(4)",
        "Things(1)//name",
        "Things(1)/" * 11,
        "'",
    ],
)
def test_paths_that_lead_nowhere(http: TestClient, path: str) -> None:
    answer = http.get(f"{ROOT}/{path}")
    assert answer.status_code == 404, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_select_gives_what_is_asked_for(get: Get) -> None:
    assert get("Things(1)", select="name") == {"name": "city/lamp-01"}
    assert set(get("Things(1)", select="id,Datastreams")) == {
        "@iot.id",
        "@iot.selfLink",
        "Datastreams@iot.navigationLink",
    }
    assert get("Things(1)", select="*") == get("Things(1)")
    nested = get("Datastreams(4)", select="name", expand="Thing($select=name;$expand=Locations($select=id))")
    assert set(nested) == {"name", "Thing"}
    assert set(nested["Thing"]) == {"name", "Locations"}
    assert set(nested["Thing"]["Locations"][0]) == {"@iot.id", "@iot.selfLink"}


def test_expansions_have_options_of_their_own(get: Get) -> None:
    newest = "Observations($orderby=phenomenonTime desc;$top=1;$select=result,phenomenonTime)"
    where = "ObservedProperty/name eq 'PM2.5' or unitOfMeasurement/symbol eq 'ppm'"
    expand = f"Datastreams($filter={where};$expand={newest})"
    things = get("Things", expand=expand)["value"]
    shown = [
        [
            each["Observations"][0]
            for each in thing["Datastreams"]
            if each["properties"]["processing"] == "raw"
        ]
        for thing in things
    ]
    assert shown == [
        [{"result": 15.9, "phenomenonTime": "2026-11-20T11:59:00.000Z"}],
        [{"result": 20.0, "phenomenonTime": "2026-11-20T11:50:00.000Z"}],
        [{"result": 419.0, "phenomenonTime": "2026-11-20T09:19:00.250Z"}],
        [],
    ]
    assert get("Things(1)", expand="Datastreams/Observations", select="id") == get(
        "Things(1)", expand="Datastreams($expand=Observations)", select="id"
    )
    ordered = get("Things(1)", expand="Datastreams($orderby=name desc;$skip=1;$top=2;$select=name)")[
        "Datastreams"
    ]
    names = sorted((each["name"] for each in get("Things(1)/Datastreams")["value"]), reverse=True)
    assert [each["name"] for each in ordered] == names[1:3]
    assert get("Things(1)", expand="Datastreams($top=0;$count=true)")["Datastreams@iot.count"] == 6


@pytest.mark.parametrize(
    ("path", "options", "told"),
    [
        ("Things", {"$select": "nothing"}, "Thing has no 'nothing'"),
        ("Things", {"$expand": "Nothing"}, "Thing has no 'Nothing' to expand"),
        ("Things", {"$expand": "Datastreams,Datastreams"}, "twice"),
        ("Things", {"$expand": "Datastreams($select=nothing)"}, "Datastream has no 'nothing'"),
        ("Datastreams", {"$expand": "Thing($top=1)"}, "Thing is one"),
        ("Things", {"$orderby": "Datastreams/name"}, "nothing is sorted by that"),
        ("Locations", {"$orderby": "location"}, "a geometry has no order"),
        ("Things", {"$orderby": "null"}, "null has no order"),
        ("Things(1)", {"$filter": "id eq 1"}, "only $select and $expand"),
        ("Things(1)", {"$top": "1"}, "only $select and $expand"),
        ("Things(1)/name", {"$select": "name"}, "nothing more"),
        ("Things", {"$resultFormat": "dataArray"}, "dataArray is of Observations"),
        (
            "Observations",
            {"$resultFormat": "dataArray", "$expand": "Datastream"},
            "dataArray is of Observations",
        ),
        ("Observations", {"$select": "name"}, "Observation has no 'name'"),
        ("Things", {"$skiptoken": "x"}, "none of ours"),
        ("Things", {"$skiptoken": "1", "$orderby": "name"}, "none of ours"),
        ("Observations", {"$skiptoken": "1"}, "none of ours"),
        ("Observations", {"$skiptoken": "4:1", "$orderby": "result"}, "none of ours"),
        ("Observations", {"$skip": "100001"}, "Follow @iot.nextLink"),
        ("Things", {"$format": "json"}, "there is no such option"),
        ("ObservedProperties('%00')", {"$select": "name"}, "cannot be computed with"),
        (
            "Observations",
            {"$top": "1000", "$expand": "Datastream($expand=Observations($select=id))"},
            "more than 60000 entities in one answer",
        ),
    ],
)
def test_options_that_do_not_fit(http: TestClient, path: str, options: dict[str, str], told: str) -> None:
    answer = http.get(f"{ROOT}/{path}", params=options)
    assert answer.status_code == 400, answer.text
    assert told in answer.json()["detail"]
    assert answer.json().get("option", "$select") in (
        {*options} if "(" not in str(options.values()) else {*options, "$select"}
    )


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["", "/Things", "/Things(1)", "/Datastreams(4)/Observations", "/$batch"])
def test_nothing_is_written_here(http: TestClient, method: str, path: str) -> None:
    answer = http.request(method, f"{ROOT}{path}", json={"name": "x"})
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"
    assert "GET" in answer.json()["detail"]


def test_nobody_reads_without_a_session(http: TestClient) -> None:
    for method, path in (("GET", ""), ("GET", "/Things"), ("GET", "/Nothing"), ("POST", "/Things")):
        answer = http.request(method, f"{ROOT}{path}", headers={"Authorization": ""})
        assert answer.status_code == 401


def test_an_answer_that_has_not_changed_is_not_sent_again(http: TestClient) -> None:
    first = http.get(f"{ROOT}/Things")
    assert first.headers["cache-control"] == "private, no-cache"
    again = http.get(f"{ROOT}/Things", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = http.get(f"{ROOT}/Sensors", headers={"If-None-Match": first.headers["etag"]})
    assert other.status_code == 200
