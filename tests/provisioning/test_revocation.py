"""The revocation list in a real broker: what a new one changes at once, and for whom."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest
from cryptography import x509

from provisioning import revocation
from provisioning.authority import utc_now
from provisioning.certificates import BACKDATED
from provisioning.revocation import CLOCKS
from tests.security.raw_mqtt import Closed, Raw, may_connect, subscribe, tls
from tests.support.mosquitto import IdentityFiles, MosquittoBroker
from tests.support.waiting import wait_until
from wire_contract.topics import Address


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MosquittoBroker]:
    made = MosquittoBroker(tmp_path_factory.mktemp("crl"), own_socket=True)
    made.start()
    yield made
    made.stop()


def test_who_is_on_a_new_list_is_refused_and_who_is_taken_off_let_in(broker: MosquittoBroker) -> None:
    lost = broker.device_identity(Address("city", "lost"))
    assert may_connect(broker, lost)
    for shut in (True, False, True):
        assert (
            broker.authority.revoke(lost.serial, hold=True) if shut else broker.authority.release(lost.serial)
        )
        broker.reload()
        wait_until(partial(_is, broker, lost, not shut), 10, "the list to be read")


def _is(broker: MosquittoBroker, files: IdentityFiles, let_in: bool) -> bool:
    return may_connect(broker, files) is let_in


def test_of_two_lists_of_one_second_the_second_is_the_later(broker: MosquittoBroker) -> None:
    """OpenSSL takes the later of two, and a handshake that is under way while one is read has both."""
    noon = utc_now()
    authority = replace(broker.authority, clock=lambda: noon)
    dates = [authority.revocation_list().last_update_utc]
    for serial in (11, 12, 13):
        assert authority.revoke(serial)
        dates.append(authority.revocation_list().last_update_utc)
    assert authority.release(13) is False
    assert dates == sorted(set(dates))
    assert dates[-1] <= noon


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_from_before_the_list_is_not_resumed(
    broker: MosquittoBroker, version: ssl.TLSVersion
) -> None:
    """Whoever resumes shows no certificate, and no list is looked at: a reload has to forget all sessions."""
    lost = broker.device_identity(Address("city", f"resumes-{version.value}"))
    context = ssl.create_default_context(cafile=str(lost.ca))
    context.load_cert_chain(lost.certificate, lost.key)
    context.minimum_version = context.maximum_version = version

    def resumed(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool | None]:
        plain = socket.create_connection((broker.host, broker.port), timeout=30)
        with context.wrap_socket(plain, server_hostname=broker.host, session=session) as made:
            raw = Raw(made)
            assert raw.opened() == 0
            raw.answers()
            return made.session, made.session_reused

    session, _ = resumed(None)
    session, again = resumed(session)
    assert again, "there is something to forget"
    assert broker.authority.revoke(lost.serial)
    broker.reload()
    wait_until(lambda: not may_connect(broker, lost), 10, "the list to be read")
    with pytest.raises((OSError, Closed)):
        resumed(session)


def test_a_list_is_never_of_the_future(broker: MosquittoBroker) -> None:
    """OpenSSL would refuse every certificate of the city."""
    authority = broker.authority
    noon = utc_now()
    ahead = noon + timedelta(days=30)  # a clock that was wrong for a while
    signer = authority.issuing, authority._key
    crl = authority.revocation_list()
    for serial in range(1, 400):
        crl = revocation.with_revoked(crl, [serial], *signer, ahead)
    assert crl.last_update_utc == ahead.replace(microsecond=0)
    after = revocation.with_revoked(crl, [1000], *signer, noon)
    assert noon - BACKDATED <= after.last_update_utc + timedelta(seconds=1) <= noon + timedelta(seconds=1)


def test_a_reload_disturbs_nobody_who_is_connected(broker: MosquittoBroker) -> None:
    one, own = broker.device_identity(Address("city", "kept-1")), broker.settings.server_socket
    with tls(broker, one) as lamp, tls(broker, broker.server_identity(), own) as server:
        assert lamp.opened() == server.opened("server") == 0
        lamp.send(subscribe("lp/1/city/kept-1/down/#"))
        lamp.answers()
        probe = broker.device_identity(Address("city", "probe"))
        assert broker.authority.revoke(probe.serial)
        broker.reload()
        wait_until(lambda: not may_connect(broker, probe), 10, "the list to be read")
        assert server.published("lp/1/city/kept-1/down/ack", b"still here") == 0
        assert [kind for kind, _ in lamp.answers()] == [3]


def test_who_ran_out_stands_on_one_list_from_after_its_end_and_then_on_none(broker: MosquittoBroker) -> None:
    """RFC 5280, section 3.3. `CLOCKS` later, as a broker's clock may be behind."""
    authority = broker.authority
    signer = authority.issuing, authority._key
    end = utc_now().replace(microsecond=0)
    over = end + CLOCKS + BACKDATED
    crl = revocation.first_list(*signer, end)
    for serial in (1, 2, 3):
        crl = revocation.with_revoked(crl, [serial], *signer, end, hold=serial == 2)
    ends = {1: end, 2: end, 4: end, 5: end + timedelta(days=90)}  # 3: whose it is nobody knows

    def following(now: datetime) -> x509.CertificateRevocationList:
        return revocation.without_expired(crl, ends, *signer, now)

    assert following(end) is crl
    assert following(over) is crl, "the last instant is one of its life"
    assert revocation.without_expired(crl, {}, *signer, over + timedelta(days=400)) is crl
    number = revocation.list_number(crl)
    crl = following(over + timedelta(seconds=2))
    assert revocation.serials_on([crl]) == {1, 2, 3}, "the first list from after its end"
    crl = following(over + timedelta(days=1))
    assert revocation.serials_on([crl]) == {3}
    assert revocation.list_number(crl) == number + 2
    assert following(over + timedelta(days=2)) is crl
    assert crl.is_signature_valid(authority.issuing.public_key())  # type: ignore[arg-type]


