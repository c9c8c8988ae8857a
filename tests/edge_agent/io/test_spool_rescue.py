"""A damaged spool: whatever the damage and whenever the power goes, what can be read goes on its way."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.core.declaring import declaration
from edge_agent.core.sealing import form
from edge_agent.core.window import AckMark
from edge_agent.errors import SpoolCorrupt, SpoolError, SpoolFull
from edge_agent.io.spool_rescue import opened_to_read, salvage
from edge_agent.io.sqlite_spool import SqliteSpool
from tests.edge_agent.io.test_spools import NOW_MS, REPLY, UNIT, row
from tests.support.tmpfs import fill_disk, small_disk
from wire_contract.classes import Class
from wire_contract.envelope import decode
from wire_contract.messages import SensorDeclaration, Tombstone, TombstoneReason


def filled(folder: Path) -> SqliteSpool:
    """A declared unit, twenty sealed samples, three that wait."""
    spool = SqliteSpool(folder, declaration)
    spool.declare(UNIT, declaration(UNIT, NOW_MS), NOW_MS)
    for number in range(1, 21):
        spool.commit(sealed=form(Class.HISTORY, [row(number)]))
    spool.commit(rows=[row(21), row(22), row(23)])
    return spool


def values(spool: SqliteSpool) -> set[int]:
    found = {value for each in spool.waiting(True, 100) if (value := each.values[0]) is not None}
    for message in messages(spool, Class.HISTORY):
        found |= {value for block in getattr(message, "blocks", ()) for value in block.columns[0]}
    return found


def messages(spool: SqliteSpool, cls: Class) -> list[object]:
    stored = [spool.load(cls, head.sequence) for head in spool.heads(cls, 0, 100)]
    return [decode(each.payload) for each in stored if each is not None]


DAMAGES: dict[str, tuple[str, tuple[object, ...]]] = {
    "a waiting sample's bytes": ("UPDATE pending SET body = ? WHERE id = 22", (b"\xff\x00garbage",)),
    "a waiting sample's time": ("UPDATE pending SET time_ms = ? WHERE id = 22", (1 << 60,)),
    "a waiting sample's boot": ("UPDATE pending SET boot = ? WHERE id = 22", (b"\xff",)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_bits_that_the_integrity_check_does_not_see_cost_only_what_they_hit(
    tmp_path: Path, damage: str
) -> None:
    filled(tmp_path).close()
    with sqlite3.connect(tmp_path / "spool.db") as db:
        db.execute(*DAMAGES[damage])
    spool = SqliteSpool(tmp_path, declaration)
    assert spool.opened_with is not None
    assert values(spool) == set(range(1, 24)) - {22}
    spool.close()


def test_garbage_in_every_table_never_stops_the_start(tmp_path: Path) -> None:
    filled(tmp_path).close()
    with sqlite3.connect(tmp_path / "spool.db") as db:
        db.execute("UPDATE pending SET body = x'ff' WHERE id = 21")
        db.execute("UPDATE unit SET kind = 'pms5q03'")
        db.execute("UPDATE meta SET value = 'xyz' WHERE key = 'session'")
        db.execute("UPDATE meta SET value = 17 WHERE key = 'epoch'")
        db.execute("UPDATE message SET samples = 'many' WHERE sequence = 4")
        db.execute("UPDATE message SET cls = 99 WHERE sequence = 5")
    spool = SqliteSpool(tmp_path, declaration)
    assert spool.opened_with is not None
    assert values(spool) == set(range(1, 24)) - {4, 5, 21}
    spool.next_session(NOW_MS)
    spool.close()


def test_session_and_age_outlive_a_rescue(tmp_path: Path) -> None:
    spool = filled(tmp_path)
    session = spool.next_session(NOW_MS + 10**12)
    spool.rescue(NOW_MS)
    assert spool.next_session(NOW_MS) == session + 1, "else the server takes every presence for an old one"
    spool.close()


@pytest.mark.parametrize("step", range(4))
def test_a_power_cut_at_any_step_of_a_rescue_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The steps are the renames; the cut comes before the first, ... after the last."""
    spool = filled(tmp_path)
    done = 0
    rename: Callable[..., Path] = Path.rename

    def cut(path: Path, target: Path) -> Path:
        nonlocal done
        if done == step:
            raise KeyboardInterrupt("the power is cut")
        done += 1
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", cut)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 the cut may come in a later one
        while True:
            spool.rescue(NOW_MS)
    monkeypatch.undo()
    os.close(spool._lock_file)
    spool = SqliteSpool(tmp_path, declaration)
    assert values(spool) == set(range(1, 24))
    assert spool.units() == (UNIT,)
    assert any(isinstance(each, SensorDeclaration) for each in messages(spool, Class.REPLY))
    spool.close()


def test_a_rescue_that_finds_no_room_is_done_again_when_there_is(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4 << 20) as disk:
        spool = filled(disk / "spool")
        for _ in range(60):
            spool.put(Class.REPLY, REPLY + os.urandom(8000), NOW_MS)
        fill_disk(disk)
        spool._ballast.drop()
        filler = fill_disk(disk)
        for _ in range(2):
            with pytest.raises(SpoolFull):
                spool.rescue(NOW_MS)
            with pytest.raises(SpoolCorrupt):
                spool.counters()
        filler.unlink()
        rescue = spool.rescue(NOW_MS)
        assert rescue.samples == 23
        assert values(spool) == set(range(1, 24))
        buried = [each for each in messages(spool, Class.HISTORY) if isinstance(each, Tombstone)]
        assert [each.reason for each in buried] == [TombstoneReason.SPOOL_CORRUPT]
        spool.close()


