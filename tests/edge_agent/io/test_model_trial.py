"""A model that kills the process is given up after two tries, and another one is tried anew."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.errors import ModelRefused
from edge_agent.io.model_trial import TRIES, ModelTrial

CRASH = """
import os, signal, sys
from pathlib import Path
from edge_agent.io.model_trial import ModelTrial
ModelTrial(Path(sys.argv[1]), Path(sys.argv[2])).load(lambda: os.kill(os.getpid(), signal.SIGSEGV))
"""


def crash(note: Path, subject: Path) -> int:
    return subprocess.run([sys.executable, "-c", CRASH, str(note), str(subject)], check=False).returncode


def test_it_is_tried_twice_and_then_no_more_until_there_is_another(tmp_path: Path) -> None:
    note, subject = tmp_path / "data" / "model.trying", tmp_path / "manifest.json"
    subject.write_text("one")
    for _ in range(TRIES):
        assert crash(note, subject) == -11
    with pytest.raises(ModelRefused) as refused:
        ModelTrial(note, subject).load(lambda: pytest.fail("tried again"))
    assert str(note) in refused.value.remedy
    subject.unlink()
    subject.write_text("another")
    assert ModelTrial(note, subject).load(lambda: None) is None
    assert not note.exists()


def test_a_refusal_is_no_crash(tmp_path: Path) -> None:
    note, subject = tmp_path / "model.trying", tmp_path / "manifest.json"
    subject.write_text("one")

    def refuse() -> None:
        assert note.exists()
        raise ModelRefused("no")

    for _ in range(TRIES + 2):
        with pytest.raises(ModelRefused, match="no"):
            ModelTrial(note, subject).load(refuse)
    assert not note.exists()


@pytest.mark.parametrize("content", ["", "x", "9", "many tries", "\x00"])
def test_a_note_that_makes_no_sense_counts_nothing(tmp_path: Path, content: str) -> None:
    note, subject = tmp_path / "model.trying", tmp_path / "manifest.json"
    subject.write_text("one")
    note.write_text(content)
    assert ModelTrial(note, subject).load(lambda: None) is None


def test_a_disk_that_refuses_the_note_stops_no_model(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert ModelTrial(tmp_path / "file" / "note", tmp_path / "none").load(lambda: None) is None
