"""Who is on the revocation list: after each event, from each state of our record and of the list."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlmodel import Session

from fleet_server import migrations
from fleet_server.context import Context
from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment import (
    certificate_rules,
    reenrolling,
    relisting,
    revoking,
    shutting,
    standing,
    store,
)
from fleet_server.enrolment.certificate_rules import PAIRS, Event, Mark
from fleet_server.enrolment.errors import RenewalRefused
from provisioning import revocation
from provisioning.authority import Authority
from provisioning.revocation import CLOCKS
from tests.fleet_server.enrolment.test_service import ONE, enrolled
from tests.fleet_server.enrolment.test_standing import renewed
from tests.support.mosquitto import make_request
from tests.support.server_context import ADMIN
from wire_contract.topics import Address

NOW = datetime(2026, 11, 21, tzinfo=UTC)
STATES = {"active": DeviceState.ACTIVE, "held": DeviceState.QUARANTINED, "ended": DeviceState.DECOMMISSIONED}
# our record ("?": marked, by a version that did not say how) and the list, each open (-), on hold (h), for
# good (G): how both are after
# quarantine, activate, decommission, replace, revoke; seen active, quarantined, decommissioned
PLAIN = {
    "- -": "h - G G G  - h G",
    "- h": "h - G G G  h h G",
    "- G": "G G G G G  G G G",
    "h -": "h - G G G  - h G",
    "h h": "h - G G G  h h G",
    "h G": "G G G G G  G G G",
    "G -": "G G G G G  G G G",
    "G h": "G G G G G  G G G",
    "G G": "G G G G G  G G G",
    "? -": "h - G G G  h h G",
    "? h": "h - G G G  h h G",
    "? G": "G G G G G  G G G",
}
EVENTS = (
    "quarantine",
    "activate",
    "decommission",
    "replace",
    "revoke",
    "seen active",
    "seen held",
    "seen ended",
)


def test_every_pair_is_listed_and_for_good_is_for_good() -> None:
    assert set(PAIRS) == set(product(Mark, Mark, Event))
    for (recorded, listed, event), to in PAIRS.items():
        if Mark.FOR_GOOD in (recorded, listed) or event in (Event.END, Event.SEEN_ENDED):
            assert to is Mark.FOR_GOOD, (recorded, listed, event)
        elif to is Mark.OPEN:
            assert event is Event.LET_IN or listed is Mark.OPEN, "a look lets nobody in"


class Post:
    """One lamppost with one certificate, put into any state."""

    def __init__(self, ctx: Context, authority: Authority, database: psycopg.Connection[Any]) -> None:
        self.ctx, self.authority = ctx, authority
        self.empty = authority.files.crl.read_bytes()
        self.serial = enrolled(ctx).serial_number
        self.database = database

    def put(self, recorded: str, listed: str, state: DeviceState) -> None:
        word = {"-": "", "h": "certificateHold", "G": "keyCompromise", "?": ""}[recorded]
        self.database.execute("UPDATE device SET state = %s", (str(state),))
        self.database.execute(
            "UPDATE certificate SET revocation = %s, revoked_at = CASE WHEN %s THEN now() END",
            (word, recorded != "-"),
        )
        self.authority.files.crl.write_bytes(self.empty)
        if listed != "-":
            reason = x509.ReasonFlags.key_compromise
            self.authority.revoke_all([self.serial], hold=listed == "h", reason=reason)

    def found(self) -> tuple[str, str]:
        """Our record's word, and the list's."""
        row = self.database.execute("SELECT revocation, revoked_at IS NOT NULL FROM certificate").fetchone()
        assert row is not None
        assert bool(row[0]) is row[1]
        listed = {each.serial_number: revocation.reason_of(each) for each in self.authority.revocation_list()}
        return row[0], listed[self.serial].value if self.serial in listed else ""

    def act(self, event: str) -> None:
        first = event.partition(" ")[0]
        if first == "seen":
            relisting.list_again(self.ctx)
        elif first == "revoke":
            revoking.revoke(self.ctx, ADMIN, ONE, f"{self.serial:x}", revoking.Reason.PRIVILEGE_WITHDRAWN)
        elif first == "replace":
            with self.ctx.db.session() as session:
                shutting.shut_out(
                    self.ctx, session, [ONE], datetime.now(UTC), hold=False, reason=revoking.Reason.SUPERSEDED
                )
        else:
            to = {"quarantine": "held", "activate": "active", "decommission": "ended"}[first]
            standing.change_state(self.ctx, ADMIN, ONE, STATES[to])


WHY = {
    "decommission": "cessationOfOperation",
    "seen ended": "cessationOfOperation",
    "replace": "superseded",
    "revoke": "privilegeWithdrawn",
}


def test_what_each_event_comes_to_from_each_state(ctx: Context, authority: Authority) -> None:
    """On the list and in our record alike: a list that was lost, or is older, changes nothing."""
    wrong = []
    with ctx.db.raw(autocommit=True) as database:
        post = Post(ctx, authority, database)
        for before, row in PLAIN.items():
            recorded, listed = before.split()
            for event, to in zip(EVENTS, row.split(), strict=True):
                post.put(recorded, listed, STATES.get(event.partition(" ")[2], DeviceState.QUARANTINED))
                post.act(event)
                for_good = "keyCompromise" if "G" in before else WHY.get(event, "")
                word = {"-": "", "h": "certificateHold", "G": for_good}[to]
                if post.found() != (word, word):
                    wrong.append((before, event, to, post.found()))
    assert wrong == []


@pytest.mark.parametrize(
    ("listed", "newest", "quarantined", "expired", "told"),
    [
        ("keyCompromise", True, True, False, Mark.FOR_GOOD),
        ("certificateHold", False, False, True, Mark.ON_HOLD),
        (None, True, False, False, Mark.ON_HOLD),
        (None, False, True, False, Mark.ON_HOLD),
        (None, False, False, False, Mark.FOR_GOOD),
        (
            None,
            True,
            True,
            True,
            Mark.FOR_GOOD,
        ),  # no list names one that ran out before it was decommissioned
    ],
)
def test_what_an_older_version_did_not_write_down(
    listed: str | None, newest: bool, quarantined: bool, expired: bool, told: Mark
) -> None:
    got = certificate_rules.forgotten(listed, newest=newest, quarantined=quarantined, expired=expired)
    assert got is told


def test_one_that_ran_out_is_not_put_on_hold_and_is_listed_no_more() -> None:
    """Its key asks, and a person decides, as its lamppost is quarantined."""
    past, long_past = NOW - timedelta(days=1), NOW - revocation.CLOCKS - timedelta(seconds=1)
    assert certificate_rules.after(Mark.OPEN, Mark.OPEN, Event.HOLD, expired=True) is Mark.OPEN
    assert certificate_rules.after(Mark.ON_HOLD, Mark.OPEN, Event.HOLD, expired=True) is Mark.ON_HOLD
    table: tuple[tuple[Mark, Mark, datetime, bool], ...] = (
        (Mark.FOR_GOOD, Mark.OPEN, past, True),  # a clock may be behind
        (Mark.FOR_GOOD, Mark.OPEN, long_past, False),
        (Mark.ON_HOLD, Mark.OPEN, long_past, False),
        (Mark.FOR_GOOD, Mark.ON_HOLD, long_past, True),
        (Mark.OPEN, Mark.ON_HOLD, long_past, True),
        (Mark.ON_HOLD, Mark.ON_HOLD, NOW, False),
    )
    for wanted, listed, until, told in table:
        assert certificate_rules.to_list(wanted, listed, until, NOW) is told, (wanted, listed, until)


def test_many_are_brought_together_in_rounds(
    ctx: Context, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not all at once: PostgreSQL has place for so many locks only."""
    empty = authority.files.crl.read_bytes()
    posts = [Address("city", f"lamp-1{n}") for n in range(5)]
    serials = {enrolled(ctx, each).serial_number for each in posts}
    standing.change_states(ctx, ADMIN, posts, DeviceState.QUARANTINED)
    authority.files.crl.write_bytes(empty)
    monkeypatch.setattr(relisting, "LOCKED_MOST", 2)
    assert relisting.list_again(ctx) == 5
    assert {each.serial_number for each in authority.revocation_list()} == serials


