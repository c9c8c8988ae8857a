"""The documents speak of what is there: paths, links, functions, generated files, decisions."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tools import diagrams, generate
from tools.imports import ROOT, module_files

DOCUMENTS = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if diagrams.FOLDER not in path.parents
)
# `edge_agent/core/link.py` or `edge_agent/core/link.py:step`, as the documents write it.
CODE = re.compile(r"`((?:[a-z_]+/)+[\w.]+\.(?:py|toml|yaml|json|cedar|sh|txt))(?::(\w+))?`")
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
# A file as a participant of a sequence diagram.
PARTICIPANT = re.compile(r"^ *participant \w+ as (\w+/\S+)$", re.MULTILINE)
SECTIONS = ("## Context", "## Decision", "## Consequences")


def names(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    missing = [target for target in LINK.findall(text) if not (document.parent / target).exists()]
    missing += [path for path in PARTICIPANT.findall(text) if not (ROOT / path).exists()]
    for path, name in CODE.findall(text):
        if not (ROOT / path).exists() or (name and name not in names(ROOT / path)):
            missing.append(f"{path}:{name}" if name else path)
    assert missing == []


def test_what_the_code_says_of_the_documents_is_there() -> None:
    """Messages and docstrings send people to `docs/...`."""
    missing = [
        f"{path.relative_to(ROOT)} names {target}"
        for path in [*module_files(), ROOT / "lamppost.py"]
        for target in re.findall(r"docs/[\w/]+\.(?:md|yaml|json)", path.read_text(encoding="utf-8"))
        if not (ROOT / target).exists()
    ]
    assert missing == []


def test_generated_files_are_fresh() -> None:
    assert [str(path.relative_to(ROOT)) for path in generate.stale()] == [], "run `make docs`"


def test_every_decision_is_listed_and_has_its_three_parts() -> None:
    folder = ROOT / "docs/adr"
    listed = (folder / "README.md").read_text(encoding="utf-8")
    for page in sorted(folder.glob("0*.md")):
        text = page.read_text(encoding="utf-8")
        assert page.name in listed
        assert text.startswith(f"# {page.name[:4]} ")
        assert [section for section in SECTIONS if section in text] == list(SECTIONS), page.name


def test_every_state_machine_is_drawn() -> None:
    """Every module with a TABLE of states and events, or a `diagram`, is in tools/diagrams.py."""
    drawn = {module for _, module, _ in diagrams.MACHINES.values()}
    tables = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in module_files()
        if re.search(r"^TABLE\b|^def diagram\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert tables <= drawn


def test_every_part_is_on_the_architecture_page() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    parts = {path.parent.name for path in ROOT.glob("*/py.typed")}
    assert {part for part in parts if f"`{part}/`" not in text} == set()
