"""Twins over PostgreSQL: from a wish by HTTP to the message, the device's answer and what is then shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from msgspec.structs import replace as altered

from edge_agent.core.twin import Twin as DeviceTwin
from edge_agent.core.twin import judging, report, take_in
from fleet_server.access.asker import signed_in
from fleet_server.access.rules import Principal, Role
from fleet_server.access.service import SignedIn
from fleet_server.context import Context
from fleet_server.errors import OtherTenant
from fleet_server.tenants import service as tenants
from fleet_server.twin import fitting, group_store, groups, query, query_sql, reconciling, sending, service
from fleet_server.twin.service import Wish
from tests.fleet_server.telemetry.support import NOW, NOW_MS, Desk, Post
from tests.support.api import app_of
from tests.support.server_context import ADMIN
from wire_contract.envelope import decode
from wire_contract.messages import Presence, TwinDesired
from wire_contract.topics import Address, Up

FLUSH = "telemetry.flush_interval_s"
TWIN = "/api/v1/devices/city/lamp-01/twin"


@pytest.fixture
def client(context: Context) -> Iterator[TestClient]:
    app = app_of(context)
    app.dependency_overrides[signed_in] = lambda: SignedIn(ADMIN, NOW)
    with TestClient(app, raise_server_exceptions=False) as made:
        yield made


class Device:
    """A lamppost's own core at the other end."""

    def __init__(self, desk: Desk, post: Post, *sensors: str) -> None:
        self.desk, self.post, self.judge = desk, post, judging(sensors)
        self.twin = DeviceTwin()

    def connect(self, epoch: bytes = b"e" * 16) -> None:
        birth = Presence(True, NOW_MS, NOW_MS, epoch, "1.0", True)
        self.desk.take(self.post.tell(Up.PRESENCE, birth))
        self.tell()

    def tell(self) -> None:
        said = report(self.twin, {FLUSH: 10.0, "agent.version": "0.9"}, {})
        self.desk.take(self.post.tell(Up.TWIN, said))

    def fetch(self, context: Context) -> list[TwinDesired]:
        """What the ingest's speaker sends now; it is taken in and answered."""
        messages = []
        for topic, payload in sending.due_now(context):
            assert topic == f"lp/1/{self.post.address}/down/twin"
            message = decode(payload)
            assert isinstance(message, TwinDesired)
            self.twin = take_in(self.twin, message, self.judge)
            messages.append(message)
            self.tell()
        return messages


def settle(context: Context) -> None:
    while reconciling.reconcile(context.db):
        pass


def looked_at(context: Context) -> int:
    """Every dynamic group once, as the worker's loop does; how many there are."""
    begun, well = [0], 0
    while reconciling.regroup(context.db, begun[-1], begun.append):
        well += 1
    return well


def test_from_a_wish_to_the_answer(client: TestClient, context: Context, desk: Desk, post: Post) -> None:
    device = Device(desk, post, "front")
    wish = {"desired": {"telemetry": {"flush_interval_s": 5}, "sensor.back.every_s": 30}}
    answer = client.patch(TWIN, json=wish, params={"reason": "less traffic"})
    assert answer.status_code == 200, answer.text
    seen = answer.json()
    assert (answer.headers["ETag"], seen["etag"], seen["desired"]["$version"]) == ('"1"', '"1"', 1)
    assert seen["desired"]["telemetry"] == {"flush_interval_s": 5}
    assert (
        seen["desired"]["$metadata"]["telemetry"]["flush_interval_s"]["$lastUpdated"]
        == "2026-11-20T12:00:00.000+00:00"
    )
    assert seen["delta"] == {"telemetry": {"flush_interval_s": 5}, "sensor": {"back": {"every_s": 30}}}
    assert seen["in_step"] is False
    assert sending.due_now(context) == [], "it is not online"

    device.connect()
    settle(context)
    first = device.fetch(context)
    assert [(m.version, m.full) for m in first] == [(1, True)]
    settle(context)
    assert device.fetch(context) == [], "it has answered"
    seen = client.get(TWIN).json()
    assert seen["reported"]["telemetry"] == {"flush_interval_s": 5}
    assert {key: (ack["ac"], ack["av"]) for key, ack in seen["acks"].items()} == {
        FLUSH: (200, 1),
        "sensor.back.every_s": (404, 1),
    }
    assert (seen["acknowledged"], seen["delta"], seen["in_step"]) == (
        1,
        {"sensor": {"back": {"every_s": 30}}},
        False,
    )

    etag = seen["etag"]
    gone = client.patch(TWIN, json={"desired": {"$version": 1, "sensor": None}}, headers={"If-Match": etag})
    assert gone.status_code == 200, gone.text
    (patch,) = device.fetch(context)
    assert (patch.version, patch.full, patch.base, patch.patch) == (
        2,
        False,
        1,
        {"sensor.back.every_s": None},
    )
    settle(context)
    seen = client.get(TWIN).json()
    assert (seen["acknowledged"], seen["delta"], seen["in_step"], seen["acks"].keys()) == (
        2,
        {},
        True,
        {FLUSH},
    )
    assert client.patch(TWIN, json={"desired": {FLUSH: 5}}).json()["etag"] == seen["etag"], "nothing changes"

    lines = desk.rows("SELECT action, body FROM audit_line ORDER BY number")
    assert [action for action, _ in lines] == ["twin:change"] * 2
    assert all(word in lines[0][1] for word in ("city/lamp-01", FLUSH, "admin"))
    assert ("less traffic",) in desk.rows("SELECT value FROM audit_personal"), "why, erasable"


