"""The journal survives a power cut at every byte, and what is in it happens once however often it is sent."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import cast

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioning.technician.errors import NotSignedIn, ServerRefused, ServerUnreachable, WrongInput
from provisioning.technician.journal import Journal, Work, new_id
from provisioning.technician.rules import Event, State
from provisioning.technician.server import Server
from provisioning.technician.syncing import sender, sync


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
