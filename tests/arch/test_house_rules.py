"""The house rules that can be measured (docs/architecture.md, "House rules"), measured."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.imports import PARTS, ROOT, module_files

MEDIAN_MODULE_LINES = 150
LONGEST_MODULE_LINES = 400
LONG_FUNCTION_LINES = 45
SHARE_OF_FUNCTIONS_WITHIN = 0.95
# Every slice has these; a slice may have more (consumers, commands), never another name for one of them.
SLICE_FILES = {"rules.py", "tables.py", "store.py", "service.py", "routes.py"}
# Packages of fleet_server that are no slices.
NOT_SLICES = {"audit", "database", "migrations", "simulator"}
BLANKETS = {"Exception", "BaseException"}
TOP = re.compile(r"#.*('s top|top of)\b")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def source_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def product() -> list[Path]:
    return [*module_files(*PARTS), ROOT / "lamppost.py"]


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def is_vocabulary(path: Path) -> bool:
    """Pure vocabulary: names and values, no function anywhere."""
    return not list(functions(path))


def test_modules_are_small() -> None:
    sizes = {path: len(source_lines(path)) for path in product() if path.name != "__init__.py"}
    assert statistics.median(sizes.values()) <= MEDIAN_MODULE_LINES
    too_long = {
        str(path.relative_to(ROOT)): size
        for path, size in sizes.items()
        if size > LONGEST_MODULE_LINES and not is_vocabulary(path)
    }
    assert too_long == {}


def test_functions_are_short() -> None:
    lengths: dict[str, int] = {}
    for path in product():
        for node in functions(path):
            where = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
            lengths[where] = (node.end_lineno or node.lineno) - node.lineno + 1
    long = {where: size for where, size in lengths.items() if size > LONG_FUNCTION_LINES}
    assert len(long) <= (1 - SHARE_OF_FUNCTIONS_WITHIN) * len(lengths), long


def is_blanket(handler: ast.ExceptHandler) -> bool:
    kinds = [handler.type] if not isinstance(handler.type, ast.Tuple) else handler.type.elts
    return any(kind is None or (isinstance(kind, ast.Name) and kind.id in BLANKETS) for kind in kinds)


def reraises(handler: ast.ExceptHandler) -> bool:
    """Cleans up and lets the error go on: nothing is swallowed."""
    return isinstance(handler.body[-1], ast.Raise)


def says_nothing(handler: ast.ExceptHandler) -> bool:
    return not any(isinstance(node, ast.Call) for statement in handler.body for node in ast.walk(statement))


def blanket_excepts(source: str) -> list[int]:
    """Lines of the blanket handlers that are not at a loop's top: the outermost try of a `while`, which tells
    of the error and goes on; or a try whose comment says of what it is the top (a role, a request)."""
    tree, lines = ast.parse(source), source.splitlines()
    at_top = {
        handler.lineno
        for loop in ast.walk(tree)
        if isinstance(loop, ast.While | ast.AsyncFor)
        for statement in loop.body
        if isinstance(statement, ast.Try)
        for handler in statement.handlers
    }
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and is_blanket(node)
        and not reraises(node)
        and (says_nothing(node) or not (node.lineno in at_top or TOP.search(lines[node.lineno - 1])))
    ]


def test_no_blanket_except_but_at_a_loops_top() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in product()
        for line in blanket_excepts(path.read_text(encoding="utf-8"))
    ]
    assert found == [], "catch what you expect, or say of what it is the top: `# the role's top: ...`"


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("try:\n    f()\nexcept Exception:\n    log()\n", [3]),
        ("try:\n    f()\nexcept:\n    log()\n", [3]),
        ("try:\n    f()\nexcept (OSError, BaseException):\n    log()\n", [3]),
        ("try:\n    f()\nexcept OSError:\n    pass\n", []),
        ("try:\n    f()\nexcept BaseException:\n    g()\n    raise\n", []),
        ("try:\n    f()\nexcept Exception:  # the role's top: it is started again\n    log()\n", []),
        ("try:\n    f()\nexcept Exception:  # the role's top: it is started again\n    pass\n", [3]),
        ("while a:\n    try:\n        f()\n    except Exception:\n        log()\n", []),
        ("while a:\n    try:\n        f()\n    except Exception:\n        pass\n", [4]),
        ("while a:\n  if b:\n    try:\n      f()\n    except Exception:\n      log()\n", [5]),
    ],
)
def test_a_blanket_except_is_found(source: str, lines: list[int]) -> None:
    assert blanket_excepts(source) == lines


def slices() -> list[Path]:
    server = ROOT / "fleet_server"
    return sorted(p.parent for p in server.glob("*/service.py") if p.parent.name not in NOT_SLICES)


def test_every_slice_has_the_same_file_names() -> None:
    assert slices()
    missing = {s.name: sorted(SLICE_FILES - {p.name for p in s.iterdir()}) for s in slices()}
    assert {name: files for name, files in missing.items() if files} == {}


def test_every_package_of_the_server_is_a_slice_or_named_here() -> None:
    packages = {p.parent.name for p in (ROOT / "fleet_server").glob("*/__init__.py")}
    assert packages - {s.name for s in slices()} <= NOT_SLICES


def test_every_module_says_what_it_is() -> None:
    mute = [
        str(path.relative_to(ROOT))
        for path in product()
        if path.name != "__init__.py"
        and ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) is None
    ]
    assert mute == []
