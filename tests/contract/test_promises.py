"""docs/wire.md: behind each sentence stands a test that exists, or the package that keeps the promise."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "wire.md").read_text(encoding="utf-8")
PROMISES = [re.sub(r"\s+", " ", item) for item in re.findall(r"^- (.*?)(?=^- |^$|\Z)", TEXT, re.M | re.S)]
TEST = re.compile(r"`(tests/[\w/]+\.py):(\w+)`")
KEEPER = re.compile(r"\((`(?:edge_agent|fleet_server|provisioning)`(?:, )?)+\)$")


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_page_makes_promises() -> None:
    assert len(PROMISES) > 25


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise[:50])
def test_a_promise_is_held_by_a_test_or_by_the_package_it_names(promise: str) -> None:
    tests = TEST.findall(promise)
    assert tests or KEEPER.search(promise.strip())
    for path, name in tests:
        assert name.startswith("test_")
        assert name in functions(ROOT / path), f"{path} has no {name}"
