"""One certificate of a lamppost: what it is good for, revoking it, and what follows for the lamppost."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from fleet_server import admin_cli
from fleet_server.access.asker import signed_in
from fleet_server.access.rules import Principal, Role
from fleet_server.access.service import SignedIn
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment import certificate_rules, revoking, service, standing
from fleet_server.enrolment.certificate_rules import Standing, what_follows
from fleet_server.enrolment.errors import AuthorityUnavailable
from fleet_server.enrolment.revoking import Reason
from fleet_server.enrolment.rules import State
from fleet_server.errors import Forbidden, NotFound
from provisioning.authority import Authority
from provisioning.revocation import list_number
from tests.fleet_server.enrolment.test_service import ONE, claim, enrolled
from tests.fleet_server.enrolment.test_standing import renewed, shut_out
from tests.support.api import app_of
from tests.support.mosquitto import make_request
from tests.support.server_context import ADMIN, OPERATOR, VIEWER
from wire_contract.topics import Address

OFFICER = Principal("operator", "sol", frozenset({Role.SECURITY_OFFICER}), "city")
THEFT = Reason.KEY_COMPROMISE
NOW = datetime(2026, 11, 21, tzinfo=UTC)
HELD = certificate_rules.HOLD
SOON, PAST = NOW + timedelta(days=1), NOW - timedelta(days=1)


@pytest.mark.parametrize(
    ("listed", "recorded", "not_after", "told", "why"),
    [
        (None, None, SOON, Standing.GOOD, None),
        (None, None, PAST, Standing.EXPIRED, None),
        (None, None, NOW, Standing.EXPIRED, None),
        (None, "superseded", PAST, Standing.REVOKED, "superseded"),  # before its lamppost was decommissioned
        (None, HELD, PAST, Standing.ON_HOLD, HELD),  # it ran out on hold, and has left the list
        (None, "superseded", SOON, Standing.GOOD, None),  # the list decides, and is put right within a minute
        (HELD, HELD, SOON, Standing.ON_HOLD, HELD),
        (HELD, None, SOON, Standing.ON_HOLD, HELD),  # the mark is still to come
        (HELD, "keyCompromise", SOON, Standing.REVOKED, "keyCompromise"),  # an older list was put back
        ("keyCompromise", "keyCompromise", SOON, Standing.REVOKED, "keyCompromise"),
        ("keyCompromise", HELD, SOON, Standing.REVOKED, "keyCompromise"),
        ("unspecified", None, PAST, Standing.REVOKED, "unspecified"),
    ],
)
def test_what_a_certificate_is_good_for(
    listed: str | None, recorded: str | None, not_after: datetime, told: Standing, why: str | None
) -> None:
    got = certificate_rules.why(listed=listed, recorded=recorded, not_after=not_after, now=NOW)
    assert (certificate_rules.standing(got, not_after, NOW), got) == (told, why)


@pytest.mark.parametrize(
    ("others", "changed", "told"),
    [
        ((), True, "--replaces"),
        ((Standing.EXPIRED, Standing.REVOKED, Standing.ON_HOLD), True, "no good certificate"),
        ((Standing.GOOD, Standing.REVOKED), True, "1 other certificate is still good"),
        ((Standing.GOOD, Standing.GOOD), True, "2 other certificates are still good"),
        ((), False, "revoked before"),
    ],
)
def test_what_follows_is_told(others: tuple[Standing, ...], changed: bool, told: str) -> None:
    assert told in what_follows("city/lamp-01", others, changed=changed)


def states(ctx: Context, now: datetime | None = None) -> list[tuple[int, str, str]]:
    found = revoking.certificates(ctx, VIEWER, ONE, now)
    return [(int(each.certificate.serial, 16), each.standing, each.reason) for each in found]


def test_one_is_revoked_and_the_others_are_good(ctx: Context, authority: Authority) -> None:
    first = enrolled(ctx).serial_number
    second = renewed(ctx)
    assert states(ctx) == [(second, "good", ""), (first, "good", "")]
    done = revoking.revoke(ctx, OFFICER, ONE, f"{first:X}", THEFT)
    assert (done.changed, done.known.standing, done.known.reason) == (True, "revoked", "keyCompromise")
    assert "1 other certificate is still good" in done.follows
    assert states(ctx) == [(second, "good", ""), (first, "revoked", "keyCompromise")]
    assert shut_out(authority) == {first: "for good"}
    assert devices.state_of(ctx, VIEWER, ONE) is DeviceState.ACTIVE
    number = list_number(authority.revocation_list())
    colons = ":".join(f"{first:040x}"[at : at + 2] for at in range(0, 40, 2))
    again = revoking.revoke(ctx, OFFICER, ONE, colons, Reason.SUPERSEDED)
    assert (again.changed, again.known.reason) == (False, "keyCompromise"), "the first reason stays"
    assert list_number(authority.revocation_list()) == number, "the broker is not troubled"


def test_without_a_good_certificate_a_person_lets_it_in_again(ctx: Context, authority: Authority) -> None:
    """What was for good is not taken back by a quarantine that ends; a rule decides nothing."""
    serial = enrolled(ctx).serial_number
    done = revoking.revoke(ctx, OFFICER, ONE, f"{serial:x}", THEFT)
    assert "claim new --device lamp-01 --replaces" in done.follows
    for state in (DeviceState.QUARANTINED, DeviceState.ACTIVE):
        standing.change_state(ctx, OPERATOR, ONE, state)
    assert states(ctx) == [(serial, "revoked", "keyCompromise")]
    request, _ = make_request(str(ONE))
    asked = service.request_certificate(ctx, *claim(ctx, replaces=True), request)
    assert asked.enrolment.state is State.PENDING
    assert asked.enrolment.known
    service.accept(ctx, OPERATOR, asked.enrolment.id)
    assert [told for _, told, _ in states(ctx)] == ["good", "revoked"]


def test_one_on_hold_and_one_that_ran_out(ctx: Context, authority: Authority) -> None:
    """The first is not good again after the quarantine; the second one's key asks for nothing more."""
    serial = enrolled(ctx).serial_number
    standing.change_state(ctx, OPERATOR, ONE, DeviceState.QUARANTINED)
    assert states(ctx) == [(serial, "on hold", "certificateHold")]
    assert revoking.revoke(ctx, OFFICER, ONE, f"{serial:x}", Reason.UNSPECIFIED).changed
    standing.change_state(ctx, OPERATOR, ONE, DeviceState.ACTIVE)
    assert states(ctx) == [(serial, "revoked", "unspecified")]
    two = Address("city", "lamp-02")
    late = enrolled(ctx, two).serial_number
    later = datetime.now(UTC) + timedelta(days=100)
    assert [each.standing for each in revoking.certificates(ctx, VIEWER, two, later)] == ["expired"]
    done = revoking.revoke(ctx, OFFICER, two, f"{late:x}", THEFT, later)
    assert (done.changed, done.known.standing) == (True, "revoked")
    newest = service.certificate_of(ctx, VIEWER, two)
    assert newest is not None
    assert newest.revoked_at is not None, "reenrolling looks at this"


