"""`lamppost db`: the city's database."""

from __future__ import annotations

import sys


def main(argv: list[str]) -> int:  # noqa: ARG001
    print("not built yet", file=sys.stderr)
    return 3