def test_a_restored_list_does_not_let_a_revoked_one_in_with_the_held_ones(
    ctx: Context, authority: Authority
) -> None:
    """An older list had it on hold, as its lamppost was in quarantine then."""
    stolen, own = enrolled(ctx).serial_number, renewed(ctx)
    standing.change_state(ctx, ADMIN, ONE, DeviceState.QUARANTINED)
    older = authority.files.crl.read_bytes()
    revoking.revoke(ctx, ADMIN, ONE, f"{stolen:x}", revoking.Reason.KEY_COMPROMISE)
    authority.files.crl.write_bytes(older)
    assert {each.certificate.serial: each.standing for each in revoking.certificates(ctx, ADMIN, ONE)} == {
        f"{stolen:x}": "revoked", f"{own:x}": "on hold",
    }  # fmt: skip
    standing.change_state(ctx, ADMIN, ONE, DeviceState.ACTIVE)
    listed = {each.serial_number: revocation.reason_of(each).value for each in authority.revocation_list()}
    assert listed == {stolen: "keyCompromise"}


def test_an_upgrade_fills_in_what_is_known_and_the_list_tells_the_rest(
    ctx: Context, authority: Authority, database_url: str
) -> None:
    two, three, four = (Address("city", f"lamp-0{n}") for n in (2, 3, 4))
    replaced = enrolled(ctx).serial_number
    stolen = enrolled(ctx, replaces=True).serial_number
    revoking.revoke(ctx, ADMIN, ONE, f"{stolen:x}", revoking.Reason.KEY_COMPROMISE)
    held, gone = (enrolled(ctx, each).serial_number for each in (two, three))
    standing.change_state(ctx, ADMIN, two, DeviceState.QUARANTINED)
    standing.change_state(ctx, ADMIN, three, DeviceState.DECOMMISSIONED)
    by_hand, good = (enrolled(ctx, each).serial_number for each in (four, Address("city", "lamp-05")))
    authority.revoke(by_hand)
    relisting.list_again(ctx)

    def words() -> dict[int, str]:
        with ctx.db.raw() as connection:
            rows = connection.execute("SELECT serial, revocation FROM certificate").fetchall()
        return {int(serial, 16): word for serial, word in rows}

    before = words()
    assert before == {
        replaced: "superseded", stolen: "keyCompromise", held: "certificateHold",
        gone: "cessationOfOperation", by_hand: "unspecified", good: "",
    }  # fmt: skip
    ctx.db.close()
    migrations.downgrade(database_url, "0019")
    migrations.upgrade(database_url)
    assert words() == before | {held: ""}
    number = revocation.list_number(authority.revocation_list())
    assert relisting.list_again(ctx) == 0
    assert words() == before
    assert revocation.list_number(authority.revocation_list()) == number


