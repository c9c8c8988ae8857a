"""The imports of the parts, read from the source: what the diagrams and the tests look at."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PARTS = (
    "air_quality",
    "dashboards",
    "demo",
    "edge_agent",
    "firmware_bridge",
    "fleet_server",
    "models",
    "provisioning",
    "simulator",
    "wire_contract",
)


def pyproject() -> dict[str, Any]:
    """pyproject.toml as a dictionary."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def module_files(*parts: str, root: Path = ROOT) -> list[Path]:
    """Every module of these parts (all of them when none is named), in path order."""
    return sorted(path for part in parts or PARTS for path in (root / part).rglob("*.py"))


def module_name(path: Path, root: Path = ROOT) -> str:
    """`edge_agent/core/link.py` -> `edge_agent.core.link`; a package's `__init__.py` is the package."""
    dotted = path.relative_to(root).with_suffix("").as_posix().replace("/", ".")
    return dotted.removesuffix(".__init__")


def imported_names(path: Path, root: Path = ROOT) -> Iterator[tuple[str, int]]:
    """(dotted name, line) of each import in a module, lazy ones inside functions included.

    `from a.b import c` gives `a.b.c`: it may name a module, and a reader of prefixes loses nothing.
    """
    package = module_name(path, root).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{stem}.{alias.name}", node.lineno


def third_party(path: Path) -> set[str]:
    """Top-level names that a module imports from outside the standard library and the parts."""
    tops = {name.split(".")[0] for name, _ in imported_names(path)}
    return {
        top for top in tops if top not in sys.stdlib_module_names and top not in PARTS and top != "lamppost"
    }