def test_a_message_that_is_lost_is_sent_again_and_a_replaced_card_gets_everything(
    client: TestClient, context: Context, desk: Desk, post: Post
) -> None:
    device = Device(desk, post)
    device.connect()
    client.put(TWIN, json={"desired": {"log": {"level": "debug"}}})
    assert len(sending.due_now(context)) == 1, "sent, and lost"
    assert sending.due_now(context) == [], "not at once"
    desk.connection.execute("UPDATE device_twin SET due_at = now() + interval '10 minutes'")
    device.tell()
    soon = desk.one("SELECT due_at < now() + interval '3 seconds' FROM device_twin")
    assert soon, "it speaks, with nothing new to say: it has not got it"
    desk.connection.execute("UPDATE device_twin SET due_at = now() - interval '1 second'")
    assert [m.full for m in device.fetch(context)] == [True]
    settle(context)
    assert client.get(TWIN).json()["in_step"] is True

    device.twin = DeviceTwin()
    device.connect(epoch=b"f" * 16)
    settle(context)
    assert [(m.version, m.patch, m.full) for m in device.fetch(context)] == [
        (1, {"log.level": "debug"}, True)
    ]
    device.twin = replace(device.twin, acknowledged=41, version=99)
    device.tell()
    settle(context)
    assert [m.version for m in device.fetch(context)] == [42], "a device that is ahead of our backup"
    desk.connection.execute("UPDATE device SET state = 'quarantined'")
    client.put(TWIN, json={"desired": {}})
    settle(context)
    assert device.fetch(context) == [], "who is shut out is told nothing"


def test_what_waits_for_who_is_away_is_not_looked_at_each_second(
    client: TestClient, context: Context, desk: Desk, post: Post
) -> None:
    aside = "SELECT count(*) FROM device_twin WHERE due_at = 'infinity'"
    client.put(TWIN, json={"desired": {FLUSH: 5}})
    assert sending.due_now(context) == []
    assert desk.one(aside) == 1
    client.put(TWIN, json={"desired": {FLUSH: 6}})
    assert sending.due_now(context) == []
    assert desk.one(aside) == 1
    assert client.get(TWIN).json()["in_step"] is False
    birth = Presence(True, NOW_MS, NOW_MS, b"e" * 16, "1.0", True)
    desk.take(post.tell(Up.PRESENCE, birth))  # without a report of its settings: that may come much later
    assert [m.patch for m in Device(desk, post).fetch(context)] == [{FLUSH: 6}]


def test_a_restored_file_is_brought_up_again(
    client: TestClient, context: Context, desk: Desk, post: Post
) -> None:
    """A backup of the card: the same storage to the server, with settings and versions of last week."""
    device = Device(desk, post)
    device.connect()
    client.put(TWIN, json={"desired": {FLUSH: 5}})
    device.fetch(context)
    backup = device.twin
    for seconds in (10, 19):
        client.put(TWIN, json={"desired": {FLUSH: seconds}})
        device.fetch(context)
    assert client.get(TWIN).json()["in_step"] is True
    device.twin = replace(backup, version=backup.version + 1)  # as an agent that does not know the time
    device.desk.take(post.tell(Up.PRESENCE, Presence(True, NOW_MS + 9, NOW_MS + 9, b"e" * 16, "1.0", True)))
    device.tell()
    assert client.get(TWIN).json()["in_step"] is False
    settle(context)
    desk.connection.execute("UPDATE device_twin SET due_at = now() WHERE due_at IS NOT NULL")
    assert [(m.patch, m.full) for m in device.fetch(context)] == [({FLUSH: 19}, True)]
    assert client.get(TWIN).json()["in_step"] is True