def test_a_start_on_a_full_disk_uses_the_ballast(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4 << 20) as disk:
        filled(disk / "spool").close()
        fill_disk(disk)
        spool = SqliteSpool(disk / "spool", declaration)
        assert values(spool) == set(range(1, 24))
        spool.commit(rows=[row(24)])
        spool.close()


def test_a_folder_that_is_not_ours_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(SpoolError, match="file"):
        SqliteSpool(tmp_path / "file" / "spool", declaration)


# A flipped bit may change a value's type as well: SQLite keeps it, whatever the column was declared.
FLIPS = (
    "UPDATE pending SET boot = CAST(x'ff' AS TEXT) WHERE id = 22",
    "UPDATE pending SET unit = NULL WHERE id = 22",
    "UPDATE unit SET high_ms = 'soon'",
    "UPDATE unit SET kind = 'pms5q03'",
    "UPDATE class SET cls = 77 WHERE cls = 2",
    "DELETE FROM class WHERE cls = 0",
    "UPDATE class SET next = 'x' WHERE cls = 3",
    "UPDATE class SET next = next - 8 WHERE cls = 3",
    "UPDATE class SET next = next - 8, messages = messages - 8 WHERE cls = 3",
    "UPDATE class SET leased = x'00' WHERE cls = 3",
    "UPDATE class SET samples = NULL WHERE cls = 3",
    "UPDATE class SET waiting_messages = 1.5 WHERE cls = 3",
    "UPDATE meta SET value = x'ff' WHERE key = 'age_ms'",
    "UPDATE meta SET value = 'NaN' WHERE key = 'session'",
    "UPDATE meta SET key = 'epocx' WHERE key = 'epoch'",
    "INSERT INTO shed VALUES (99, 'expired', 1, 1)",
    "INSERT INTO shed VALUES (3, CAST(x'ff' AS TEXT), 'a', 1)",
    "UPDATE message SET last = 9000 WHERE cls = 3 AND sequence = 4",
    "UPDATE message SET last = 'x' WHERE cls = 3 AND sequence = 4",
    "UPDATE message SET to_ms = 'x' WHERE cls = 3 AND sequence = 4",
    "UPDATE message SET sealed_at_age_ms = x'01' WHERE cls = 3 AND sequence = 4",
    "UPDATE message SET payload = 7 WHERE cls = 3 AND sequence = 4",
    "UPDATE message SET samples = 'x', from_ms = x'ff' WHERE cls = 3 AND sequence = 4",
    "UPDATE message SET kind = 9 WHERE cls = 3 AND sequence = 4",
    "UPDATE message SET cls = 'x' WHERE cls = 3 AND sequence = 4",
    "UPDATE message SET sequence = 1.5 WHERE cls = 3 AND sequence = 4",
)


def use(spool: SqliteSpool) -> None:
    """What the loops do with a spool in an hour."""
    spool.next_session(NOW_MS)
    for unit in spool.units():
        spool.declare(unit, declaration(unit, NOW_MS), NOW_MS)
    spool.stamps()
    spool.waiting(True, 100)
    spool.counters()
    spool.given_up()
    for weight in spool.weights(100):
        assert weight.size_bytes + weight.samples + weight.from_ms + weight.to_ms + weight.age_ms > 0
    for cls in Class:
        spool.put(cls, REPLY, NOW_MS)
        for head in spool.heads(cls, 0, 100):
            stored = spool.load(cls, head.sequence)
            assert stored is not None
            assert stored.to_ms + stored.age_ms + len(stored.payload) > 0
            spool.will_publish(cls, head.sequence)
            spool.acknowledge({cls: AckMark(0, ((head.sequence, head.last),))})
        assert spool.heads(cls, 0, 1) == []
    spool.commit(rows=[row(400)], sealed=form(Class.LIVE, [row(401)]))
    spool.reclaim()


@pytest.mark.parametrize("flip", FLIPS)
def test_whatever_a_row_says_the_loops_get_a_sound_spool_or_are_told(tmp_path: Path, flip: str) -> None:
    filled(tmp_path).close()
    with sqlite3.connect(tmp_path / "spool.db") as db:
        db.execute("PRAGMA ignore_check_constraints = 1")
        db.execute("PRAGMA writable_schema = 1")  # a bit knows no NOT NULL
        db.execute("UPDATE sqlite_schema SET sql = replace(sql, 'NOT NULL', '')")
    db.close()
    with sqlite3.connect(tmp_path / "spool.db") as db:
        db.execute(flip)
    db.close()
    spool = SqliteSpool(tmp_path, declaration)
    kept = values(spool) if spool.opened_with else ALL_VALUES
    try:
        use(spool)
    except SpoolCorrupt:
        spool.rescue(NOW_MS)
        kept = values(spool)
        use(spool)
    assert kept >= ALL_VALUES - {4, 22}, "no more is lost than the row that it hit"
    spool.close()


ALL_VALUES = set(range(1, 24))


def test_samples_of_a_unit_that_is_lost_are_left_and_counted_as_its_key_will_be_anothers(
    tmp_path: Path,
) -> None:
    filled(tmp_path).close()
    with sqlite3.connect(tmp_path / "spool.db") as db:
        db.execute("UPDATE unit SET site = CAST(x'ff61' AS TEXT)")
    db.close()
    spool = SqliteSpool(tmp_path, declaration)
    assert spool.opened_with is not None
    assert spool.units() == ()
    assert values(spool) == set()
    (told,) = [each for each in messages(spool, Class.HISTORY) if isinstance(each, Tombstone)]
    assert told.samples == 23
    assert salvage(opened_to_read(Path(spool.opened_with.kept_at))).left == 23, (
        "it is all in the file that is kept"
    )
    use(spool)
    spool.close()
