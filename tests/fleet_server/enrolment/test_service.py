"""From claim to certificate and to the next one, on a real database with a real authority."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from fleet_server.auditor import service as auditor
from fleet_server.commands import service as commands
from fleet_server.context import Context
from fleet_server.devices import service as devices
from fleet_server.devices.rules import DeviceState, Place
from fleet_server.enrolment import rules, service
from fleet_server.enrolment.errors import (
    AuthorityUnavailable,
    BadRequest,
    ClaimOver,
    ClaimSpent,
    ClaimUnknown,
    NameTaken,
    NotNow,
)
from fleet_server.enrolment.rules import State
from fleet_server.enrolment.service import Issued, Waiting
from fleet_server.errors import Forbidden, InvalidRequest, LamppostError, NotFound
from provisioning.authority import Authority
from tests.support.mosquitto import make_request
from tests.support.server_context import ADMIN, OPERATOR, VIEWER
from wire_contract.topics import Address

ONE = Address("city", "lamp-01")
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def claim(ctx: Context, device: str | None = "lamp-01", **more: object) -> tuple[str, str]:
    token = service.make_claim(ctx, OPERATOR, device, **more).token  # type: ignore[arg-type]
    claim_id, _, secret = token.partition(".")
    return claim_id, secret


def leaf(chain_pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificates(chain_pem.encode())[0]


def enrolled(ctx: Context, address: Address = ONE, **more: object) -> x509.Certificate:
    shown = claim(ctx, address.device, **more)
    request, _ = make_request(str(address))
    asked = service.request_certificate(ctx, *shown, request)
    service.accept(ctx, OPERATOR, asked.enrolment.id)
    answer = service.request_certificate(ctx, *shown, request)
    assert isinstance(answer, Issued)
    return leaf(answer.chain_pem)


def test_from_claim_to_certificate(ctx: Context, authority: Authority) -> None:
    shown = claim(ctx, site="Market Square 3")
    request, _ = make_request("city/lamp-01")
    waiting = service.request_certificate(ctx, *shown, request)
    assert isinstance(waiting, Waiting)
    assert waiting.retry_after_s >= rules.POLL_SOONEST_S
    [pending] = service.list_enrolments(ctx, VIEWER, (State.PENDING,))
    assert pending.key_fingerprint.count("-") == 7
    assert devices.state_of(ctx, VIEWER, ONE) is None
    accepted = service.accept(ctx, OPERATOR, pending.id)
    assert (accepted.state, accepted.decided_by) == (State.ISSUED, "ola")
    answer = service.request_certificate(ctx, *shown, request)
    assert isinstance(answer, Issued)
    made = leaf(answer.chain_pem)
    made.verify_directly_issued_by(authority.issuing)
    assert made.public_key() == x509.load_der_x509_csr(request).public_key()
    assert devices.state_of(ctx, VIEWER, ONE) is DeviceState.ACTIVE
    assert devices.get_device(ctx, VIEWER, ONE).record.site == "Market Square 3"


def test_the_place_that_the_technician_declares_becomes_the_lampposts(ctx: Context) -> None:
    enrolled(ctx, place=Place(41.1496, -8.6109, "Harbour"))
    record = devices.get_device(ctx, VIEWER, ONE).record
    assert (record.latitude, record.longitude, record.district) == (41.1496, -8.6109, "Harbour")
    enrolled(ctx, replaces=True)
    assert devices.get_device(ctx, VIEWER, ONE).record.district == "Harbour"
    enrolled(ctx, replaces=True, place=Place(1.0, 2.0, "Old Town"))
    record = devices.get_device(ctx, VIEWER, ONE).record
    assert (record.latitude, record.longitude, record.district) == (1.0, 2.0, "Old Town")
    newest = service.list_enrolments(ctx, VIEWER)[0]
    assert newest.place == Place(1.0, 2.0, "Old Town")


def test_asking_again_is_answered_again(ctx: Context) -> None:
    shown, (request, _) = claim(ctx), make_request("city/lamp-01")
    first = service.request_certificate(ctx, *shown, request)
    again = service.request_certificate(ctx, *shown, request)
    assert first.enrolment.id == again.enrolment.id
    service.accept(ctx, OPERATOR, first.enrolment.id)
    answers = [service.request_certificate(ctx, *shown, request) for _ in range(2)]
    assert answers[0] == answers[1]


def test_another_key_with_the_same_claim_is_refused_before_and_after(ctx: Context) -> None:
    shown, (request, _) = claim(ctx), make_request("city/lamp-01")
    thief, _ = make_request("city/lamp-01")
    asked = service.request_certificate(ctx, *shown, request)
    with pytest.raises(ClaimSpent, match="new claim"):
        service.request_certificate(ctx, *shown, thief)
    service.accept(ctx, OPERATOR, asked.enrolment.id)
    with pytest.raises(ClaimSpent):
        service.request_certificate(ctx, *shown, thief)


def test_a_wrong_secret_and_an_unknown_claim_get_the_same_answer(ctx: Context) -> None:
    claim_id, secret = claim(ctx)
    request, _ = make_request("city/lamp-01")
    told = set()
    wrong = [(claim_id, "x" * 27), ("22222222", secret), ("", ""), ("\x00", "\x00"), (claim_id, secret + "x")]
    for shown in wrong:
        with pytest.raises(ClaimUnknown) as refused:
            service.request_certificate(ctx, *shown, request)
        told.add(str(refused.value))
    assert len(told) == 1


def test_secrets_are_not_stored_nor_in_a_repr(ctx: Context) -> None:
    made = service.make_claim(ctx, OPERATOR, "lamp-01")
    secret = made.token.partition(".")[2]
    with ctx.db.raw() as connection:
        stored = str(connection.execute("SELECT * FROM claim, enrolment").fetchall())
    assert secret not in stored
    assert secret not in repr(made)


def test_a_rejected_device_is_out_for_good(ctx: Context) -> None:
    shown, (request, _) = claim(ctx), make_request("city/lamp-01")
    asked = service.request_certificate(ctx, *shown, request)
    assert service.reject(ctx, OPERATOR, asked.enrolment.id, "unknown key").reason == "unknown key"
    with pytest.raises(ClaimSpent, match="rejected"):
        service.request_certificate(ctx, *shown, request)
    with pytest.raises(NotNow):
        service.accept(ctx, OPERATOR, asked.enrolment.id)
    assert devices.state_of(ctx, VIEWER, ONE) is None


def test_time_counts_for_the_claim_then_for_the_person(ctx: Context) -> None:
    shown = claim(ctx, now=NOON)  # five minutes, where nobody says longer
    request, _ = make_request("city/lamp-01")
    late = claim(ctx, "lamp-02", now=NOON)
    asked_at = NOON + timedelta(minutes=4)
    asked = service.request_certificate(ctx, *shown, request, asked_at)
    with pytest.raises(ClaimOver, match="expired"):
        service.request_certificate(ctx, *late, make_request("city/lamp-02")[0], NOON + timedelta(minutes=5))
    service.request_certificate(ctx, *shown, request, NOON + timedelta(hours=1))  # used in time: it may wait
    with pytest.raises(NotNow, match="expired"):
        service.accept(ctx, OPERATOR, asked.enrolment.id, asked_at + rules.PENDING_LIFE)
    assert service.get_enrolment(ctx, VIEWER, asked.enrolment.id).state is State.EXPIRED


def test_a_claim_that_expired_does_not_keep_its_name(ctx: Context) -> None:
    claim(ctx, life=timedelta(minutes=5), now=NOON)
    with pytest.raises(NameTaken, match="open claim"):
        claim(ctx, now=NOON + timedelta(minutes=4))
    claim(ctx, now=NOON + timedelta(minutes=6))


def test_a_withdrawn_claim_is_over(ctx: Context) -> None:
    shown = claim(ctx)
    assert service.withdraw(ctx, OPERATOR, shown[0]).state is State.WITHDRAWN
    with pytest.raises(ClaimOver, match="withdrawn"):
        service.request_certificate(ctx, *shown, make_request("city/lamp-01")[0])
    with pytest.raises(NotFound):
        service.withdraw(ctx, OPERATOR, "22222222")


def test_a_free_claim_takes_the_name_that_is_asked_for_if_it_is_free(ctx: Context) -> None:
    shown = claim(ctx, None)
    for asked, error in [
        ("village/lamp-02", BadRequest),
        ("lamp-02", BadRequest),
        ("city/lamp+02", BadRequest),
        ("city/a/b", BadRequest),
    ]:
        with pytest.raises(error):
            service.request_certificate(ctx, *shown, make_request(asked)[0])
    waiting = service.request_certificate(ctx, *shown, make_request("city/lamp-02")[0])
    assert (waiting.enrolment.device, waiting.enrolment.state) == ("lamp-02", State.PENDING)
    with pytest.raises(NameTaken):
        service.request_certificate(ctx, *claim(ctx, None), make_request("city/lamp-02")[0])


def test_of_devices_that_ask_for_one_name_at_once_one_gets_it(ctx: Context) -> None:
    shown = [claim(ctx, None) for _ in range(6)]

    def ask(each: tuple[str, str]) -> str:
        try:
            service.request_certificate(ctx, *each, make_request("city/lamp-07")[0])
        except NameTaken:
            return "taken"
        return "pending"

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(ask, shown)) == ["pending", *["taken"] * 5]


def test_two_people_decide_at_once_and_one_certificate_comes_of_it(ctx: Context) -> None:
    asked = service.request_certificate(ctx, *claim(ctx), make_request("city/lamp-01")[0])

    def decide(_: int) -> str:
        try:
            return service.accept(ctx, OPERATOR, asked.enrolment.id).state
        except NotNow:
            return "decided"

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(decide, range(4))) == ["decided", "decided", "decided", "issued"]
    with ctx.db.raw() as connection:
        assert connection.execute("SELECT count(*) FROM certificate").fetchone() == (1,)


def test_a_bound_claim_gives_no_other_name(ctx: Context) -> None:
    with pytest.raises(BadRequest, match="lamp-02"):
        service.request_certificate(ctx, *claim(ctx), make_request("city/lamp-02")[0])


def test_a_garbled_request_uses_nothing_up(ctx: Context) -> None:
    shown, (request, _) = claim(ctx), make_request("city/lamp-01")
    for garbage in (b"", b"\x30", request[:-1], bytes(9000)):
        with pytest.raises(BadRequest):
            service.request_certificate(ctx, *shown, garbage)
    assert isinstance(service.request_certificate(ctx, *shown, request), Waiting)


def test_a_decision_outlives_an_authority_that_is_away(ctx: Context, authority: Authority) -> None:
    shown, (request, _) = claim(ctx), make_request("city/lamp-01")
    asked = service.request_certificate(ctx, *shown, request)
    key = authority.files.issuing_key
    away = key.rename(key.with_suffix(".away"))
    with pytest.raises(AuthorityUnavailable):
        service.accept(ctx, OPERATOR, asked.enrolment.id)
    with pytest.raises(AuthorityUnavailable):
        service.request_certificate(ctx, *shown, request)
    assert service.get_enrolment(ctx, VIEWER, asked.enrolment.id).state is State.ACCEPTED
    away.rename(key)
    assert isinstance(service.request_certificate(ctx, *shown, request), Issued)


def test_a_replacement_takes_the_name_and_the_former_certificate_is_revoked(
    ctx: Context, authority: Authority
) -> None:
    """What the former was told to do is not for the fresh one."""
    former = enrolled(ctx)
    with pytest.raises(NameTaken):
        claim(ctx)
    told = commands.ask(ctx, OPERATOR, ONE, commands.Ask(commands.CommandName.RESTART)).id
    fresh = enrolled(ctx, replaces=True)
    ended = commands.get_command(ctx, OPERATOR, told)
    assert (ended.state, ended.detail) == ("canceled", "another computer stands in its place")
    line = auditor.lines(ctx, ADMIN, auditor.Wanted(action="devices:command"), 1)[0]
    assert (line.who, line.after) == ("enrolment", {"commands_canceled": 1})
    revoked = [each.serial_number for each in authority.revocation_list()]
    assert revoked == [former.serial_number]
    assert fresh.serial_number not in revoked


def test_a_device_renews_its_certificate_with_a_new_key_while_it_is_active(ctx: Context) -> None:
    request, _ = make_request("city/lamp-01")
    assert service.renew(ctx, ONE, request).refused
    former = enrolled(ctx)
    renewed = service.renew(ctx, ONE, request)
    assert renewed.refused == ""
    assert leaf(renewed.chain_pem).subject == former.subject
    assert leaf(renewed.chain_pem).public_key() == x509.load_der_x509_csr(request).public_key()
    assert "lamp-02" in service.renew(ctx, ONE, make_request("city/lamp-02")[0]).refused
    assert service.renew(ctx, ONE, b"garbage").refused
    devices.change_state(ctx, OPERATOR, ONE, DeviceState.QUARANTINED)
    assert "quarantined" in service.renew(ctx, ONE, request).refused


@pytest.mark.parametrize(
    ("device", "more"),
    [
        ("", {}),
        ("Lamp", {}),
        ("a/b", {}),
        ("+", {}),
        ("x" * 63, {}),
        ("lamp", {"life": timedelta(0)}),
        ("lamp", {"life": timedelta(days=31)}),
        ("lamp", {"site": "x" * 201}),
        ("lamp", {"site": "a\nb"}),
        (None, {"replaces": True}),
        ("lamp", {"place": Place(91.0, 0.0)}),
        ("lamp", {"place": Place(41.1, None)}),
        ("lamp", {"place": Place(float("nan"), 1.0)}),
        ("lamp", {"place": Place(district="x" * 65)}),
    ],
)
def test_a_claim_that_makes_no_sense_is_refused(
    ctx: Context, device: str | None, more: dict[str, object]
) -> None:
    with pytest.raises(InvalidRequest):
        claim(ctx, device, **more)


def test_who_may_do_what(ctx: Context) -> None:
    asked = service.request_certificate(ctx, *claim(ctx), make_request("city/lamp-01")[0])
    for act in (
        lambda: service.make_claim(ctx, VIEWER, "lamp-02"),
        lambda: service.accept(ctx, VIEWER, asked.enrolment.id),
        lambda: service.reject(ctx, VIEWER, asked.enrolment.id),
        lambda: service.withdraw(ctx, VIEWER, asked.enrolment.claim_id),
    ):
        with pytest.raises(Forbidden):
            act()
    service.accept(ctx, ADMIN, asked.enrolment.id)


def test_every_refusal_has_words_for_device_and_person() -> None:
    from fleet_server.enrolment.errors import of_device, of_person

    for refusal in rules.Refusal:
        assert isinstance(of_device(refusal), LamppostError)
        assert isinstance(of_person(refusal), NotNow)
