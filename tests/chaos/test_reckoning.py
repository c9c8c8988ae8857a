"""The comparer sees a row that is lost, doubled or altered, and takes only the excuses that hold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from demo.ledger import Frame, Stored
from tests.chaos.faults import Fault, Kind
from tests.chaos.reckoning import Grave, Happened, Window, reckon, windows

POST = "post-01"
FRAMES = [Frame(1000.0 * i, 60_000.0 * i, (i, 10 * i)) for i in range(1, 21)]
ROWS = [Stored(frame.street_ms, None, frame.values) for frame in FRAMES]


def fault(kind: Kind, post: str = POST) -> Fault:
    return Fault(0.0, kind, post, 0.0, 0.0, 0.0, 1)


def test_all_is_well() -> None:
    account = reckon(POST, FRAMES, ROWS, accepted=20)
    assert account.is_kept
    assert (account.produced, account.stored, account.excused, account.spared) == (20, 20, 0, 0)


def test_a_lost_row_is_named() -> None:
    account = reckon(POST, FRAMES, [*ROWS[:7], *ROWS[8:]])
    assert not account.is_kept
    assert account.lost == (FRAMES[7],)


def test_a_row_stored_twice_is_doubled() -> None:
    account = reckon(POST, FRAMES, [*ROWS, ROWS[3]])
    assert (account.doubled, account.altered, account.is_kept) == (1, 0, False)


def test_a_row_with_another_value_is_altered_and_its_frame_lost() -> None:
    wrong = replace(ROWS[4], values=(5, 51))
    account = reckon(POST, FRAMES, [*ROWS[:4], wrong, *ROWS[5:]])
    assert (account.doubled, account.altered, account.lost) == (0, 1, (FRAMES[4],))


def test_a_row_given_to_another_lamppost_is_seen_at_both() -> None:
    assert reckon("a", FRAMES[:10], ROWS[:11]).altered == 1
    assert reckon("b", FRAMES[10:], ROWS[11:]).lost == (FRAMES[10],)


def test_a_kill_excuses_five_seconds_and_the_restart_and_no_other_lamppost() -> None:
    killed = windows([Happened(fault(Kind.AGENT_KILL), 10_000.0, 10_000.0)])
    without = [row for row in ROWS if not 5 <= row.values[0] <= 11]  # type: ignore[operator]
    assert reckon(POST, FRAMES, without, excuses=killed).is_kept
    assert reckon(POST, FRAMES, without, excuses=killed).excused == 7
    earlier = [row for row in without if row.values[0] != 4]
    assert reckon(POST, FRAMES, earlier, excuses=killed).lost == (FRAMES[3],)
    elsewhere = windows([Happened(fault(Kind.AGENT_KILL, "post-02"), 10_000.0, 10_000.0)])
    assert len(reckon(POST, FRAMES, without, excuses=elsewhere).lost) == 7


@pytest.mark.parametrize(
    "kind", [k for k in Kind if k not in (Kind.AGENT_KILL, Kind.AGENT_FREEZE)], ids=lambda kind: kind.value
)
def test_nothing_else_excuses_anything(kind: Kind) -> None:
    assert windows([Happened(fault(kind), 10_000.0, 20_000.0)]) == ()


def test_a_full_disk_excuses_what_memory_held_only_when_the_agent_was_killed() -> None:
    full = Happened(fault(Kind.DISK_FULL), 8_000.0, 12_000.0)
    killed = Happened(fault(Kind.AGENT_KILL), 15_000.0, 15_000.0)
    assert windows([full, killed]) == (Window(POST, 3_000.0, 16_000.0, str(killed.fault)),)
    late = Happened(fault(Kind.AGENT_KILL), 40_000.0, 40_000.0)
    assert windows([full, late]) == (Window(POST, 35_000.0, 41_000.0, str(late.fault)),)


def test_what_was_shed_must_be_named_in_number_and_in_time() -> None:
    without = ROWS[5:]
    grave = Grave("spool_full", 5, FRAMES[0].street_ms, FRAMES[4].street_ms)
    account = reckon(POST, FRAMES, without, graves=[grave], accepted=20)
    assert account.is_kept
    assert account.shed == {"spool_full": 5}
    assert reckon(POST, FRAMES, without, graves=[replace(grave, samples=4)]).lost == (FRAMES[4],)
    another_day = replace(grave, from_ms=9e9, to_ms=9e9)
    assert len(reckon(POST, FRAMES, without, graves=[another_day]).lost) == 5
    by_a_wrong_clock = reckon(POST, FRAMES, without, graves=[another_day], offsets_ms=[0, 9e9 - 180_000])
    assert by_a_wrong_clock.is_kept
    assert reckon(POST, FRAMES, ROWS, graves=[grave]).spared == 5, "given up there, and stored after all"


def test_of_equal_frames_the_excused_is_the_missing_one() -> None:
    twins = [Frame(1000.0, 60_000.0, (1,)), Frame(30_000.0, 1_800_000.0, (1,))]
    row = Stored(1_800_000.0, None, (1,))
    excuse = Window(POST, 0.0, 2000.0, "killed")
    assert reckon(POST, twins, [row], excuses=[excuse]).is_kept
    assert reckon(POST, twins, [], excuses=[excuse]).lost == (twins[1],)


def test_of_equal_frames_the_shed_is_the_missing_one() -> None:
    twins = [Frame(1000.0, 60_000.0, (1,)), Frame(90_000.0, 5_400_000.0, (1,))]
    row = Stored(5_400_000.0, None, (1,))
    grave = Grave("spool_full", 1, 60_000.0, 60_000.0)
    account = reckon(POST, twins, [row], graves=[grave], accepted=2)
    assert (account.is_kept, account.shed) == (True, {"spool_full": 1})


def test_what_the_spool_accepted_is_no_excuse_away() -> None:
    """A frame in a kill's last seconds may be missing, unless the spool says that it had it."""
    excuse = [Window(POST, 0.0, 3000.0, "killed")]
    unread = reckon(POST, FRAMES, ROWS[3:], excuses=excuse, accepted=17)
    assert (unread.is_kept, unread.excused) == (True, 3)
    tomb = [Grave("spool_full", 2, 1.0, FRAMES[-1].street_ms)]
    gone = reckon(POST, FRAMES, ROWS[3:], excuses=excuse, graves=tomb, accepted=20)
    assert (gone.is_kept, gone.vanished) == (False, 1)


def test_minutes_that_hold_another_number_than_the_rows_are_wrong() -> None:
    assert reckon(POST, FRAMES, ROWS, folded=20).is_kept
    assert [reckon(POST, FRAMES, ROWS, folded=n).misfolded for n in (21, 18)] == [1, -2]
    assert not reckon(POST, FRAMES, ROWS, folded=21).is_kept


def test_frames_after_the_moment_are_not_asked_for_yet() -> None:
    assert reckon(POST, FRAMES, ROWS[:10], until_ms=10_000.0).is_kept
    assert reckon(POST, FRAMES, ROWS[:9], until_ms=10_000.0).lost == (FRAMES[9],)
