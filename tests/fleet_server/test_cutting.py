"""Ending the connections of revoked certificates, in a real broker: theirs, at once, and nobody else's."""

from __future__ import annotations

import select
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Thread
from unittest.mock import ANY

import pytest

from fleet_server import cutting
from fleet_server.config import BrokerConfig, load_config
from fleet_server.cutting import Door, StillThere, end_connections, keep_taken
from fleet_server.cutting_rules import Cut, Issued, cut
from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment import standing
from fleet_server.errors import BrokerUnreachable
from fleet_server.renewal import Cutting
from provisioning.authority import Authority
from tests.fleet_server.enrolment.test_service import ONE as ONE_POST
from tests.fleet_server.enrolment.test_service import enrolled
from tests.security.raw_mqtt import CONNACK, heard, may_connect, packet, subscribe, text, tls
from tests.support.mosquitto import IdentityFiles, MosquittoBroker
from tests.support.server_context import ADMIN, make_context
from tests.support.waiting import wait_until
from wire_contract.topics import Address, Up, up_topic

# CONNECT without a clean start, the session to be kept for an hour: MQTT 5, sections 3.1.2 and 3.1.3
TO_BE_KEPT = packet(0x10, text("MQTT") + b"\x05\x00\x00\x3c" + b"\x05\x11\x00\x00\x0e\x10" + text("x"))
FAILURE = 0x80  # reason codes from here on, MQTT 5 section 2.4
NOW = datetime(2026, 11, 21, tzinfo=UTC)
SOON, PAST = NOW + timedelta(days=30), NOW - timedelta(days=1)
ONE = [Issued(1, "city/one", SOON), Issued(2, "city/one", SOON), Issued(3, "city/one", PAST)]
TWO = [Issued(7, "city/two", SOON)]


ONE_OUT, TWO_OUT = frozenset({"city/one"}), frozenset({"city/two"})


@pytest.mark.parametrize(
    ("started", "before", "after", "issued", "told"),
    [
        ("", "", "", (), Cut()),
        ("7", "7", "7", TWO, Cut()),
        ("7", "7", "", TWO, Cut()),  # let in again
        ("", "", "7", TWO, Cut(("city/two",), TWO_OUT)),
        ("", "7", "7", TWO, Cut(("city/two",), TWO_OUT)),  # it is out, and stays out
        ("7", "", "7", TWO, Cut(("city/two",))),  # on the list again
        ("", "", "1", ONE, Cut(("city/one",))),  # its other certificate is good
        ("", "1", "1", ONE, Cut()),  # and it has come back by that
        ("", "", "12", ONE, Cut(("city/one",), ONE_OUT)),  # the third has run out
        ("1", "1", "12", ONE, Cut(("city/one",), ONE_OUT)),
        ("", "", "3", ONE, Cut(("city/one",))),
        ("", "1", "127", ONE + TWO, Cut(("city/one", "city/two"), ONE_OUT | TWO_OUT)),
        ("", "2", "27", ONE + TWO, Cut(("city/two",), TWO_OUT)),
        ("", "", "9", (), Cut((), frozenset(), frozenset({9}))),
        ("", "9", "79", TWO, Cut(("city/two",), TWO_OUT)),
    ],
)
def test_whose_connection_ends(
    started: str, before: str, after: str, issued: list[Issued], told: Cut
) -> None:
    """Serials as digits."""
    first, former, now = (set(map(int, each)) for each in (started, before, after))
    assert cut(first, former, now, issued, NOW) == told


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MosquittoBroker]:
    made = MosquittoBroker(tmp_path_factory.mktemp("cut"), own_socket=True)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def door(broker: MosquittoBroker) -> Door:
    role = broker.server_identity()
    files = (role.ca, role.certificate, role.key)
    own = broker.settings.server_socket
    return Door(BrokerConfig(broker.host, 1, True, "", *files, server_socket=own))


def revoked(broker: MosquittoBroker, *lost: IdentityFiles) -> None:
    broker.authority.revoke_all([each.serial for each in lost])
    broker.reload()


