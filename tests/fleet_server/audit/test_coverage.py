"""Every action that changes something leaves exactly one line: who, what, on what, from where, why, which
request.

An action is done here once, or stands in `LEAVES_NO_LINE` with the reason: a new one in neither fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from air_quality.calibration import Calibration
from fleet_server.access import service as access
from fleet_server.access import tokens, two_person
from fleet_server.access.errors import SecondPersonNeeded
from fleet_server.access.rules import Action, Principal, Role
from fleet_server.air import service as air
from fleet_server.audit import keys
from fleet_server.auditor import service as auditor
from fleet_server.auditor.service import LineView, Wanted
from fleet_server.commands import service as commands
from fleet_server.context import Context
from fleet_server.decisions import service as decisions
from fleet_server.devices import service as devices
from fleet_server.devices.rules import DeviceState
from fleet_server.devices.service import Address
from fleet_server.enrolment import batches, issuing, registered_keys, revoking, store
from fleet_server.enrolment import service as enrolment
from fleet_server.origin import coming_from
from fleet_server.privacy import service as privacy
from fleet_server.technician import service as technician
from fleet_server.technician.rules import Kind
from fleet_server.telemetry import retention
from fleet_server.telemetry import service as telemetry
from fleet_server.tenants import service as tenants
from fleet_server.twin import groups
from fleet_server.twin import service as twin
from fleet_server.twin.service import Wish
from provisioning.authority import Authority
from tests.support.mosquitto import make_request
from wire_contract.messages import CommandName

PASSWORD = "nine green lamps at dusk"
ADA = Principal("operator", "ada.admin", frozenset({Role.ADMIN}), "city")
ADA_EVERYWHERE = Principal("operator", "ada.admin", frozenset({Role.ADMIN}))
LAMP = Address("city", "lamp-01")

LEAVES_NO_LINE = {
    **{action: "it only looks" for action in Action if action.endswith(":read") and action != "privacy:read"},
    Action.DEVICES_REPORT: "what a device says of itself; a thousand of them would drown the log",
    Action.TELEMETRY_WRITE: "measurements have a ledger of their own",
}
BY_DEVICES = {
    Action.ENROLMENTS_REQUEST: "a claim's, in the enrolment's tests",
    Action.CERTIFICATES_RENEW: "a device's",
}

WHY = "Bob's balcony is rebuilt"
# what is given with the act itself goes before what the request says
REASONS = {
    Action.ENROLMENTS_DECIDE: "not ours",
    Action.APPROVALS_DECIDE: "no",
    Action.INCIDENTS_WORK: "Bob was there",
    Action.PRIVACY_ERASE: "request 17",
    Action.CERTIFICATES_REVOKE: f"keyCompromise: {WHY}",
}


@dataclass
class World:
    ctx: Context
    more: dict[str, Any] = field(default_factory=dict)

    def sql(self, statement: str) -> Any:
        with self.ctx.db.session() as session:
            return session.execute(text(statement)).scalar_one()


def claimed(world: World, device: str) -> str:
    return enrolment.make_claim(world.ctx, ADA, device).token.partition(".")[0]


def pending(world: World) -> int:
    claim_id, _, secret = enrolment.make_claim(world.ctx, ADA, "lamp-09").token.partition(".")
    request, _ = make_request("city/lamp-09")
    return enrolment.request_certificate(world.ctx, claim_id, secret, request).enrolment.id


def certified(world: World) -> str:
    authority = Authority.init(world.ctx.authority_directory, "Testing")
    chain = authority.issue_device(make_request(str(LAMP))[0], LAMP)
    made = issuing.certificate(LAMP, chain, datetime.now(UTC))
    with world.ctx.db.session() as session:
        store.insert_certificate(session, made)
    return made.serial


def requested(world: World) -> int:
    with pytest.raises(SecondPersonNeeded) as asked:
        two_person.need(
            of_two(world.ctx, "on"), ADA, Action.PRIVACY_ERASE, "linus", b"d", what="erase", tenant="city"
        )
    return int(asked.value.members["request"])


def letter(world: World) -> int:
    return int(
        world.sql(
            "INSERT INTO dead_letter (device_id, topic, content_hash, payload, reason)"
            " SELECT id, 'lp/1/city/lamp-01/up/live', 'h', 'p', 'bad_message' FROM device RETURNING id"
        )
    )


# action -> (what has to be there first, the act)
Act = tuple[Callable[[World], Any] | None, Callable[[World, Any], Any]]
ACTS: dict[Action, Act] = {
    Action.DEVICES_REGISTER: (None, lambda w, _: devices.register(w.ctx, ADA, Address("city", "lamp-02"))),
    Action.DEVICES_CHANGE: (None, lambda w, _: devices.change_place(w.ctx, ADA, LAMP, district="Harbour")),
    Action.DEVICES_DECOMMISSION: (
        lambda w: devices.register(w.ctx, ADA, Address("city", "lamp-03")),
        lambda w, _: devices.change_state(w.ctx, ADA, Address("city", "lamp-03"), DeviceState.DECOMMISSIONED),
    ),
    Action.DEVICES_COMMAND: (
        None,
        lambda w, _: commands.ask(w.ctx, ADA, LAMP, commands.Ask(CommandName.PING)),
    ),
    Action.CALIBRATIONS_CHANGE: (
        None,
        lambda w, _: air.set_calibration(w.ctx, ADA, LAMP, Calibration(0.6, 0.0, 0.0, 0, "Bob", "pm2_5")),
    ),
    Action.RETENTION_CHANGE: (None, lambda w, _: retention.set_days(w.ctx, ADA, "city", "standard", 90)),
    Action.DEAD_LETTERS_REPLAY: (letter, lambda w, number: telemetry.replay(w.ctx, ADA, number)),
    Action.CLAIMS_CREATE: (None, lambda w, _: claimed(w, "lamp-05")),
    Action.CLAIMS_WITHDRAW: (
        lambda w: claimed(w, "lamp-06"),
        lambda w, claim: enrolment.withdraw(w.ctx, ADA, claim),
    ),
    Action.ENROLMENTS_DECIDE: (pending, lambda w, number: enrolment.reject(w.ctx, ADA, number, "not ours")),
    Action.CLAIMS_BATCH: (None, lambda w, _: batches.make_batch(w.ctx, ADA, "Bob", 2)),
    Action.KEYS_PREREGISTER: (
        None,
        lambda w, _: registered_keys.register_keys(
            w.ctx, ADA, [registered_keys.Vouched("lamp-08", "0123456789abcdef" * 4)]
        ),
    ),
    Action.CERTIFICATES_REVOKE: (
        certified,
        lambda w, serial: revoking.revoke(w.ctx, ADA, LAMP, serial, revoking.Reason.KEY_COMPROMISE),
    ),
    Action.INCIDENTS_WORK: (
        lambda w: w.sql(
            "INSERT INTO incident (tenant, kind, state, severity, title, opened_at, first_verdict_at,"
            " last_verdict_at, devices, peak_score)"
            " VALUES ('city', 'episode', 'open', 'minor', 't', now(), now(), now(), 1, 0.5) RETURNING id"
        ),
        lambda w, number: decisions.note(w.ctx, ADA, number, "Bob was there"),
    ),
    Action.OPERATORS_CREATE: (
        None,
        lambda w, _: access.create_operator(w.ctx, ADA, "linus", PASSWORD, (Role.VIEWER,)),
    ),
    Action.SESSION_CHANGE: (
        lambda w: access.sign_in(w.ctx, ADA.name, PASSWORD).token,
        lambda w, token: access.change_own_password(w.ctx, ADA, token, PASSWORD, PASSWORD + "!"),
    ),
    Action.TOKENS_CREATE: (None, lambda w, _: tokens.make(w.ctx, ADA, a_token())),
    Action.TOKENS_REVOKE: (
        lambda w: tokens.make(w.ctx, ADA, a_token()).described.id,
        lambda w, number: tokens.revoke(w.ctx, ADA, number),
    ),
    Action.APPROVALS_DECIDE: (
        requested,
        lambda w, number: two_person.refuse(w.ctx, second(), number, "no"),
    ),
    Action.TWIN_CHANGE: (
        None,
        lambda w, _: twin.change_tags(w.ctx, ADA, LAMP, Wish({"model": "pi5"})),
    ),
    Action.GROUPS_CHANGE: (None, lambda w, _: groups.create(w.ctx, ADA, "north")),
    Action.SITES_REPORT: (
        None,
        lambda w, _: technician.do_work(
            w.ctx,
            ADA,
            technician.NewWork("0" * 32, Kind.NOTE, LAMP, datetime.now(UTC), {"text": "Bob helped"}),
        ),
    ),
    Action.TENANTS_CHANGE: (None, lambda w, _: tenants.put_tenant(w.ctx, ADA_EVERYWHERE, "city", title="T")),
    Action.AUDIT_EXPORT: (None, lambda w, _: auditor.export_jsonl(w.ctx, ADA)),
    Action.PRIVACY_READ: (None, lambda w, _: privacy.find(w.ctx, ADA, ["Bob"])),
    Action.PRIVACY_ERASE: (None, lambda w, _: privacy.erase(w.ctx, ADA, ["Bob"], "request 17")),
}


def a_token() -> tokens.Wanted:
    return tokens.Wanted("probe", ("devices:read",), timedelta(days=1))


def of_two(ctx: Context, rule: str) -> Context:
    return replace(ctx, config=replace(ctx.config, access=replace(ctx.config.access, two_person=rule)))


def second() -> Principal:
    return Principal("operator", "sam.second", frozenset({Role.ADMIN, Role.APPROVER}), "city")


@pytest.fixture(scope="module")
def world(ctx: Context) -> World:
    keys.ensure(ctx.config.data_dir)
    for name in (ADA.name, second().name):
        access.create_operator(ctx, ADA_EVERYWHERE, name, PASSWORD, (Role.ADMIN,))
    devices.register(ctx, ADA, LAMP)
    made = World(of_two(ctx, "off"))
    made.sql(
        "WITH unit AS (INSERT INTO sensor_unit (device_id, kind, layout, declared_at)"
        " SELECT id, 'pms5003', '[]', now() FROM device RETURNING id)"
        " INSERT INTO series (sensor_unit_id, slot, channel, unit, exponent)"
        " SELECT id, 0, 'pm2_5', 'ug/m3', 0 FROM unit RETURNING id"
    )
    return made


def after(world: World, number: int) -> list[LineView]:
    return [each for each in auditor.lines(world.ctx, ADA_EVERYWHERE, Wanted(), 100) if each.number > number]


def test_every_action_is_done_here_or_leaves_no_line() -> None:
    known = ACTS.keys() | LEAVES_NO_LINE.keys() | BY_DEVICES.keys()
    assert set(Action) - known == set(), "do it in ACTS, or say in LEAVES_NO_LINE why it leaves no line"
    assert len(ACTS) + len(LEAVES_NO_LINE) + len(BY_DEVICES) == len(set(Action))


@pytest.mark.parametrize("action", sorted(ACTS))
def test_an_action_leaves_exactly_one_line(world: World, action: Action) -> None:
    prepare, act = ACTS[action]
    given = None if prepare is None else prepare(world)
    newest = auditor.lines(world.ctx, ADA_EVERYWHERE, Wanted(), 1)[0].number
    with coming_from("api", "192.0.2.31", f"q-{action}", WHY):
        act(world, given)
    (line,) = after(world, newest)
    who = second().name if action is Action.APPROVALS_DECIDE else ADA.name
    assert (line.action, line.who, line.outcome) == (str(action), who, "done")
    assert (line.way, line.address, line.request, line.tenant) == ("api", "192.0.2.31", f"q-{action}", "city")
    assert line.resource
    assert line.reason == REASONS.get(action, WHY)
    with world.ctx.db.session() as session:
        body = session.execute(
            text("SELECT body FROM audit_line WHERE number = :n"), {"n": line.number}
        ).scalar_one()
    for personal in (ADA.name, second().name, "linus", "Bob", "192.0.2.31", PASSWORD):
        assert personal not in body, f"{personal} belongs into `personal`"


def test_the_whole_chain_holds_afterwards(world: World) -> None:
    assert auditor.verify(world.ctx, ADA_EVERYWHERE).fault is None
