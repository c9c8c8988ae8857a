"""Queries over HTTP: pages that add up, tags that change with the data, garbage told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet_server.access import service as access
from fleet_server.access.rules import CONSOLE, Role
from fleet_server.context import Context
from fleet_server.telemetry.upkeep.rollups import roll_up
from tests.fleet_server.telemetry.stores import BOTH, url_on
from tests.fleet_server.telemetry.support import MINUTE_MS, NOW, NOW_MS, Desk, Post
from tests.support.api import app_of
from wire_contract.classes import Class
from wire_contract.messages import Tombstone, TombstoneReason

PASSWORD = "a lamp for every street"
API = "/api/v1"
LATER = (NOW + timedelta(days=1)).isoformat()
EARLIER = (NOW - timedelta(days=2)).isoformat()


@pytest.fixture(params=BOTH)
def database_url(
    database_url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    with url_on(request.param, database_url, monkeypatch) as url:
        yield url


@pytest.fixture
def http(context: Context) -> Iterator[TestClient]:
    access.create_operator(context, CONSOLE, "ana", PASSWORD, (Role.OPERATOR,))
    with TestClient(app_of(context), raise_server_exceptions=False) as client:
        client.post(f"{API}/session", json={"name": "ana", "password": PASSWORD})
        yield client


@pytest.fixture
def posts(desk: Desk) -> list[Post]:
    """Three lampposts of a district with an hour of minutes, gaps in it, and a letter for nobody."""
    made = [Post(f"lamp-0{i}") for i in range(3)]
    desk.register(*made)
    desk.connection.execute("UPDATE device SET district = 'Harbour'")
    times = [NOW_MS - i * MINUTE_MS for i in range(1, 61) if i % 20 > 5]
    for post in made:
        desk.take(post.declare(), post.publish(Class.LIVE, post.samples(times)))
        desk.take(post.publish(Class.LIVE, b"nonsense"), post.publish(Class.LIVE, b"more of it"))
        for first in (10, 11):
            shed = Tombstone(first, first, TombstoneReason.SPOOL_FULL, 1, times[0], times[0])
            desk.take(post.publish(Class.LIVE, shed, first))
    return made


def followed(
    http: TestClient, path: str, key: str, limit: int, between: Callable[[], None] = lambda: None
) -> list[Any]:
    """Every item of every page; `between` is done after each. The Link header and `next` say the same."""
    found: list[Any] = []
    address: str | None = f"{path}{'&' if '?' in path else '?'}limit={limit}"
    while address is not None:
        answer = http.get(address)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page[key]
        link = answer.links.get("next", {}).get("url")
        assert (link is None) == (page["next"] is None)
        assert link is None or f"cursor={page['next']}" in link
        address = link
        between()
    return found


LISTS = [
    ("/telemetry/latest", "readings"),
    ("/telemetry/latest?channel=pm2_5", "readings"),
    ("/telemetry/series/1?resolution=raw", "points"),
    ("/telemetry/series/2?resolution=1m", "points"),
    ("/telemetry/gaps/1?factor=2", "gaps"),
    ("/telemetry/completeness", "days"),
    ("/telemetry/completeness?device=city/lamp-01", "days"),
    ("/dead-letters", "letters"),
]


def names(item: dict[str, Any]) -> str:
    """What tells an item from the others, whatever else changes about it."""
    keys = ("id", "sensor_unit", "day", "begins", "ends", "reason", "time")
    inner = item.get("series", item)
    return repr([(key, each[key]) for each in (item, inner) for key in keys if key in each])


def test_pages_put_together_are_the_whole(http: TestClient, desk: Desk, posts: list[Post]) -> None:
    while roll_up(desk.connection):
        pass
    for path, key in LISTS:
        whole = http.get(API + path).json()
        assert whole["next"] is None
        assert len(whole[key]) >= 1, path
        for limit in (1, 2, 7):
            found = followed(http, API + path, key, limit)
            assert list(map(names, found)) == list(map(names, whole[key])), (path, limit)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, 9), back=st.lists(st.integers(-90, 90), min_size=1, max_size=6))
def test_pages_hold_while_rows_come_in(
    http: TestClient, desk: Desk, posts: list[Post], limit: int, back: list[int]
) -> None:
    """What was there all along is there once; what came meanwhile may be."""
    late = iter(range(10**6))
    for path, key in LISTS[:4] + LISTS[-1:]:
        before = list(map(names, http.get(API + path).json()[key]))

        def between() -> None:
            n = next(late)
            at = NOW_MS - back[n % len(back)] * MINUTE_MS + 7_001 * (n + 1)
            post = posts[n % 3]
            desk.take(post.publish(Class.LIVE, post.samples([at]), 100 + post.sequences[Class.LIVE]))
            post.sequences[Class.LIVE] += 1
            desk.take(post.publish(Class.LIVE, b"rubbish", 10_000 + post.sequences[Class.LIVE]))

        found = list(map(names, followed(http, API + path, key, limit, between)))
        assert len(found) == len(set(found)), path
        if "latest" in path:  # a newer reading takes the place of the one before
            assert len(found) == len(before)
        else:
            assert [name for name in found if name in set(before)] == before, path


def test_a_chart_over_http(http: TestClient, posts: list[Post]) -> None:
    unit = http.get(f"{API}/telemetry/latest").json()["readings"][0]["series"]["sensor_unit"]
    chart = http.get(f"{API}/telemetry/units/{unit}", params={"from": EARLIER, "width": 20}).json()
    assert (chart["resolution"], chart["step_s"], chart["device"]) == ("1h", 10_800, "city/lamp-00")
    assert [channel["channel"] for channel in chart["channels"]] == ["pm1", "pm2_5", "pm10"]
    assert sum(chart["channels"][1]["n"]) == 42
    both = http.get(f"{API}/telemetry/devices/city/lamp-00", params={"from": EARLIER, "width": 20}).json()
    assert both["units"] == [chart]


def test_the_minutes_of_a_district(http: TestClient, desk: Desk, posts: list[Post]) -> None:
    query = {"from": (NOW - timedelta(hours=1)).isoformat(), "channel": "pm2_5"}
    answer = http.get(f"{API}/telemetry/districts", params=query).json()
    assert (answer["resolution"], len(answer["districts"])) == ("1m", 1)
    only = answer["districts"][0]
    assert (only["tenant"], only["district"], only["channel"], only["unit"]) == (
        "city",
        "Harbour",
        "pm2_5",
        "ug/m3",
    )
    assert {(point["lampposts"], point["n"]) for point in only["points"]} == {(3, 3)}
    assert all(p["low"] - 1e-9 <= p["mean"] <= p["high"] + 1e-9 for p in only["points"])
    question = {"from": query["from"], "resolution": "raw"}
    raw = http.get(f"{API}/telemetry/series/2", params=question).json()["points"]
    assert [p["mean"] for p in only["points"]] == pytest.approx([p["value"] for p in raw])
    desk.connection.execute("INSERT INTO tenant (name) VALUES ('lisboa')")
    none = http.get(f"{API}/telemetry/districts", params={**query, "tenant": "lisboa"}).json()
    assert (none["districts"], none["next"]) == ([], None)
    for wrong, status, told in (
        ({"tenant": "lisboa", "district": "Harbour"}, 404, "There is no district 'Harbour' here."),
        ({"tenant": "lisbo"}, 404, "There is no tenant lisbo. A new one is made by"),
        ({"tenant": "Lisboa!"}, 422, "tenant: "),
        ({"district": "Habour"}, 404, "There is no district 'Habour' here. Did you mean Harbour?"),
        ({"channel": ["pm2_5", "pm99"]}, 422, "There is no channel 'pm99' here."),
        ({"channel": "pm25"}, 422, "There is no channel 'pm25' here. Did you mean pm2_5?"),
    ):
        refused = http.get(f"{API}/telemetry/districts", params={**query, **wrong})
        assert refused.status_code == status, refused.text
        assert refused.json()["detail"].startswith(told)


def test_stored_districts_come_in_pages(http: TestClient, desk: Desk) -> None:
    desk.connection.execute(
        "INSERT INTO district_hour SELECT 'city', d, c, 'ug/m3', h, 2, 120, 10, 5, 15"
        " FROM unnest(ARRAY['Harbour', 'Hills', 'Old town']) d, unnest(ARRAY['pm10', 'pm2_5']) c,"
        " generate_series(%s::timestamptz, %s, '1 hour') h",
        (NOW - timedelta(days=2), NOW),
    )
    path = (
        f"{API}/telemetry/districts?resolution=1h&from={EARLIER.replace('+', '%2B')}&to=2026-11-20T12:00:00Z"
    )

    def told(districts: list[Any]) -> list[tuple[str, str, str]]:
        return [(d["district"], d["channel"], p["time"]) for d in districts for p in d["points"]]

    whole = told(http.get(path).json()["districts"])
    assert len(whole) == len(set(whole)) == 3 * 2 * 48
    assert whole == sorted(whole)
    for limit in (1, 47, 48, 100):
        few = path if limit > 1 else path.replace(EARLIER[:16], "2026-11-20T10:00")
        wanted = [each for each in whole if limit > 1 or each[2] >= "2026-11-20T10"]
        assert told(followed(http, few, "districts", limit)) == wanted
    one = http.get(f"{path}&channel=pm10&district=Hills").json()["districts"]
    assert told(one) == [each for each in whole if each[:2] == ("Hills", "pm10")]


TAGGED = [
    "/telemetry/latest",
    "/telemetry/latest?device=city/lamp-00",
    f"/telemetry/series/1?from={EARLIER}&to={LATER}",
    f"/telemetry/series/1?resolution=1d&from={EARLIER}&to={LATER}",
    f"/telemetry/gaps/1?from={EARLIER}&to={LATER}",
    f"/telemetry/units/1?from={EARLIER}&to={LATER}&width=50",
    "/telemetry/units/1",
    f"/telemetry/devices/city/lamp-00?from={EARLIER}&to={LATER}",
    f"/telemetry/districts?resolution=1m&from={(NOW - timedelta(hours=5)).isoformat()}&to={NOW.isoformat()}",
    "/telemetry/completeness",
    "/telemetry/completeness?device=city/lamp-00",
    f"/telemetry/export?from={EARLIER}&to={LATER}",
    "/dead-letters",
]


def tags(http: TestClient) -> dict[str, str]:
    found = {}
    for path in TAGGED:
        answer = http.get(API + path.replace("+", "%2B"))
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "private, no-cache"
        found[path] = answer.headers["etag"]
    return found


def test_tags_change_with_every_row_and_with_nothing_else(
    http: TestClient, desk: Desk, posts: list[Post]
) -> None:
    before = tags(http)
    assert tags(http) == before
    for path, tag in before.items():
        answer = http.get(API + path.replace("+", "%2B"), headers={"If-None-Match": f'"x", {tag}'})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    post, late = posts[0], NOW_MS - 3 * 3_600_000
    desk.take(post.publish(Class.HISTORY, post.samples([late])))  # a late row
    after = tags(http)
    only_newest = {"/telemetry/latest", "/telemetry/latest?device=city/lamp-00", "/dead-letters"}
    assert {path for path in TAGGED if after[path] == before[path]} == only_newest
    for path in set(TAGGED) - only_newest:
        answer = http.get(API + path.replace("+", "%2B"), headers={"If-None-Match": before[path]})
        assert answer.status_code == 200
    while roll_up(desk.connection):  # completeness counts folded days
        pass
    folded = tags(http)
    assert folded["/telemetry/completeness"] != after["/telemetry/completeness"]
    desk.take(posts[1].publish(Class.LIVE, posts[1].samples([NOW_MS - 1000])))  # another lamppost's newest
    live = tags(http)
    same = {path for path in TAGGED if live[path] == folded[path]}
    assert "/telemetry/latest" not in same
    assert {"/telemetry/latest?device=city/lamp-00", "/telemetry/units/1", "/dead-letters"} <= same
    shed = Tombstone(500, 510, TombstoneReason.SPOOL_FULL, 9, late, late + 1000)
    desk.take(post.publish(Class.LIVE, shed, 500))
    assert tags(http)["/telemetry/completeness?device=city/lamp-00"] != live[TAGGED[10]]


GARBAGE = ["", "x", "-1", "1e9", "nan", "null", "\x00", "' OR 1=1 --", "9" * 30, "\U0001f680", "%", "[]"]
NUMBERS = [*GARBAGE[:8], "0", "9" * 30]
PARAMETERS = [
    ("/telemetry/latest", "limit", NUMBERS),
    ("/telemetry/latest", "after", [*GARBAGE[:2], "-1", "nan", "1.5"]),
    ("/telemetry/latest", "device", GARBAGE),
    ("/telemetry/latest", "channel", ["x" * 65]),
    ("/telemetry/series/1", "resolution", [*GARBAGE, "RAW", "2m"]),
    (
        "/telemetry/series/1",
        "from",
        [*GARBAGE[:2], "yesterday", "2026-13-01T00:00:00Z", "2026-11-20T12:00:00"],
    ),
    ("/telemetry/series/1", "to", ["", "x", "2026-11-20", "1500-01-01T00:00:00Z"]),
    ("/telemetry/gaps/1", "factor", ["", "x", "0", "nan", "inf", "-3"]),
    ("/telemetry/units/1", "width", [*NUMBERS, "9", "4001", "10.5"]),
    ("/telemetry/units/1", "to", ["", "x", "2026-11-20T12:00:00", "1500-01-01T00:00:00Z"]),
    ("/telemetry/devices/city/lamp-00", "width", ["x", "5"]),
    ("/telemetry/districts", "resolution", [*GARBAGE, "raw"]),
    ("/telemetry/districts", "limit", NUMBERS),
    ("/telemetry/districts", "district", ["x" * 65]),
    ("/telemetry/districts", "channel", ["x" * 65]),
    ("/telemetry/completeness", "device", GARBAGE),
    ("/telemetry/completeness", "from", ["x", "2026-11-20T12:00:00"]),
    ("/telemetry/completeness", "to", ["x", "2026-11-20T12:00:00"]),
    ("/telemetry/completeness", "limit", NUMBERS),
    ("/telemetry/export", "format", [*GARBAGE, "xlsx"]),
    ("/telemetry/export", "layout", [*GARBAGE, "tall"]),
    ("/telemetry/export", "resolution", [*GARBAGE, "auto"]),
    ("/telemetry/export", "device", GARBAGE),
    ("/telemetry/export", "from", ["x", "2026-11-20T12:00:00"]),
    ("/telemetry/export", "kind", ["x" * 129]),
    ("/dead-letters", "before", ["0", "x"]),
    *((path.split("?")[0], "cursor", [*GARBAGE, "x" * 3000, "WzEsIngiXQ"]) for path, _ in LISTS),
    ("/telemetry/districts", "cursor", [*GARBAGE, "WzEsIngiXQ"]),
]


def test_garbage_is_told_apart(http: TestClient, posts: list[Post]) -> None:
    """No parameter takes nonsense, none makes the server stumble, and every answer says what is wrong."""
    for path, name, values in PARAMETERS:
        for value in values:
            answer = http.get(API + path, params={name: value})
            told = (path, name, value[:40], answer.status_code, answer.text[:200])
            assert answer.status_code in (400, 422), told
            assert answer.headers["content-type"].startswith("application/problem+json"), told
            assert answer.json()["detail"], told
    for path in ("units/999", "units/99999999999999999999", "units/0", "units/-5", "devices/city/nowhere"):
        assert http.get(f"{API}/telemetry/{path}").status_code == 404, path
    for path in ("units/x", "units/1.5"):
        assert http.get(f"{API}/telemetry/{path}").status_code == 422, path
    for path in ("latest", "series/1", "units/1", "districts", "gaps/1", "completeness", "export"):
        answer = http.get(f"{API}/telemetry/{path}", params={"devcie": "city/lamp-00"})
        assert answer.status_code == 422, path  # or a mistyped filter would answer for the whole city
        assert "devcie" in answer.json()["detail"]
    assert "Did you mean device?" in answer.json()["detail"]
    for name in ("channel", "kind", "district", "device"):
        value = "city/nowhere" if name == "device" else "nothing of this name"
        assert http.get(f"{API}/telemetry/export", params={name: value}).status_code == 404
    assert http.get(f"{API}/telemetry/export", headers={"Accept": "application/json"}).status_code == 406
    wrong = http.get(f"{API}/telemetry/latest?limit=1").json()["next"]
    other = http.get(f"{API}/dead-letters", params={"cursor": wrong, "limit": 1})
    assert (other.status_code, "another question" in other.json()["detail"]) == (400, True)


def test_nobody_is_told_anything(context: Context, posts: list[Post]) -> None:
    with TestClient(app_of(context), raise_server_exceptions=False) as stranger:
        for path in TAGGED:
            assert stranger.get(API + path, headers={"If-None-Match": "*"}).status_code == 401


def test_the_index_has_the_same_manners(http: TestClient, desk: Desk, posts: list[Post]) -> None:
    """Its list is bare: the Link header alone leads on. A changed hour, by a calibration, changes the tag."""
    desk.connection.execute(
        "INSERT INTO air_index (device_id, time, index_id, value, level, category, driver, concentration,"
        " correction, through) SELECT id, h, 'us-aqi@2024-05-06', 50, 1, 'Good', 'pm2_5', 9.0, 'none', h"
        " FROM device, generate_series(%s::timestamptz, %s, '1 hour') h",
        (NOW - timedelta(hours=9), NOW),
    )
    path = f"{API}/devices/city/lamp-00/index?from=2026-11-20T00:00:00Z&to=2026-11-20T12:00:00Z"
    whole = http.get(path)
    assert len(whole.json()) == 9
    found: list[Any] = []
    address: str | None = f"{path}&limit=2"
    while address is not None:
        answer = http.get(address)
        found += answer.json()
        address = answer.links.get("next", {}).get("url")
    assert found == whole.json()
    tag = whole.headers["etag"]
    assert http.get(path, headers={"If-None-Match": tag}).status_code == 304
    changed = NOW - timedelta(hours=3)
    desk.connection.execute("UPDATE air_index SET concentration = 9.1 WHERE time = %s", (changed,))
    assert http.get(path, headers={"If-None-Match": tag}).status_code == 200
    newest = http.get(f"{API}/indices?limit=2").json()
    rest = http.get(f"{API}/indices?limit=2&cursor={newest['next']}").json()
    assert len(newest["indices"]) + len(rest["indices"]) == 3