def test_an_older_program_that_knows_no_acks_is_sent_everything_once(
    client: TestClient, context: Context, desk: Desk, post: Post
) -> None:
    """It keeps the version that its successor had taken in, and not what it was."""
    device = Device(desk, post)
    device.connect()
    client.put(TWIN, json={"desired": {FLUSH: 5}})
    device.fetch(context)
    older = altered(report(device.twin, {FLUSH: 10.0}, {}), acks=None)
    for version in (1, 2):
        desk.take(post.tell(Up.TWIN, altered(older, version=older.version + version)))
    settle(context)
    desk.connection.execute("UPDATE device_twin SET due_at = now() WHERE due_at IS NOT NULL")
    [(_, payload)] = sending.due_now(context)
    assert decode(payload) == TwinDesired(older.acknowledged + 1, {FLUSH: 5}, True)
    taken = altered(older, version=older.version + 3, acknowledged=older.acknowledged + 1)
    desk.take(post.tell(Up.TWIN, taken))
    settle(context)
    desk.connection.execute("UPDATE device_twin SET due_at = now() WHERE due_at IS NOT NULL")
    assert sending.due_now(context) == [], "once"


def test_what_is_seen_must_be_what_is_there(client: TestClient, post: Post) -> None:
    assert (
        client.patch(TWIN, json={"desired": {"log.level": "debug"}}, headers={"If-Match": '"0"'}).status_code
        == 200
    )
    for headers, body, status, slug in (
        ({"If-Match": '"0"'}, {"desired": {"log": None}}, 412, "precondition-failed"),
        ({"If-Match": "x"}, {"desired": {"log": None}}, 422, "invalid-request"),
        ({}, {"desired": {"$version": 7, "log": None}}, 409, "conflict"),
        ({}, {"desired": {"$version": "7"}}, 422, "invalid-request"),
        ({}, {"desired": {"log": {"level": "loud"}}}, 422, "invalid-request"),
        ({}, {"desired": {"colour": "red"}}, 422, "invalid-request"),
        ({}, {"desired": [1]}, 422, "invalid-request"),
        ({}, {"desired": {FLUSH: 5}, "reported": {}}, 422, "invalid-request"),
        ({}, {}, 422, "invalid-request"),
        ({}, [], 422, "invalid-request"),
    ):
        answer = client.patch(TWIN, json=body, headers=headers)
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (status, slug), (
            headers,
            body,
        )
    for path in ("/api/v1/devices/city/nobody/twin", "/api/v1/devices/city/NO BODY/tags"):
        assert client.get(path).status_code == 404
    tags = "/api/v1/devices/city/lamp-01/tags"
    told = client.put(tags, json={"model": "pi5", "pole": {"height_m": 4}}, headers={"If-Match": '"1"'})
    assert told.status_code == 200
    assert client.patch(tags, json={"pole": None}, headers={"If-Match": '"1"'}).status_code == 412
    assert client.patch(tags, json={"model": ["x"]}).status_code == 422
    left = client.patch(tags, json={"pole": None}, headers={"If-Match": '"2", "9"'}).json()
    assert {k: v for k, v in left.items() if k != "$metadata"} == {"model": "pi5"}


def test_garbage_is_refused(client: TestClient, post: Post) -> None:
    client.post("/api/v1/groups", json={"name": "g"})
    bodies = (
        b"", b"{", b"null", b"[]", b"1", b'"x"', b'{"desired": "x"}',
        b'{"desired": {"log.level": "\\ud800"}}',
        b'{"desired": {"\\u0000": 1}}', b'{"add": ["\\ud800"]}', b'{"add": ["\\u0000"]}', b'{"add": [1]}',
        b'{"query": "name = \\"\\ud800\\""}', b'{"query": "name = \\"\\u0000\\""}', b'{"priority": 1e99}',
        b'{"name": "\\ud800"}', b'{"title": "\\u0000", "name": "x"}', b'{"desired": {"a": NaN}}',
        b'{"x": ' + b'{"x": ' * 500 + b"1" + b"}" * 501,
    )  # fmt: skip
    for method, path in (
        ("PATCH", TWIN),
        ("PUT", TWIN),
        ("PATCH", TWIN.replace("twin", "tags")),
        ("PATCH", "/api/v1/settings/tenant"),
        ("POST", "/api/v1/groups"),
        ("POST", "/api/v1/groups/preview"),
        ("POST", "/api/v1/groups/g/members"),
        ("PATCH", "/api/v1/groups/g/settings"),
        ("PATCH", "/api/v1/groups/\x00"),
    ):
        for body in bodies:
            headers = {"Content-Type": "application/json"}
            answer = client.request(method, path.replace("\0", "%00"), content=body, headers=headers)
            assert answer.status_code < 500, (method, path, body, answer.text)