def test_who_ran_out_leaves_the_list_and_stays_refused_by_our_record(
    ctx: Context, authority: Authority
) -> None:
    """Once it has stood on a list from after its end (RFC 5280, 3.3), and where our record says how it is."""
    two, three = Address("city", "lamp-02"), Address("city", "lamp-03")
    stolen, held, unknown = (enrolled(ctx, each).serial_number for each in (ONE, two, three))
    good = renewed(ctx)
    revoking.revoke(ctx, ADMIN, ONE, f"{stolen:x}", revoking.Reason.KEY_COMPROMISE)
    standing.change_state(ctx, ADMIN, two, DeviceState.QUARANTINED)
    authority.revoke_all([unknown, 77])  # by hand: 77 is a server role's

    def listed() -> set[int]:
        return {each.serial_number for each in authority.revocation_list()}

    def end(ago: timedelta) -> None:
        with ctx.db.raw(autocommit=True) as connection:
            at = datetime.now(UTC) - ago
            connection.execute("UPDATE certificate SET not_after = %s WHERE serial <> %s", (at, f"{good:x}"))

    everybody = {stolen, held, unknown, 77}
    for ago in (timedelta(days=-1), timedelta(days=1), CLOCKS - timedelta(hours=1)):
        end(ago)
        number = revocation.list_number(authority.revocation_list())
        assert (relisting.shorten(ctx), listed()) == (0, everybody), ago
        assert revocation.list_number(authority.revocation_list()) == number, "the broker is not troubled"
    end(CLOCKS + timedelta(days=1))
    assert (relisting.shorten(ctx), listed()) == (2, {unknown, 77})
    assert relisting.list_again(ctx) == 0, "what is by hand is on record now, and nobody comes back on it"
    assert (relisting.shorten(ctx), listed()) == (1, {77})
    assert relisting.shorten(ctx) == 0
    states = {
        int(each.certificate.serial, 16): (str(each.standing), each.reason)
        for post in (ONE, two, three)
        for each in revoking.certificates(ctx, ADMIN, post)
    }
    assert states == {
        stolen: ("revoked", "keyCompromise"), good: ("good", ""),
        held: ("on hold", "certificateHold"), unknown: ("revoked", "unspecified"),
    }  # fmt: skip
    for post in (ONE, two):
        standing.change_state(ctx, ADMIN, post, DeviceState.QUARANTINED)
        standing.change_state(ctx, ADMIN, post, DeviceState.ACTIVE)
    told = {each.certificate.serial: each.standing for each in revoking.certificates(ctx, ADMIN, ONE)}
    assert told == {f"{stolen:x}": "revoked", f"{good:x}": "good"}
    assert [each.standing for each in revoking.certificates(ctx, ADMIN, two)] == ["expired"]
    end(timedelta(days=-30))  # a clock that was far ahead when the list was made
    assert relisting.list_again(ctx) == 2
    assert listed() == {stolen, unknown, 77}


