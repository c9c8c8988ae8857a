"""What others build on changes on purpose only: the snapshot of public names is the tree's."""

from __future__ import annotations

from pathlib import Path

from tools import public_names


def test_the_snapshot_is_what_the_code_offers() -> None:
    assert public_names.SNAPSHOT.read_text(encoding="utf-8") == public_names.render(), (
        "public names changed: run `make docs`, and look at the diff of tests/arch/public_names.txt"
    )


def test_a_new_name_a_lost_argument_and_a_new_member_show(tmp_path: Path) -> None:
    module = tmp_path / "m.py"
    module.write_text("A_S = 1\ndef f(x, *, y): ...\nclass C:\n    z: int\n    def g(self, q): ...\n_p = 2\n")
    before = public_names.names_of(module)
    assert before == ["A_S", "C: class (z, g(q))", "f(x, *, y)"]
    module.write_text(
        "A_S = 1\ndef f(x): ...\nclass C:\n    z: int\n    def g(self, q, r): ...\n_p = 2\nB = 3\n"
    )
    assert public_names.names_of(module) == ["A_S", "B", "C: class (z, g(q, r))", "f(x)"]
