"""$filter over a real database, as a table: comparison, logic, arithmetic, texts, times, places, paths.

The kinds of questions are those that FROST-Server's own filter tests ask; the data and the answers are ours.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from tests.fleet_server.sensorthings.city import BEGINS, FORMER, MINUTES, PRESENT, Street, pm
from tests.fleet_server.sensorthings.conftest import ROOT, Get

RAW = "Datastreams(4)/Observations"  # PM2.5 of lamp-01; the database counts series from 1
CO2 = "Datastreams(14)/Observations"
NEAR = "geography'POINT(-8.611 41.15)'"
AROUND_HARBOUR = "geography'POLYGON((-8.612 41.149,-8.61 41.149,-8.61 41.15,-8.612 41.15,-8.612 41.149))'"
ACROSS = "geography'POLYGON((-8.64 41.15,-8.5 41.15,-8.5 41.3,-8.64 41.15))'"
ON_RIM = "geography'POLYGON((-8.62 41.1,-8.60 41.1,-8.60 41.2,-8.62 41.2,-8.62 41.1))'"
AROUND_ALL = "geography'POLYGON((-8.7 41.1,-8.5 41.1,-8.5 41.2,-8.7 41.2,-8.7 41.1))'"


@pytest.mark.parametrize(
    ("where", "lampposts"),
    [
        ("id eq 1", [1]),
        ("id ne 1", [2, 3, 4]),
        ("@iot.id gt 2", [3, 4]),
        ("id ge 2 and id le 3", [2, 3]),
        ("id lt 2 or id gt 3", [1, 4]),
        ("not (id lt 2 or id gt 3)", [2, 3]),
        ("not id eq 1 and id lt 4", [2, 3]),
        ("id add 1 eq 3", [2]),
        ("id sub 1 gt 2", [4]),
        ("id mul 2 eq 6", [3]),
        ("id div 2 eq 1.5", [3]),
        ("id mod 2 eq 0", [2, 4]),
        ("-id lt -3", [4]),
        ("1 add 2 mul 3 eq 7", [1, 2, 3, 4]),
        ("id div 0 eq 1", []),
        ("id mod 0 eq 1", []),
        ("name eq 'city/lamp-01'", [1]),
        ("name ne 'city/lamp-01'", [2, 3, 4]),
        ("name gt 'city/lamp-02'", [3, 4]),
        ("'city/lamp-03' le name", [3, 4]),
        ("name eq null", []),
        ("null ne name", [1, 2, 3, 4]),
        ("true", [1, 2, 3, 4]),
        ("1 eq 2", []),
        ("properties/district eq 'Harbour'", [1]),
        ("properties/district eq ''", [3, 4]),
        ("properties/site eq 'O''Hara''s corner & more'", [4]),
        ("substringof('lamp-02', name)", [2]),
        ("substringof(name, 'lamp-02')", []),
        ("substringof('', name)", [1, 2, 3, 4]),
        ("substringof('%', name) or substringof('_', name)", []),
        ("startswith(name, 'city/')", [1, 2, 3, 4]),
        ("startswith('city/lamp-01/', name)", [1]),
        ("endswith(name, '03')", [3]),
        ("endswith(name, name)", [1, 2, 3, 4]),
        ("length(properties/site) eq 9", [2]),
        ("indexof(name, 'lamp') eq 5", [1, 2, 3, 4]),
        ("indexof(name, 'x') eq -1", [1, 2, 3, 4]),
        ("substring(name, 5) eq 'lamp-04'", [4]),
        ("substring(name, 5, 4) eq 'lamp'", [1, 2, 3, 4]),
        ("substring(name, -3, 4) eq 'city'", [1, 2, 3, 4]),
        ("substring(name, 1e300) eq ''", [1, 2, 3, 4]),
        ("tolower(properties/site) eq 'cathedral'", [2]),
        ("toupper(properties/site) eq 'CATHEDRAL'", [2]),
        ("trim('  x ') eq 'x'", [1, 2, 3, 4]),
        ("concat(concat(properties/tenant, '/'), properties/device) eq name", [1, 2, 3, 4]),
        ("length(concat(name, null)) eq 3", []),
        ("round(2.5) eq 3 and round(-2.5) eq -3 and round(0.4) eq 0", [1, 2, 3, 4]),
        ("floor(id add 0.9) eq id and ceiling(id sub 0.9) eq id", [1, 2, 3, 4]),
        # to one and to many, over one step and over several
        ("Datastreams/ObservedProperty/name eq 'CO2'", [3]),
        ("Datastreams/Sensor/properties/kind eq 'sds011'", [2]),
        ("Datastreams/unitOfMeasurement/name eq 'degree Celsius'", [3]),
        ("not Datastreams/id gt 0", [4]),
        ("Datastreams/Observations/result gt 410", [3]),
        ("Locations/properties/precision eq 'cell'", [3]),
        ("HistoricalLocations/Thing/id eq 2", [2]),
        ("Datastreams/Thing/Datastreams/properties/channel eq 'humidity'", [1]),
        (f"st_within(Locations/location, {AROUND_ALL})", [1, 2, 3]),
        (f"geo.intersects(Locations/location, {AROUND_HARBOUR})", [1]),
    ],
)
def test_things(get: Get, where: str, lampposts: list[int]) -> None:
    assert [each["@iot.id"] for each in get("Things", filter=where)["value"]] == lampposts
    assert get("Things", filter=where, count="true", top=0)["@iot.count"] == len(lampposts)


@pytest.mark.parametrize(
    ("where", "places"),
    [
        (f"geo.distance(location, {NEAR}) lt 0.001", [1]),
        (f"geo.distance({NEAR}, location) ge 0.001", [2, 3, 5]),
        (f"st_within(location, {AROUND_HARBOUR})", [1]),
        (f"st_contains({AROUND_HARBOUR}, location)", [1]),
        (f"not st_within(location, {AROUND_HARBOUR})", [2, 3, 5]),
        (f"st_intersects(location, {AROUND_ALL})", [1, 2, 3, 5]),
        (f"st_disjoint(location, {AROUND_HARBOUR})", [2, 3, 5]),
        ("st_equals(location, geography'POINT(-8.65 41.17)')", [5]),
        ("st_equals(location, geography'POINT(-8.62 41.16)')", [2]),
        ("geo.intersects(location, geography'LINESTRING(-8.65 41.157,-8.63 41.157)')", [3]),
    ],
)
def test_places(get: Get, where: str, places: list[int]) -> None:
    assert [each["@iot.id"] for each in get("Locations", filter=where)["value"]] == places
    of_things = get("Things", filter=where.replace("location", "Locations/location"))["value"]
    # a lamppost without a place lies nowhere, and so not there; of two places the present one counts
    standing = sorted({1: 1, 3: 3, PRESENT: 2}[place] for place in places if place != FORMER)
    assert [each["@iot.id"] for each in of_things if each["@iot.id"] != 4] == standing
    assert any(each["@iot.id"] == 4 for each in of_things) is where.startswith("not")
    features = get("FeaturesOfInterest", filter=where.replace("location", "feature"))["value"]
    assert {each["@iot.id"] for each in features} >= set(places)


def hhmm(minute: int) -> str:
    return (BEGINS + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")


EVERY = [n for n in range(MINUTES) if n != 7]


@pytest.mark.parametrize(
    ("where", "minutes"),
    [
        (f"phenomenonTime eq {hhmm(3)}", [3]),
        (f"phenomenonTime gt {hhmm(176)}", [177, 178, 179]),
        (f"phenomenonTime ge {hhmm(177)}", [177, 178, 179]),
        (f"{hhmm(2)} gt phenomenonTime", [0, 1]),
        (f"phenomenonTime le {hhmm(8)} and phenomenonTime gt {hhmm(5)}", [6, 8]),
        (f"phenomenonTime ne {hhmm(3)} and phenomenonTime lt {hhmm(5)}", [0, 1, 2, 4]),
        ("phenomenonTime lt 2026-11-20T10:01:00+01:00", [0]),
        ("phenomenonTime lt 2026-11-20", []),
        ("phenomenonTime ge 2026-11-20 and phenomenonTime lt 2026-11-21", EVERY),
        ("phenomenonTime gt now() sub duration'PT2M'", [179]),
        ("phenomenonTime add duration'PT3H' eq 2026-11-20T12:01:00Z", [1]),
        ("resultTime eq phenomenonTime", EVERY),
        ("year(phenomenonTime) eq 2026 and month(phenomenonTime) eq 11 and day(phenomenonTime) eq 20", EVERY),
        ("hour(phenomenonTime) eq 10 and minute(phenomenonTime) lt 2", [60, 61]),
        ("second(phenomenonTime) gt 0", []),
        ("fractionalseconds(phenomenonTime) gt 0", []),
        ("date(phenomenonTime) eq 2026-11-20 and time(phenomenonTime) lt 09:02:00", [0, 1]),
        ("totaloffsetminutes(phenomenonTime) eq 0", EVERY),
        ("phenomenonTime gt mindatetime() and phenomenonTime lt maxdatetime()", EVERY),
        ("result eq 10.3", [3, 63, 123]),
        ("result gt 15.75", [58, 59, 118, 119, 178, 179]),
        ("result mul 10 eq 101", [1, 61, 121]),
        ("floor(result) eq 15 and round(result) eq 15", [n for n in EVERY if 15.0 <= pm(n) < 15.5]),
        ("resultQuality eq 'suspect'", [5]),
        ("parameters/flag eq 6", [5]),
        ("parameters/correction eq null", EVERY),
        ("parameters/correction ne 'none@1'", EVERY),  # nothing is not something
        ("not (parameters/correction eq 'none@1')", []),  # and is neither equal to it nor not
        ("Datastream/ObservedProperty/name eq 'PM2.5' and result eq 10.1", [1, 61, 121]),
        ("Datastream/Thing/name eq 'city/lamp-02' or result eq 10.1", [1, 61, 121]),
        ("Datastream/ObservedProperty/id eq 'co2'", []),
        (f"st_within(FeatureOfInterest/feature, {AROUND_HARBOUR}) and result eq 10.1", [1, 61, 121]),
        (f"geo.distance(FeatureOfInterest/feature, {NEAR}) gt 1", []),
        ("id eq '4:1795165260000'", [1]),
    ],
)
def test_observations(get: Get, where: str, minutes: list[int]) -> None:
    found = get(RAW, filter=where, top=1000, count="true")
    times = [datetime.fromisoformat(each["phenomenonTime"]) for each in found["value"]]
    assert times == [BEGINS + timedelta(minutes=n) for n in minutes]
    assert found["@iot.count"] == len(minutes)


def test_milliseconds(get: Get, street: Street) -> None:
    found = get(CO2, filter="fractionalseconds(phenomenonTime) eq 0.25 and second(phenomenonTime) eq 0")[
        "value"
    ]
    assert [each["result"] for each in found] == list(street.co2.values())
    first = min(street.co2).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert [each["phenomenonTime"] for each in get(CO2, filter=f"phenomenonTime le {first}")["value"]] == [
        first
    ]


def test_of_all_datastreams_at_once(get: Get) -> None:
    everywhere = get(
        "Observations", filter="Datastream/ObservedProperty/name eq 'PM2.5' and result ge 20", top=1000
    )
    assert {each["@iot.id"].split(":")[0] for each in everywhere["value"]} == {"10", "11"}
    assert len(everywhere["value"]) == 18 + 3
    datastreams = get("Datastreams", filter="Observations/result gt 410 or properties/channel eq 'humidity'")
    assert [each["@iot.id"] for each in datastreams["value"]] == [8, 14]


@pytest.mark.parametrize(
    ("path", "where", "told"),
    [
        ("Things", "id eq 'x'", "a number is compared with a text"),
        ("Things", "id", "this is a number, where a condition was expected"),
        ("Things", "nothing eq 1", "Thing has no 'nothing'"),
        ("Things", "Datastreams eq 1", "Datastreams is no value"),
        ("Things", "Datastreams/nothing eq 1", "Datastream has no 'nothing'"),
        ("Things", "name/id eq 1", "Thing has no 'name/id'"),
        ("Things", "password eq 'x'", "Thing has no 'password'"),
        ("Things", "latitude gt 1", "Thing has no 'latitude'"),
        ("Locations", "cell eq 'x'", "Location has no 'cell'"),
        ("Things", "nosuch(name)", "there is no function 'nosuch'"),
        ("Things", "contains(name,'x')", "there is no function 'contains'"),
        ("Things", "length(name, name) eq 1", "length takes 1 arguments, not 2"),
        ("Things", "length(id) eq 1", "this is a number, where a text was expected"),
        ("Things", "name add 1 eq 2", "this is a text, where a number was expected"),
        ("Things", "(id eq 1) add 1 eq 2", "where a number was expected"),
        ("Things", "length(not true) eq 1", "a condition stands where a value was expected"),
        ("Things", "id gt null", "null is neither more nor less"),
        ("Locations", "location eq geography'POINT(1 2)'", "is compared with"),
        ("Locations", "location eq null", "not compared with null"),
        ("Locations", "geo.distance(location, 'POINT(1 2)') lt 1", "where a geometry was expected"),
        ("Locations", "geo.distance(location, location) lt 1", "takes a place and a geometry"),
        ("Locations", "geo.distance(location) lt 1", "takes 2 arguments"),
        (RAW, "phenomenonTime gt '2026-01-01'", "a time is compared with a text"),
        (RAW, "phenomenonTime add 1 gt now()", "where a duration was expected"),
        (RAW, "result mul 1e308 mul 1e308 gt 1", "cannot be computed with"),
        (
            RAW,
            "phenomenonTime add duration'P36500D' add duration'P36500D' gt now() add duration'P36500D'",
            "",
        ),
    ],
)
def test_what_makes_no_sense_is_told(http: TestClient, path: str, where: str, told: str) -> None:
    answer = http.get(f"{ROOT}/{path}", params={"$filter": where})
    if not told:
        assert answer.status_code == 200, answer.text
        return
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert told in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "where", "found"),
    [
        ("Locations", "st_touches(location, geography'LINESTRING(-8.62 41.16,-8.62 41.5)')", [2]),
        ("Locations", f"st_touches({ON_RIM}, location)", [2]),
        ("Locations", "st_crosses(geography'LINESTRING(-8.70 41.157,-8.60 41.157)', location)", [3]),
        ("Locations", "st_crosses(location, geography'LINESTRING(-8.70 41.157,-8.60 41.157)')", [3]),
        ("Locations", f"st_overlaps(location, {ACROSS})", [3]),
        ("Locations", f"st_relate(location, {AROUND_HARBOUR}, 'T*F**F***')", [1]),
        ("Locations", f"st_relate({AROUND_HARBOUR}, location, 'T*****FF*')", [1]),
        ("Locations", f"st_relate({AROUND_HARBOUR}, location, 'FF*FF****')", [2, 3, 5]),
        ("Locations", "geo.length(location) eq 0", [1, 2, 3, 5]),
        ("Locations", "geo.length(geography'LINESTRING(0 0,3 4)') eq 5", [1, 2, 3, 5]),
        ("Locations", "st_touches(geography'POINT(0 0)', geography'LINESTRING(0 0,1 1)')", [1, 2, 3, 5]),
        ("Locations", "st_equals(geography'POINT(0 0)', geography'POINT(0 1)')", []),
        ("Things", f"st_relate(Locations/location, {AROUND_HARBOUR}, 'T********')", [1]),
        ("FeaturesOfInterest", f"st_touches(feature, {ON_RIM})", [2]),
        ("Datastreams", "st_crosses(geography'LINESTRING(-8.635 41.1,-8.635 41.2)', observedArea)",
         [10, 11, 12, 13]),
    ],
)  # fmt: skip
def test_functions_of_lines_and_areas(get: Get, path: str, where: str, found: list[int]) -> None:
    assert [each["@iot.id"] for each in get(path, filter=where)["value"]] == found


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("geo.length(location, location) eq 1", "geo.length takes 1 arguments, not 2"),
        ("st_relate(location, geography'POINT(1 2)')", "st_relate takes 3 arguments, not 2"),
        ("st_relate(location, geography'POINT(1 2)', 'T*')", "nine of T, F, *, 0, 1, 2"),
        ("st_relate(location, geography'POINT(1 2)', 'T*F**F**x')", "nine of T, F"),
        ("st_relate(location, geography'POINT(1 2)', description)", "nine of T, F"),
        ("st_touches(location, name)", "this is a text, where a geometry was expected"),
        ("st_touches(location, location)", "takes a place and a geometry"),
        ("st_within(location, geography'POLYGON((0 0,4 4,4 0,0 4,0 0))')", "no simple geometry"),
        ("geo.length(name) eq 1", "this is a text"),
        ("geo.length(location)", "this is a number, where a condition was expected"),
    ],
)
def test_functions_of_places_that_are_asked_wrongly(http: TestClient, where: str, told: str) -> None:
    answer = http.get(f"{ROOT}/Locations", params={"$filter": where})
    assert (answer.status_code, told in answer.json()["detail"]) == (400, True), answer.text


@pytest.mark.parametrize(
    "text",
    [
        "'; DROP TABLE device; --",
        "' OR '1'='1",
        "\\'; SELECT pg_sleep(9); --",
        "%s %(x)s :v0 :exact ${x} {0} {d}",
        "CAST(:v0 AS text)",
        "$$ ; /* */ --",
        "\u2019 \u02bc \uff07 OR 1=1",
        "\\",
    ],
)
def test_a_text_stays_a_text(get: Get, http: TestClient, text: str) -> None:
    quoted = "'" + text.replace("'", "''") + "'"
    for where in (f"name eq {quoted}", f"substringof({quoted}, name)", f"concat(name, {quoted}) eq name"):
        assert get("Things", filter=where)["value"] == []
    assert get("Things", filter=f"concat({quoted}, name) eq concat({quoted}, 'city/lamp-01')", select="id")[
        "value"
    ]
    assert get("Observations", filter=f"resultQuality eq {quoted}")["value"] == []
    # and as it is, where no text is expected
    for option in (
        "filter",
        "orderby",
        "select",
        "expand",
        "top",
        "skip",
        "count",
        "skiptoken",
        "resultFormat",
    ):
        status = http.get(f"{ROOT}/Observations", params={f"${option}": text}).status_code
        assert status == 400, option
    assert http.get(f"{ROOT}/Things('{text}')").status_code in (400, 404)
    assert http.get(f"{ROOT}/ObservedProperties({quoted})/Datastreams").status_code == 404
    assert len(get("Things")["value"]) == 4
