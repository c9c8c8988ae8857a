"""The revocation list in a real broker: what a new one changes at once, and for whom."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from provisioning import revocation
from provisioning.authority import utc_now
from provisioning.certificates import BACKDATED
from tests.security.raw_mqtt import Closed, Raw, may_connect, subscribe, tls
from tests.support.mosquitto import MosquittoBroker
from wire_contract.topics import Address


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MosquittoBroker]:
    made = MosquittoBroker(tmp_path_factory.mktemp("crl"), own_socket=True)
    made.start()
    yield made
    made.stop()


def test_two_lists_of_one_second_both_count(broker: MosquittoBroker) -> None:
    """A broker that reads a new list keeps the former one, and of two OpenSSL takes the later.

    A handshake that begins after the signal is judged by the new list: the broker has one thread.
    """
    noon = utc_now()
    authority = replace(broker.authority, clock=lambda: noon)
    for number in range(4):
        lost = broker.device_identity(Address("city", f"lost-{number}"))
        assert may_connect(broker, lost)
        assert authority.revoke(lost.serial, hold=True)
        broker.reload()
        assert not may_connect(broker, lost), number
    assert authority.release(lost.serial)
    broker.reload()
    assert may_connect(broker, lost), "and whoever is taken off it is let in at once"


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
        plain = socket.create_connection((broker.host, broker.port), timeout=10)
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
    assert not may_connect(broker, lost), "and then it has read the list"
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
        assert broker.authority.revoke(77)
        broker.reload()
        assert not may_connect(broker, None)
        assert server.published("lp/1/city/kept-1/down/ack", b"still here") == 0
        assert [kind for kind, _ in lamp.answers()] == [3]
