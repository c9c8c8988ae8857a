"""The second factor: RFC 6238's own vectors, codes used once, and signing in by it over HTTP."""

from __future__ import annotations

import base64
import re
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyotp
import pytest
from fastapi.testclient import TestClient

from fleet_server.access import factor_store, rules, sealing, service, store, totp
from fleet_server.access.errors import CodeRefused, SecondFactorNeeded, SignInRefused, TooManyAttempts
from fleet_server.access.rules import CONSOLE, Role
from fleet_server.access.sealing import CannotUnseal, UnfitKeyFile
from fleet_server.context import Context
from fleet_server.errors import Conflict
from tests.support.api import app_of
from tests.support.server_context import make_context
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("cheap_passwords")

PASSWORD = "a lamp for every street"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECRET = b"12345678901234567890"  # RFC 6238, appendix B


@pytest.mark.parametrize(
    ("second", "code"),
    [(59, "94287082"), (1111111109, "07081804"), (1234567890, "89005924"), (20000000000, "65353130")],
)
def test_rfc_6238_s_own_codes(second: int, code: str) -> None:
    at = datetime.fromtimestamp(second, UTC)
    assert totp.code_at(SECRET, totp.step_at(at)) == code[-totp.DIGITS :]
    assert totp.matching_step(SECRET, f"{code[2:5]} {code[5:]}", at, 0) == totp.step_at(at)


def test_a_code_is_good_one_step_either_way_and_never_after_it_or_a_later_one_was_used() -> None:
    here = totp.step_at(NOON)
    for step in range(here - 3, here + 4):
        found = totp.matching_step(SECRET, totp.code_at(SECRET, step), NOON, 0)
        assert found == (step if abs(step - here) <= totp.STEPS_EITHER_WAY else None)
    for used in (here, here + 1):
        assert totp.matching_step(SECRET, totp.code_at(SECRET, here), NOON, used) is None
    assert totp.matching_step(SECRET, totp.code_at(SECRET, here + 1), NOON, here) == here + 1


@pytest.mark.parametrize(
    "code", ["", "12345", "1234567", "abcdef", "１２３４５６", "12345\x00", "-12345", "9" * 64]
)
def test_what_is_no_code(code: str) -> None:
    assert totp.matching_step(SECRET, code, NOON, 0) is None
    assert totp.recovery_hash(code) is None


def test_recovery_codes_are_read_as_people_type_them() -> None:
    code = totp.recovery_code(bytes(range(10)))
    assert re.fullmatch(r"[a-z2-7]{4}(-[a-z2-7]{4}){3}", code)
    assert totp.recovery_hash(code) == totp.recovery_hash(f" {code.upper().replace('-', ' ')} ")


def test_what_is_sealed_opens_for_its_owner_with_its_key_only(tmp_path: Path) -> None:
    key = sealing.load_or_make(tmp_path / "new" / "people.key")
    assert stat.S_IMODE((tmp_path / "new" / "people.key").stat().st_mode) == 0o600
    assert sealing.load_or_make(tmp_path / "new" / "people.key") == key
    sealed = sealing.seal(key, SECRET, "operator 1")
    assert SECRET not in sealed
    assert sealing.unseal(key, sealed, "operator 1") == SECRET
    for wrong in (
        (key, sealed, "operator 2"),
        (bytes(32), sealed, "operator 1"),
        (key, sealed[:9], "operator 1"),
    ):
        with pytest.raises(CannotUnseal):
            sealing.unseal(*wrong)
    (tmp_path / "short").write_text("abcd")
    (tmp_path / "short").chmod(0o600)
    with pytest.raises(UnfitKeyFile, match="64 hexadecimal"):
        sealing.load_or_make(tmp_path / "short")
    (tmp_path / "short").chmod(0o644)
    with pytest.raises(UnfitKeyFile, match="chmod 600"):
        sealing.load_or_make(tmp_path / "short")


@pytest.fixture
def ctx(database_url: str, tmp_path: Path) -> Iterator[Context]:
    made = make_context(database_url, tmp_path)
    service.create_operator(made, CONSOLE, "ana", PASSWORD, (Role.ADMIN,))
    yield made
    made.db.close()


