"""What only a file can suffer: kill -9, corruption, a full disk, a second agent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.core.declaring import declaration
from edge_agent.core.records import Unit, UnitIdentity
from edge_agent.core.sealing import form
from edge_agent.core.window import AckMark
from edge_agent.errors import SpoolCorrupt, SpoolFull, SpoolInUse
from edge_agent.io.spool_schema import PAGE_BYTES
from edge_agent.io.spool_view import view
from edge_agent.io.sqlite_spool import SqliteSpool
from tests.edge_agent.io.test_spools import NOW_MS, REPLY, row
from tests.support.waiting import wait_until
from wire_contract.classes import Class
from wire_contract.envelope import decode
from wire_contract.messages import Tombstone, TombstoneReason

UNIT = Unit(1, UnitIdentity("sds011", "58D9", "arm"))

# Commits a row, seals every seventh into a batch, and tells after each commit what is now on the disk.
WRITER = """
import sys
from pathlib import Path
from edge_agent.core.declaring import declaration
from edge_agent.core.records import Unit, UnitIdentity
from edge_agent.core.sealing import form
from edge_agent.io.sqlite_spool import SqliteSpool
from tests.edge_agent.io.test_spools import row
from wire_contract.classes import Class
spool = SqliteSpool(Path(sys.argv[1]), declaration)
spool.declare(Unit(1, UnitIdentity("sds011", "58D9", "arm")), b"x" * 40, 1)
number, waiting = 0, []
while True:
    number += 1
    waiting.append(row(number))
    if number % 7 == 0:
        spool.commit(sealed=form(Class.HISTORY, waiting))
        waiting = []
    else:
        spool.commit(rows=[row(number)])
    print(number, flush=True)
"""


@pytest.mark.chaos
@pytest.mark.parametrize("commits", [3, 23, 60])
def test_kill_9_loses_nothing_that_was_committed(tmp_path: Path, commits: int) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert writer.stdout is not None
    for line in writer.stdout:
        if int(line) >= commits:
            break
    writer.send_signal(signal.SIGKILL)
    told = [int(line) for line in writer.stdout]
    writer.wait(30)
    committed = told[-1] if told else commits
    spool = SqliteSpool(tmp_path, declaration)
    assert spool.opened_with is None, "a kill is no corruption"
    kept = sorted(
        {each.id for each in spool.waiting(True, 1000)}
        | {
            value
            for head in spool.heads(Class.HISTORY, 0, 1000)
            for block in decode(spool.load(Class.HISTORY, head.sequence).payload).blocks  # type: ignore[union-attr]
            for value in block.columns[0]
        }
    )
    assert kept[:committed] == list(range(1, committed + 1))
    assert len(kept) - committed <= 1, "at most the commit that was under way"
    spool.close()


def test_a_corrupt_file_is_set_aside_and_read_as_far_as_possible(tmp_path: Path) -> None:
    spool = SqliteSpool(tmp_path, declaration)
    spool.declare(UNIT, declaration(UNIT, NOW_MS), NOW_MS)
    for number in range(1, 301):
        spool.commit(sealed=form(Class.HISTORY, [row(number)]))
    spool.commit(rows=[row(9001)])
    epoch = spool.epoch
    spool.close()
    path = tmp_path / "spool.db"
    content = bytearray(path.read_bytes())
    page = content.index(form(Class.HISTORY, [row(150)])[0].payload) // PAGE_BYTES * PAGE_BYTES
    content[page : page + PAGE_BYTES] = os.urandom(PAGE_BYTES)
    path.write_bytes(content)
    again = SqliteSpool(tmp_path, declaration)
    assert again.opened_with is not None
    assert again.epoch != epoch
    assert Path(again.opened_with.kept_at).read_bytes() == bytes(content)
    assert again.units() == (UNIT,)
    assert again.declarations_waiting()
    assert 0 < again.opened_with.messages < 300
    tombstones = [
        message
        for head in again.heads(Class.HISTORY, 0, 1000)
        if isinstance(message := decode(again.load(Class.HISTORY, head.sequence).payload), Tombstone)  # type: ignore[union-attr]
    ]
    assert [each.reason for each in tombstones] == [TombstoneReason.SPOOL_CORRUPT]
    again.put(Class.REPLY, REPLY, NOW_MS)
    again.close()


@pytest.mark.parametrize("content", [b"", b"not a database", os.urandom(20_000)])
def test_any_file_in_its_place_is_survived(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "spool.db").write_bytes(content)
    spool = SqliteSpool(tmp_path, declaration)
    assert spool.put(Class.REPLY, REPLY, NOW_MS) == 1
    assert (spool.opened_with is None) == (content == b""), "an empty file is a new one"
    spool.close()


def test_damage_while_it_is_open_is_told_apart(tmp_path: Path) -> None:
    spool = SqliteSpool(tmp_path, declaration)
    for _ in range(100):  # 2 MB: more than SQLite keeps in memory
        spool.put(Class.HISTORY, os.urandom(20_000), NOW_MS)
    spool.close()
    spool = SqliteSpool(tmp_path, declaration)
    path = tmp_path / "spool.db"
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(SpoolCorrupt):
        _load_all(spool)
    epoch = spool.epoch
    spool.rescue(NOW_MS)
    assert spool.epoch != epoch
    spool.put(Class.REPLY, REPLY, NOW_MS)
    spool.close()


def test_a_full_disk_refuses_writes_and_recovers(tmp_path: Path) -> None:
    spool = SqliteSpool(tmp_path, declaration, max_bytes=100_000)
    with pytest.raises(SpoolFull):
        _fill(spool)
    prefix = spool.counters()[Class.LIVE].messages
    assert spool.heads(Class.LIVE, 0, 10_000), "what was written stays readable"
    spool.acknowledge({Class.LIVE: AckMark(prefix)})
    spool.commit(rows=[row(1)])
    spool.close()


def _load_all(spool: SqliteSpool) -> None:
    for sequence in range(1, 101):
        spool.load(Class.HISTORY, sequence)


def _fill(spool: SqliteSpool) -> None:
    for first in range(1, 100_000, 50):
        spool.commit(sealed=form(Class.LIVE, [row(n) for n in range(first, first + 50)]))


def test_a_second_agent_is_kept_out(tmp_path: Path) -> None:
    spool = SqliteSpool(tmp_path, declaration)
    with pytest.raises(SpoolInUse, match="another agent"):
        SqliteSpool(tmp_path, declaration)
    spool.close()
    SqliteSpool(tmp_path, declaration).close()


def test_the_counters_can_be_read_while_an_agent_writes(tmp_path: Path) -> None:
    spool = SqliteSpool(tmp_path, declaration)
    spool.commit(rows=[row(1)], sealed=form(Class.LIVE, [row(2), row(3)]))
    counters = view(tmp_path)
    assert counters["epoch"] == spool.epoch.hex()
    assert counters["pending"] == 1
    assert counters["classes"]["live"]["samples"] == 2
    json.dumps(counters)
    spool.close()


def test_pages_are_given_back_after_shedding(tmp_path: Path) -> None:
    from edge_agent.core.spool_policy import to_free

    spool = SqliteSpool(tmp_path, declaration)
    for _ in range(40):
        spool.put(Class.HISTORY, os.urandom(20_000), NOW_MS)
    before = spool.usage().used_bytes
    spool.shed(to_free(spool.weights(1000), 1 << 40))
    assert spool.usage().used_bytes < before / 2
    wait_until(lambda: (tmp_path / "spool.db").stat().st_size < before, 5, "a smaller file")
    spool.close()
