"""Kill -9 each part in the middle of history and again in the middle of live: nothing lost or doubled.

Real processes throughout; the witness is the ledger that the emulated sensors write before they send.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.city import City, backlog_of, compare_all
from demo.layout import lay_out
from demo.records import UNREACHABLE, Records, agent_status
from demo.settings import DemoSettings
from tests.chaos.kills import VICTIMS, Kill, excused, kill, missing_frames
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

POSTS = 3  # one of each emulated kind
HISTORY_H = 48.0
LIVE_ROWS = 3  # stored live samples of each lamppost, before the kill and again after it


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    settings = DemoSettings(
        directory=tmp_path / "city",
        posts=POSTS,
        history_h=HISTORY_H,
        seed=7,
        admin_password="kill-nine-of-them",
    )
    city = City(settings, lay_out(settings))
    try:
        for _step in city.start():
            pass
        yield city
    finally:
        city.stop()


def stored_history(city: City, records: Records) -> int:
    """0 also while the database is being restarted."""
    with contextlib.suppress(*UNREACHABLE):
        return records.now(city.street_zero_ms).history
    return 0


def live_rows(city: City, records: Records, after_ms: float) -> int:
    """The fewest live samples that any lamppost has stored from after `after_ms` of the street's clock."""
    with contextlib.suppress(*UNREACHABLE):
        stored = city.stored(records)
        return min(sum(row.street_ms > after_ms for row in rows) for rows in stored.values())
    return 0


@pytest.mark.parametrize("victim", VICTIMS)
def test_nothing_is_lost_or_stored_twice(city: City, victim: str) -> None:
    records = Records(city.layout)
    expected = POSTS * int(HISTORY_H * 60)
    before = wait_until(lambda: stored_history(city, records), 60, "the first history is stored")
    assert before < expected, "history was through before the kill: it did not hit the middle"
    kills: list[Kill] = [kill(city, victim)]
    wait_until(
        lambda: stored_history(city, records) >= expected, 120, f"all history, {victim} killed meanwhile"
    )
    now = city.street_now_ms
    wait_until(lambda: live_rows(city, records, now) >= LIVE_ROWS, 60, "live samples before the second kill")
    kills.append(kill(city, victim))
    now = city.street_now_ms
    wait_until(
        lambda: live_rows(city, records, now) >= LIVE_ROWS, 90, f"live samples after {victim} was killed"
    )
    city.stop_sampling()
    assert city.drain(90), [(post.name, backlog_of(agent_status(post))) for post in city.layout.posts]
    frames, rows = city.ledgers(), city.stored(records)
    lost = [
        (name, frame)
        for name in frames
        for frame in missing_frames(frames[name], rows[name])
        if not excused(frame, kills)
    ]
    assert lost == [], f"killed at {[kill.at_ms for kill in kills]}"
    assert {name: found.surplus for name, found in compare_all(frames, rows).items()} == dict.fromkeys(
        frames, 0
    )
    assert stored_history(city, records) == expected
