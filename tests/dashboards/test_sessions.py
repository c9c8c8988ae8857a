"""Who is behind a cookie: the proof against planted cookies, the short memory, the database away."""

from __future__ import annotations

import asyncio
import stat
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dashboards import frame, sessions
from dashboards.secret import UnfitSecret, load_or_make
from dashboards.sessions import CHECK_AGAIN_S, GRACE_S, Sessions
from dashboards.sign_in import safe_next
from fleet_server.access.rules import Principal
from fleet_server.access.service import SignedIn
from fleet_server.errors import DatabaseUnreachable

WHO = SignedIn(
    Principal("operator", "ana", frozenset({"admin"}), "porto"),
    datetime(2026, 11, 21, tzinfo=UTC),
    ("porto",),
)


class Book:
    """Sessions by token, a count of looks, a database that can go away, a clock that is turned by hand."""

    def __init__(self) -> None:
        self.alive: dict[str, Any] = {"token": object()}
        self.looks = 0
        self.down = False
        self.now_s = 1000.0

    async def resolve(self, token: str) -> SignedIn | None:
        self.looks += 1
        if self.down:
            raise DatabaseUnreachable("away")
        return self.alive.get(token)


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def known(book: Book) -> Sessions:
    return Sessions(book, monotonic=lambda: book.now_s)


def ask(known: Sessions, cookie: dict[str, Any], storage: dict[str, Any]) -> SignedIn | None:
    return asyncio.run(known.of(cookie, storage))


def test_a_session_begins_and_ends(book: Book, known: Sessions) -> None:
    cookie: dict[str, Any] = {"id": "x"}
    storage: dict[str, Any] = {}
    assert ask(known, cookie, storage) is None
    sessions.begin(cookie, storage, "token")
    assert ask(known, cookie, storage) is book.alive["token"]
    assert sessions.end(cookie, storage) == "token"
    assert ask(known, cookie, storage) is None


def test_a_cookie_from_before_the_sign_in_is_worth_nothing(known: Sessions) -> None:
    planted = {"id": "x"}
    storage: dict[str, Any] = {}
    sessions.begin({"id": "x"}, storage, "token")
    assert ask(known, planted, storage) is None


def test_forty_assets_cost_one_look_and_an_ended_session_is_noticed(book: Book, known: Sessions) -> None:
    cookie: dict[str, Any] = {}
    storage: dict[str, Any] = {}
    sessions.begin(cookie, storage, "token")
    for _ in range(40):
        assert ask(known, cookie, storage)
    assert book.looks == 1
    book.alive.clear()
    book.now_s += CHECK_AGAIN_S
    assert ask(known, cookie, storage) is None


def test_while_the_database_is_away_who_was_signed_in_stays_for_a_while(book: Book, known: Sessions) -> None:
    cookie: dict[str, Any] = {}
    storage: dict[str, Any] = {}
    sessions.begin(cookie, storage, "token")
    assert ask(known, cookie, storage)
    book.down = True
    book.now_s += GRACE_S - 1
    assert ask(known, cookie, storage)
    book.now_s += 1
    with pytest.raises(DatabaseUnreachable):
        ask(known, cookie, storage)


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        ("/?lamppost=demo/rathaus", "/?lamppost=demo/rathaus"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/sign-out", "/"),
        ("", "/"),
        ("/x\r\nSet-Cookie: a=b", "/"),
    ],
)
def test_after_signing_in_one_stays_on_this_server(wanted: str, taken: str) -> None:
    assert safe_next(wanted) == taken


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / "ui.secret"
    made = load_or_make(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(made) >= 32
    assert load_or_make(file) == made


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ui.secret"
    load_or_make(file)
    file.chmod(0o644)
    with pytest.raises(UnfitSecret, match="chmod 600"):
        load_or_make(file)


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ui.secret"
    file.write_text("secret\n")
    file.chmod(0o600)
    with pytest.raises(UnfitSecret, match="characters"):
        load_or_make(file)


class Browser:
    """What a page's line needs of NiceGUI's client: one whose browser does not go where it is sent."""

    has_socket_connection = True

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.is_deleted = False

    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...
    def open(self, path: str) -> None:
        self.opened.append(path)

    def delete(self) -> None:
        assert not self.is_deleted
        self.is_deleted = True


@pytest.mark.parametrize("now", [None, replace(WHO, principal=replace(WHO.principal, tenant="lisboa"))])
def test_a_page_ends_with_the_session_that_it_acts_for(
    book: Book, known: Sessions, monkeypatch: pytest.MonkeyPatch, now: SignedIn | None
) -> None:
    """A browser that stays on it and goes on asking acts for nobody."""
    monkeypatch.setattr(frame, "GOODBYE_S", 0.0)
    browser: Any = Browser()
    book.alive["token"] = WHO
    line = frame._line(browser, WHO, "token", known)

    async def ended() -> None:
        assert await line.welcome()
        book.alive["token"] = now
        book.now_s += CHECK_AGAIN_S
        assert not await line.welcome()
        assert not await line.welcome()
        while not browser.is_deleted:
            await asyncio.sleep(0)

    asyncio.run(ended())
    assert (set(browser.opened), browser.is_deleted) == ({"/sign-in"}, True)
