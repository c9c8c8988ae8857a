"""Commands over HTTP and by the ingest: asked for, sent, answered, taken back; files; bulks; who may."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from fleet_server.access import service as access
from fleet_server.access.rules import CONSOLE, Principal, Role
from fleet_server.auditor import service as auditor
from fleet_server.commands import rules, service, upkeep
from fleet_server.commands.errors import AskedDifferently
from fleet_server.commands.rules import State
from fleet_server.commands.sending import due_now
from fleet_server.commands.service import Ask, CommandName, Wanted
from fleet_server.context import Context
from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment import standing
from fleet_server.errors import Forbidden, NotFound
from fleet_server.tenants import service as tenants
from fleet_server.twin import groups
from tests.fleet_server.telemetry.support import NOW_MS, Desk, Post
from tests.support.api import app_of
from tests.support.server_context import ADMIN, OPERATOR, VIEWER
from wire_contract.classes import Class
from wire_contract.envelope import decode
from wire_contract.limits import FILE_PIECE_BYTES
from wire_contract.messages import Command, CommandOutcome, CommandReply, FilePiece, Presence
from wire_contract.topics import Address, Up

PASSWORD = "a lamp for every street"
COMMANDS = "/api/v1/devices/city/lamp-01/commands"
HERE = Principal("operator", "cia", frozenset({Role.OPERATOR}), tenant="city")
ELSEWHERE = Principal("operator", "olga", frozenset({Role.OPERATOR}), tenant="elsewhere")


@pytest.fixture
def http(context: Context) -> Iterator[TestClient]:
    access.create_operator(context, CONSOLE, "ana", PASSWORD, (Role.OPERATOR,))
    with TestClient(app_of(context), raise_server_exceptions=False) as client:
        client.post("/api/v1/session", json={"name": "ana", "password": PASSWORD})
        yield client


def online(desk: Desk, post: Post, session: int = 1) -> None:
    desk.take(post.tell(Up.PRESENCE, Presence(True, session, NOW_MS + session, post.epoch, "1.2", True)))


def sent(context: Context, after: timedelta = timedelta(seconds=1)) -> list[Command]:
    commands = [decode(each.payload) for each in due_now(context, datetime.now(UTC) + after)]
    return [each for each in commands if isinstance(each, Command)]


def pieces(token: str, name: str, content: bytes) -> list[FilePiece]:
    digest = hashlib.sha256(content).digest()
    starts = range(0, len(content), FILE_PIECE_BYTES)
    return [
        FilePiece(token, name, n, len(content), digest, content[start : start + FILE_PIECE_BYTES])
        for n, start in enumerate(starts)
    ]


def test_from_asking_to_the_answer(http: TestClient, context: Context, desk: Desk, post: Post) -> None:
    answer = http.post(COMMANDS, json={"command": "sensors", "reason": "it smells"})
    asked = answer.json()
    assert (answer.status_code, asked["state"], asked["asked_by"]) == (201, "queued", "ana")
    assert sent(context) == [], "the lamppost is not online"
    online(desk, post)
    [command] = sent(context)
    assert (command.name, command.args) == ("sensors", {})
    assert command.expires_ms > NOW_MS + 86_000_000, "by the street's clock, which the lamppost has"
    assert sent(context) == []
    online(desk, post, session=2)
    assert [each.id for each in sent(context)] == [command.id], "at once over a new connection"
    location = answer.headers["location"]
    begun = CommandReply(command.id, True, "", NOW_MS, CommandOutcome.RECEIVED)
    desk.take(post.publish(Class.REPLY, begun))
    assert http.get(location).json()["state"] == "received"
    assert http.post(f"{location}/cancel", json={}).status_code == 409
    result = {"sensor.front": "silent: no frame"}
    ended = CommandReply(command.id, False, "0 of 1", NOW_MS, CommandOutcome.FAILED, result)
    desk.take(post.publish(Class.REPLY, ended), post.publish(Class.REPLY, ended))
    shown = http.get(location).json()
    assert (shown["state"], shown["detail"], shown["result"], shown["late"]) == (
        "failed",
        "0 of 1",
        result,
        "",
    )
    late = CommandReply(command.id, True, "after all", NOW_MS, CommandOutcome.SUCCEEDED)
    desk.take(post.publish(Class.REPLY, late))
    shown = http.get(location).json()
    assert (shown["state"], shown["late"]) == ("failed", "succeeded: after all")
    assert desk.rows("SELECT * FROM command_reply") == [], "that table is for what nobody asked"


def test_a_bundle_comes_in_pieces_in_any_order(
    http: TestClient, context: Context, desk: Desk, post: Post
) -> None:
    online(desk, post)
    location = http.post(COMMANDS, json={"command": "bundle"}).headers["location"]
    [command] = sent(context)
    content = os.urandom(2 * FILE_PIECE_BYTES + 5)
    first, second, third = pieces(command.id, "bundle.tar.zst", content)
    done = CommandReply(command.id, True, "", NOW_MS, CommandOutcome.SUCCEEDED)
    assert http.get(f"{location}/file").status_code == 404
    desk.take(*(post.publish(Class.REPLY, each) for each in (third, done, first, first)))
    shown = http.get(location).json()
    assert (shown["state"], shown["file"]["pieces"], shown["file"]["of"]) == ("succeeded", 2, 3)
    assert http.get(f"{location}/file").status_code == 409
    other = pieces(command.id, "bundle.tar.zst", os.urandom(len(content)))[1]
    wrong = pieces(command.id, "passwd", b"x")[0]
    nobody = pieces("f" * 32, "bundle.tar.zst", b"x")[0]
    outcome = desk.take(*(post.publish(Class.REPLY, each) for each in (other, wrong, nobody)))
    assert outcome.counts["file_pieces_nobody_asked_for"] == 2
    assert http.get(location).json()["file"]["complete"] is False, "a piece of another whole is none"
    desk.take(post.publish(Class.REPLY, second))
    answer = http.get(f"{location}/file")
    assert (answer.status_code, answer.content) == (200, content)
    assert answer.headers["content-type"] == "application/zstd"
    desk.connection.execute("UPDATE command_piece SET data = data || 'x' WHERE index = 2")
    assert http.get(f"{location}/file").status_code == 409, "damaged"
    assert upkeep.forget(desk.connection, datetime.now(UTC)) == 0
    desk.connection.execute("DELETE FROM command_file")
    desk.take(*(post.publish(Class.REPLY, each) for each in (first, second, third)))
    assert http.get(f"{location}/file").content == content, "sent once more"
    upkeep.forget(desk.connection, datetime.now(UTC) + rules.FILES_KEPT + timedelta(hours=1))
    assert http.get(f"{location}/file").status_code == 404
    assert desk.one("SELECT count(*) FROM command_piece") == 0
    upkeep.forget(desk.connection, datetime.now(UTC) + rules.KEPT + timedelta(hours=1))
    assert http.get(location).status_code == 404


def test_a_tenants_files_push_out_its_own_oldest_alone(context: Context, desk: Desk, post: Post) -> None:
    tenants.put_tenant(context, ADMIN, "town", quotas={"files_mb": 3})
    theirs = Address("town", "lamp-09")
    desk.connection.execute("INSERT INTO device (tenant, name, state) VALUES ('town', 'lamp-09', 'active')")
    for address in (post.address, theirs, theirs, post.address, theirs):
        service.ask(context, ADMIN, address, Ask(CommandName.BUNDLE))
    desk.connection.execute(
        "INSERT INTO command_file (command_id, tenant, name, size, sha256, came_at)"
        " SELECT id, tenant, 'bundle.tar.zst', CASE tenant WHEN 'town' THEN 1500000 ELSE 1020000000 END, 'x',"
        " now() FROM command"
    )

    def kept() -> list[tuple[str, int]]:
        found = desk.rows("SELECT c.tenant, c.id FROM command_file f JOIN command c ON c.id = f.command_id")
        return sorted((tenant, number) for tenant, number in found)

    everything = kept()
    assert upkeep.forget(desk.connection, datetime.now(UTC)) == 1
    assert kept() == [each for each in everything if each != ("town", everything[2][1])], "its oldest"
    tenants.put_tenant(context, ADMIN, "city", quotas={"files_mb": 1_100})
    assert upkeep.forget(desk.connection, datetime.now(UTC)) == 1
    assert kept() == everything[1:2] + everything[3:]


def test_what_waits_for_who_is_away_is_not_looked_at_each_second(
    context: Context, desk: Desk, post: Post
) -> None:
    for _ in range(2):
        service.ask(context, OPERATOR, post.address, Ask(CommandName.PING))
    with context.db.raw(autocommit=True) as connecting, connecting.transaction():
        connecting.execute("UPDATE device SET presence = 'online' WHERE name = 'lamp-01'")
        assert sent(context) == [], "it connects in this instant"
        assert desk.one("SELECT count(*) FROM command WHERE waits") == 0
        connecting.execute("UPDATE device SET presence = 'offline' WHERE name = 'lamp-01'")
    assert sent(context) == []
    assert desk.one("SELECT count(*) FROM command WHERE waits") == 2
    online(desk, post)
    [first] = sent(context)
    desk.connection.execute("UPDATE device SET presence = 'offline'")
    assert sent(context) == []
    online(desk, post, session=2)
    assert [each.id for each in sent(context)] == [first.id]
    desk.take(post.publish(Class.REPLY, CommandReply(first.id, True, "pong", NOW_MS)))
    assert len(sent(context)) == 1, "the next one, in its order"


def test_the_same_key_twice_is_one_demand(context: Context, desk: Desk, post: Post) -> None:
    """Alone, in bulk, of a group; at the same time; and anything else under it is refused."""
    other = Post("lamp-02")
    desk.register(other)
    both = [post.address, other.address]
    ping = Ask(CommandName.PING, key="k1")

    def many(addresses: list[Address], ask: Ask, rate: int = rules.RATE) -> str:
        return service.ask_many(context, OPERATOR, addresses, ask, rate).id

    with ThreadPoolExecutor(4) as threads:
        made = set(threads.map(lambda _: many(both, ping), range(4)))
    assert len(made) == 1
    assert many([*reversed(both), post.address], replace(ping, reason="in other words")) in made
    desk.connection.execute("UPDATE device SET state = 'quarantined' WHERE name = 'lamp-02'")
    assert many(both, ping) in made, "the same answer, whatever has become of them"
    assert desk.one("SELECT count(*) FROM command") == 2
    for different in (
        lambda: many(both[:1], ping),
        lambda: many(both, replace(ping, name=CommandName.DECLARE)),
        lambda: many(both, replace(ping, expiry=timedelta(hours=1))),
        lambda: many(both, ping, rate=30),
        lambda: service.ask(context, OPERATOR, post.address, ping),
        lambda: service.ask_group(context, OPERATOR, "g", ping, tenant="city"),
    ):
        with pytest.raises(AskedDifferently):
            different()
    desk.connection.execute("UPDATE command SET digest = ''")
    assert many(both, ping) in made, "asked for before there were digests"

    groups.create(context, ADMIN, "g", tenant="city")
    groups.change_members(context, ADMIN, "g", add=["lamp-01"], remove=[], tenant="city")
    whole = Ask(CommandName.LOGS, {"lines": "5"}, key="k2")
    first = service.ask_group(context, OPERATOR, "g", whole, tenant="city")
    groups.change_members(context, ADMIN, "g", add=[], remove=["lamp-01"], tenant="city")
    assert service.ask_group(context, OPERATOR, "g", whole, tenant="city") == first
    with pytest.raises(AskedDifferently):
        service.ask_group(context, OPERATOR, "g", replace(whole, arguments={"lines": "6"}), tenant="city")

    single = Ask(CommandName.PING, key="k3")
    with ThreadPoolExecutor(4) as threads:
        ids = set(threads.map(lambda _: service.ask(context, OPERATOR, post.address, single).id, range(4)))
    assert len(ids) == 1
    with pytest.raises(AskedDifferently):
        many(both[:1], single)


def test_who_is_shut_out_for_good_is_told_nothing_more(context: Context, desk: Desk, post: Post) -> None:
    """Of a quarantined lamppost commands wait; of a decommissioned one they end, in the same transaction."""
    online(desk, post)
    begun, waiting, later = (
        service.ask(context, OPERATOR, post.address, Ask(CommandName.PING)) for _ in range(3)
    )
    [command] = sent(context)
    desk.take(post.publish(Class.REPLY, CommandReply(command.id, True, "", NOW_MS, CommandOutcome.RECEIVED)))
    standing.change_state(context, ADMIN, post.address, DeviceState.QUARANTINED)
    assert service.get_command(context, OPERATOR, waiting.id).state is State.QUEUED
    standing.change_state(context, ADMIN, post.address, DeviceState.ACTIVE)
    standing.change_state(context, ADMIN, post.address, DeviceState.DECOMMISSIONED)
    ended = [service.get_command(context, OPERATOR, each.id) for each in (begun, waiting, later)]
    assert [each.state for each in ended] == [State.RECEIVED, State.CANCELED, State.CANCELED]
    assert (ended[1].canceled_by, ended[1].detail) == (ADMIN.name, "the lamppost was decommissioned")
    newest = auditor.lines(context, ADMIN, auditor.Wanted(action="devices:decommission"), 10)
    assert [each.after for each in newest] == [{"state": "decommissioned", "commands_canceled": 2}]
    over = datetime.now(UTC) + begun.timeout_s * timedelta(seconds=1) + timedelta(seconds=5)
    assert upkeep.run_clocks(desk.connection, over) == 1, "what had begun ends by its time-out"


def test_a_bulk_goes_out_at_its_rate_and_is_taken_back(
    http: TestClient, context: Context, desk: Desk, post: Post
) -> None:
    others = [Post(f"lamp-{n:02}") for n in range(2, 6)]
    desk.register(*others)
    for each in (post, *others):
        online(desk, each)
    names = [str(each.address) for each in (post, *others)]
    order: dict[str, Any] = {"command": "ping", "devices": names, "rate": 1}
    made = http.post("/api/v1/commands/bulk", json=order, headers={"Idempotency-Key": "monday"})
    bulk = made.json()
    assert (made.status_code, bulk["commands"], bulk["states"]) == (202, 5, {"queued": 5})
    again = http.post("/api/v1/commands/bulk", json=order, headers={"Idempotency-Key": "monday"}).json()
    assert again == bulk
    assert len(sent(context)) == 1, "one a minute"
    service.ask(context, OPERATOR, others[3].address, Ask(CommandName.DECLARE))
    assert [each.name for each in sent(context)] == ["declare"], "what waits for its turn holds up nobody"
    assert len(sent(context, timedelta(seconds=121))) >= 2
    address = f"/api/v1/commands/bulk/{bulk['id']}"
    [page] = [http.get("/api/v1/commands", params={"bulk": bulk["id"], "limit": 2}).json()]
    assert [each["device"] for each in page["commands"]] == ["city/lamp-05", "city/lamp-04"]
    rest = http.get("/api/v1/commands", params={"bulk": bulk["id"], "before": page["next_before"]}).json()
    assert len(rest["commands"]) == 3
    token = desk.one("SELECT token FROM command WHERE state = 'sent' AND name = 'ping' ORDER BY id LIMIT 1")
    desk.take(post.publish(Class.REPLY, CommandReply(token, True, "pong", NOW_MS)))
    assert http.get(address).json()["states"]["succeeded"] == 1, "an agent without outcomes"
    states = http.post(f"{address}/cancel", json={"reason": "enough"}).json()["states"]
    assert states == {"succeeded": 1, "canceled": 4}
    order["devices"] = [*names, "city/nowhere"]
    assert http.post("/api/v1/commands/bulk", json=order).status_code == 404
    order["devices"] = []
    assert http.post("/api/v1/commands/bulk", json=order).status_code == 422
    groups.create(context, ADMIN, "harbour", tenant="city")
    order["group"] = "harbour"
    assert http.post("/api/v1/commands/bulk", json=order).status_code == 422, "nobody is in it"
    groups.change_members(context, ADMIN, "harbour", add=["lamp-02", "lamp-03"], remove=[], tenant="city")
    desk.connection.execute("UPDATE device SET state = 'quarantined' WHERE name = 'lamp-03'")
    assert http.post("/api/v1/commands/bulk", json=order).json()["commands"] == 1, "who can be told"
    assert http.post("/api/v1/commands/bulk", json=order | {"devices": names}).status_code == 422
    assert http.post("/api/v1/commands/bulk", json=order | {"group": "nowhere"}).status_code == 404
    del order["group"]
    order |= {"devices": names[:1], "expiry_s": 60}
    assert http.post("/api/v1/commands/bulk", json=order).status_code == 422


def test_who_may_and_what_is_refused(http: TestClient, context: Context, desk: Desk, post: Post) -> None:
    made = service.ask(context, OPERATOR, post.address, Ask(CommandName.PING, key="one"))
    assert service.ask(context, OPERATOR, post.address, Ask(CommandName.PING, key="one")).id == made.id
    with pytest.raises(Forbidden):
        service.ask(context, VIEWER, post.address, Ask(CommandName.PING))
    with pytest.raises(Forbidden):
        service.cancel(context, VIEWER, made.id)
    assert service.get_command(context, VIEWER, made.id).state is State.QUEUED
    for refused in (
        lambda: service.ask(context, ELSEWHERE, post.address, Ask(CommandName.PING)),
        lambda: service.ask_many(context, ELSEWHERE, [post.address], Ask(CommandName.PING)),
        lambda: service.get_command(context, ELSEWHERE, made.id),
        lambda: service.cancel(context, ELSEWHERE, made.id),
        lambda: service.fetch_file(context, ELSEWHERE, made.id),
        lambda: service.ask(context, OPERATOR, Address("city", "nowhere"), Ask(CommandName.PING)),
    ):
        with pytest.raises(NotFound):
            refused()
    assert service.list_commands(context, ELSEWHERE, Wanted()) == []
    theirs = service.ask(context, HERE, post.address, Ask(CommandName.PING)).id
    bulk = service.ask_many(context, HERE, [post.address], Ask(CommandName.PING)).id
    assert [each.id for each in service.list_commands(context, HERE, Wanted())] == [
        theirs + 1,
        theirs,
        made.id,
    ]
    assert service.cancel(context, HERE, theirs).state is State.CANCELED
    assert service.cancel_bulk(context, HERE, bulk).counts == {State.CANCELED: 1}
    for body, status in (
        ({"command": "rm -rf /"}, 422),
        ({"command": "ping", "lines": 5}, 422),
        ({"command": "logs", "lines": 0}, 422),
        ({"command": "ping", "expiry_s": 1}, 422),
        ({"command": "ping", "reason": "a\0b"}, 422),
        ({}, 422),
    ):
        assert http.post(COMMANDS, json=body).status_code == status, body
    wrong = {"Idempotency-Key": "a b"}
    assert http.post(COMMANDS, json={"command": "ping"}, headers=wrong).status_code == 422
    mine = {"Idempotency-Key": "mine"}
    assert http.post(COMMANDS, json={"command": "ping"}, headers=mine).status_code == 201
    assert http.post(COMMANDS, json={"command": "declare"}, headers=mine).status_code == 409
    desk.connection.execute("UPDATE device SET state = 'quarantined'")
    assert http.post(COMMANDS, json={"command": "ping"}).status_code == 409
    online(desk, post)
    assert sent(context) == [], "a quarantined lamppost is told nothing"


def test_what_is_not_begun_expires_and_too_many_are_refused(
    http: TestClient, context: Context, desk: Desk, post: Post
) -> None:
    for _ in range(rules.WAITING_MOST):
        service.ask(context, OPERATOR, post.address, Ask(CommandName.PING, expiry=timedelta(minutes=1)))
    answer = http.post(COMMANDS, json={"command": "ping"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    online(desk, post)
    sent(context)
    later = datetime.now(UTC) + timedelta(minutes=1, seconds=5)
    assert upkeep.run_clocks(desk.connection, later) == rules.WAITING_MOST - 1
    assert upkeep.run_clocks(desk.connection, later) == 0
    assert upkeep.run_clocks(desk.connection, later + rules.EXPIRY_GRACE) == 1
    states = http.get(COMMANDS, params={"state": "expired", "limit": 1}).json()["commands"]
    assert states[0]["detail"] == "not sent: the lamppost was not online in time"
    first = http.get(COMMANDS).json()["commands"][-1]
    assert first["detail"] == "sent 1 times, and no word came that it began"


def test_one_that_takes_long_keeps_no_other_from_expiring(
    context: Context, desk: Desk, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "ROWS_A_TICK", 1)
    soon = timedelta(minutes=1)
    service.ask(context, OPERATOR, post.address, Ask(CommandName.SENSORS, expiry=soon, timeout=timedelta(7)))
    online(desk, post)
    [command] = sent(context)
    begun = CommandReply(command.id, True, "", NOW_MS, CommandOutcome.RECEIVED)
    desk.take(post.publish(Class.REPLY, begun))
    waits = service.ask(context, OPERATOR, post.address, Ask(CommandName.PING, expiry=soon))
    assert upkeep.run_clocks(desk.connection, datetime.now(UTC) + 2 * soon) == 1
    assert service.get_command(context, OPERATOR, waits.id).state is State.EXPIRED