def test_settings_come_down_from_tenant_and_groups(
    client: TestClient, context: Context, desk: Desk, post: Post
) -> None:
    other = Post("lamp-02")
    desk.register(other)
    client.put(
        "/api/v1/settings/tenant", json={"telemetry": {"flush_interval_s": 30}, "log.level": "warning"}
    )
    for name, priority in (("hill", 5), ("harbour", 5), ("all", 1)):
        assert client.post("/api/v1/groups", json={"name": name, "priority": priority}).status_code == 201
        assert client.post(f"/api/v1/groups/{name}/members", json={"add": ["lamp-01"]}).json()["members"] == 1
    client.patch("/api/v1/groups/all/settings", json={"presence.refresh_s": 300, FLUSH: 45})
    client.patch("/api/v1/groups/hill/settings", json={FLUSH: 20})
    client.patch("/api/v1/groups/harbour/settings", json={FLUSH: 15})
    client.patch(TWIN, json={"desired": {"log.level": "debug"}})
    settle(context)
    seen = client.get(TWIN).json()
    assert {key: (e["value"], e["source"], e["name"], e["ties"]) for key, e in seen["effective"].items()} == {
        FLUSH: (15, "group", "harbour", ["hill"]),
        "log.level": ("debug", "device", "city/lamp-01", []),
        "presence.refresh_s": (300, "group", "all", []),
    }
    assert client.get(TWIN.replace("01", "02")).json()["effective"].keys() == {FLUSH, "log.level"}
    version = seen["desired"]["$version"]
    assert client.delete("/api/v1/groups/harbour").status_code == 204
    settle(context)
    seen = client.get(TWIN).json()
    assert (seen["effective"][FLUSH]["value"], seen["desired"]["$version"]) == (20, version + 1)
    settle(context)
    assert client.get(TWIN).json()["desired"]["$version"] == version + 1, "nothing changes, nothing is sent"
    for path, body, status in (
        ("/api/v1/groups/hill/members", {"add": ["nobody"]}, 422),
        ("/api/v1/groups/nobody/members", {"add": []}, 404),
        ("/api/v1/groups", {"name": "hill"}, 409),
        ("/api/v1/groups", {"name": "-hill"}, 422),
        ("/api/v1/groups", {"name": "x", "priority": 5000}, 422),
        ("/api/v1/groups", {"name": "x", "query": "tag.a ="}, 422),
        ("/api/v1/groups/preview", {"query": "tag.a = 1 or"}, 422),
    ):
        answer = client.post(path, json=body)
        assert answer.status_code == status, (path, body, answer.text)
    assert client.patch("/api/v1/groups/hill/settings", json={FLUSH: "x"}).status_code == 422
    assert client.patch("/api/v1/groups/hill", json={"query": "tag.a = 1"}).status_code == 409
    keys = {each["key"] for each in client.get("/api/v1/settings").json()}
    assert {FLUSH, "sensor.*.every_s"} <= keys


QUERIES: dict[str, set[str]] = {
    'tag.model = "pi5"': {"lamp-01"},
    'tag.model != "pi5"': {"lamp-02", "lamp-03"},
    'not tag.model = "pi5"': {"lamp-02", "lamp-03"},
    "tag.model is set": {"lamp-01", "lamp-02"},
    "tag.height_m = 4": {"lamp-01", "lamp-02"},
    "tag.height_m = 4.0": {"lamp-01", "lamp-02"},
    'tag.height_m = "4"': set(),
    "tag.height_m >= 4 and tag.height_m < 4.5": {"lamp-01", "lamp-02"},
    'tag.model > "pi"': {"lamp-01", "lamp-02"},
    "tag.model > 3": set(),
    "tag.lit = true": {"lamp-01"},
    "tag.lit != true": {"lamp-02", "lamp-03"},
    'reported.agent.version < "0.10"': {"lamp-01"},
    'reported.agent.version >= "0.9"': {"lamp-01", "lamp-02"},
    'district in ("Harbour", "Old Town")': {"lamp-01", "lamp-02"},
    'district like "Har*"': {"lamp-01"},
    'name like "%"': set(),
    'name like "lamp-*" and not (district = "Harbour" or district is set)': {"lamp-03"},
    'site = "x\' OR 1=1 --"': set(),
    "district is set or tag.model is set": {"lamp-01", "lamp-02"},
    'state = "active" and version = "1.0"': {"lamp-01"},
}  # fmt: skip


