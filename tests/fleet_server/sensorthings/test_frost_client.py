"""An independent client against a real server: frost-sta-client, of the makers of FROST-Server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import frost_sta_client as fsc  # type: ignore[import-untyped]
import pytest
import requests

from tests.fleet_server.sensorthings.city import FORMER, MINUTES, MOVED_TO, OLD_TOWN, PRESENT, Street


class Token(fsc.AuthHandler):  # type: ignore[misc]
    """The client asks this for what `requests` calls an auth: anything that may change the request."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._token = token

    def add_auth_header(self) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
        def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers["Authorization"] = f"Bearer {self._token}"
            return request

        return sign


@pytest.fixture(scope="module")
def city(served: tuple[str, str]) -> fsc.SensorThingsService:
    address, token = served
    return fsc.SensorThingsService(f"{address}/sta/v1.1", auth_handler=Token(token))


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_readings_page_by_page_are_what_was_sent(city: fsc.SensorThingsService, street: Street) -> None:
    chosen = (
        "Thing/name eq 'city/lamp-01' and ObservedProperty/name eq 'PM2.5' and properties/processing eq 'raw'"
    )
    (stream,) = city.datastreams().query().filter(chosen).list()
    assert stream.unit_of_measurement.symbol == "µg/m³"
    query = stream.get_observations().query().top(25).count().orderby("phenomenonTime", "asc")
    listed = query.list()
    assert listed.count == MINUTES - 1
    assert len(listed.entities) == 25
    found = {moment(each.phenomenon_time): each.result for each in listed}
    assert found == street.pm2_5
    assert len(listed.entities) == MINUTES - 1, "each once"


def test_newest_first_and_a_filter_on_time(city: fsc.SensorThingsService, street: Street) -> None:
    co2 = city.datastreams().find(14)
    newest = list(co2.get_observations().query().orderby("phenomenonTime", "desc").top(3).list())[:3]
    assert [each.result for each in newest] == [419.0, 418.0, 417.0]
    since = "phenomenonTime ge 2026-11-20T09:15:00Z and result lt 419"
    assert [each.result for each in co2.get_observations().query().filter(since).list()] == [
        415,
        416,
        417,
        418,
    ]
    plus = "phenomenonTime ge 2026-11-20T10:15:00+01:00"  # the client writes %2B
    assert len(list(co2.get_observations().query().filter(plus).list())) == 5


def test_things_with_all_that_hangs_on_them(city: fsc.SensorThingsService) -> None:
    newest = "Observations($top=1;$orderby=phenomenonTime desc)"
    expand = f"Locations,Datastreams($expand=Sensor,ObservedProperty,{newest})"
    things = list(city.things().query().expand(expand).orderby("name", "asc").list())
    assert [each.name for each in things] == [f"city/lamp-0{n}" for n in (1, 2, 3, 4)]
    first = things[0]
    assert first.locations.entities[0].location["coordinates"] == [-8.6109, 41.1496]
    assert {each.observed_property.name for each in first.datastreams.entities} == {
        "PM2.5",
        "PM2.5 (CF=1)",
        "PM10",
        "relative humidity",
    }
    assert all(each.sensor.name == "pms5003" for each in first.datastreams.entities)
    assert first.datastreams.entities[0].observations.entities[0].result == 15.9
    assert first.properties["district"] == "Harbour"


@pytest.mark.parametrize(
    "collection",
    [
        "things",
        "locations",
        "historical_locations",
        "datastreams",
        "sensors",
        "observed_properties",
        "observations",
        "features_of_interest",
    ],
)
def test_every_set_is_listed_and_each_is_found_by_its_id(
    city: fsc.SensorThingsService, collection: str
) -> None:
    dao: Any = getattr(city, collection)()
    listed = list(dao.query().top(3).list().entities)
    assert listed
    for each in listed:
        assert dao.find(each.id) == each
        assert dao.find(each.id).self_link == each.self_link


def test_a_lamppost_that_moved(city: fsc.SensorThingsService) -> None:
    """Its history, and each observation where it was made."""
    old, new = ([OLD_TOWN[1], OLD_TOWN[0]], [MOVED_TO[1], MOVED_TO[0]])
    thing = city.things().find(2)
    (now,) = list(thing.get_locations().query().list())
    assert now.location["coordinates"] == new
    history = thing.get_historical_locations().query().orderby("time", "asc").expand("Locations").list()
    assert [each.locations.entities[0].location["coordinates"] for each in history] == [old, new]
    features = {each.id: each for each in city.features_of_interest().query().list()}
    for place, coordinates, last in ((FORMER, old, "10:20"), (PRESENT, new, "11:50")):
        assert features[place].feature["coordinates"] == coordinates
        made = features[place].get_observations().query().orderby("phenomenonTime", "desc").top(1).list()
        newest = made.entities[0]
        assert newest.phenomenon_time == f"2026-11-20T{last}:00.000Z"
        assert (
            city.observations()
            .query()
            .expand("FeatureOfInterest")
            .filter(f"id eq '{newest.id}'")
            .list()
            .entities[0]
            .feature_of_interest.feature["coordinates"]
            == coordinates
        )


def test_corrected_hours_with_their_correction(city: fsc.SensorThingsService) -> None:
    hours = city.observations().query().filter("Datastream/id eq 5").list()
    assert [each.parameters["correction"] for each in hours] == ["barkjohn2022@1"] * 3
    assert all("/" in each.phenomenon_time for each in hours)


def test_writing_is_refused_as_a_client_understands(city: fsc.SensorThingsService) -> None:
    with pytest.raises(requests.HTTPError) as refused:
        city.create(fsc.Thing(name="mine", description="a thing of my own"))
    assert refused.value.response is not None
    assert refused.value.response.status_code == 405


def test_without_a_token_nothing_is_told(served: tuple[str, str]) -> None:
    stranger = fsc.SensorThingsService(f"{served[0]}/sta/v1.1", auth_handler=Token("none"))
    with pytest.raises(requests.HTTPError) as refused:
        stranger.things().query().list()
    assert refused.value.response is not None
    assert refused.value.response.status_code == 401
