"""A lamppost that moved: what was observed stays where it was observed, whatever way it is asked for."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import text

from fleet_server.access.rules import Principal
from fleet_server.context import Context
from fleet_server.sensorthings.entities import DATASTREAM
from fleet_server.sensorthings.geometry import geojson
from fleet_server.sensorthings.rules import ALL_TIME, Bounds, Sight, area_of, joined, place_of
from fleet_server.sensorthings.store import Rows, Wanted
from tests.fleet_server.sensorthings.city import (
    FORMER,
    MOVED,
    MOVED_TO,
    OLD_TOWN,
    PRESENT,
    REGISTERED,
    Street,
)
from tests.fleet_server.sensorthings.conftest import Get
from tests.fleet_server.sensorthings.test_sight import partner, read
from tests.support.server_context import VIEWER

__all__ = ["partner"]
THING, STREAM = 2, 10  # lamp-02 and its raw PM2.5: every ten minutes from 9:00 to 11:50, moved at 10:25
BEFORE = [f"2026-11-20T{hour:02}:{minute}0:00.000Z" for hour in (9, 10) for minute in range(6)][:9]
AFTER = [f"2026-11-20T{hour}:{minute}0:00.000Z" for hour in (10, 11) for minute in range(6)][3:]
AT_MOVE = "2026-11-20T10:25:00.000Z"
OLD, NEW = ([OLD_TOWN[1], OLD_TOWN[0]], [MOVED_TO[1], MOVED_TO[0]])
IN_OLD = f"st_equals(FeatureOfInterest/feature, geography'POINT({OLD[0]} {OLD[1]})')"


def times(answer: Any) -> list[str]:
    return [each["phenomenonTime"] for each in answer["value"]]


def test_the_street_is_as_these_tests_think(get: Get) -> None:
    stream = get(f"Datastreams({STREAM})")
    assert stream["properties"]["processing"] == "raw"
    assert get(f"Datastreams({STREAM})/Thing")["@iot.id"] == THING
    assert times(get(f"Datastreams({STREAM})/Observations")) == BEFORE + AFTER
    assert MOVED.strftime("%Y-%m-%dT%H:%M:%S.000Z") == AT_MOVE


def test_each_observation_has_the_feature_of_its_own_time(get: Get) -> None:
    found = get(f"Datastreams({STREAM})/Observations", expand="FeatureOfInterest")["value"]
    where = {each["phenomenonTime"]: each["FeatureOfInterest"]["feature"]["coordinates"] for each in found}
    assert where == dict.fromkeys(BEFORE, OLD) | dict.fromkeys(AFTER, NEW)
    for each in found:
        feature = get(f"Observations('{each['@iot.id']}')/FeatureOfInterest")
        assert feature == each["FeatureOfInterest"]
    assert found[0]["FeatureOfInterest"]["properties"] == {
        "since": REGISTERED.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "until": AT_MOVE,
    }
    assert found[-1]["FeatureOfInterest"]["properties"] == {"since": AT_MOVE}


def test_a_feature_leads_to_what_was_observed_there(get: Get) -> None:
    both = {}
    for place, expected in ((FORMER, BEFORE), (PRESENT, AFTER)):
        answer = get(f"FeaturesOfInterest({place})/Observations", top=500, count="true", expand="Datastream")
        raw = [each for each in answer["value"] if each["Datastream"]["@iot.id"] == STREAM]
        assert times({"value": raw}) == expected
        assert answer["@iot.count"] == len(answer["value"])
        both[place] = {each["@iot.id"] for each in answer["value"]}
        newest = get(f"FeaturesOfInterest({place})/Observations", orderby="phenomenonTime desc", top=1)
        assert newest["value"][0]["phenomenonTime"] == expected[-1]
    assert not both[FORMER] & both[PRESENT]
    every = get("Observations", filter=f"Datastream/Thing/id eq {THING}", count="true", top=0)["@iot.count"]
    assert len(both[FORMER] | both[PRESENT]) == every


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (f"FeatureOfInterest/id eq {FORMER}", BEFORE),
        (f"FeatureOfInterest/id eq {PRESENT}", AFTER),
        (f"FeatureOfInterest/id ne {PRESENT}", BEFORE),
        (f"not (FeatureOfInterest/id eq {PRESENT})", BEFORE),
        (IN_OLD, BEFORE),
        (f"not {IN_OLD}", AFTER),
        (f"{IN_OLD} and phenomenonTime ge 2026-11-20T10:00:00Z", BEFORE[6:]),
        (f"{IN_OLD} or phenomenonTime ge 2026-11-20T11:40:00Z", BEFORE + AFTER[-2:]),
        (f"FeatureOfInterest/properties/until le {AT_MOVE}", BEFORE),
        ("FeatureOfInterest/properties/until eq null", AFTER),
        ("FeatureOfInterest/name eq 'Air at city/lamp-02'", BEFORE + AFTER),
        ("FeatureOfInterest/id gt 0", BEFORE + AFTER),
    ],
)
def test_observations_are_chosen_by_where_they_were_made(
    get: Get, http: Any, where: str, expected: list[str]
) -> None:
    path = f"Datastreams({STREAM})/Observations"
    answer = get(path, filter=where, count="true")
    assert times(answer) == expected
    assert answer["@iot.count"] == len(expected)
    newest = get(path, filter=where, orderby="phenomenonTime desc")
    assert times(newest) == expected[::-1]
    paged, link = [], f"/sta/v1.1/{path}?$filter={where}&$top=4"
    while link:
        page = http.get(link).json()
        paged += times(page)
        link = page.get("@iot.nextLink", "").removeprefix("http://testserver")
    assert paged == expected
    within = get(f"Datastreams({STREAM})", expand=f"Observations($filter={where};$count=true;$top=100)")
    assert times({"value": within["Observations"]}) == expected
    assert within["Observations@iot.count"] == len(expected)


def test_filters_lead_from_a_feature_to_its_observations(get: Get) -> None:
    """PM2.5 was 20 and PM10 40 at both places; nothing was measured at lamp-04."""

    def of(where: str) -> list[int]:
        return [each["@iot.id"] for each in get("FeaturesOfInterest", filter=where)["value"]]

    assert of("Observations/result eq 40") == [FORMER, PRESENT]
    assert of("Observations/phenomenonTime eq 2026-11-20T10:20:00Z and Observations/result eq 20") == [FORMER]
    assert of("Observations/phenomenonTime lt 2026-11-20T09:05:00Z and Observations/result eq 40") == [FORMER]
    assert of("Observations/Datastream/Thing/name eq 'city/lamp-02'") == [FORMER, PRESENT]
    assert of("not (Observations/id ne null)") == [4]


def test_the_history_of_a_lamppost(get: Get) -> None:
    history = get(f"Things({THING})/HistoricalLocations", expand="Locations", orderby="time")["value"]
    assert [(each["@iot.id"], each["time"]) for each in history] == [
        (FORMER, REGISTERED.strftime("%Y-%m-%dT%H:%M:%S.000Z")),
        (PRESENT, AT_MOVE),
    ]
    assert [each["Locations"][0]["location"]["coordinates"] for each in history] == [OLD, NEW]
    (now,) = get(f"Things({THING})/Locations")["value"]
    assert (now["@iot.id"], now["location"]["coordinates"]) == (PRESENT, NEW)
    assert now["properties"] == {"precision": "declared", "district": "West", "since": AT_MOVE}
    former = get(f"Locations({FORMER})", expand="Things,HistoricalLocations($expand=Thing)")
    assert former["Things"] == []
    assert former["HistoricalLocations"][0]["Thing"]["@iot.id"] == THING
    assert former["description"] == "Where the lamppost stood, as people declared it"
    assert former["properties"]["district"] == "Old Town"
    assert get(f"Locations({PRESENT})/Things")["value"][0]["@iot.id"] == THING
    current = get("Locations", filter="properties/until eq null")["value"]
    assert [each["@iot.id"] for each in current] == [1, 3, PRESENT]


def test_the_area_of_a_datastream_holds_every_place_that_it_was_observed_at(get: Get) -> None:
    (west, north), (east, south) = NEW, OLD
    box = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    assert get(f"Datastreams({STREAM})")["observedArea"] == {"type": "Polygon", "coordinates": [box]}
    crossing = "geography'LINESTRING(-8.635 41.1,-8.635 41.2)'"  # between the two
    found = get("Datastreams", filter=f"st_intersects(observedArea, {crossing})")["value"]
    assert {get(f"Datastreams({each['@iot.id']})/Thing")["@iot.id"] for each in found} == {THING}
    near = f"geo.distance(observedArea, geography'POINT({NEW[0]} {NEW[1]})') eq 0 and Thing/id eq {THING}"
    assert len(get("Datastreams", filter=near)["value"]) == len(get(f"Things({THING})/Datastreams")["value"])


def test_a_place_that_it_stood_at_often_is_in_its_area_once(sta_context: Context, street: Street) -> None:
    ten = Wanted(conditions=("t.id = :id",), parameters={"id": STREAM}, limit=1)
    with sta_context.db.session() as session:
        rows = Rows(session, Sight(exact=True, air=False))
        (before,) = rows.of(DATASTREAM, ten)
        for minute in range(26, 36):
            session.execute(text("SELECT set_config('lamppost.now', :now, true)"), {"now": str(at(minute))})
            session.execute(
                text("UPDATE device SET latitude = latitude + :step WHERE id = :id"),
                {"step": (-1) ** minute, "id": THING},
            )
        (after,) = rows.of(DATASTREAM, ten)
        session.rollback()
    assert len(before["area"]) == 2
    assert len(after["area"]) == 3


def test_a_partner_sees_the_cells_of_both_places(
    sta_context: Context,
    street: Street,
    partner: Principal,
) -> None:
    coarse = Sight(exact=False, air=False)
    for place, (latitude, longitude) in ((FORMER, OLD_TOWN), (PRESENT, MOVED_TO)):
        seen = read(sta_context, partner, f"FeaturesOfInterest({place})")["feature"]
        cell = place_of(latitude, longitude, "", coarse)
        assert seen["type"] == "Polygon"
        assert seen["coordinates"][0] == [list(corner) for corner in cell.rings[0]]  # type: ignore[union-attr]
    none = read(sta_context, partner, "Observations", filter=IN_OLD)["value"]
    assert none == []


def test_another_tenant_sees_no_former_place(sta_context: Context, street: Street) -> None:
    stranger = Principal("operator", "zoe", VIEWER.roles, tenant="elsewhere")
    for name in ("Locations", "HistoricalLocations", "FeaturesOfInterest", "Observations"):
        assert read(sta_context, stranger, name)["value"] == []
        assert read(sta_context, VIEWER, name)["value"] != []


def at(minute: int) -> datetime:
    return datetime.fromisoformat(f"2026-11-20T10:{minute:02}:00Z")


def test_stretches_that_go_on_are_one() -> None:
    first, second, other = {"id": 1}, {"id": 1}, {"id": 2}
    parts = [
        (first, Bounds(ALL_TIME.begins, at(1))),
        (first, Bounds(at(1), at(2))),
        (second, Bounds(at(5), at(6))),
        (other, Bounds(at(6), ALL_TIME.ends)),
    ]
    assert joined(parts) == [(first, Bounds(ALL_TIME.begins, at(2))), parts[2], parts[3]]


@pytest.mark.parametrize(
    ("spots", "area"),
    [
        ([], None),
        ([(None, None, "")], None),
        ([(1.0, 2.0, ""), (1.0, 2.0, "s01mtw")], {"type": "Point", "coordinates": [2.0, 1.0]}),
        ([(1.0, 2.0, ""), (1.0, 3.0, "")], {"type": "LineString", "coordinates": [[2.0, 1.0], [3.0, 1.0]]}),
    ],
)
def test_the_area_of_places(spots: list[tuple[float | None, float | None, str]], area: object) -> None:
    found = area_of(spots, Sight(exact=True, air=True))
    assert (None if found is None else geojson(found)) == area
