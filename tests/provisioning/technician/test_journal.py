"""The journal survives a power cut at every byte, and what is in it happens once however often it is sent."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioning.claims import new_token
from provisioning.technician.at_the_desk import take_claim
from provisioning.technician.errors import NotSignedIn, ServerRefused, ServerUnreachable, WrongInput
from provisioning.technician.home import TOKEN_VARIABLE, Home, Settings
from provisioning.technician.journal import Journal, Work, new_id
from provisioning.technician.rules import Event, State, done_at
from provisioning.technician.server import Server
from provisioning.technician.syncing import PHOTO, sender, sync
from provisioning.technician.workshop import Workshop
from wire_contract.topics import Address


def made(device: str = "city/lamp-1", kind: str = "note") -> Work:
    return Work(new_id(), kind, device, "2026-11-21T10:00:00+00:00", {"text": "x"})


def test_a_power_cut_at_any_byte_loses_only_what_was_not_said_to_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "home" / "journal.jsonl"
    journal = Journal(path)
    first, second = journal.add(made()), made()
    kept = len(path.read_bytes())
    journal.add(second)
    whole = path.read_bytes()
    for cut in range(kept, len(whole)):
        path.write_bytes(whole[:cut])
        ids = [each.id for each in journal.all()]
        assert ids in ([first.id], [first.id, second.id] if cut == len(whole) - 1 else [first.id])
    path.write_bytes(whole[: kept + 20])
    third = journal.add(made())
    assert [each.id for each in journal.all()] == [first.id, third.id], "after a torn line comes a whole one"
    assert path.stat().st_mode & 0o077 == 0


def test_what_does_not_fit_its_state_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    sent = journal.became(journal.add(made()), Event.TAKEN)
    with pytest.raises(WrongInput):
        journal.became(sent, Event.DROP)
    for start in ("", "zz", sent.id[:4]):
        with pytest.raises(WrongInput):
            journal.find(start)


class City:
    """A server that carries everything out once an id, and fails as the plan says."""

    def __init__(self, plan: list[str]) -> None:
        self.plan = plan
        self.done: list[str] = []

    def __call__(self, work: Work) -> None:
        mood = self.plan.pop(0) if self.plan else "well"
        if mood == "away":
            raise ServerUnreachable("no connection")
        if mood == "signed-out":
            raise NotSignedIn("who?")
        if mood == "refuses":
            raise ServerRefused(409, "conflict", "something newer")
        if mood == "second":
            raise ServerRefused(409, "second-person-needed", "another person has to agree")
        if work.id not in self.done:
            self.done.append(work.id)
        if mood == "answer-lost":
            raise ServerUnreachable("the answer was lost")
        if mood == "power-cut":
            raise KeyboardInterrupt


MOODS = st.sampled_from(
    ["well", "away", "answer-lost", "refuses", "power-cut", "signed-out", "second", "torn"]
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=6), st.lists(MOODS, max_size=14))
def test_everything_happens_once_in_the_order_of_its_lamppost(devices: list[int], moods: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        journal = Journal(path)
        added = [journal.add(made(f"city/lamp-{device}")) for device in devices]
        city = City([mood for mood in moods if mood != "torn"])
        tears = moods.count("torn")
        for _round in range(40):
            if tears:
                tears -= 1
                with path.open("ab") as file:
                    file.write(b'deadbeef {"work":')
            try:
                sync(journal, city)
            except KeyboardInterrupt:
                continue
            for each in journal.open():
                if each.state is State.CONFLICT:
                    journal.became(each, Event.RETRY)
            if not journal.open():
                break
        assert not journal.open()
        assert sorted(city.done) == sorted(each.id for each in added), "everything, nothing twice"
        for device in set(devices):
            mine = [each.id for each in added if each.device == f"city/lamp-{device}"]
            assert [done for done in city.done if done in mine] == mine


def test_a_refusal_is_told_and_left_to_the_technician(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    first, later, other = (journal.add(made(f"city/lamp-{n}")) for n in (1, 1, 2))
    done = sync(journal, City(["refuses"]))
    assert [each.id for each in done.conflicts] == [first.id]
    assert done.conflicts[0].detail == "something newer"
    assert [each.id for each in done.sent] == [other.id]
    assert [each.id for each in done.waiting] == [later.id]
    journal.became(journal.find(first.id[:6]), Event.DROP)
    assert [each.id for each in sync(journal, City([])).sent] == [later.id]


def test_a_picture_stays_until_every_post_has_it(tmp_path: Path) -> None:
    """Of two posts, the power cut after the server's answer, and the same again."""
    journal, picture = Journal(tmp_path / "journal.jsonl"), tmp_path / "ab"
    picture.write_bytes(b"x")
    body = {"caption": "", "keep_metadata": False, "media_type": "image/jpeg"}
    for number in (1, 2):
        journal.add(replace(made(f"city/lamp-{number}", "photo"), body=body, blob="ab"))
    came: list[str] = []

    class Answers:
        def put_bytes(self, path: str, content: bytes, media_type: str, **query: str) -> None:
            came.append(path)

    send = sender(cast(Server, Answers()), tmp_path)

    def until_the_power_goes(work: Work) -> None:
        send(work)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sync(journal, until_the_power_goes, outbox=tmp_path)
    done = sync(journal, send, outbox=tmp_path)
    assert (len(done.sent), done.conflicts, len(came)) == (2, (), 3)
    assert not picture.exists()


