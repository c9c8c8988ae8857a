"""What a command loads before it does anything: on the device, memory is the budget (40 MB for the agent)."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tools.imports import PARTS

# Loaded when needed, never by import alone.
HEAVY = {
    "asyncio",
    "cryptography",
    "fastapi",
    "nicegui",
    "numpy",
    "pandas",
    "polars",
    "psycopg",
    "pyarrow",
    "pydantic",
    "rich",
    "sqlalchemy",
    "sqlmodel",
    "torch",
}


def loaded_by(statement: str) -> set[str]:
    """Top-level modules in memory after a statement, in a fresh interpreter."""
    program = (
        f"{statement}\nimport json, sys\nprint(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "module",
    ["edge_agent.cli", "edge_agent.app", "firmware_bridge.cli", "wire_contract.envelope", "lamppost"],
)
def test_a_device_module_loads_nothing_heavy(module: str) -> None:
    assert loaded_by(f"import {module}") & HEAVY == set()


def test_the_command_line_loads_no_package_of_ours_until_asked() -> None:
    assert loaded_by("import lamppost") & set(PARTS) == set()


def test_a_heavy_import_would_be_seen() -> None:
    assert "numpy" in loaded_by("import wire_contract.decode_numpy")