def test_a_look_makes_a_list_of_the_future_again(ctx: Context, authority: Authority) -> None:
    serial = enrolled(ctx).serial_number
    standing.change_state(ctx, ADMIN, ONE, DeviceState.QUARANTINED)
    replace(authority, clock=lambda: datetime.now(UTC) + timedelta(days=365)).shorten_lists(
        {serial: datetime.now(UTC)}
    )
    assert authority.revocation_list().last_update_utc > datetime.now(UTC)
    assert relisting.list_again(ctx) == 0
    crl = authority.revocation_list()
    assert crl.last_update_utc < datetime.now(UTC)
    assert {each.serial_number: revocation.reason_of(each).value for each in crl} == {
        serial: "certificateHold"
    }


def test_who_is_revoked_while_it_asks_over_est_gets_nothing(
    ctx: Context, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its certificate was good when it was looked at; then it waited for whoever revoked it."""
    shown, lock = enrolled(ctx), store.lock_certificates

    def revoked_before(session: Session, tenant: str, device: str) -> None:
        monkeypatch.setattr(store, "lock_certificates", lock)
        revoking.revoke(ctx, ADMIN, ONE, f"{shown.serial_number:x}", revoking.Reason.KEY_COMPROMISE)
        lock(session, tenant, device)

    monkeypatch.setattr(store, "lock_certificates", revoked_before)
    with pytest.raises(RenewalRefused, match="revoked"):
        reenrolling.renew_with_certificate(ctx, shown.public_bytes(Encoding.DER), make_request(str(ONE))[0])
    assert len(revoking.certificates(ctx, ADMIN, ONE)) == 1


def test_who_is_replaced_renews_nothing_meanwhile(
    ctx: Context, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it got between the look at its certificates and the end would have stayed good."""
    enrolled(ctx)
    shut_out, free = shutting.shut_out, []

    def looked_at(*args: Any, **more: Any) -> None:
        shut_out(*args, **more)
        with ctx.db.raw() as other:
            name = f"certificates of {ONE}"
            row = other.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", (name,))
            free.append(row.fetchone())

    monkeypatch.setattr(shutting, "shut_out", looked_at)
    enrolled(ctx, replaces=True)
    assert free == [(False,)]


def test_an_upgrade_ends_nobody_who_keeps_the_key_of_a_replacement(
    ctx: Context, authority: Authority, database_url: str
) -> None:
    """An EST client may renew by the same key; then it is put on hold, with all that it has."""
    replaced, own = enrolled(ctx).serial_number, enrolled(ctx, replaces=True).serial_number
    later = renewed(ctx)
    with ctx.db.raw(autocommit=True) as database:
        database.execute(
            "UPDATE certificate SET key_fingerprint = k.key_fingerprint FROM certificate k"
            " WHERE k.serial = %s AND certificate.serial = %s",
            (f"{own:x}", f"{later:x}"),
        )
    standing.change_state(ctx, ADMIN, ONE, DeviceState.QUARANTINED)
    ctx.db.close()
    migrations.downgrade(database_url, "0019")
    migrations.upgrade(database_url)
    assert relisting.list_again(ctx) == 0
    told = {int(each.certificate.serial, 16): each.reason for each in revoking.certificates(ctx, ADMIN, ONE)}
    assert told == {replaced: "superseded", own: "certificateHold", later: "certificateHold"}


def test_who_was_on_hold_and_ran_out_is_ended_with_its_lamppost(ctx: Context, authority: Authority) -> None:
    """The list could not be written when its lamppost was decommissioned; and it names nobody who ran out."""
    with ctx.db.raw(autocommit=True) as database:
        post = Post(ctx, authority, database)
        post.put("h", "-", DeviceState.DECOMMISSIONED)
        database.execute("UPDATE certificate SET not_after = now() - interval '30 days'")
        post.act("seen")
        assert post.found() == ("cessationOfOperation", "")


def test_of_two_lists_the_word_for_good_counts(
    ctx: Context, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older versions began the next authority's list empty: it may have on hold what the former has ended."""
    crl, signer = authority.revocation_list(), (authority.issuing, authority._key)
    ended, held = (revocation.with_revoked(crl, [7], *signer, NOW, hold=hold) for hold in (False, True))
    for lists in ((ended, held), (held, ended)):
        monkeypatch.setattr(Authority, "revocation_lists", lambda _, those=lists: those)
        assert shutting.reasons_listed(ctx) == {7: "unspecified"}
