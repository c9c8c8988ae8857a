"""Everything that is written by a program and kept in the repository: `python -m tools.generate [--check]`.

Without arguments it writes; with `--check` it says what is stale and exits 1.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tools import diagrams, leaving, public_names
from tools.imports import ROOT


def generated() -> dict[Path, str]:
    """Every generated file: path -> what it must hold."""
    files = diagrams.render()
    files[public_names.SNAPSHOT] = public_names.render()
    files[leaving.PAGE] = leaving.render()
    for path, render in _specifications().items():
        files[path] = render()
    return files


def _specifications() -> dict[Path, Callable[[], str]]:
    """The descriptions of the wire and of the API; imported here, since they load the whole server."""
    from fleet_server import openapi
    from wire_contract import asyncapi

    return {
        ROOT / "docs/asyncapi.yaml": asyncapi.render,
        ROOT / "docs/openapi.json": openapi.document,
    }


def stale() -> list[Path]:
    """Generated files that do not hold what the code says."""
    return [
        path
        for path, text in generated().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str]) -> int:
    """Write what is stale, or with --check name it."""
    out_of_date = stale()
    if "--check" in arguments:
        for path in out_of_date:
            print(f"stale: {path.relative_to(ROOT)} (run `make docs`)")
        return 1 if out_of_date else 0
    files = generated()
    for path in out_of_date:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path], encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