def test_a_list_that_a_clock_far_ahead_has_made(broker: MosquittoBroker) -> None:
    """A server that starts with its clock a year ahead makes the list of that day. Nobody comes in until the
    list is made again; and it does not prove that anything has run out."""
    well, lost = (broker.device_identity(Address("city", name)) for name in ("stays", "stolen"))
    right = broker.authority
    ahead = replace(right, clock=lambda: utc_now() + timedelta(days=365))
    ends = {lost.serial: utc_now() + timedelta(days=90), 5: utc_now() - timedelta(days=30)}
    assert right.revoke_all([lost.serial, 5]) == {lost.serial, 5}
    number = revocation.list_number(right.revocation_list())
    assert not right.redate_lists()
    assert ahead.shorten_lists(ends) == {5}
    broker.reload()
    wait_until(lambda: not may_connect(broker, well), 10, "the list to be read")
    crl, signer = right.revocation_list(), (right.issuing, right._key)
    both = revocation.with_revoked(crl, [5], *signer, utc_now() + timedelta(days=365))
    shorter = revocation.without_expired(both, ends, *signer, utc_now())
    assert revocation.serials_on([both]) - revocation.serials_on([shorter]) == {5}, "not who is valid still"
    assert right.redate_lists()
    assert not right.redate_lists()
    assert revocation.list_number(right.revocation_list()) == number + 2
    broker.reload()
    wait_until(lambda: may_connect(broker, well), 10, "the list to be read")
    assert not may_connect(broker, lost)
    early = replace(right, clock=lambda: utc_now() - timedelta(days=9000))
    assert early.redate_lists() is True
    assert early.redate_lists() is False, "before the authority's time there is no better date"


def test_one_that_ran_out_is_refused_without_the_list_too(broker: MosquittoBroker) -> None:
    lost = broker.expired_identity(Address("city", "ran-out"))
    other = broker.device_identity(Address("city", "well"))
    assert broker.authority.revoke_all([lost.serial, other.serial])
    broker.reload()
    wait_until(lambda: not may_connect(broker, other), 10, "the list to be read")
    assert not may_connect(broker, lost)
    ended = utc_now() - timedelta(days=10)
    assert broker.authority.shorten_lists({lost.serial: ended}) == {lost.serial}
    assert not broker.authority.is_revoked(lost.serial)
    assert broker.authority.is_revoked(other.serial)
    probe = broker.device_identity(Address("city", "probe-2"))
    assert broker.authority.revoke(probe.serial)
    broker.reload()
    wait_until(lambda: not may_connect(broker, probe), 10, "the shorter list to be read")
    assert [may_connect(broker, each) for each in (lost, other)] == [False, False]
