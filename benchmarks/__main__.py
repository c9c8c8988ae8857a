"""`python -m benchmarks [NAME ...] [--quick] [--report FILE]`: those named, or all of them, in order.

Each prints its figures with the floor measured in the same run and the bar, where there is one. A bar that is
missed is said, and is no failure: the exit status tells whether they ran.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from benchmarks import report

# name -> what it measures. In this order: the short ones first.
BENCHMARKS = {
    "wire": "bytes a reading on the wire, beside JSON, SenML-CBOR and protobuf",
    "storage": "bytes a reading in the database, for a month of 50 lampposts",
    "ingest": "from MQTT to committed and acked, beside one COPY and a plain script",
    "one_sample": "the worst case: one sample a message, beside a subscriber that only counts",
    "queries": "latest, a day, a month of districts over 500 lampposts and 30 days",
    "enrolment": "200 lampposts let in one after another, 1,000 renewed within their hour",
    "cutting": "from the decision about a stolen lamppost to the end of its connection",
    "spool": "bytes that the disk of a lamppost is written for a reading",
    "agent_drain": "a day's backlog from the spool to acked",
    "agent": "memory, processor and verdicts of one agent",
    "map": "the map with 500 lampposts",
    "fleet": "5,000 simulated lampposts over mTLS",
}


def main(arguments: Sequence[str]) -> int:
    """Run them in order; each prints its own lines."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"  {name:<12} {what}" for name, what in BENCHMARKS.items()),
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--quick", action="store_true", help="small sizes: tries the way, proves no figure")
    parser.add_argument("--report", type=Path, metavar="FILE", help="the figures as JSON")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there is {', '.join(BENCHMARKS)}")
    found: list[report.Figure] = []
    for name in options.names or BENCHMARKS:
        print(f"== {name}: {BENCHMARKS[name]}\n{report.machine()}", flush=True)
        began = time.monotonic()
        figures = import_module(f"benchmarks.{name}").figures(quick=options.quick)
        print("\n".join(report.lines(figures)))
        print(f"  ({time.monotonic() - began:.0f} s{', quick' if options.quick else ''})", flush=True)
        found += figures
        if options.report:  # after each: what an interrupted run has measured is not lost
            options.report.write_text(json.dumps(report.as_json(found), indent=1) + "\n", encoding="utf-8")
    missed = [figure.name for figure in found if figure.met is False]
    print(f"{len(found)} figures, {len(missed)} bars missed" + "".join(f"\n  {name}" for name in missed))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
