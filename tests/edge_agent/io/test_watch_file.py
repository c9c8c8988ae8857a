"""What is known of a unit's day comes back from the disk as it was; a file that is damaged is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.errors import SpoolFull
from edge_agent.io.watch_file import WatchFile
from firmware_bridge.emulator.events import EventfulScene, Plume
from firmware_bridge.emulator.synthetic import SyntheticScene
from firmware_bridge.kinds import SensorKind
from tests.edge_agent.street import HOUR_MS, START_MS, Sensor, Street

PLUME = Plume(START_MS + 3 * HOUR_MS, peak=100)


def test_what_is_kept_comes_back_and_is_small(tmp_path: Path) -> None:
    scene = EventfulScene(SyntheticScene(3, (0.0, 0.0)), (0.0, 0.0), [PLUME])
    street = Street([Sensor(SensorKind.PMS5003T), Sensor(SensorKind.SDS011, 2)], scene).run(3.5)
    file = WatchFile(tmp_path / "watching.json")
    kept = street.post.to_keep()
    assert any(each.watch.open for each in kept), "an episode is among it"
    file.save(kept)
    assert file.load() == kept
    assert (tmp_path / "watching.json").stat().st_size < 40_000


NOBODY = b'[{"identity":{"kind":"a","serial":"","site":""}'


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[1]", b'[{"identity": 3}]', b"\xff\xfe", b"null", b"[" * 9999),
        NOBODY + b',"of a later version":' + b"[" * 99_999,
        NOBODY.replace(b"a", b"\xff") + b"}]",
        NOBODY + b',"minutes":[{"time_ms":1,"pm2_5":"much"}]}]',
        NOBODY + b',"faults":[{"code":"of a later version"}]}]',
    ],
)
def test_a_damaged_file_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "watching.json"
    assert WatchFile(path).load() == ()
    path.write_bytes(content)
    assert WatchFile(path).load() == ()


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "watching.json"
    WatchFile(path).save(())
    with path.open("ab") as file:
        file.truncate(1 << 40)
    assert WatchFile(path).load() == ()


def test_a_disk_that_refuses_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SpoolFull):
        WatchFile(tmp_path / "file" / "watching.json").save(())
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
