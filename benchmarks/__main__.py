"""`python -m benchmarks [NAME ...]`: runs the benchmarks named, or all of them."""

from __future__ import annotations

import sys
from importlib import import_module

BENCHMARKS = ("wire", "ingest", "agent", "map")


def main(names: list[str]) -> int:
    """Run them in order; each prints its own lines."""
    if {"-h", "--help"} & set(names):
        print(f"usage: python -m benchmarks [{' | '.join(BENCHMARKS)} ...]   (all of them without a name)")
        return 0
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        print(
            f"there is no benchmark {', '.join(unknown)}; there is {', '.join(BENCHMARKS)}", file=sys.stderr
        )
        return 2
    for name in names or BENCHMARKS:
        print(f"== {name}")
        import_module(f"benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
