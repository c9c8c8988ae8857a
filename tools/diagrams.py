"""Draws `docs/diagrams/` from the code: who imports whom, and every state machine's table.

`python -m tools.diagrams` writes them; `make check` and a test refuse stale ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from tools.imports import PARTS, ROOT, imported_names, module_files, module_name

FOLDER = ROOT / "docs/diagrams"
# (part, how deep its picture goes): below that, a module stands for its package.
INSIDE = ("edge_agent", "fleet_server", "firmware_bridge")
# file stem -> (title, module, expression that gives the Mermaid text)
MACHINES: dict[str, tuple[str, str, str]] = {
    "link": ("The link between the agent and its server", "edge_agent.core.link", "TABLE.mermaid"),
}


def _known_modules() -> set[str]:
    return {module_name(path) for path in module_files()}


def edges(cluster: Callable[[str], str | None], modules: set[str]) -> Counter[tuple[str, str]]:
    """How many imports go from one cluster to another; `cluster` gives None for what is not drawn."""
    found: Counter[tuple[str, str]] = Counter()
    for path in module_files():
        importer = cluster(module_name(path))
        for name, _ in imported_names(path):
            target = name if name in modules else name.rpartition(".")[0]
            imported = cluster(target) if target in modules else None
            if importer and imported and importer != imported:
                found[importer, imported] += 1
    return found


def _flowchart(found: Counter[tuple[str, str]], nodes: list[str]) -> str:
    lines = ["flowchart TD"]
    lines += [f"    {_id(node)}[{node}]" for node in nodes]
    lines += [f"    {_id(a)} --> {_id(b)}" for a, b in sorted(found)]
    return "\n".join(lines)


def _id(node: str) -> str:
    return "n_" + node.replace(".", "_").replace("/", "_")


def _page(title: str, said: str, mermaid: str) -> str:
    note = "<!-- Written by `make docs` from the code. Do not edit. -->"
    return f"{note}\n# {title}\n\n{said}\n\n```mermaid\n{mermaid}\n```\n"


def who_imports_whom() -> str:
    """The parts, and an arrow wherever one imports another."""
    modules = _known_modules()
    used = {part for part in PARTS if any(m.startswith(f"{part}.") for m in modules)}

    def top(name: str) -> str | None:
        part = name.partition(".")[0]
        return part if part in used else None

    said = "An arrow means: imports. Read from the source; `.importlinter` says which arrows may be there."
    return _page("Who imports whom", said, _flowchart(edges(top, modules), sorted(used)))


def inside(part: str) -> str:
    """The same one level down: a part's packages, its own modules folded into one node each."""
    modules = _known_modules()

    def child(name: str) -> str | None:
        pieces = name.split(".")
        return ".".join(pieces[1:2]) if pieces[0] == part and len(pieces) > 1 else None

    found = edges(child, modules)
    nodes = sorted({child(m) or "" for m in modules} - {""})
    said = f"What `{part}` is made of. An arrow means: imports; a folder stands for all that is in it."
    return _page(f"Inside {part}", said, _flowchart(found, nodes))


def machine(title: str, module: str, expression: str) -> str:
    """A state machine, drawn by its own table."""
    drawn: object = import_module(module)
    for attribute in expression.split("."):
        drawn = getattr(drawn, attribute)
    assert callable(drawn)
    source = module.replace(".", "/") + ".py"
    return _page(title, f"Every pair of state and event that is ruled in `{source}`.", str(drawn()))


def render() -> dict[Path, str]:
    """Every generated page: path -> its text."""
    pages = {FOLDER / "imports.md": who_imports_whom()}
    pages |= {FOLDER / f"inside_{part}.md": inside(part) for part in INSIDE}
    pages |= {FOLDER / f"state_{name}.md": machine(*what) for name, what in MACHINES.items()}
    return pages


def main() -> int:
    """Write them all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in render().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
