"""What leaves a lamppost goes through edge_agent/core/leaving.py: nothing else makes a message's bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.imports import ROOT, imported_names, module_files

# What makes bytes of a message; `decode` and the checks of what came in are for everybody.
MAKES_BYTES = (
    *("wire_contract.envelope.encode", "wire_contract.envelope.seal", "wire_contract.envelope.*"),
    *("wire_contract.block_codec", "wire_contract.*"),
)
ON_THE_DEVICE = ("edge_agent", "firmware_bridge", "air_quality")
THE_ONE = "edge_agent/core/leaving.py"
# The envelope as a whole would give `encode` too.
WHOLE = {"wire_contract.envelope", "wire_contract"}


def ways_out(path: Path, root: Path = ROOT) -> list[str]:
    """The imports of a module by which it could make a message's bytes."""
    return [name for name, _ in imported_names(path, root) if name in WHOLE or name.startswith(MAKES_BYTES)]


def test_there_is_one_way_out() -> None:
    found = {path.relative_to(ROOT).as_posix(): ways_out(path) for path in module_files(*ON_THE_DEVICE)}
    found.update(
        (path.relative_to(ROOT).as_posix(), ways_out(path))
        for path in (ROOT / "models/features").rglob("*.py")
    )
    assert {path: names for path, names in found.items() if names} == {
        THE_ONE: ["wire_contract.envelope.encode"]
    }


def test_one_module_makes_pieces_of_files() -> None:
    """core/packing.py takes listed texts only, and cleans them; the list itself names the kind."""
    found = {
        path.relative_to(ROOT).as_posix()
        for path in module_files(*ON_THE_DEVICE)
        for name, _ in imported_names(path, ROOT)
        if name.startswith("wire_contract.messages") and name.endswith((".FilePiece", ".*"))
    }
    assert found == {"edge_agent/core/allow_list.py", "edge_agent/core/packing.py"}


@pytest.mark.parametrize(
    "source",
    [
        "from wire_contract.envelope import encode",
        "from wire_contract.envelope import decode, seal as close",
        "def f():\n    from wire_contract import envelope\n    return envelope.encode",
        "import wire_contract.envelope",
        "from wire_contract.envelope import *",
        "from wire_contract.block_codec import encode_block",
    ],
)
def test_another_way_out_would_be_seen(tmp_path: Path, source: str) -> None:
    module = tmp_path / "edge_agent/sneaky.py"
    module.parent.mkdir()
    module.write_text(source)
    assert ways_out(module, tmp_path) != []


def test_reading_what_comes_in_is_no_way_out(tmp_path: Path) -> None:
    module = tmp_path / "m.py"
    module.write_text("from wire_contract.envelope import decode\nfrom wire_contract.messages import Ack")
    assert ways_out(module, tmp_path) == []
