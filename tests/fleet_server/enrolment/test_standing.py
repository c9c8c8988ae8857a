"""Quarantine, return and end of a lamppost: its state, its certificates, and who may decide it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from fastapi.testclient import TestClient

from fleet_server import setup_role
from fleet_server.access import approval_store, two_person
from fleet_server.access.asker import signed_in
from fleet_server.access.rules import Principal, Role
from fleet_server.access.service import SignedIn
from fleet_server.auditor import service as auditor
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment import relisting, revoking, rules, service, standing, store
from fleet_server.enrolment.errors import AuthorityUnavailable, NotNow
from fleet_server.errors import Forbidden, InvalidRequest, NotFound, SecondPersonNeeded
from fleet_server.telemetry.upkeep.loops import LOOPS, Bench
from provisioning import revocation, rollover, root_keys
from provisioning.authority import Authority
from tests.fleet_server.enrolment.test_service import ONE, enrolled
from tests.support.api import app_of
from tests.support.mosquitto import make_request
from tests.support.server_context import ADMIN, OPERATOR, VIEWER
from wire_contract.topics import Address

ACTIVE, QUARANTINED, DECOMMISSIONED = (
    DeviceState.ACTIVE,
    DeviceState.QUARANTINED,
    DeviceState.DECOMMISSIONED,
)


def shut_out(authority: Authority) -> dict[int, str]:
    """Serial -> "hold" or "for good"."""
    return {
        each.serial_number: "hold" if revocation.on_hold(each) else "for good"
        for each in authority.revocation_list()
    }


def marked(ctx: Context) -> set[int]:
    """Serials that the table of certificates tells as revoked."""
    with ctx.db.raw() as connection:
        rows = connection.execute("SELECT serial FROM certificate WHERE revoked_at IS NOT NULL").fetchall()
    return {int(serial, 16) for (serial,) in rows}


def renewed(ctx: Context) -> int:
    made = service.renew(ctx, ONE, make_request(str(ONE))[0])
    assert not made.refused
    return x509.load_pem_x509_certificates(made.chain_pem.encode())[0].serial_number


def test_a_quarantined_lamppost_is_shut_out_with_every_certificate_and_let_in_again(
    ctx: Context, authority: Authority
) -> None:
    serials = {enrolled(ctx).serial_number, renewed(ctx)}
    other = enrolled(ctx, Address("city", "lamp-02")).serial_number
    assert standing.change_state(ctx, OPERATOR, ONE, QUARANTINED).record.state is QUARANTINED
    assert shut_out(authority) == dict.fromkeys(serials, "hold")
    assert marked(ctx) == serials
    number = revocation.list_number(authority.revocation_list())
    standing.change_state(ctx, OPERATOR, ONE, QUARANTINED)  # again: the broker is not restarted for nothing
    assert revocation.list_number(authority.revocation_list()) == number
    standing.change_state(ctx, OPERATOR, ONE, ACTIVE)
    assert (shut_out(authority), marked(ctx)) == ({}, set())
    assert renewed(ctx) not in {*serials, other}


@pytest.mark.parametrize("before", [ACTIVE, QUARANTINED])
def test_a_decommissioned_one_stays_out_until_a_new_claim(
    ctx: Context, authority: Authority, before: DeviceState
) -> None:
    serial = enrolled(ctx).serial_number
    standing.change_state(ctx, OPERATOR, ONE, before)
    standing.change_state(ctx, OPERATOR, ONE, DECOMMISSIONED)
    assert shut_out(authority) == {serial: "for good"}
    assert marked(ctx) == {serial}
    for state in (ACTIVE, QUARANTINED):
        with pytest.raises(NotNow, match="--replaces"):
            standing.change_state(ctx, OPERATOR, ONE, state)
    assert devices.state_of(ctx, VIEWER, ONE) is DECOMMISSIONED
    fresh = enrolled(ctx, replaces=True).serial_number
    assert devices.state_of(ctx, VIEWER, ONE) is ACTIVE
    assert shut_out(authority) == {serial: "for good"}
    assert fresh != serial


def test_what_was_on_hold_does_not_come_back_with_its_successor(ctx: Context, authority: Authority) -> None:
    """The thief's certificate must not be let in again when the replacement is quarantined and released."""
    stolen = enrolled(ctx).serial_number
    standing.change_state(ctx, OPERATOR, ONE, QUARANTINED)
    enrolled(ctx, replaces=True)
    assert shut_out(authority) == {stolen: "for good"}
    standing.change_state(ctx, OPERATOR, ONE, QUARANTINED)
    standing.change_state(ctx, OPERATOR, ONE, ACTIVE)
    assert shut_out(authority) == {stolen: "for good"}
    assert marked(ctx) == {stolen}


