"""The public names of the parts that others build on, listed in `tests/arch/public_names.txt`.

A name that appears or goes there is a promise made or broken: the diff shows it to the reviewer.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tools.imports import ROOT, module_files, module_name

SNAPSHOT = ROOT / "tests/arch/public_names.txt"
HEADER = (
    "# Public names of the wire, of the ports, and of each slice's service. Written by `make docs`.\n"
    "# `name(arguments)` is a function, `name: class (members)` a class; what starts with _ is private.\n"
)


def promised_modules() -> list[Path]:
    """The wire, every ports.py, the sensor kinds and errors, and every slice's service."""
    promised = [path for path in module_files("wire_contract")]
    promised += [path for path in module_files() if path.name in {"ports.py", "service.py"}]
    promised += [path for path in module_files("firmware_bridge") if path.name in {"kinds.py", "errors.py"}]
    return sorted(set(promised))


def _signature(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    arguments = function.args
    names = [a.arg for a in [*arguments.posonlyargs, *arguments.args] if a.arg not in {"self", "cls"}]
    if arguments.vararg:
        names.append(f"*{arguments.vararg.arg}")
    elif arguments.kwonlyargs:
        names.append("*")
    names += [a.arg for a in arguments.kwonlyargs]
    if arguments.kwarg:
        names.append(f"**{arguments.kwarg.arg}")
    return f"{function.name}({', '.join(names)})"


def _targets(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def _members(cls: ast.ClassDef) -> Iterator[str]:
    for node in cls.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if not node.name.startswith("_"):
                yield _signature(node)
        else:
            yield from (name for name in _targets(node) if not name.startswith("_"))


def names_of(path: Path) -> list[str]:
    """The public names that a module defines itself, one line each, in the order of the alphabet."""
    lines = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if not node.name.startswith("_"):
                lines.append(_signature(node))
        elif isinstance(node, ast.ClassDef):
            if not node.name.startswith("_"):
                lines.append(f"{node.name}: class ({', '.join(_members(node))})")
        else:
            lines += [name for name in _targets(node) if not name.startswith("_")]
    return sorted(set(lines))


def render() -> str:
    """The whole snapshot."""
    blocks = []
    for path in promised_modules():
        if names := names_of(path):
            blocks.append("\n".join([module_name(path), *(f"    {name}" for name in names)]))
    return HEADER + "\n" + "\n\n".join(blocks) + "\n"
