"""The disk under the spool: it shrinks, refuses, loses inodes, turns read-only, flips bits, loses files."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from edge_agent.core.declaring import declaration
from edge_agent.core.sealing import form
from edge_agent.core.spool_policy import RECLAIM_FROM_BYTES, Caps, to_free
from edge_agent.core.window import AckMark
from edge_agent.errors import SpoolCorrupt, SpoolError, SpoolFull
from edge_agent.io import sqlite_spool
from edge_agent.io.clocks import SteppedClock
from edge_agent.io.spool_schema import REASON_NOT_KEPT
from edge_agent.io.spool_shed import VACUUM_BYTES
from edge_agent.io.sqlite_spool import SqliteSpool
from edge_agent.loops.board import Board
from edge_agent.loops.room import RoomKeeper
from tests.edge_agent.io.test_spool_rescue import filled, messages, values
from tests.edge_agent.io.test_spools import NOW_MS, REPLY, UNIT, row
from tests.support.disk_trace import traced
from tests.support.tmpfs import fill_disk, fill_inodes, read_only, small_disk
from wire_contract.classes import Class
from wire_contract.envelope import decode
from wire_contract.errors import WireError
from wire_contract.messages import Tombstone

ALL = set(range(1, 24))  # the samples of `filled`


def file_bytes(folder: Path) -> int:
    return sum((folder / name).stat().st_size for name in ("spool.db", "spool.db-wal"))


def keeper(spool: SqliteSpool, clock: SteppedClock, caps: Caps) -> tuple[RoomKeeper, Board]:
    board = Board(clock)
    return RoomKeeper(clock, spool, board, caps), board


NO_CAPS = Caps(1 << 40, 0, 0, 30.0, 7.0)


def test_the_file_shrinks_after_a_drain_a_step_at_a_time(tmp_path: Path) -> None:
    spool, clock = SqliteSpool(tmp_path, declaration), SteppedClock(NOW_MS)
    room, _ = keeper(spool, clock, NO_CAPS)
    spool.put(Class.HISTORY, REPLY, NOW_MS)
    spool.reclaim()
    empty = file_bytes(tmp_path)
    for _ in range(400):
        spool.put(Class.HISTORY, os.urandom(8000), NOW_MS)
    spool.acknowledge({Class.HISTORY: AckMark(300)})
    largest, turns = file_bytes(tmp_path), 0
    assert largest > 3_000_000
    while True:
        before = spool.usage()
        room.keep()
        after, turns = spool.usage(), turns + 1
        given = before.spare_bytes - after.spare_bytes
        assert given <= VACUUM_BYTES + 64 * 1024, "a bounded step: live samples wait for no longer one"
        if not given:
            break
    assert turns > 2
    assert spool.load(Class.HISTORY, 350) is not None, "what waits is still there"
    spool.acknowledge({Class.HISTORY: AckMark(401)})
    while spool.usage().spare_bytes >= RECLAIM_FROM_BYTES:
        room.keep()
    spool._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert file_bytes(tmp_path) < empty + RECLAIM_FROM_BYTES
    spool.close()


def test_a_disk_that_others_fill_costs_what_is_short_and_no_more(tmp_path: Path) -> None:
    """What is shed must come back to the disk, else the next look at it sheds again."""
    with small_disk(tmp_path / "disk", 12 << 20) as disk:
        spool, clock = SqliteSpool(disk / "spool", declaration), SteppedClock(NOW_MS)
        for _ in range(600):
            spool.put(Class.HISTORY, os.urandom(8000), NOW_MS)
        spool.reclaim()
        caps = Caps(8 << 20, shutil.disk_usage(disk).free + (3 << 20), 0, 30.0, 7.0)
        room, board = keeper(spool, clock, caps)
        for _ in range(4):
            room.keep()
        left = spool.counters()[Class.HISTORY].waiting_messages
        assert 150 < left < 220, "3 MiB, and the margin of 2 % of the cap"
        assert shutil.disk_usage(disk).free >= caps.min_free_bytes - RECLAIM_FROM_BYTES
        assert not board.conditions(), "and all is well again"
        spool.close()


def test_without_inodes_it_goes_on_and_starts_again_and_sheds_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8 << 20, inodes=40) as disk:
        spool, clock = filled(disk / "spool"), SteppedClock(NOW_MS)
        room, board = keeper(spool, clock, Caps(1 << 30, 0, 10, 30.0, 7.0))
        fill_inodes(disk)
        room.keep()
        (short,) = board.conditions()
        assert short.code == "inodes_short"
        assert "df -i" in short.remedy
        spool.commit(rows=[row(24)])
        spool.close()  # takes its journal away: a start has to make it again
        fill_inodes(disk)
        spool = SqliteSpool(disk / "spool", declaration)
        assert spool.opened_with is None
        assert values(spool) == ALL | {24}
        spool.commit(rows=[row(25)])
        assert not spool.given_up()
        spool.close()


def test_a_rescue_needs_no_more_inodes_than_were_kept_aside(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8 << 20, inodes=40) as disk:
        spool = filled(disk / "spool")
        fill_inodes(disk)
        spool.rescue(NOW_MS)
        assert values(spool) == ALL
        spool.commit(rows=[row(24)])
        spool.close()


def test_a_disk_that_is_read_only_is_one_line_with_what_to_do(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8 << 20) as disk:
        filled(disk / "spool").close()
        read_only(disk, True)
        with pytest.raises(SpoolError, match="Read-only") as told:
            SqliteSpool(disk / "spool", declaration)
        assert "dmesg" in told.value.remedy
        read_only(disk, False)
        spool = SqliteSpool(disk / "spool", declaration)
        assert values(spool) == ALL
        spool.close()


def test_another_users_spool_is_one_line_with_what_to_do(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")
    filled(tmp_path / "spool").close()
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    os.seteuid(65_534)
    try:
        with pytest.raises(SpoolError, match="may not write") as told:
            SqliteSpool(tmp_path / "spool", declaration)
    finally:
        os.seteuid(0)
    assert "chown" in told.value.remedy


FAILURES = {
    "the disk is full": ("write_fails", sqlite3.SQLITE_FULL),
    "a write fails": ("write_fails", sqlite3.SQLITE_IOERR | (3 << 8)),
    "a sync fails": ("sync_fails", sqlite3.SQLITE_IOERR | (4 << 8)),
    "it turned read-only": ("write_fails", sqlite3.SQLITE_READONLY),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_disk_that_fails_for_a_while_costs_nothing_that_was_committed(tmp_path: Path, failure: str) -> None:
    which, code = FAILURES[failure]
    with traced(tmp_path) as trace:
        spool = filled(tmp_path)
        setattr(trace, which, code)
        for _ in range(3):
            with pytest.raises(SpoolFull) as told:
                spool.commit(rows=[row(24)], sealed=form(Class.HISTORY, [row(23)]))
            assert told.value.remedy
        assert values(spool) == ALL, "what it holds can still be read and sent"
        setattr(trace, which, 0)
        spool.commit(rows=[row(24)])
        now = len(trace)
    assert values(spool) == ALL | {24}
    spool.close()
    cut = tmp_path / "cut"
    cut.mkdir()
    for name, content in trace.after_cut(now, "nothing", random.Random(1)).items():
        (cut / name).write_bytes(content)
    spool = SqliteSpool(cut, declaration)
    assert values(spool) == ALL | {24}, "and the power may go right after it"
    spool.close()


def _delete(*names: str) -> Callable[[Path], None]:
    def delete(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return delete


def _replace(folder: Path) -> None:
    (folder / "other").write_bytes(b"not a spool")
    (folder / "other").rename(folder / "spool.db")


LOSSES: dict[str, Callable[[Path], None]] = {
    "the file is deleted": _delete("spool.db"),
    "its journal is deleted": _delete("spool.db-wal"),
    "all of it is deleted": _delete("spool.db", "spool.db-wal", "spool.db-shm"),
    "the folder is deleted": shutil.rmtree,
    "another file takes its place": _replace,
}


@pytest.mark.parametrize("loss", LOSSES)
def test_files_that_vanish_while_it_runs_are_noticed_and_nothing_is_lost(tmp_path: Path, loss: str) -> None:
    folder = tmp_path / "spool"
    spool = filled(folder)
    spool.usage()
    epoch = spool.epoch
    LOSSES[loss](folder)
    with pytest.raises(SpoolCorrupt, match="deleted or replaced"):
        spool.usage()
    spool.rescue(NOW_MS)
    assert spool.epoch != epoch
    assert values(spool) == ALL
    spool.usage()
    spool.commit(rows=[row(24)])
    spool.close()
    spool = SqliteSpool(folder, declaration)
    assert spool.opened_with is None
    assert values(spool) == ALL | {24}, "on the disk this time"
    spool.close()


def sound_values(spool: SqliteSpool) -> set[int]:
    """The samples that a server could decode."""
    found = {value for each in spool.waiting(True, 100) if (value := each.values[0]) is not None}
    for head in spool.heads(Class.HISTORY, 0, 100):
        stored = spool.load(Class.HISTORY, head.sequence)
        with suppress(WireError):
            message = decode(stored.payload) if stored else None
            found |= {value for block in getattr(message, "blocks", ()) for value in block.columns[0]}
    return found


PLACES = {
    "the header": ("spool.db", lambda size, chance: chance.randrange(100)),
    "the tables' names": ("spool.db", lambda size, chance: chance.randrange(100, 1024)),
    "a page's head": ("spool.db", lambda size, chance: chance.randrange(size // 1024) * 1024),
    "anywhere": ("spool.db", lambda size, chance: chance.randrange(size)),
    "the journal's header": ("spool.db-wal", lambda size, chance: chance.randrange(32)),
    "a frame's head": ("spool.db-wal", lambda size, chance: 32 + 1048 * chance.randrange(size // 1048)),
    "anywhere in the journal": ("spool.db-wal", lambda size, chance: chance.randrange(size)),
    "the journal's index": ("spool.db-shm", lambda size, chance: chance.randrange(size)),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_flipped_byte_anywhere_never_stops_it_and_invents_nothing(tmp_path: Path, place: str) -> None:
    """As after a power cut, the journal beside the file. What a byte costs is what it hit, and what came
    after it in the journal: SQLite takes a frame with a wrong checksum for its end. A message whose own
    checksum does not fit any more leaves as it is, for the server's dead letters: they keep its bytes."""
    life = filled(tmp_path / "life")
    life._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    life.commit(rows=[row(24)])
    life.commit(sealed=form(Class.HISTORY, [row(25)]))
    seed = random.SystemRandom().randrange(1 << 30)
    chance, (name, where) = random.Random(seed), PLACES[place]
    for turn in range(8):
        at = tmp_path / f"cut-{turn}"
        at.mkdir()
        for each in ("spool.db", "spool.db-wal", "spool.db-shm"):
            shutil.copy(tmp_path / "life" / each, at / each)
        content = bytearray((at / name).read_bytes())
        position = where(len(content), chance)
        content[position] ^= 1 << chance.randrange(8)
        (at / name).write_bytes(content)
        told = f"seed {seed}, byte {position} of {name}"
        spool = SqliteSpool(at, declaration)
        try:
            found = sound_values(spool)
        except SpoolCorrupt:  # seen only when it is read: the loops rescue it then
            spool.rescue(NOW_MS)
            found = sound_values(spool)
        assert found <= ALL | {24, 25}, f"{told}: invented {found - ALL}"
        if spool.opened_with is None and name == "spool.db-wal":
            assert found >= ALL, told
        spool.put(Class.REPLY, REPLY, NOW_MS)
        spool.close()
    life.close()


