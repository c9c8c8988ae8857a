"""The power goes at any write: what was committed is there, nothing is damaged, no sequence is used twice.

Everything that SQLite asks of the disk is recorded (`tests/support/disk_trace.py`). The state of the files is
made again as it would be after a cut at each of those requests, and the spool is opened on it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_agent.core.declaring import declaration
from edge_agent.core.records import Stamp
from edge_agent.core.sealing import form
from edge_agent.core.spool_policy import to_free
from edge_agent.core.window import AckMark
from edge_agent.io import spool_schema
from edge_agent.io.sqlite_spool import SqliteSpool
from tests.edge_agent.io.test_spool_rescue import messages, values
from tests.edge_agent.io.test_spools import NOW_MS, REPLY, UNIT, row
from tests.support.disk_trace import Trace, fingerprint, traced
from wire_contract.classes import Class
from wire_contract.envelope import encode
from wire_contract.messages import CommandReply

STATES = 500  # cuts that are tried, drawn from all; LAMPPOST_POWER_CUTS=all tries each (ten seconds)
KEPT = ("all", "nothing", "half of the last", "some")


@dataclass
class Promise:
    """What a commit that returned has promised: from request `since` on."""

    since: int
    samples: frozenset[int]
    sequences: dict[Class, int]


@dataclass
class Life:
    """A spool's life, and its promises."""

    trace: Trace
    promises: list[Promise] = field(default_factory=list)
    samples: set[int] = field(default_factory=set)

    def promise(self, spool: SqliteSpool) -> None:
        counters = spool.counters()
        sequences = {cls: counters[cls].messages for cls in Class}
        self.promises.append(Promise(len(self.trace), frozenset(self.samples), sequences))

    def at(self, count: int) -> Promise:
        """The last promise given before the power goes."""
        return [each for each in self.promises if each.since <= count][-1]


def live(folder: Path) -> Life:
    """Samples, seals, publishes, acks, shedding, pages given back, checkpoints: each more than once."""
    with traced(folder) as trace:
        life = Life(trace, [Promise(0, frozenset(), dict.fromkeys(Class, 0))])
        spool = SqliteSpool(folder, declaration)
        spool._db.execute("PRAGMA wal_autocheckpoint = 24")  # frames: the journal begins anew many times
        spool.declare(UNIT, declaration(UNIT, NOW_MS), NOW_MS)
        life.promise(spool)
        for number in range(1, 41):
            waiting = row(number)
            spool.commit(rows=[waiting], stamps={1: Stamp(waiting.time_ms, 0)})
            life.samples.add(number)
            life.promise(spool)
            if number % 4 == 0:
                large = CommandReply("c", True, os.urandom(500).hex(), NOW_MS)
                spool.commit(sealed=form(Class.HISTORY, spool.waiting(True, 10)))
                spool.put(Class.DIAGNOSTIC, encode(large), NOW_MS)
                life.promise(spool)
                spool.will_publish(Class.HISTORY, number // 4)
            if number % 12 == 0:
                spool.acknowledge({Class.REPLY: AckMark(1), Class.DIAGNOSTIC: AckMark(number // 8)})
            if number == 30:
                runs = to_free(spool.weights(3), 3000)
                gone = {n for run in runs if run.cls is Class.HISTORY for n in range(run.first, run.last + 1)}
                life.samples -= {4 * n - k for n in gone for k in range(4)}
                life.promise(spool)
                spool.shed(runs)
                life.promise(spool)
        spool.reclaim()
        life.promise(spool)
        spool.close()
    return life


def cuts(trace: Trace, chance: random.Random) -> Iterator[tuple[int, str, dict[str, bytes]]]:
    """Every state that differs from the others, or a draw of STATES of them."""
    chosen = [(count, kept) for count in range(1, len(trace) + 1) for kept in KEPT]
    if os.environ.get("LAMPPOST_POWER_CUTS") != "all":
        chosen = sorted(chance.sample(chosen, STATES))
    seen = set()
    for count, kept in chosen:
        files = trace.after_cut(count, kept, chance)
        if fingerprint(files) not in seen:
            seen.add(fingerprint(files))
            yield count, kept, files


def opened_after(files: dict[str, bytes], folder: Path) -> SqliteSpool:
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return SqliteSpool(folder, declaration)


@pytest.fixture(scope="module")
def seed() -> int:
    return int(os.environ.get("LAMPPOST_SEED", random.SystemRandom().randrange(1 << 30)))


def test_no_power_cut_costs_what_was_committed(ram: Path, seed: int) -> None:
    print(f"seed {seed}: repeat with LAMPPOST_SEED")
    life = live(_folder(ram / "life"))
    for count, kept, files in cuts(life.trace, random.Random(seed)):
        promise, where = life.at(count), f"cut after request {count} of {len(life.trace)}, kept {kept}"
        spool = opened_after(files, ram / "cut")
        assert spool.opened_with is None, f"{where}: taken for damaged"
        assert values(spool) >= promise.samples, where
        counters = spool.counters()
        for cls, sequence in promise.sequences.items():
            assert counters[cls].messages >= sequence, f"{where}: a sequence of {cls.name} would come twice"
        assert spool.put(Class.HISTORY, REPLY, NOW_MS) > promise.sequences[Class.HISTORY], where
        assert all(message is not None for cls in Class for message in messages(spool, cls)), where
        spool.close()


def test_with_one_sync_less_commits_would_be_lost_but_nothing_damaged(
    ram: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `synchronous = NORMAL` would promise; it also shows that the test above can fail."""
    pragmas = tuple(each.replace("= FULL", "= NORMAL") for each in spool_schema._PRAGMAS)
    monkeypatch.setattr(spool_schema, "_PRAGMAS", pragmas)
    life = live(_folder(ram / "life"))
    lost = 0
    for count in range(100, len(life.trace), 40):
        spool = opened_after(life.trace.after_cut(count, "nothing", random.Random(1)), ram / "cut")
        assert spool.opened_with is None, "without the sync a commit is lost, the file is whole"
        lost += not values(spool) >= life.at(count).samples
        spool.close()
    assert lost > 0


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.fixture
def ram(tmp_path: Path) -> Iterator[Path]:
    """Where syncs cost nothing: the cuts are made of what was asked for, not of what a disk did."""
    import tempfile

    shared = Path("/dev/shm")
    if not shared.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared) as name:
        yield Path(name)