def shut(*names: str) -> Cut:
    return Cut(names, frozenset(names))


def test_the_stolen_ones_are_out_and_nobody_else_notices(broker: MosquittoBroker, door: Door) -> None:
    """Their last will is said, and their sessions are gone."""
    names = ("city/lost-1", "city/lost-2", "city/kept")
    posts = [Address(*name.split("/")) for name in names]
    files = [broker.device_identity(post) for post in posts]
    topic = up_topic(posts[0], Up.PRESENCE)
    with ExitStack() as held:
        server = held.enter_context(tls(broker, broker.server_identity(), broker.settings.server_socket))
        lost, second, kept = [held.enter_context(tls(broker, each)) for each in files]
        assert server.opened("server") == second.opened() == kept.opened() == 0
        assert lost.opened(will=(topic, b"offline")) == 0
        server.send(subscribe(topic))
        server.answers()
        revoked(broker, *files[:2])
        taken = end_connections(door, shut(*names[:2]))
        assert [each.name for each in taken] == list(names[:2])
        assert lost.is_closed()
        assert second.is_closed()
        assert heard(server.answers()) == [(topic, b"offline")]
        assert kept.published(up_topic(posts[2], Up.LIVE), b"on and on") < FAILURE
        assert [may_connect(broker, each) for each in files] == [False, False, True]
        assert not any(each.is_lost() for each in taken)
        for each in taken:
            each.ping()
            each.close()


def test_who_shook_hands_before_is_thrown_out_when_it_speaks(broker: MosquittoBroker, door: Door) -> None:
    """A thief who keeps connections in store: the handshake was good, CONNECT comes after the list. One who
    does it again and again is told to the supervisor."""
    files = broker.device_identity(Address("city", "thief"))
    told: list[Exception] = []

    def watch() -> None:
        try:
            keep_taken(door, end_connections(door, shut("city/thief")), lambda _: True)
        except StillThere as failed:
            told.append(failed)

    with ExitStack() as held:
        first, *stored = [held.enter_context(tls(broker, files)) for _ in range(cutting.COMES_BACK_MOST + 2)]
        assert first.opened() == 0
        revoked(broker, files)
        watching = Thread(target=watch)
        watching.start()
        assert first.is_closed()
        assert not may_connect(broker, files)
        for each in stored[:-1]:
            assert each.opened() == 0, "the broker itself does not look again"
            assert each.is_closed()
        assert stored[-1].opened() == 0
        watching.join(60)
    assert [type(each) for each in told] == [StillThere]


def test_one_with_another_good_certificate_comes_back_by_it(broker: MosquittoBroker, door: Door) -> None:
    post = Address("city", "replaced")
    old, new = broker.device_identity(post), broker.device_identity(post)
    revoked(broker, old)
    with tls(broker, new) as first, tls(broker, new) as second:
        first.send(TO_BE_KEPT)
        assert first.read() == (CONNACK, ANY)
        assert end_connections(door, Cut(("city/replaced",))) == []
        assert first.is_closed()
        second.send(TO_BE_KEPT)
        _, answer = second.read()
        assert answer[:2] == b"\0\0", "the session of the stolen one, with what waited in it, is gone"
        assert second.published(up_topic(post, Up.LIVE), b"here") < FAILURE


def test_one_that_is_enrolled_anew_is_let_in(broker: MosquittoBroker, door: Door) -> None:
    """Decommissioned, and then its name goes to another computer: no list says so."""
    post = Address("city", "anew")
    revoked(broker, broker.device_identity(post))
    held = end_connections(door, shut("city/anew"))
    with tls(broker, broker.device_identity(post)) as successor:
        assert successor.opened() == 0
        keep_taken(door, held, lambda _: False)
        assert successor.published(up_topic(post, Up.LIVE), b"here") < FAILURE