def test_a_file_whose_header_forbids_writing_is_rescued_when_it_is_opened(tmp_path: Path) -> None:
    filled(tmp_path).close()
    with (tmp_path / "spool.db").open("r+b") as file:
        file.seek(18)
        file.write(b"\x03")
    spool = SqliteSpool(tmp_path, declaration)
    assert spool.opened_with is not None
    spool.put(Class.REPLY, REPLY, NOW_MS)
    spool.close()


def test_a_damaged_spool_too_large_to_copy_is_kept_and_the_agent_starts(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 6 << 20) as disk:
        spool = filled(disk / "spool")
        for number in range(30, 330):
            spool.commit(sealed=form(Class.LIVE, [row(number)]))
        for _ in range(200):
            spool.put(Class.REPLY, REPLY, NOW_MS)
        spool.close()
        with sqlite3.connect(disk / "spool" / "spool.db") as db:
            db.execute("UPDATE pending SET body = x'ff' WHERE id = 21")
            db.execute("CREATE TABLE large AS SELECT zeroblob(2000000)")
        db.close()
        filler = fill_disk(disk)
        with filler.open("r+b") as file:
            file.truncate(filler.stat().st_size - 20_000)
        spool = SqliteSpool(disk / "spool", declaration)
        assert spool.opened_with is not None
        assert Path(spool.opened_with.kept_at).exists()
        assert spool.units() == (UNIT,)
        spool.commit(rows=[row(400)])
        spool.close()