def test_queries_find_whom_they_say(client: TestClient, context: Context, desk: Desk, post: Post) -> None:
    for name, tags, district in (
        ("lamp-01", {"model": "pi5", "height_m": 4, "lit": True}, "Harbour"),
        ("lamp-02", {"model": "pi4", "height_m": 4.0, "lit": "yes"}, "Old Town"),
        ("lamp-03", {"height_m": "high"}, ""),
    ):
        if name != post.name:
            desk.register(Post(name))
        desk.connection.execute("UPDATE device SET district = %s WHERE name = %s", (district, name))
        assert client.put(f"/api/v1/devices/city/{name}/tags", json=tags).status_code == 200
    Device(desk, post).connect()
    desk.connection.execute(
        "UPDATE device SET reported = '{\"agent.version\": \"0.10.1\"}' WHERE name = 'lamp-02'"
    )
    desk.connection.execute(
        "INSERT INTO device (tenant, name, district) VALUES ('town', 'lamp-01', 'Harbour')"
    )
    found = {}
    for text in QUERIES:
        answer = client.post("/api/v1/groups/preview", json={"query": text})
        assert answer.status_code == 200, (text, answer.text)
        assert answer.json()["count"] == len(answer.json()["first"])
        found[text] = {each.partition("/")[2] for each in answer.json()["first"]}
        assert all(each.startswith("city/") for each in answer.json()["first"])
    assert found == QUERIES


def test_a_dynamic_group_follows_tags_reports_and_districts(
    client: TestClient, context: Context, desk: Desk, post: Post
) -> None:
    text = 'tag.model = "pi5" or reported.agent.version = "0.9" or district = "Harbour"'
    made = client.post("/api/v1/groups", json={"name": "g", "query": text}).json()
    assert made["members"] == 0
    client.patch("/api/v1/groups/g/settings", json={FLUSH: 7})
    tags = "/api/v1/devices/city/lamp-01/tags"

    def inherits() -> bool:
        settle(context)
        return FLUSH in client.get(TWIN).json()["effective"]

    assert not inherits()
    client.put(tags, json={"model": "pi5"})
    assert inherits()
    client.put(tags, json={})
    assert not inherits()
    Device(desk, post).connect()
    assert inherits(), "its report changed"
    desk.connection.execute("UPDATE device SET reported = '{}'")
    assert looked_at(context) == 1
    assert not inherits(), "the look once a minute"
    desk.connection.execute("UPDATE device SET district = 'Harbour'")
    assert looked_at(context) == 1
    assert inherits()
    assert client.get("/api/v1/groups/g/members").json() == {"devices": ["city/lamp-01"], "next_after": None}
    assert client.post("/api/v1/groups/g/members", json={"remove": ["lamp-01"]}).status_code == 409
    client.patch("/api/v1/groups/g", json={"query": "tag.nothing is set"})
    assert not inherits()