def test_who_it_is_stands_in_the_database(database_url: str, tmp_path: Path) -> None:
    authority = Authority.init(tmp_path / "authority", "Testing")
    ctx = make_context(database_url, tmp_path)
    started = authority.files.crl.read_bytes()
    enrolled(ctx)
    other = enrolled(ctx, Address("city", "lamp-02"))

    def follows(given: bytes) -> Cut:
        listed = authority.files.crl.read_bytes()
        return cutting.what_follows(ctx.config, given + b"\0" + listed, datetime.now(UTC))

    assert follows(started + b"\0" + started) == Cut()
    standing.change_state(ctx, ADMIN, ONE_POST, DeviceState.DECOMMISSIONED)
    assert follows(started + b"\0" + started) == shut(str(ONE_POST))
    assert follows(b"\0") == shut(str(ONE_POST))
    before = authority.files.crl.read_bytes()
    assert follows(before + b"\0" + before) == Cut()
    is_shut = partial(cutting.is_shut, ctx.config, started + b"\0" + started + b"\0" + before)
    assert is_shut(str(ONE_POST))
    for unreadable in (b"", b"cut sh"):
        authority.files.crl.write_bytes(unreadable)
        assert is_shut(str(ONE_POST)), "by the list that it was given"
    authority.files.crl.write_bytes(before)
    enrolled(ctx, replaces=True)
    assert not is_shut(str(ONE_POST))
    assert follows(started + b"\0" + before) == Cut()
    authority.revoke_all([other.serial_number, 99])
    assert follows(started + b"\0" + before) == Cut(
        ("city/lamp-02",), frozenset({"city/lamp-02"}), frozenset({99})
    )
    assert is_shut("city/nobody")
    authority.files.crl.write_bytes(started)  # as if all had run out long ago: they have left the list
    with ctx.db.raw() as connection:
        connection.execute("UPDATE certificate SET not_after = now() - interval '8 days'")
    assert follows(started + b"\0" + before) == Cut((str(ONE_POST),), frozenset({str(ONE_POST)})), "kept out"
    assert follows(before + b"\0" + before) == Cut(), "that broker never let it in"
    enrolled(ctx, replaces=True)
    assert follows(started + b"\0" + started) == Cut(), "it has come back by a good one, and is left alone"
    ctx.db.close()


def test_a_broker_that_is_not_there(
    broker: MosquittoBroker, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "BACK_WITHIN_S", 0.3)
    monkeypatch.setattr(door, "_path", str(broker.directory / "nowhere.sock"))
    with pytest.raises(BrokerUnreachable, match=r"nowhere\.sock"):
        end_connections(door, shut("city/lost-1"))


class Followed:
    """The supervisor's side with a program in place of `fleet_server.cutting`: it tells what it was given."""

    def __init__(self, folder: Path, program: str, *, long_path: bool = False) -> None:
        self.authority = Authority.init(folder / "authority", "Testing")
        self.given = folder / "given"
        config = load_config(None, data_dir=folder / ("x" * 120 if long_path else ""))
        authority = config.authority.__class__(folder / "authority", ())
        self.cutting = Cutting(type(config)(**{**vars(config), "authority": authority}))
        self.cutting._command = ["/bin/sh", "-c", f"cat >> {self.given}; {program}"]
        self.cutting.begin()

    def sent(self) -> list[signal.Signals]:
        return list(self.cutting.look())

    @property
    def listed(self) -> bytes:
        return self.authority.files.crl.read_bytes()

    def until_given(self, *lists: bytes) -> None:
        content = b"\0".join(lists)
        wait_until(lambda: self.given.exists() and self.given.read_bytes() == content, 10, "the lists")
        self.given.unlink()

    def until_said(self) -> None:
        """By its program; what it said stays there for whom it is meant."""
        process = self.cutting._process
        assert process is not None
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 10)[0]

    def until_sent(self, *signals: signal.Signals) -> None:
        got: list[signal.Signals] = []

        def all_sent() -> bool:
            got.extend(self.sent())
            return len(got) >= len(signals)

        wait_until(all_sent, 10, f"{signals}")
        assert got == list(signals)


