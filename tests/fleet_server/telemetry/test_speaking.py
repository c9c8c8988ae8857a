"""The speaker: one source's trouble is its own, and nothing is claimed that cannot be said."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from fleet_server.errors import DatabaseUnreachable
from fleet_server.outgoing import Said
from fleet_server.telemetry.ingest.speaking import Speaker
from tests.support.waiting import wait_until


class Mouth:
    def __init__(self) -> None:
        self.connected = True
        self.said: list[Said] = []

    def publish(self, messages: Sequence[Said]) -> None:
        self.said += messages


def test_what_is_due_is_said_and_trouble_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    mouth, asked = Mouth(), []

    def gone() -> Sequence[Said]:
        raise DatabaseUnreachable("The database does not answer.")

    def due() -> Sequence[Said]:
        asked.append(1)
        return [("lp/1/city/a/down/twin", b"x")]

    speaker = Speaker(mouth, {"gone": gone, "due": due})
    with caplog.at_level(logging.ERROR):
        assert [speaker.speak(), speaker.speak()] == [1, 1]
    assert [record.message.count("(gone)") for record in caplog.records] == [1]
    mouth.connected = False
    assert speaker.speak() == 0
    assert (len(asked), len(mouth.said)) == (2, 2), "nothing is claimed without a broker"


def test_a_mistake_does_not_end_it() -> None:
    mouth = Mouth()
    calls: list[int] = []

    def due() -> Sequence[Said]:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError
        return [("t", b"x")]

    def broken() -> Sequence[Said]:
        raise KeyError("a mistake of ours")

    speaker = Speaker(mouth, {"broken": broken, "due": due}, every_s=0.001)
    speaker.start()
    try:
        wait_until(lambda: mouth.said, 10, "the next round")
    finally:
        speaker.stop()