def test_who_may_shut_a_lamppost_out(ctx: Context, authority: Authority) -> None:
    enrolled(ctx)
    with pytest.raises(Forbidden):
        standing.change_state(ctx, VIEWER, ONE, QUARANTINED)
    with pytest.raises(NotFound):
        standing.change_state(ctx, OPERATOR, Address("city", "nowhere"), QUARANTINED)
    assert shut_out(authority) == {}


@contextmanager
def unusable(authority: Authority) -> Iterator[None]:
    """Its list cannot be written meanwhile."""
    key = authority.files.issuing_key
    away = key.rename(key.with_name("away"))
    yield
    away.rename(key)


def each_minute(ctx: Context) -> int:
    [loop] = [each for each in LOOPS if each.name == "revocation list"]
    assert loop.every_s <= 60
    return loop.tick(Bench(ctx))


def test_without_the_authority_the_state_stands_and_the_same_state_makes_up_for_the_rest(
    ctx: Context, authority: Authority
) -> None:
    serial = enrolled(ctx).serial_number
    with unusable(authority), pytest.raises(AuthorityUnavailable, match="tries again each minute"):
        standing.change_state(ctx, OPERATOR, ONE, QUARANTINED)
    assert devices.state_of(ctx, VIEWER, ONE) is QUARANTINED
    standing.change_state(ctx, OPERATOR, ONE, QUARANTINED)
    assert shut_out(authority) == {serial: "hold"}
    with unusable(authority), pytest.raises(AuthorityUnavailable, match="Then activate again"):
        standing.change_state(ctx, OPERATOR, ONE, ACTIVE)
    assert each_minute(ctx) == 0
    standing.change_state(ctx, OPERATOR, ONE, ACTIVE)
    assert shut_out(authority) == {}


def test_who_was_shut_out_when_the_list_could_not_be_written_is_out_within_a_minute(
    ctx: Context, authority: Authority
) -> None:
    """Nobody says it again: of a decommissioned one the page has no button for that."""
    two, three = Address("city", "lamp-02"), Address("city", "lamp-03")
    held, gone, gone_for_good = (enrolled(ctx, each).serial_number for each in (ONE, two, three))
    good = enrolled(ctx, Address("city", "lamp-04")).serial_number
    standing.change_state(ctx, OPERATOR, three, QUARANTINED)
    assert each_minute(ctx) == 0
    with unusable(authority):
        for address, state in ((ONE, QUARANTINED), (two, DECOMMISSIONED), (three, DECOMMISSIONED)):
            with pytest.raises(AuthorityUnavailable):
                standing.change_state(ctx, OPERATOR, address, state)
        with pytest.raises(AuthorityUnavailable):
            each_minute(ctx)
    assert shut_out(authority) == {gone_for_good: "hold"}
    assert each_minute(ctx) == 3
    assert shut_out(authority) == {held: "hold", gone: "for good", gone_for_good: "for good"}
    assert marked(ctx) == {held, gone, gone_for_good}
    assert each_minute(ctx) == 0
    wanted = auditor.Wanted(action="certificates:revoke")
    told = {each.resource: each.reason for each in auditor.lines(ctx, ADMIN, wanted, 10)}
    assert told[str(ONE)] == told[str(two)] == relisting.NOT_NAMED
    standing.change_state(ctx, OPERATOR, ONE, ACTIVE)
    assert held not in shut_out(authority)
    assert good not in shut_out(authority)


def test_of_several_all_are_changed_or_none(ctx: Context, authority: Authority) -> None:
    two, nowhere, gone = (Address("city", name) for name in ("lamp-02", "typo", "lamp-00"))
    for each in (ONE, two, gone):
        enrolled(ctx, each)
    standing.change_state(ctx, OPERATOR, gone, DECOMMISSIONED)
    before = shut_out(authority)
    for others, refusal in (([nowhere], NotFound), ([two, gone], NotNow)):
        with pytest.raises(refusal):
            standing.change_states(ctx, OPERATOR, [ONE, *others], QUARANTINED)
        assert devices.state_of(ctx, VIEWER, ONE) is ACTIVE
        assert shut_out(authority) == before
    changed = standing.change_states(ctx, OPERATOR, [two, ONE, two], QUARANTINED)
    assert [(each.record.address, each.record.state) for each in changed] == [
        (two, QUARANTINED), (ONE, QUARANTINED), (two, QUARANTINED),
    ]  # fmt: skip
    assert len(shut_out(authority)) == 3


