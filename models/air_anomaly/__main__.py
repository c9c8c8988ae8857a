"""`python -m models.air_anomaly`: builds the model, its artefact and its card, or measures what ships."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from models.features.manifest import BadManifest, shipped_directory

EXAMPLES = """examples:
  make models                                        the artefact that ships, anew (minutes)
  python -m models.air_anomaly build --quick         a small model into build/air_anomaly, to try the way
  python -m models.air_anomaly evaluate              the shipped files on a sample of the test part; no torch
  needed
  python -m models.air_anomaly check                 on air that is made otherwise; into the card
"""
QUICK_FOLDER = Path("build") / "air_anomaly"


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0; 2 with one line where data, artefact or packages are missing."""
    options = _parser().parse_args(arguments)
    from models.air_anomaly.reference import DataAbsent, data_directory

    try:
        data = data_directory(options.data)
        if options.command == "build":
            return _build(options, data)
        return _check(options, data) if options.command == "check" else _evaluate(options, data)
    except (DataAbsent, BadManifest, FileNotFoundError) as error:
        print(f"models.air_anomaly: {error}", file=sys.stderr)
    except ModuleNotFoundError as error:
        print(
            f"models.air_anomaly: no {error.name} here: training has an environment of its own, "
            "`make models` makes and uses it",
            file=sys.stderr,
        )
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.air_anomaly",
        description="Episodes told from faults and from the street's own day, on one-minute windows.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="train, quantize, choose thresholds, measure, write the card")
    build.add_argument("--out", help="the artefact's folder; without it the shipped one")
    build.add_argument("--quick", action="store_true", help="a smoke run of a minute, into build/air_anomaly")
    build.add_argument("--seed", type=int, help="of recipe and training; without it the shipped one")
    evaluate = commands.add_parser("evaluate", help="measure an artefact's files on the test part")
    evaluate.add_argument("--artefact", help="its folder; without it the shipped one")
    evaluate.add_argument("--segments", type=int, default=400, help="how much of the test part (400)")
    check = commands.add_parser(
        "check", help="measure it on air made otherwise, and write that into its card"
    )
    check.add_argument("--artefact", help="its folder; without it the shipped one")
    for command in (build, evaluate, check):
        command.add_argument(
            "--data", help="folder of the reference data (LAMPPOST_SHARED_DATA, else ../shared/data)"
        )
    return parser


def _build(options: argparse.Namespace, data: Path) -> int:
    from models.air_anomaly.build import FULL, QUICK, SEED, build

    out = Path(options.out) if options.out else QUICK_FOLDER if options.quick else shipped_directory()
    seed = SEED if options.seed is None else options.seed
    card = build(data, out, QUICK if options.quick else FULL, seed, _say)
    for detector, row in card["windows"].items():
        _say(f"{detector:22s} AUC {row['auc']:.4f}  recall at 1 % {row['recall_at_1pct_fpr']:.4f}")
    return 0


def _evaluate(options: argparse.Namespace, data: Path) -> int:
    from models.air_anomaly.again import measure_again

    folder = Path(options.artefact) if options.artefact else shipped_directory()
    started = time.monotonic()
    for detector, row in measure_again(folder, data, options.segments, _say).items():
        _say(f"{detector:22s} AUC {row['auc']:.4f}  recall at 1 % {row['recall_at_1pct_fpr']:.4f}")
    _say(f"{time.monotonic() - started:.0f} s")
    return 0


def _check(options: argparse.Namespace, data: Path) -> int:
    from models.air_anomaly.card import with_check
    from models.air_anomaly.check import EACH, check

    folder = Path(options.artefact) if options.artefact else shipped_directory()
    found = check(folder, data, EACH, _say)
    with_check(folder, found)
    for detector, row in found["detectors"].items():
        _say(f"{detector:22s} " + "  ".join(f"{name} {value:.4f}" for name, value in row.items()))
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
