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
INSIDE = ("edge_agent", "fleet_server", "firmware_bridge")
MOST_NODES = 24  # more cannot be read as a picture
AROUND, GROUND = "what runs the slices", "the ground"
# file stem -> (title, module, expression that gives the Mermaid text)
MACHINES: dict[str, tuple[str, str, str]] = {
    "approval": ("A request for a second person", "fleet_server.access.two_person_rules", "diagram"),
    "claim_batch": ("Claims issued in advance", "fleet_server.enrolment.batch_rules", "diagram"),
    "command": ("A command, from asked to its end", "fleet_server.commands.rules", "diagram"),
    "enrolment": ("From a claim to a certificate", "fleet_server.enrolment.rules", "diagram"),
    "faulting": ("A sensor's fault, seen in its values", "edge_agent.core.faulting", "TABLE.mermaid"),
    "flood": ("A lamppost that floods", "fleet_server.limits.rules", "diagram"),
    "incident": ("An incident's life", "fleet_server.decisions.rules", "diagram"),
    "journal": ("What a technician did without a connection", "provisioning.technician.rules", "diagram"),
    "link": ("The link between the agent and its server", "edge_agent.core.link", "TABLE.mermaid"),
    "rollover": ("An authority that is followed by another", "provisioning.rollover_rules", "diagram"),
    "sensing": ("One sensor's life", "edge_agent.core.sensing", "TABLE.mermaid"),
    "spool_room": ("The room in the spool", "edge_agent.core.spool_policy", "TABLE.mermaid"),
    "ways": ("Which way to the broker", "edge_agent.core.ways", "diagram"),
    "watching": ("An episode of pollution at a sensor", "edge_agent.core.watching", "TABLE.mermaid"),
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
    return "n_" + node.replace(".", "_").replace(" ", "_")


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
    """The same one level down: a part's packages, each folded into one node, and its own modules.

    Where there are more than MOST_NODES, the modules are folded too: those that (through others) import a
    package stand around the packages, the rest are the ground they stand on.
    """
    modules = _known_modules()
    packages = {path.parent.name for path in (ROOT / part).glob("*/__init__.py")}

    def child(name: str) -> str | None:
        pieces = name.split(".")
        return ".".join(pieces[1:2]) if pieces[0] == part and len(pieces) > 1 else None

    found = edges(child, modules)
    nodes = {child(m) or "" for m in modules} - {""}
    said = f"What `{part}` is made of. An arrow means: imports; a folder stands for all that is in it."
    if len(nodes) > MOST_NODES:
        around = _reaching(packages, found) - packages
        folds = {node: node if node in packages else (AROUND if node in around else GROUND) for node in nodes}
        found = Counter({(folds[a], folds[b]): n for (a, b), n in found.items() if folds[a] != folds[b]})
        said += f"\n\n{AROUND}: {_listed(around)}.\n\n{GROUND}: {_listed(nodes - around - packages)}."
        nodes = set(folds.values())
    return _page(f"Inside {part}", said, _flowchart(found, sorted(nodes)))


def _reaching(targets: set[str], found: Counter[tuple[str, str]]) -> set[str]:
    """Nodes from which an arrow, or a chain of them, leads to a target."""
    reached = set(targets)
    while more := {a for a, b in found if b in reached} - reached:
        reached |= more
    return reached


def _listed(nodes: set[str]) -> str:
    return ", ".join(f"`{node}`" for node in sorted(nodes))


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