def test_who_may_and_what_is_not_there(ctx: Context) -> None:
    serial = f"{enrolled(ctx).serial_number:x}"
    other = enrolled(ctx, Address("city", "lamp-02"))
    for nobody in (VIEWER, OPERATOR):
        with pytest.raises(Forbidden):
            revoking.revoke(ctx, nobody, ONE, serial, THEFT)
    for wrong in (f"{other.serial_number:x}", "f00", "", "0", "no serial", "-1", "f" * 41, "٣", "\x00"):
        with pytest.raises(NotFound, match="certificates list"):
            revoking.revoke(ctx, ADMIN, ONE, wrong, THEFT)
    with pytest.raises(NotFound):
        revoking.certificates(ctx, VIEWER, Address("city", "nowhere"))
    assert [told for _, told, _ in states(ctx)] == ["good"]


def test_a_decision_that_was_cut_short_is_made_up_for(ctx: Context, authority: Authority) -> None:
    """By a power cut after the list was written; or before, without the authority."""
    serial = enrolled(ctx).serial_number
    key = authority.files.issuing_key
    away = key.rename(key.with_name("away"))
    with pytest.raises(AuthorityUnavailable):
        revoking.revoke(ctx, OFFICER, ONE, f"{serial:x}", THEFT)
    away.rename(key)
    assert states(ctx) == [(serial, "good", "")]
    authority.revoke(serial)
    assert revoking.revoke(ctx, OFFICER, ONE, f"{serial:x}", THEFT).changed
    newest = service.certificate_of(ctx, VIEWER, ONE)
    assert newest is not None
    assert newest.revoked_at is not None


def test_over_http(ctx: Context) -> None:
    serial = f"{enrolled(ctx).serial_number:x}"
    app = app_of(ctx)
    app.dependency_overrides[signed_in] = lambda: SignedIn(
        OFFICER, datetime.now(UTC) + timedelta(hours=1), ("city",)
    )
    http = TestClient(app)
    address = f"/api/v1/devices/{ONE}/certificates"
    [told] = http.get(address).json()
    assert (told["serial"], told["state"], told["reason"], told["revoked_at"]) == (serial, "good", "", None)
    wrong: tuple[Any, ...] = ({}, {"reason": "stolen"}, {"reason": "certificateHold"}, {"reason": None}, [])
    for garbage in wrong:
        assert http.post(f"{address}/{serial}/revoke", json=garbage).status_code == 422, garbage
    answer = http.post(f"{address}/{serial}/revoke", json={"reason": "keyCompromise"}).json()
    assert answer["changed"]
    assert answer["certificate"]["state"] == "revoked"
    assert "new claim" in answer["follows"]
    assert http.post(f"{address}/f00/revoke", json={"reason": "keyCompromise"}).status_code == 404


def test_from_the_command_line(
    ctx: Context, database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serial = f"{enrolled(ctx).serial_number:x}"
    file = tmp_path / "server.toml"
    file.write_text(
        f'data_dir = "{tmp_path}"\n[tenant]\nname = "city"\n[database]\nurl = "{database_url}"\n'
        f'[authority]\ndirectory = "{ctx.authority_directory}"\n'
    )

    def run(*words: str) -> tuple[int, str]:
        status = admin_cli.main(["certificates", *words, "--config", str(file)])
        said = capsys.readouterr()
        return status, said.out + said.err

    status, said = run("list", "lamp-01", "--json")
    assert (status, json.loads(said)[0]["serial"]) == (0, serial)
    status, said = run("revoke", "lamp-01", serial, "--reason", "keyCompromise", "--json")
    assert (status, json.loads(said)[0]["changed"]) == (0, "yes")
    status, said = run("revoke", "city/lamp-01", serial, "--reason", "superseded")
    assert status == 0
    assert "revoked before" in said
    for words in (("lamp-99", serial), ("lamp-01", "f00"), ("a b", serial)):
        status, said = run("revoke", *words, "--reason", "superseded")
        assert (status, len(said.splitlines())) == (1, 1), said
    with pytest.raises(SystemExit):
        run("revoke", "lamp-01", serial)
    assert "--reason" in capsys.readouterr().err
