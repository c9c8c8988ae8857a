"""`lamppost fleet command`: lampposts are told, and what came of it is shown, from a terminal."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fleet_server import admin_cli, telling_commands
from fleet_server.commands import answers
from wire_contract.messages import CommandOutcome, CommandReply, FilePiece

CONTENT = b"an archive"


@pytest.fixture
def config(database_url: str, tmp_path: Path) -> Path:
    file = tmp_path / "server.toml"
    file.write_text(f'data_dir = "{tmp_path}"\n[database]\nurl = "{database_url}"\n')
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO device (tenant, name) VALUES ('city', 'a'), ('city', 'b')")
    return file


@contextmanager
def answering(url: str, reply: Callable[[str, str], CommandReply]) -> Iterator[None]:
    """Lampposts that answer each command as soon as it is there; a bundle's file comes before."""
    ended = threading.Event()

    def run() -> None:
        with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
            while not ended.wait(0.02):
                open_ones = "SELECT device_id, token, name FROM command WHERE state = 'queued'"
                for device_id, token, name in cursor.execute(open_ones).fetchall():
                    if name == "bundle":
                        digest = hashlib.sha256(CONTENT).digest()
                        piece = FilePiece(token, "bundle.tar.zst", 0, len(CONTENT), digest, CONTENT)
                        answers.piece(cursor, device_id, piece, datetime.now(UTC))
                    answers.answered(cursor, device_id, reply(token, name), datetime.now(UTC))

    thread = threading.Thread(target=run)
    thread.start()
    yield
    ended.set()
    thread.join()


def pong(token: str, _name: str) -> CommandReply:
    return CommandReply(token, True, "pong", 1, CommandOutcome.SUCCEEDED)


def silent(token: str, _name: str) -> CommandReply:
    result = {"sensor.front": "silent"}
    return CommandReply(token, False, "0 of 1 sensors answer", 1, CommandOutcome.FAILED, result)


def test_lampposts_are_told_from_a_terminal(
    config: Path,
    database_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(telling_commands, "LOOK_EVERY_S", 0.02)

    def run(*words: str) -> tuple[int, Any]:
        code = admin_cli.main(["command", words[0], "--config", str(config), "--json", *words[1:]])
        return code, json.loads(capsys.readouterr().out)

    code, [asked] = run("send", "restart", "a", "--reason", "new sensor")
    assert (code, asked["state"], asked["lamppost"]) == (0, "queued", "city/a")
    number = str(asked["id"])
    assert run("show", number)[1][0]["reason"] == "new sensor"
    assert run("cancel", number)[1][0]["state"] == "canceled"
    assert run("cancel", number)[0] == 1
    code, both = run("send", "ping", "a", "city/b", "--rate", "1000")
    assert [each["lamppost"] for each in both] == ["city/a", "city/b"]
    bulk = run("show", str(both[0]["id"]))[1][0]["bulk"]
    assert run("list", "--bulk", bulk, "--state", "queued")[1] == both[::-1]
    assert run("cancel", bulk) == (0, [{"bulk": bulk, "canceled": 2}])
    with answering(database_url, pong):
        assert run("send", "ping", "a", "--wait")[1][0]["detail"] == "pong"
        to = tmp_path / "bundle.tar.zst"
        assert run("bundle", "a", "--to", str(to))[1][0]["bytes"] == len(CONTENT)
        assert (to.read_bytes(), to.stat().st_mode & 0o777) == (CONTENT, 0o600)
        assert run("bundle", "a", "--to", str(to))[0] == 2, "it is not written over"
        assert run("file", str(number), "--to", str(tmp_path / "new"))[0] == 1, "it brought none"
    with answering(database_url, silent):
        code, told = run("send", "sensors", "a", "b", "--rate", "1000", "--wait")
        assert code == 1
        assert "sensor.front: silent" in told["error"]
    before = len(run("list")[1])
    for words, code in (
        (("send", "ping", "nowhere"), 1),
        (("send", "ping", "A B"), 1),
        (("send", "ping", "@nobody"), 1),
        (("send", "ping", "@nobody", "a"), 1),
        (("send", "logs", "a", "--lines", "0"), 1),
        (("send", "ping", "a", "--lines", "5"), 1),
        (("show", "x"), 1),
        (("show", "9" * 30), 1),
        (("list", "--limit", "0"), 1),
        (("list", "--lamppost", "nothere"), 1),
        (("bundle", "a", "--to", str(tmp_path / "nowhere" / "x")), 2),
        (("file", str(number), "--to", str(config / "x")), 2),
    ):
        assert run(*words)[0] == code, words
    assert len(run("list")[1]) == before, "nothing was asked of a lamppost"
    for wrong in (["send", "sing", "a"], ["send", "ping", "a", "--expires", "soon"], ["bundle", "a"]):
        with pytest.raises(SystemExit):
            admin_cli.main(["command", *wrong])