def with_factor(ctx: Context) -> None:
    """As if ana had set SECRET up."""
    key = sealing.load_or_make(ctx.config.sign_in.key_file)
    with ctx.db.session() as session:
        ana = store.operator(session, "ana")
        assert ana is not None
        factor_store.put(session, ana.id, sealing.seal(key, SECRET, f"operator {ana.id}"), NOON)
        factor_store.confirm(session, ana.id, 0, NOON)


def ticket(ctx: Context, now: datetime = NOON, address: str = "10.0.0.1") -> str:
    with pytest.raises(SecondFactorNeeded) as needed:
        service.sign_in(ctx, "ana", PASSWORD, address, now)
    assert needed.value.members["set_up"] is False
    return str(needed.value.members["ticket"])


def test_codes_are_throttled_wherever_they_come_from(ctx: Context) -> None:
    with_factor(ctx)
    right = totp.code_at(SECRET, totp.step_at(NOON))
    held = ticket(ctx)
    for number in range(rules.TICKET_FAILURES_MOST):
        with pytest.raises(CodeRefused):
            service.with_second_factor(ctx, held, "000000", f"10.0.0.{number}", NOON)
    with pytest.raises(CodeRefused, match="Sign in again"):
        service.with_second_factor(ctx, held, right, "10.0.0.2", NOON)
    another = ticket(ctx)
    with pytest.raises(CodeRefused):
        service.with_second_factor(ctx, another, "000000", "10.0.0.1", NOON)
    with pytest.raises(TooManyAttempts):  # from elsewhere too: who guesses codes has the password
        service.with_second_factor(ctx, another, right, "10.9.9.9", NOON)
    later = NOON + rules.TICKET_LIFE
    with pytest.raises(CodeRefused):
        service.with_second_factor(ctx, another, totp.code_at(SECRET, totp.step_at(later)), "10.0.0.1", later)
    held = ticket(ctx, later)
    code = totp.code_at(SECRET, totp.step_at(later))
    made = service.with_second_factor(ctx, held, code, "10.0.0.1", later)
    assert service.resolve(ctx, made.token, later) == made.principal
    following = totp.code_at(SECRET, totp.step_at(later) + 1)
    with pytest.raises(CodeRefused, match="Sign in again"):
        service.with_second_factor(ctx, held, following, "10.0.0.1", later)
    for spent in (held, ticket(ctx, later), "", "x" * 128):  # the ticket once, the code once
        with pytest.raises(CodeRefused):
            service.with_second_factor(ctx, spent, code, "10.0.0.1", later)
    service.set_disabled(ctx, CONSOLE, "ana", disabled=True)
    with pytest.raises(SignInRefused):
        service.sign_in(ctx, "ana", PASSWORD, "10.0.0.3", later)


def test_a_password_that_is_set_and_a_code_that_is_shown_at_once_wait_for_one_another_in_one_order(
    ctx: Context,
) -> None:
    """`set_password` takes the account, then what waits for a code; whoever shows one took them crosswise."""
    with_factor(ctx)
    held, code = ticket(ctx), totp.code_at(SECRET, totp.step_at(NOON))
    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    waits += " AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as thread, ctx.db.raw(autocommit=True) as looking:
        with ctx.db.raw() as setting:
            setting.execute("SELECT FROM operator WHERE name = 'ana' FOR UPDATE")
            shown = thread.submit(service.with_second_factor, ctx, held, code, "10.0.0.1", NOON)
            wait_until(lambda: looking.execute(waits).fetchone() == (1,), 10, "who shows the code")
            setting.execute("SET LOCAL lock_timeout = '5s'")
            setting.execute("DELETE FROM sign_in_ticket")
            setting.commit()
        with pytest.raises(CodeRefused):
            shown.result(30)


