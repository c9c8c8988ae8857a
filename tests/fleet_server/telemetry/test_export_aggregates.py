"""Means of districts and indices as files: what the queries tell, for whoever may ask these."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from fleet_server.access import service as access
from fleet_server.access.rules import CONSOLE, Principal, Role
from fleet_server.air import service as air
from fleet_server.context import Context
from fleet_server.errors import Forbidden, InvalidRequest, NotFound
from fleet_server.telemetry import service
from fleet_server.telemetry.exports import rows
from fleet_server.telemetry.exports.asking import FILTERS, RESOLUTIONS, Format, Question, Subject
from fleet_server.telemetry.rules import Resolution
from fleet_server.telemetry.upkeep.districts import follow_districts
from fleet_server.tenants import service as tenants
from tests.fleet_server.air.support import declare, hour, say, settle
from tests.fleet_server.telemetry.support import NOW, Desk, Post
from tests.fleet_server.telemetry.test_exports import read, stamp, whole
from tests.support.api import app_of
from tests.support.server_context import ADMIN, VIEWER
from wire_contract.topics import Address

PASSWORD = "a lamp for every street"
PATH = "/api/v1/telemetry/export"
PARTNER = Principal("operator", "pia", frozenset({Role.PARTNER}))
BEGINS = NOW - timedelta(days=2)


@pytest.fixture
def streets(context: Context, desk: Desk) -> list[Post]:
    """Two districts, one with a formula for a name; four hours of PM, and a lamppost of another tenant."""
    posts = [Post("lamp-01"), Post("lamp-02", b"f" * 16)]
    for post, district in zip(posts, ("=Harbour", "Old Town"), strict=True):
        desk.register(post)
        desk.connection.execute("UPDATE device SET district = %s WHERE name = %s", (district, post.name))
        declare(desk, post)
        say(desk, post, hour(4), 240, lambda minute: (12.0 + minute / 60, 12.0, 20.0, 50.0))
    desk.connection.execute(
        "INSERT INTO district_index (tenant, district, time, index_id, value, level, category, driver, n)"
        " VALUES ('lisboa', 'Alfama', %s, %s, 9, 1, 'Good', 'pm2_5', 1)",
        (hour(2), air.US_AQI),
    )
    settle(desk)
    while follow_districts(desk.connection):
        pass
    return posts


def plain(value: Any) -> str:
    return "" if value is None else str(value)


def test_a_file_is_what_the_queries_tell(context: Context, desk: Desk, streets: list[Post]) -> None:
    means = service.districts(context, VIEWER, service.Wanted(), BEGINS, NOW, Resolution.HOUR)
    wanted: dict[Subject, list[tuple[Any, ...]]] = {
        Subject.DISTRICTS: [(p.time, *each.group, *p[1:]) for each in means.groups for p in each.points],
        Subject.INDEX: [
            (r.time, "city", post.name, district, r.index_id, r.value, r.level, r.category, r.driver,
             r.concentration, r.correction, r.through)
            for post, district in zip(streets, ("=Harbour", "Old Town"), strict=True)
            for r in sorted(
                (r for which in air.INDICES for r in air.index_series(
                    context, VIEWER, post.address, which, BEGINS, NOW)),
                key=lambda r: (r.time, r.index_id))
        ],
    }  # fmt: skip
    for subject, expected in wanted.items():
        assert expected
        for format in Format:
            question = Question(BEGINS, NOW, Resolution.HOUR, format, subject=subject)
            found = [tuple(row.values()) for row in read(whole(context, question), format)]
            if format is Format.CSV:
                told = [[stamp(v, format) if hasattr(v, "tzinfo") else v for v in row] for row in expected]
                told = [["'=Harbour" if v == "=Harbour" else v for v in row] for row in told]
                numbers = [
                    [float(v) if i and _is_number(v) else v for i, v in enumerate(row)] for row in found
                ]
                assert numbers == [[float(v) if _is_number(v) else v for v in row] for row in told]
            else:
                assert found == expected


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def test_indices_of_districts_and_days_of_means(context: Context, desk: Desk, streets: list[Post]) -> None:
    question = Question(BEGINS, NOW, Resolution.HOUR, subject=Subject.DISTRICT_INDEX)
    found = read(whole(context, question), Format.CSV)
    assert {(row["tenant"], row["district"]) for row in found} == {
        ("city", "'=Harbour"),
        ("city", "Old Town"),
        ("lisboa", "Alfama"),
    }
    newest = {each.district: each.value for each in air.districts(context, VIEWER)}
    last = max(row["time"] for row in found if row["tenant"] == "city" and row["index_id"] == air.US_AQI)
    assert {
        row["district"].lstrip("'"): int(row["value"])
        for row in found
        if row["time"] == last and row["index_id"] == air.US_AQI
    } == newest
    own = replace(VIEWER, tenant="city")
    made = service.export(context, own, question)
    raw = b"".join(iter(made.take, None))
    made.close()
    assert {row["tenant"] for row in read(raw, Format.CSV)} == {"city"}
    days = Question(BEGINS, NOW, Resolution.DAY, subject=Subject.DISTRICTS, channels=("pm10",))
    assert {(row["channel"], row["n"]) for row in read(whole(context, days), Format.CSV)} == {("pm10", "240")}


def test_who_may_have_which(context: Context, streets: list[Post]) -> None:
    for subject in Subject:
        question = Question(BEGINS, NOW, RESOLUTIONS[subject][0], subject=subject)
        service.export(context, VIEWER, question).close()
        if subject in (Subject.UNITS, Subject.INDEX):
            for refused in (service.export, service.export_version):
                with pytest.raises(Forbidden):
                    refused(context, PARTNER, question)
        else:
            service.export(context, PARTNER, question).close()
            service.export_version(context, PARTNER, question)
        with pytest.raises(Forbidden):
            service.export(context, Principal("operator", "nobody", frozenset()), question)


def test_what_does_not_fit_is_told(context: Context, streets: list[Post]) -> None:
    words: dict[str, dict[str, Any]] = {
        "device": {"devices": (Address("city", "lamp-01"),)},
        "district": {"districts": ("Old Town",)},
        "kind": {"kinds": ("pms5003",)},
        "channel": {"channels": ("pm10",)},
        "index": {"indices": (air.US_AQI,)},
    }
    for subject in Subject:
        usual = Question(BEGINS, NOW, RESOLUTIONS[subject][0], subject=subject)
        for resolution in Resolution:
            if resolution not in RESOLUTIONS[subject]:
                with pytest.raises(InvalidRequest):
                    service.export(context, VIEWER, replace(usual, resolution=resolution))
        for name, given in words.items():
            if name in FILTERS[subject]:
                assert whole(context, replace(usual, **given)).count(b"\n") > 1, (subject, name)
            else:
                with pytest.raises(InvalidRequest, match=name):
                    service.export(context, VIEWER, replace(usual, **given))
    index = Question(BEGINS, NOW, Resolution.HOUR, subject=Subject.INDEX)
    with pytest.raises(InvalidRequest, match="no index 'us-aqi'"):
        service.export(context, VIEWER, replace(index, indices=("us-aqi",)))
    for nothing in ({"districts": ("Nowhere",)}, {"devices": (Address("city", "x"),)}):
        with pytest.raises(NotFound):
            service.export(context, VIEWER, replace(index, **nothing))
    tenants.put_tenant(context, ADMIN, "city", quotas={"download_rows": 3})
    with pytest.raises(InvalidRequest, match="more than 3 rows"):
        service.export(context, replace(VIEWER, tenant="city"), index)


@pytest.fixture
def http(context: Context) -> Iterator[TestClient]:
    access.create_operator(context, CONSOLE, "ana", PASSWORD, (Role.VIEWER,))
    with TestClient(app_of(context), raise_server_exceptions=False) as client:
        client.post("/api/v1/session", json={"name": "ana", "password": PASSWORD})
        yield client


def test_over_http(
    http: TestClient, desk: Desk, streets: list[Post], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streamed block by block, named after what it is; what may have changed is not said to be the same."""
    monkeypatch.setattr(rows, "ROWS_A_BLOCK", 2)
    span = {"from": BEGINS.isoformat(), "to": NOW.isoformat()}
    for subject, resolution in (("districts", "1h"), ("index", "1h"), ("district_index", "1h")):
        asked = {**span, "subject": subject}
        answer = http.get(PATH, params=asked)
        assert answer.status_code == 200, answer.text
        name = f"lamppost_{subject}_{resolution}_20261118T120000Z_20261120T120000Z.csv"
        assert name in answer.headers["content-disposition"]
        assert "etag" not in answer.headers
        desk.connection.execute("UPDATE district_hour SET mean = mean + 1")
        desk.connection.execute("UPDATE district_index SET value = value + 1")
        desk.connection.execute("UPDATE air_index SET value = value + 1")
        again = http.get(PATH, params=asked, headers={"If-None-Match": "*"})
        assert (again.status_code, again.text == answer.text) == (200, False)
        wrong = http.get(PATH, params={**asked, "layout": "wide"})
        assert (wrong.status_code, "one layout" in wrong.json()["detail"]) == (422, True)
    assert http.get(PATH, params={**span, "subject": "weather"}).status_code == 422
