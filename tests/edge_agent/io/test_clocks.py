"""The demo's clock: scaled, and slower from an instant on, without a jump in either of its times."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from pathlib import Path

from edge_agent.core.stamping import clock_is_set
from edge_agent.io.clocks import FollowedClock, ScaledClock, SystemClock, kernel_is_synced
from tests.support.waiting import wait_until

STREET_MS = 1_790_000_000_000


def test_it_becomes_slower_when_the_file_says_so(tmp_path: Path) -> None:
    file = tmp_path / "clock.json"
    wall_ms = time.time_ns() // 1_000_000
    slower = {"speed": 60, "street_zero_ms": STREET_MS + 2_000_000, "wall_zero_ms": wall_ms + 2_000}
    faster = {"speed": 1000, "street_zero_ms": STREET_MS, "wall_zero_ms": wall_ms}
    file.write_text(json.dumps({**faster, "then": slower}))
    clock = ScaledClock.from_file(file)
    assert clock.speed == 1000
    seen = []
    begins = around(clock)

    def slowed() -> bool:
        seen.append((clock.now_ms(), clock.street_s()))
        return clock.speed == 60

    wait_until(slowed, 10, "the slower clock")
    wait_until(lambda: slowed() and clock.now_ms() > STREET_MS + 2_005_000, 10, "time going on")
    assert seen == sorted(seen)
    assert all(b[1] >= a[1] for a, b in pairwise(seen))
    ends = around(clock)
    gone_s = (ends[1] - begins[1]) / 1000
    assert ends[0] - begins[2] - 2 <= gone_s <= ends[2] - begins[0] + 2, "both went on alike"


def around(clock: ScaledClock) -> tuple[float, int, float]:
    """Its time since the boot before and after it said what time it is: the machine may stop in between."""
    return clock.street_s(), clock.now_ms(), clock.street_s()


def test_since_the_boot_has_passed_the_same_whatever_year_a_clock_believes_in() -> None:
    wall_ms = time.time_ns() // 1_000_000
    right, wrong = ScaledClock(60, STREET_MS, wall_ms), ScaledClock(60, 5_000, wall_ms + 7_000)
    assert right.now_ms() - wrong.now_ms() > 10**12
    earlier, now, later = wrong.street_s(), right.street_s(), wrong.street_s()
    assert earlier - 1 <= now <= later + 1


def test_a_file_that_is_replaced_sets_the_civil_clock_and_no_other(tmp_path: Path) -> None:
    file, draft = tmp_path / "clock.json", tmp_path / "draft"
    told = {"speed": 60, "street_zero_ms": STREET_MS, "wall_zero_ms": time.time_ns() // 1_000_000}
    file.write_text(json.dumps(told))
    clock = FollowedClock(file)
    before_ms, before_s = clock.now_ms(), clock.street_s()
    draft.write_text(json.dumps({**told, "street_zero_ms": STREET_MS - 7_200_000}))
    draft.replace(file)
    wait_until(lambda: clock.now_ms() < before_ms - 3_600_000, 10, "the clock jumping back")
    assert 0 <= clock.street_s() - before_s < 3_600
    file.unlink()
    wait_until(lambda: clock.street_s() > before_s + 60, 10, "time going on without the file")
    assert clock.now_ms() < before_ms - 3_600_000


def test_a_clock_that_waits_for_its_service_says_1970_until_it_came_and_never_again() -> None:
    answers = [False, False, True, False]
    clock = SystemClock(lambda: answers.pop(0))
    assert [clock_is_set(clock.now_ms()) for _ in range(4)] == [False, False, True, True]
    assert answers == [False], "what was synced once only drifts"
    assert isinstance(kernel_is_synced(), bool)