def authenticator(shown: dict[str, str]) -> pyotp.TOTP:
    """As a telephone does: from the QR code's address."""
    made = pyotp.parse_uri(shown["address"])
    assert isinstance(made, pyotp.TOTP)
    assert made.secret == shown["secret"]
    assert shown["picture"].startswith("<svg")
    return made


def test_set_up_sign_in_recover_and_take_away_over_http(ctx: Context) -> None:
    clock = datetime.now(UTC)
    with TestClient(app_of(ctx), raise_server_exceptions=False) as http:
        signed = http.post("/api/v1/session", json={"name": "ana", "password": PASSWORD}).json()
        old = signed["token"]
        away = http.post("/api/v1/session", json={"name": "ana", "password": PASSWORD}).json()["token"]
        account = "/api/v1/account/second-factor"
        assert http.post(account, json={"password": "wrong"}).status_code == 401
        phone = authenticator(http.post(account, json={"password": PASSWORD}).json())
        assert http.post(f"{account}/confirm", json={"code": "000000"}).status_code == 401
        answer = http.post(f"{account}/confirm", json={"code": phone.at(clock)})
        confirmed = answer.json()
        codes = confirmed["recovery_codes"]
        assert len(set(codes)) == totp.RECOVERY_CODES
        assert http.cookies["lamppost_session"] == confirmed["token"] != away
        for ended in (old, away):
            assert service.resolve(ctx, ended) is None
        http.cookies.clear()
        needed = http.post("/api/v1/session", json={"name": "ana", "password": PASSWORD})
        assert needed.status_code == 401
        assert needed.json()["type"] == "urn:lamppost:problem:second-factor-needed"
        assert "set-cookie" not in needed.headers
        step = "/api/v1/session/second-factor"
        body = {"ticket": needed.json()["ticket"], "code": phone.at(clock)}
        assert http.post(step, json=body).status_code == 401  # used at the confirmation
        assert http.post(step, json=body | {"code": codes[0]}).status_code == 201
        again = http.post("/api/v1/session", json={"name": "ana", "password": PASSWORD}).json()
        assert http.post(step, json={"ticket": again["ticket"], "code": codes[0]}).status_code == 401
        fresh = http.post(f"{account}/recovery-codes", json={"code": codes[1]}).json()["recovery_codes"]
        assert http.post(f"{account}/remove", json={"code": codes[2]}).status_code == 401
        assert http.post(f"{account}/remove", json={"code": fresh[0]}).status_code == 200
        assert http.post("/api/v1/session", json={"name": "ana", "password": PASSWORD}).status_code == 201
    with ctx.db.raw() as connection:
        stored = str(connection.execute("SELECT body FROM audit_line").fetchall())
    assert not any(secret in stored for secret in (phone.secret, *codes, *fresh, PASSWORD))


def test_a_role_may_require_it(ctx: Context) -> None:
    strict = replace(
        ctx, config=replace(ctx.config, sign_in=replace(ctx.config.sign_in, second_factor_roles=("admin",)))
    )
    with pytest.raises(SecondFactorNeeded) as needed:
        service.sign_in(strict, "ana", PASSWORD, now=NOON)
    held = needed.value.members["ticket"]
    assert needed.value.members["set_up"] is True
    with pytest.raises(CodeRefused):
        service.with_second_factor(strict, held, "123456", now=NOON)
    shown = service.prepare_by_ticket(strict, held, NOON)
    secret = base64.b32decode(shown.secret)
    code = totp.code_at(secret, totp.step_at(NOON))
    made = service.with_second_factor(strict, held, code, now=NOON)
    assert len(made.recovery_codes) == totp.RECOVERY_CODES
    service.grant(ctx, CONSOLE, "ana", "faro", (Role.VIEWER,))
    for where in (made.principal, replace(made.principal, tenant="faro", roles=frozenset({Role.VIEWER}))):
        with pytest.raises(Conflict, match="needs a second factor"):
            service.remove_own(strict, where, made.token, made.recovery_codes[0], NOON)
    assert secret.hex() not in repr((shown, made))
    service.reset_second_factor(strict, CONSOLE, "ana")
    assert service.resolve(strict, made.token, NOON) is None
