"""Who is on the revocation list: after each event, from each state of our record and of the list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import psycopg
import pytest
from cryptography import x509

from fleet_server import migrations
from fleet_server.context import Context
from fleet_server.devices.rules import DeviceState
from fleet_server.enrolment import certificate_rules, relisting, revoking, shutting, standing
from fleet_server.enrolment.certificate_rules import PAIRS, Event, Mark
from provisioning import revocation
from provisioning.authority import Authority
from provisioning.revocation import CLOCKS
from tests.fleet_server.enrolment.test_service import ONE, enrolled
from tests.fleet_server.enrolment.test_standing import renewed
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
