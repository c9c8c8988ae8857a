"""Who may see what: declared places and sites, corrected values; and that no question finds out the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest

from air_quality.place import cell_bounds, cell_of
from fleet_server.access.rules import Action, Principal
from fleet_server.context import Context
from fleet_server.errors import Forbidden, NotFound
from fleet_server.sensorthings import rules, service, store
from fleet_server.sensorthings.entities import BY_SET
from fleet_server.sensorthings.errors import QueryTooLong
from tests.fleet_server.sensorthings.city import CELL, HARBOUR, MOVED_TO, OLD_TOWN, Street
from tests.support.server_context import VIEWER

EXACT = f"geography'POINT({HARBOUR[1]} {HARBOUR[0]})'"
PARTNER = Principal("operator", "partner", frozenset())


@pytest.fixture
def partner(monkeypatch: pytest.MonkeyPatch) -> Principal:
    """Somebody who may read telemetry alone: no role that is shipped does only that."""
    allowed = {Action.TELEMETRY_READ}
    monkeypatch.setattr(service, "authorize", lambda *_: None)
    monkeypatch.setattr(service, "permitted", lambda _, action: action in allowed)
    return PARTNER


def read(context: Context, principal: Principal, path: str, **options: str) -> dict[str, Any]:
    pairs = [(f"${name}", value) for name, value in options.items()]
    found = service.read(context, principal, path, pairs, "http://city/sta/v1.1").json
    assert found is not None
    return found


def test_who_may_not_read_telemetry_reads_nothing(sta_context: Context, street: Street) -> None:
    for path in [*BY_SET, "Things(1)", "Nothing"]:
        with pytest.raises(Forbidden):
            read(sta_context, PARTNER, path)
    with pytest.raises(Forbidden):
        service.root(sta_context, PARTNER, "http://city")
    assert read(sta_context, VIEWER, "Things(1)")["properties"]["site"] == "Harbour Street 1"


def test_a_partner_sees_cells_and_no_site(sta_context: Context, street: Street, partner: Principal) -> None:
    south, west, north, east = cell_bounds(cell_of(*HARBOUR))
    place = read(sta_context, partner, "Locations(1)")
    assert place["location"]["type"] == "Polygon"
    assert place["location"]["coordinates"][0][0] == [west, south]
    assert place["location"]["coordinates"][0][2] == [east, north]
    assert place["properties"] == {
        "precision": "cell",
        "district": "Harbour",
        "since": "2026-11-18T12:00:00.000Z",
    }
    told = cell_bounds(CELL)
    assert read(sta_context, partner, "Locations(3)")["location"]["coordinates"][0][0] == [told[1], told[0]]
    everything = json.dumps(
        [
            read(sta_context, partner, name, expand=",".join(entity.navigations), top="500")
            for name, entity in BY_SET.items()
        ]
    )
    for secret in (
        *map(str, HARBOUR),
        *(json.dumps([longitude, latitude]) for latitude, longitude in (OLD_TOWN, MOVED_TO)),
        "Harbour Street",
        "Cathedral",
        "O'Hara",
        "north wall",
    ):
        assert secret not in everything


@pytest.mark.parametrize(
    "where",
    [
        "properties/site ne ''",
        "startswith(properties/site, 'H')",
        "length(properties/site) gt 0",
        "Locations/properties/precision eq 'declared'",
        f"geo.distance(Locations/location, {EXACT}) gt 0 and id eq 1",
        f"st_equals(Locations/location, {EXACT})",
        f"st_within(Locations/location, geography'POLYGON(({HARBOUR[1] - 0.001} {HARBOUR[0] - 0.001},"
        f"{HARBOUR[1] + 0.001} {HARBOUR[0] - 0.001},{HARBOUR[1] + 0.001} {HARBOUR[0] + 0.001},"
        f"{HARBOUR[1] - 0.001} {HARBOUR[0] - 0.001}))')",
        f"geo.distance(Datastreams/observedArea, {EXACT}) gt 0 and id eq 1",
    ],
)
def test_no_filter_finds_out_what_a_partner_may_not_see(
    sta_context: Context, street: Street, partner: Principal, where: str
) -> None:
    assert read(sta_context, partner, "Things", filter=where)["value"] == []


def test_an_order_tells_a_partner_nothing_of_places(
    sta_context: Context, street: Street, partner: Principal
) -> None:
    """Two points of one cell: whichever is nearer, the distance is the same, none."""
    south, west, north, east = cell_bounds(cell_of(*HARBOUR))
    for x, y in ((west + 1e-4, south + 1e-4), (east - 1e-4, north - 1e-4)):
        near = f"geo.distance(location, geography'POINT({x} {y})') eq 0"
        assert [row["@iot.id"] for row in read(sta_context, partner, "Locations", filter=near)["value"]] == [
            1
        ]


def test_without_air_there_is_nothing_corrected(
    sta_context: Context, street: Street, partner: Principal
) -> None:
    streams = read(sta_context, partner, "Datastreams")["value"]
    assert [row["@iot.id"] for row in streams] == [2, 4, 6, 8, 10, 12, 14, 16]
    with pytest.raises(NotFound):
        read(sta_context, partner, "Datastreams(5)/Observations")
    assert read(sta_context, partner, "Observations", count="true", top="0")["@iot.count"] == 807 - 12
    assert (
        read(sta_context, partner, "Datastreams", filter="properties/processing eq 'corrected'")["value"]
        == []
    )


def test_a_question_that_takes_too_long_is_given_up(
    sta_context: Context, street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "STATEMENT_MS", 1)
    hard = " and ".join(f"Datastream/Thing/Datastreams/Observations/result ne {n}.5" for n in range(20))
    with pytest.raises(QueryTooLong, match="phenomenonTime"):
        read(sta_context, VIEWER, "Observations", filter=f"result ne 0 and {hard}", count="true")
    assert rules.STATEMENT_MS >= 1_000