def test_a_new_list_is_read_again_and_the_old_one_handed_on(tmp_path: Path) -> None:
    followed = Followed(tmp_path, "true")
    before = followed.listed
    assert followed.sent() == []
    followed.authority.revoke(5)
    assert followed.sent() == [signal.SIGHUP]
    followed.until_given(before, before, followed.listed)
    followed.authority.files.crl.touch()
    assert followed.sent() == [], "what is written anew and says the same"


def test_whoever_is_out_is_not_ended_again_by_the_next_list(tmp_path: Path) -> None:
    followed = Followed(tmp_path, "printf out; exec sleep 60")
    started = before = followed.listed
    for serial in (5, 6):
        followed.authority.revoke(serial)
        assert followed.sent() == [signal.SIGHUP]
        followed.until_given(started, before, followed.listed)
        before = followed.listed
        followed.until_said()
    followed.cutting.stop()


def test_lists_that_follow_each_other_fast_hold_up_nobody_s_end(tmp_path: Path) -> None:
    """One who changes the state of a lamppost of theirs all the time: the broker reads each list, and whoever
    is on the first one is out before the last ones' turn comes."""
    go = tmp_path / "go"
    followed = Followed(tmp_path, f"until [ -e {go} ]; do sleep 0.02; done; printf out; exec sleep 60")
    started = followed.listed
    followed.authority.revoke(5)
    first = followed.authority.files.crl.read_bytes()
    assert followed.sent() == [signal.SIGHUP]
    followed.until_given(started, started, first)
    at_work = followed.cutting._process
    for serial in (6, 7):
        followed.authority.revoke(serial)
        assert followed.sent() == [signal.SIGHUP]
        assert followed.cutting._process is at_work
    go.touch()
    wait_until(lambda: followed.sent() == [] and followed.cutting._process is not at_work, 10, "the next one")
    followed.until_given(started, first, followed.listed)
    followed.cutting.stop()


def test_what_was_not_done_is_done_with_the_next_list(tmp_path: Path) -> None:
    followed = Followed(tmp_path, "true")
    started = followed.listed
    for serial in (5, 6):
        followed.authority.revoke(serial)
        followed.until_sent(signal.SIGHUP)
        followed.until_given(started, started, followed.listed)


def test_a_list_that_cannot_be_read_is_waited_for(tmp_path: Path) -> None:
    """Gone while a backup is put back, or copied in halves: a broker that is restarted could not start."""
    followed = Followed(tmp_path, "true")
    file, before = followed.authority.files.crl, followed.listed
    followed.authority.revoke(5)
    after = followed.listed
    for unreadable in (None, b"", after[: len(after) // 2], b"\0" * 9):
        file.unlink(missing_ok=True)
        if unreadable is not None:
            file.write_bytes(unreadable)
        assert followed.sent() == [], unreadable
    file.write_bytes(after)
    assert followed.sent() == [signal.SIGHUP]
    followed.until_given(before, before, after)


@pytest.mark.parametrize("program", ["exit 3", "kill -9 $$"])
def test_where_it_is_not_certain_the_broker_is_restarted(tmp_path: Path, program: str) -> None:
    followed = Followed(tmp_path, program)
    followed.authority.revoke(5)
    followed.until_sent(signal.SIGHUP, signal.SIGTERM)
    assert followed.sent() == []


def test_without_a_socket_of_its_own_the_broker_is_restarted(tmp_path: Path) -> None:
    followed = Followed(tmp_path, "true", long_path=True)
    followed.authority.revoke(5)
    assert followed.sent() == [signal.SIGTERM]
    assert followed.authority.revoke(6, hold=True)
    assert followed.sent() == [signal.SIGTERM]
    assert followed.authority.release(6)
    assert followed.sent() == [signal.SIGHUP], "there is no connection to end"
    assert followed.authority.shorten_lists({5: datetime(2000, 1, 1, tzinfo=UTC)})
    assert followed.sent() == [signal.SIGHUP]
    assert not followed.given.exists()
