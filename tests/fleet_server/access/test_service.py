"""Signing in and out and accounts, on a real database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fleet_server.access import accounts, passwords, rules, service
from fleet_server.access import sign_in as signing
from fleet_server.access.errors import NameTaken, SignInBusy, SignInRefused, TooManyAttempts, UnfitCredential
from fleet_server.access.rules import CONSOLE, Role
from fleet_server.context import Context
from fleet_server.errors import Forbidden, NotAuthenticated
from tests.support.server_context import OPERATOR, make_context

PASSWORD = "a lamp for every street"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def ctx(database_url: str, tmp_path: Path) -> Iterator[Context]:
    made = make_context(database_url, tmp_path)
    yield made
    made.db.close()


@pytest.fixture
def ana(ctx: Context) -> str:
    service.create_operator(ctx, CONSOLE, "ana", PASSWORD, (Role.ADMIN,))
    return "ana"


def test_sign_in_resolve_and_out(ctx: Context, ana: str) -> None:
    made = service.sign_in(ctx, ana, PASSWORD)
    who = service.resolve(ctx, made.token)
    assert who == made.principal == rules.Principal("operator", "ana", frozenset({Role.ADMIN}))
    service.sign_out(ctx, made.token)
    assert service.resolve(ctx, made.token) is None
    service.sign_out(ctx, made.token)


def test_secrets_are_not_in_the_database_nor_in_a_repr(ctx: Context, ana: str) -> None:
    made = service.sign_in(ctx, ana, PASSWORD)
    with ctx.db.raw() as connection:
        stored = str(connection.execute("SELECT * FROM operator").fetchall())
        stored += str(connection.execute("SELECT * FROM operator_session").fetchall())
    assert PASSWORD not in stored
    assert made.token not in stored
    assert "$argon2id$" in stored
    assert made.token not in repr(made)


@pytest.mark.parametrize(
    ("name", "password"),
    [("ana", "wrong"), ("ana", ""), ("bob", PASSWORD), ("", PASSWORD), ("ana", "x" * 5000), ("A\x00", "y")],
)
def test_wrong_is_refused_without_telling_what(ctx: Context, ana: str, name: str, password: str) -> None:
    with pytest.raises(SignInRefused, match=r"Name or password is wrong\."):
        service.sign_in(ctx, name, password)


def test_an_unknown_name_costs_the_same_work(ctx: Context, ana: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    real = passwords._hasher.verify_and_update

    def counting(password: str, stored: str) -> tuple[bool, str | None]:
        hashed.append(stored.split("$")[3])  # the parameters: memory, time, parallelism
        return real(password, stored)

    monkeypatch.setattr(passwords._hasher, "verify_and_update", counting)
    for name in ("ana", "nobody", "Not A Name"):
        with pytest.raises(SignInRefused):
            service.sign_in(ctx, name, "wrong password")
    assert len(hashed) == 3
    assert len(set(hashed)) == 1


def test_guessing_is_throttled_per_name_and_address_and_success_forgets(ctx: Context, ana: str) -> None:
    for _ in range(rules.FAILURES_FREE + 1):
        with pytest.raises(SignInRefused):
            service.sign_in(ctx, ana, "wrong", "10.0.0.1", NOON)
    with pytest.raises(TooManyAttempts) as refused:
        service.sign_in(ctx, ana, PASSWORD, "10.0.0.1", NOON + timedelta(seconds=1))
    wait_s = refused.value.members["retry_after_s"]
    assert service.sign_in(ctx, ana, PASSWORD, "10.0.0.2", NOON).principal.name == ana
    with pytest.raises(SignInRefused):
        service.sign_in(ctx, "bob", PASSWORD, "10.0.0.1", NOON)
    later = NOON + timedelta(seconds=1 + wait_s)
    service.sign_in(ctx, ana, PASSWORD, "10.0.0.1", later)
    with pytest.raises(SignInRefused):
        service.sign_in(ctx, ana, "wrong", "10.0.0.1", later)


def test_guesses_sent_together_count_one_by_one(ctx: Context, ana: str) -> None:
    def guess(number: int) -> str:
        try:
            service.sign_in(ctx, ana, f"guess {number}", "10.0.0.1", NOON)
        except (SignInRefused, TooManyAttempts) as refused:
            return type(refused).__name__
        return "in"

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(guess, range(16)))
    assert answers.count("SignInRefused") == rules.FAILURES_FREE + 1
    assert answers.count("TooManyAttempts") == 16 - rules.FAILURES_FREE - 1


def test_a_session_slides_while_used_and_ends_when_not(ctx: Context, ana: str) -> None:
    token = service.sign_in(ctx, ana, PASSWORD, now=NOON).token
    at = NOON
    for _ in range(4):
        at += timedelta(hours=11)
        assert service.resolve(ctx, token, at) is not None
    assert service.resolve(ctx, token, at + rules.SESSION_IDLE) is None
    service.sign_in(ctx, ana, PASSWORD, now=at + timedelta(hours=13))  # which sweeps what has ended
    with ctx.db.raw() as connection:
        assert connection.execute("SELECT count(*) FROM operator_session").fetchone() == (1,)


def test_a_disabled_account_is_out_at_once(ctx: Context, ana: str) -> None:
    token = service.sign_in(ctx, ana, PASSWORD).token
    with ctx.db.raw() as connection:
        connection.execute("UPDATE operator SET disabled = true")
    assert service.resolve(ctx, token) is None
    with pytest.raises(SignInRefused):
        service.sign_in(ctx, ana, PASSWORD)


def test_another_password_ends_the_sessions(ctx: Context, ana: str) -> None:
    token = service.sign_in(ctx, ana, PASSWORD).token
    service.set_password(ctx, CONSOLE, ana, "a bench under every lamp")
    assert service.resolve(ctx, token) is None
    service.sign_in(ctx, ana, "a bench under every lamp")


@pytest.mark.parametrize("reset", [{"password": "a bench under every lamp"}, {"disabled": True}])
def test_who_was_at_the_door_when_the_lock_was_changed_is_out(
    cheap_passwords: None,
    ctx: Context,
    ana: str,
    monkeypatch: pytest.MonkeyPatch,
    reset: dict[str, object],
) -> None:
    """The old password was right, and is another before the session begins; nor does it come back."""
    real = passwords.verify_password

    def slow(password: str, stored: str | None) -> tuple[bool, str | None]:
        right, _ = real(password, stored)
        if "password" in reset:
            service.set_password(ctx, CONSOLE, ana, str(reset["password"]))
        else:
            service.set_disabled(ctx, CONSOLE, ana, disabled=True)
        return right, passwords.hash_password(password)  # a hash of older parameters would be renewed

    monkeypatch.setattr(signing, "verify_password", slow)
    with pytest.raises(SignInRefused):
        service.sign_in(ctx, ana, PASSWORD)
    monkeypatch.undo()
    with ctx.db.raw() as connection:
        assert connection.execute("SELECT count(*) FROM operator_session").fetchone() == (0,)
    service.set_disabled(ctx, CONSOLE, ana, disabled=False)
    service.sign_in(ctx, ana, str(reset.get("password", PASSWORD)))


def test_who_is_shut_out_while_choosing_a_password_chooses_none(
    cheap_passwords: None, ctx: Context, ana: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    thief = service.sign_in(ctx, ana, PASSWORD)
    real = accounts._hashed

    def slow(password: str, name: str) -> str:
        monkeypatch.undo()
        service.set_password(ctx, CONSOLE, ana, "a bench under every lamp")
        return real(password, name)

    monkeypatch.setattr(accounts, "_hashed", slow)
    with pytest.raises(NotAuthenticated):
        service.change_own_password(ctx, thief.principal, thief.token, PASSWORD, "all lamps are mine now")
    service.sign_in(ctx, ana, "a bench under every lamp")


def test_accounts_are_made_by_administrators_only_and_once(ctx: Context, ana: str) -> None:
    with pytest.raises(Forbidden):
        service.create_operator(ctx, OPERATOR, "eve", PASSWORD, (Role.VIEWER,))
    with pytest.raises(Forbidden):
        service.list_operators(ctx, OPERATOR)
    with pytest.raises(NameTaken):
        service.create_operator(ctx, CONSOLE, ana, PASSWORD, (Role.VIEWER,))
    with pytest.raises(UnfitCredential, match="at least"):
        service.create_operator(ctx, CONSOLE, "eve", "short", (Role.VIEWER,))
    with pytest.raises(UnfitCredential, match="needs a role, at least one of admin, operator"):
        service.create_operator(ctx, CONSOLE, "eve", PASSWORD, ())
    with pytest.raises(UnfitCredential, match="roles are"):
        service.create_operator(ctx, CONSOLE, "eve", PASSWORD, ("ingest",))
    assert [each.name for each in service.list_operators(ctx, CONSOLE)] == [ana]


def test_the_first_administrator_is_made_once(ctx: Context) -> None:
    password = service.ensure_first_admin(ctx)
    assert password is not None
    assert Role.ADMIN in service.sign_in(ctx, "admin", password).principal.roles
    assert service.ensure_first_admin(ctx) is None


@pytest.mark.parametrize("token", ["", "x", "é" * 40, "\x00", "a" * 10_000])
def test_a_made_up_token_is_nobody(ctx: Context, token: str) -> None:
    assert service.resolve(ctx, token) is None


def test_a_flood_of_sign_ins_is_turned_away_instead_of_holding_every_thread(
    ctx: Context, ana: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits for one of two hashes: without a limit forty strangers hold all the threads of the API."""
    at_work, let_go = threading.Semaphore(0), threading.Event()

    def slow(password: str, stored: str | None) -> tuple[bool, str | None]:
        at_work.release()
        assert let_go.wait(30)
        return False, None

    monkeypatch.setattr(signing, "verify_password", slow)
    places = passwords.HASHES_AT_ONCE + passwords.WAITING_MOST
    with ThreadPoolExecutor(places) as strangers:
        flood = [strangers.submit(service.sign_in, ctx, f"n{i}", PASSWORD) for i in range(places)]
        for _ in flood:
            assert at_work.acquire(timeout=30)
        with pytest.raises(SignInBusy) as refused:
            service.sign_in(ctx, ana, PASSWORD)
        assert refused.value.members["retry_after_s"] == passwords.BUSY_RETRY_S
        let_go.set()
        assert all(isinstance(each.exception(30), SignInRefused) for each in flood)
    monkeypatch.undo()
    assert service.sign_in(ctx, ana, PASSWORD)