def test_a_query_that_takes_long_keeps_nobody_waiting(
    client: TestClient, context: Context, desk: Desk, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither other groups of the tenant nor another tenant's settings; its members stay as found last."""
    town = Principal("operator", "tom", frozenset({Role.ADMIN}), tenant="town")
    desk.connection.execute("INSERT INTO device (tenant, name, state) VALUES ('town', 'lamp-01', 'active')")
    for name in "abc":
        groups.create(context, ADMIN, name, text='name = "lamp-01"', tenant="city")
    groups.create(context, town, "d", text="tag.lit = true")
    settle(context)
    compiled = query_sql.compiled

    def slow(tree: query.Node, prefix: str = "q") -> tuple[str, Mapping[str, object]]:
        condition, parameters = compiled(tree, prefix)
        hangs = isinstance(tree, query.Compare) and tree.value == "lamp-01"
        return (f"({condition} AND pg_sleep(10) IS NOT NULL)" if hangs else condition), parameters

    monkeypatch.setattr(fitting, "compiled", slow)
    monkeypatch.setattr(fitting, "TOGETHER_MS", 100)
    monkeypatch.setattr(fitting, "ALONE_MS", 50)
    monkeypatch.setattr(fitting, "WHOLE_MS", 50)
    monkeypatch.setattr(fitting, "SLOW_MOST", 2)
    groups.change(context, ADMIN, "b", text="tag.lit = true", tenant="city")
    tagged = Wish({"lit": True})
    service.change_tags(context, ADMIN, post.address, tagged)
    service.change_tags(context, town, Address("town", "lamp-01"), tagged)
    settle(context)

    def found(who: Principal = ADMIN, tenant: str = "city") -> dict[str, tuple[int, bool]]:
        listed = groups.groups(context, who, tenant)
        return {each.name: (each.members, each.slow_since is not None) for each in listed}

    assert found(town, "town") == {"d": (1, False)}
    assert found() == {"a": (1, True), "b": (1, False), "c": (1, True)}
    assert client.get("/api/v1/groups/a").json()["slow_since"]
    assert looked_at(context) == 4, "each once a minute all the same"
    for asked in (
        client.post("/api/v1/groups/preview", json={"query": 'name = "lamp-01"'}),
        client.post("/api/v1/groups", json={"name": "e", "query": 'name = "lamp-01"'}),
    ):
        assert (asked.status_code, "takes longer" in asked.json()["detail"]) == (422, True)
    groups.change(context, ADMIN, "a", text="tag.lit = false", tenant="city")
    monkeypatch.setattr(fitting, "compiled", compiled)
    monkeypatch.setattr(fitting, "WHOLE_MS", 5_000)
    assert looked_at(context) == 4
    assert found() == {"a": (0, False), "b": (1, False), "c": (1, False)}, "quick again"


def test_no_more_groups_than_the_quota(client: TestClient, context: Context) -> None:
    tenants.put_tenant(context, ADMIN, "city", quotas={"groups": 2})
    tenants.put_tenant(context, ADMIN, "town")
    made = [client.post("/api/v1/groups", json={"name": name}) for name in ("a", "b", "c")]
    assert [each.status_code for each in made] == [201, 201, 409]
    assert "may have 2 groups" in made[2].json()["detail"]
    groups.create(context, ADMIN, "c", tenant="town")
    client.delete("/api/v1/groups/a")
    assert client.post("/api/v1/groups", json={"name": "c"}).status_code == 201


def test_nobody_reaches_into_another_tenant(context: Context, desk: Desk, post: Post) -> None:
    stranger = Principal("operator", "tom", frozenset({Role.ADMIN}), tenant="town")
    service.change_tenant_settings(context, ADMIN, Wish({FLUSH: 30}), "city")
    groups.create(context, ADMIN, "g", text="tag.a = 1", tenant="city")
    wish = Wish({FLUSH: 5})
    for call in (
        lambda: service.twin(context, stranger, post.address),
        lambda: service.change_desired(context, stranger, post.address, wish),
        lambda: service.change_tags(context, stranger, post.address, wish),
        lambda: service.tenant_settings(context, stranger, "city"),
        lambda: service.change_tenant_settings(context, stranger, wish, "city"),
        lambda: groups.group(context, stranger, "g", "city"),
        lambda: groups.preview(context, stranger, "tag.a = 1", "city"),
    ):
        with pytest.raises(OtherTenant):
            call()
    assert groups.groups(context, stranger) == []
    assert service.tenant_settings(context, stranger).settings == {}
    groups.create(context, stranger, "g")
    with context.db.session() as session:
        assert [each.tenant for each in group_store.groups(session, "city")] == ["city"]


def test_more_than_a_message_holds_is_told_and_stops_nobody(
    client: TestClient, context: Context, desk: Desk, post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    """Each place may hold 200 settings: together they may be more than a message's keys."""
    one, other = ({f"sensor.{place}{n}.every_s": 5 for n in range(150)} for place in "ab")
    assert client.patch("/api/v1/settings/tenant", json=one).status_code == 200
    assert client.patch(TWIN, json={"desired": other}).status_code == 200
    Device(desk, post).connect()
    settle(context)
    assert sending.due_now(context) == []
    assert "the settings of city/lamp-01 cannot be sent" in caplog.text
