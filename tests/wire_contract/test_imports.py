"""The package stays light: a Raspberry Pi imports it without numpy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import wire_contract

FOLDER = Path(str(wire_contract.__file__)).parent
SERVER_ONLY = {"decode_numpy": {"numpy"}, "decode_group": {"numpy"}}
MODULES = sorted(path.stem for path in FOLDER.glob("*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_the_standard_library_msgspec_and_zstandard_only(module: str) -> None:
    found: set[str] = set()
    for node in ast.walk(ast.parse((FOLDER / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    allowed = {"msgspec", "zstandard", "wire_contract"} | SERVER_ONLY.get(module, set())
    assert found - sys.stdlib_module_names <= allowed


def test_the_device_s_modules_load_no_numpy() -> None:
    names = [name for name in MODULES if name not in SERVER_ONLY]
    program = (
        "import sys, importlib\n"
        f"for name in {names!r}: importlib.import_module('wire_contract.' + name)\n"
        "sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=FOLDER.parent).returncode == 0
