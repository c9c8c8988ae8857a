"""`python -m tests.chaos`: random faults on a running city, from a printed seed; its sensors' ledger is the
truth that it is held against."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.faults import SPECS, Kind, choose
from tests.chaos.room import Allowed, here, is_sealed, look_around, move_in, seal
from tests.chaos.run import HISTORY_H, OK, STOPPED, Asked, Runner

EXAMPLES = """examples:
  make chaos                                    a few minutes, a new seed
  make chaos ARGS="--minutes 30"                a long run
  make chaos ARGS="--seed 4711 --minutes 30"    the same faults as another run that printed this seed
  make chaos ARGS="--only net,broker-wipe"      these faults only; --list shows all

exit status: 0 kept; 1 something was lost, doubled or altered; 2 wrong argument; 3 the city did not start;
130 stopped by a signal"""
MOST_MINUTES = 24 * 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    given = _parser().parse_args(arguments)
    if given.list:
        print("\n".join(_listed()))
        return 0
    try:
        kinds = choose(given.only) if given.only is not None else frozenset(Kind)
        if not 0 < given.minutes <= MOST_MINUTES:
            raise ValueError(f"--minutes {given.minutes:g}: more than 0, at most {MOST_MINUTES:g}")
        if given.report is not None and not given.report.resolve().parent.is_dir():
            raise ValueError(f"--report {given.report}: there is no such folder")
    except ValueError as wrong:
        print(f"chaos: {wrong}", file=sys.stderr)
        return 2
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1, 1_000_000)
    if not is_sealed():
        print(f"seed {seed}", flush=True)
        if not given.open:
            done = seal([*here()[:3], *_again(given, seed)])
            if isinstance(done, int):
                return done
            print(f"no sealed room here: {done}", flush=True)
    else:
        move_in()
    return _run(given, seed, kinds)


def _run(given: argparse.Namespace, seed: int, kinds: frozenset[Kind]) -> int:
    allowed = look_around()
    for line in _told(allowed):
        print(line)
    kinds = frozenset(kind for kind in kinds if SPECS[kind].need in allowed.needs)
    if not kinds:
        print("chaos: this machine allows none of the faults asked for", file=sys.stderr)
        return 2
    scratch = Path(tempfile.mkdtemp(prefix="lamppost-chaos-"))
    asked = Asked(seed, given.minutes, kinds, scratch / "city", given.report, given.history)
    status = Runner(asked, allowed).run()
    if status in (OK, STOPPED) and not given.keep:
        shutil.rmtree(scratch, ignore_errors=True)
    else:
        print(f"kept: {scratch}")
    return status


def _told(allowed: Allowed) -> list[str]:
    """What the machine allows, in words: which way the lines go bad, and what is left out."""
    lines = [f"left out, {need} is needed: {why}" for need, why in allowed.refused.items()]
    how = "the kernel's netem" if not allowed.netem else f"our own packet line, not netem ({allowed.netem})"
    if any(SPECS[kind].need in allowed.refused for kind in Kind if kind.startswith("packet")):
        how = "nothing: TCP connections through a proxy only"
    return [f"below TCP: {how}; connections: a proxy on every line", *lines]


def _again(given: argparse.Namespace, seed: int) -> list[str]:
    words = ["--seed", str(seed), "--minutes", str(given.minutes), "--history", str(given.history)]
    words += ["--only", given.only] if given.only is not None else []
    words += ["--report", str(given.report.resolve())] if given.report is not None else []
    return [*words, *(["--keep"] if given.keep else [])]


def _listed() -> list[str]:
    width = max(map(len, Kind))
    for_s = {
        kind: "at once" if spec.at_once else "{:g} to {:g} s".format(*spec.lasts_s)
        for kind, spec in SPECS.items()
    }
    return [
        f"{kind:<{width}}  {for_s[kind]:<12}{spec.what}" + (f"  [needs {spec.need}]" if spec.need else "")
        for kind, spec in SPECS.items()
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="how long faults go on (3)")
    parser.add_argument("--seed", type=int, help="draw the faults that another run drew")
    parser.add_argument("--only", metavar="FAULT,…", help="these faults, or all of a part: net, agent-kill")
    parser.add_argument("--list", action="store_true", help="every fault, and nothing is run")
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="write all of it for a script")
    parser.add_argument("--keep", action="store_true", help="keep the city's folder also where all was well")
    parser.add_argument(
        "--open", action="store_true", help="without a sealed room, as on a machine without one"
    )
    parser.add_argument("--history", type=float, default=HISTORY_H, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
