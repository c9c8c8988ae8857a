"""The month's data: what waits at which share, what the kernel counts, what survives a restart."""

from __future__ import annotations

import socket
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.app import Agent
from edge_agent.core.budget import DIETS, MEGABYTE, Stage, Usage, counted, stage
from edge_agent.core.sealing import Pace
from edge_agent.core.window import Window, wants
from edge_agent.io.budget_file import BudgetFile
from edge_agent.io.clocks import SteppedClock
from edge_agent.io.wire_meter import WireMeter
from edge_agent.loops.board import Board
from edge_agent.loops.budget import SAVE_EACH_BYTES, BudgetKeeper
from tests.edge_agent.making import counting, make_config
from wire_contract.classes import Class


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


NOVEMBER, DECEMBER, UNSET = at("2026-11-21T12:00:00"), at("2026-12-01T00:00:00"), 1000


@pytest.mark.parametrize(
    ("megabytes", "stage_then", "waits", "slower"),
    [
        (0, Stage.FREE, frozenset(), 1),
        (79.9, Stage.FREE, frozenset(), 1),
        (80, Stage.SAVING, frozenset({Class.HISTORY}), 3),
        (94.9, Stage.SAVING, frozenset({Class.HISTORY}), 3),
        (95, Stage.SCARCE, frozenset({Class.HISTORY, Class.DIAGNOSTIC}), 6),
        (100, Stage.SPENT, frozenset({Class.HISTORY, Class.DIAGNOSTIC, Class.LIVE}), 6),
        (1e6, Stage.SPENT, frozenset({Class.HISTORY, Class.DIAGNOSTIC, Class.LIVE}), 6),
    ],
)
def test_what_waits_at_which_share(
    megabytes: float, stage_then: Stage, waits: frozenset[Class], slower: float
) -> None:
    used = Usage("2026-11", int(megabytes * MEGABYTE))
    assert stage(used, 100.0) is stage_then
    assert (DIETS[stage_then].waits, DIETS[stage_then].slower) == (waits, slower)
    assert stage(used, 0.0) is Stage.FREE, "no limit"


@given(st.integers(0, 10**15), st.floats(0, 1e6), st.booleans())
def test_an_alarm_and_a_reply_never_wait(used: int, budget_mb: float, held: bool) -> None:
    paused = DIETS[stage(Usage("2026-11", used), budget_mb)].waits
    wanted = {want.cls for want in wants(Window(), held, paused)}
    assert {Class.ALARM, Class.REPLY} <= wanted


@given(st.lists(st.tuples(st.integers(0, 10**9), st.sampled_from([NOVEMBER, DECEMBER, UNSET])), max_size=20))
def test_nothing_is_lost_in_a_month_and_months_only_begin(steps: list[tuple[int, int]]) -> None:
    usage, here = Usage(), 0
    for more, now_ms in steps:
        before = usage
        usage = counted(usage, more, now_ms)
        assert usage.month >= before.month
        begun = bool(before.month) and usage.month != before.month
        here = more if begun else here + more
        assert usage.bytes == here


def test_a_clock_set_back_begins_no_month_and_a_new_month_begins_at_nothing() -> None:
    usage = counted(Usage("2026-11", 10), 5, NOVEMBER)
    assert counted(usage, 1, UNSET) == Usage("2026-11", 16)
    assert counted(usage, 1, DECEMBER) == Usage("2026-12", 1)
    assert counted(counted(usage, 1, DECEMBER), 1, NOVEMBER) == Usage("2026-12", 2)
    wrong = counted(usage, 1, at("2055-01-01T00:00:00"))
    assert counted(wrong, 1, NOVEMBER) == Usage("2026-11", 2), "it does not wait for 2055"
    assert counted(counted(wrong, 1, NOVEMBER), 1, DECEMBER) == Usage("2026-12", 1)
    assert counted(Usage("", 7), 1, NOVEMBER) == Usage("2026-11", 8), (
        "before the clock was set it was sent too"
    )