def test_of_several_a_second_person_is_asked_for_each_and_none_is_out_before_all_are_agreed_to(
    ctx: Context, authority: Authority
) -> None:
    both = [ONE, Address("city", "lamp-02")]
    for each in both:
        enrolled(ctx, each)
    ctx = replace(ctx, config=replace(ctx.config, access=replace(ctx.config.access, two_person="on")))
    second = Principal("operator", "sam", frozenset({Role.ADMIN, Role.APPROVER}))

    def states() -> list[DeviceState | None]:
        return [devices.state_of(ctx, VIEWER, each) for each in both]

    with pytest.raises(SecondPersonNeeded, match="requests 1, 2 first") as asked:
        standing.change_states(ctx, ADMIN, both, DECOMMISSIONED)
    assert asked.value.members["requests"] == [1, 2]
    assert asked.value.members["request"] == 1
    for number in (1, 2):
        with pytest.raises(SecondPersonNeeded, match=f"to request{'s 1,' if number == 1 else ''} 2 first"):
            standing.change_states(ctx, ADMIN, both, DECOMMISSIONED)
        assert (states(), shut_out(authority)) == ([ACTIVE, ACTIVE], {})
        _agree(ctx, second, number)
    standing.change_states(ctx, ADMIN, both, DECOMMISSIONED)
    assert states() == [DECOMMISSIONED, DECOMMISSIONED]
    assert set(shut_out(authority).values()) == {"for good"}
    assert {each.state for each in two_person.listed(ctx, second)} == {two_person.State.USED}


def _agree(ctx: Context, who: Principal, number: int) -> None:
    """As `two_person.approve`, of accounts that stand apart: how those come about is tested elsewhere."""
    with ctx.db.session() as session:
        approval_store.move(session, number, two_person.State.APPROVED, who.name, datetime.now(UTC))