def test_what_another_answers_in_the_servers_place_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that asks to sign in first, or the address of something else."""
    monkeypatch.setattr(httpx.Client, "request", lambda *_a, **_k: httpx.Response(200, text="<html>"))
    journal = Journal(tmp_path / "journal.jsonl")
    journal.add(made())
    done = sync(journal, sender(Server("http://127.0.0.1:1", "token"), tmp_path))
    assert (len(done.sent), len(done.waiting)) == (0, 1)
    assert "does not answer" in done.stopped


LAMP = Address("city", "lamp-1")
PICTURE = {"caption": "", "keep_metadata": False, "media_type": "image/jpeg"}
TO_DISK = ("open", "write", "fsync", "replace", "unlink", "fchmod", "close")


def power_goes(count: int, act: Callable[[], None]) -> bool:
    """Do it in a process of its own that is killed before its count-th call to the disk. Was it killed?"""
    child = os.fork()
    if child == 0:
        made = 0

        def counted(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **named: Any) -> Any:
                nonlocal made
                made += 1
                if made == count:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **named)

            return call

        for name in TO_DISK:
            setattr(os, name, counted(getattr(os, name)))
        try:
            act()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_a_power_cut_at_every_call_to_the_disk(tmp_path: Path) -> None:
    """A picture is kept, a note, and both are sent. What was said to be kept is, no line lacks its picture,
    and the city has everything once in the end."""
    points, still = 0, True
    while still:
        points += 1
        home = Home(tmp_path / str(points))
        shop = Workshop(home, tell=lambda _line: None)
        told, came = (tmp_path / f"{points}-{name}" for name in ("told", "came"))
        with told.open("ab", buffering=0) as said, came.open("ab", buffering=0) as city:

            def send(work: Work, shop: Workshop = shop, city: Any = city) -> None:
                assert not work.blob or (shop.outbox / work.blob).read_bytes() == b"picture"
                city.write(work.id.encode() + b"\n")

            def day(shop: Workshop = shop, said: Any = said, send: Any = send) -> None:
                said.write(shop.keep(PHOTO, LAMP, PICTURE, b"picture").id.encode() + b"\n")
                said.write(shop.keep("note", LAMP, {"text": "x"}).id.encode() + b"\n")
                sync(shop.journal, send, outbox=shop.outbox)

            still = power_goes(points, day)
            kept = [each.id for each in shop.journal.all()]
            assert set(told.read_text().split()) <= set(kept), "said to be kept"
            again = shop.keep("note", LAMP, {"text": "after the power came back"})
            sync(shop.journal, send, outbox=shop.outbox)
            assert shop.journal.open() == []
            assert list(dict.fromkeys(came.read_text().split())) == [*kept, again.id], "in their order"
    assert points > 20, "of opening, writing, syncing, renaming"


def test_two_commands_at_once_keep_both_and_take_a_claim_each(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    claims = home.folder(".") / "claims"
    claims.write_text("".join(f"{new_token()}\n" for _ in range(40)))
    claims.chmod(0o600)
    taken: list[str] = []

    def command() -> None:
        shop = Workshop(home)
        for _ in range(20):
            shop.keep("note", LAMP, {"text": "x" * 200})
            taken.append(take_claim(claims))

    threads = [threading.Thread(target=command) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(set(taken)) == 40, "none twice"
    work = Workshop(home).journal.all()
    assert len({each.id for each in work}) == 40


def test_two_commands_that_send_at_once_send_each_thing_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the second would miss a picture that the first has sent and tidied up, and call it refused."""
    monkeypatch.setenv(TOKEN_VARIABLE, "a-token")
    came: list[str] = []

    def slow(_client: httpx.Client, _method: str, path: str, **_how: Any) -> httpx.Response:
        came.append(path)
        time.sleep(0.02)  # a server takes its time: so that the other command comes meanwhile
        return httpx.Response(200, json={})

    monkeypatch.setattr(httpx.Client, "request", slow)
    home = Home(tmp_path / "home")
    for number in range(6):
        Workshop(home).keep(PHOTO, LAMP, PICTURE, b"picture %d" % number)
    threads = [
        threading.Thread(target=Workshop(home, "http://127.0.0.1:1", tell=lambda _line: None).send)
        for _ in range(2)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(came) == 6
    assert {each.state for each in Workshop(home).journal.all()} == {State.SENT}


def city(number: int) -> Settings:
    root = f"-----BEGIN CERTIFICATE-----\nA{number}==\n-----END CERTIFICATE-----\n"
    return Settings(f"https://fleet{number}.example", tenant="city", trust_pem=root)


def test_work_of_one_city_is_not_sent_to_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both call their tenant "city", and both may have a lamp-1."""
    monkeypatch.setenv(TOKEN_VARIABLE, "a-token")
    came: list[str] = []

    def answer(_client: httpx.Client, _method: str, path: str, **_how: Any) -> httpx.Response:
        came.append(path)
        return httpx.Response(200, json={})

    monkeypatch.setattr(httpx.Client, "request", answer)
    home = Home(tmp_path / "home")
    home.keep_settings(city(1))
    first, claims = Workshop(home).keep("note", LAMP, {"text": "x"}), Workshop(home).claims_file
    home.keep_settings(city(2))
    second = Workshop(home).keep("note", LAMP, {"text": "y"})
    assert Workshop(home).claims_file != claims, "its claims are no claims of the other one"
    done = Workshop(home, tell=lambda _line: None).send()
    assert [each.id for each in done.sent] == [second.id]
    assert ([each.id for each in done.elsewhere], done.waiting) == ([first.id], ())
    assert came == [f"/api/v1/field/work/{second.id}"]
    two_roots = city(3).trust_pem + city(1).trust_pem  # while its root is exchanged
    moved = replace(city(1), server="https://another-name.example", trust_pem=two_roots)
    home.keep_settings(moved)
    assert [each.id for each in Workshop(home, tell=lambda _line: None).send().sent] == [first.id]
    third = Workshop(home, "https://fleet9.example")
    third.keep("note", LAMP, {"text": "of a server that nobody signed in to"})
    assert third.journal.all()[-1].city == ""


NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MS, HOUR = timedelta(milliseconds=1), timedelta(hours=1)


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [
        (NOON, [], NOON),
        (NOON, [NOON - HOUR], NOON),
        (NOON, [NOON], NOON + MS),
        (NOON - HOUR, [NOON - 2 * HOUR, NOON], NOON + MS),  # a wrong zone, put right between
        (NOON, [NOON + 24 * HOUR], NOON + 24 * HOUR + MS),
        (NOON, [NOON + 25 * HOUR, NOON - HOUR], NOON),  # a wrong date: the server refuses that one
    ],
)
def test_a_clock_that_is_put_back_turns_no_order_round(
    now: datetime, before: list[datetime], expected: datetime
) -> None:
    assert done_at(now, before) == expected


def test_a_clock_that_was_never_set_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Clock:
            return cls(1970, 1, 1, 0, 5, tzinfo=tz)

    monkeypatch.setattr("provisioning.technician.workshop.datetime", Clock)
    shop = Workshop(Home(tmp_path / "home"))
    with pytest.raises(WrongInput, match="1970-01-01"):
        shop.keep("note", LAMP, {"text": "x"})
    assert shop.journal.all() == []