def test_a_rescue_without_room_for_all_waits_and_then_goes_on_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_spool, "PATIENT_RESCUES", 3)
    with traced(tmp_path):
        spool = filled(tmp_path)
        refill = spool._refill

        def no_room(found: object, wall_ms: int) -> None:
            refill(found, wall_ms)  # type: ignore[arg-type]
            if found.keys:  # type: ignore[attr-defined]
                raise SpoolFull("told to be full")

        monkeypatch.setattr(spool, "_refill", no_room)
        for _ in range(2):
            with pytest.raises(SpoolFull):
                spool.rescue(NOW_MS)
        rescue = spool.rescue(NOW_MS)
    assert rescue.messages == 0
    assert values(spool) == {21, 22, 23}, "what was not sealed goes on; the rest is in the file"
    (told,) = [each for each in messages(spool, Class.HISTORY) if isinstance(each, Tombstone)]
    assert told.samples == 20
    assert Path(rescue.kept_at).exists()
    spool.close()


def test_a_spool_of_the_version_before_is_taken_over_as_it_is(tmp_path: Path) -> None:
    spool = filled(tmp_path)
    spool.shed(to_free(spool.weights(5), 1))
    epoch = spool.epoch
    spool.close()
    with sqlite3.connect(tmp_path / "spool.db") as db:
        db.execute("DROP TABLE shed")
        db.execute("PRAGMA user_version = 2")
    db.close()
    spool = SqliteSpool(tmp_path, declaration)
    assert spool.opened_with is None
    assert spool.epoch == epoch
    assert values(spool) == ALL - {1}
    (before,) = spool.given_up()
    assert (before.cls, before.reason, before.samples) == (Class.HISTORY, REASON_NOT_KEPT, 1)
    spool.close()