def test_what_follows_goes_by_the_state_as_it_is_then(
    ctx: Context, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let in by one and, before its certificates were taken off hold, shut out by another."""
    serial = enrolled(ctx).serial_number
    standing.change_state(ctx, OPERATOR, ONE, QUARANTINED)

    def after_the_other(*_: object) -> None:
        monkeypatch.undo()
        standing.change_state(ctx, ADMIN, ONE, QUARANTINED)

    monkeypatch.setattr(store, "lock_certificates", after_the_other)
    standing.change_state(ctx, OPERATOR, ONE, ACTIVE)
    assert devices.state_of(ctx, VIEWER, ONE) is QUARANTINED
    assert shut_out(authority) == {serial: "hold"}


def test_nobody_makes_a_lamppost_pending(ctx: Context) -> None:
    """Its certificate would not be renewed, and its page would say that its messages are taken."""
    enrolled(ctx)
    with pytest.raises(InvalidRequest, match="active, quarantined, decommissioned"):
        standing.change_state(ctx, ADMIN, ONE, DeviceState.PENDING)
    app = app_of(ctx)
    app.dependency_overrides[signed_in] = lambda: SignedIn(
        ADMIN, datetime.now(UTC) + timedelta(hours=1), ("city",)
    )
    http = TestClient(app)
    for garbage in ("pending", "", "ACTIVE", None, 1, ["active"]):
        answer = http.put(f"/api/v1/devices/{ONE}/state", json={"state": garbage})
        assert answer.status_code == 422, garbage
        assert "'active', 'quarantined' or 'decommissioned'" in answer.text
    assert devices.state_of(ctx, VIEWER, ONE) is ACTIVE
    assert http.put(f"/api/v1/devices/{ONE}/state", json={"state": "quarantined"}).status_code == 200


def test_a_release_that_was_cut_short_is_made_up_for(ctx: Context, authority: Authority) -> None:
    """The list was written, our record was not: it would refuse the lamppost's next renewal over EST."""
    serial = enrolled(ctx).serial_number
    standing.change_state(ctx, OPERATOR, ONE, QUARANTINED)
    authority.release(serial)
    standing.change_state(ctx, OPERATOR, ONE, ACTIVE)
    assert marked(ctx) == set()


def test_what_an_older_list_has_forgotten_is_put_on_it_again(ctx: Context, authority: Authority) -> None:
    """A backup of the authority was put back. What was for good is so again, and why."""
    empty = authority.files.crl.read_bytes()
    two, three = Address("city", "lamp-02"), Address("city", "lamp-03")
    replaced = enrolled(ctx).serial_number
    enrolled(ctx, replaces=True)
    held, gone = (enrolled(ctx, address).serial_number for address in (two, three))
    good = enrolled(ctx, Address("city", "lamp-04")).serial_number
    standing.change_state(ctx, OPERATOR, two, QUARANTINED)
    standing.change_state(ctx, OPERATOR, three, DECOMMISSIONED)
    newest = renewed(ctx)
    revoking.revoke(ctx, ADMIN, ONE, f"{newest:x}", revoking.Reason.KEY_COMPROMISE)
    before = shut_out(authority)
    assert relisting.list_again(ctx) == 0
    authority.files.crl.write_bytes(empty)
    assert setup_role.main(ctx.config) == 0, "before the broker starts"
    assert shut_out(authority) == before
    reasons = {each.serial_number: revocation.reason_of(each).value for each in authority.revocation_list()}
    assert (reasons[replaced], reasons[newest]) == ("superseded", "keyCompromise")
    assert (reasons[held], reasons[gone]) == ("certificateHold", "cessationOfOperation")
    assert before == {replaced: "for good", held: "hold", gone: "for good", newest: "for good"}
    assert good not in shut_out(authority)
    assert relisting.list_again(ctx) == 0
    lines = auditor.lines(ctx, ADMIN, auditor.Wanted(), 10)
    assert [each.reason for each in lines].count(relisting.OLDER) == 3, "a line for each lamppost"


def test_one_that_is_just_let_in_is_not_put_on_the_list_again(
    ctx: Context, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list is written before our record: whoever looks between waits for the end of it."""
    serial = enrolled(ctx).serial_number
    standing.change_state(ctx, OPERATOR, ONE, QUARANTINED)
    authority.release(serial)

    def after_the_other(*_: object) -> None:
        monkeypatch.undo()
        standing.change_state(ctx, OPERATOR, ONE, ACTIVE)

    monkeypatch.setattr(store, "lock_certificates", after_the_other)
    assert relisting.list_again(ctx) == 0
    assert (shut_out(authority), marked(ctx)) == ({}, set())


def test_a_rollover_of_the_authority_changes_nobodys_standing(ctx: Context, authority: Authority) -> None:
    """What was on hold may come back, though its dates are over; what was for good may not."""
    directory, two = authority.files.directory, Address("city", "lamp-02")
    held, stolen = enrolled(ctx).serial_number, enrolled(ctx, two).serial_number
    standing.change_state(ctx, OPERATOR, ONE, QUARANTINED)
    revoking.revoke(ctx, ADMIN, two, f"{stolen:x}", revoking.Reason.KEY_COMPROMISE)
    rollover.prepare(directory, lambda: root_keys.root_in(directory / "root", None))
    rollover.switch(directory, early=True)
    after = rollover.retire(directory, early=True)
    with ctx.db.raw() as connection:  # the 91 days have passed for one of them
        connection.execute(
            "UPDATE certificate SET not_after = now() - interval '1 day' WHERE serial = %s", (f"{held:x}",)
        )
    assert relisting.list_again(ctx) == 0
    for state in (QUARANTINED, ACTIVE):
        for address in (ONE, two):
            standing.change_state(ctx, OPERATOR, address, state)
    assert (shut_out(after), marked(ctx)) == ({stolen: "for good"}, {stolen})


def test_a_backup_that_is_put_back_while_the_server_runs(
    ctx: Context, authority: Authority, database_url: str, tmp_path: Path
) -> None:
    """The supervisor starts this program when the authority's files have changed."""
    empty = authority.files.crl.read_bytes()
    gone = enrolled(ctx).serial_number
    standing.change_state(ctx, OPERATOR, ONE, DECOMMISSIONED)
    authority.files.crl.write_bytes(empty)
    file = tmp_path / "server.toml"
    file.write_text(
        f'[tenant]\nname = "city"\n[database]\nurl = "{database_url}"\n'
        f'[authority]\ndirectory = "{ctx.authority_directory}"\n'
    )
    command = [sys.executable, "-m", "fleet_server.renewal", "--config", file, "--data", tmp_path / "data"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, shut_out(authority)) == (0, {gone: "for good"}), done.stderr


def test_a_lamppost_cannot_have_certificates_without_end(ctx: Context) -> None:
    """Each costs the ingest a signature, and the city one more to revoke."""
    enrolled(ctx)
    request, _ = make_request(str(ONE))
    now = datetime.now(UTC)
    answers = [service.renew(ctx, ONE, request, now) for _ in range(rules.ISSUED_A_DAY + 1)]
    assert [bool(each.refused) for each in answers] == [False] * (rules.ISSUED_A_DAY - 1) + [True, True]
    assert "tomorrow" in answers[-1].refused
    assert not service.renew(ctx, ONE, request, now + timedelta(days=1, minutes=1)).refused


def test_whoever_may_look_sees_the_newest_certificate_and_whether_it_is_shut_out(ctx: Context) -> None:
    assert service.certificate_of(ctx, VIEWER, ONE) is None
    first = enrolled(ctx).serial_number
    newest = renewed(ctx)
    shown = service.certificate_of(ctx, VIEWER, ONE)
    assert shown is not None
    assert (int(shown.serial, 16), shown.revoked_at) == (newest, None)
    assert newest != first
    standing.change_state(ctx, OPERATOR, ONE, DECOMMISSIONED)
    shown = service.certificate_of(ctx, VIEWER, ONE)
    assert shown is not None
    assert shown.revoked_at is not None
    with pytest.raises(Forbidden):
        service.certificate_of(ctx, Principal("operator", "nobody", frozenset()), ONE)
