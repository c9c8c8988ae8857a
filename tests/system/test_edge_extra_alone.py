"""`pip install .[edge]` in an empty environment: small, and enough for a sample's way through the device.

Built once for the module, from a copy of the tree (building writes beside the sources).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.imports import PARTS, ROOT

NEVER_ON_A_DEVICE = {
    "fastapi",
    "sqlmodel",
    "torch",
    "polars",
    "pandas",
    "pydantic",
    "sqlalchemy",
    "nicegui",
}
MOST_PACKAGES = (
    20  # the extra's, what they need (numpy comes with LiteRT), and pip; one more is a question to ask
)
PIP_TIMEOUT_S = 240


def pip(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """This environment's pip works on the other: that one stays as empty as it was made."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "--disable-pip-version-check",
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT_S, check=False)


@pytest.fixture(scope="module")
def device_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("device")
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / "src" / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "lamppost.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "src")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    python = folder / "venv/bin/python"
    installed = pip(python, "install", "-q", "-c", str(ROOT / "constraints.txt"), f"{folder / 'src'}[edge]")
    if "No matching distribution" in installed.stderr or "Connection" in installed.stderr:
        pytest.skip(f"pip reaches no package index here: {installed.stderr.strip().splitlines()[-1]}")
    assert installed.returncode == 0, installed.stderr
    return python


def run(python: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """In an environment that leads to nothing of this checkout."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST"))}
    return subprocess.run(
        [str(python), *arguments],
        cwd=cwd,
        env=clean,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.system
def test_the_edge_extra_brings_nothing_of_the_server(device_python: Path) -> None:
    listed = pip(device_python, "list", "--format", "freeze")
    brought = {line.partition("==")[0].lower() for line in listed.stdout.splitlines()}
    assert "lamppost" in brought
    assert brought & NEVER_ON_A_DEVICE == set()
    assert len(brought) <= MOST_PACKAGES, brought


@pytest.mark.system
def test_a_sample_goes_from_a_sensor_to_an_encoded_batch(device_python: Path, tmp_path: Path) -> None:
    done = run(device_python, str(Path(__file__).with_name("one_sample.py")), str(tmp_path), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("one sample through: "), done.stdout
    assert str(ROOT) not in done.stdout


@pytest.mark.system
def test_the_servers_commands_say_what_to_install(device_python: Path, tmp_path: Path) -> None:
    refused = run(device_python, "-m", "lamppost", "serve", cwd=tmp_path)
    assert refused.returncode == 3
    assert "pip install '.[server]'" in refused.stderr