class Desk:
    def __init__(self, folder: Path, now_ms: int = NOVEMBER) -> None:
        self.clock = SteppedClock(now_ms)
        self.board = Board(self.clock)
        self.total = 0
        self.paces: list[float] = []
        self.works = 0
        self.file = BudgetFile(folder / "data_used.json")
        self.keeper = BudgetKeeper(
            self.clock,
            self.board,
            self.file,
            lambda: self.total,
            lambda pace: self.paces.append(pace.live_s),
            self._work,
        )

    def _work(self) -> None:
        self.works += 1

    def told(self) -> list[str]:
        return [each.detail for each in self.board.conditions()]


def test_it_saves_tells_and_starts_anew_with_the_month(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.keeper.keep_pace(Pace(10.0))
    desk.keeper.limit(100.0)
    desk.total = 85 * MEGABYTE
    desk.keeper.look()
    assert desk.keeper.paused() == {Class.HISTORY}
    assert (desk.paces, desk.told()) == ([10.0, 30.0], ["85 of 100 MB in 2026-11: history wait"])
    desk.keeper.limit(200.0)  # a larger budget takes it back at once
    assert (desk.keeper.paused(), desk.paces[-1], desk.told(), desk.works) == (frozenset(), 10.0, [], 2)
    desk.keeper.limit(85.0)
    assert Class.LIVE in desk.keeper.paused()

    again = Desk(tmp_path)  # power cut: what was written counts
    again.keeper.limit(85.0)
    assert again.keeper.figures()["bytes"] == 85 * MEGABYTE
    assert Class.LIVE in again.keeper.paused()
    december = Desk(tmp_path, DECEMBER)
    december.keeper.limit(85.0)
    december.keeper.look()
    assert (december.keeper.paused(), december.told()) == (frozenset(), [])


def test_the_configuration_holds_where_the_server_says_nothing(tmp_path: Path) -> None:
    config = make_config(tmp_path, telemetry={"budget_mb": 100, "flush_interval_s": 20})
    BudgetFile(config.data_dir / "data_used.json").save(Usage("2026-11", 85 * MEGABYTE))
    agent = Agent(config, SteppedClock(NOVEMBER), open_sensor=lambda kind, _port: counting(kind))
    try:
        agent._budget.look()
        assert agent._budget.paused() == {Class.HISTORY}
        agent.spooler.turn()
        assert agent.spooler._pace.live_s == 60.0, "three times as long"
    finally:
        agent.spool.close()


def test_the_card_is_written_once_a_megabyte(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.total = 10
    desk.keeper.look()
    assert desk.file.load() == Usage("2026-11", 10), "the month began"
    desk.total = SAVE_EACH_BYTES
    desk.keeper.look()
    assert desk.file.load().bytes == 10
    desk.total += 10
    desk.keeper.look()
    assert desk.file.load().bytes == desk.total
    desk.total += 1
    desk.keeper.look()
    desk.keeper.save()
    assert desk.file.load().bytes == desk.total


@pytest.mark.parametrize("found", [b"", b"{", b'{"month": 5}', b"\xff\xff", b'{"bytes": "x"}'])
def test_a_file_that_cannot_be_read_begins_anew(tmp_path: Path, found: bytes) -> None:
    (tmp_path / "data_used.json").write_bytes(found)
    assert BudgetFile(tmp_path / "data_used.json").load() == Usage()


def test_the_kernel_counts_what_goes_over_the_wire() -> None:
    size = 100_000
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
        meter = WireMeter()
        meter.opened(near)
        reader = threading.Thread(target=lambda: far.recv(size, socket.MSG_WAITALL))
        reader.start()
        near.sendall(bytes(size))
        reader.join(30)
        far.sendall(bytes(500))
        assert near.recv(500, socket.MSG_WAITALL)
        live = meter.total()
        assert size + 500 < live < 1.2 * size
        meter.closing(near)
        near.close()
        far.close()
    assert meter.total() >= live, "what a connection took is kept when it is gone"
    one, other = socket.socketpair()
    with one, other:
        meter.opened(one)
        one.send(b"not on any wire")
        assert meter.total() >= live
    meter.opened(one)
    assert meter.total() >= live, "closed behind its back"
